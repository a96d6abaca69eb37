#include "node/upstream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/upstream_internal.h"

#define POSTS_MOST   65536
#define TICK_MS      1000
#define WAITING_MOST 4096 /* calls of the RPC */

/* ---- what comes in, on any thread ---------------------------------------------------------------------------------------- */

static void on_callback_alive(void *context)
{
    struct upstream *upstream = context;
    atomic_store(&upstream->cemented_at_callback, atomic_load(&upstream->cemented));
    if (atomic_exchange(&upstream->callback_at_ms, clock_wall_ms()) == 0) {
        sources_set_alive(upstream->sources, upstream->callback, true, "");
    }
    sources_note_message(upstream->sources, upstream->callback);
}

static void on_callback_heard(void *context, const struct payment *payment, bool stored, int64_t heard_at_ms)
{
    struct upstream *upstream = context;
    sources_note_payment(upstream->sources, upstream->callback, payment, stored, heard_at_ms);
}

static void on_callback_waits(void *context, int64_t num, const struct payment *payment)
{
    struct upstream *upstream = context;
    confirm_add(upstream->confirm, num, payment);
}

static void on_callback_refused(void *context, const char *why)
{
    struct upstream *upstream = context;
    sources_note_lost(upstream->sources, upstream->callback);
    atomic_store(&upstream->lost, why);
}

struct callback_sink upstream_callback_sink(struct upstream *upstream)
{
    return (struct callback_sink){.context = upstream,
                                  .alive = on_callback_alive,
                                  .heard = on_callback_heard,
                                  .waits = upstream->confirm != NULL ? on_callback_waits : NULL,
                                  .refused = on_callback_refused};
}

static void on_contradicted(void *context, const struct address *address)
{
    backfill_ask(((struct upstream *)context)->backfill, address);
}

static void on_found(void *context, const struct payment *payment, bool stored)
{
    struct upstream *upstream = context;
    sources_note_payment(upstream->sources, upstream->reconciler, payment, stored, clock_wall_ms());
}

static void on_swept(void *context, bool whole)
{
    struct upstream *upstream = context;
    upstream->swept_whole = whole;
    sources_note_message(upstream->sources, upstream->reconciler);
}

void upstream_note_held(void *context)
{
    prove_note_held(((struct upstream *)context)->prove);
}

/* ---- asked from outside -------------------------------------------------------------------------------------------------- */

struct wish {
    struct upstream *upstream;
    const char *why;
};

static void sweep_on_loop(void *context)
{
    struct wish wish = *(struct wish *)context;
    free(context);
    backfill_sweep(wish.upstream->backfill, wish.why);
}

bool upstream_reconcile(void *context, const char *why)
{
    struct upstream *upstream = context;
    if (upstream->backfill == NULL) {
        return false;
    }
    struct wish *wish = cs_alloc(sizeof(*wish));
    *wish = (struct wish){upstream, why};
    if (node_loop_post(upstream->loop, sweep_on_loop, wish) != CS_OK) {
        free(wish);
        return false;
    }
    return true;
}

const char *upstream_check(void *context)
{
    return atomic_load(&((struct upstream *)context)->trouble);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static enum cs_err open_rpc(struct upstream *upstream, char error[UPSTREAM_ERROR_SIZE])
{
    const struct upstream_options *options = &upstream->options;
    char why[RPC_ERROR_SIZE];
    const struct rpc_options rpc = {
        .url = options->rpc,
        .headers = &options->rpc_header,
        .header_count = options->rpc_header[0] != '\0',
        .ca_file = options->ca_file,
        .calls_per_s = options->rpc_calls_per_s,
        .connections = options->rpc_connections,
        .timeout_ms = options->rpc_timeout_s * 1000,
        .waiting_most = WAITING_MOST,
        .answer_bytes_most = RPC_ANSWER_BYTES_MOST,
        .metrics = options->metrics,
    };
    enum cs_err err = rpc_open(&rpc, upstream->loop, &upstream->rpc, why);
    if (err != CS_OK) {
        snprintf(error, UPSTREAM_ERROR_SIZE, "[nano] rpc: %s", why);
        return err;
    }
    const struct backfill_options backfill = {
        .rpc = upstream->rpc,
        .store = upstream->store,
        .loop = upstream->loop,
        .metrics = options->metrics,
        .batch = options->batch,
        .sweep_s = options->sweep_s,
        .context = upstream,
        .found = on_found,
        .swept = on_swept,
    };
    upstream->backfill = backfill_open(&backfill);
    return CS_OK;
}

static void open_confirm(struct upstream *upstream)
{
    const struct confirm_options options = {
        .rpc = upstream->rpc,
        .store = upstream->store,
        .loop = upstream->loop,
        .others = upstream->socket_count > 0,
        .metrics = upstream->options.metrics,
        .context = upstream,
        .confirmed = on_callback_heard,
        .contradicted = on_contradicted,
    };
    upstream->confirm = confirm_open(&options);
}

static void open_prove(struct upstream *upstream)
{
    const struct prove_options options = {
        .rpc = upstream->rpc,
        .store = upstream->store,
        .loop = upstream->loop,
        .metrics = upstream->options.metrics,
    };
    upstream->prove = prove_open(&options);
}

static int64_t read_payable(void *context)
{
    return store_not_payable(((struct upstream *)context)->store) == NULL;
}

static int64_t read_addresses(void *context)
{
    struct store_coverage coverage;
    store_find_coverage(((struct upstream *)context)->store, &coverage);
    return (int64_t)coverage.addresses;
}

static int64_t read_proven(void *context)
{
    struct store_coverage coverage;
    store_find_coverage(((struct upstream *)context)->store, &coverage);
    return (int64_t)coverage.proven;
}

static void add_gauges(struct upstream *upstream)
{
    struct metrics *metrics = upstream->options.metrics;
    metrics_add_gauge(metrics, "coinslot_payable", "",
                      "1: news comes in, machines may take money; 0: GET /api/v1/sources says why not.",
                      read_payable, upstream);
    metrics_add_gauge(metrics, "coinslot_addresses", "", "Addresses that devices are paid on.",
                      read_addresses, upstream);
    metrics_add_gauge(metrics, "coinslot_addresses_proven", "",
                      "Of these, those whose payments are known to be complete.", read_proven, upstream);
}

enum cs_err upstream_open(const struct upstream_options *options, struct store *store,
                          struct upstream **opened, char error[UPSTREAM_ERROR_SIZE])
{
    assert(!options->confirm || options->rpc[0] != '\0');
    struct upstream *upstream = cs_alloc(sizeof(*upstream));
    upstream->options = *options;
    upstream->store = store;
    upstream->loop = node_loop_open(POSTS_MOST);
    upstream->sources = sources_open(options->metrics);
    upstream->callback = sources_add(upstream->sources, SOURCE_CALLBACK, "callback", true);
    uv_timer_init(node_loop_uv(upstream->loop), &upstream->timer);
    upstream->timer.data = upstream;
    uv_timer_init(node_loop_uv(upstream->loop), &upstream->bare_timer);
    upstream->bare_timer.data = upstream;
    enum cs_err err = options->rpc[0] != '\0' ? open_rpc(upstream, error) : CS_OK;
    err = err != CS_OK ? err : upstream_open_sockets(upstream, error);
    if (err != CS_OK) {
        upstream_stop(upstream);
        upstream_close(upstream);
        return err;
    }
    if (upstream->rpc != NULL) {
        upstream->reconciler = sources_add(upstream->sources, SOURCE_BACKFILL, "reconciliation", false);
    }
    if (options->confirm) {
        open_confirm(upstream);
    }
    open_prove(upstream);
    sources_add_metrics(upstream->sources);
    add_gauges(upstream);
    store_each_watched(store, upstream_watch_at_start, upstream);
    *opened = upstream;
    return CS_OK;
}

static void on_timer(uv_timer_t *timer)
{
    upstream_watch_tick(timer->data);
}

enum cs_err upstream_start(struct upstream *upstream)
{
    upstream->started_ns = clock_monotonic_ns();
    uv_timer_start(&upstream->timer, on_timer, 0, TICK_MS);
    for (size_t i = 0; i < upstream->socket_count; i++) {
        nano_ws_start(upstream->sockets[i].ws);
    }
    if (upstream->backfill != NULL) {
        store_note_incident(upstream->store, "started");
        backfill_sweep(upstream->backfill, "the relay has started");
    }
    return node_loop_start(upstream->loop);
}

void upstream_stop(struct upstream *upstream)
{
    node_loop_stop(upstream->loop);
    for (size_t i = 0; i < upstream->socket_count; i++) {
        nano_ws_stop(upstream->sockets[i].ws);
    }
    if (upstream->rpc != NULL) {
        rpc_stop(upstream->rpc);
    }
}

/* What the writer answered after the stop is dropped here. */
void upstream_close(struct upstream *upstream)
{
    uv_close((uv_handle_t *)&upstream->timer, NULL);
    uv_close((uv_handle_t *)&upstream->bare_timer, NULL);
    if (upstream->confirm != NULL) {
        confirm_stop(upstream->confirm);
    }
    if (upstream->prove != NULL) {
        prove_stop(upstream->prove);
    }
    if (upstream->backfill != NULL) {
        backfill_stop(upstream->backfill);
    }
    if (upstream->source != NULL) {
        nano_source_stop(upstream->source);
    }
    node_loop_settle(upstream->loop);
    for (size_t i = 0; i < upstream->socket_count; i++) {
        nano_ws_close(upstream->sockets[i].ws);
    }
    if (upstream->counters != NULL) {
        nano_ws_counters_close(upstream->counters);
    }
    if (upstream->source != NULL) {
        nano_source_close(upstream->source);
    }
    if (upstream->confirm != NULL) {
        confirm_close(upstream->confirm);
    }
    if (upstream->prove != NULL) {
        prove_close(upstream->prove);
    }
    if (upstream->backfill != NULL) {
        backfill_close(upstream->backfill);
    }
    if (upstream->rpc != NULL) {
        rpc_close(upstream->rpc);
    }
    node_loop_settle(upstream->loop);
    node_loop_close(upstream->loop);
    sources_close(upstream->sources);
    free(upstream);
}
