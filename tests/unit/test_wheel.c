#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/wheel.h"

#define MANY 2000

struct thing {
    struct wheel_timer timer; /* first */
    uint64_t wanted;          /* 0: not set */
};

static void nothing(struct wheel_timer *timer)
{
    (void)timer;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void one_is_taken_when_it_is_due_and_only_once(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 1000);
    wheel_set(&wheel, &timer, 7, nothing);
    assert_null(wheel_take(&wheel, 1006));
    assert_ptr_equal(wheel_take(&wheel, 1007), &timer);
    assert_true(timer.run == nothing);
    assert_null(wheel_take(&wheel, 1007));
    assert_null(wheel_take(&wheel, 5000));
}

static void at_once_is_the_next_tick(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timer = {0};
    wheel_init(&wheel, 0);
    wheel_set(&wheel, &timer, 0, nothing);
    assert_null(wheel_take(&wheel, 0));
    assert_ptr_equal(wheel_take(&wheel, 1), &timer);
}

static void one_that_is_moved_or_cleared_is_not_due_any_more(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer moved = {0}, cleared = {0};
    wheel_init(&wheel, 0);
    wheel_set(&wheel, &moved, 5, nothing);
    wheel_set(&wheel, &cleared, 5, nothing);
    wheel_set(&wheel, &moved, 9, nothing);
    wheel_clear(&cleared);
    wheel_clear(&cleared);
    assert_null(wheel_take(&wheel, 8));
    assert_ptr_equal(wheel_take(&wheel, 9), &moved);
    assert_null(wheel_take(&wheel, 2000));
}

static void one_that_is_due_after_many_turns_waits_for_its_own(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer far = {0}, near = {0};
    wheel_init(&wheel, 3);
    wheel_set(&wheel, &far, 10 * WHEEL_SLOTS + 1, nothing);
    wheel_set(&wheel, &near, 1, nothing);
    assert_ptr_equal(wheel_take(&wheel, 10 * WHEEL_SLOTS + 3), &near);
    assert_null(wheel_take(&wheel, 10 * WHEEL_SLOTS + 3));
    assert_ptr_equal(wheel_take(&wheel, 10 * WHEEL_SLOTS + 4), &far);
}

static void what_is_due_together_may_clear_and_set_each_other_while_it_is_taken(void **state)
{
    (void)state;
    struct wheel wheel;
    struct wheel_timer timers[3] = {0};
    wheel_init(&wheel, 0);
    for (size_t i = 0; i < 3; i++) {
        wheel_set(&wheel, &timers[i], 4, nothing);
    }
    struct wheel_timer *first = wheel_take(&wheel, 4);
    assert_non_null(first);
    struct wheel_timer *other = first == &timers[0] ? &timers[1] : &timers[0];
    wheel_clear(other);
    wheel_set(&wheel, first, 1, nothing);
    struct wheel_timer *second = wheel_take(&wheel, 4);
    assert_non_null(second);
    assert_ptr_not_equal(second, first);
    assert_ptr_not_equal(second, other);
    assert_null(wheel_take(&wheel, 4));
    assert_ptr_equal(wheel_take(&wheel, 5), first);
}

static void each_of_many_is_taken_at_its_tick_whatever_happens_to_the_others(void **state)
{
    (void)state;
    struct wheel wheel;
    struct thing *things = calloc(MANY, sizeof(*things));
    assert_non_null(things);
    uint32_t seed = 1;
    uint64_t now = 77;
    size_t taken = 0;
    wheel_init(&wheel, now);
    for (int step = 0; step < 20000; step++) {
        struct thing *thing = &things[next_random(&seed) % MANY];
        if (next_random(&seed) % 4 == 0) {
            wheel_clear(&thing->timer);
            thing->wanted = 0;
        } else {
            uint64_t ticks = 1 + next_random(&seed) % (3 * WHEEL_SLOTS);
            wheel_set(&wheel, &thing->timer, ticks, nothing);
            thing->wanted = now + ticks;
        }
        now += next_random(&seed) % 3;
        for (struct thing *due; (due = (struct thing *)wheel_take(&wheel, now)) != NULL; taken++) {
            assert_true(due->wanted != 0 && due->wanted <= now && due->wanted == due->timer.due);
            due->wanted = 0;
        }
        for (size_t i = step % 100 == 0 ? 0 : MANY; i < MANY; i++) {
            assert_true(things[i].wanted == 0 || things[i].wanted > now);
        }
    }
    assert_true(taken > 1000);
    free(things);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_is_taken_when_it_is_due_and_only_once),
        cmocka_unit_test(at_once_is_the_next_tick),
        cmocka_unit_test(one_that_is_moved_or_cleared_is_not_due_any_more),
        cmocka_unit_test(one_that_is_due_after_many_turns_waits_for_its_own),
        cmocka_unit_test(what_is_due_together_may_clear_and_set_each_other_while_it_is_taken),
        cmocka_unit_test(each_of_many_is_taken_at_its_tick_whatever_happens_to_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
