#define LOG_MODULE "node"
#include "node/nano_source.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/refusals.h"

#define RETRY_MS          20
#define REFUSALS_A_SECOND 2

enum result {
    RESULT_STORED,
    RESULT_DUPLICATE,
    RESULT_UNMATCHED,
    RESULT_OLD,
    RESULT_NOT_A_SEND,
    RESULT_WRONG_SIGNATURE,
    RESULT_REFUSED, /* the disk is full, or too much waits */
    RESULT_CLOSED,
};
#define RESULT_COUNT 8

static const char *const RESULT_LABELS[RESULT_COUNT] = {
    [RESULT_STORED] = "result=\"stored\"",         [RESULT_DUPLICATE] = "result=\"duplicate\"",
    [RESULT_UNMATCHED] = "result=\"unmatched\"",   [RESULT_OLD] = "result=\"old\"",
    [RESULT_NOT_A_SEND] = "result=\"not_a_send\"", [RESULT_WRONG_SIGNATURE] = "result=\"wrong_signature\"",
    [RESULT_REFUSED] = "result=\"refused\"",       [RESULT_CLOSED] = "result=\"closed\"",
};

/* A payment that waits for a place in the writer's inbox. */
struct waiting {
    struct payment payment;
    size_t from;
    int64_t heard_at_ms;
    uint64_t receive_height;
    uint8_t proof[BLOCK_PACKED_SIZE];
};

/* One that the writer has. */
struct submitted {
    struct nano_source *source;
    struct payment payment;
    size_t from;
    int64_t heard_at_ms;
};

struct nano_source {
    struct nano_source_options options;
    metrics_count *counts[RESULT_COUNT];
    struct refusals *refusals;
    uv_timer_t retry;
    struct waiting *queue; /* a ring */
    uint32_t first;
    _Atomic uint32_t count; /* read by /metrics, too */
    bool reading;
    pthread_mutex_t gate; /* around `stopped` and the wake-up: the writer may be done after the loop is */
    bool stopped;
    uv_async_t refused;
};

static void count(struct nano_source *source, enum result result)
{
    metrics_add(source->counts[result], 1);
}

/* ---- on the writer's thread ---------------------------------------------------------------------------- */

static void tell_refused(struct nano_source *source)
{
    count(source, RESULT_REFUSED);
    pthread_mutex_lock(&source->gate);
    if (!source->stopped) {
        uv_async_send(&source->refused);
    }
    pthread_mutex_unlock(&source->gate);
}

static void on_stored(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    static const enum result results[STORE_PAYMENT_OUTCOMES] = {
        [STORE_PAYMENT_STORED] = RESULT_STORED,
        [STORE_PAYMENT_DUPLICATE] = RESULT_DUPLICATE,
        [STORE_PAYMENT_UNMATCHED] = RESULT_UNMATCHED,
        [STORE_PAYMENT_OLD] = RESULT_OLD,
    };
    struct submitted submitted = *(struct submitted *)context;
    struct nano_source *source = submitted.source;
    free(context);
    if (err != CS_OK) {
        tell_refused(source);
        return;
    }
    assert(outcome != STORE_PAYMENT_WAITING && outcome != STORE_PAYMENT_DENIED); /* it is trusted */
    count(source, results[outcome]);
    if (outcome == STORE_PAYMENT_STORED || outcome == STORE_PAYMENT_DUPLICATE) {
        source->options.brought(source->options.context, submitted.from, &submitted.payment,
                                outcome == STORE_PAYMENT_STORED, submitted.heard_at_ms);
    }
}

/* ---- on the loop's ------------------------------------------------------------------------------------- */

static void on_refused(uv_async_t *async)
{
    const struct nano_source *source = async->data;
    source->options.refused(source->options.context);
}

static void set_reading(struct nano_source *source, bool reading)
{
    if (source->reading != reading) {
        source->reading = reading;
        source->options.reading(source->options.context, reading);
    }
}

/* False: the inbox is full. */
static bool submit(struct nano_source *source, const struct waiting *waiting)
{
    struct submitted *submitted = cs_alloc(sizeof(*submitted));
    *submitted = (struct submitted){source, waiting->payment, waiting->from, waiting->heard_at_ms};
    struct store *store = source->options.store;
    enum cs_err err = waiting->receive_height == 0
                          ? store_submit_payment(store, &waiting->payment, waiting->proof, BLOCK_PACKED_SIZE,
                                                 NULL, 0, on_stored, submitted)
                          : store_submit_received(store, &waiting->payment, waiting->receive_height,
                                                  waiting->proof, BLOCK_PACKED_SIZE, on_stored, submitted);
    if (err == CS_OK) {
        return true;
    }
    free(submitted);
    if (err == CS_EBUSY) {
        return false;
    }
    if (err == CS_ECLOSED) {
        count(source, RESULT_CLOSED);
    } else {
        tell_refused(source);
    }
    return true;
}

static void on_retry(uv_timer_t *timer)
{
    struct nano_source *source = timer->data;
    while (source->count > 0 && submit(source, &source->queue[source->first])) {
        source->first = (source->first + 1) % source->options.queue_most;
        source->count--;
    }
    if (source->count > 0) {
        uv_timer_start(&source->retry, on_retry, RETRY_MS, 0);
    }
    if (source->count <= source->options.queue_most / 2) {
        set_reading(source, true);
    }
}

/*
 * The sockets are told to stop at three quarters: what they had read by then still comes. What then finds no place is refused.
 */
static void keep(struct nano_source *source, const struct waiting *waiting)
{
    uint32_t most = source->options.queue_most;
    if (source->count == most) {
        tell_refused(source);
        return;
    }
    source->queue[(source->first + source->count) % most] = *waiting;
    source->count++;
    if (source->count == 1) {
        uv_timer_start(&source->retry, on_retry, RETRY_MS, 0);
    }
    if (source->count >= most - most / 4) {
        set_reading(source, false);
    }
}

void nano_source_take(struct nano_source *source, size_t from, const struct notice *notice, int64_t time_ms,
                      uint64_t receive_height)
{
    assert(node_loop_is_mine(source->options.loop));
    uint64_t began_ns = clock_monotonic_ns();
    if (!notice->is_send) {
        count(source, RESULT_NOT_A_SEND);
        return;
    }
    struct waiting waiting = {.from = from, .heard_at_ms = clock_wall_ms(), .receive_height = receive_height};
    notice_to_payment(notice, &waiting.payment);
    waiting.payment.source = SOURCE_NANO_WS;
    waiting.payment.node_time_ms = time_ms;
    if (!store_knows_address(source->options.store, &waiting.payment.to)) {
        count(source, RESULT_UNMATCHED);
        return;
    }
    char error[NOTICE_ERROR_SIZE];
    if (source->options.signature == SIGNATURE_ALWAYS &&
        notice_check_signature(notice, error) != NOTICE_VALID) {
        count(source, RESULT_WRONG_SIGNATURE);
        refusals_log(source->refusals, "wrong_signature", "nano_ws", error);
        return;
    }
    block_pack(&notice->block, waiting.proof);
    (void)store_observe_stage(source->options.store, STORE_STAGE_CHECK, began_ns);
    /* Behind those that wait already: in the order of the node. */
    if (source->count > 0 || !submit(source, &waiting)) {
        keep(source, &waiting);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static int64_t read_waiting(void *context)
{
    const struct nano_source *source = context;
    return source->count;
}

struct nano_source *nano_source_open(const struct nano_source_options *options)
{
    assert(node_loop_is_mine(options->loop) && options->queue_most >= 4);
    struct nano_source *source = cs_alloc(sizeof(*source));
    source->options = *options;
    source->reading = true;
    source->queue = cs_alloc(options->queue_most * sizeof(source->queue[0]));
    for (size_t i = 0; i < RESULT_COUNT; i++) {
        source->counts[i] =
            metrics_add_counter(options->metrics, "coinslot_nano_ws_payments_total", RESULT_LABELS[i],
                                "Blocks that nodes' WebSockets told, by what became of them.");
    }
    metrics_add_gauge(options->metrics, "coinslot_nano_ws_payments_waiting", "",
                      "Payments from nodes' WebSockets that wait for a place in the writer's inbox.",
                      read_waiting, source);
    source->refusals =
        refusals_open("a block of a node's WebSocket", "coinslot_nano_ws_payments_total", REFUSALS_A_SECOND);
    pthread_mutex_init(&source->gate, NULL);
    uv_timer_init(node_loop_uv(options->loop), &source->retry);
    uv_async_init(node_loop_uv(options->loop), &source->refused, on_refused);
    source->retry.data = source->refused.data = source;
    return source;
}

void nano_source_stop(struct nano_source *source)
{
    assert(node_loop_is_mine(source->options.loop));
    pthread_mutex_lock(&source->gate);
    source->stopped = true;
    pthread_mutex_unlock(&source->gate);
    if (source->count > 0) {
        log_info("%u payments from nodes' WebSockets were still waiting: the next start finds them",
                 source->count);
        source->count = 0;
    }
    uv_close((uv_handle_t *)&source->retry, NULL);
    uv_close((uv_handle_t *)&source->refused, NULL);
}

void nano_source_close(struct nano_source *source)
{
    assert(source->stopped);
    refusals_close(source->refusals);
    pthread_mutex_destroy(&source->gate);
    free(source->queue);
    free(source);
}
