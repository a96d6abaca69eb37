#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/inbox.h"

#define CAPACITY   8
#define LONG_MS    10000 /* so long no test takes: whoever waits for it has failed */
#define LINGER_MS  30
#define ASLEEP_US  20000 /* by then the taker sleeps; where it does not yet, the test only shows less */
#define MS_NS      1000000u
#define TAKEN_MOST 4

static struct inbox_node nodes[CAPACITY];

static struct inbox *open_inbox(void)
{
    return inbox_open(CAPACITY);
}

static void push(struct inbox *inbox, size_t node)
{
    assert_int_equal(inbox_push(inbox, &nodes[node]), CS_OK);
}

static void push_lazy(struct inbox *inbox, size_t node, uint32_t linger_ms)
{
    assert_int_equal(inbox_push_lazy(inbox, &nodes[node], linger_ms), CS_OK);
}

/* That these, and nothing else, are in what was taken, in this order; -1 ends them. */
static void assert_taken(const struct inbox_node *taken, const int *expected)
{
    for (; *expected >= 0; expected++) {
        assert_ptr_equal(taken, &nodes[*expected]);
        taken = taken->next;
    }
    assert_null(taken);
}

struct pusher {
    struct inbox *inbox;
    void (*act)(struct inbox *inbox);
};

static void *push_later(void *context)
{
    const struct pusher *pusher = context;
    usleep(ASLEEP_US);
    pusher->act(pusher->inbox);
    return NULL;
}

/* Takes while another thread pushes; how long that took. */
static uint64_t take_meanwhile(struct inbox *inbox, void (*act)(struct inbox *inbox),
                               struct inbox_node **taken)
{
    struct pusher pusher = {inbox, act};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, push_later, &pusher), 0);
    uint64_t began_ns = clock_monotonic_ns();
    *taken = inbox_take(inbox, CAPACITY, LONG_MS);
    uint64_t took_ms = (clock_monotonic_ns() - began_ns) / MS_NS;
    pthread_join(thread, NULL);
    assert_true(took_ms < LONG_MS);
    return took_ms;
}

static void what_nobody_waits_for_lingers_alone(void **state)
{
    (void)state;
    struct inbox *inbox = open_inbox();
    uint64_t began_ns = clock_monotonic_ns();
    push_lazy(inbox, 0, LINGER_MS);
    push_lazy(inbox, 1, LONG_MS);
    assert_taken(inbox_take(inbox, CAPACITY, LONG_MS), (int[]){0, 1, -1});
    uint64_t took_ms = (clock_monotonic_ns() - began_ns) / MS_NS;
    assert_in_range(took_ms, LINGER_MS, LONG_MS - 1);
    inbox_close(inbox);
}

static void what_is_urgent_takes_along_what_lingers_in_the_order_of_pushing(void **state)
{
    (void)state;
    struct inbox *inbox = open_inbox();
    push_lazy(inbox, 0, LONG_MS);
    push(inbox, 1);
    push_lazy(inbox, 2, LONG_MS);
    assert_taken(inbox_take(inbox, CAPACITY, LONG_MS), (int[]){0, 1, 2, -1});
    push_lazy(inbox, 3, LINGER_MS);
    assert_taken(inbox_take(inbox, CAPACITY, LONG_MS), (int[]){3, -1});
    inbox_close(inbox);
}

static void push_both(struct inbox *inbox)
{
    push_lazy(inbox, 0, LONG_MS);
    push(inbox, 1);
}

static void push_a_lingering_one(struct inbox *inbox)
{
    push_lazy(inbox, 0, LINGER_MS);
}

static void a_taker_that_sleeps_is_woken(void **state)
{
    (void)state;
    struct inbox *inbox = open_inbox();
    struct inbox_node *taken;
    (void)take_meanwhile(inbox, push_both, &taken);
    assert_taken(taken, (int[]){0, 1, -1});
    assert_true(take_meanwhile(inbox, push_a_lingering_one, &taken) >= LINGER_MS);
    assert_taken(taken, (int[]){0, -1});
    (void)take_meanwhile(inbox, inbox_shut, &taken);
    assert_null(taken);
    inbox_close(inbox);
}

static void an_inbox_that_is_more_than_half_full_lingers_no_more(void **state)
{
    (void)state;
    struct inbox *inbox = open_inbox();
    for (size_t i = 0; i <= CAPACITY / 2; i++) {
        push_lazy(inbox, i, LONG_MS);
    }
    uint64_t began_ns = clock_monotonic_ns();
    assert_taken(inbox_take(inbox, TAKEN_MOST, LONG_MS), (int[]){0, 1, 2, 3, -1});
    assert_taken(inbox_take(inbox, TAKEN_MOST, LONG_MS), (int[]){4, -1}); /* what was left over has waited */
    assert_true((clock_monotonic_ns() - began_ns) / MS_NS < LONG_MS);
    inbox_close(inbox);
}

static void who_does_not_wait_takes_what_lingers_too(void **state)
{
    (void)state;
    struct inbox *inbox = open_inbox();
    assert_null(inbox_take(inbox, CAPACITY, 0));
    push_lazy(inbox, 0, LONG_MS);
    assert_taken(inbox_take(inbox, CAPACITY, 0), (int[]){0, -1});
    inbox_close(inbox);
}

static void a_full_or_shut_inbox_refuses_both(void **state)
{
    (void)state;
    struct inbox *inbox = inbox_open(1);
    push(inbox, 0);
    assert_int_equal(inbox_push(inbox, &nodes[1]), CS_EBUSY);
    assert_int_equal(inbox_push_lazy(inbox, &nodes[1], LINGER_MS), CS_EBUSY);
    inbox_shut(inbox);
    assert_int_equal(inbox_push(inbox, &nodes[1]), CS_ECLOSED);
    assert_int_equal(inbox_push_lazy(inbox, &nodes[1], LINGER_MS), CS_ECLOSED);
    assert_int_equal(inbox_count(inbox), 1);
    assert_taken(inbox_take(inbox, 1, LONG_MS), (int[]){0, -1});
    inbox_close(inbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_waits_for_lingers_alone),
        cmocka_unit_test(what_is_urgent_takes_along_what_lingers_in_the_order_of_pushing),
        cmocka_unit_test(a_taker_that_sleeps_is_woken),
        cmocka_unit_test(an_inbox_that_is_more_than_half_full_lingers_no_more),
        cmocka_unit_test(who_does_not_wait_takes_what_lingers_too),
        cmocka_unit_test(a_full_or_shut_inbox_refuses_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
