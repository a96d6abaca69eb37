/*
 * rpc: the client of a Nano node's RPC. Owns the calls that wait and those under way, the quota, and what is known of the endpoint.
 * On the loop's thread (node/loop.h), but for rpc_state, which any thread may call. Nothing outlives a crash: whoever asks, asks again.
 *
 * The order: live calls before sweeps, each in the order of calling. Sweeps leave one connection free for live calls (where there is
 * more than one), have one call in nine however many live ones there are, lest they never end, and are refused while half of the room for waiting is taken. Calls are spread evenly (node/pace.h), never in bursts.
 * A call is not repeated by itself, whatever becomes of it.
 */
#ifndef COINSLOT_NODE_RPC_H
#define COINSLOT_NODE_RPC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metrics.h"
#include "node/loop.h"

#define RPC_ERROR_SIZE        320
#define RPC_WHY_SIZE          240
#define RPC_ANSWER_BYTES_MOST (32u << 20)
#define RPC_ANSWER_DEPTH_MOST 10
#define RPC_LIVE_IN_A_ROW     8 /* then a sweep's call has its turn */

enum rpc_result {
    RPC_OK,
    RPC_ERROR,       /* the node says {"error":…}; `why` is its text, and `answer` is there */
    RPC_STATUS,      /* an HTTP status other than 2xx: wrong key, too many calls, a provider's own trouble */
    RPC_UNREACHABLE, /* no connection, or one that broke before the answer */
    RPC_TIMEOUT,
    RPC_TOO_BIG,
    RPC_MALFORMED, /* half an answer, or none that is a JSON object */
    RPC_CLOSED,    /* the relay is shutting down */
};
#define RPC_RESULT_COUNT 8

const char *rpc_result_text(enum rpc_result result); /* "ok", "error", … as in the metrics */

enum rpc_priority { RPC_LIVE, RPC_SWEEP };
#define RPC_PRIORITY_COUNT 2

struct rpc_options {
    const char *url;            /* http or https */
    const char *const *headers; /* sent with each call, "Name: value"; such as an API key */
    size_t header_count;
    const char *ca_file;  /* PEM of whom https believes; "": the system's */
    uint32_t calls_per_s; /* 0: no limit */
    uint32_t connections; /* at a time */
    uint32_t timeout_ms;  /* of a call, from when it leaves */
    uint32_t waiting_most;
    size_t answer_bytes_most;
    struct metrics *metrics;
};

struct rpc;

/*
 * By the loop's owner. CS_EINVAL: url or a header will not do, `error` says it for whoever wrote the config. Connects to nothing yet.
 * What is logged, and said in rpc_state, names the endpoint without path, query and password: those may be secret.
 */
CS_MUST_CHECK enum cs_err rpc_open(const struct rpc_options *options, struct node_loop *loop,
                                   struct rpc **rpc, char error[RPC_ERROR_SIZE]);

/*
 * `answer` is the node's object, borrowed for the call's duration; NULL but for RPC_OK and RPC_ERROR. `why` is "" for RPC_OK, else a
 * sentence for the log. It may make further calls.
 */
typedef void rpc_done(void *context, enum rpc_result result, const json_t *answer, const char *why);

/*
 * `request` is taken in any case. CS_OK: `done` will be called exactly once, later, on the loop's thread. CS_EBUSY (too much waits:
 * try again later) and CS_ECLOSED: never.
 */
CS_MUST_CHECK enum cs_err rpc_call(struct rpc *rpc, enum rpc_priority priority, json_t *request,
                                   rpc_done *done, void *context);

enum rpc_reach { RPC_UNTRIED, RPC_UP, RPC_DOWN };

struct rpc_state {
    enum rpc_reach reach;
    int64_t since_ms;       /* wall clock; of opening, while untried */
    int64_t heard_ms;       /* when it last answered as a node does; 0: never */
    char why[RPC_WHY_SIZE]; /* of down; else "" */
};

/*
 * Up: it answers as a node does, be it with an error. Down: a call failed, and nothing that was asked later has been answered.
 * Each change is logged once. Any thread, until rpc_close.
 */
void rpc_state(struct rpc *rpc, struct rpc_state *state);

/* Calls back, with RPC_CLOSED, everything that waits or is under way, and refuses what comes. Not from within a `done`. */
void rpc_stop(struct rpc *rpc);

/* Stops, if that has not been done. The gauges that it registered must not be asked any more. */
void rpc_close(struct rpc *rpc);

#endif
