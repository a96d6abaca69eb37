#include "posix/link.h"

#include <assert.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "core/core.h"
#include "posix/lookup.h"
#include "posix/quirks.h"

#define LOG_MODULE     "meter"
#define RX_BUFFER_SIZE 4096
#define FILES_MOST     16 /* one connection, the one before it, the library's own */
#define CONNECT_MS     15000
#define PATIENCE_MS    1000 /* for the relay to answer our close frame */
#define NO_LIMIT_S     3600 /* we have our own */
#define QUEUE_SIZE     64   /* frames: as many as answers to one window of payments */
#define REASON_SIZE    101
#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define SUBPROTOCOL    "coinslot.v1"

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
    size_t length;
    unsigned char bytes[LWS_PRE + CORE_FRAME_SIZE];
};

struct link {
    struct link_options options;
    char ca_file[256];
    struct lws_context *context;
    struct lws *wsi;
    uv_timer_t step;  /* what libwebsockets must not be asked for from inside its own callbacks */
    uv_timer_t alive; /* the limit to connect; then silence */
    enum state state;
    struct lookup *lookup;
    char addresses[LOOKUP_MOST][LOOKUP_TEXT_SIZE];
    size_t address_count, tried;
    bool was_open, hung_up, pinged, ping_wanted;
    int kills;
    unsigned code; /* of the close frame that came */
    char why[LINK_WHY_SIZE];
    unsigned end_code; /* of ours */
    char end_reason[REASON_SIZE];
    size_t first, count;
    struct outbound queue[QUEUE_SIZE];
    size_t arrived;
    bool too_long; /* the message that is arriving */
    char arriving[CORE_MESSAGE_SIZE];
};

static void on_step(uv_timer_t *timer);
static void on_alive(uv_timer_t *timer);

static void step_in(struct link *link, uint64_t ms)
{
    uv_timer_start(&link->step, on_step, ms, 0);
}

static void note_why(struct link *link, const char *why, size_t length)
{
    if (link->why[0] == '\0') {
        snprintf(link->why, sizeof(link->why), "%.*s", (int)strnlen(why, length), why);
    }
}

/* ---- from the loop ------------------------------------------------------------------------------------------------------ */

static void be_gone(struct link *link)
{
    uv_timer_stop(&link->alive);
    link->state = STATE_GONE;
    step_in(link, 0);
}

/* One address after the other; an error of the library's own shows at once, others by its callbacks. */
static void connect_next(struct link *link)
{
    const struct url *url = &link->options.url;
    link->state = STATE_CONNECTING;
    link->why[0] = '\0';
    struct lws_client_connect_info info = {
        .context = link->context,
        .address = link->addresses[link->tried++],
        .port = url->port,
        .ssl_connection = LCCSCF_HTTP_NO_FOLLOW_REDIRECT | (url->secure ? LCCSCF_USE_SSL : 0),
        .path = url->path,
        .host = url->authority,
        .protocol = SUBPROTOCOL,
        .alpn = "http/1.1",
        .pwsi = &link->wsi,
    };
    if (lws_client_connect_via_info(&info) == NULL) {
        link->wsi = NULL;
        note_why(link, "there is no way to its address", LINK_WHY_SIZE);
        be_gone(link);
    }
}

static void on_lookup(void *context, char (*addresses)[LOOKUP_TEXT_SIZE], size_t count, const char *why)
{
    struct link *link = context;
    link->lookup = NULL;
    link->address_count = count;
    if (count == 0) {
        note_why(link, why, LINK_WHY_SIZE);
        be_gone(link);
        return;
    }
    memcpy(link->addresses, addresses, count * sizeof(link->addresses[0]));
    connect_next(link);
}

void link_connect(struct link *link)
{
    assert(link->state == STATE_IDLE);
    link->state = STATE_LOOKUP;
    link->hung_up = link->was_open = link->pinged = link->ping_wanted = link->too_long = false;
    link->kills = 0;
    link->code = 0;
    link->tried = link->address_count = link->first = link->count = link->arrived = 0;
    link->why[0] = '\0';
    uv_timer_start(&link->alive, on_alive, CONNECT_MS, 0);
    link->lookup = lookup_start(link->options.loop, link->options.url.host, on_lookup, link);
    if (link->lookup == NULL) {
        note_why(link, "its host is no name of a host", LINK_WHY_SIZE);
        be_gone(link);
    }
}

void link_hang_up(struct link *link, unsigned code, const char *reason)
{
    if (link->hung_up || link->state == STATE_IDLE || link->state == STATE_STOPPED) {
        return;
    }
    link->hung_up = true;
    link->end_code = code;
    snprintf(link->end_reason, sizeof(link->end_reason), "%s", reason);
    if (link->state == STATE_LOOKUP) {
        if (link->lookup != NULL) {
            lookup_forget(link->lookup);
            link->lookup = NULL;
        }
        be_gone(link);
    } else if (link->state != STATE_GONE) {
        link->state = STATE_HUNG_UP;
        uv_timer_stop(&link->alive);
        step_in(link, 0);
    }
}

/*
 * Once politely, with a close frame, and once more for good when that took too long. Asked for by returning -1 from a callback,
 * Debian's libwebsockets 4.1.6 closes twice on libuv, and the frame is lost.
 */
static void kill_connection(struct link *link)
{
    if (link->kills++ == 0 && link->was_open) {
        lws_close_reason(link->wsi, (enum lws_close_status)link->end_code, (unsigned char *)link->end_reason,
                         strlen(link->end_reason));
    }
    step_in(link, PATIENCE_MS);
    lws_set_timeout(link->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_SYNC);
}

static void on_step(uv_timer_t *timer)
{
    struct link *link = timer->data;
    if (link->state == STATE_HUNG_UP) {
        kill_connection(link);
        return;
    }
    assert(link->state == STATE_GONE);
    if (!link->hung_up && !link->was_open && link->tried < link->address_count) {
        connect_next(link);
        return;
    }
    link->state = STATE_IDLE;
    link->options.closed(link->options.context, link->code, link->why);
}

/* ---- silence -------------------------------------------------------------------------------------------------------------- */

static void hear(struct link *link)
{
    link->pinged = false;
    uv_timer_start(&link->alive, on_alive, 1000 * (uint64_t)link->options.ping_s, 0);
}

static void on_alive(uv_timer_t *timer)
{
    struct link *link = timer->data;
    if (link->state == STATE_OPEN && !link->pinged) {
        link->pinged = link->ping_wanted = true;
        uv_timer_start(&link->alive, on_alive, 1000 * (uint64_t)link->options.pong_s, 0);
        lws_callback_on_writable(link->wsi);
        return;
    }
    note_why(link, link->state == STATE_OPEN ? "it is silent" : "it does not answer", LINK_WHY_SIZE);
    link_hang_up(link, LWS_CLOSE_STATUS_GOINGAWAY, "silent");
}

/* ---- from libwebsockets ------------------------------------------------------------------------------------------------- */

static void on_destroyed(struct link *link, const struct lws *wsi)
{
    quirks_close_orphans(link->options.loop, wsi);
    if (wsi == link->wsi) {
        link->wsi = NULL;
        if (link->state != STATE_STOPPED) {
            note_why(link, "the connection broke", LINK_WHY_SIZE);
            be_gone(link);
        }
    }
}

/* One frame a call. */
static void write_some(struct link *link)
{
    int written, wanted;
    if (link->state != STATE_OPEN) {
        return;
    }
    if (link->ping_wanted) {
        unsigned char ping[LWS_PRE + 1] = {[LWS_PRE] =
                                               '?'}; /* of a pong without a payload we would not hear */
        link->ping_wanted = false;
        wanted = 1;
        written = lws_write(link->wsi, ping + LWS_PRE, 1, LWS_WRITE_PING);
    } else if (link->count > 0) {
        struct outbound *outbound = &link->queue[link->first];
        link->first = (link->first + 1) % QUEUE_SIZE;
        link->count--;
        wanted = (int)outbound->length;
        written = lws_write(link->wsi, outbound->bytes + LWS_PRE, outbound->length, LWS_WRITE_TEXT);
    } else {
        return;
    }
    if (written < wanted) {
        note_why(link, "it cannot be written to", LINK_WHY_SIZE);
        link_hang_up(link, LWS_CLOSE_STATUS_GOINGAWAY, "");
    } else if (link->count > 0) {
        lws_callback_on_writable(link->wsi);
    }
}

static void read_some(struct link *link, const char *bytes, size_t length)
{
    if (link->state != STATE_OPEN) {
        return;
    }
    hear(link);
    bool whole = lws_is_final_fragment(link->wsi) != 0 && lws_remaining_packet_payload(link->wsi) == 0;
    if (link->arrived + length > sizeof(link->arriving) || lws_frame_is_binary(link->wsi)) {
        link->too_long = true;
    } else if (length > 0) {
        memcpy(link->arriving + link->arrived, bytes, length);
        link->arrived += length;
    }
    if (whole || link->too_long) {
        size_t size = link->arrived;
        bool bad = link->too_long;
        link->arrived = 0;
        link->too_long = false;
        link->options.message(link->options.context, bad ? NULL : link->arriving, bad ? 0 : size);
    }
}

/* `user` is not always ours: the one connection is the context's. */
static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    (void)user;
    char text[QUIRKS_TEXT_SIZE];
    struct link *link = lws_context_user(lws_get_context(wsi));
    if (reason == LWS_CALLBACK_WSI_DESTROY) {
        on_destroyed(link, wsi);
    }
    if (wsi != link->wsi || link->state == STATE_STOPPED) {
        return 0;
    }
    /* The reasons are libwebsockets' and many: this switch names those that matter. */
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        if (link->state == STATE_CONNECTING) {
            link->state = STATE_OPEN;
            link->was_open = true;
            hear(link);
            link->options.opened(link->options.context);
        }
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        read_some(link, in, length);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        if (link->state == STATE_OPEN) {
            hear(link);
        }
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        write_some(link);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        link->code = quirks_read_close(in, length, text);
        note_why(link, text, sizeof(text));
        return 0;
    case LWS_CALLBACK_OPENSSL_PERFORM_SERVER_CERT_VERIFICATION:
        if (length == 0) { /* OpenSSL's verdict on it; what libwebsockets says of that later is a number */
            note_why(link, "its certificate is not trusted, has expired, or is of another name",
                     LINK_WHY_SIZE);
        }
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        quirks_explain(wsi, in, length, text);
        note_why(link, text, sizeof(text));
        return 0;
    default:
        return 0;
    }
}

bool link_send(struct link *link, const char *text, size_t length)
{
    assert(length <= CORE_FRAME_SIZE);
    if (link->state != STATE_OPEN || link->count == QUEUE_SIZE) {
        return false;
    }
    struct outbound *outbound = &link->queue[(link->first + link->count++) % QUEUE_SIZE];
    outbound->length = length;
    memcpy(outbound->bytes + LWS_PRE, text, length);
    lws_callback_on_writable(link->wsi);
    return true;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static const struct lws_protocols PROTOCOLS[] = {
    {.name = SUBPROTOCOL, .callback = on_event, .rx_buffer_size = RX_BUFFER_SIZE},
    {.name = NULL},
};

static void on_library_log(int level, const char *line)
{
    int length = (int)strcspn(line, "\n");
    log_debug("libwebsockets (%d): %.*s", level, length, line);
}

static struct lws_context *create_context(struct link *link)
{
    static const lws_retry_bo_t no_pings = {0}; /* on_alive pings */
    void *loops[] = {link->options.loop};
    bool secure = link->options.url.secure;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = PROTOCOLS,
        .options = LWS_SERVER_OPTION_LIBUV | (secure ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .foreign_loops = loops,
        .user = link,
        .gid = -1,
        .uid = -1,
        .fd_limit_per_thread = FILES_MOST,
        .retry_and_idle_policy = &no_pings,
        .timeout_secs = NO_LIMIT_S,
        .connect_timeout_secs = NO_LIMIT_S,
        /* Else it takes the one of the environment, for every host. */
        .http_proxy_address = "",
        .http_proxy_port = 0,
        /* Without a file it also trusts whatever lies in ../share. */
        .client_ssl_ca_filepath = secure ? link->ca_file : NULL,
    };
    if (secure && link->options.ca_file[0] != '\0') {
        info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    }
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    return lws_create_context(&info);
}

struct link *link_open(const struct link_options *options, char error[LINK_ERROR_SIZE])
{
    struct link *link = cs_alloc(sizeof(*link));
    const char *ca_file = options->ca_file[0] != '\0' ? options->ca_file : SYSTEM_CA_FILE;
    link->options = *options;
    snprintf(link->ca_file, sizeof(link->ca_file), "%s", ca_file);
    if (options->url.secure && access(ca_file, R_OK) != 0) {
        snprintf(
            error, LINK_ERROR_SIZE,
            "wss:// needs the certificates to trust: install ca-certificates, or name the relay's own by --ca-file");
        free(link);
        return NULL;
    }
    link->context = create_context(link);
    if (link->context == NULL) {
        snprintf(error, LINK_ERROR_SIZE,
                 "libwebsockets does not start: is libwebsockets-evlib-uv installed?");
        free(link);
        return NULL;
    }
    uv_timer_init(options->loop, &link->step);
    uv_timer_init(options->loop, &link->alive);
    link->step.data = link->alive.data = link;
    return link;
}

void link_stop(struct link *link)
{
    link->state = STATE_STOPPED;
    if (link->lookup != NULL) {
        lookup_forget(link->lookup);
    }
    uv_close((uv_handle_t *)&link->step, NULL);
    uv_close((uv_handle_t *)&link->alive, NULL);
    lws_context_destroy(link->context);
}

void link_close(struct link *link)
{
    lws_context_destroy(link->context); /* the second half, now that its handles are closed */
    free(link);
}
