#include "push/nano.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/door.h"
#include "push/heard.h"
#include "push/legacy_frames.h"
#include "push/nano_state.h"

#define ACCOUNT_BYTES 80 /* an account in a list, quoted, with room for spaces */

/* ---- what the store tells ---------------------------------------------------------------------------------------- */

bool nano_wants_all(const struct nano_server *server)
{
    return atomic_load(&server->wanting) > 0;
}

/* A payment on its way to the sessions: printed once in each form that is asked for. */
struct told {
    const struct store_heard *heard;
    uint64_t number;
    int64_t now_ms;
    char *texts[NANO_FORM_COUNT];
};

static void tell(struct place_owner *owner, void *context)
{
    struct nano *nano = (struct nano *)owner;
    struct told *told = context;
    const struct nano_options *options = &nano->options;
    if (nano->over || nano->told == told->number ||
        (options->types & (uint8_t)nano_type_of(told->heard->payment)) == 0 || !nano_has_room(nano)) {
        return;
    }
    nano->told = told->number;
    enum nano_form form = !options->include_block           ? NANO_WITHOUT_BLOCK
                          : options->include_linked_account ? NANO_WITH_LINKED_ACCOUNT
                                                            : NANO_WITH_BLOCK;
    if (told->texts[form] == NULL) {
        told->texts[form] = nano_print_confirmation(told->heard, form, told->now_ms);
    }
    session_send(nano->session, told->texts[form], strlen(told->texts[form]));
    metrics_add(nano->server->forwarded, 1);
    if (session_queued(nano->session) >= NANO_QUEUE_MOST / 2) {
        heard_slow_down(nano->server->push->heard, nano->session);
    }
}

void nano_take_heard(struct nano_server *server, const struct store_heard *heard)
{
    const struct payment *payment = heard->payment;
    if (payment->to.chain != CHAIN_NANO) {
        return;
    }
    struct told told = {.heard = heard, .number = ++server->payments, .now_ms = clock_wall_ms()};
    for (struct nano *nano = server->unfiltered; nano != NULL; nano = nano->next) {
        tell(&nano->places, &told);
    }
    places_tell(server->places, &payment->to, tell, &told);
    if (payment->from.length > 0) {
        places_tell(server->places, &payment->from, tell, &told);
    }
    for (size_t i = 0; i < NANO_FORM_COUNT; i++) {
        free(told.texts[i]);
    }
}

void nano_on_wake(struct nano_server *server)
{
    if (places_are_waiting(server->places)) {
        push_retry_soon(server->push);
    }
}

bool nano_retry_all(struct nano_server *server)
{
    places_retry(server->places);
    return !places_are_waiting(server->places);
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static unsigned int nano_judge(struct push *push, struct lws *wsi, const char **why)
{
    static const struct door_words words = {
        .off = "The Nano node's API is switched off: set [nano_api] nano_api = key, or open.",
        .not_here =
            "Only programs on the relay's own machine are let in without a token, and no web pages: set [nano_api] "
            "nano_api = key, and connect with ?api_key=, or Authorization: Bearer.",
        .in_the_clear =
            "A token must not cross a network in the clear: use TLS, or set [ws] allow_plain_tokens.",
    };
    unsigned int status = door_judge(push, wsi, push->options.nano_api, &words, why);
    char key[DOOR_KEY_SIZE];
    uint8_t token[STORE_HASH_SIZE];
    if (status == 0 && push->options.nano_api == POLICY_KEY &&
        !(door_read_key(wsi, key) && door_take_key(push, key, token))) {
        status = HTTP_STATUS_UNAUTHORIZED;
        *why =
            "Connect with a token of this relay, by ?api_key= or Authorization: Bearer: coinslot token create.";
    }
    if (status != 0) {
        metrics_add(push->nano->refused_handshake, 1);
    }
    return status;
}

static uint32_t nano_message_most(const struct push_options *options)
{
    return options->frame_most + options->nano_accounts_most * ACCOUNT_BYTES;
}

static void *nano_begin(struct session *session)
{
    struct nano *nano = cs_alloc(sizeof(*nano));
    struct push *push = session_push(session);
    nano->session = session;
    nano->server = push->nano;
    atomic_fetch_add_explicit(&nano->server->sessions, 1, memory_order_relaxed);
    if (!session_settle(session)) {
        nano_complain(nano, "there are too many sessions; connect again later", NULL);
        nano_end(nano, NANO_CLOSE_TRY_LATER, "too_many");
        return nano;
    }
    char key[DOOR_KEY_SIZE];
    if (push->options.nano_api == POLICY_KEY && door_read_key(session_wsi(session), key)) {
        store_hash_token(push->store, key, nano->token);
    }
    session_set_timeout(session, push->options.ping_interval_s);
    return nano;
}

static void nano_message(void *state, const char *text, size_t length)
{
    struct nano *nano = state;
    if (nano->over || nano->pending != NULL) {
        return;
    }
    struct nano_request *request = cs_alloc(sizeof(*request));
    enum nano_verdict verdict = nano_read(text, length, request);
    nano->malformed = verdict == NANO_MALFORMED ? nano->malformed + 1 : 0;
    if (verdict == NANO_REQUEST) {
        nano_carry_out(nano, request);
        return;
    }
    nano_complain(nano, request->error, request->id);
    nano_free_request(request);
    if (nano->malformed >= NANO_MALFORMED_MOST) {
        nano_end(nano, NANO_CLOSE_POLICY, "malformed");
    }
}

static void nano_too_big(void *state)
{
    nano_complain(state, "the message is longer than the relay takes", NULL);
    nano_end(state, NANO_CLOSE_TOO_BIG, "too_big");
}

/* Now and again: whether its token is valid still. */
static void nano_timeout(void *state)
{
    struct nano *nano = state;
    const struct push *push = nano->server->push;
    if (push->options.nano_api == POLICY_KEY && !door_knows(push, nano->token)) {
        nano_complain(nano, "the token was revoked", NULL);
        nano_end(nano, NANO_CLOSE_POLICY, "unauthorized");
        return;
    }
    session_set_timeout(nano->session, push->options.ping_interval_s);
}

static void nano_second(void *state)
{
    struct nano *nano = state;
    if (nano->wanting && nano->dropped != heard_dropped(nano->server->push->heard)) {
        nano_end(nano, NANO_CLOSE_TRY_LATER, "missed");
    }
}

static void nano_drained(void *state)
{
    const struct nano *nano = state;
    heard_drained(nano->server->push->heard, nano->session);
}

static void nano_stop(void *state)
{
    nano_end(state, NANO_CLOSE_GOING_AWAY, "going_away");
}

static void nano_gone(void *state)
{
    struct nano *nano = state;
    nano_unsubscribe(nano);
    nano_free_request(nano->pending);
    atomic_fetch_sub_explicit(&nano->server->sessions, 1, memory_order_relaxed);
    free(nano);
}

const struct session_protocol NANO_PROTOCOL = {
    .subprotocol = LEGACY_SUBPROTOCOL, /* a node looks at none */
    .path = NANO_PATH,
    .subprotocol_optional = true,
    .offer = "Offer no subprotocol, or arduino.",
    .judge = nano_judge,
    .message_most = nano_message_most,
    .binary_too = true, /* as the node does */
    .open = nano_begin,
    .message = nano_message,
    .too_big = nano_too_big,
    .timeout = nano_timeout,
    .drained = nano_drained,
    .second = nano_second,
    .stop = nano_stop,
    .close = nano_gone,
};

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int64_t read_sessions(void *context)
{
    const struct nano_server *server = context;
    return atomic_load_explicit(&server->sessions, memory_order_relaxed);
}

static int64_t read_accounts(void *context)
{
    const struct nano_server *server = context;
    return places_listening(server->places);
}

static void open_metrics(struct nano_server *server, struct metrics *metrics)
{
    static const char refused[] = "coinslot_nano_api_refused_total";
    metrics_add_gauge(metrics, "coinslot_nano_api_sessions", "", "Sessions on /nano.", read_sessions, server);
    metrics_add_gauge(metrics, "coinslot_nano_api_accounts", "",
                      "Accounts in the filters of these sessions, each as often as there are sessions.",
                      read_accounts, server);
    server->forwarded = metrics_add_counter(metrics, "coinslot_nano_api_forwarded_total", "",
                                            "Payments queued for sessions on /nano, once for each.");
    server->refused_handshake =
        metrics_add_counter(metrics, refused, "reason=\"handshake\"", "What programs on /nano were refused.");
    server->refused_message = metrics_add_counter(metrics, refused, "reason=\"message\"", "");
}

struct nano_server *nano_open(struct push *push)
{
    const struct push_options *options = &push->options;
    assert(options->nano_api == POLICY_OFF || options->nano_accounts_most > 0);
    struct nano_server *server = cs_alloc(sizeof(*server));
    server->push = push;
    const struct places_options places = {.store = push->store,
                                          .done = heard_listen_done,
                                          .context = push->heard,
                                          .failed = nano_on_listen_failed,
                                          .settled = nano_on_settled};
    server->places = places_open(&places);
    open_metrics(server, options->metrics);
    return server;
}

void nano_close(struct nano_server *server)
{
    places_close(server->places);
    free(server);
}
