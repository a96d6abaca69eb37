#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "node/pace.h"

#define SECOND_NS 1000000000u
#define MOST      20000

static uint64_t taken[MOST];

/* Takes whenever it may, for ten seconds, by a timer that is up to `late_ns` late. */
static size_t take_for_ten_seconds(uint32_t per_s, uint64_t late_ns, uint32_t seed)
{
    struct pace pace;
    uint64_t now = 7u * SECOND_NS, end = now + 10u * (uint64_t)SECOND_NS;
    size_t count = 0;
    pace_init(&pace, per_s, now);
    while (now < end && count < MOST) {
        if (pace_take(&pace, now)) {
            taken[count++] = now;
        }
        uint64_t wait_ns = pace_wait_ns(&pace, now);
        if (wait_ns > 0) {
            seed = seed * 1664525u + 1013904223u;
            now += wait_ns + (late_ns > 0 ? (seed >> 8) % late_ns : 0);
        }
    }
    return count;
}

/* The most within any second, counting both its ends. */
static size_t most_in_a_second(size_t count, uint64_t jitter_ns)
{
    size_t most = 0;
    for (size_t first = 0, last = 0; last < count; last++) {
        while (taken[last] - taken[first] > SECOND_NS + jitter_ns) {
            first++;
        }
        most = last - first + 1 > most ? last - first + 1 : most;
    }
    return most;
}

static void no_second_has_more_than_the_quota(void **state)
{
    (void)state;
    static const uint32_t quotas[] = {1, 2, 3, 7, 10, 50, 99, 105, 106, 200, 1000};
    for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
        uint32_t quota = quotas[i];
        for (uint32_t seed = 0; seed < 20; seed++) {
            size_t count = take_for_ten_seconds(quota, seed == 0 ? 0 : 5000000, seed);
            assert_in_range(most_in_a_second(count, 30000000), 1,
                            quota); /* though the way there delays some by 30 ms */
            assert_in_range(count, quota * 10u * 70u / 100u, quota * 10u);
        }
    }
}

static void on_time_it_comes_within_five_in_a_hundred_of_the_quota(void **state)
{
    (void)state;
    assert_in_range(take_for_ten_seconds(50, 0, 0), 476, 477);
    /* A timer that ticks in milliseconds costs a fast pace nothing. */
    assert_in_range(take_for_ten_seconds(1000, 1500000, 3), 9500, 9530);
}

static void nothing_is_saved_up(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 50, 1000);
    assert_true(pace_take(&pace, 1000));
    assert_false(pace_take(&pace, 1000));
    assert_int_equal(pace_wait_ns(&pace, 1000), 21000000);
    uint64_t later = 3600u * (uint64_t)SECOND_NS;
    assert_true(pace_take(&pace, later));
    assert_false(pace_take(&pace, later + 20999999));
    assert_true(pace_take(&pace, later + 21000000));
}

static void without_a_quota_there_is_no_wait(void **state)
{
    (void)state;
    struct pace pace;
    pace_init(&pace, 0, 5);
    for (int i = 0; i < 1000; i++) {
        assert_true(pace_take(&pace, 5));
        assert_int_equal(pace_wait_ns(&pace, 5), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_has_more_than_the_quota),
        cmocka_unit_test(on_time_it_comes_within_five_in_a_hundred_of_the_quota),
        cmocka_unit_test(nothing_is_saved_up),
        cmocka_unit_test(without_a_quota_there_is_no_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
