#include "node/sources.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define LOG_MODULE "sources"

#define BUCKETS     16384 /* a power of two */
#define LABELS_SIZE (SOURCE_NAME_SIZE + 16)

/* A payment in its grace: in a ring by age, and in a bucket by its hash. */
struct recent {
    uint8_t hash[PAYMENT_HASH_SIZE];
    int64_t first_at_ms;
    uint32_t brought_by, expected; /* bits by source */
    uint32_t next;                 /* in the bucket, plus one; 0: the last */
};

enum source_metric { METRIC_PAYMENTS, METRIC_MISSED, METRIC_LOST, METRIC_LATE, METRIC_LATE_MS };
#define SOURCE_METRIC_COUNT 5

struct source {
    struct source_report report;
    char labels[LABELS_SIZE];
    metrics_count *counts[SOURCE_METRIC_COUNT];
    struct sources *sources;
};

struct sources {
    pthread_mutex_t lock;
    struct metrics *metrics;
    struct source source[SOURCES_MOST];
    size_t count;
    struct recent *recent; /* the ring: `recent_count` from `recent_first` on */
    size_t recent_first, recent_count;
    uint32_t buckets[BUCKETS]; /* as `next` */
};

struct sources *sources_open(struct metrics *metrics)
{
    struct sources *sources = cs_alloc(sizeof(*sources));
    sources->metrics = metrics;
    sources->recent = cs_alloc(SOURCE_RECENT_MOST * sizeof(struct recent));
    pthread_mutex_init(&sources->lock, NULL);
    return sources;
}

void sources_close(struct sources *sources)
{
    pthread_mutex_destroy(&sources->lock);
    free(sources->recent);
    free(sources);
}

static int64_t read_alive(void *context)
{
    struct source *source = context;
    pthread_mutex_lock(&source->sources->lock);
    bool alive = source->report.alive;
    pthread_mutex_unlock(&source->sources->lock);
    return alive;
}

static bool is_taken(const struct sources *sources, const char *name)
{
    for (size_t i = 0; i < sources->count; i++) {
        if (strcmp(sources->source[i].report.name, name) == 0) {
            return true;
        }
    }
    return false;
}

size_t sources_add(struct sources *sources, enum payment_source kind, const char *name, bool expected)
{
    assert(sources->count < SOURCES_MOST);
    struct source *source = &sources->source[sources->count];
    struct source_report *report = &source->report;
    char shown[SOURCE_NAME_SIZE];
    snprintf(shown, sizeof(shown), "%s", name);
    /* Two keys of one provider look alike; what they are shown and counted by may not. */
    for (size_t i = 2; is_taken(sources, shown); i++) {
        snprintf(shown, sizeof(shown), "%.*s (%zu)", SOURCE_NAME_SIZE - 32, name, i);
    }
    snprintf(report->name, sizeof(report->name), "%s", shown);
    snprintf(report->why, sizeof(report->why), "nothing has come yet");
    report->kind = kind;
    report->expected = expected;
    report->since_ms = clock_wall_ms();
    source->sources = sources;
    snprintf(source->labels, sizeof(source->labels), "source=\"%s\"", shown);
    return sources->count++;
}

/* Metrics of one name have to be registered one after the other, so they are when all sources are there. */
void sources_add_metrics(struct sources *sources)
{
    static const struct {
        enum source_metric metric;
        const char *name, *help;
    } counters[SOURCE_METRIC_COUNT] = {
        {METRIC_PAYMENTS, "coinslot_source_payments_total",
         "Payments of ours that a source has brought, first or later."},
        {METRIC_MISSED, "coinslot_source_missed_total",
         "Payments of ours that another source brought, and this one did not."},
        {METRIC_LOST, "coinslot_source_lost_total", "News of a source that could not be taken in."},
        {METRIC_LATE, "coinslot_source_late_total",
         "Payments that a source brought after another; of reconciliation: that it found."},
        {METRIC_LATE_MS, "coinslot_source_late_milliseconds_total", "By how much, in all."},
    };
    for (size_t i = 0; i < SOURCE_METRIC_COUNT; i++) {
        for (size_t j = 0; j < sources->count; j++) {
            struct source *source = &sources->source[j];
            source->counts[counters[i].metric] =
                metrics_add_counter(sources->metrics, counters[i].name, source->labels, counters[i].help);
        }
    }
    for (size_t i = 0; i < sources->count; i++) {
        metrics_add_gauge(sources->metrics, "coinslot_source_alive", sources->source[i].labels,
                          "1: the source is alive; 0: it is not.", read_alive, &sources->source[i]);
    }
}

/* ---- what each brought --------------------------------------------------------------------------------------------- */

static uint32_t *bucket_of(struct sources *sources, const uint8_t hash[PAYMENT_HASH_SIZE])
{
    uint32_t number;
    memcpy(&number, hash, sizeof(number));
    return &sources->buckets[number & (BUCKETS - 1)];
}

static struct recent *find_recent(struct sources *sources, const uint8_t hash[PAYMENT_HASH_SIZE])
{
    for (uint32_t at = *bucket_of(sources, hash); at != 0;) {
        struct recent *recent = &sources->recent[at - 1];
        if (memcmp(recent->hash, hash, sizeof(recent->hash)) == 0) {
            return recent;
        }
        at = recent->next;
    }
    return NULL;
}

/* The oldest one's grace is over. */
static void settle_first(struct sources *sources)
{
    struct recent *recent = &sources->recent[sources->recent_first];
    uint32_t *link = bucket_of(sources, recent->hash);
    while (*link != sources->recent_first + 1) {
        link = &sources->recent[*link - 1].next;
    }
    *link = recent->next;
    for (size_t i = 0; i < sources->count; i++) {
        struct source *source = &sources->source[i];
        if ((recent->expected & ~recent->brought_by & (1u << i)) != 0) {
            source->report.missed++;
            metrics_add(source->counts[METRIC_MISSED], 1);
        }
    }
    sources->recent_first = (sources->recent_first + 1) % SOURCE_RECENT_MOST;
    sources->recent_count--;
}

/* One that never spoke is not in use: nothing is expected of it. */
static uint32_t expected_now(const struct sources *sources)
{
    uint32_t expected = 0;
    for (size_t i = 0; i < sources->count; i++) {
        const struct source_report *report = &sources->source[i].report;
        expected |= report->expected && report->message_at_ms != 0 ? 1u << i : 0;
    }
    return expected;
}

static struct recent *add_recent(struct sources *sources, const struct payment *payment, int64_t at_ms)
{
    if (sources->recent_count == SOURCE_RECENT_MOST) {
        settle_first(sources);
    }
    size_t slot = (sources->recent_first + sources->recent_count++) % SOURCE_RECENT_MOST;
    struct recent *recent = &sources->recent[slot];
    uint32_t *bucket = bucket_of(sources, payment->hash);
    *recent = (struct recent){.first_at_ms = at_ms, .expected = expected_now(sources), .next = *bucket};
    memcpy(recent->hash, payment->hash, sizeof(recent->hash));
    *bucket = (uint32_t)slot + 1;
    return recent;
}

static void note_late(struct source *source, int64_t late_ms)
{
    struct source_report *report = &source->report;
    late_ms = late_ms > 0 ? late_ms : 0;
    report->late++;
    report->late_sum_ms += late_ms;
    report->late_most_ms = late_ms > report->late_most_ms ? late_ms : report->late_most_ms;
    metrics_add(source->counts[METRIC_LATE], 1);
    metrics_add(source->counts[METRIC_LATE_MS], (uint64_t)late_ms);
}

void sources_note_payment(struct sources *sources, size_t number, const struct payment *payment, bool stored,
                          int64_t heard_at_ms)
{
    assert(number < sources->count);
    struct source *source = &sources->source[number];
    pthread_mutex_lock(&sources->lock);
    struct source_report *report = &source->report;
    struct recent *recent = find_recent(sources, payment->hash);
    report->message_at_ms = report->message_at_ms > heard_at_ms ? report->message_at_ms : heard_at_ms;
    /* What was stored long ago and is told again is no news, and nobody missed it. */
    bool is_news = stored || (recent != NULL && (recent->brought_by & (1u << number)) == 0);
    if (is_news) {
        report->payments++;
        report->payment_at_ms = heard_at_ms;
        metrics_add(source->counts[METRIC_PAYMENTS], 1);
        if (stored) {
            report->first++;
            recent = recent != NULL ? recent : add_recent(sources, payment, heard_at_ms);
            if (report->kind == SOURCE_BACKFILL && payment->node_time_ms != 0) {
                note_late(source, heard_at_ms - payment->node_time_ms);
            }
        } else {
            note_late(source, heard_at_ms - recent->first_at_ms);
        }
        recent->brought_by |= 1u << number;
    }
    pthread_mutex_unlock(&sources->lock);
}

void sources_settle(struct sources *sources, int64_t now_ms)
{
    pthread_mutex_lock(&sources->lock);
    while (sources->recent_count > 0 &&
           now_ms - sources->recent[sources->recent_first].first_at_ms >= SOURCE_GRACE_MS) {
        settle_first(sources);
    }
    pthread_mutex_unlock(&sources->lock);
}

/* ---- how each fares -------------------------------------------------------------------------------------------------- */

void sources_set_alive(struct sources *sources, size_t number, bool alive, const char *why)
{
    assert(number < sources->count);
    struct source_report *report = &sources->source[number].report;
    pthread_mutex_lock(&sources->lock);
    bool changed = report->alive != alive;
    if (changed) {
        report->alive = alive;
        report->since_ms = clock_wall_ms();
    }
    snprintf(report->why, sizeof(report->why), "%s", alive ? "" : why);
    pthread_mutex_unlock(&sources->lock);
    if (changed && alive) {
        log_info("source %s is alive", report->name);
    } else if (changed) {
        log_warn("source %s is not alive: %s", report->name, why);
    }
}

void sources_note_message(struct sources *sources, size_t number)
{
    assert(number < sources->count);
    pthread_mutex_lock(&sources->lock);
    sources->source[number].report.message_at_ms = clock_wall_ms();
    pthread_mutex_unlock(&sources->lock);
}

void sources_note_lost(struct sources *sources, size_t number)
{
    assert(number < sources->count);
    pthread_mutex_lock(&sources->lock);
    sources->source[number].report.lost++;
    pthread_mutex_unlock(&sources->lock);
    metrics_add(sources->source[number].counts[METRIC_LOST], 1);
}

size_t sources_report(struct sources *sources, struct source_report reports[SOURCES_MOST])
{
    pthread_mutex_lock(&sources->lock);
    for (size_t i = 0; i < sources->count; i++) {
        reports[i] = sources->source[i].report;
    }
    pthread_mutex_unlock(&sources->lock);
    return sources->count;
}
