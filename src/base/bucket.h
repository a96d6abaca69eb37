/*
 * bucket: so many a second, and a second's worth at once. Pure: the caller brings the time, and the lock if it needs one.
 */
#ifndef COINSLOT_BASE_BUCKET_H
#define COINSLOT_BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t ns_each; /* one is earned in; 0: no limit */
    uint64_t room_ns; /* what can be saved up */
    uint64_t saved_ns;
    uint64_t at_ns; /* saved_ns is of then */
};

/* Full at first. per_s 0: no limit. Times are clock_monotonic_ns's. */
void bucket_init(struct bucket *bucket, uint32_t per_s, uint64_t now_ns);
/* False: there is none left, try later. A clock that went back earns nothing. */
bool bucket_take(struct bucket *bucket, uint64_t now_ns);

#endif
