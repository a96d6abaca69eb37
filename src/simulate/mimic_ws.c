#include "simulate/mimic_ws.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/mimic_message.h"
#include "simulate/mimic_session.h"

#define LOG_MODULE "simulate"

#define RX_BUFFER_SIZE 4096
#define TX_PACKET_SIZE 4096
#define GOODBYE_MS     1000 /* for the close frames to leave, and their answers to come */

struct mimic_ws {
    struct mimic_ws_options options;
    struct net_address address;
    uv_tcp_t *listening; /* NULL: not */
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct mimic_session *first, *last;
    size_t count;
};

/* ---- sessions ------------------------------------------------------------------------------------------ */

static struct mimic_session *open_session(struct mimic_ws *ws, struct lws *wsi)
{
    struct mimic_session *session = cs_alloc(sizeof(*session));
    mimic_session_init(session, wsi);
    session->before = ws->last;
    *(ws->last != NULL ? &ws->last->after : &ws->first) = session;
    ws->last = session;
    ws->count++;
    ws->options.counts->ws_opened++;
    return session;
}

static void close_session(struct mimic_ws *ws, struct mimic_session *session)
{
    *(session->before != NULL ? &session->before->after : &ws->first) = session->after;
    *(session->after != NULL ? &session->after->before : &ws->last) = session->before;
    ws->count--;
    mimic_session_fini(session);
    free(session);
}

/* The peer sees the connection end, without a close frame; we see it at the loop's next turn. */
static void cut(const struct mimic_session *session)
{
    shutdown(lws_get_socket_fd(session->wsi), SHUT_RDWR);
}

void mimic_ws_cut(struct mimic_ws *ws)
{
    for (struct mimic_session *session = ws->first; session != NULL; session = session->after) {
        cut(session);
    }
}

/* A close frame leaves only when the connection is closed from a timer (push/session.c says why). */
void mimic_ws_say_goodbye(struct mimic_ws *ws)
{
    for (struct mimic_session *session = ws->first; session != NULL; session = session->after) {
        if (!session->leaving) {
            session->leaving = true;
            lws_set_timer_usecs(session->wsi, 1);
        }
    }
    lws_cancel_service(ws->context); /* libwebsockets arms its timers only after an event of its own */
}

static int leave(const struct mimic_session *session)
{
    unsigned char reason[] = "Shutting down";
    lws_close_reason(session->wsi, LWS_CLOSE_STATUS_NORMAL, reason, sizeof(reason) - 1);
    return -1;
}

/* ---- libwebsockets ------------------------------------------------------------------------------------- */

static void receive(struct mimic_ws *ws, struct mimic_session *session, const char *bytes, size_t length)
{
    bool last = lws_is_final_fragment(session->wsi) != 0 && lws_remaining_packet_payload(session->wsi) == 0;
    bool silent = faults_get(ws->options.faults, FAULT_WS_STALL) != 0;
    bool no_update = faults_get(ws->options.faults, FAULT_WS_NO_UPDATE) != 0;
    if (!mimic_session_receive(session, bytes, length, last, silent, no_update)) {
        cut(session);
    }
}

/* `user` holds the session's pointer. */
static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct mimic_session **held = user;
    struct mimic_ws *ws = lws_context_user(lws_get_context(wsi));
    struct mimic_session *session = held != NULL ? *held : NULL;
    /* The reasons are libwebsockets' and many: this switch names those that matter. */
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP: /* no upgrade */
        lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        return 0;
    case LWS_CALLBACK_ESTABLISHED:
        assert(held != NULL);
        *held = open_session(ws, wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        assert(session != NULL);
        receive(ws, session, in, length);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (session != NULL && !mimic_session_write(session)) {
            cut(session);
        }
        return 0;
    case LWS_CALLBACK_TIMER:
        return session != NULL && session->leaving ? leave(session) : 0;
    case LWS_CALLBACK_CLOSED:
        if (session != NULL) {
            close_session(ws, session);
            *held = NULL;
        }
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols PROTOCOLS[] = {
    {.name = "nano",
     .callback = on_event,
     .per_session_data_size = sizeof(struct mimic_session *),
     .rx_buffer_size = RX_BUFFER_SIZE,
     .tx_packet_size = TX_PACKET_SIZE},
    {.name = NULL},
};

static void on_library_log(int level, const char *line)
{
    int length = (int)strcspn(line, "\n");
    log_debug("libwebsockets (%d): %.*s", level, length, line);
}

static struct lws_context *create_context(struct mimic_ws *ws)
{
    static const lws_retry_bo_t no_pings = {0}; /* a node sends none */
    void *loops[] = {ws->options.loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = PROTOCOLS,
        .options = LWS_SERVER_OPTION_LIBUV,
        .foreign_loops = loops,
        .user = ws,
        .gid = -1,
        .uid = -1,
        .retry_and_idle_policy = &no_pings,
        .server_string = "Boost.Beast/345",
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    return lws_create_context(&info);
}

/* ---- the port ------------------------------------------------------------------------------------------ */

static void on_handle_closed(uv_handle_t *handle)
{
    free(handle);
}

static void adopt(struct mimic_ws *ws, int fd)
{
    const struct lws_adopt_desc adopted = {
        .vh = ws->vhost, .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP, .fd = {.sockfd = fd}};
    if (lws_adopt_descriptor_vhost_via_info(&adopted) == NULL) {
        log_warn("libwebsockets does not take a connection"); /* and has closed it */
    }
}

/* libuv accepts, and libwebsockets gets the socket. */
static void on_connection(uv_stream_t *listening, int status)
{
    struct mimic_ws *ws = listening->data;
    if (status != 0) {
        return;
    }
    uv_tcp_t *tcp = cs_alloc(sizeof(*tcp));
    uv_tcp_init(ws->options.loop, tcp);
    uv_os_fd_t fd;
    if (uv_accept(listening, (uv_stream_t *)tcp) == 0 && uv_fileno((uv_handle_t *)tcp, &fd) == 0) {
        if (faults_get(ws->options.faults, FAULT_WS_REFUSE) != 0) {
            ws->options.counts->ws_refused++;
        } else {
            uv_tcp_nodelay(tcp, 1);
            adopt(ws, dup(fd));
        }
    }
    uv_close((uv_handle_t *)tcp, on_handle_closed);
}

void mimic_ws_cut_port(struct mimic_ws *ws)
{
    if (ws->listening != NULL) {
        uv_close((uv_handle_t *)ws->listening, on_handle_closed);
        ws->listening = NULL;
    }
}

enum cs_err mimic_ws_listen(struct mimic_ws *ws, char error[NET_ERROR_SIZE])
{
    assert(ws->listening == NULL);
    ws->listening = cs_alloc(sizeof(*ws->listening));
    enum cs_err err = net_listen(ws->options.loop, ws->listening, &ws->address, on_connection, error);
    ws->listening->data = ws;
    if (err != CS_OK) {
        mimic_ws_cut_port(ws);
    }
    return err;
}

const struct net_address *mimic_ws_address(const struct mimic_ws *ws)
{
    return &ws->address;
}

size_t mimic_ws_session_count(const struct mimic_ws *ws)
{
    return ws->count;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

struct mimic_ws *mimic_ws_open(const struct mimic_ws_options *options)
{
    struct mimic_ws *ws = cs_alloc(sizeof(*ws));
    ws->options = *options;
    ws->address = *options->address;
    ws->context = create_context(ws);
    ws->vhost = ws->context != NULL ? lws_get_vhost_by_name(ws->context, "default") : NULL;
    if (ws->vhost == NULL) {
        if (ws->context != NULL) {
            lws_context_destroy(ws->context);
        }
        free(ws);
        return NULL;
    }
    return ws;
}

static void on_goodbye_over(uv_timer_t *timer)
{
    bool *over = timer->data;
    *over = true;
}

void mimic_ws_stop(struct mimic_ws *ws)
{
    bool over = false;
    uv_timer_t *timer = cs_alloc(sizeof(*timer));
    uv_timer_init(ws->options.loop, timer);
    timer->data = &over;
    uv_timer_start(timer, on_goodbye_over, GOODBYE_MS, 0);
    mimic_ws_cut_port(ws);
    mimic_ws_say_goodbye(ws);
    while (ws->count > 0 && !over) {
        uv_run(ws->options.loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)timer, on_handle_closed);
    lws_context_destroy(
        ws->context); /* its handles close while the loop runs, and a second call frees the rest */
}

void mimic_ws_close(struct mimic_ws *ws)
{
    lws_context_destroy(ws->context);
    free(ws);
}

/* ---- what is told -------------------------------------------------------------------------------------- */

static bool is_local(void *context, const uint8_t account[32])
{
    return world_knows_key(context, account);
}

/* A session that reads too slowly is cut. */
static void send_to(struct mimic_ws *ws, struct mimic_session *session, const char *text)
{
    unsigned times = faults_strike(ws->options.faults, FAULT_REPEAT_WS) ? 2 : 1;
    for (unsigned i = 0; i < times; i++) {
        ws->options.counts->ws_messages++;
        if (!mimic_session_send(session, text)) {
            cut(session);
        }
    }
}

void mimic_ws_tell_block(struct mimic_ws *ws, struct world *world, uint32_t block)
{
    char *text = NULL;
    if (faults_get(ws->options.faults, FAULT_WS_STALL) != 0) {
        return;
    }
    for (struct mimic_session *session = ws->first; session != NULL; session = session->after) {
        if (session->blocks) {
            if (text == NULL) {
                text = mimic_message_unconfirmed(ledger_block(world_ledger(world), block), clock_wall_ms());
            }
            send_to(ws, session, text);
        }
    }
    free(text);
}

/*
 * One message with its block and one without serve everybody: they are shaped by the first session that wants one of the kind, as on
 * the node (listener::broadcast_confirmation; recorded as leak1-*, leak2-*).
 */
size_t mimic_ws_tell_confirmation(struct mimic_ws *ws, struct world *world, uint32_t block,
                                  enum world_why why)
{
    const struct ledger *ledger = world_ledger(world);
    const struct ledger_block *entry = ledger_block(ledger, block);
    const uint8_t *account = ledger_account(ledger, entry->account)->key;
    char *texts[2] = {NULL, NULL};
    size_t told = 0;
    if (faults_get(ws->options.faults, FAULT_WS_STALL) != 0) {
        return 0;
    }
    for (struct mimic_session *session = ws->first; session != NULL; session = session->after) {
        if (!session->confirmations || session->leaving) {
            continue;
        }
        const struct mimic_subscription *subscription = &session->subscription;
        bool with_block = subscription->include_block;
        char **text = &texts[with_block ? 1 : 0];
        if (*text == NULL) {
            *text = mimic_message_confirmation(ledger, entry, why, subscription, with_block, clock_wall_ms());
        }
        if (mimic_subscription_passes(subscription, entry, account, why, with_block, is_local, world)) {
            send_to(ws, session, *text);
            told++;
        }
    }
    free(texts[0]);
    free(texts[1]);
    return told;
}
