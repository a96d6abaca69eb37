#include "node/rpc.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "node/pace.h"
#include "node/transfer.h"

#define LOG_MODULE "rpc"

static const char *const RESULTS[RPC_RESULT_COUNT] = {
    "ok", "error", "status", "unreachable", "timeout", "too_big", "malformed", "closed",
};
static const char *const RESULT_LABELS[RPC_RESULT_COUNT] = {
    "result=\"ok\"",      "result=\"error\"",   "result=\"status\"",    "result=\"unreachable\"",
    "result=\"timeout\"", "result=\"too_big\"", "result=\"malformed\"", "result=\"closed\"",
};

struct call {
    struct rpc *rpc;
    struct call *next; /* while it waits */
    enum rpc_priority priority;
    char *request; /* owned, until it is under way */
    rpc_done *done;
    void *context;
    uint64_t number; /* of those that left, from 1 */
    uint64_t began_ns;
};

struct queue {
    struct call *first, *last;
    _Atomic int64_t count; /* read by the metrics */
};

struct rpc {
    struct node_loop *loop;
    struct transfers *transfers;
    struct pace pace;
    uv_timer_t pause; /* until the pace allows the next one */
    struct queue queues[RPC_PRIORITY_COUNT];
    uint32_t connections, waiting_most;
    uint32_t under_way[RPC_PRIORITY_COUNT];
    _Atomic int64_t in_flight; /* the sum of them, read by the metrics */
    bool stopped, closed, calling_back, timer_closed;

    uint64_t left,
        answered_last; /* numbers of calls: the last that left; the highest of those answered as a node does */
    char name[TRANSFER_NAME_SIZE];
    pthread_mutex_t lock;   /* of the state */
    struct rpc_state state; /* written only by the loop's thread */

    uint32_t live_in_a_row; /* since the last sweep's call */
    metrics_count *results[RPC_RESULT_COUNT];
    metrics_count *refused[RPC_PRIORITY_COUNT];
    metrics_count *duration_us;
};

const char *rpc_result_text(enum rpc_result result)
{
    return RESULTS[result];
}

/* ---- what is known of the endpoint ------------------------------------------------------------------------------------- */

void rpc_state(struct rpc *rpc, struct rpc_state *state)
{
    pthread_mutex_lock(&rpc->lock);
    *state = rpc->state;
    pthread_mutex_unlock(&rpc->lock);
}

static void note_reach(struct rpc *rpc, enum rpc_reach reach, const char *why)
{
    enum rpc_reach before = rpc->state.reach;
    int64_t now_ms = clock_wall_ms(), since_ms = rpc->state.since_ms;
    pthread_mutex_lock(&rpc->lock);
    if (reach == RPC_UP) {
        rpc->state.heard_ms = now_ms;
    }
    if (reach != before) {
        rpc->state.reach = reach;
        rpc->state.since_ms = now_ms;
    }
    snprintf(rpc->state.why, sizeof(rpc->state.why), "%s", why);
    pthread_mutex_unlock(&rpc->lock);
    if (reach == before) {
        return;
    }
    if (reach == RPC_DOWN) {
        log_warn("the node's RPC does not answer url=%s why=%s", rpc->name, why);
    } else if (before == RPC_DOWN) {
        log_info("the node's RPC answers again url=%s after_s=%" PRId64, rpc->name,
                 (now_ms - since_ms) / 1000);
    } else {
        log_info("the node's RPC answers url=%s", rpc->name);
    }
}

static void note_result(struct rpc *rpc, const struct call *call, enum rpc_result result, const char *why)
{
    switch (result) {
    case RPC_OK:
    case RPC_ERROR:
        rpc->answered_last = call->number > rpc->answered_last ? call->number : rpc->answered_last;
        note_reach(rpc, RPC_UP, "");
        return;
    case RPC_STATUS:
    case RPC_UNREACHABLE:
    case RPC_TIMEOUT:
    case RPC_MALFORMED:
        /* What was asked after this one and has been answered since proves more. */
        if (call->number > rpc->answered_last) {
            note_reach(rpc, RPC_DOWN, why);
        }
        return;
    case RPC_TOO_BIG:
    case RPC_CLOSED:
        return;
    }
}

/* ---- what came of a call ------------------------------------------------------------------------------------------------- */

/* A body's first words, for a log: one line, nothing that is not to be printed. */
static void quote(const char *body, char text[80])
{
    size_t length = 0;
    for (const char *c = body; *c != '\0' && length < 79; c++) {
        if (*c >= ' ' && *c <= '~') {
            text[length++] = *c;
        }
    }
    text[length] = '\0';
}

/* The object, owned; NULL with the reason in `why`. */
static json_t *read_answer(const struct transfer_end *end, char why[RPC_WHY_SIZE])
{
    char error[JSON_ERROR_SIZE];
    json_t *answer = json_read(end->body, end->size, RPC_ANSWER_DEPTH_MOST, error);
    if (answer == NULL) {
        snprintf(why, RPC_WHY_SIZE, "%s", error);
    } else if (!json_is_object(answer)) {
        snprintf(why, RPC_WHY_SIZE, "the answer is no JSON object");
        json_decref(answer);
        answer = NULL;
    }
    return answer;
}

static enum rpc_result judge_body(const struct transfer_end *end, json_t **answer, char why[RPC_WHY_SIZE])
{
    if (end->status < 200 || end->status > 299) {
        char said[80];
        quote(end->body, said);
        snprintf(why, RPC_WHY_SIZE, "HTTP status %ld%s%s", end->status, *said != '\0' ? ": " : "", said);
        return RPC_STATUS;
    }
    *answer = read_answer(end, why);
    if (*answer == NULL) {
        return RPC_MALFORMED;
    }
    const json_t *error = json_object_get(*answer, "error");
    if (error != NULL) {
        const char *text = json_string_value(error);
        char *printed = text != NULL ? NULL : json_dumps(error, JSON_COMPACT | JSON_ENCODE_ANY);
        snprintf(why, RPC_WHY_SIZE, "%s", text != NULL ? text : printed);
        free(printed);
        return RPC_ERROR;
    }
    return RPC_OK;
}

static enum rpc_result judge(const struct transfer_end *end, json_t **answer, char why[RPC_WHY_SIZE])
{
    snprintf(why, RPC_WHY_SIZE, "%s", end->why);
    switch (end->result) {
    case TRANSFER_ANSWERED:
        return judge_body(end, answer, why);
    case TRANSFER_UNREACHABLE:
        return RPC_UNREACHABLE;
    case TRANSFER_TIMEOUT:
        return RPC_TIMEOUT;
    case TRANSFER_TOO_BIG:
        return RPC_TOO_BIG;
    case TRANSFER_MALFORMED:
        return RPC_MALFORMED;
    case TRANSFER_CANCELLED:
        return RPC_CLOSED;
    }
    assert(!"a transfer ended in a way that there is not");
    return RPC_MALFORMED;
}

/* Frees the call. */
static void call_back(struct call *call, enum rpc_result result, const json_t *answer, const char *why)
{
    struct rpc *rpc = call->rpc;
    metrics_add(rpc->results[result], 1);
    bool outer = !rpc->calling_back;
    rpc->calling_back = true;
    call->done(call->context, result, answer, why);
    if (outer) {
        rpc->calling_back = false;
    }
    free(call->request);
    free(call);
}

/* ---- what may leave, and when ---------------------------------------------------------------------------------------------- */

static void advance(struct rpc *rpc);

static void on_pause_over(uv_timer_t *timer)
{
    advance(timer->data);
}

static struct call *shift(struct queue *queue)
{
    struct call *call = queue->first;
    queue->first = call->next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->count--;
    return call;
}

/* The queue whose turn it is; NULL: none may send, whatever the pace. */
static struct queue *whose_turn(struct rpc *rpc)
{
    uint32_t all = rpc->under_way[RPC_LIVE] + rpc->under_way[RPC_SWEEP];
    uint32_t sweeps_most = rpc->connections > 1 ? rpc->connections - 1 : 1;
    if (all >= rpc->connections) {
        return NULL;
    }
    bool live = rpc->queues[RPC_LIVE].first != NULL;
    bool sweep = rpc->queues[RPC_SWEEP].first != NULL && rpc->under_way[RPC_SWEEP] < sweeps_most;
    if (live && !(sweep && rpc->live_in_a_row >= RPC_LIVE_IN_A_ROW)) {
        return &rpc->queues[RPC_LIVE];
    }
    return sweep ? &rpc->queues[RPC_SWEEP] : NULL;
}

static void send_call(struct rpc *rpc, struct call *call, uint64_t now_ns)
{
    rpc->under_way[call->priority]++;
    rpc->live_in_a_row = call->priority == RPC_LIVE ? rpc->live_in_a_row + 1 : 0;
    rpc->in_flight++;
    call->number = ++rpc->left;
    call->began_ns = now_ns;
    char *request = call->request;
    call->request = NULL;
    transfers_post(rpc->transfers, request, call);
}

static void advance(struct rpc *rpc)
{
    if (rpc->stopped) {
        return;
    }
    for (struct queue *queue; (queue = whose_turn(rpc)) != NULL;) {
        uint64_t now_ns = clock_monotonic_ns();
        if (!pace_take(&rpc->pace, now_ns)) {
            uint64_t wait_ms = pace_wait_ns(&rpc->pace, now_ns) / 1000000 + 1;
            uv_update_time(node_loop_uv(rpc->loop));
            uv_timer_start(&rpc->pause, on_pause_over, wait_ms, 0);
            return;
        }
        send_call(rpc, shift(queue), now_ns);
    }
}

static void on_transfer_done(void *context, const struct transfer_end *end)
{
    struct call *call = context;
    struct rpc *rpc = call->rpc;
    char why[RPC_WHY_SIZE];
    json_t *answer = NULL;
    enum rpc_result result = judge(end, &answer, why);
    rpc->under_way[call->priority]--;
    rpc->in_flight--;
    metrics_add(rpc->duration_us, (clock_monotonic_ns() - call->began_ns) / 1000);
    note_result(rpc, call, result, why);
    call_back(call, result, answer, why);
    json_decref(answer);
    advance(rpc);
}

enum cs_err rpc_call(struct rpc *rpc, enum rpc_priority priority, json_t *request, rpc_done *done,
                     void *context)
{
    assert(node_loop_is_mine(rpc->loop));
    char *text = json_dumps(request, JSON_COMPACT);
    assert(text != NULL);
    json_decref(request);
    int64_t waiting = rpc->queues[RPC_LIVE].count + rpc->queues[RPC_SWEEP].count;
    int64_t most = priority == RPC_LIVE ? rpc->waiting_most : rpc->waiting_most / 2;
    if (rpc->stopped || waiting >= most) {
        free(text);
        if (!rpc->stopped) {
            metrics_add(rpc->refused[priority], 1);
        }
        return rpc->stopped ? CS_ECLOSED : CS_EBUSY;
    }
    struct call *call = cs_alloc(sizeof(*call));
    *call =
        (struct call){.rpc = rpc, .priority = priority, .request = text, .done = done, .context = context};
    struct queue *queue = &rpc->queues[priority];
    if (queue->last != NULL) {
        queue->last->next = call;
    } else {
        queue->first = call;
    }
    queue->last = call;
    queue->count++;
    advance(rpc);
    return CS_OK;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------- */

static int64_t read_count(void *context)
{
    return *(_Atomic int64_t *)context;
}

static void open_metrics(struct rpc *rpc, struct metrics *metrics)
{
    static const char refused[] = "coinslot_node_rpc_refused_total", waiting[] = "coinslot_node_rpc_waiting";
    for (size_t i = 0; i < RPC_RESULT_COUNT; i++) {
        rpc->results[i] = metrics_add_counter(metrics, "coinslot_node_rpc_calls_total", RESULT_LABELS[i],
                                              "Calls to the node's RPC, by what became of them.");
    }
    rpc->duration_us = metrics_add_counter(
        metrics, "coinslot_node_rpc_microseconds_total", "",
        "Time that all calls to the node's RPC have taken, without waiting for their turn.");
    rpc->refused[RPC_LIVE] = metrics_add_counter(metrics, refused, "priority=\"live\"",
                                                 "Calls to the node's RPC that found no room to wait.");
    rpc->refused[RPC_SWEEP] = metrics_add_counter(metrics, refused, "priority=\"sweep\"", "");
    metrics_add_gauge(metrics, "coinslot_node_rpc_in_flight", "",
                      "Calls to the node's RPC that are under way.", read_count, &rpc->in_flight);
    metrics_add_gauge(metrics, waiting, "priority=\"live\"",
                      "Calls to the node's RPC that wait for their turn.", read_count,
                      &rpc->queues[RPC_LIVE].count);
    metrics_add_gauge(metrics, waiting, "priority=\"sweep\"", "", read_count, &rpc->queues[RPC_SWEEP].count);
}

enum cs_err rpc_open(const struct rpc_options *options, struct node_loop *loop, struct rpc **opened,
                     char error[RPC_ERROR_SIZE])
{
    assert(options->connections > 0 && options->timeout_ms > 0 && options->waiting_most > 1 &&
           options->answer_bytes_most > 0);
    assert(node_loop_is_mine(loop));
    const struct transfer_options transfer = {
        .url = options->url,
        .headers = options->headers,
        .header_count = options->header_count,
        .ca_file = options->ca_file,
        .connections_kept = options->connections,
        .timeout_ms = options->timeout_ms,
        .answer_bytes_most = options->answer_bytes_most,
    };
    if (transfers_check(&transfer, error) != CS_OK) {
        return CS_EINVAL;
    }
    struct rpc *rpc = cs_alloc(sizeof(*rpc));
    rpc->loop = loop;
    rpc->connections = options->connections;
    rpc->waiting_most = options->waiting_most;
    rpc->state = (struct rpc_state){.reach = RPC_UNTRIED, .since_ms = clock_wall_ms()};
    pthread_mutex_init(&rpc->lock, NULL);
    transfers_name(options->url, rpc->name);
    pace_init(&rpc->pace, options->calls_per_s, clock_monotonic_ns());
    uv_timer_init(node_loop_uv(loop), &rpc->pause);
    rpc->pause.data = rpc;
    rpc->transfers = transfers_open(&transfer, node_loop_uv(loop), on_transfer_done);
    open_metrics(rpc, options->metrics);
    *opened = rpc;
    return CS_OK;
}

/* When rpc_close has been called, and the loop is done with the timer. */
static void free_when_over(struct rpc *rpc)
{
    if (rpc->closed && rpc->timer_closed) {
        pthread_mutex_destroy(&rpc->lock);
        free(rpc);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct rpc *rpc = handle->data;
    rpc->timer_closed = true;
    free_when_over(rpc);
}

void rpc_stop(struct rpc *rpc)
{
    assert(node_loop_is_mine(rpc->loop) && !rpc->calling_back);
    if (rpc->stopped) {
        return;
    }
    rpc->stopped = true;
    transfers_close(rpc->transfers);
    for (size_t i = 0; i < RPC_PRIORITY_COUNT; i++) {
        while (rpc->queues[i].first != NULL) {
            call_back(shift(&rpc->queues[i]), RPC_CLOSED, NULL, "the relay is shutting down");
        }
    }
    uv_close((uv_handle_t *)&rpc->pause, on_timer_closed);
}

void rpc_close(struct rpc *rpc)
{
    rpc_stop(rpc);
    rpc->closed = true;
    free_when_over(rpc);
}
