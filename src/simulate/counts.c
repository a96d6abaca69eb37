#include "simulate/counts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/mimic_call.h"

#define SECOND_NS 1000000000u

void counts_fini(struct counts *counts)
{
    json_decref(counts->calls_by_action);
    free(counts->recent_ns);
}

static void count_second(struct counts *counts)
{
    uint64_t now_ns = clock_monotonic_ns();
    size_t old = 0;
    while (old < counts->recent_count && now_ns - counts->recent_ns[old] >= SECOND_NS) {
        old++;
    }
    counts->recent_count -= old;
    if (old > 0) {
        memmove(&counts->recent_ns[0], &counts->recent_ns[old],
                counts->recent_count * sizeof(counts->recent_ns[0]));
    }
    if (counts->recent_count == counts->recent_room) {
        counts->recent_room = counts->recent_room == 0 ? 64 : 2 * counts->recent_room;
        counts->recent_ns = cs_realloc(counts->recent_ns, counts->recent_room * sizeof(counts->recent_ns[0]));
    }
    counts->recent_ns[counts->recent_count++] = now_ns;
    if (counts->recent_count > counts->calls_most_in_1_s) {
        counts->calls_most_in_1_s = counts->recent_count;
    }
}

void counts_add_call(struct counts *counts, const char *action)
{
    if (counts->calls_by_action == NULL) {
        counts->calls_by_action = json_object();
    }
    counts->calls++;
    json_int_t before = json_integer_value(json_object_get(counts->calls_by_action, action));
    json_object_set_new_nocheck(counts->calls_by_action, action, json_integer(before + 1));
    count_second(counts);
}

void counts_print(const struct counts *counts, json_t *object)
{
    const char *action;
    json_t *count, *calls = json_object();
    json_object_foreach(counts->calls_by_action, action, count)
    {
        mimic_put_number(calls, action, (uint64_t)json_integer_value(count));
    }
    mimic_put_number(object, "calls", counts->calls);
    mimic_put_number(object, "calls_most_in_1_s", counts->calls_most_in_1_s);
    tree_put_collection(object, "calls_by_action", calls);
    mimic_put_number(object, "callbacks_made", counts->callbacks_made);
    mimic_put_number(object, "callbacks_accepted", counts->callbacks_accepted);
    mimic_put_number(object, "callbacks_lost", counts->callbacks_lost);
    mimic_put_number(object, "ws_opened", counts->ws_opened);
    mimic_put_number(object, "ws_refused", counts->ws_refused);
    mimic_put_number(object, "ws_messages", counts->ws_messages);
    mimic_put_number(object, "ws_lost", counts->ws_lost);
}
