/*
 * backfill: reconciliation of every subscribed address with the node's RPC. It takes the baselines of new subscriptions, finds payments
 * that no source has told of (still receivable, or received already), enters them by the same door as all others, and says which addresses
 * are complete, as of when.
 *
 * How: pages of addresses; two questions a page (frontiers and receivable sums); only what differs from the mark that the store has is
 * walked. An account's frontier and the sum of what waits for it change with everything that can happen to it, so what has not changed
 * has missed nothing. Marks are committed after the payments that they stand for: a crash only repeats work.
 *
 * Threads: backfill_ask and backfill_report any; the rest on the loop's thread (node/loop.h).
 */
#ifndef COINSLOT_NODE_BACKFILL_H
#define COINSLOT_NODE_BACKFILL_H

#include "base/metrics.h"
#include "node/loop.h"
#include "node/rpc.h"
#include "node/rpc_answers.h"
#include "store/reconcile.h"

#define BACKFILL_ASKED_MOST                                                                                  \
    1000 /* addresses that wait to be looked at out of turn; beyond, a whole sweep is made */
#define BACKFILL_RECEIVABLE_MOST 100000 /* sends that may wait for one address; with more it stays unproven */
/*
 * A baseline that is taken so soon after its subscription leaves out what the node got to know after it; one that is taken later takes
 * in everything that it finds: block times are the node's own, and start anew when it bootstraps.
 */
#define BACKFILL_PROMPT_MS 60000

struct backfill_options {
    struct rpc *rpc;
    struct store *store;
    struct node_loop *loop;
    struct metrics *metrics;
    uint32_t batch; /* addresses in one question, at most READER_WATCHED_MOST */
    uint32_t
        sweep_s; /* from the beginning of one sweep to the next, over which its questions are spread; 0: only when asked */
    void *context;
    /* A payment was found, `stored` unless another source was quicker. On the writer's thread. */
    void (*found)(void *context, const struct payment *payment, bool stored);
    /* A sweep has ended; `whole`: every address was looked at. On the loop's thread. */
    void (*swept)(void *context, bool whole);
};

struct backfill;

struct backfill *backfill_open(const struct backfill_options *options);
/* All addresses, as fast as the quota allows; when a sweep is under way, again after it. */
void backfill_sweep(struct backfill *backfill, const char *why);
/* How the node wants some questions put; NULL: not known. Copied. */
void backfill_set_version(struct backfill *backfill, const struct rpc_version *version);
/* While the node is behind, what it shows is entered; no baseline is taken from it, and nothing is called complete. */
void backfill_set_behind(struct backfill *backfill, bool behind);
/* This address soon, out of turn. */
void backfill_ask(struct backfill *backfill, const struct address *address);

struct backfill_report {
    bool running;
    int64_t started_at_ms, ended_at_ms; /* of the sweep under way or the last; 0: none yet */
    int64_t duration_ms;                /* of the last whole one */
    uint64_t sweeps, addresses, walked, found,
        failed;             /* since the start; failed: addresses that could not be looked at */
    char why[RPC_WHY_SIZE]; /* of the last failure; "" when the last sweep was whole */
};
void backfill_report(struct backfill *backfill, struct backfill_report *report);

/* After node_loop_stop, rpc_stop and store_stop. Then node_loop_settle before backfill_close. */
void backfill_stop(struct backfill *backfill);
void backfill_close(struct backfill *backfill);

#endif
