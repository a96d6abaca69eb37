#define LOG_MODULE "push"
#include "push/legacy.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "push/legacy_frames.h"
#include "push/legacy_places.h"
#include "push/tally.h"
#include "push/upgrade.h"

#define POSTS_AT_ONCE 256

#define CLOSE_GOING_AWAY 1001 /* RFC 6455, section 7.4.1 */
#define CLOSE_POLICY     1008
#define CLOSE_TOO_BIG    1009
#define CLOSE_TRY_LATER  1013 /* IANA's registry */

struct legacy_server {
    struct push *push;
    struct places *places;
    struct inbox *mailbox;     /* any thread */
    atomic_size_t heard_bytes; /* in the mailbox */
    _Atomic int64_t sessions;  /* that were let in */
    metrics_count *forwarded, *dropped, *refused_handshake, *refused_key, *refused_message;
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

struct legacy_post {
    struct inbox_node node; /* first */
    bool heard;             /* else: a listen was answered */
    enum cs_err err;
    uint64_t handle;
    struct payment payment;
    size_t size;
    char notice[];
};

static void post(struct legacy_server *server, struct legacy_post *post)
{
    if (inbox_push(server->mailbox, &post->node) != CS_OK) {
        free(post); /* shut: the sessions are gone */
        return;
    }
    push_wake(server->push);
}

static void on_listen_done(void *context, uint64_t handle, enum cs_err err)
{
    struct legacy_post *answer = cs_alloc(sizeof(*answer));
    answer->handle = handle;
    answer->err = err;
    post(context, answer);
}

void push_post_heard(void *push, const struct store_heard *heard_of)
{
    struct legacy_server *server = ((struct push *)push)->legacy;
    size_t notice_size = heard_of->notice_size;
    size_t size = sizeof(struct legacy_post) + notice_size;
    if (!heard_of->listened) {
        return;
    }
    if (atomic_fetch_add(&server->heard_bytes, size) + size > LEGACY_HEARD_BYTES) {
        atomic_fetch_sub(&server->heard_bytes, size);
        metrics_add(server->dropped, 1);
        return;
    }
    struct legacy_post *heard = cs_alloc(size);
    heard->heard = true;
    heard->payment = *heard_of->payment;
    heard->size = notice_size;
    if (notice_size > 0) {
        memcpy(heard->notice, heard_of->notice, notice_size);
    }
    post(server, heard);
}

struct forwarded {
    const char *text;
    size_t length;
};

static void forward(struct place_owner *owner, void *context)
{
    struct legacy *legacy = (struct legacy *)owner;
    const struct forwarded *forwarded = context;
    if (!legacy->over && has_room(legacy)) {
        session_send(legacy->session, forwarded->text, forwarded->length);
        metrics_add(legacy->server->forwarded, 1);
    }
}

/* What a node called back with goes out as it came; what came otherwise is given that form. */
static void take_heard(struct legacy_server *server, const struct legacy_post *heard)
{
    struct forwarded forwarded = {heard->notice, heard->size};
    char *built = NULL;
    if (heard->size == 0 || heard->payment.source != SOURCE_CALLBACK) {
        built = legacy_print_payment(&heard->payment);
        forwarded = (struct forwarded){built, strlen(built)};
    }
    places_tell(server->places, &heard->payment.to, forward, &forwarded);
    free(built);
}

bool legacy_on_wake(struct legacy_server *server)
{
    for (struct inbox_node *node = inbox_take(server->mailbox, POSTS_AT_ONCE, 0); node != NULL;) {
        struct legacy_post *taken = (struct legacy_post *)node;
        node = node->next;
        if (taken->heard) {
            atomic_fetch_sub(&server->heard_bytes, sizeof(*taken) + taken->size);
            take_heard(server, taken);
        } else {
            places_take_done(server->places, taken->handle, taken->err);
        }
        free(taken);
    }
    if (places_are_waiting(server->places)) {
        push_retry_soon(server->push);
    }
    return inbox_count(server->mailbox) > 0;
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

static bool is_valid_key(const struct legacy *legacy)
{
    struct store_api_token token;
    return store_find_api_token(legacy->server->push->store, legacy->token, &token);
}

static bool let_in(struct legacy *legacy, const struct legacy_request *request)
{
    const struct push *push = legacy->server->push;
    if (push->options.legacy == LEGACY_KEY) {
        store_hash_token(push->store, request->api_key, legacy->token);
        if (request->api_key[0] == '\0' || !is_valid_key(legacy)) {
            refuse_key(legacy, "\"api_key\" has to be a token of this relay: coinslot token create");
            return false;
        }
    }
    if (!legacy->admitted) {
        legacy->admitted = true;
        session_settle(legacy->session);
        atomic_fetch_add_explicit(&legacy->server->sessions, 1, memory_order_relaxed);
        session_set_timeout_ms(legacy->session, look_after_ms(&push->options));
    }
    return true;
}

static void listen_to(struct legacy *legacy, const struct address *address)
{
    struct legacy_server *server = legacy->server;
    uint32_t most = server->push->options.legacy_addresses_most;
    if (legacy->places.count >= most && !places_has(&legacy->places, address)) {
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
    if (options->legacy == LEGACY_KEY && !is_valid_key(legacy)) {
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
    (void)state;
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

const struct session_protocol LEGACY_PROTOCOL = {
    .subprotocol = LEGACY_SUBPROTOCOL,
    .path = LEGACY_PATH,
    .subprotocol_optional = true,
    .binary_too = true, /* Python's json.loads, by which the old server read, takes bytes as well */
    .open = legacy_begin,
    .message = legacy_message,
    .too_big = legacy_too_big,
    .timeout = legacy_timeout,
    .drained = legacy_drained,
    .stop = legacy_stop,
    .close = legacy_gone,
};

/* ---- who may connect --------------------------------------------------------------------------------------------- */

/* A client without a key has to be a program on this machine. Through a proxy, or from a web page, everything looks like one. */
static bool is_of_this_machine(struct lws *wsi)
{
    static const enum lws_token_indexes traces[] = {WSI_TOKEN_X_FORWARDED_FOR, WSI_TOKEN_HTTP_X_REAL_IP,
                                                    WSI_TOKEN_HTTP_VIA};
    static const char forwarded[] =
        "forwarded:"; /* RFC 7239; libwebsockets knows it only as a custom header */
    struct sockaddr_storage address;
    if (!upgrade_peer(wsi, &address) || !tally_is_loopback(&address) ||
        lws_hdr_custom_length(wsi, forwarded, (int)strlen(forwarded)) >= 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        if (lws_hdr_total_length(wsi, traces[i]) > 0) {
            return false;
        }
    }
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) == 0) {
        return true;
    }
    char origin[128];
    return lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN) > 0 && legacy_is_local_origin(origin);
}

static bool is_private(struct lws *wsi)
{
    struct sockaddr_storage address;
    return lws_is_ssl(wsi) || (upgrade_peer(wsi, &address) && tally_is_loopback(&address));
}

unsigned int legacy_judge(struct push *push, struct lws *wsi, const char **why)
{
    unsigned int status = 0;
    switch (push->options.legacy) {
    case LEGACY_OFF:
        status = HTTP_STATUS_NOT_FOUND;
        *why = "The legacy protocol is switched off: set [legacy] legacy = key, or open.";
        break;
    case LEGACY_KEY:
        if (!push->options.allow_plain_tokens && !is_private(wsi)) {
            status = HTTP_STATUS_FORBIDDEN;
            *why =
                "An api_key must not cross a network in the clear: use TLS, or set [ws] allow_plain_tokens.";
        }
        break;
    case LEGACY_OPEN:
        if (!is_of_this_machine(wsi)) {
            status = HTTP_STATUS_FORBIDDEN;
            *why =
                "Only programs on the relay's own machine are let in without a key, and no web pages: set [legacy] "
                "legacy = key, and give the client a token as its api_key.";
        }
        break;
    }
    if (status != 0) {
        metrics_add(push->legacy->refused_handshake, 1);
    }
    return status;
}

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
    server->dropped = metrics_add_counter(metrics, "coinslot_legacy_dropped_total", "",
                                          "Payments that no legacy session got because too many waited.");
    server->refused_handshake =
        metrics_add_counter(metrics, refused, "reason=\"handshake\"", "What legacy clients were refused.");
    server->refused_key = metrics_add_counter(metrics, refused, "reason=\"api_key\"", "");
    server->refused_message = metrics_add_counter(metrics, refused, "reason=\"message\"", "");
}

struct legacy_server *legacy_open(struct push *push)
{
    const struct push_options *options = &push->options;
    assert(options->legacy == LEGACY_OFF ||
           (options->legacy_addresses_most > 0 && options->legacy_silence_s > 0));
    struct legacy_server *server = cs_alloc(sizeof(*server));
    server->push = push;
    server->mailbox =
        inbox_open(SIZE_MAX); /* bounded by heard_bytes, and by the listens that the store's inbox holds */
    const struct places_options places = {
        .store = push->store, .done = on_listen_done, .context = server, .failed = on_listen_failed};
    server->places = places_open(&places);
    open_metrics(server, options->metrics);
    return server;
}

void legacy_shut(struct legacy_server *server)
{
    inbox_shut(server->mailbox);
    for (struct inbox_node *node = inbox_take(server->mailbox, SIZE_MAX, 0); node != NULL;) {
        struct legacy_post *taken = (struct legacy_post *)node;
        node = node->next;
        free(taken);
    }
}

void legacy_close(struct legacy_server *server)
{
    places_close(server->places);
    inbox_close(server->mailbox);
    free(server);
}
