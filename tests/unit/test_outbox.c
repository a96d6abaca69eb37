#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery/outbox.h"

#define WINDOW 4
#define PAGE   3

static struct outbox outbox_at(uint64_t acked, uint64_t head)
{
    struct outbox outbox;
    outbox_init(&outbox, acked, head, WINDOW);
    return outbox;
}

static void assert_wants(struct outbox *outbox, uint64_t expected_from, uint32_t expected_most)
{
    uint64_t from;
    uint32_t most;
    assert_true(outbox_wants_page(outbox, PAGE, &from, &most));
    assert_int_equal(from, expected_from);
    assert_int_equal(most, expected_most);
}

static void assert_wants_nothing(struct outbox *outbox)
{
    uint64_t from;
    uint32_t most;
    assert_false(outbox_wants_page(outbox, PAGE, &from, &most));
}

static void the_next_seq_goes_out_at_once(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(7, 7);
    assert_wants_nothing(&outbox);
    assert_true(outbox_offer(&outbox, 8, 8));
    assert_true(outbox_offer(&outbox, 9, 9));
    assert_int_equal(outbox.next_seq, 10);
    assert_wants_nothing(&outbox);
}

static void a_seq_beyond_the_next_only_raises_head_and_a_page_brings_it(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(0, 0);
    assert_false(outbox_offer(&outbox, 2, 2));
    assert_int_equal(outbox.head, 2);
    assert_wants(&outbox, 1, PAGE);
    assert_true(outbox_offer(&outbox, 1, 1));
    assert_true(outbox_offer(&outbox, 2, 2));
    outbox_page_done(&outbox, 2);
    assert_wants_nothing(&outbox);
}

static void what_went_out_does_not_go_out_again(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(0, 2);
    assert_wants(&outbox, 1, PAGE);
    assert_true(outbox_offer(&outbox, 1, 1));
    assert_false(outbox_offer(&outbox, 1, 1));
    assert_int_equal(outbox.next_seq, 2);
}

static void only_one_page_is_asked_for_at_a_time(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(0, 9);
    assert_wants(&outbox, 1, PAGE);
    assert_wants_nothing(&outbox);
    outbox_raise(&outbox, 10);
    assert_wants_nothing(&outbox);
    outbox_page_done(&outbox, 9);
    assert_wants(&outbox, 1, PAGE);
    assert_int_equal(outbox.head, 10);
}

static void the_window_bounds_what_is_out_and_what_is_asked_for(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(0, 9);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        assert_true(outbox_offer(&outbox, seq, seq));
    }
    assert_wants(&outbox, 3, 2);
    assert_true(outbox_offer(&outbox, 3, 3));
    assert_true(outbox_offer(&outbox, 4, 4));
    assert_false(outbox_offer(&outbox, 5, 5));
    outbox_page_done(&outbox, 9);
    assert_wants_nothing(&outbox);
    assert_int_equal(outbox_ack(&outbox, 1), CS_OK);
    assert_wants(&outbox, 5, 1);
}

static void a_gap_takes_the_place_of_its_seqs_even_past_the_window(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(0, 20);
    assert_true(outbox_offer(&outbox, 1, 10));
    assert_int_equal(outbox.next_seq, 11);
    assert_wants_nothing(&outbox); /* not acked: the window is more than full */
    assert_int_equal(outbox_ack(&outbox, 10), CS_OK);
    assert_wants(&outbox, 11, PAGE);
}

static void an_ack_above_what_was_sent_is_refused(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(3, 9);
    assert_int_equal(outbox_ack(&outbox, 4), CS_EINVAL);
    assert_int_equal(outbox.acked, 3);
    assert_true(outbox_offer(&outbox, 4, 4));
    assert_int_equal(outbox_ack(&outbox, 4), CS_OK);
    assert_int_equal(outbox_ack(&outbox, 2), CS_OK); /* an old one changes nothing */
    assert_int_equal(outbox.acked, 4);
}

static void a_lower_head_changes_nothing(void **state)
{
    (void)state;
    struct outbox outbox = outbox_at(0, 5);
    outbox_raise(&outbox, 3);
    assert_int_equal(outbox.head, 5);
    assert_wants(&outbox, 1, PAGE);
    outbox_page_done(&outbox, 0);
    assert_int_equal(outbox.head, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_seq_goes_out_at_once),
        cmocka_unit_test(a_seq_beyond_the_next_only_raises_head_and_a_page_brings_it),
        cmocka_unit_test(what_went_out_does_not_go_out_again),
        cmocka_unit_test(only_one_page_is_asked_for_at_a_time),
        cmocka_unit_test(the_window_bounds_what_is_out_and_what_is_asked_for),
        cmocka_unit_test(a_gap_takes_the_place_of_its_seqs_even_past_the_window),
        cmocka_unit_test(an_ack_above_what_was_sent_is_refused),
        cmocka_unit_test(a_lower_head_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
