/* Whether news comes in: asks the RPC how the node is, compares, and draws the consequences. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/upstream_internal.h"

#define LOG_MODULE "upstream"

#define SECOND_NS           1000000000u
#define ASK_EVERY_NS        (5ull * SECOND_NS)
#define TELEMETRY_EVERY_NS  (60ull * SECOND_NS)
#define DOWN_PATIENCE_NS    (15ull * SECOND_NS) /* before an RPC that does not answer is an incident */
#define START_PATIENCE_NS   (10ull * SECOND_NS) /* for the first connection, before nothing comes in */
#define CALLBACK_SILENCE_MS 60000               /* without a callback, while … */
#define CALLBACK_BLOCKS     20    /* … so many blocks were cemented: it is not called any more */
#define LAG_BLOCKS          10000 /* so far behind its own blocks, or the network, a node is not up to date */
#define LAG_TIMES_MORE      1000  /* or a thousandth of all there are: a young network is small */
#define DEAF_SWEEPS         20 /* without a live source addresses are looked at so many times as often … */
#define DEAF_SWEEP_LEAST_NS (10ull * SECOND_NS) /* … but not more often than this, nor … */
#define DEAF_SWEEP_MOST_NS  (30ull * SECOND_NS) /* … more seldom */
#define REFUSED_PAUSE_NS    (5ull * SECOND_NS) /* after news was refused, before what is missing is looked for */

/* Without an RPC nothing is ever proven, so that nothing is lost. */
static void note_incident(struct upstream *upstream, const char *why)
{
    if (upstream->backfill != NULL) {
        store_note_incident(upstream->store, why);
    }
}

/* An RPC that answers nothing but errors is as good as none. */
void upstream_rpc_state(struct upstream *upstream, struct rpc_state *state)
{
    rpc_state(upstream->rpc, state);
    const char *useless = atomic_load(&upstream->useless);
    if (state->reach == RPC_UP && useless != NULL) {
        state->reach = RPC_DOWN;
        snprintf(state->why, sizeof(state->why), "%s", useless);
    }
}

/* ---- how the node is --------------------------------------------------------------------------------------------------- */

static void watch_lag(struct upstream *upstream);

static void on_count(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct upstream *upstream = context;
    struct rpc_block_count count;
    char error[RPC_ANSWER_ERROR_SIZE];
    (void)why;
    upstream->asking = false;
    if (result != RPC_OK || rpc_read_block_count(answer, &count, error) != CS_OK) {
        /* Of one that does not answer at all rpc knows more. */
        atomic_store(&upstream->useless,
                     result == RPC_ERROR
                         ? "it answers block_count with an error: is the key right, the quota used up?"
                     : result == RPC_OK ? "its answer to block_count cannot be read"
                                        : NULL);
        return;
    }
    atomic_store(&upstream->useless, NULL);
    atomic_store(&upstream->count, count.count);
    atomic_store(&upstream->cemented, count.has_cemented ? count.cemented : count.count);
    for (size_t i = 0; i < upstream->socket_count; i++) {
        nano_ws_note_count(upstream->sockets[i].ws, atomic_load(&upstream->cemented));
    }
    watch_lag(upstream); /* at once: at the start the first walks are not far behind this answer */
}

static void on_version(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct upstream *upstream = context;
    char error[RPC_ANSWER_ERROR_SIZE];
    (void)why;
    if (result == RPC_OK && rpc_read_version(answer, &upstream->version, error) == CS_OK) {
        upstream->has_version = true;
        backfill_set_version(upstream->backfill, &upstream->version);
        log_info("the node is %s, on the network %s", upstream->version.vendor,
                 upstream->version.network[0] != '\0' ? upstream->version.network : "that it does not name");
    }
}

/* Providers may refuse it; then only the node's own count is compared. */
static void on_telemetry(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct upstream *upstream = context;
    struct rpc_block_count network;
    char error[RPC_ANSWER_ERROR_SIZE];
    (void)why;
    if (result == RPC_OK && rpc_read_telemetry(answer, &network, error) == CS_OK) {
        atomic_store(&upstream->network, network.cemented);
        watch_lag(upstream);
    }
}

static void ask_node(struct upstream *upstream, uint64_t now_ns)
{
    if (upstream->asking || (upstream->asked_ns != 0 && now_ns - upstream->asked_ns < ASK_EVERY_NS)) {
        return;
    }
    upstream->asked_ns = now_ns;
    upstream->asking = rpc_call(upstream->rpc, RPC_LIVE, rpc_ask_block_count(), on_count, upstream) == CS_OK;
    if (!upstream->has_version) {
        (void)!rpc_call(upstream->rpc, RPC_LIVE, rpc_ask_version(), on_version, upstream);
    }
    if (upstream->telemetry_ns == 0 || now_ns - upstream->telemetry_ns >= TELEMETRY_EVERY_NS) {
        upstream->telemetry_ns = now_ns;
        (void)!rpc_call(upstream->rpc, RPC_LIVE, rpc_ask_telemetry(), on_telemetry, upstream);
    }
}

static bool is_behind(uint64_t here, uint64_t there)
{
    uint64_t share = there / LAG_TIMES_MORE;
    uint64_t most = share < LAG_BLOCKS ? share : LAG_BLOCKS;
    return there > here && there - here > most + 10;
}

static bool is_lagging(const struct upstream *upstream)
{
    uint64_t cemented = atomic_load(&upstream->cemented);
    return cemented != 0 && (is_behind(cemented, atomic_load(&upstream->count)) ||
                             is_behind(cemented, atomic_load(&upstream->network)));
}

/* ---- who is alive ------------------------------------------------------------------------------------------------------ */

bool upstream_socket_alive(const struct upstream *upstream)
{
    for (size_t i = 0; i < upstream->socket_count; i++) {
        if (upstream->sockets[i].connected) {
            return true;
        }
    }
    return false;
}

/* A node calls back for every block of the network: while blocks are cemented, silence says that it does not any more. */
static bool watch_callback(struct upstream *upstream)
{
    int64_t at_ms = atomic_load(&upstream->callback_at_ms);
    if (at_ms == 0) {
        return false;
    }
    uint64_t cemented = atomic_load(&upstream->cemented), then = atomic_load(&upstream->cemented_at_callback);
    bool silent = clock_wall_ms() - at_ms > CALLBACK_SILENCE_MS && cemented > then &&
                  cemented - then >= CALLBACK_BLOCKS;
    sources_set_alive(
        upstream->sources, upstream->callback, !silent,
        "the node goes on, and has not called back for a minute: look at [node.httpcallback] in its config");
    return !silent;
}

/* Whether what is paid now will be known in a moment. Without an RPC there is nothing to compare a callback's silence with. */
static bool has_live_source(struct upstream *upstream)
{
    bool callback = watch_callback(upstream);
    if (callback || upstream_socket_alive(upstream)) {
        return true;
    }
    bool callback_in_use = atomic_load(&upstream->callback_at_ms) != 0;
    if (upstream->socket_count > 0 || callback_in_use) {
        return false;
    }
    return upstream->rpc == NULL || (upstream->reach == RPC_UP && upstream->swept_whole);
}

/* ---- what follows -------------------------------------------------------------------------------------------------------- */

static void watch_rpc(struct upstream *upstream, uint64_t now_ns)
{
    struct rpc_state state;
    upstream_rpc_state(upstream, &state);
    if (state.reach == RPC_UP && upstream->reach == RPC_DOWN) {
        backfill_sweep(upstream->backfill, "the node's RPC answers again");
    }
    upstream->reach = state.reach;
    if (state.reach != RPC_DOWN) {
        upstream->down_ns = 0;
        upstream->down_told = false;
        sources_set_alive(upstream->sources, upstream->reconciler,
                          state.reach == RPC_UP && upstream->swept_whole,
                          state.reach == RPC_UP ? "not every address could be looked at yet"
                                                : "the node was not asked yet");
        return;
    }
    upstream->down_ns = upstream->down_ns == 0 ? now_ns : upstream->down_ns;
    sources_set_alive(upstream->sources, upstream->reconciler, false, state.why);
    if (!upstream->down_told && now_ns - upstream->down_ns >= DOWN_PATIENCE_NS) {
        upstream->down_told = true;
        note_incident(upstream, "node_unreachable");
    }
}

/* News that was refused is found by asking for it. */
static void watch_lost(struct upstream *upstream, uint64_t now_ns)
{
    const char *lost = atomic_exchange(&upstream->lost, NULL);
    if (lost != NULL) {
        note_incident(upstream, lost);
        upstream->lost_sweep_ns =
            upstream->lost_sweep_ns == 0 ? now_ns + REFUSED_PAUSE_NS : upstream->lost_sweep_ns;
    }
    if (upstream->lost_sweep_ns != 0 && now_ns >= upstream->lost_sweep_ns) {
        upstream->lost_sweep_ns = 0;
        (void)upstream_reconcile(upstream, "news had to be refused");
    }
}

/* What a node says that is behind is true of the past only. */
static void watch_lag(struct upstream *upstream)
{
    bool lagging = is_lagging(upstream);
    if (lagging) {
        note_incident(upstream, "node_lagging");
    } else if (upstream->lagging) {
        backfill_sweep(upstream->backfill, "the node is up to date again");
    }
    if (lagging && !upstream->lagging) {
        log_warn(
            "the node is behind: nothing that it says proves anything cemented=%llu blocks=%llu network=%llu",
            (unsigned long long)atomic_load(&upstream->cemented),
            (unsigned long long)atomic_load(&upstream->count),
            (unsigned long long)atomic_load(&upstream->network));
    }
    upstream->lagging = lagging;
    backfill_set_behind(upstream->backfill, lagging);
    prove_set_behind(upstream->prove, lagging);
}

static void watch_live(struct upstream *upstream, bool live, uint64_t now_ns)
{
    if (upstream->live && !live) {
        log_warn("no source is alive: payments are not heard of");
        note_incident(upstream, "source_lost");
    }
    uint64_t every_ns = (uint64_t)upstream->options.sweep_s * SECOND_NS / DEAF_SWEEPS;
    every_ns = every_ns < DEAF_SWEEP_MOST_NS ? every_ns : DEAF_SWEEP_MOST_NS;
    every_ns = every_ns > DEAF_SWEEP_LEAST_NS ? every_ns : DEAF_SWEEP_LEAST_NS;
    if (!live && upstream->backfill != NULL && upstream->reach == RPC_UP &&
        now_ns - upstream->last_sweep_ns >= every_ns) {
        upstream->last_sweep_ns = now_ns;
        backfill_sweep(upstream->backfill, "no source is alive");
    }
    upstream->live = live;
    upstream->was_live |= live;
}

static void judge(struct upstream *upstream, bool live, uint64_t now_ns)
{
    const char *code = NULL, *words = NULL;
    bool callbacks_only = !upstream_socket_alive(upstream);
    if (!live) {
        bool starting = !upstream->was_live && now_ns - upstream->started_ns < START_PATIENCE_NS;
        code = starting ? "starting" : "no_source";
        words = starting ? "the sources are not connected yet"
                         : "no source is alive: payments are not heard of; see GET /api/v1/sources";
    } else if (upstream->rpc != NULL && upstream->reach == RPC_DOWN && upstream->confirm != NULL &&
               callbacks_only) {
        code = "node_unreachable";
        words = "the node's RPC does not answer: nothing that callbacks say can be confirmed";
    } else if (upstream->lagging) {
        code = "node_lagging";
        words = "the node is behind the network, or has yet to cement what it knows";
    }
    store_set_payable(upstream->store, code);
    store_set_provable(upstream->store, upstream->rpc != NULL && upstream->reach != RPC_DOWN &&
                                            !prove_is_failing(upstream->prove));
    atomic_store(&upstream->trouble, words);
}

void upstream_watch_tick(struct upstream *upstream)
{
    uint64_t now_ns = clock_monotonic_ns();
    sources_settle(upstream->sources, clock_wall_ms());
    if (upstream->rpc != NULL) {
        ask_node(upstream, now_ns);
        watch_rpc(upstream, now_ns);
        watch_lag(upstream);
    }
    watch_lost(upstream, now_ns);
    prove_tick(upstream->prove);
    bool live = has_live_source(upstream);
    watch_live(upstream, live, now_ns);
    judge(upstream, live, now_ns);
}
