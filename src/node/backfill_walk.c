/*
 * One address that has changed: what waits for it, then what was received on its chain since the mark, newest first. In this order: a send
 * that is received between the two questions is in the second. Then baselines, then what the store does not know, then the mark.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/backfill_internal.h"

#define LOG_MODULE "backfill"

#define HISTORY_MOST 500 /* entries in one question */

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
        log_info("found %llu payments to %s that no source has told of", (unsigned long long)found, address);
    }
    if (why == NULL) {
        store_note_complete(store_of(walk), &walk->row->num, 1, job->at_ms);
    } else {
        backfill_note_failure(job->backfill, address, why);
    }
    free_walk(walk);
    job_walked(job, why == NULL);
}

/* Once, also when it was received between the two questions. */
static struct candidate *take_candidate(struct walk *walk, const uint8_t hash[32])
{
    for (size_t i = 0; i < walk->receivable_count; i++) {
        if (memcmp(walk->candidates[i].hash, hash, 32) == 0) {
            return &walk->candidates[i];
        }
    }
    if (walk->candidate_count == walk->candidate_slots) {
        walk->candidate_slots = walk->candidate_slots * 2 + 16;
        walk->candidates = cs_realloc(walk->candidates, walk->candidate_slots * sizeof(struct candidate));
    }
    struct candidate *candidate = &walk->candidates[walk->candidate_count++];
    *candidate = (struct candidate){0};
    memcpy(candidate->hash, hash, 32);
    return candidate;
}

/* ---- the candidates' blocks, a chunk at a time ------------------------------------------------------------------------------ */

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
        if (blocks[i].found) {
            walk->take(walk, &walk->candidates[walk->asked[i]], &blocks[i]);
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

/* ---- last: the mark -------------------------------------------------------------------------------------------------------- */

static void on_marked(struct walk *walk)
{
    walk_end(walk, NULL);
}

static void write_mark(struct walk *walk)
{
    struct store_mark mark = {.receivable = walk->receivable};
    if (walk->place_count > 0) {
        mark.height = walk->places[0].height;
        memcpy(mark.frontier, walk->confirmed_frontier, 32);
    }
    walk_submit_begin(walk, on_marked, write_mark);
    walk_submit_next(walk);
    walk_submitted(walk, store_submit_mark(store_of(walk), walk->row->num, &mark, walk_answered, walk));
    walk_submit_end(walk);
}

/* ---- what the store does not know yet ---------------------------------------------------------------------------------------- */

struct found {
    struct walk *walk;
    struct payment payment;
};

/* On the writer's thread. */
static void on_stored(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct found found = *(struct found *)context;
    struct backfill *backfill = found.walk->job->backfill;
    free(context);
    if (err == CS_OK && (outcome == STORE_PAYMENT_STORED || outcome == STORE_PAYMENT_DUPLICATE)) {
        bool stored = outcome == STORE_PAYMENT_STORED;
        atomic_fetch_add(&found.walk->found, stored);
        metrics_add(backfill->found, stored);
        backfill->options.found(backfill->options.context, &found.payment, stored);
    }
    walk_answered(found.walk, err);
}

static bool is_unknown(const struct candidate *candidate)
{
    return candidate->unknown;
}

static void enter(struct walk *walk, struct candidate *candidate, const struct rpc_block *block)
{
    uint8_t proof[BLOCK_PACKED_SIZE];
    struct address to = address_from_nano_key(block->block.link);
    /* What is not confirmed yet is above the mark, and comes again. */
    if (!block->confirmed || block->kind != RPC_KIND_SEND || !block->has_amount ||
        !address_equal(&to, &walk->row->address)) {
        return;
    }
    struct found *found = cs_alloc(sizeof(*found));
    *found = (struct found){.walk = walk,
                            .payment = {.source = SOURCE_BACKFILL,
                                        .from = block->account,
                                        .to = to,
                                        .amount = block->amount,
                                        .node_time_ms = block->node_time_ms}};
    memcpy(found->payment.hash, candidate->hash, 32);
    block_pack(&block->block, proof);
    walk_submit_next(walk);
    enum cs_err err = store_submit_found(store_of(walk), &found->payment, candidate->receive_height, proof,
                                         sizeof(proof), NULL, 0, on_stored, found);
    if (err != CS_OK) {
        free(found);
    }
    walk_submitted(walk, err);
}

static void find_unknown(struct walk *walk)
{
    size_t count = walk->candidate_count;
    uint8_t(*hashes)[32] = cs_alloc((count + 1) * sizeof(hashes[0]));
    bool *unknown = cs_alloc(count + 1);
    for (size_t i = 0; i < count; i++) {
        memcpy(hashes[i], walk->candidates[i].hash, 32);
    }
    enum cs_err err =
        reader_find_unknown(store_of(walk), walk->row->num, (const uint8_t(*)[32])hashes, count, unknown);
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        walk->candidates[i].unknown = unknown[i];
    }
    free(unknown);
    free(hashes);
    if (err != CS_OK) {
        walk_end(walk, "the store could not be read");
    } else {
        walk_look(walk, is_unknown, enter, write_mark);
    }
}

/* ---- the chain ----------------------------------------------------------------------------------------------------------------- */

static void add_place(struct walk *walk, const struct rpc_entry *entry)
{
    if (walk->place_count == walk->place_slots) {
        walk->place_slots = walk->place_slots * 2 + 4;
        walk->places = cs_realloc(walk->places, walk->place_slots * sizeof(struct walk_place));
    }
    if (walk->place_count == 0) {
        memcpy(walk->confirmed_frontier, entry->hash, 32);
    }
    walk->places[walk->place_count++] = (struct walk_place){entry->height, entry->node_time_ms};
}

/* False: nobody asks for this one, nor for what is below. */
static bool take_entry(struct walk *walk, const struct rpc_entry *entry)
{
    if (entry->confirmed) {
        add_place(walk, entry);
        bool known = entry->height <= walk->known_height;
        bool too_old = walk->cutoff_ms == INT64_MAX || entry->node_time_ms + 999 < walk->cutoff_ms;
        if (known && too_old) {
            return false;
        }
    }
    if (entry->kind == RPC_KIND_RECEIVE) {
        struct candidate *candidate = take_candidate(walk, entry->link);
        candidate->receive_height = entry->height;
        candidate->receive_confirmed = entry->confirmed;
    }
    return true;
}

static void ask_history(struct walk *walk, const uint8_t *head);

static void on_history(struct walk *walk, const json_t *answer)
{
    struct rpc_history history;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (rpc_read_history(answer, &walk->row->address, &history, error) != CS_OK) {
        walk_end(walk, error);
        return;
    }
    bool more = history.has_more;
    for (size_t i = 0; i < history.count; i++) {
        if (!take_entry(walk, &history.entries[i])) {
            more = false;
            break;
        }
    }
    uint8_t next[32];
    memcpy(next, history.more, sizeof(next));
    rpc_history_fini(&history);
    if (more) {
        ask_history(walk, next);
    } else {
        walk_take_baselines(walk, find_unknown);
    }
}

static void ask_history(struct walk *walk, const uint8_t *head)
{
    walk_ask(walk, rpc_ask_history(&walk->row->address, head, false, HISTORY_MOST), on_history);
}

static void walk_chain(struct walk *walk)
{
    if (walk->opened) {
        ask_history(walk, NULL);
    } else {
        walk_take_baselines(walk, find_unknown);
    }
}

/* ---- what waits to be received ---------------------------------------------------------------------------------------------------- */

static void on_receivable(struct walk *walk, const json_t *answer)
{
    struct rpc_receivables receivables;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (rpc_read_receivable(answer, &receivables, error) != CS_OK) {
        walk_end(walk, error);
        return;
    }
    for (size_t i = 0; i < receivables.count; i++) {
        (void)take_candidate(walk, receivables.items[i].hash);
    }
    walk->receivable_count = walk->candidate_count;
    bool too_many = receivables.count >= BACKFILL_RECEIVABLE_MOST;
    rpc_receivables_fini(&receivables);
    if (too_many) {
        walk_end(walk, "more sends wait for it than can be looked at: receive them");
    } else {
        walk_chain(walk);
    }
}

void walk_start(struct job *job, size_t row)
{
    struct walk *walk = cs_alloc(sizeof(*walk));
    walk->job = job;
    walk->row = &job->rows[row];
    walk->opened = job->frontiers[row].standing == RPC_ACCOUNT_SAID;
    walk->receivable = job->balances[row].receivable;
    if (walk_read_baselines(walk) != CS_OK) {
        walk_end(walk, "the store could not be read");
    } else if (amount_is_zero(walk->receivable)) {
        walk_chain(walk);
    } else {
        const struct backfill *backfill = job->backfill;
        walk_ask(walk,
                 rpc_ask_receivable(backfill->has_version ? &backfill->version : NULL, &walk->row->address,
                                    BACKFILL_RECEIVABLE_MOST),
                 on_receivable);
    }
}
