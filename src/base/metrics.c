#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define MOST_METRICS 512

static const uint64_t BUCKETS_US[METRICS_BUCKET_COUNT] = METRICS_BUCKETS_US;

struct metrics_histogram {
    metrics_count sum_ns;
    metrics_count
        buckets[METRICS_BUCKET_COUNT + 1]; /* each without those before it; the last has no upper end */
};

enum metric_kind { COUNTER, GAUGE, HISTOGRAM };
static const char *const KIND_NAMES[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};

struct metric {
    enum metric_kind kind;
    const char *name;
    const char *labels;
    const char *help;
    metrics_count count;                 /* of a counter */
    int64_t (*read)(void *context);      /* of a gauge */
    void *context;                       /* of a gauge */
    struct metrics_histogram *histogram; /* owned */
};

struct metrics {
    size_t count;
    struct metric metric[MOST_METRICS];
};

struct metrics *metrics_open(void)
{
    return cs_alloc(sizeof(struct metrics));
}

void metrics_close(struct metrics *metrics)
{
    for (size_t i = 0; i < metrics->count; i++) {
        free(metrics->metric[i].histogram);
    }
    free(metrics);
}

static struct metric *add(struct metrics *metrics, enum metric_kind kind, const char *name,
                          const char *labels, const char *help)
{
    assert(metrics->count < MOST_METRICS);
    struct metric *metric = &metrics->metric[metrics->count++];
    metric->kind = kind;
    metric->name = name;
    metric->labels = labels;
    metric->help = help;
    return metric;
}

metrics_count *metrics_add_counter(struct metrics *metrics, const char *name, const char *labels,
                                   const char *help)
{
    return &add(metrics, COUNTER, name, labels, help)->count;
}

void metrics_add_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                       int64_t (*read)(void *context), void *context)
{
    struct metric *metric = add(metrics, GAUGE, name, labels, help);
    metric->read = read;
    metric->context = context;
}

struct metrics_histogram *metrics_add_histogram(struct metrics *metrics, const char *name, const char *labels,
                                                const char *help)
{
    struct metric *metric = add(metrics, HISTOGRAM, name, labels, help);
    metric->histogram = cs_alloc(sizeof(*metric->histogram));
    return metric->histogram;
}

void metrics_observe_ns(struct metrics_histogram *histogram, int64_t ns)
{
    uint64_t took_ns = ns > 0 ? (uint64_t)ns : 0;
    size_t bucket = 0;
    while (bucket < METRICS_BUCKET_COUNT && took_ns > BUCKETS_US[bucket] * 1000) {
        bucket++;
    }
    metrics_add(&histogram->buckets[bucket], 1);
    metrics_add(&histogram->sum_ns, took_ns);
}

static uint64_t get(const metrics_count *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static void print_value(FILE *out, const struct metric *metric)
{
    const char *open = *metric->labels != '\0' ? "{" : "", *close = *metric->labels != '\0' ? "}" : "";
    fprintf(out, "%s%s%s%s ", metric->name, open, metric->labels, close);
    if (metric->kind == GAUGE) {
        fprintf(out, "%" PRId64 "\n", metric->read(metric->context));
    } else {
        fprintf(out, "%" PRIu64 "\n", get(&metric->count));
    }
}

static void print_histogram(FILE *out, const struct metric *metric)
{
    const struct metrics_histogram *histogram = metric->histogram;
    const char *name = metric->name, *labels = metric->labels;
    const char *comma = *labels != '\0' ? "," : "";
    const char *open = *labels != '\0' ? "{" : "", *close = *labels != '\0' ? "}" : "";
    uint64_t count = 0;
    for (size_t i = 0; i < METRICS_BUCKET_COUNT; i++) {
        count += get(&histogram->buckets[i]);
        fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma,
                (double)BUCKETS_US[i] / 1e6, count);
    }
    count += get(&histogram->buckets[METRICS_BUCKET_COUNT]);
    fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    fprintf(out, "%s_sum%s%s%s %.9f\n", name, open, labels, close, (double)get(&histogram->sum_ns) / 1e9);
    fprintf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

char *metrics_print(struct metrics *metrics)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        log_die("base", "out of memory printing the metrics");
    }
    for (size_t i = 0; i < metrics->count; i++) {
        const struct metric *metric = &metrics->metric[i];
        if (i == 0 || strcmp(metric->name, metrics->metric[i - 1].name) != 0) {
            fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                    KIND_NAMES[metric->kind]);
        }
        if (metric->kind == HISTOGRAM) {
            print_histogram(out, metric);
        } else {
            print_value(out, metric);
        }
    }
    fclose(out);
    return text;
}
