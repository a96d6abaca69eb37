/*
 * One page of addresses: two questions, and a walk for each that has changed.
 * First what waits, then how long the chains are: a chain never comes back to a block that it has left, and while it stands, what waits can
 * only become more. So if the frontier is the mark's after the sum was, both were so at one moment, with the very sends that were known. The
 * other way round a send that was received in between would make room for one of the same amount.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/backfill_internal.h"

#define LOG_MODULE "backfill"

struct job *job_new(struct backfill *backfill, size_t most, enum rpc_priority priority,
                    void (*done)(struct job *job))
{
    struct job *job = cs_alloc(sizeof(*job) + most * sizeof(struct reader_watched));
    job->backfill = backfill;
    job->at_ms = clock_wall_ms(); /* before its rows are read: who subscribes after that is not among them */
    job->priority = priority;
    job->done = done;
    job->most = most;
    return job;
}

void job_free(struct job *job)
{
    free(job->accounts);
    free(job->frontiers);
    free(job->balances);
    free(job->unchanged);
    free(job);
}

static void job_fail(struct job *job, bool refused, const char *why)
{
    job->refused = refused;
    backfill_note_failure(job->backfill, "a page of addresses", why);
    job->failed += job->count;
    job->failed_whole = true;
    job->done(job);
}

static bool has_changed(const struct job *job, size_t i)
{
    const struct reader_watched *row = &job->rows[i];
    static const uint8_t UNOPENED[32];
    const uint8_t *frontier =
        job->frontiers[i].standing == RPC_ACCOUNT_SAID ? job->frontiers[i].hash : UNOPENED;
    return row->needs_baseline || !row->has_mark || row->mark.moved ||
           memcmp(row->mark.frontier, frontier, 32) != 0 ||
           amount_compare(row->mark.receivable, job->balances[i].receivable) != 0;
}

/* Starts walks while there is room; when all have ended, so has the job. */
static void walk_on(struct job *job)
{
    if (job->walking_on) {
        return; /* a walk ended at once: the loop below goes on */
    }
    job->walking_on = true;
    while (job->next < job->count && job->walking < WALKS_MOST) {
        size_t i = job->next++;
        if (job->frontiers[i].standing == RPC_ACCOUNT_REFUSED ||
            job->balances[i].standing != RPC_ACCOUNT_SAID) {
            job->failed++;
            backfill_note_failure(job->backfill, "an address", "the node refuses to speak of it");
        } else if (has_changed(job, i)) {
            job->walking++;
            metrics_add(job->backfill->walked, 1);
            walk_start(job, i);
        }
    }
    job->walking_on = false;
    if (job->walking == 0 && job->next == job->count) {
        job->done(job);
    }
}

void job_walked(struct job *job, bool complete)
{
    job->walking--;
    job->failed += !complete;
    walk_on(job);
}

static void judge(struct job *job)
{
    size_t unchanged = 0;
    job->unchanged = cs_alloc(job->count * sizeof(int64_t));
    for (size_t i = 0; i < job->count; i++) {
        if (job->frontiers[i].standing != RPC_ACCOUNT_REFUSED &&
            job->balances[i].standing == RPC_ACCOUNT_SAID && !has_changed(job, i)) {
            job->unchanged[unchanged++] = job->rows[i].num;
        }
    }
    if (unchanged > 0 && !job->backfill->behind) {
        store_note_complete(job->backfill->options.store, job->unchanged, unchanged, job->at_ms);
    }
    walk_on(job);
}

static void on_frontiers(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct job *job = context;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (result != RPC_OK) {
        job_fail(job, result != RPC_UNREACHABLE && result != RPC_CLOSED, why);
    } else if (rpc_read_frontiers(answer, job->accounts, job->count, &job->frontiers, error) != CS_OK) {
        job_fail(job, true, error);
    } else {
        judge(job);
    }
}

static void on_balances(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct job *job = context;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (result != RPC_OK) {
        job_fail(job, result != RPC_UNREACHABLE && result != RPC_CLOSED, why);
        return;
    }
    if (rpc_read_balances(answer, job->accounts, job->count, &job->balances, error) != CS_OK) {
        job_fail(job, true, error);
        return;
    }
    if (rpc_call(job->backfill->options.rpc, job->priority, rpc_ask_frontiers(job->accounts, job->count),
                 on_frontiers, job) != CS_OK) {
        job_fail(job, false, "too many calls wait");
    }
}

void job_start(struct job *job)
{
    job->accounts = cs_alloc((job->count + 1) * sizeof(struct address));
    for (size_t i = 0; i < job->count; i++) {
        job->accounts[i] = job->rows[i].address;
    }
    if (job->count == 0) {
        job->done(job);
    } else if (rpc_call(job->backfill->options.rpc, job->priority,
                        rpc_ask_balances(job->accounts, job->count), on_balances, job) != CS_OK) {
        job_fail(job, false, "too many calls wait");
    }
}
