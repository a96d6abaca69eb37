#include "node/callback.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "node/refusals.h"
#include "verify/block.h"
#include "verify/notice.h"

#define BODY_MOST       (64u << 10)
#define DEPTH_MOST      8
#define SECRET_HASH     32
#define REFUSALS_LOGGED 10 /* a second */

/* What became of a callback: each is counted. */
enum result {
    RESULT_STORED,
    RESULT_DUPLICATE,
    RESULT_UNMATCHED,
    RESULT_OLD,
    RESULT_WAITING,
    RESULT_NOT_A_SEND,
    RESULT_MALFORMED,
    RESULT_CONTRADICTION,
    RESULT_WRONG_HASH,
    RESULT_WRONG_SIGNATURE,
    RESULT_FORBIDDEN,
    RESULT_BUSY,
    RESULT_FULL,
    RESULT_CLOSED,
};
#define RESULT_COUNT 14

static const char *const RESULT_LABELS[RESULT_COUNT] = {
    "result=\"stored\"",     "result=\"duplicate\"",       "result=\"unmatched\"", "result=\"old\"",
    "result=\"waiting\"",    "result=\"not_a_send\"",      "result=\"malformed\"", "result=\"contradiction\"",
    "result=\"wrong_hash\"", "result=\"wrong_signature\"", "result=\"forbidden\"", "result=\"busy\"",
    "result=\"full\"",       "result=\"closed\"",
};

struct callback {
    struct store *store;
    bool has_secret;
    uint8_t secret_hash[SECRET_HASH];
    enum callback_signature signature;
    struct callback_sink sink;
    metrics_count *counts[RESULT_COUNT];
    struct refusals *refusals;
};

/* A payment on its way through the writer. */
struct pending {
    struct callback *callback;
    struct http_request *request;
    struct payment payment;
    int64_t heard_at_ms;
};

static void count(struct callback *callback, enum result result)
{
    metrics_add(callback->counts[result], 1);
}

/* ---- where it may come from (DESIGN.md, section 6) ----------------------------------------------------- */

static void hash_secret(const char *secret, uint8_t hash[SECRET_HASH])
{
    crypto_generichash(hash, SECRET_HASH, (const unsigned char *)secret, strlen(secret), NULL, 0);
}

/*
 * Why a request without the secret may not be the node's, NULL when it may. Through a proxy, or from a web
 * page in a browser on this machine, everything looks like loopback.
 */
static const char *suspicion(const struct http_request *request)
{
    static const char *const traces[][2] = {
        {"Origin", "it has an Origin header, as web pages send it"},
        {"Forwarded", "it has a Forwarded header: it came through a proxy"},
        {"X-Forwarded-For", "it has an X-Forwarded-For header: it came through a proxy"},
        {"Via", "it has a Via header: it came through a proxy"},
    };
    if (!http_request_from_loopback(request)) {
        return "it does not come from this machine";
    }
    if (!http_request_is_json(request)) {
        return "its Content-Type is not application/json, which the node always sends";
    }
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        if (http_request_header(request, traces[i][0]) != NULL) {
            return traces[i][1];
        }
    }
    return NULL;
}

static void forbid(struct callback *callback, struct http_request *request, const char *why)
{
    count(callback, RESULT_FORBIDDEN);
    refusals_log(callback->refusals, "forbidden", http_request_peer(request), why);
    http_answer_problem(request, 403, "forbidden", NULL,
                        callback->has_secret
                            ? "let the node call /callback/<secret>, with the secret in [callback] secret"
                            : "set [callback] secret, and let the node call /callback/<secret>",
                        "this callback was not taken: %s", why);
}

/* ---- what is in it ------------------------------------------------------------------------------------- */

static void refuse_notice(struct callback *callback, struct http_request *request,
                          enum notice_verdict verdict, const char *error)
{
    static const enum result results[NOTICE_VERDICT_COUNT] = {
        [NOTICE_MALFORMED] = RESULT_MALFORMED,
        [NOTICE_CONTRADICTION] = RESULT_CONTRADICTION,
        [NOTICE_WRONG_HASH] = RESULT_WRONG_HASH,
        [NOTICE_WRONG_SIGNATURE] = RESULT_WRONG_SIGNATURE,
    };
    assert(verdict != NOTICE_VALID);
    const char *code = notice_verdict_text(verdict);
    count(callback, results[verdict]);
    refusals_log(callback->refusals, code, http_request_peer(request), error);
    http_answer_problem(request, verdict == NOTICE_MALFORMED ? 400 : 422, code, NULL, NULL, "%s", error);
}

/* Answers 503 so that whoever sends again knows when; a node does not, reconciliation has to find the
 * payment. */
static void refuse_payment(struct callback *callback, struct http_request *request, enum cs_err err)
{
    static const char busy[] = "the relay takes no more at the moment",
                      closed[] = "the relay is shutting down",
                      full[] = "the relay's disk is full, or nearly: nothing was stored";
    bool is_full = err == CS_EFULL;
    const char *why = is_full ? full : err == CS_ECLOSED ? closed : busy;
    assert(is_full || err == CS_ECLOSED || err == CS_EBUSY);
    if (callback->sink.refused != NULL && err != CS_ECLOSED) {
        callback->sink.refused(callback->sink.context, is_full ? "disk_full" : "busy");
    }
    count(callback, is_full ? RESULT_FULL : err == CS_ECLOSED ? RESULT_CLOSED : RESULT_BUSY);
    refusals_log(callback->refusals, is_full ? "full" : "busy", http_request_peer(request), why);
    http_request_add_header(request, "Retry-After", is_full ? "30" : "1");
    http_answer_problem(request, 503, is_full ? "disk_full" : "busy", NULL,
                        is_full ? "make room on the disk" : "try again in a moment", "%s", why);
}

static void answer_outcome(struct callback *callback, struct http_request *request,
                           enum store_payment_outcome outcome)
{
    static const enum result results[STORE_PAYMENT_OUTCOMES] = {
        [STORE_PAYMENT_STORED] = RESULT_STORED,       [STORE_PAYMENT_DUPLICATE] = RESULT_DUPLICATE,
        [STORE_PAYMENT_UNMATCHED] = RESULT_UNMATCHED, [STORE_PAYMENT_OLD] = RESULT_OLD,
        [STORE_PAYMENT_WAITING] = RESULT_WAITING,
    };
    assert(outcome != STORE_PAYMENT_DENIED); /* only a verdict does that */
    count(callback, results[outcome]);
    http_answer_empty(request, 200);
}

/* On the writer's thread, after the commit. */
static void on_stored(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct pending pending = *(struct pending *)context;
    struct callback *callback = pending.callback;
    free(context);
    if (err != CS_OK) {
        refuse_payment(callback, pending.request, err);
        return;
    }
    bool ours = outcome == STORE_PAYMENT_STORED || outcome == STORE_PAYMENT_DUPLICATE;
    if (ours && callback->sink.heard != NULL) {
        callback->sink.heard(callback->sink.context, &pending.payment, outcome == STORE_PAYMENT_STORED,
                             pending.heard_at_ms);
    }
    answer_outcome(callback, pending.request, outcome);
}

static void on_waiting(void *context, enum cs_err err, enum store_payment_outcome outcome, int64_t num)
{
    const struct pending *pending = context;
    if (err == CS_OK && outcome == STORE_PAYMENT_WAITING) {
        pending->callback->sink.waits(pending->callback->sink.context, num, &pending->payment);
    }
    on_stored(context, err, outcome);
}

static void submit(struct callback *callback, struct http_request *request, const struct notice *notice,
                   const struct payment *payment, uint64_t began_ns)
{
    uint8_t proof[BLOCK_PACKED_SIZE];
    block_pack(&notice->block, proof);
    struct pending *pending = cs_alloc(sizeof(*pending));
    *pending = (struct pending){callback, request, *payment, clock_wall_ms()};
    (void)store_observe_stage(callback->store, STORE_STAGE_CHECK, began_ns);
    /* Deferred first: the writer may be done before the submission has returned. */
    http_request_defer(request);
    size_t size;
    const char *body = http_request_body(request, &size);
    enum cs_err err = callback->sink.waits != NULL
                          ? store_submit_unconfirmed(callback->store, payment, proof, sizeof(proof), body,
                                                     size, on_waiting, pending)
                          : store_submit_payment(callback->store, payment, proof, sizeof(proof), body, size,
                                                 on_stored, pending);
    if (err != CS_OK) {
        free(pending);
        refuse_payment(callback, request, err);
    }
}

static bool wants_signature(const struct callback *callback)
{
    switch (callback->signature) {
    case SIGNATURE_AUTO: /* a callback can be forged */
    case SIGNATURE_ALWAYS:
        return true;
    case SIGNATURE_NEVER:
        return false;
    }
    return true;
}

static void take_notice(struct callback *callback, struct http_request *request, const struct notice *notice,
                        uint64_t began_ns)
{
    if (callback->sink.alive != NULL) {
        callback->sink.alive(callback->sink.context);
    }
    if (!notice->is_send) {
        count(callback, RESULT_NOT_A_SEND);
        http_answer_empty(request, 200);
        return;
    }
    struct payment payment;
    notice_to_payment(notice, &payment);
    payment.source = SOURCE_CALLBACK;
    payment.node_time_ms = 0;
    /* Most of a network's blocks pay nobody here; they are not worth the check of a signature. */
    if (!store_knows_address(callback->store, &payment.to)) {
        count(callback, RESULT_UNMATCHED);
        http_answer_empty(request, 200);
        return;
    }
    char error[NOTICE_ERROR_SIZE] = "";
    if (wants_signature(callback)) {
        enum notice_verdict verdict = notice_check_signature(notice, error);
        if (verdict != NOTICE_VALID) {
            refuse_notice(callback, request, verdict, error);
            return;
        }
    }
    submit(callback, request, notice, &payment, began_ns);
}

static void take_body(struct callback *callback, struct http_request *request)
{
    uint64_t began_ns = clock_monotonic_ns();
    size_t size;
    const char *body = http_request_body(request, &size);
    char json_error[JSON_ERROR_SIZE];
    struct json_scan object;
    if (!json_scan_init(&object, body, size, DEPTH_MOST, json_error)) {
        refuse_notice(callback, request, NOTICE_MALFORMED, json_error);
        return;
    }
    struct notice notice;
    char error[NOTICE_ERROR_SIZE] = "";
    enum notice_verdict verdict = notice_read(json_view_of_scan(&object), &notice, error);
    json_scan_fini(&object);
    if (verdict != NOTICE_VALID) {
        refuse_notice(callback, request, verdict, error);
        return;
    }
    take_notice(callback, request, &notice, began_ns);
}

/* ---- routes -------------------------------------------------------------------------------------------- */

static void handle_plain(void *context, struct http_request *request)
{
    struct callback *callback = context;
    const char *why = suspicion(request);
    if (why != NULL) {
        forbid(callback, request, why);
    } else {
        take_body(callback, request);
    }
}

static void handle_secret(void *context, struct http_request *request)
{
    struct callback *callback = context;
    if (!callback->has_secret) {
        static const char why[] = "no callback secret is configured";
        count(callback, RESULT_FORBIDDEN);
        refusals_log(callback->refusals, "no_callback_secret", http_request_peer(request), why);
        http_answer_problem(
            request, 404, "no_callback_secret", NULL,
            "set [callback] secret in the relay's config, or let the node on this machine call /callback/",
            "%s", why);
        return;
    }
    uint8_t hash[SECRET_HASH];
    hash_secret(http_request_param(request, "secret"), hash);
    if (sodium_memcmp(hash, callback->secret_hash, SECRET_HASH) != 0) {
        forbid(callback, request, "the secret in its path is not the one in [callback] secret");
    } else {
        take_body(callback, request);
    }
}

static const struct http_route ROUTES[] = {
    {"POST", "/callback", handle_plain, BODY_MOST},
    {"POST", "/callback/", handle_plain, BODY_MOST},
    {"POST", "/callback/{secret}", handle_secret, BODY_MOST},
};

struct callback *callback_open(const struct callback_options *options, struct store *store, struct http *http)
{
    struct callback *callback = cs_alloc(sizeof(*callback));
    callback->store = store;
    callback->signature = options->signature;
    callback->sink = options->sink;
    callback->has_secret = *options->secret != '\0';
    hash_secret(options->secret, callback->secret_hash);
    callback->refusals = refusals_open("a callback", "coinslot_callback_total", REFUSALS_LOGGED);
    for (size_t i = 0; i < RESULT_COUNT; i++) {
        callback->counts[i] =
            metrics_add_counter(options->metrics, "coinslot_callback_total", RESULT_LABELS[i],
                                "Callbacks from nodes, by what became of them.");
    }
    http_add_routes(http, ROUTES, sizeof(ROUTES) / sizeof(ROUTES[0]), callback);
    return callback;
}

void callback_close(struct callback *callback)
{
    refusals_close(callback->refusals);
    sodium_memzero(callback->secret_hash, SECRET_HASH);
    free(callback);
}
