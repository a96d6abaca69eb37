/*
 * nano_source: payments that nodes' WebSockets tell, on their way into the store.
 * On the loop's thread (loop.h); the store answers on its own. What waits for the writer is bounded: while too much does, the sockets
 * are not read. What was refused is gone, until it is reconciled. Nothing outlives a crash.
 */
#ifndef COINSLOT_NODE_NANO_SOURCE_H
#define COINSLOT_NODE_NANO_SOURCE_H

#include "base/metrics.h"
#include "node/callback.h" /* callback_signature */
#include "node/loop.h"
#include "store/store.h"
#include "verify/notice.h"

struct nano_source;

struct nano_source_options {
    struct node_loop *loop;
    struct store *store;
    /* auto: not checked, for the connection is one that we made to our own node; its hash is in any case */
    enum callback_signature signature;
    uint32_t queue_most; /* payments that wait because the writer's inbox is full */
    struct metrics *metrics;
    /* On the loop's thread; all must be set. */
    void *context;
    void (*reading)(void *context, bool reading); /* for nano_ws_set_reading of every node */
    /* On the writer's thread: it is in the store, and was `stored` unless it was there already; `from` as it was taken. */
    void (*brought)(void *context, size_t from, const struct payment *payment, bool stored,
                    int64_t heard_at_ms);
    void (*refused)(void *context); /* at least one payment was told that is not in the store: reconcile */
};

struct nano_source *nano_source_open(const struct nano_source_options *options);
/* After node_loop_stop, before node_loop_settle: what waits is dropped. */
void nano_source_stop(struct nano_source *source);
void nano_source_close(struct nano_source *source); /* after store_stop and node_loop_settle */

/*
 * `from`: the caller's number for the node. `time_ms`: when the node said it; 0: it did not say. `receive_height`: of the block that has
 * received it; 0: none has, or it is not known.
 */
void nano_source_take(struct nano_source *source, size_t from, const struct notice *notice, int64_t time_ms,
                      uint64_t receive_height);

#endif
