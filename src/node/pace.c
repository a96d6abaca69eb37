#include "node/pace.h"

#define SLOWED_SECOND_NS 1050000000u

/* Timers are good to about a millisecond: where more than that is between two calls anyway, lateness is not worth making up for. */
#define FAST_NS  10000000u
#define SLACK_NS 5000000u

void pace_init(struct pace *pace, uint32_t per_s, uint64_t now_ns)
{
    pace->each_ns = per_s > 0 ? (SLOWED_SECOND_NS + per_s - 1) / per_s : 0;
    pace->slack_ns = pace->each_ns < FAST_NS ? SLACK_NS : 0;
    pace->next_ns = now_ns;
}

uint64_t pace_wait_ns(const struct pace *pace, uint64_t now_ns)
{
    return pace->each_ns > 0 && now_ns < pace->next_ns ? pace->next_ns - now_ns : 0;
}

bool pace_take(struct pace *pace, uint64_t now_ns)
{
    if (pace_wait_ns(pace, now_ns) > 0) {
        return false;
    }
    uint64_t from = now_ns > pace->slack_ns ? now_ns - pace->slack_ns : 0;
    pace->next_ns = (from > pace->next_ns ? from : pace->next_ns) + pace->each_ns;
    return true;
}
