/*
 * confirm: news from callbacks waits in the store (store_submit_unconfirmed) until the node's RPC says that its block is confirmed, sends
 * that amount, and sends it to that address. Owns what is known of each that waits; the store owns the news itself, so a crash loses
 * nothing: confirm_open takes up what waits.
 * confirm_add: any thread. The rest: on the loop's thread (node/loop.h).
 */
#ifndef COINSLOT_NODE_CONFIRM_H
#define COINSLOT_NODE_CONFIRM_H

#include "base/metrics.h"
#include "node/loop.h"
#include "node/rpc.h"
#include "payment/payment.h"
#include "store/store.h"

#define CONFIRM_UNKNOWN_MS 60000 /* a block that the node still does not know after so long is dropped */
#define CONFIRM_GIVE_UP_MS                                                                                   \
    3600000 /* and one that it knows and has not confirmed; should it be later, reconciliation finds it */

struct confirm_options {
    struct rpc *rpc;
    struct store *store;
    struct node_loop *loop;
    bool others; /* there are sources that need no confirmation: they are given a moment to bring it */
    struct metrics *metrics;
    void *context;
    /* A payment that waited was found true; `stored`: no other source had brought it. On the writer's thread. */
    void (*confirmed)(void *context, const struct payment *payment, bool stored, int64_t heard_at_ms);
    /* The block is confirmed, and not what was said of it: what is true of this address has to be found. On the loop's thread. */
    void (*contradicted)(void *context, const struct address *address);
};

struct confirm;

/* After store_open and before store_start. */
struct confirm *confirm_open(const struct confirm_options *options);
void confirm_add(struct confirm *confirm, int64_t num, const struct payment *payment);
/* After node_loop_stop, rpc_stop and store_stop: nothing is under way any more. Then node_loop_settle before confirm_close. */
void confirm_stop(struct confirm *confirm);
void confirm_close(struct confirm *confirm);

#endif
