#define LOG_MODULE "node"
#include "node/nano_wire.h"

#include <assert.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "node/nano_lookup.h"

#define RX_BUFFER_SIZE 4096
#define FILES_MOST     16   /* one connection, the one before it, the library's own */
#define NO_LIMIT_S     3600 /* nano_ws.c has its own */
#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define WHY_SIZE       160

enum state {
    STATE_IDLE,
    STATE_LOOKUP,
    STATE_CONNECTING, /* TCP, TLS and the upgrade */
    STATE_OPEN,
    STATE_HUNG_UP, /* libwebsockets is closing it */
    STATE_GONE,    /* it has closed it; to be told from the loop */
    STATE_STOPPED,
};

struct outbound {
    struct outbound *next;
    size_t length;
    unsigned char bytes[]; /* LWS_PRE of libwebsockets' own, then the text */
};

struct nano_wire {
    struct nano_wire_options options;
    char header[NANO_WIRE_HEADER_SIZE], ca_file[256];
    struct lws_context *context;
    struct lws *wsi;
    uv_timer_t step; /* what libwebsockets must not be asked for from inside its own callbacks */
    enum state state;
    struct nano_lookup *lookup;
    char addresses[NANO_LOOKUP_MOST][NANO_LOOKUP_TEXT_SIZE];
    size_t address_count, tried, turn; /* tried: in this dial; turn: dials so far */
    char why[WHY_SIZE];
    bool reading, was_open, hung_up;
    int kills;
    struct outbound *first, *last;
    char *arriving; /* the fragments of a message so far, or NULL */
    size_t arrived;
};

static void on_step(uv_timer_t *timer);

static void step_in(struct nano_wire *wire, uint64_t ms)
{
    uv_timer_start(&wire->step, on_step, ms, 0);
}

static void note_why(struct nano_wire *wire, const char *why, size_t length)
{
    if (wire->why[0] == '\0') {
        snprintf(wire->why, sizeof(wire->why), "%.*s", (int)strnlen(why, length), why);
    }
}

static void drop_buffers(struct nano_wire *wire)
{
    while (wire->first != NULL) {
        struct outbound *outbound = wire->first;
        wire->first = outbound->next;
        free(outbound);
    }
    wire->last = NULL;
    free(wire->arriving);
    wire->arriving = NULL;
    wire->arrived = 0;
}

/* ---- from the loop ------------------------------------------------------------------------------------- */

static void be_gone(struct nano_wire *wire)
{
    drop_buffers(wire);
    wire->state = STATE_GONE;
    step_in(wire, 0);
}

/* One address after the other; an error of the library's own shows at once, others by its callbacks. */
static void connect_next(struct nano_wire *wire)
{
    const struct nano_url *url = &wire->options.url;
    wire->state = STATE_CONNECTING;
    wire->why[0] = '\0';
    struct lws_client_connect_info info = {
        .context = wire->context,
        .address = wire->addresses[(wire->turn + wire->tried++) % wire->address_count],
        .port = url->port,
        .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (url->secure ? LCCSCF_USE_SSL : 0),
        .path = url->path,
        .host = url->authority,
        .alpn = "http/1.1",
        .pwsi = &wire->wsi,
    };
    if (lws_client_connect_via_info(&info) == NULL) {
        wire->wsi = NULL;
        note_why(wire, "there is no way to its address", WHY_SIZE);
        be_gone(wire);
    }
}

static void on_lookup(void *context, char (*addresses)[NANO_LOOKUP_TEXT_SIZE], size_t count, const char *why)
{
    struct nano_wire *wire = context;
    wire->lookup = NULL;
    wire->address_count = count;
    wire->tried = 0;
    if (count == 0) {
        note_why(wire, why, WHY_SIZE);
        be_gone(wire);
        return;
    }
    memcpy(wire->addresses, addresses, count * sizeof(wire->addresses[0]));
    connect_next(wire);
}

void nano_wire_dial(struct nano_wire *wire)
{
    assert(node_loop_is_mine(wire->options.loop) && wire->state == STATE_IDLE);
    wire->state = STATE_LOOKUP;
    wire->hung_up = wire->was_open = false;
    wire->kills = 0;
    wire->tried = wire->address_count = 0;
    wire->turn++;
    wire->why[0] = '\0';
    wire->lookup = nano_lookup_start(wire->options.loop, wire->options.url.host, on_lookup, wire);
    if (wire->lookup == NULL) {
        note_why(wire, "its host is no name of a host", WHY_SIZE);
        be_gone(wire);
    }
}

void nano_wire_hang_up(struct nano_wire *wire)
{
    assert(node_loop_is_mine(wire->options.loop));
    if (wire->hung_up || wire->state == STATE_IDLE) {
        return;
    }
    wire->hung_up = true;
    if (wire->state == STATE_OPEN && !wire->reading) {
        lws_rx_flow_control(wire->wsi, 1); /* the node's close frame has to be seen */
    }
    if (wire->state == STATE_LOOKUP) {
        if (wire->lookup != NULL) {
            nano_lookup_forget(wire->lookup);
            wire->lookup = NULL;
        }
        be_gone(wire);
    } else if (wire->state != STATE_GONE) {
        wire->state = STATE_HUNG_UP;
        step_in(wire, 0);
    }
}

/*
 * Once politely, with a close frame, and once more for good when that took too long. Asked for by returning -1 from a callback,
 * Debian's libwebsockets 4.1.6 closes twice on libuv, and the frame is lost (push/session.c).
 */
static void kill_connection(struct nano_wire *wire)
{
    if (wire->kills++ == 0 && wire->was_open) {
        lws_close_reason(wire->wsi, LWS_CLOSE_STATUS_GOINGAWAY, NULL, 0);
    }
    step_in(wire, wire->options.patience_ms);
    lws_set_timeout(wire->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void on_step(uv_timer_t *timer)
{
    struct nano_wire *wire = timer->data;
    if (wire->state == STATE_HUNG_UP) {
        kill_connection(wire);
        return;
    }
    assert(wire->state == STATE_GONE);
    if (!wire->hung_up && !wire->was_open && wire->tried < wire->address_count) {
        connect_next(wire);
        return;
    }
    wire->state = STATE_IDLE;
    wire->options.closed(wire->options.context, wire->why);
}

/* ---- from libwebsockets -------------------------------------------------------------------------------- */

struct orphans {
    const struct lws *wsi;
};

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void close_orphan(uv_handle_t *handle, void *context)
{
    const struct orphans *orphans = context;
    if (handle->type == UV_POLL && handle->data == orphans->wsi && !uv_is_closing(handle)) {
        uv_close(handle, free_handle);
    }
}

/*
 * A connection that fails at once (no route to its address) leaves its uv_poll_t behind in libwebsockets 4.1.6, stopped, for ever
 * (lws_client_connect_3_connect, "try_next_result_fds"): it knows whose it was.
 */
static void close_orphans(struct nano_wire *wire, const struct lws *wsi)
{
    struct orphans orphans = {wsi};
    uv_walk(node_loop_uv(wire->options.loop), close_orphan, &orphans);
}

static void on_destroyed(struct nano_wire *wire, const struct lws *wsi)
{
    close_orphans(wire, wsi);
    if (wsi == wire->wsi) {
        wire->wsi = NULL;
        if (wire->state != STATE_STOPPED) {
            note_why(wire, "the connection broke", WHY_SIZE);
            be_gone(wire);
        }
    }
}

static int add_header(const struct nano_wire *wire, char **at, size_t room)
{
    if (wire->header[0] != '\0') {
        int length = snprintf(*at, room, "%s\r\n", wire->header);
        if (length < 0 || (size_t)length >= room) {
            return -1;
        }
        *at += length;
    }
    return 0;
}

static void note_failure(struct nano_wire *wire, struct lws *wsi, const char *why, size_t length)
{
    char text[WHY_SIZE];
    unsigned status = length >= 3 && memcmp(why, "HS:", 3) == 0 ? lws_http_client_http_response(wsi) : 0;
    if (status != 0 && status != 101) {
        snprintf(text, sizeof(text), "it answered HTTP status %u instead of upgrading", status);
        note_why(wire, text, sizeof(text));
    } else {
        note_why(wire, why != NULL ? why : "it cannot be reached", why != NULL ? length : WHY_SIZE);
    }
}

/* What the node says at its end: two bytes of code, and maybe words. */
static void note_end(struct nano_wire *wire, const unsigned char *said, size_t length)
{
    char words[64] = "";
    for (size_t i = 0; i + 2 < length && i + 1 < sizeof(words); i++) {
        words[i] = said[i + 2] >= ' ' && said[i + 2] <= '~' ? (char)said[i + 2] : '?';
    }
    unsigned code = length >= 2 ? (unsigned)said[0] << 8 | said[1] : 1005;
    char text[WHY_SIZE];
    snprintf(text, sizeof(text), "the node closed it: %u %s", code, words);
    note_why(wire, text, sizeof(text));
}

static void end_because(struct nano_wire *wire, const char *why)
{
    note_why(wire, why, WHY_SIZE);
    nano_wire_hang_up(wire);
}

static void be_open(struct nano_wire *wire)
{
    wire->state = STATE_OPEN;
    wire->was_open = true;
    if (!wire->reading) {
        lws_rx_flow_control(wire->wsi, 0);
    }
    wire->options.opened(wire->options.context);
}

/* One frame a call: the loop is shared. */
static void write_some(struct nano_wire *wire)
{
    struct outbound *outbound = wire->first;
    if (wire->state != STATE_OPEN || outbound == NULL) {
        return;
    }
    wire->first = outbound->next;
    wire->last = wire->first != NULL ? wire->last : NULL;
    int written = lws_write(wire->wsi, outbound->bytes + LWS_PRE, outbound->length, LWS_WRITE_TEXT);
    bool whole = written >= 0 && (size_t)written >= outbound->length;
    free(outbound);
    if (!whole) {
        end_because(wire, "it cannot be written to");
    } else if (wire->first != NULL) {
        lws_callback_on_writable(wire->wsi);
    }
}

static void take_message(struct nano_wire *wire, const char *text, size_t length)
{
    if (lws_frame_is_binary(wire->wsi)) {
        wire->options.not_text(wire->options.context);
    } else {
        wire->options.message(wire->options.context, text, length);
    }
}

static void read_some(struct nano_wire *wire, const char *bytes, size_t length)
{
    if (wire->state != STATE_OPEN) {
        return;
    }
    size_t rest = lws_remaining_packet_payload(wire->wsi);
    if (wire->arrived + length + rest > wire->options.message_most) {
        end_because(wire, "it sent a message that is too long");
        return;
    }
    bool whole = lws_is_final_fragment(wire->wsi) != 0;
    if (whole && wire->arriving == NULL) {
        take_message(wire, length > 0 ? bytes : "", length);
        return;
    }
    wire->arriving = cs_realloc(wire->arriving, wire->arrived + length + 1);
    if (length > 0) {
        memcpy(wire->arriving + wire->arrived, bytes, length);
        wire->arrived += length;
    }
    if (whole) {
        char *message = wire->arriving;
        size_t size = wire->arrived;
        wire->arriving = NULL;
        wire->arrived = 0;
        take_message(wire, message, size);
        free(message);
    }
}

/* `user` is not always ours: the one connection is the context's. */
static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    (void)user;
    struct nano_wire *wire = lws_context_user(lws_get_context(wsi));
    if (reason == LWS_CALLBACK_WSI_DESTROY) {
        on_destroyed(wire, wsi);
    } else if (reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER) {
        return add_header(wire, in, length);
    }
    if (wsi != wire->wsi || wire->state == STATE_STOPPED) {
        return 0;
    }
    /* The reasons are libwebsockets' and many: this switch names those that matter. */
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        if (wire->state == STATE_CONNECTING) {
            be_open(wire);
        }
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        read_some(wire, in, length);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        write_some(wire);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        note_end(wire, in, length);
        return 0;
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        if (length == 0) { /* OpenSSL's verdict on it; what libwebsockets says of that later is a number */
            note_why(wire, "its certificate is not trusted, has expired, or is of another name", WHY_SIZE);
        }
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        note_failure(wire, wsi, in, length);
        return 0;
    default:
        return 0;
    }
}

/* ---- what the owner asks for --------------------------------------------------------------------------- */

void nano_wire_send(struct nano_wire *wire, char *text, size_t length)
{
    assert(node_loop_is_mine(wire->options.loop));
    if (wire->state == STATE_OPEN) {
        struct outbound *outbound = cs_alloc(sizeof(*outbound) + LWS_PRE + length);
        outbound->length = length;
        memcpy(outbound->bytes + LWS_PRE, text, length);
        *(wire->last != NULL ? &wire->last->next : &wire->first) = outbound;
        wire->last = outbound;
        lws_callback_on_writable(wire->wsi);
    }
    free(text);
}

void nano_wire_set_reading(struct nano_wire *wire, bool reading)
{
    assert(node_loop_is_mine(wire->options.loop));
    if (wire->reading == reading) {
        return;
    }
    wire->reading = reading;
    if (wire->state == STATE_OPEN) {
        lws_rx_flow_control(wire->wsi, reading ? 1 : 0);
        if (reading) {
            lws_callback_on_writable(
                wire->wsi); /* an event: only after one it looks at what it has kept back */
        }
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static const struct lws_protocols PROTOCOLS[] = {
    {.name = "nano", .callback = on_event, .rx_buffer_size = RX_BUFFER_SIZE},
    {.name = NULL},
};

static void on_library_log(int level, const char *line)
{
    int length = (int)strcspn(line, "\n");
    log_debug("libwebsockets (%d): %.*s", level, length, line);
}

static struct lws_context *create_context(struct nano_wire *wire)
{
    static const lws_retry_bo_t no_pings = {0}; /* nano_ws.c asks the node itself */
    void *loops[] = {node_loop_uv(wire->options.loop)};
    bool secure = wire->options.url.secure;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = PROTOCOLS,
        .options = LWS_SERVER_OPTION_LIBUV | (secure ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .foreign_loops = loops,
        .user = wire,
        .gid = -1,
        .uid = -1,
        .fd_limit_per_thread = FILES_MOST,
        .retry_and_idle_policy = &no_pings,
        .timeout_secs = NO_LIMIT_S,
        .connect_timeout_secs = NO_LIMIT_S,
        /* Else it takes the one of the environment, for every host, this one as well. */
        .http_proxy_address = "",
        .http_proxy_port = 0,
        /* Without a file it also trusts whatever lies in ../share. */
        .client_ssl_ca_filepath = secure ? wire->ca_file : NULL,
    };
    if (secure && wire->options.ca_file != NULL) {
        info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    }
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    return lws_create_context(&info);
}

static const char *check_header(const char *header)
{
    const char *colon = strchr(header, ':');
    for (const char *c = header; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return "the extra header holds a control character";
        }
    }
    return *header == '\0'                              ? NULL
           : colon == NULL || colon == header           ? "the extra header is not of the form `Name: value`"
           : strlen(header) + 1 > NANO_WIRE_HEADER_SIZE ? "the extra header is longer than 1,024 bytes"
                                                        : NULL;
}

struct nano_wire *nano_wire_open(const struct nano_wire_options *options, char error[NANO_WIRE_ERROR_SIZE])
{
    assert(node_loop_is_mine(options->loop) && options->message_most > 0 && options->patience_ms > 0);
    const char *ca_file = options->ca_file != NULL ? options->ca_file : SYSTEM_CA_FILE;
    const char *wrong = check_header(options->header != NULL ? options->header : "");
    struct nano_wire *wire = cs_alloc(sizeof(*wire));
    if (wrong == NULL && options->url.secure && access(ca_file, R_OK) != 0) {
        wrong = "wss:// needs the certificates to trust: install ca-certificates";
    }
    wire->options = *options;
    snprintf(wire->header, sizeof(wire->header), "%s", options->header != NULL ? options->header : "");
    snprintf(wire->ca_file, sizeof(wire->ca_file), "%s", ca_file);
    wire->reading = true;
    wire->context = wrong == NULL ? create_context(wire) : NULL;
    if (wire->context == NULL) {
        snprintf(error, NANO_WIRE_ERROR_SIZE, "%s",
                 wrong != NULL ? wrong
                               : "libwebsockets does not start: is libwebsockets-evlib-uv installed?");
        free(wire);
        return NULL;
    }
    uv_timer_init(node_loop_uv(options->loop), &wire->step);
    wire->step.data = wire;
    return wire;
}

void nano_wire_stop(struct nano_wire *wire)
{
    assert(node_loop_is_mine(wire->options.loop) && wire->state != STATE_STOPPED);
    wire->state = STATE_STOPPED;
    if (wire->lookup != NULL) {
        nano_lookup_forget(wire->lookup);
    }
    uv_close((uv_handle_t *)&wire->step, NULL);
    lws_context_destroy(wire->context);
}

void nano_wire_close(struct nano_wire *wire)
{
    assert(wire->state == STATE_STOPPED);
    lws_context_destroy(wire->context); /* the second half, now that its handles are closed */
    drop_buffers(wire);
    free(wire);
}
