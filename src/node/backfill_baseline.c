/*
 * Baselines: what was there when a subscription was made, and so is not delivered: everything that was received up to a height of the
 * account's chain, and a set of sends, those that were receivable and those whose receive was not confirmed yet.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/backfill_internal.h"

/* From when on a subscription wants what was there before its baseline was taken; INT64_MAX: nothing of it. */
static int64_t cutoff_of(const struct reader_baseline *baseline, int64_t now_ms)
{
    if (baseline->since_ms != 0) {
        return baseline->since_ms;
    }
    return now_ms - baseline->created_at_ms <= BACKFILL_PROMPT_MS ? baseline->created_at_ms : INT64_MAX;
}

/* The node's times are whole seconds: a block of the same second counts as after. */
static bool is_before(int64_t node_time_ms, int64_t cutoff_ms)
{
    return cutoff_ms == INT64_MAX || node_time_ms + 999 < cutoff_ms;
}

enum cs_err walk_read_baselines(struct walk *walk)
{
    struct store *store = walk->job->backfill->options.store;
    const struct reader_watched *row = walk->row;
    walk->cutoff_ms = INT64_MAX;
    enum cs_err err = reader_baseline_height(store, row->num, &walk->known_height);
    if (err != CS_OK) {
        return err;
    }
    if (row->has_mark && (walk->known_height == UINT64_MAX || walk->known_height < row->mark.height)) {
        walk->known_height = row->mark.height;
    }
    if (!row->needs_baseline) {
        return CS_OK;
    }
    err = reader_open_baselines(store, row->num, &walk->baselines, &walk->baseline_count);
    for (size_t i = 0; err == CS_OK && i < walk->baseline_count; i++) {
        int64_t cutoff_ms = cutoff_of(&walk->baselines[i], walk->job->at_ms);
        walk->cutoff_ms = cutoff_ms < walk->cutoff_ms ? cutoff_ms : walk->cutoff_ms;
    }
    return err;
}

/* The highest place that is before the cutoff. */
static uint64_t height_at(const struct walk *walk, int64_t cutoff_ms)
{
    for (size_t i = 0; i < walk->place_count; i++) {
        if (is_before(walk->places[i].node_time_ms, cutoff_ms)) {
            return walk->places[i].height;
        }
    }
    return 0;
}

static void submit_baseline(struct walk *walk, const struct reader_baseline *baseline)
{
    int64_t cutoff_ms = cutoff_of(baseline, walk->job->at_ms);
    uint64_t height = height_at(walk, cutoff_ms);
    uint8_t(*hashes)[32] = cs_alloc((walk->candidate_count + 1) * sizeof(hashes[0]));
    size_t count = 0;
    for (size_t i = 0; i < walk->candidate_count; i++) {
        const struct candidate *candidate = &walk->candidates[i];
        bool below = candidate->receive_confirmed && candidate->receive_height <= height;
        if (!below && is_before(candidate->node_time_ms, cutoff_ms)) {
            memcpy(hashes[count++], candidate->hash, 32);
        }
    }
    walk_submit_next(walk);
    walk_submitted(walk, store_submit_baseline(walk->job->backfill->options.store, walk->row->num,
                                               baseline->subscription, height, (const uint8_t(*)[32])hashes,
                                               count, walk_answered, walk));
    free(hashes);
}

static void submit_all(struct walk *walk)
{
    if (walk->job->backfill->behind) {
        walk->wrong = "the node is behind: where its chain stands now is not known yet";
    }
    if (walk->wrong != NULL) {
        walk_end(walk,
                 walk->wrong); /* what a node that is behind does not know yet would later pass for new */
        return;
    }
    walk_submit_begin(walk, walk->when_taken, submit_all);
    for (size_t i = 0; i < walk->baseline_count; i++) {
        submit_baseline(walk, &walk->baselines[i]);
    }
    walk_submit_end(walk);
}

static bool wants_time(const struct candidate *candidate)
{
    return candidate->node_time_ms == 0;
}

static void take_time(struct walk *walk, struct candidate *candidate, const struct rpc_block *block)
{
    (void)walk;
    candidate->node_time_ms = block->node_time_ms;
}

void walk_take_baselines(struct walk *walk, void (*then)(struct walk *walk))
{
    if (walk->baseline_count == 0) {
        then(walk);
        return;
    }
    walk->when_taken = then;
    if (walk->cutoff_ms == INT64_MAX || walk->candidate_count == 0) {
        submit_all(walk);
    } else {
        walk_look(walk, wants_time, take_time, submit_all);
    }
}
