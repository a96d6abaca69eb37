/* When which addresses are looked at: sweeps over all of them, and single ones out of turn. */
#include "node/backfill.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/backfill_internal.h"

#define LOG_MODULE "backfill"

#define TICK_MS          50
#define SECOND_NS        1000000000u
#define PAUSE_MOST_S     60 /* before a page is tried again that the node did not answer */
#define URGENT_LIVE_MOST 16 /* so few addresses go before all sweeps */

void backfill_note_failure(struct backfill *backfill, const char *what, const char *why)
{
    metrics_add(backfill->failed, 1);
    pthread_mutex_lock(&backfill->lock);
    bool first = backfill->report.why[0] == '\0';
    backfill->report.failed++;
    snprintf(backfill->report.why, sizeof(backfill->report.why), "%s: %s", what, why);
    pthread_mutex_unlock(&backfill->lock);
    if (first) {
        log_warn("cannot reconcile %s: %s; it is tried again", what, why);
    }
}

/* ---- a sweep --------------------------------------------------------------------------------------------------------- */

static void start_page(struct backfill *backfill);

static void end_sweep(struct backfill *backfill)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t interval_ns = (uint64_t)backfill->options.sweep_s * SECOND_NS;
    bool whole = !backfill->sweep_failed;
    backfill->sweeping = false;
    metrics_add(backfill->sweeps, 1);
    pthread_mutex_lock(&backfill->lock);
    struct backfill_report *report = &backfill->report;
    report->running = false;
    report->ended_at_ms = clock_wall_ms();
    report->sweeps++;
    report->addresses = backfill->sweep_addresses;
    if (whole) {
        report->duration_ms = (int64_t)((now_ns - backfill->sweep_began_ns) / 1000000u);
        report->why[0] = '\0';
    }
    pthread_mutex_unlock(&backfill->lock);
    uint64_t due_ns = backfill->sweep_began_ns + interval_ns;
    /* What failed is looked at again before its turn. */
    uint64_t soon_ns = now_ns + 30ull * SECOND_NS;
    due_ns = !whole && due_ns > soon_ns ? soon_ns : due_ns;
    backfill->next_sweep_ns = interval_ns == 0 && whole ? UINT64_MAX : due_ns > now_ns ? due_ns : now_ns;
    backfill->options.swept(backfill->options.context, whole);
}

static void on_page_done(struct job *job)
{
    struct backfill *backfill = job->backfill;
    uint64_t now_ns = clock_monotonic_ns();
    size_t count = job->count;
    backfill->sweep_failed |= job->failed > 0;
    if (job->failed_whole && job->refused && count > 1) {
        backfill->halvings++;
        backfill->next_page_ns = now_ns + SECOND_NS;
    } else if (job->failed_whole) {
        uint64_t pause_s = 1ull << (backfill->failures < 6 ? backfill->failures : 6);
        pause_s = pause_s < PAUSE_MOST_S ? pause_s : PAUSE_MOST_S;
        backfill->failures++;
        backfill->next_page_ns = now_ns + pause_s * SECOND_NS; /* the same page again … */
        if (job->refused && count == 1) {
            backfill->after =
                job->rows[0].num; /* … but what the node will not speak of is left for the next sweep */
        }
    } else {
        backfill->failures = 0;
        backfill->halvings -= backfill->halvings > 0;
        backfill->after = count > 0 ? job->rows[count - 1].num : backfill->after;
        backfill->sweep_addresses += count;
        uint64_t share_ns = 0;
        if (backfill->spread && backfill->page_addresses > 0) {
            share_ns = (uint64_t)backfill->options.sweep_s * SECOND_NS / 2 * count / backfill->page_addresses;
        }
        backfill->next_page_ns = now_ns + share_ns;
    }
    bool last = !job->failed_whole && count < job->most;
    backfill->job = NULL;
    job_free(job);
    if (last) {
        end_sweep(backfill);
    } else if (backfill->next_page_ns <= now_ns && !backfill->closing) {
        start_page(backfill);
    }
}

static void start_page(struct backfill *backfill)
{
    uint32_t most = backfill->halvings < 16 ? backfill->options.batch >> backfill->halvings : 0;
    struct job *job = job_new(backfill, most > 0 ? most : 1, RPC_SWEEP, on_page_done);
    backfill->job = job;
    if (reader_page_watched(backfill->options.store, backfill->after, (uint32_t)job->most, job->rows,
                            &job->count) != CS_OK) {
        backfill_note_failure(backfill, "a page of addresses", "the store could not be read");
        job->failed_whole = true;
        on_page_done(job);
        return;
    }
    job_start(job);
}

/* `spread`: its pages are spread over half of the interval; else as fast as the quota allows. */
static void start_sweep(struct backfill *backfill, bool spread)
{
    struct store_coverage coverage;
    store_find_coverage(backfill->options.store, &coverage);
    backfill->sweeping = true;
    backfill->again = false;
    backfill->spread = spread;
    backfill->sweep_failed = false;
    backfill->after = 0;
    backfill->sweep_addresses = 0;
    backfill->page_addresses = coverage.addresses;
    backfill->sweep_began_ns = clock_monotonic_ns();
    pthread_mutex_lock(&backfill->lock);
    backfill->report.running = true;
    backfill->report.started_at_ms = clock_wall_ms();
    pthread_mutex_unlock(&backfill->lock);
    start_page(backfill);
}

void backfill_sweep(struct backfill *backfill, const char *why)
{
    log_info("the node is asked about every address: %s", why);
    backfill->again = true;
    backfill->spread = false; /* the one under way hurries too, to make room */
    backfill->next_page_ns = backfill->failures == 0 ? 0 : backfill->next_page_ns;
}

/* ---- out of turn --------------------------------------------------------------------------------------------------------- */

void backfill_ask(struct backfill *backfill, const struct address *address)
{
    pthread_mutex_lock(&backfill->lock);
    bool there = false;
    bool full = backfill->asked_count == BACKFILL_ASKED_MOST; /* then a sweep is made in any case */
    for (size_t i = 0; i < backfill->asked_count && !there && !full; i++) {
        there = address_equal(&backfill->asked[i], address);
    }
    if (!there && backfill->asked_count < BACKFILL_ASKED_MOST) {
        backfill->asked[backfill->asked_count++] = *address;
    } else if (!there) {
        backfill->asked_too_many = true;
    }
    pthread_mutex_unlock(&backfill->lock);
    backfill_wake(backfill);
}

static void on_urgent_done(struct job *job)
{
    struct backfill *backfill = job->backfill;
    bool failed = job->failed > 0;
    backfill->urgent = NULL;
    job_free(job);
    if (failed) {
        backfill->sweep_failed = true;
        uint64_t soon_ns = clock_monotonic_ns() + 5ull * SECOND_NS;
        backfill->next_sweep_ns = backfill->next_sweep_ns < soon_ns ? backfill->next_sweep_ns : soon_ns;
    }
    backfill_wake(backfill);
}

static void start_urgent(struct backfill *backfill)
{
    struct address asked[BACKFILL_ASKED_MOST];
    size_t most =
        backfill->options.batch < BACKFILL_ASKED_MOST ? backfill->options.batch : BACKFILL_ASKED_MOST;
    pthread_mutex_lock(&backfill->lock);
    size_t count = backfill->asked_count < most ? backfill->asked_count : most;
    memcpy(asked, backfill->asked, count * sizeof(asked[0]));
    backfill->asked_count -= count;
    memmove(backfill->asked, backfill->asked + count, backfill->asked_count * sizeof(asked[0]));
    bool too_many = backfill->asked_too_many;
    backfill->asked_too_many = false;
    pthread_mutex_unlock(&backfill->lock);
    if (too_many) {
        backfill_sweep(backfill, "many addresses are new");
    }
    if (count == 0) {
        return;
    }
    struct job *job =
        job_new(backfill, count, count <= URGENT_LIVE_MOST ? RPC_LIVE : RPC_SWEEP, on_urgent_done);
    for (size_t i = 0; i < count; i++) {
        enum cs_err err = reader_watched(backfill->options.store, &asked[i], &job->rows[job->count]);
        job->count += err == CS_OK;
        /* One that nobody subscribes to any more is left out. */
        job->failed += err != CS_OK && err != CS_ENOTFOUND;
    }
    backfill->urgent = job;
    job_start(job);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------- */

static void go_on(struct walk *walk)
{
    struct backfill *backfill = walk->job->backfill;
    if (backfill->closing) {
        walk_end(walk, "the relay is shutting down");
    } else if (atomic_load(&walk->failed)) {
        walk_end(walk, "the store could not take what was found");
    } else if (atomic_load(&walk->early)) {
        walk_end(walk, "somebody subscribed to it meanwhile, and comes first");
    } else if (atomic_load(&walk->busy)) {
        walk->next = backfill->paused;
        backfill->paused = walk;
    } else {
        walk->then(walk);
    }
}

static void take_returned(struct backfill *backfill)
{
    pthread_mutex_lock(&backfill->lock);
    struct walk *walk = backfill->returned;
    backfill->returned = NULL;
    backfill->posted = false;
    pthread_mutex_unlock(&backfill->lock);
    while (walk != NULL) {
        struct walk *next = walk->next;
        go_on(walk);
        walk = next;
    }
    if (backfill->urgent == NULL && !backfill->closing) {
        start_urgent(backfill);
    }
}

static void on_post(void *context)
{
    take_returned(context);
}

void backfill_wake(struct backfill *backfill)
{
    pthread_mutex_lock(&backfill->lock);
    bool post = !backfill->posted;
    backfill->posted = true;
    pthread_mutex_unlock(&backfill->lock);
    /* Where it cannot be posted the tick takes it. */
    if (post && node_loop_post(backfill->options.loop, on_post, backfill) != CS_OK) {
        pthread_mutex_lock(&backfill->lock);
        backfill->posted = false;
        pthread_mutex_unlock(&backfill->lock);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct backfill *backfill = timer->data;
    struct walk *paused = backfill->paused;
    backfill->paused = NULL;
    while (paused != NULL) {
        struct walk *next = paused->next;
        paused->again(paused);
        paused = next;
    }
    take_returned(backfill);
    uint64_t now_ns = clock_monotonic_ns();
    if (backfill->sweeping && backfill->job == NULL && now_ns >= backfill->next_page_ns) {
        start_page(backfill);
    } else if (!backfill->sweeping && (backfill->again || now_ns >= backfill->next_sweep_ns)) {
        start_sweep(backfill, !backfill->again);
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------------------- */

void backfill_set_version(struct backfill *backfill, const struct rpc_version *version)
{
    backfill->has_version = version != NULL;
    if (version != NULL) {
        backfill->version = *version;
    }
}

void backfill_set_behind(struct backfill *backfill, bool behind)
{
    backfill->behind = behind;
}

void backfill_report(struct backfill *backfill, struct backfill_report *report)
{
    pthread_mutex_lock(&backfill->lock);
    *report = backfill->report;
    pthread_mutex_unlock(&backfill->lock);
    report->walked = atomic_load(backfill->walked);
    report->found = atomic_load(backfill->found);
}

struct backfill *backfill_open(const struct backfill_options *options)
{
    assert(options->batch >= 1 && options->batch <= READER_WATCHED_MOST);
    struct backfill *backfill = cs_alloc(sizeof(*backfill));
    struct metrics *metrics = options->metrics;
    backfill->options = *options;
    backfill->next_sweep_ns = UINT64_MAX; /* until the first was asked for */
    pthread_mutex_init(&backfill->lock, NULL);
    backfill->sweeps =
        metrics_add_counter(metrics, "coinslot_reconcile_sweeps_total", "", "Sweeps over all addresses.");
    backfill->walked = metrics_add_counter(metrics, "coinslot_reconcile_walked_total", "",
                                           "Addresses that had changed and were looked at one by one.");
    backfill->found =
        metrics_add_counter(metrics, "coinslot_reconcile_found_total", "",
                            "Payments that reconciliation found before any source told of them.");
    backfill->failed = metrics_add_counter(metrics, "coinslot_reconcile_failed_total", "",
                                           "Pages and addresses that could not be reconciled, each time.");
    uv_timer_init(node_loop_uv(options->loop), &backfill->timer);
    backfill->timer.data = backfill;
    uv_timer_start(&backfill->timer, on_tick, TICK_MS, TICK_MS);
    return backfill;
}

void backfill_stop(struct backfill *backfill)
{
    uv_timer_stop(&backfill->timer);
    uv_close((uv_handle_t *)&backfill->timer, NULL);
    backfill->closing = true;
    while (backfill->paused != NULL || backfill->returned != NULL) {
        struct walk *walk = backfill->paused;
        backfill->paused = NULL;
        while (walk != NULL) {
            struct walk *next = walk->next;
            go_on(walk);
            walk = next;
        }
        take_returned(backfill);
    }
    assert(backfill->job == NULL && backfill->urgent == NULL);
}

void backfill_close(struct backfill *backfill)
{
    pthread_mutex_destroy(&backfill->lock);
    free(backfill);
}
