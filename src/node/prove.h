/*
 * prove: deliveries to devices that want proofs are held in the store (store/proofs.h) until the block before the payment's is here; this asks
 * the node's RPC for it. Owns no more than how far it has looked: what is held is the store's, so a crash loses nothing.
 * prove_note_held: any thread. The rest: on the loop's thread (node/loop.h).
 */
#ifndef COINSLOT_NODE_PROVE_H
#define COINSLOT_NODE_PROVE_H

#include "base/metrics.h"
#include "node/loop.h"
#include "node/rpc.h"
#include "store/proofs.h"

#define PROVE_UNKNOWN_MS                                                                                     \
    60000 /* a node that answers and still does not know the block after so long will not: no proof */

struct prove_options {
    struct rpc *rpc; /* NULL: nobody can be asked */
    struct store *store;
    struct node_loop *loop;
    struct metrics *metrics;
};

struct prove;

struct prove *prove_open(const struct prove_options *options);
/* Something is held, or need not be held any more. */
void prove_note_held(struct prove *prove);
/* Once a second. */
void prove_tick(struct prove *prove);
/* A node that is behind does not say for good that there is no such block. */
void prove_set_behind(struct prove *prove, bool behind);
/* The node was asked, and gave no answer that is of any use. */
bool prove_is_failing(const struct prove *prove);
/* After node_loop_stop and rpc_stop: nothing is under way any more. Then node_loop_settle before prove_close. */
void prove_stop(struct prove *prove);
void prove_close(struct prove *prove);

#endif
