/* What a walk's steps are made of: questions to the node, submissions to the writer, a look at blocks, and the end. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/backfill_internal.h"

#define LOG_MODULE "backfill"

static struct store *store_of(const struct walk *walk)
{
    return walk->job->backfill->options.store;
}

/* ---- the node is asked, the writer is told ------------------------------------------------------------------------------ */

struct query {
    struct walk *walk;
    void (*answer)(struct walk *walk, const json_t *answer);
};

static void on_answer(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct query query = *(struct query *)context;
    free(context);
    if (result == RPC_OK || (result == RPC_ERROR && answer != NULL)) {
        query.answer(query.walk, answer);
    } else {
        walk_end(query.walk, why);
    }
}

void walk_ask(struct walk *walk, json_t *request, void (*answer)(struct walk *walk, const json_t *answer))
{
    struct query *query = cs_alloc(sizeof(*query));
    *query = (struct query){walk, answer};
    if (rpc_call(walk->job->backfill->options.rpc, walk->job->priority, request, on_answer, query) != CS_OK) {
        free(query);
        walk_end(walk, "too many calls wait");
    }
}

void walk_submit_begin(struct walk *walk, void (*then)(struct walk *walk), void (*again)(struct walk *walk))
{
    walk->then = then;
    walk->again = again;
    atomic_store(&walk->outstanding, 1);
    atomic_store(&walk->busy, false);
    atomic_store(&walk->early, false);
    atomic_store(&walk->failed, false);
}

/* Any thread: the last answer hands the walk back to the loop. */
static void settle_one(struct walk *walk)
{
    if (atomic_fetch_sub(&walk->outstanding, 1) != 1) {
        return;
    }
    struct backfill *backfill = walk->job->backfill;
    pthread_mutex_lock(&backfill->lock);
    walk->next = backfill->returned;
    backfill->returned = walk;
    pthread_mutex_unlock(&backfill->lock);
    backfill_wake(backfill);
}

void walk_answered(void *context, enum cs_err err)
{
    struct walk *walk = context;
    if (err == CS_EBUSY) {
        atomic_store(&walk->busy, true);
    } else if (err == CS_ECONFLICT) {
        atomic_store(&walk->early, true);
    } else if (err != CS_OK) {
        atomic_store(&walk->failed, true);
    }
    settle_one(walk);
}

void walk_submit_next(struct walk *walk)
{
    atomic_fetch_add(&walk->outstanding, 1);
}

void walk_submitted(struct walk *walk, enum cs_err err)
{
    if (err != CS_OK) {
        walk_answered(walk, err); /* the writer will not */
    }
}

void walk_submit_end(struct walk *walk)
{
    settle_one(walk);
}

void walk_yield(struct walk *walk, void (*then)(struct walk *walk))
{
    walk_submit_begin(walk, then, then);
    walk_submit_end(walk);
}

/* ---- life ----------------------------------------------------------------------------------------------------------------- */

static void free_walk(struct walk *walk)
{
    free(walk->baselines);
    free(walk->candidates);
    free(walk->places);
    free(walk);
}

void walk_end(struct walk *walk, const char *why)
{
    struct job *job = walk->job;
    char address[ADDRESS_TEXT_SIZE];
    uint64_t found = atomic_load(&walk->found);
    address_format(&walk->row->address, address);
    if (found > 0) {
        log_info("payments were found that no source has told of address=%s count=%llu", address,
                 (unsigned long long)found);
    }
    if (why == NULL && !job->backfill->behind) {
        store_note_complete(store_of(walk), &walk->row->num, 1, job->at_ms);
    } else if (why != NULL) {
        backfill_note_failure(job->backfill, address, why);
    }
    free_walk(walk);
    job_walked(job, why == NULL);
}

/* ---- the candidates' blocks, a chunk at a time ------------------------------------------------------------------------------ */

void walk_doubt(struct walk *walk, const struct candidate *candidate)
{
    if (candidate->sure) {
        walk->wrong = "the node speaks of a send to it, and does not show it as one that is confirmed";
    }
}

static void look_on(struct walk *walk);

/* What was stored is a duplicate the second time. */
static void look_again(struct walk *walk)
{
    walk->from = walk->chunk_from;
    look_on(walk);
}

static void on_blocks(struct walk *walk, const json_t *answer)
{
    struct rpc_block *blocks;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (rpc_read_blocks(answer, (const uint8_t(*)[32])walk->hashes, walk->asked_count, &blocks, error) !=
        CS_OK) {
        walk_end(walk, error);
        return;
    }
    walk_submit_begin(walk, look_on, look_again);
    for (size_t i = 0; i < walk->asked_count; i++) {
        struct candidate *candidate = &walk->candidates[walk->asked[i]];
        if (blocks[i].found) {
            walk->take(walk, candidate, &blocks[i]);
        } else {
            walk_doubt(walk, candidate);
        }
    }
    free(blocks);
    walk_submit_end(walk);
}

static void look_on(struct walk *walk)
{
    walk->asked_count = 0;
    walk->chunk_from = walk->from;
    for (; walk->from < walk->candidate_count && walk->asked_count < CHUNK_MOST; walk->from++) {
        if (walk->wants(&walk->candidates[walk->from])) {
            memcpy(walk->hashes[walk->asked_count], walk->candidates[walk->from].hash, 32);
            walk->asked[walk->asked_count++] = walk->from;
        }
    }
    if (walk->asked_count == 0) {
        walk->after(walk);
    } else {
        walk_ask(walk, rpc_ask_blocks((const uint8_t(*)[32])walk->hashes, walk->asked_count, false),
                 on_blocks);
    }
}

void walk_look(struct walk *walk, bool (*wants)(const struct candidate *candidate),
               void (*take)(struct walk *walk, struct candidate *candidate, const struct rpc_block *block),
               void (*after)(struct walk *walk))
{
    walk->wants = wants;
    walk->take = take;
    walk->after = after;
    walk->from = 0;
    look_on(walk);
}
