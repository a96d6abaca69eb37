/* latency: what is said of many durations: percentiles, exact, and a histogram. Pure. */
#ifndef COINSLOT_BENCH_LATENCY_H
#define COINSLOT_BENCH_LATENCY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Sorts them. {count, p50, p90, p99, p99_9, p99_99, max, histogram: [[up to, how many], …]}, all in microseconds. */
json_t *latency_describe(int64_t *durations_ns, size_t count);
/* The smallest that at least `part` of them do not exceed; they are sorted, and there is one. */
int64_t latency_percentile(const int64_t *sorted_ns, size_t count, double part);

#endif
