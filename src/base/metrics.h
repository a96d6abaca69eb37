/*
 * metrics: named numbers, printed as Prometheus text (exposition format 0.0.4).
 * Registered while the relay starts, by one thread; counted and printed from any thread afterwards.
 */
#ifndef COINSLOT_BASE_METRICS_H
#define COINSLOT_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;
struct metrics_histogram;
typedef _Atomic uint64_t metrics_count;

/* The upper ends of a histogram's buckets: fine where a payment's stages lie, coarse up to what people notice. */
#define METRICS_BUCKETS_US                                                                                   \
    {                                                                                                        \
        10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000   \
    }
#define METRICS_BUCKET_COUNT 16

struct metrics *metrics_open(void);
void metrics_close(struct metrics *metrics);

/*
 * A counter that only grows. `name` ends in _total; `labels` is `kind="x"` or "" ; `help` is said once a
 * name, so counters of one name are registered one after the other. The strings are borrowed for good. Lives
 * as long as `metrics`.
 */
metrics_count *metrics_add_counter(struct metrics *metrics, const char *name, const char *labels,
                                   const char *help);

/* A number that is asked for when it is printed; `read` runs on the printing thread. */
void metrics_add_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help,
                       int64_t (*read)(void *context), void *context);

/*
 * How long something took, as a histogram: `name` ends in _seconds, its buckets are METRICS_BUCKETS_US (Prometheus'
 * cumulative `le`, in seconds). Registered as a counter is.
 */
struct metrics_histogram *metrics_add_histogram(struct metrics *metrics, const char *name, const char *labels,
                                                const char *help);

/* Any thread. Nanoseconds; what is below 0, from two clocks that disagree, counts as 0. */
void metrics_observe_ns(struct metrics_histogram *histogram, int64_t ns);

/* Owned by the caller: free(). */
char *metrics_print(struct metrics *metrics);

static inline void metrics_add(metrics_count *count, uint64_t more)
{
    atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

#endif
