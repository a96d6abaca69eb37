#define LOG_MODULE "push"
#include "push/legacy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "push/door.h"
#include "push/heard.h"
#include "push/legacy_frames.h"
#include "push/places.h"

#define CLOSE_GOING_AWAY 1001 /* RFC 6455, section 7.4.1 */
#define CLOSE_POLICY     1008
#define CLOSE_TOO_BIG    1009
#define CLOSE_TRY_LATER  1013 /* IANA's registry */

struct legacy_server {
    struct push *push;
    struct places *places;
    _Atomic int64_t sessions; /* that were let in */
    metrics_count *forwarded, *refused_handshake, *refused_key, *refused_message;
};

struct legacy {
    struct place_owner places; /* first */
    struct session *session;
    struct legacy_server *server;
    bool admitted;
    bool over;                      /* an end is under way: whatever comes is dropped */
    uint8_t token[STORE_HASH_SIZE]; /* that it was let in with; legacy = key */
};

/* ---- answers and ends -------------------------------------------------------------------------------------------- */

static void end(struct legacy *legacy, uint16_t code, const char *reason)
{
    if (legacy->over) {
        return;
    }
    log_debug("legacy session %" PRIu64 " ends: %s", session_handle(legacy->session), reason);
    legacy->over = true;
    session_end(legacy->session, code, reason);
}

/* Closes a client that does not read. */
static bool has_room(struct legacy *legacy)
{
    if (session_queued(legacy->session) < LEGACY_QUEUE_MOST) {
        return true;
    }
    end(legacy, CLOSE_TRY_LATER, "slow");
    return false;
}

static void complain(struct legacy *legacy, const char *error)
{
    if (legacy->over || !has_room(legacy)) {
        return;
    }
    char *text = legacy_print_error(error);
    session_send(legacy->session, text, strlen(text));
    free(text);
}

static void refuse_key(struct legacy *legacy, const char *error)
{
    metrics_add(legacy->server->refused_key, 1);
    complain(legacy, error);
    end(legacy, CLOSE_POLICY, "unauthorized");
}

static void on_listen_failed(struct place_owner *owner, enum cs_err err)
{
    struct legacy *legacy = (struct legacy *)owner;
    complain(legacy, err == CS_EFULL ? "the relay's disk is full; connect again later"
                                     : "the relay is too busy; connect again in a few seconds");
    end(legacy, CLOSE_TRY_LATER, "busy");
}

/* ---- what the store tells ---------------------------------------------------------------------------------------- */

struct forwarded {
    const struct payment *payment;
    const char *text; /* NULL: still to be built */
    size_t length;
    char *built;
};

static void forward(struct place_owner *owner, void *context)
{
    struct legacy *legacy = (struct legacy *)owner;
    struct forwarded *forwarded = context;
    if (legacy->over || !has_room(legacy)) {
        return;
    }
    if (forwarded->text == NULL) {
        forwarded->text = forwarded->built = legacy_print_payment(forwarded->payment);
        forwarded->length = strlen(forwarded->built);
    }
    session_send(legacy->session, forwarded->text, forwarded->length);
    metrics_add(legacy->server->forwarded, 1);
    if (session_queued(legacy->session) >= LEGACY_QUEUE_MOST / 2) {
        heard_slow_down(legacy->server->push->heard, legacy->session);
    }
}

/* What a node called back with goes out as it came; what came otherwise is given that form. */
void legacy_take_heard(struct legacy_server *server, const struct store_heard *heard)
{
    struct forwarded forwarded = {.payment = heard->payment};
    if (heard->notice_size > 0 && heard->payment->source == SOURCE_CALLBACK) {
        forwarded.text = heard->notice;
        forwarded.length = heard->notice_size;
    }
    places_tell(server->places, &heard->payment->to, forward, &forwarded);
    free(forwarded.built);
}

void legacy_on_wake(struct legacy_server *server)
{
    if (places_are_waiting(server->places)) {
        push_retry_soon(server->push);
    }
}

bool legacy_retry_all(struct legacy_server *server)
{
    places_retry(server->places);
    return !places_are_waiting(server->places);
}

/* ---- the client speaks ------------------------------------------------------------------------------------------- */

/* For how long a client may be deaf before the next look: the ping has gone out, and libwebsockets has not given up yet. */
static uint32_t look_after_ms(const struct push_options *options)
{
    return options->ping_interval_s * 1000 + options->ping_timeout_s * 500;
}

static bool let_in(struct legacy *legacy, const struct legacy_request *request)
{
    const struct push *push = legacy->server->push;
    if (push->options.legacy == POLICY_KEY && !door_take_key(push, request->api_key, legacy->token)) {
        refuse_key(legacy, "\"api_key\" has to be a token of this relay: coinslot token create");
        return false;
    }
    if (!legacy->admitted) {
        if (!session_settle(legacy->session)) {
            metrics_add(push->counters.refused_full, 1);
            complain(legacy, "there are too many sessions; connect again later");
            end(legacy, CLOSE_TRY_LATER, "too_many");
            return false;
        }
        legacy->admitted = true;
        atomic_fetch_add_explicit(&legacy->server->sessions, 1, memory_order_relaxed);
        session_set_timeout_ms(legacy->session, look_after_ms(&push->options));
    }
    return true;
}

static void listen_to(struct legacy *legacy, const struct address *address)
{
    struct legacy_server *server = legacy->server;
    uint32_t most = server->push->options.legacy_addresses_most;
    if (legacy->places.count >= most && !places_has(server->places, &legacy->places, address)) {
        char error[LEGACY_ERROR_SIZE];
        snprintf(error, sizeof(error),
                 "a connection listens to %" PRIu32 " addresses at most; open another one", most);
        metrics_add(server->refused_message, 1);
        complain(legacy, error);
        return;
    }
    enum cs_err err = places_add(server->places, &legacy->places, address);
    if (err != CS_OK) {
        on_listen_failed(&legacy->places, err);
    } else if (places_are_waiting(server->places)) {
        push_retry_soon(server->push);
    }
}

static void legacy_message(void *state, const char *text, size_t length)
{
    struct legacy *legacy = state;
    if (legacy->over) {
        return;
    }
    struct legacy_request request;
    char error[LEGACY_ERROR_SIZE];
    enum legacy_message message = legacy_read(text, length, &request, error);
    if (message == LEGACY_NOTHING || (message == LEGACY_REQUEST && !let_in(legacy, &request))) {
        return;
    }
    if (error[0] != '\0') {
        metrics_add(legacy->server->refused_message, 1);
        complain(legacy, error);
        return;
    }
    listen_to(legacy, &request.address);
}

static void legacy_timeout(void *state)
{
    struct legacy *legacy = state;
    const struct push_options *options = &legacy->server->push->options;
    if (!legacy->admitted) {
        complain(legacy, "no address came in time");
        end(legacy, CLOSE_POLICY, "timeout");
        return;
    }
    if (options->legacy == POLICY_KEY && !door_knows(legacy->server->push, legacy->token)) {
        refuse_key(legacy, "the token in \"api_key\" was revoked");
        return;
    }
    if (session_silent_ms(legacy->session) < (uint64_t)options->legacy_silence_s * 1000) {
        session_excuse_silence(legacy->session);
    }
    session_set_timeout_ms(legacy->session, look_after_ms(options));
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static void *legacy_begin(struct session *session)
{
    struct legacy *legacy = cs_alloc(sizeof(*legacy));
    struct push *push = session_push(session);
    legacy->session = session;
    legacy->server = push->legacy;
    session_set_timeout(session, push->options.hello_timeout_s);
    return legacy;
}

static void legacy_too_big(void *state)
{
    complain(state, "the message is longer than the relay takes");
    end(state, CLOSE_TOO_BIG, "too_big");
}

static void legacy_drained(void *state)
{
    const struct legacy *legacy = state;
    heard_drained(legacy->server->push->heard, legacy->session);
}

static void legacy_stop(void *state)
{
    end(state, CLOSE_GOING_AWAY, "going_away");
}

static void legacy_gone(void *state)
{
    struct legacy *legacy = state;
    struct legacy_server *server = legacy->server;
    places_leave(server->places, &legacy->places);
    if (places_are_waiting(server->places)) {
        push_retry_soon(server->push);
    }
    if (legacy->admitted) {
        atomic_fetch_sub_explicit(&server->sessions, 1, memory_order_relaxed);
    }
    free(legacy);
}

static unsigned int legacy_judge(struct push *push, struct lws *wsi, const char **why)
{
    static const struct door_words words = {
        .off = "The legacy protocol is switched off: set [legacy] legacy = key, or open.",
        .not_here =
            "Only programs on the relay's own machine are let in without a key, and no web pages: set [legacy] "
            "legacy = key, and give the client a token as its api_key.",
        .in_the_clear =
            "An api_key must not cross a network in the clear: use TLS, or set [ws] allow_plain_tokens.",
    };
    unsigned int status = door_judge(push, wsi, push->options.legacy, &words, why);
    if (status != 0) {
        metrics_add(push->legacy->refused_handshake, 1);
    }
    return status;
}

const struct session_protocol LEGACY_PROTOCOL = {
    .subprotocol = LEGACY_SUBPROTOCOL,
    .path = LEGACY_PATH,
    .subprotocol_optional = true,
    .offer = "Offer the subprotocol arduino, or none.",
    .judge = legacy_judge,
    .binary_too = true, /* Python's json.loads, by which the old server read, takes bytes as well */
    .open = legacy_begin,
    .message = legacy_message,
    .too_big = legacy_too_big,
    .timeout = legacy_timeout,
    .drained = legacy_drained,
    .stop = legacy_stop,
    .close = legacy_gone,
};

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int64_t read_sessions(void *context)
{
    const struct legacy_server *server = context;
    return atomic_load_explicit(&server->sessions, memory_order_relaxed);
}

static int64_t read_addresses(void *context)
{
    const struct legacy_server *server = context;
    return places_listening(server->places);
}

static void open_metrics(struct legacy_server *server, struct metrics *metrics)
{
    static const char refused[] = "coinslot_legacy_refused_total";
    metrics_add_gauge(metrics, "coinslot_legacy_sessions", "", "Legacy sessions that were let in.",
                      read_sessions, server);
    metrics_add_gauge(metrics, "coinslot_legacy_addresses", "",
                      "Addresses that legacy sessions listen to, each as often as there are sessions.",
                      read_addresses, server);
    server->forwarded = metrics_add_counter(metrics, "coinslot_legacy_forwarded_total", "",
                                            "Payments queued for legacy sessions, once for each.");
    server->refused_handshake =
        metrics_add_counter(metrics, refused, "reason=\"handshake\"", "What legacy clients were refused.");
    server->refused_key = metrics_add_counter(metrics, refused, "reason=\"api_key\"", "");
    server->refused_message = metrics_add_counter(metrics, refused, "reason=\"message\"", "");
}

struct legacy_server *legacy_open(struct push *push)
{
    const struct push_options *options = &push->options;
    assert(options->legacy == POLICY_OFF ||
           (options->legacy_addresses_most > 0 && options->legacy_silence_s > 0));
    struct legacy_server *server = cs_alloc(sizeof(*server));
    server->push = push;
    const struct places_options places = {
        .store = push->store, .done = heard_listen_done, .context = push->heard, .failed = on_listen_failed};
    server->places = places_open(&places);
    open_metrics(server, options->metrics);
    return server;
}

void legacy_close(struct legacy_server *server)
{
    places_close(server->places);
    free(server);
}
