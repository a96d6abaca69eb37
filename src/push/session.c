#define LOG_MODULE "push"
#include "push/session.h"

#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device.h"
#include "push/legacy.h"
#include "push/legacy_frames.h"
#include "push/tally.h"
#include "push/upgrade.h"
#include "push/waiting.h"

#define END_PATIENCE_S 3   /* for the close frame to leave, and its answer to come */
#define RX_BUFFER_SIZE 512 /* what libwebsockets keeps a connection for receiving */
#define TX_PACKET_SIZE 4096

struct outbound {
    struct outbound *next;
    size_t length;
    unsigned char bytes[]; /* LWS_PRE of libwebsockets' own, then the text */
};

struct session {
    struct push *push;
    struct lws *wsi;
    const struct session_protocol *protocol;
    void *state;
    uint64_t handle;
    uint64_t heard_ms; /* when something came last */
    struct outbound *first, *last;
    char *arriving; /* the fragments of a message so far, or NULL */
    uint32_t arrived;
    uint32_t queued;
    uint16_t end_code; /* 0: not ending */
    bool reading;
    bool pinged;      /* and no pong has come since */
    bool ping_wanted; /* it is still to be sent */
    bool over;        /* libwebsockets is about to close the connection */
    bool closing;     /* the close frame is all that is left to send */
    bool settled;     /* and counted among its peer's, unless that is loopback */
    bool loopback;
    struct wheel_timer timeout, silence;
    /* Whose; an IPv4 address fits too. Kept, for a socket that was reset does not know its peer any more. */
    struct sockaddr_in6 peer;
    bool private;
    const char *end_reason;
};

/* ---- the table ----------------------------------------------------------------------------------------- */

struct slot {
    struct session *session;
    uint32_t uses; /* so that a handle never comes again */
    uint32_t next_free;
};

struct sessions {
    uint32_t most, count, first_free;
    uint32_t settled, settled_most;
    struct slot slots[];
};

/* Whoever has not settled is among those that wait, so that there is a slot for everybody. */
struct sessions *sessions_open(const struct push_options *options)
{
    uint32_t most = options->sessions_most + options->waiting_most;
    struct sessions *sessions = cs_alloc(sizeof(*sessions) + most * sizeof(struct slot));
    sessions->most = most;
    sessions->settled_most = options->sessions_most;
    for (uint32_t i = 0; i < most; i++) {
        sessions->slots[i].next_free = i + 1;
    }
    return sessions;
}

void sessions_close(struct sessions *sessions)
{
    assert(sessions->count == 0 && sessions->settled == 0);
    free(sessions);
}

uint32_t sessions_count(const struct sessions *sessions)
{
    return sessions->count;
}

bool sessions_are_full(const struct push *push, const struct sockaddr_storage *address)
{
    uint32_t per_ip_most = push->options.sessions_per_ip_most;
    return push->sessions->settled >= push->sessions->settled_most ||
           (per_ip_most != 0 && !tally_is_loopback(address) &&
            tally_count(push->tally, address) >= per_ip_most);
}

static void take_slot(struct sessions *sessions, struct session *session)
{
    assert(sessions->count < sessions->most);
    uint32_t index = sessions->first_free;
    struct slot *slot = &sessions->slots[index];
    sessions->first_free = slot->next_free;
    slot->session = session;
    session->handle = (uint64_t)++slot->uses << 32 | index;
    sessions->count++;
}

static void leave_slot(struct sessions *sessions, const struct session *session)
{
    uint32_t index = (uint32_t)session->handle;
    sessions->slots[index].session = NULL;
    sessions->slots[index].next_free = sessions->first_free;
    sessions->first_free = index;
    sessions->count--;
}

void *session_find(struct push *push, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;
    assert(index < push->sessions->most);
    struct session *session = push->sessions->slots[index].session;
    return session != NULL && session->handle == handle ? session->state : NULL;
}

void sessions_stop_all(struct push *push)
{
    for (uint32_t i = 0; i < push->sessions->most; i++) {
        struct session *session = push->sessions->slots[i].session;
        if (session != NULL) {
            session->protocol->stop(session->state);
        }
    }
}

void sessions_tell_second(struct push *push)
{
    for (uint32_t i = 0; i < push->sessions->most; i++) {
        struct session *session = push->sessions->slots[i].session;
        if (session != NULL && session->protocol->second != NULL) {
            session->protocol->second(session->state);
        }
    }
}

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

uint32_t session_queued(const struct session *session)
{
    return session->queued;
}

void session_send(struct session *session, const char *text, size_t length)
{
    session_send_joined(session, text, length, "", 0);
}

void session_send_joined(struct session *session, const char *text, size_t length, const char *tail,
                         size_t tail_length)
{
    struct outbound *outbound = cs_alloc(sizeof(*outbound) + LWS_PRE + length + tail_length);
    outbound->length = length + tail_length;
    memcpy(outbound->bytes + LWS_PRE, text, length);
    memcpy(outbound->bytes + LWS_PRE + length, tail, tail_length);
    *(session->last != NULL ? &session->last->next : &session->first) = outbound;
    session->last = outbound;
    session->queued++;
    lws_callback_on_writable(session->wsi);
}

static void drop_first(struct session *session)
{
    struct outbound *outbound = session->first;
    session->first = outbound->next;
    if (session->first == NULL) {
        session->last = NULL;
    }
    session->queued--;
    free(outbound);
}

void session_drop_queue(struct session *session)
{
    while (session->first != NULL) {
        drop_first(session);
    }
}

void session_end(struct session *session, uint16_t code, const char *reason)
{
    assert(session->end_code == 0 && code != 0);
    session->end_code = code;
    session->end_reason = reason;
    session_set_reading(session,
                        true); /* what still comes is dropped, but the peer's close frame has to be seen */
    wheel_clear(&session->silence);
    session_set_timeout(session, END_PATIENCE_S);
    lws_callback_on_writable(session->wsi);
}

static struct sockaddr_storage peer_of(const struct session *session)
{
    struct sockaddr_storage address = {0};
    memcpy(&address, &session->peer, sizeof(session->peer));
    return address;
}

bool session_settle(struct session *session)
{
    struct push *push = session->push;
    struct sockaddr_storage address = peer_of(session);
    assert(!session->settled);
    if (sessions_are_full(push, &address)) {
        return false;
    }
    session->settled = true;
    push->sessions->settled++;
    if (!session->loopback) {
        tally_add(push->tally, &address);
    }
    waiting_leave(push, session->wsi);
    return true;
}

static void unsettle(struct session *session)
{
    if (!session->settled) {
        return;
    }
    struct sockaddr_storage address = peer_of(session);
    session->push->sessions->settled--;
    if (!session->loopback) {
        tally_remove(session->push->tally, &address);
    }
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
static void close_soon(struct session *session)
{
    session->over = true;
    wheel_clear(&session->timeout);
    wheel_clear(&session->silence);
    lws_set_timer_usecs(session->wsi, 1);
}

static void on_timeout(struct wheel_timer *timer)
{
    struct session *session = (struct session *)((char *)timer - offsetof(struct session, timeout));
    if (session->end_code == 0) {
        session->protocol->timeout(session->state);
    } else if (!session->over) {
        close_soon(session); /* the queue did not drain in time */
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
        close_soon(session);
        return;
    }
    session->pinged = session->ping_wanted = true;
    push_set_timer(session->push, timer, (uint64_t)session->push->options.ping_timeout_s * 1000, on_silence);
    lws_callback_on_writable(session->wsi);
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
    take_slot(push->sessions, session);
    session->state = protocol->open(session);
    return session;
}

static void close_session(struct session *session)
{
    struct push *push = session->push;
    session->protocol->close(session->state);
    wheel_clear(&session->timeout);
    wheel_clear(&session->silence);
    unsettle(session);
    leave_slot(push->sessions, session);
    session_drop_queue(session);
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

/* One frame a call: the loop is shared. */
static int write_some(struct session *session)
{
    if (session->ping_wanted && session->end_code == 0) {
        session->ping_wanted = false;
        unsigned char ping[LWS_PRE + 1] = {[LWS_PRE] =
                                               '?'}; /* of a pong without a payload we would not hear */
        if (lws_write(session->wsi, ping + LWS_PRE, 1, LWS_WRITE_PING) < 1) {
            return -1;
        }
        if (session->first != NULL) {
            lws_callback_on_writable(session->wsi);
        }
        return 0;
    }
    if (session->first != NULL) {
        struct outbound *outbound = session->first;
        int written = lws_write(session->wsi, outbound->bytes + LWS_PRE, outbound->length, LWS_WRITE_TEXT);
        if (written < (int)outbound->length) {
            return -1;
        }
        drop_first(session);
        session->protocol->drained(session->state);
        if (session->first != NULL || session->end_code != 0) {
            lws_callback_on_writable(session->wsi);
        }
        return 0;
    }
    if (session->end_code != 0 && !session->over) {
        session->closing = true;
        close_soon(session);
    }
    return 0;
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
        return is_session ? write_some(*held) : 0;
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
     .tx_packet_size = TX_PACKET_SIZE},
    {.name = LEGACY_SUBPROTOCOL,
     .callback = on_session,
     .per_session_data_size = sizeof(struct session *),
     .rx_buffer_size = RX_BUFFER_SIZE,
     .tx_packet_size = TX_PACKET_SIZE},
    {.name = NULL},
};

const struct lws_protocols *session_protocols(void)
{
    return PROTOCOLS;
}
