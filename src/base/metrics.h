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
typedef _Atomic uint64_t metrics_count;

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

/* Owned by the caller: free(). */
char *metrics_print(struct metrics *metrics);

static inline void metrics_add(metrics_count *count, uint64_t more)
{
    atomic_fetch_add_explicit(count, more, memory_order_relaxed);
}

#endif
