#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "node/loop.h"

#define THREADS  4
#define EACH     2000
#define NO_LIMIT 1000000

static struct node_loop *loop;
static atomic_int ran, elsewhere;

static void tally_one(void *context)
{
    (void)context;
    if (!node_loop_is_mine(loop)) {
        atomic_fetch_add(&elsewhere, 1);
    }
    atomic_fetch_add(&ran, 1);
}

static int open_loop(size_t posts_most)
{
    loop = node_loop_open(posts_most);
    atomic_store(&ran, 0);
    atomic_store(&elsewhere, 0);
    return 0;
}

static void must_start(void)
{
    assert_int_equal(node_loop_start(loop), CS_OK);
}

static void must_post(void (*run)(void *context), void *context)
{
    assert_int_equal(node_loop_post(loop, run, context), CS_OK);
}

static void *post_many(void *context)
{
    atomic_int *accepted = context;
    for (int i = 0; i < EACH; i++) {
        if (node_loop_post(loop, tally_one, NULL) == CS_OK) {
            atomic_fetch_add(accepted, 1);
        }
    }
    return NULL;
}

static void what_was_accepted_runs_once_on_the_loops_thread(void **state)
{
    (void)state;
    open_loop(NO_LIMIT);
    must_start();
    assert_false(node_loop_is_mine(loop));
    pthread_t threads[THREADS];
    atomic_int accepted = 0;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &accepted), 0);
    }
    while (atomic_load(&ran) < EACH) { /* stopped while they still post */
    }
    node_loop_stop(loop);
    int at_stop = atomic_load(&ran);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&ran), at_stop);
    assert_int_equal(atomic_load(&accepted), at_stop);
    assert_int_equal(atomic_load(&elsewhere), 0);
    assert_true(node_loop_is_mine(loop));
    node_loop_close(loop);
}

struct order {
    int next, wrong;
};

struct place {
    struct order *order;
    int number;
};

static void take_place(void *context)
{
    struct place *place = context;
    place->order->wrong += place->order->next != place->number;
    place->order->next++;
    free(place);
}

static void work_runs_in_the_order_of_posting(void **state)
{
    (void)state;
    open_loop(NO_LIMIT);
    struct order order = {0};
    for (int i = 0; i < 1000; i++) {
        if (i == 300) {
            must_start();
        }
        struct place *place = malloc(sizeof(*place));
        *place = (struct place){&order, i};
        must_post(take_place, place);
    }
    node_loop_stop(loop);
    assert_int_equal(order.next, 1000);
    assert_int_equal(order.wrong, 0);
    node_loop_close(loop);
}

static void too_much_is_refused_and_so_is_all_after_the_stop(void **state)
{
    (void)state;
    open_loop(2);
    must_post(tally_one, NULL);
    must_post(tally_one, NULL);
    assert_int_equal(node_loop_post(loop, tally_one, NULL), CS_EBUSY);
    assert_int_equal(atomic_load(&ran), 0);
    node_loop_stop(loop); /* which was never started: its work runs all the same */
    assert_int_equal(atomic_load(&ran), 2);
    assert_int_equal(node_loop_post(loop, tally_one, NULL), CS_ECLOSED);
    node_loop_stop(loop);
    assert_int_equal(atomic_load(&ran), 2);
    node_loop_close(loop);
}

/* Work that posts work, until it is refused. */
static enum cs_err last_said;

static void post_again(void *context)
{
    atomic_fetch_add(&ran, 1);
    last_said = node_loop_post(loop, post_again, context);
}

static void work_that_posts_itself_does_not_keep_the_loop_from_stopping(void **state)
{
    (void)state;
    open_loop(10);
    must_start();
    must_post(post_again, NULL);
    while (atomic_load(&ran) < 100) {
    }
    node_loop_stop(loop);
    assert_int_equal(last_said, CS_ECLOSED);
    node_loop_close(loop);
}

static uv_timer_t timer;
static atomic_int ticks;
static bool closed;

static void on_tick(uv_timer_t *unused)
{
    (void)unused;
    if (node_loop_is_mine(loop)) {
        atomic_fetch_add(&ticks, 1);
    }
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle;
    closed = true;
}

static void a_timer_made_before_the_start_runs_on_the_thread_and_is_closed_after_the_stop(void **state)
{
    (void)state;
    open_loop(10);
    uv_timer_init(node_loop_uv(loop), &timer);
    uv_timer_start(&timer, on_tick, 1, 1);
    must_start();
    while (atomic_load(&ticks) < 3) {
    }
    node_loop_stop(loop);
    uv_close((uv_handle_t *)&timer, on_closed);
    assert_false(closed);
    node_loop_settle(loop);
    assert_true(closed);
    node_loop_close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_accepted_runs_once_on_the_loops_thread),
        cmocka_unit_test(work_runs_in_the_order_of_posting),
        cmocka_unit_test(too_much_is_refused_and_so_is_all_after_the_stop),
        cmocka_unit_test(work_that_posts_itself_does_not_keep_the_loop_from_stopping),
        cmocka_unit_test(a_timer_made_before_the_start_runs_on_the_thread_and_is_closed_after_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
