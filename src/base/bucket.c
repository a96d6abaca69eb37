#include "base/bucket.h"

#define SECOND_NS 1000000000u

void bucket_init(struct bucket *bucket, uint32_t per_s, uint64_t now_ns)
{
    uint64_t each = per_s > 0 ? SECOND_NS / per_s : 0;
    bucket->ns_each = per_s > 0 && each == 0 ? 1 : each;
    bucket->room_ns = bucket->ns_each * per_s;
    bucket->saved_ns = bucket->room_ns;
    bucket->at_ns = now_ns;
}

bool bucket_take(struct bucket *bucket, uint64_t now_ns)
{
    if (now_ns > bucket->at_ns) {
        uint64_t passed = now_ns - bucket->at_ns, lacking = bucket->room_ns - bucket->saved_ns;
        bucket->saved_ns += passed < lacking ? passed : lacking;
        bucket->at_ns = now_ns;
    }
    if (bucket->saved_ns < bucket->ns_each) {
        return false;
    }
    bucket->saved_ns -= bucket->ns_each;
    return true;
}
