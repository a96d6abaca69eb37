#include "node/nano.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/nano_internal.h"

#define LOG_MODULE "nano"

#define POSTS_MOST   65536
#define TICK_MS      1000
#define WAITING_MOST 4096  /* calls of the RPC */
#define QUEUE_MOST   16384 /* payments that wait because the writer's inbox is full */

/* ---- what comes in, on any thread ---------------------------------------------------------------------------------------- */

static void on_callback_alive(void *context)
{
    struct nano *nano = context;
    atomic_store(&nano->cemented_at_callback, atomic_load(&nano->cemented));
    if (atomic_exchange(&nano->callback_at_ms, clock_wall_ms()) == 0) {
        sources_set_alive(nano->sources, nano->callback, true, "");
    }
    sources_note_message(nano->sources, nano->callback);
}

static void on_callback_heard(void *context, const struct payment *payment, bool stored, int64_t heard_at_ms)
{
    struct nano *nano = context;
    sources_note_payment(nano->sources, nano->callback, payment, stored, heard_at_ms);
}

static void on_callback_waits(void *context, int64_t num, const struct payment *payment)
{
    struct nano *nano = context;
    confirm_add(nano->confirm, num, payment);
}

static void on_callback_refused(void *context, const char *why)
{
    struct nano *nano = context;
    sources_note_lost(nano->sources, nano->callback);
    atomic_store(&nano->lost, why);
}

struct callback_sink nano_callback_sink(struct nano *nano)
{
    return (struct callback_sink){.context = nano,
                                  .alive = on_callback_alive,
                                  .heard = on_callback_heard,
                                  .waits = nano->confirm != NULL ? on_callback_waits : NULL,
                                  .refused = on_callback_refused};
}

static void on_contradicted(void *context, const struct address *address)
{
    backfill_ask(((struct nano *)context)->backfill, address);
}

static void on_found(void *context, const struct payment *payment, bool stored)
{
    struct nano *nano = context;
    sources_note_payment(nano->sources, nano->reconciler, payment, stored, clock_wall_ms());
}

static void on_swept(void *context, bool whole)
{
    struct nano *nano = context;
    nano->swept_whole = whole;
    sources_note_message(nano->sources, nano->reconciler);
}

/* ---- the nodes' WebSockets ------------------------------------------------------------------------------------------------ */

static struct socket *socket_of(struct nano *nano, const struct nano_ws *ws)
{
    for (size_t i = 0; i < nano->socket_count; i++) {
        if (nano->sockets[i].ws == ws) {
            return &nano->sockets[i];
        }
    }
    assert(!"one of ours");
    return NULL;
}

size_t nano_source_of(struct nano *nano, const struct nano_ws *ws)
{
    return socket_of(nano, ws)->source;
}

static void on_connected(void *context, struct nano_ws *ws)
{
    struct nano *nano = context;
    struct socket *socket = socket_of(nano, ws);
    socket->connected = true;
    sources_set_alive(nano->sources, socket->source, true, "");
    sources_note_message(nano->sources, socket->source);
    (void)nano_reconcile(nano, "a node's WebSocket is subscribed: what came before has to be asked for");
}

static void on_lost(void *context, struct nano_ws *ws, const char *why)
{
    struct nano *nano = context;
    struct socket *socket = socket_of(nano, ws);
    socket->connected = false;
    sources_set_alive(nano->sources, socket->source, false, why);
}

static void on_confirmed(void *context, struct nano_ws *ws, const struct notice *notice,
                         enum nano_ws_confirmation confirmation, int64_t time_ms)
{
    struct nano *nano = context;
    struct socket *socket = socket_of(nano, ws);
    (void)confirmation;
    sources_note_message(nano->sources, socket->source);
    nano_source_take(nano->source, socket->source, notice, time_ms);
}

static void on_silent(void *context, struct nano_ws *ws)
{
    (void)context;
    (void)ws; /* `lost` follows, and says it */
}

static void on_brought(void *context, size_t source, const struct payment *payment, bool stored,
                       int64_t heard_at_ms)
{
    sources_note_payment(((struct nano *)context)->sources, source, payment, stored, heard_at_ms);
}

static void on_reading(void *context, bool reading)
{
    struct nano *nano = context;
    for (size_t i = 0; i < nano->socket_count; i++) {
        nano_ws_set_reading(nano->sockets[i].ws, reading);
    }
}

static void on_refused(void *context)
{
    atomic_store(&((struct nano *)context)->lost, "disk_full");
}

/* ---- addresses that come and go -------------------------------------------------------------------------------------------- */

struct watched {
    struct nano *nano;
    struct address address;
    bool added;
};

static void watch_on_loop(void *context)
{
    struct watched watched = *(struct watched *)context;
    free(context);
    for (size_t i = 0; i < watched.nano->socket_count; i++) {
        nano_ws_watch(watched.nano->sockets[i].ws, &watched.address, watched.added);
    }
}

void nano_note_watched(void *context, const struct address *address, enum store_watch watch)
{
    struct nano *nano = context;
    if (watch == STORE_WATCH_SUBSCRIBED) {
        if (nano->backfill != NULL) {
            backfill_ask(nano->backfill, address);
        }
        return;
    }
    if (nano->socket_count == 0) {
        return;
    }
    struct watched *watched = cs_alloc(sizeof(*watched));
    *watched = (struct watched){nano, *address, watch == STORE_WATCH_BEGUN};
    enum cs_err err = node_loop_post(nano->loop, watch_on_loop, watched);
    if (err != CS_OK) {
        /* The filter would stay wrong for good: a restart is safe. Never seen: the queue holds tens of thousands. */
        if (err == CS_EBUSY) {
            log_die(LOG_MODULE,
                    "the node thread does not take up new addresses; start again, nothing committed is lost");
        }
        free(watched);
    }
}

static void watch_at_start(void *context, const struct address *address)
{
    struct nano *nano = context;
    for (size_t i = 0; i < nano->socket_count; i++) {
        nano_ws_watch(nano->sockets[i].ws, address, true);
    }
}

/* ---- asked from outside -------------------------------------------------------------------------------------------------- */

struct wish {
    struct nano *nano;
    const char *why;
};

static void sweep_on_loop(void *context)
{
    struct wish wish = *(struct wish *)context;
    free(context);
    backfill_sweep(wish.nano->backfill, wish.why);
}

bool nano_reconcile(void *context, const char *why)
{
    struct nano *nano = context;
    if (nano->backfill == NULL) {
        return false;
    }
    struct wish *wish = cs_alloc(sizeof(*wish));
    *wish = (struct wish){nano, why};
    if (node_loop_post(nano->loop, sweep_on_loop, wish) != CS_OK) {
        free(wish);
        return false;
    }
    return true;
}

const char *nano_check(void *context)
{
    return atomic_load(&((struct nano *)context)->trouble);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static enum cs_err open_rpc(struct nano *nano, char error[NANO_ERROR_SIZE])
{
    const struct nano_options *options = &nano->options;
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
    enum cs_err err = rpc_open(&rpc, nano->loop, &nano->rpc, why);
    if (err != CS_OK) {
        snprintf(error, NANO_ERROR_SIZE, "[nano] rpc: %s", why);
        return err;
    }
    const struct backfill_options backfill = {
        .rpc = nano->rpc,
        .store = nano->store,
        .loop = nano->loop,
        .metrics = options->metrics,
        .batch = options->batch,
        .sweep_s = options->sweep_s,
        .context = nano,
        .found = on_found,
        .swept = on_swept,
    };
    nano->backfill = backfill_open(&backfill);
    return CS_OK;
}

static void open_confirm(struct nano *nano)
{
    const struct confirm_options options = {
        .rpc = nano->rpc,
        .store = nano->store,
        .loop = nano->loop,
        .metrics = nano->options.metrics,
        .context = nano,
        .confirmed = on_callback_heard,
        .contradicted = on_contradicted,
    };
    nano->confirm = confirm_open(&options);
}

static enum cs_err open_socket(struct nano *nano, const char *url, char error[NANO_ERROR_SIZE])
{
    char why[NANO_WS_OPEN_ERROR_SIZE];
    struct socket *socket = &nano->sockets[nano->socket_count];
    const struct nano_ws_options options = {
        .loop = nano->loop,
        .url = url,
        .header = nano->options.ws_header,
        .ca_file = nano->options.ca_file[0] != '\0' ? nano->options.ca_file : NULL,
        .filter = nano->options.ws_filter_all ? NANO_WS_FILTER_ALL : NANO_WS_FILTER_ACCOUNTS,
        .silence_s = nano->rpc != NULL ? nano->options.silence_s : 0,
        .times = &NANO_WS_TIMES,
        .counters = &nano->counters[nano->socket_count],
        .events = {nano, on_connected, on_lost, on_confirmed, nano_bare_take, on_silent},
    };
    socket->ws = nano_ws_open(&options, why);
    if (socket->ws == NULL) {
        snprintf(error, NANO_ERROR_SIZE, "[nano] ws: %s", why);
        return CS_EINVAL;
    }
    socket->nano = nano;
    socket->source = sources_add(nano->sources, SOURCE_NANO_WS, nano_ws_shown_url(socket->ws), true);
    nano->socket_count++;
    return CS_OK;
}

static enum cs_err open_sockets(struct nano *nano, char error[NANO_ERROR_SIZE])
{
    const struct nano_source_options source = {
        .loop = nano->loop,
        .store = nano->store,
        .signature = nano->options.signature,
        .queue_most = QUEUE_MOST,
        .metrics = nano->options.metrics,
        .context = nano,
        .reading = on_reading,
        .refused = on_refused,
        .brought = on_brought,
    };
    char urls[1024];
    snprintf(urls, sizeof(urls), "%s", nano->options.ws);
    size_t count = 0;
    for (char *at = urls; *at != '\0'; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        count += *at != '\0';
    }
    if (count > NANO_SOCKETS_MOST) {
        snprintf(error, NANO_ERROR_SIZE, "[nano] ws has %zu URLs: at most %d", count, NANO_SOCKETS_MOST);
        return CS_EINVAL;
    }
    nano->source = nano_source_open(&source);
    nano->counters = nano_ws_counters_open(nano->options.metrics, count);
    enum cs_err err = CS_OK;
    char *rest = NULL;
    for (char *url = strtok_r(urls, " ", &rest); url != NULL && err == CS_OK;
         url = strtok_r(NULL, " ", &rest)) {
        err = open_socket(nano, url, error);
    }
    return err;
}

enum cs_err nano_open(const struct nano_options *options, struct store *store, struct nano **opened,
                      char error[NANO_ERROR_SIZE])
{
    if (options->confirm && options->rpc[0] == '\0') {
        snprintf(
            error, NANO_ERROR_SIZE,
            "[callback] confirm = node asks the node whether a block is confirmed, and [nano] rpc names none: write rpc = "
            "http://[::1]:7076 under [nano] in the config file (--config), or confirm = source if nobody but your own "
            "node can call the callback; it is then believed");
        return CS_EINVAL;
    }
    struct nano *nano = cs_alloc(sizeof(*nano));
    nano->options = *options;
    nano->store = store;
    nano->loop = node_loop_open(POSTS_MOST);
    nano->sources = sources_open(options->metrics);
    nano->callback = sources_add(nano->sources, SOURCE_CALLBACK, "callback", true);
    uv_timer_init(node_loop_uv(nano->loop), &nano->timer);
    nano->timer.data = nano;
    uv_timer_init(node_loop_uv(nano->loop), &nano->bare_timer);
    nano->bare_timer.data = nano;
    enum cs_err err = options->rpc[0] != '\0' ? open_rpc(nano, error) : CS_OK;
    err = err != CS_OK ? err : open_sockets(nano, error);
    if (err != CS_OK) {
        nano_stop(nano);
        nano_close(nano);
        return err;
    }
    if (nano->rpc != NULL) {
        nano->reconciler = sources_add(nano->sources, SOURCE_BACKFILL, "reconciliation", false);
    }
    if (options->confirm) {
        open_confirm(nano);
    }
    sources_add_metrics(nano->sources);
    store_each_watched(store, watch_at_start, nano);
    *opened = nano;
    return CS_OK;
}

static void on_timer(uv_timer_t *timer)
{
    nano_watch_tick(timer->data);
}

enum cs_err nano_start(struct nano *nano)
{
    nano->started_ns = clock_monotonic_ns();
    store_note_incident(nano->store, "started");
    uv_timer_start(&nano->timer, on_timer, 0, TICK_MS);
    for (size_t i = 0; i < nano->socket_count; i++) {
        nano_ws_start(nano->sockets[i].ws);
    }
    if (nano->backfill != NULL) {
        backfill_sweep(nano->backfill, "the relay has started");
    }
    return node_loop_start(nano->loop);
}

void nano_stop(struct nano *nano)
{
    node_loop_stop(nano->loop);
    for (size_t i = 0; i < nano->socket_count; i++) {
        nano_ws_stop(nano->sockets[i].ws);
    }
    if (nano->rpc != NULL) {
        rpc_stop(nano->rpc);
    }
}

/* What the writer answered after the stop is dropped here. */
void nano_close(struct nano *nano)
{
    uv_close((uv_handle_t *)&nano->timer, NULL);
    uv_close((uv_handle_t *)&nano->bare_timer, NULL);
    if (nano->confirm != NULL) {
        confirm_stop(nano->confirm);
    }
    if (nano->backfill != NULL) {
        backfill_stop(nano->backfill);
    }
    if (nano->source != NULL) {
        nano_source_stop(nano->source);
    }
    node_loop_settle(nano->loop);
    for (size_t i = 0; i < nano->socket_count; i++) {
        nano_ws_close(nano->sockets[i].ws);
    }
    if (nano->counters != NULL) {
        nano_ws_counters_close(nano->counters);
    }
    if (nano->source != NULL) {
        nano_source_close(nano->source);
    }
    if (nano->confirm != NULL) {
        confirm_close(nano->confirm);
    }
    if (nano->backfill != NULL) {
        backfill_close(nano->backfill);
    }
    if (nano->rpc != NULL) {
        rpc_close(nano->rpc);
    }
    node_loop_settle(nano->loop);
    node_loop_close(nano->loop);
    sources_close(nano->sources);
    free(nano);
}
