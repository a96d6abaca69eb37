/*
 * config: what `serve` can be told, with its defaults; one table for the file, for `coinslot config` and for docs.
 * Read once, at start, on the main thread; constant afterwards.
 */
#ifndef COINSLOT_CONFIG_H
#define COINSLOT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/conf.h"

#define CONFIG_TEXT_SIZE 256

enum config_confirm { CONFIRM_NODE, CONFIRM_SOURCE };

struct config {
    char http_listen[CONFIG_TEXT_SIZE];
    int64_t http_threads, http_idle_timeout_s, http_request_timeout_s;
    bool http_tls;
    char ws_listen[CONFIG_TEXT_SIZE];
    bool ws_tls, ws_allow_plain_tokens;
    char tls_certificate[CONFIG_TEXT_SIZE], tls_key[CONFIG_TEXT_SIZE];
    int64_t tls_check_s;
    int callback_confirm; /* enum config_confirm */
    char callback_secret[CONFIG_TEXT_SIZE];
    char nano_rpc[CONFIG_TEXT_SIZE], nano_rpc_header[CONFIG_TEXT_SIZE], nano_ws[4 * CONFIG_TEXT_SIZE],
        nano_ws_header[CONFIG_TEXT_SIZE], nano_ca_file[CONFIG_TEXT_SIZE];
    int64_t nano_rpc_calls_per_s, nano_rpc_connections, nano_rpc_timeout_s;
    int nano_ws_filter; /* 0: accounts; 1: all */
    int64_t nano_silence_s, nano_sweep_s, nano_batch;
    int verify_signature; /* enum callback_signature */
    char store_data[CONFIG_TEXT_SIZE];
    int64_t store_min_free_mb, store_inbox, store_batch;
    int legacy;   /* enum push_policy */
    int nano_api; /* enum push_policy */
    int64_t limit_http_connections, limit_http_connections_loopback, limit_http_connections_per_ip;
    int64_t limit_sessions, limit_sessions_per_ip, limit_waiting, limit_waiting_per_ip,
        limit_handshakes_per_s;
    int64_t limit_frame_bytes, limit_hello_timeout_s;
    int64_t limit_ping_interval_s, limit_ping_timeout_s;
    int64_t limit_window, limit_page, limit_subscriptions_per_device;
    int64_t limit_unconfirmed, limit_legacy_addresses, limit_legacy_silence_s, limit_nano_accounts;
    int64_t limit_import_mb, limit_import_lines;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
};

extern const struct conf_key CONFIG_KEYS[];
extern const size_t CONFIG_KEY_COUNT;

struct config_address {
    char host[CONFIG_TEXT_SIZE];
    uint16_t port;
};

/* "127.0.0.1:7090", "[::1]:0", "localhost:7090". False when it is none of these. */
bool config_parse_address(const char *text, struct config_address *address);

#endif
