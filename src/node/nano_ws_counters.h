/*
 * nano_ws_counters: what the WebSockets of all nodes count, as /metrics shows it: by node, whose number is its place in the config.
 * Made before anything is printed; counted on the loop's thread, printed on any.
 */
#ifndef COINSLOT_NODE_NANO_WS_COUNTERS_H
#define COINSLOT_NODE_NANO_WS_COUNTERS_H

#include <stdatomic.h>

#include "base/metrics.h"

#define NANO_WS_NODES_MOST 8

enum nano_ws_result {
    NANO_WS_RESULT_CONFIRMED,
    NANO_WS_RESULT_NO_BLOCK,  /* a confirmation by its hash alone */
    NANO_WS_RESULT_BAD_BLOCK, /* the same, for its block could not be used */
    NANO_WS_RESULT_ACK,
    NANO_WS_RESULT_PONG,
    NANO_WS_RESULT_OTHER,
    NANO_WS_RESULT_MALFORMED,
    NANO_WS_RESULT_CONTRADICTION,
    NANO_WS_RESULT_WRONG_HASH,
    NANO_WS_RESULT_BINARY,
};
#define NANO_WS_RESULT_COUNT 10

struct nano_ws_counters {
    metrics_count *messages[NANO_WS_RESULT_COUNT];
    metrics_count *reconnects; /* connections that were lost or given up after they had been subscribed */
    metrics_count *silences;   /* of these: silent while the node went on */
    metrics_count *failures;   /* attempts that did not get as far as that */
    _Atomic int64_t connected; /* 1: subscribed */
};

/* One for each of `nodes` nodes, an array that lives as long as `metrics`: nano_ws_counters_close comes after metrics_close. */
struct nano_ws_counters *nano_ws_counters_open(struct metrics *metrics, size_t nodes);
void nano_ws_counters_close(struct nano_ws_counters *counters);

#endif
