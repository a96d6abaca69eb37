#define LOG_MODULE "push"
#include "push/session.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device.h"
#include "push/legacy.h"
#include "push/legacy_frames.h"
#include "push/session_state.h"
#include "push/tally.h"
#include "push/upgrade.h"
#include "push/waiting.h"

#define END_PATIENCE_S 3   /* for the close frame to leave, and its answer to come */
#define RX_BUFFER_SIZE 512 /* what libwebsockets keeps a connection for receiving */

/* ---- what a protocol sees ------------------------------------------------------------------------------ */

struct push *session_push(const struct session *session)
{
    return session->push;
}

uint64_t session_handle(const struct session *session)
{
    return session->handle;
}

struct lws *session_wsi(const struct session *session)
{
    return session->wsi;
}

bool session_is_private(const struct session *session)
{
    return session->private;
}

void session_end(struct session *session, uint16_t code, const char *reason)
{
    assert(session->end_code == 0 && code != 0);
    session->end_code = code;
    session->end_reason = reason;
    session_set_reading(session,
                        true); /* what still comes is dropped, but the peer's close frame has to be seen */
    wheel_clear(&session->silence);
    session->ping_wanted = false;
    session_set_timeout(session, END_PATIENCE_S);
    session_write_soon(session);
}

void session_set_reading(struct session *session, bool reading)
{
    if (session->reading != reading) {
        session->reading = reading;
        lws_rx_flow_control(session->wsi, reading ? 1 : 0);
    }
}

/*
 * The close frame goes out only if the wsi is closed while nothing is under way, and from a timer: Debian's libwebsockets 4.1.6 is built
 * with _DEBUG, where a close that any other callback asks for is done twice on libuv, and the second one cuts the connection
 * (lws_service_fd_tsi, "uv repeat test").
 */
void session_close_soon(struct session *session)
{
    session->over = true;
    wheel_clear(&session->timeout);
    wheel_clear(&session->silence);
    lws_set_timer_usecs(session->wsi, 1);
    push_wake(session->push); /* libwebsockets arms its own timers only after an event of its own */
}

static void on_timeout(struct wheel_timer *timer)
{
    struct session *session = (struct session *)((char *)timer - offsetof(struct session, timeout));
    if (session->end_code == 0) {
        session->protocol->timeout(session->state);
    } else if (!session->over) {
        session_close_soon(session); /* the queue did not drain in time */
    }
}

void session_set_timeout(struct session *session, uint32_t seconds)
{
    session_set_timeout_ms(session, seconds * 1000);
}

void session_set_timeout_ms(struct session *session, uint32_t ms)
{
    wheel_clear(&session->timeout);
    if (ms != 0) {
        push_set_timer(session->push, &session->timeout, ms, on_timeout);
    }
}

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

uint64_t session_silent_ms(const struct session *session)
{
    return now_ms() - session->heard_ms;
}

static void on_silence(struct wheel_timer *timer)
{
    struct session *session = (struct session *)((char *)timer - offsetof(struct session, silence));
    if (session->pinged) {
        session_close_soon(session);
        return;
    }
    session->pinged = session->ping_wanted = true;
    push_set_timer(session->push, timer, (uint64_t)session->push->options.ping_timeout_s * 1000, on_silence);
    session_write_soon(session);
}

void session_excuse_silence(struct session *session)
{
    session->pinged = false;
    if (session->end_code == 0 && !session->over) {
        push_set_timer(session->push, &session->silence,
                       (uint64_t)session->push->options.ping_interval_s * 1000, on_silence);
    }
}

/* ---- the WebSocket ------------------------------------------------------------------------------------- */

static struct session *open_session(struct push *push, struct lws *wsi,
                                    const struct session_protocol *protocol)
{
    struct session *session = cs_alloc(sizeof(*session));
    session->push = push;
    session->wsi = wsi;
    session->protocol = protocol;
    session->reading = true;
    waiting_upgraded(wsi);
    session->heard_ms = now_ms();
    session_excuse_silence(session);
    struct sockaddr_storage address;
    session->loopback = upgrade_peer(wsi, &address) && tally_is_loopback(&address);
    session->private = session->loopback || lws_is_ssl(wsi);
    memcpy(&session->peer, &address, sizeof(session->peer));
    sessions_enter(push->sessions, session);
    session->state = protocol->open(session);
    return session;
}

static void close_session(struct session *session)
{
    struct push *push = session->push;
    session->protocol->close(session->state);
    wheel_clear(&session->timeout);
    wheel_clear(&session->silence);
    sessions_leave(push, session);
    session_forget_writing(session);
    free(session->arriving);
    free(session);
    if (push->listener == NULL) {
        push_wake(push); /* it may have been the last one that stopping waits for */
    }
}

static void give_reason(struct session *session)
{
    char reason[32];
    size_t length = strlen(session->end_reason);
    assert(length < sizeof(reason));
    memcpy(reason, session->end_reason, length);
    lws_close_reason(session->wsi, (enum lws_close_status)session->end_code, (unsigned char *)reason, length);
}

static void take_message(struct session *session, const char *text, size_t length)
{
    session->protocol->message(session->state, text, length);
}

static void read_some(struct session *session, const char *bytes, size_t length)
{
    if (session->end_code != 0 || session->over) {
        return;
    }
    size_t rest = lws_remaining_packet_payload(session->wsi);
    if (!session->protocol->binary_too && lws_frame_is_binary(session->wsi)) {
        session->protocol->not_text(session->state);
        return;
    }
    const struct push_options *options = &session->push->options;
    size_t most = session->protocol->message_most != NULL ? session->protocol->message_most(options)
                                                          : options->frame_most;
    if (rest > most || session->arrived + length + rest > most) {
        session->protocol->too_big(session->state);
        return;
    }
    bool whole = lws_is_final_fragment(session->wsi) != 0;
    if (whole && session->arriving == NULL) {
        take_message(session, length > 0 ? bytes : "", length);
        return;
    }
    if (session->arriving == NULL || length > 0) {
        session->arriving = cs_realloc(session->arriving, session->arrived + length + 1);
    }
    if (length > 0) {
        memcpy(session->arriving + session->arrived, bytes, length);
        session->arrived += (uint32_t)length;
    }
    if (whole) {
        char *message = session->arriving;
        size_t size = session->arrived;
        session->arriving = NULL;
        session->arrived = 0;
        take_message(session, message, size);
        free(message);
    }
}

/* A session's own callback; `user` holds its pointer. */
static int on_session(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct session **held = user;
    struct push *push = lws_context_user(lws_get_context(wsi));
    /* Connections that are no session yet come here too: libwebsockets binds them to the default subprotocol (push.c). */
    bool is_session = held != NULL && *held != NULL;
    /* The reasons are libwebsockets' and many: this switch names those that matter. */
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_HTTP:
        return upgrade_callback(wsi, reason, user, in, length);
    case LWS_CALLBACK_TIMER:
        if (is_session && (*held)->closing) {
            give_reason(*held);
        }
        return is_session && (*held)->over ? -1 : 0;
    case LWS_CALLBACK_ESTABLISHED: {
        const struct session_protocol *protocol = upgrade_protocol(wsi);
        assert(held != NULL && protocol != NULL);
        *held = open_session(push, wsi, protocol);
        session_write_now(*held);
        upgrade_done(wsi);
        return 0;
    }
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return upgrade_is_for(wsi, lws_get_protocol(wsi)->name) ? 0 : 1;
    case LWS_CALLBACK_RECEIVE_PONG:
        assert(is_session);
        (*held)->heard_ms = now_ms();
        session_excuse_silence(*held);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        assert(is_session);
        (*held)->heard_ms = now_ms();
        read_some(*held, in, length);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (is_session) {
            session_unchoked(*held);
        }
        return 0;
    case LWS_CALLBACK_CLOSED:
        if (is_session) {
            close_session(*held);
            *held = NULL;
        }
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols PROTOCOLS[] = {
    {.name = "http", .callback = upgrade_callback},
    {.name = DEVICE_SUBPROTOCOL,
     .callback = on_session,
     .per_session_data_size = sizeof(struct session *),
     .rx_buffer_size = RX_BUFFER_SIZE,
     .tx_packet_size = SESSION_WRITE_MOST},
    {.name = LEGACY_SUBPROTOCOL,
     .callback = on_session,
     .per_session_data_size = sizeof(struct session *),
     .rx_buffer_size = RX_BUFFER_SIZE,
     .tx_packet_size = SESSION_WRITE_MOST},
    {.name = NULL},
};

const struct lws_protocols *session_protocols(void)
{
    return PROTOCOLS;
}
