/*
 * reconciler: backfill with a fake node and a real store, driven by hand on the test's thread: the loop is never started, and runs while
 * the test waits.
 */
#ifndef COINSLOT_TESTS_RECONCILER_H
#define COINSLOT_TESTS_RECONCILER_H

#include "lib/fake_node.h"
#include "lib/store_fixture.h"
#include "node/backfill.h"
#include "store/reconcile.h"

#define RECONCILER_BATCH 10

struct reconciler {
    struct store_fixture fixture;
    struct fake_node *node;
    struct node_loop *loop;
    struct rpc *rpc;
    struct backfill *backfill;
    int swept, whole;       /* sweeps that ended; of these, whole ones */
    int found, found_first; /* payments; of these, stored by reconciliation */
    bool writer_rests;      /* what is submitted stays with the writer */
};

/* Accounts from 3 on are for devices. */
void reconciler_open(struct reconciler *reconciler, size_t accounts);
/* As the relay stops: the RPC, the writer, then backfill. */
void reconciler_stop(struct reconciler *reconciler);
void reconciler_start(
    struct reconciler *reconciler); /* again, after the stop, with the same store and node */
void reconciler_close(struct reconciler *reconciler);

/* A device that subscribes to an account from now on. */
struct store_device reconciler_device(struct reconciler *reconciler, size_t account, int64_t since_ms);
/* One step of everything. */
void reconciler_step(struct reconciler *reconciler);
/* Until one more sweep has ended. True: it was whole. */
bool reconciler_sweep(struct reconciler *reconciler);
/* Steps until so many addresses have been walked, or tried, since the start. */
void reconciler_wait_walked(struct reconciler *reconciler, uint64_t walked);

int64_t reconciler_deliveries(struct reconciler *reconciler, const struct store_device *device);
struct store_completeness reconciler_completeness(struct reconciler *reconciler, size_t account);

#endif
