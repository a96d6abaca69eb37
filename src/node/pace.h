/*
 * pace: at most so many a second, evenly spread: no burst, whatever was saved up. Pure: the caller brings the time.
 *
 * Whoever grants the quota counts when calls arrive, and the way there delays some more than others. So the pace is 5 % slower than
 * the quota: a call that is up to 50 ms late does not make one too many within any second at the other end.
 */
#ifndef COINSLOT_NODE_PACE_H
#define COINSLOT_NODE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t each_ns;  /* 0: no limit */
    uint64_t slack_ns; /* a turn that came late by this much does not delay the next one */
    uint64_t next_ns;
};

/* per_s 0: no limit. Times are clock_monotonic_ns's. */
void pace_init(struct pace *pace, uint32_t per_s, uint64_t now_ns);
/* False: not yet. */
bool pace_take(struct pace *pace, uint64_t now_ns);
/* How long until the next one may be taken. */
uint64_t pace_wait_ns(const struct pace *pace, uint64_t now_ns);

#endif
