#include "node/nano_ws_counters.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define LABELS_SIZE 48

static const char *const RESULTS[NANO_WS_RESULT_COUNT] = {
    [NANO_WS_RESULT_CONFIRMED] = "confirmed",
    [NANO_WS_RESULT_NO_BLOCK] = "no_block",
    [NANO_WS_RESULT_BAD_BLOCK] = "bad_block",
    [NANO_WS_RESULT_ACK] = "ack",
    [NANO_WS_RESULT_PONG] = "pong",
    [NANO_WS_RESULT_OTHER] = "other",
    [NANO_WS_RESULT_MALFORMED] = "malformed",
    [NANO_WS_RESULT_CONTRADICTION] = "contradiction",
    [NANO_WS_RESULT_WRONG_HASH] = "wrong_hash",
    [NANO_WS_RESULT_BINARY] = "binary",
};

/* The metrics borrow their labels for good. */
struct labels {
    char result[NANO_WS_NODES_MOST][NANO_WS_RESULT_COUNT][LABELS_SIZE];
    char node[NANO_WS_NODES_MOST][LABELS_SIZE];
};

struct table {
    struct labels labels;
    struct nano_ws_counters counters[NANO_WS_NODES_MOST];
};

static int64_t read_connected(void *context)
{
    struct nano_ws_counters *counters = context;
    return atomic_load_explicit(&counters->connected, memory_order_relaxed);
}

static void add_messages(struct metrics *metrics, struct table *table, size_t nodes)
{
    for (size_t i = 0; i < nodes; i++) {
        for (size_t j = 0; j < NANO_WS_RESULT_COUNT; j++) {
            char *labels = table->labels.result[i][j];
            snprintf(labels, LABELS_SIZE, "node=\"%zu\",result=\"%s\"", i, RESULTS[j]);
            table->counters[i].messages[j] =
                metrics_add_counter(metrics, "coinslot_nano_ws_messages_total", labels,
                                    "Messages from a node's WebSocket, by what became of them.");
        }
    }
}

struct nano_ws_counters *nano_ws_counters_open(struct metrics *metrics, size_t nodes)
{
    assert(nodes <= NANO_WS_NODES_MOST);
    struct table *table = cs_alloc(sizeof(*table));
    add_messages(metrics, table, nodes);
    for (size_t i = 0; i < nodes; i++) {
        snprintf(table->labels.node[i], LABELS_SIZE, "node=\"%zu\"", i);
        metrics_add_gauge(metrics, "coinslot_nano_ws_connected", table->labels.node[i],
                          "1 while a node's WebSocket is subscribed.", read_connected, &table->counters[i]);
    }
    for (size_t i = 0; i < nodes; i++) {
        table->counters[i].reconnects =
            metrics_add_counter(metrics, "coinslot_nano_ws_reconnects_total", table->labels.node[i],
                                "Subscribed connections to a node's WebSocket that ended.");
    }
    for (size_t i = 0; i < nodes; i++) {
        table->counters[i].silences =
            metrics_add_counter(metrics, "coinslot_nano_ws_silences_total", table->labels.node[i],
                                "Connections ended because nothing came while the node went on confirming.");
    }
    for (size_t i = 0; i < nodes; i++) {
        table->counters[i].failures =
            metrics_add_counter(metrics, "coinslot_nano_ws_failures_total", table->labels.node[i],
                                "Attempts to connect and subscribe to a node's WebSocket that failed.");
    }
    return table->counters;
}

void nano_ws_counters_close(struct nano_ws_counters *counters)
{
    if (counters != NULL) {
        free((char *)counters - offsetof(struct table, counters));
    }
}
