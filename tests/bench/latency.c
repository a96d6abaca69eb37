#include "bench/latency.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

int64_t latency_percentile(const int64_t *sorted_ns, size_t count, double part)
{
    size_t rank = (size_t)ceil(part * (double)count);
    return sorted_ns[rank > 0 ? rank - 1 : 0];
}

static json_t *microseconds(int64_t ns)
{
    return json_real((double)ns / 1000);
}

/* Eight steps for each doubling: within 9 % each. Steps in which nothing lies are left out. */
static json_t *histogram(const int64_t *sorted_ns, size_t count)
{
    json_t *steps = json_array();
    double up_to_us = 1;
    for (size_t at = 0; at < count; up_to_us *= exp2(0.125)) {
        size_t from = at;
        while (at < count && (double)sorted_ns[at] <= up_to_us * 1000) {
            at++;
        }
        if (at > from) {
            json_array_append_new(steps, json_pack("[f,I]", up_to_us, (json_int_t)(at - from)));
        }
    }
    return steps;
}

json_t *latency_describe(int64_t *durations_ns, size_t count)
{
    static const struct {
        const char *name;
        double part;
    } parts[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}, {"p99_99", 0.9999}, {"max", 1}};
    json_t *found = json_object();
    json_object_set_new(found, "count", json_integer((json_int_t)count));
    qsort(durations_ns, count, sizeof(*durations_ns), compare);
    for (size_t i = 0; count > 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        json_object_set_new(found, parts[i].name,
                            microseconds(latency_percentile(durations_ns, count, parts[i].part)));
    }
    json_object_set_new(found, "histogram", histogram(durations_ns, count));
    return found;
}
