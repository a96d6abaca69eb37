/*
 * backfill_internal: what backfill's files share, and nobody else sees. All of it on the loop's thread, but for what stands under the lock.
 * A job is one page of addresses; a walk is one address of it that has changed. Nothing outlives a crash.
 */
#ifndef COINSLOT_NODE_BACKFILL_INTERNAL_H
#define COINSLOT_NODE_BACKFILL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "node/backfill.h"

#define WALKS_MOST 4 /* at a time */

struct job;
struct walk;

struct backfill {
    struct backfill_options options;
    struct rpc_version version;
    bool has_version;
    uv_timer_t timer; /* the tick: what is due, and what other threads have handed over */
    metrics_count *walked, *found, *failed, *sweeps;

    /* The sweep. */
    bool closing, sweeping, again, spread, sweep_failed;
    int64_t after; /* the last address of the last page */
    uint64_t next_page_ns, next_sweep_ns, sweep_began_ns, page_addresses, sweep_addresses;
    uint32_t failures; /* pages in a row, for the pause before the next try */
    uint32_t
        halvings; /* of the page's size: one address that a node chokes on must not keep it from all others */
    bool behind;  /* the node does not know yet what others do: nothing is proven by it */
    struct job *job; /* the page under way */
    struct job *urgent;
    struct walk *paused; /* the writer was busy: again at the next tick */

    pthread_mutex_t lock; /* of all below */
    struct address asked[BACKFILL_ASKED_MOST];
    size_t asked_count;
    bool asked_too_many;
    struct walk *returned; /* the writer has answered all that they submitted */
    bool posted;
    struct backfill_report report;
};

/* ---- a job: one page (backfill_job.c) ------------------------------------------------------------------------------ */

struct job {
    struct backfill *backfill;
    enum rpc_priority priority;
    void (*done)(struct job *job); /* frees it by job_free */
    int64_t at_ms;                 /* everything confirmed up to then will be in the store */
    size_t count, next, walking, failed;
    bool walking_on;   /* inside walk_on */
    bool failed_whole; /* the node did not answer the page's own questions */
    bool refused;      /* it is there, and does not answer these */
    size_t most;       /* rows that there is room for */
    struct address *accounts;
    struct rpc_frontier *frontiers;
    struct rpc_balance *balances;
    int64_t *unchanged;
    struct reader_watched rows[];
};

/* Room for `most` rows; the caller fills them, sets count, and starts it. */
struct job *job_new(struct backfill *backfill, size_t most, enum rpc_priority priority,
                    void (*done)(struct job *job));
void job_start(struct job *job);
void job_free(struct job *job);
/* A walk of it has ended. */
void job_walked(struct job *job, bool complete);
void backfill_wake(struct backfill *backfill); /* any thread: something was returned */
void backfill_note_failure(struct backfill *backfill, const char *what, const char *why);

/* ---- a walk: one address (backfill_walk.c, backfill_find.c, backfill_baseline.c) --------------------------------------------------------- */

#define CHUNK_MOST 100 /* blocks in one question, and payments with the writer at a time */

/* A send to the address, as the walk came upon it. */
struct candidate {
    uint8_t hash[32];
    uint64_t receive_height; /* of the block that received it; 0: receivable */
    bool receive_confirmed;
    bool sure;    /* confirmed, as the node says: it is listed as such, or what received it is confirmed */
    bool unknown; /* to the store */
    int64_t node_time_ms; /* when the node got to know the send; 0: not asked, or not said */
};

/* A confirmed block on the account's chain: where a baseline may lie. */
struct walk_place {
    uint64_t height;
    int64_t node_time_ms;
};

struct walk {
    struct walk *next; /* in backfill.returned or .paused */
    struct job *job;
    const struct reader_watched *row;
    uint8_t frontier[32];     /* the chain's last block when the page was asked; zero: not opened */
    struct amount receivable; /* the sum when the page was asked; then that of what is listed */
    bool moved;               /* the chain has gone on since */
    bool fewer;               /* less is listed than the page's sum */
    uint8_t expected[32];     /* of the history: the next block, … */
    uint64_t expected_height; /* … 0: any */
    const char
        *wrong; /* the node contradicts itself: what it says is entered, and proves nothing; NULL: not */

    struct reader_baseline *baselines; /* that are still to be taken */
    size_t baseline_count;
    int64_t cutoff_ms; /* the earliest from which one of them wants what was there; INT64_MAX: none does */
    void (*when_taken)(struct walk *walk);
    uint64_t known_height; /* what was received up to here is known; UINT64_MAX: nobody has asked before */

    struct candidate *candidates;
    size_t candidate_count, candidate_slots;
    size_t receivable_count;   /* the first of them were receivable; by hash */
    struct walk_place *places; /* newest first */
    size_t place_count, place_slots;
    uint8_t confirmed_frontier[32]; /* of the newest place */

    /* The step that goes through the candidates, a chunk at a time. */
    bool (*wants)(const struct candidate *candidate);
    void (*take)(struct walk *walk, struct candidate *candidate, const struct rpc_block *block);
    void (*after)(struct walk *walk);
    size_t chunk_from, from; /* the present chunk lies in these candidates */
    size_t asked[CHUNK_MOST], asked_count;
    uint8_t hashes[CHUNK_MOST][32];

    /* What the writer has yet to answer, and one for whoever submits; at zero `then` runs on the loop's thread. */
    _Atomic int outstanding;
    _Atomic bool busy, early,
        failed; /* an answer was: come again; somebody has no baseline; was anything else */
    _Atomic uint64_t found;
    void (*then)(struct walk *walk);
    void (*again)(struct walk *walk);
};

void walk_start(struct job *job, size_t row);
/* Tells the job, and frees it. `why` not: NULL when complete. */
void walk_end(struct walk *walk, const char *why);
/* Between begin and end, submissions: each is counted first, for the writer may be done before it has returned, and then judged. */
/* `then` when all were committed; `again`, after a pause, when the writer's inbox was full; else the walk ends. */
void walk_submit_begin(struct walk *walk, void (*then)(struct walk *walk), void (*again)(struct walk *walk));
void walk_submit_next(struct walk *walk);
void walk_submitted(struct walk *walk, enum cs_err err);
void walk_submit_end(struct walk *walk);
void walk_answered(void *context, enum cs_err err); /* a store_reconcile_done; the context is the walk */
/* `then` a little later: what else the loop has to do comes first. */
void walk_yield(struct walk *walk, void (*then)(struct walk *walk));
/* The node does not show it as what it was said to be: if it was sure, nothing is proven. */
void walk_doubt(struct walk *walk, const struct candidate *candidate);
/* Asks for the blocks of all candidates that `wants`; `take` gets each that the node has; then `after`. */
void walk_look(struct walk *walk, bool (*wants)(const struct candidate *candidate),
               void (*take)(struct walk *walk, struct candidate *candidate, const struct rpc_block *block),
               void (*after)(struct walk *walk));
/* Asks the node; `answer` is called with RPC_OK's only, else the walk ends. */
void walk_ask(struct walk *walk, json_t *request, void (*answer)(struct walk *walk, const json_t *answer));

/* What the address's subscriptions ask for, and how far back the walk goes. Not CS_OK: the store did not answer. */
CS_MUST_CHECK enum cs_err walk_read_baselines(struct walk *walk);
/* Takes the baselines that are still to be taken, if any; then `then`. */
void walk_take_baselines(struct walk *walk, void (*then)(struct walk *walk));

#endif
