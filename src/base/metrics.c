#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define MOST_METRICS 512

struct metric {
    const char *name;
    const char *labels;
    const char *help;
    metrics_count count;
    int64_t (*read)(void *context); /* NULL for a counter */
    void *context;
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
    free(metrics);
}

static struct metric *add(struct metrics *metrics, const char *name, const char *labels, const char *help)
{
    assert(metrics->count < MOST_METRICS);
    struct metric *metric = &metrics->metric[metrics->count++];
    metric->name = name;
    metric->labels = labels;
    metric->help = help;
    return metric;
}

metrics_count *metrics_add_counter(struct metrics *metrics, const char *name, const char *labels,
                                   const char *help)
{
    return &add(metrics, name, labels, help)->count;
}

void metrics_add_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                       int64_t (*read)(void *context), void *context)
{
    struct metric *metric = add(metrics, name, labels, help);
    metric->read = read;
    metric->context = context;
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
        struct metric *metric = &metrics->metric[i];
        if (i == 0 || strcmp(metric->name, metrics->metric[i - 1].name) != 0) {
            fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                    metric->read != NULL ? "gauge" : "counter");
        }
        const char *open = *metric->labels != '\0' ? "{" : "", *close = *metric->labels != '\0' ? "}" : "";
        fprintf(out, "%s%s%s%s ", metric->name, open, metric->labels, close);
        if (metric->read != NULL) {
            fprintf(out, "%" PRId64 "\n", metric->read(metric->context));
        } else {
            fprintf(out, "%" PRIu64 "\n", atomic_load_explicit(&metric->count, memory_order_relaxed));
        }
    }
    fclose(out);
    return text;
}
