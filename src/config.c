#include "config.h"

#include <stdlib.h>
#include <string.h>

static const char *const CONFIRM[] = {"node", "source", NULL};
static const char *const SIGNATURE[] = {"auto", "always", "never", NULL};
static const char *const POLICY[] = {"off", "key", "open", NULL};
static const char *const WS_FILTER[] = {"accounts", "all", NULL};
static const char *const LEVELS[] = {"debug", "info", "warn", "error", NULL};
static const char *const FORMATS[] = {"text", "json", NULL};

#define MEMBER(name) offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define TEXT(section, key, member, fallback, help)                                                           \
    {                                                                                                        \
        section, key, CONF_TEXT, MEMBER(member), 0, 0, NULL, fallback, help                                  \
    }
#define NUMBER(section, key, member, least, most, fallback, help)                                            \
    {                                                                                                        \
        section, key, CONF_NUMBER, MEMBER(member), least, most, NULL, fallback, help                         \
    }
#define FLAG(section, key, member, fallback, help)                                                           \
    {                                                                                                        \
        section, key, CONF_FLAG, MEMBER(member), 0, 0, NULL, fallback, help                                  \
    }
#define CHOICE(section, key, member, choices, fallback, help)                                                \
    {                                                                                                        \
        section, key, CONF_CHOICE, MEMBER(member), 0, 0, choices, fallback, help                             \
    }

const struct conf_key CONFIG_KEYS[] = {
    TEXT("http", "listen", http_listen, "127.0.0.1:7090",
         "address and port of callback and admin API; port 0 picks a free one"),
    NUMBER("http", "threads", http_threads, 1, 64, "4", "threads that answer HTTP requests"),
    NUMBER("http", "idle_timeout_s", http_idle_timeout_s, 1, 3600, "30",
           "a connection that is silent for so long is closed"),
    NUMBER(
        "http", "request_timeout_s", http_request_timeout_s, 1, 3600, "30",
        "a request's first line, then the rest of it, then each 64 KB of its body, has to come within so long"),
    FLAG(
        "http", "tls", http_tls, "yes",
        "https, where [tls] names a certificate; no: plain in any case, so that a node on this machine can call"),
    TEXT("ws", "listen", ws_listen, "127.0.0.1:7091", "address and port of the WebSocket server"),
    FLAG("ws", "tls", ws_tls, "yes", "wss, where [tls] names a certificate"),
    FLAG("ws", "allow_plain_tokens", ws_allow_plain_tokens, "no",
         "take device tokens over unencrypted connections that are not from this machine"),
    TEXT("tls", "certificate", tls_certificate, "",
         "a PEM file: the certificate, then those that vouch for it; empty: no TLS"),
    TEXT("tls", "key", tls_key, "", "a PEM file: its private key, without a passphrase"),
    NUMBER("tls", "check_s", tls_check_s, 0, 86400, "60",
           "so often the files are looked at for a change; 0: only on SIGHUP"),
    CHOICE(
        "callback", "confirm", callback_confirm, CONFIRM, "node",
        "who says that a block is confirmed, and its amount: node: the one of [nano] rpc is asked; source: whoever calls the callback is believed"),
    TEXT("callback", "secret", callback_secret, "",
         "with it, /callback/<secret> may be called from other machines"),
    TEXT(
        "nano", "rpc", nano_rpc, "",
        "URL of a Nano node's RPC, such as http://[::1]:7076; empty: none, and no payment can be confirmed or found again"),
    TEXT("nano", "rpc_header", nano_rpc_header, "",
         "a header for it, Name: value, where a provider wants a key"),
    NUMBER("nano", "rpc_calls_per_s", nano_rpc_calls_per_s, 0, 100000, "50",
           "it is asked no more often in a second; 0: no limit"),
    NUMBER("nano", "rpc_connections", nano_rpc_connections, 2, 64, "4",
           "connections to it at once, one of them free for what cannot wait"),
    NUMBER("nano", "rpc_timeout_s", nano_rpc_timeout_s, 1, 600, "10", "an answer has to come within so long"),
    TEXT("nano", "ws", nano_ws, "",
         "URLs of Nano nodes' WebSockets, such as ws://[::1]:7078, separated by spaces, at most 8"),
    TEXT("nano", "ws_header", nano_ws_header, "", "a header for them, Name: value"),
    CHOICE(
        "nano", "ws_filter", nano_ws_filter, WS_FILTER, "accounts",
        "what they are asked for: accounts: what concerns our addresses (without legacy blocks: the node's filter "
        "drops them); all: everything on the network"),
    TEXT("nano", "ca_file", nano_ca_file, "",
         "a PEM file with the authorities that https and wss believe; empty: those of the system"),
    NUMBER(
        "nano", "silence_s", nano_silence_s, 0, 86400, "120",
        "a WebSocket that says nothing for so long while the node cements blocks is connected anew; 0: never"),
    NUMBER(
        "nano", "sweep_s", nano_sweep_s, 0, 86400, "600",
        "so often every address is reconciled with the node; 0: only when something was or may have been lost"),
    NUMBER("nano", "batch", nano_batch, 1, 1000, "500", "addresses in one question about all"),
    CHOICE(
        "verify", "signature", verify_signature, SIGNATURE, "auto",
        "check block signatures: auto (always where the source can be forged), always, never (the hash is still checked)"),
    TEXT("store", "data", store_data, "/var/lib/coinslot", "the data folder; --data overrides it"),
    NUMBER("store", "min_free_mb", store_min_free_mb, 0, 1 << 30, "64",
           "with less free space than this, payments are answered 503"),
    NUMBER("store", "inbox", store_inbox, 16, 1 << 20, "16384", "commands that may wait for the writer"),
    NUMBER("store", "batch", store_batch, 1, 65536, "256", "commands in one transaction, at most"),
    CHOICE(
        "legacy", "legacy", legacy, POLICY, "open",
        "whom /call serves, for Nano_Callback_System's clients: off; key: who gives an API token as api_key; open: programs on this machine"),
    CHOICE(
        "nano_api", "nano_api", nano_api, POLICY, "open",
        "whom /nano serves, for programs written for a Nano node's WebSocket: off; key: who gives an API token; open: programs on this machine"),
    NUMBER("limits", "http_connections", limit_http_connections, 1, 15000, "2000",
           "HTTP connections at once"),
    NUMBER("limits", "http_connections_loopback", limit_http_connections_loopback, 0, 15000, "100",
           "so many more that only this machine's own programs get, the node's callback among them"),
    NUMBER("limits", "http_connections_per_ip", limit_http_connections_per_ip, 0, 15000, "200",
           "HTTP connections from one address at once, loopback excepted; 0: no limit"),
    NUMBER("limits", "sessions", limit_sessions, 1, 1000000, "15000", "device connections at once"),
    NUMBER("limits", "sessions_per_ip", limit_sessions_per_ip, 0, 1000000, "1000",
           "device connections from one address at once, loopback excepted; 0: no limit"),
    NUMBER("limits", "waiting", limit_waiting, 1, 1000000, "10000",
           "connections to the WebSocket port that have not said who they are yet, at once"),
    NUMBER("limits", "waiting_per_ip", limit_waiting_per_ip, 0, 1000000, "100",
           "such connections from one address at once, loopback excepted; 0: no limit"),
    NUMBER(
        "limits", "handshakes_per_s", limit_handshakes_per_s, 0, 1000000, "5000",
        "connections that the WebSocket port takes in a second, of all addresses; what comes beyond is closed at once; 0: no limit"),
    NUMBER("limits", "frame_bytes", limit_frame_bytes, 256, 1 << 20, "4096",
           "a longer message from a device ends its session"),
    NUMBER(
        "limits", "hello_timeout_s", limit_hello_timeout_s, 1, 3600, "10",
        "a connection is closed that is not upgraded after so long, and one without hello so long after that"),
    NUMBER("limits", "ping_interval_s", limit_ping_interval_s, 1, 3600, "30",
           "a device that is silent for so long is pinged"),
    NUMBER("limits", "ping_timeout_s", limit_ping_timeout_s, 1, 3600, "10",
           "and closed when nothing comes for so long after that"),
    NUMBER("limits", "window", limit_window, 1, 4096, "64",
           "deliveries that may be out to a device and not acked"),
    NUMBER("limits", "page", limit_page, 1, 1024, "64",
           "deliveries that are read at once for a device that was away"),
    NUMBER("limits", "subscriptions_per_device", limit_subscriptions_per_device, 1, 100000, "100",
           "addresses of one device"),
    NUMBER("limits", "unconfirmed", limit_unconfirmed, 1, 1000000, "10000",
           "payments that may wait for a node to say whether they are confirmed"),
    NUMBER("limits", "legacy_addresses", limit_legacy_addresses, 1, 100000, "100",
           "addresses of one connection to /call"),
    NUMBER(
        "limits", "legacy_silence_s", limit_legacy_silence_s, 1, 86400, "3900",
        "a connection to /call may leave pings unanswered for so long: the old sketch is deaf while it counts down"),
    NUMBER("limits", "nano_accounts", limit_nano_accounts, 1, 100000, "1000",
           "accounts in the filter of one connection to /nano"),
    NUMBER("limits", "import_mb", limit_import_mb, 1, 4096, "64",
           "megabytes in one POST /api/v1/devices/import"),
    NUMBER("limits", "import_lines", limit_import_lines, 1, 10000000, "100000",
           "lines in one, blank ones too; their results wait on the disk, some 130 bytes each"),
    CHOICE("log", "level", log_level, LEVELS, "info", "the least that is logged"),
    CHOICE("log", "format", log_format, FORMATS, "text",
           "text, or json: an object a line; --log-format overrides it"),
};
const size_t CONFIG_KEY_COUNT = sizeof(CONFIG_KEYS) / sizeof(CONFIG_KEYS[0]);

bool config_parse_address(const char *text, struct config_address *address)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strlen(colon) > 6 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || colon[1] == '\0') {
        return false;
    }
    long port = strtol(colon + 1, NULL, 10);
    size_t length = (size_t)(colon - text);
    bool bracketed = text[0] == '[' && length > 2 && text[length - 1] == ']';
    if (bracketed) {
        text++;
        length -= 2;
    }
    /* An IPv6 address without its brackets cannot be told from its port. */
    if (port > 65535 || length >= sizeof(address->host) ||
        (!bracketed && memchr(text, ':', length) != NULL)) {
        return false;
    }
    memcpy(address->host, text, length);
    address->host[length] = '\0';
    address->port = (uint16_t)port;
    return true;
}
