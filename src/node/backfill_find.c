/*
 * The steps of a walk, for one address that has changed: what waits for it, then what was received on its chain since the mark, newest first.
 * In this order: a send that is received between the two questions is in the second. Then baselines, then what the store does not know,
 * then the mark. A node, or several behind one address, may contradict itself in between: then what it has shown is entered, and nothing is
 * proven by it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/backfill_internal.h"

#define HISTORY_MOST 500 /* entries in one question */
#define LOOKUP_MOST  500 /* in the store at a time; what else the loop has to do comes in between */

static struct store *store_of(const struct walk *walk)
{
    return walk->job->backfill->options.store;
}

static bool is_zero(const uint8_t bytes[32])
{
    static const uint8_t ZERO[32];
    return memcmp(bytes, ZERO, 32) == 0;
}

/* ---- candidates ---------------------------------------------------------------------------------------------------------- */

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(((const struct candidate *)a)->hash, ((const struct candidate *)b)->hash, 32);
}

static struct candidate *add_candidate(struct walk *walk, const uint8_t hash[32])
{
    if (walk->candidate_count == walk->candidate_slots) {
        walk->candidate_slots = walk->candidate_slots * 2 + 16;
        walk->candidates = cs_realloc(walk->candidates, walk->candidate_slots * sizeof(struct candidate));
    }
    struct candidate *candidate = &walk->candidates[walk->candidate_count++];
    *candidate = (struct candidate){0};
    memcpy(candidate->hash, hash, 32);
    return candidate;
}

/* Once, also when it was received between the two questions: the listed ones are in the order of their hashes. */
static struct candidate *take_candidate(struct walk *walk, const uint8_t hash[32])
{
    struct candidate wanted = {0};
    memcpy(wanted.hash, hash, 32);
    struct candidate *listed = walk->receivable_count == 0
                                   ? NULL
                                   : bsearch(&wanted, walk->candidates, walk->receivable_count,
                                             sizeof(struct candidate), compare_hashes);
    return listed != NULL ? listed : add_candidate(walk, hash);
}

/* ---- last: the mark -------------------------------------------------------------------------------------------------------- */

static void on_marked(struct walk *walk)
{
    walk_end(walk, NULL);
}

static void write_mark(struct walk *walk)
{
    if (walk->wrong != NULL) {
        walk_end(walk, walk->wrong);
        return;
    }
    struct store_mark mark = {.receivable = walk->receivable, .moved = walk->moved};
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
    if (!block->confirmed || block->kind != RPC_KIND_SEND || !block->has_amount ||
        !address_equal(&to, &walk->row->address)) {
        /* What is not confirmed yet, and was received by what is not either, is above the mark, and comes again. */
        walk_doubt(walk, candidate);
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
                                         sizeof(proof), on_stored, found);
    if (err != CS_OK) {
        free(found);
    }
    walk_submitted(walk, err);
}

static void find_more_unknown(struct walk *walk)
{
    uint8_t hashes[LOOKUP_MOST][32];
    bool unknown[LOOKUP_MOST];
    size_t left = walk->candidate_count - walk->from;
    size_t count = left < LOOKUP_MOST ? left : LOOKUP_MOST;
    for (size_t i = 0; i < count; i++) {
        memcpy(hashes[i], walk->candidates[walk->from + i].hash, 32);
    }
    if (reader_find_unknown(store_of(walk), walk->row->num, (const uint8_t(*)[32])hashes, count, unknown) !=
        CS_OK) {
        walk_end(walk, "the store could not be read");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        walk->candidates[walk->from + i].unknown = unknown[i];
    }
    walk->from += count;
    if (walk->from < walk->candidate_count) {
        walk_yield(walk, find_more_unknown);
    } else {
        walk_look(walk, is_unknown, enter, write_mark);
    }
}

static void find_unknown(struct walk *walk)
{
    walk->from = 0;
    find_more_unknown(walk);
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
    /* The genesis block's source is its own account. */
    if (entry->kind == RPC_KIND_RECEIVE && memcmp(entry->link, walk->row->address.bytes, 32) != 0) {
        struct candidate *candidate = take_candidate(walk, entry->link);
        candidate->receive_height = entry->height;
        candidate->receive_confirmed = entry->confirmed;
        candidate->sure |= entry->confirmed;
    } else if (entry->kind == RPC_KIND_UNKNOWN) {
        walk->wrong =
            "the node does not know what a block of its chain did: a pruned node cannot prove anything";
    }
    return true;
}

/* Each entry is the one before which the last one stands: an answer that leaves out some, or goes in circles, is found out. */
static bool is_next(struct walk *walk, const struct rpc_entry *entry)
{
    bool next = walk->expected_height == 0 ||
                (entry->height == walk->expected_height &&
                 (is_zero(walk->expected) || memcmp(entry->hash, walk->expected, 32) == 0));
    if (walk->expected_height == 0) {
        walk->moved = memcmp(entry->hash, walk->frontier, 32) != 0;
    }
    memcpy(walk->expected, entry->previous, 32);
    walk->expected_height = entry->height - 1;
    return next;
}

/* True: it goes on below the last entry. */
static bool take_history(struct walk *walk, const struct rpc_history *history)
{
    if (history->count == 0 && walk->expected_height == 0) {
        walk->wrong =
            is_zero(walk->frontier) ? walk->wrong : "the node denies the chain whose end it has named";
        return false;
    }
    for (size_t i = 0; i < history->count; i++) {
        const struct rpc_entry *entry = &history->entries[i];
        if (!is_next(walk, entry)) {
            walk->wrong = "its history, as the node tells it, has a hole";
            return false;
        }
        if (!take_entry(walk, entry) || entry->height == 1) {
            return false;
        }
    }
    if (!history->has_more) {
        walk->wrong = "its history, as the node tells it, breaks off";
    }
    return history->has_more;
}

/* What cannot be when one node, which forgets nothing, has answered all questions. */
static void check_chain(struct walk *walk)
{
    if (walk->fewer && !walk->moved) {
        walk->wrong =
            "the node lists less than the sum that it has told: are there several behind its address?";
    }
}

/*
 * A node that is made anew comes upon a send long before it comes upon the block that received it: what was received before a subscription
 * would be receivable again, and pass for new. Nothing of it is entered.
 */
static bool knows_less(const struct walk *walk)
{
    uint64_t height = walk->place_count > 0 ? walk->places[0].height : 0;
    return walk->known_height != UINT64_MAX && height < walk->known_height;
}

static void leave_chain(struct walk *walk)
{
    if (knows_less(walk)) {
        walk_end(walk, "the node knows less of its chain than it did: it is behind");
        return;
    }
    check_chain(walk);
    walk_take_baselines(walk, find_unknown);
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
    uint8_t next[32];
    bool more = take_history(walk, &history);
    memcpy(next, history.more, sizeof(next));
    rpc_history_fini(&history);
    if (more) {
        ask_history(walk, next);
    } else {
        leave_chain(walk);
    }
}

static void ask_history(struct walk *walk, const uint8_t *head)
{
    walk_ask(walk, rpc_ask_history(&walk->row->address, head, false, HISTORY_MOST), on_history);
}

/* ---- what waits to be received ---------------------------------------------------------------------------------------------------- */

/* In place of the page's sum that of the list, which was so at one moment. */
static void sum_up(struct walk *walk, const struct rpc_receivables *listed)
{
    struct amount sum = {0, 0};
    for (size_t i = 0; i < listed->count; i++) {
        if (amount_is_zero(listed->items[i].amount)) {
            return; /* a list without amounts: the page's sum has to do */
        }
        if (!amount_add(sum, listed->items[i].amount, &sum)) {
            walk->wrong = "more waits for it than there is money";
            return;
        }
    }
    walk->fewer = amount_compare(sum, walk->receivable) < 0;
    walk->receivable = sum;
}

static void on_receivable(struct walk *walk, const json_t *answer)
{
    struct rpc_receivables receivables;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (rpc_read_receivable(answer, &receivables, error) != CS_OK) {
        walk_end(walk, error);
        return;
    }
    for (size_t i = 0; i < receivables.count; i++) {
        add_candidate(walk, receivables.items[i].hash)->sure = true;
    }
    if (receivables.count > 0) {
        qsort(walk->candidates, receivables.count, sizeof(struct candidate), compare_hashes);
    }
    walk->receivable_count = receivables.count;
    sum_up(walk, &receivables);
    bool too_many = receivables.count >= BACKFILL_RECEIVABLE_MOST;
    rpc_receivables_fini(&receivables);
    if (too_many) {
        walk_end(walk, "more sends wait for it than can be looked at: receive them");
    } else {
        ask_history(walk, NULL); /* also of a chain that was not there: it may be by now */
    }
}

void walk_start(struct job *job, size_t row)
{
    struct walk *walk = cs_alloc(sizeof(*walk));
    walk->job = job;
    walk->row = &job->rows[row];
    memcpy(walk->frontier, job->frontiers[row].hash, sizeof(walk->frontier));
    walk->receivable = job->balances[row].receivable;
    if (walk_read_baselines(walk) != CS_OK) {
        walk_end(walk, "the store could not be read");
    } else if (!amount_is_zero(walk->receivable)) {
        const struct backfill *backfill = job->backfill;
        walk_ask(walk,
                 rpc_ask_receivable(backfill->has_version ? &backfill->version : NULL, &walk->row->address,
                                    BACKFILL_RECEIVABLE_MOST),
                 on_receivable);
    } else if (!is_zero(walk->frontier)) {
        ask_history(walk, NULL);
    } else {
        leave_chain(walk); /* nothing waited, and then nothing was received: nothing ever came */
    }
}
