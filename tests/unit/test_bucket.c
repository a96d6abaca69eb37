#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bucket.h"

#define SECOND UINT64_C(1000000000)

static uint32_t take_all(struct bucket *bucket, uint64_t now_ns, uint32_t tries)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < tries; i++) {
        taken += bucket_take(bucket, now_ns) ? 1 : 0;
    }
    return taken;
}

static void a_second_s_worth_is_there_at_once_and_then_no_more(void **state)
{
    (void)state;
    struct bucket bucket;
    bucket_init(&bucket, 10, 5 * SECOND);
    assert_int_equal(take_all(&bucket, 5 * SECOND, 100), 10);
    assert_false(bucket_take(&bucket, 5 * SECOND + SECOND / 10 - 1));
    assert_true(bucket_take(&bucket, 5 * SECOND + SECOND / 10));
    assert_false(bucket_take(&bucket, 5 * SECOND + SECOND / 10));
}

static void over_a_long_time_it_is_so_many_a_second(void **state)
{
    (void)state;
    struct bucket bucket;
    bucket_init(&bucket, 7, 0);
    uint32_t taken = 0;
    for (uint64_t ms = 0; ms < 100000; ms++) {
        taken += take_all(&bucket, ms * SECOND / 1000, 3);
    }
    assert_in_range(taken, 7 * 100, 7 * 101 + 1);
}

static void what_is_not_used_is_not_saved_beyond_a_second_s_worth(void **state)
{
    (void)state;
    struct bucket bucket;
    bucket_init(&bucket, 10, 0);
    assert_int_equal(take_all(&bucket, 0, 100), 10);
    assert_int_equal(take_all(&bucket, 3600 * SECOND, 100), 10);
    assert_int_equal(take_all(&bucket, UINT64_MAX, 100), 10);
}

static void a_clock_that_goes_back_earns_nothing(void **state)
{
    (void)state;
    struct bucket bucket;
    bucket_init(&bucket, 10, 9 * SECOND);
    assert_int_equal(take_all(&bucket, 9 * SECOND, 100), 10);
    assert_false(bucket_take(&bucket, 0));
    assert_false(bucket_take(&bucket, 9 * SECOND));
    assert_true(bucket_take(&bucket, 9 * SECOND + SECOND / 10));
}

static void none_a_second_is_no_limit(void **state)
{
    (void)state;
    struct bucket bucket;
    bucket_init(&bucket, 0, 0);
    assert_int_equal(take_all(&bucket, 0, 100000), 100000);
}

static void the_highest_rate_still_is_one(void **state)
{
    (void)state;
    struct bucket bucket;
    bucket_init(&bucket, UINT32_MAX, 0);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(bucket_take(&bucket, 0));
    }
    assert_int_equal(bucket.room_ns - bucket.saved_ns, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_s_worth_is_there_at_once_and_then_no_more),
        cmocka_unit_test(over_a_long_time_it_is_so_many_a_second),
        cmocka_unit_test(what_is_not_used_is_not_saved_beyond_a_second_s_worth),
        cmocka_unit_test(a_clock_that_goes_back_earns_nothing),
        cmocka_unit_test(none_a_second_is_no_limit),
        cmocka_unit_test(the_highest_rate_still_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
