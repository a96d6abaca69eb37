/* Frames that come in pieces, and when to try again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "plain/assemble.h"
#include "plain/pace.h"

#define TEXT         1
#define BINARY       2
#define CONTINUATION 0
#define CLOSE        8
#define PING         9

static char *buffer;
static struct assemble assemble;

static int connected(void **state)
{
    (void)state;
    buffer = malloc(CORE_MESSAGE_SIZE); /* so that a byte too far is seen */
    assemble = (struct assemble){.text = buffer};
    return 0;
}

static int disconnected(void **state)
{
    (void)state;
    free(buffer);
    return 0;
}

static enum assemble_result take(unsigned opcode, bool last, const char *frame, size_t offset, size_t length)
{
    const struct assemble_piece piece = {.opcode = opcode,
                                         .last_frame = last,
                                         .frame_length = frame == NULL ? length : strlen(frame),
                                         .offset = offset,
                                         .length = length,
                                         .bytes = frame == NULL ? NULL : frame + offset};
    return assemble_take(&assemble, &piece);
}

static void assert_message(const char *text)
{
    assert_int_equal(assemble.length, strlen(text));
    assert_memory_equal(assemble.text, text, assemble.length);
}

static void a_frame_in_one_piece_is_a_message(void **state)
{
    (void)state;
    assert_int_equal(take(TEXT, true, "one", 0, 3), ASSEMBLE_WHOLE);
    assert_message("one");
    assert_int_equal(take(TEXT, true, "two!", 0, 4), ASSEMBLE_WHOLE);
    assert_message("two!");
}

static void a_frame_in_pieces_is_one_message(void **state)
{
    (void)state;
    assert_int_equal(take(TEXT, true, "abcdef", 0, 0), ASSEMBLE_MORE); /* its first bytes were late */
    assert_int_equal(take(TEXT, true, "abcdef", 0, 2), ASSEMBLE_MORE);
    assert_int_equal(take(TEXT, true, "abcdef", 2, 3), ASSEMBLE_MORE);
    assert_int_equal(take(TEXT, true, "abcdef", 5, 0), ASSEMBLE_MORE);
    assert_int_equal(take(TEXT, true, "abcdef", 5, 1), ASSEMBLE_WHOLE);
    assert_message("abcdef");
}

static void fragments_are_put_together_with_a_ping_between(void **state)
{
    (void)state;
    assert_int_equal(take(TEXT, false, "ab", 0, 2), ASSEMBLE_MORE);
    assert_int_equal(take(PING, true, "xyz", 0, 3), ASSEMBLE_MORE);
    assert_int_equal(take(CONTINUATION, false, "cd", 0, 1), ASSEMBLE_MORE);
    assert_int_equal(take(CONTINUATION, false, "cd", 1, 1), ASSEMBLE_MORE);
    assert_int_equal(take(CONTINUATION, true, "e", 0, 1), ASSEMBLE_WHOLE);
    assert_message("abcde");
    assert_int_equal(take(CLOSE, true, "\x0f\xa0", 0, 2), ASSEMBLE_MORE);
}

static void an_empty_message_is_one(void **state)
{
    (void)state;
    assert_int_equal(take(TEXT, true, NULL, 0, 0), ASSEMBLE_WHOLE);
    assert_int_equal(assemble.length, 0);
}

static void the_longest_message_fits_and_one_byte_more_does_not(void **state)
{
    (void)state;
    static char text[CORE_MESSAGE_SIZE + 2];
    memset(text, 'x', CORE_MESSAGE_SIZE);
    assert_int_equal(take(TEXT, true, text, 0, CORE_MESSAGE_SIZE), ASSEMBLE_WHOLE);
    text[CORE_MESSAGE_SIZE] = 'x';
    assert_int_equal(take(TEXT, true, text, 0, 1000), ASSEMBLE_MORE);
    assert_int_equal(take(TEXT, true, text, 1000, CORE_MESSAGE_SIZE - 999), ASSEMBLE_BAD);
    assert_int_equal(take(TEXT, true, "one", 0, 3), ASSEMBLE_BAD); /* for good */
}

static void what_is_out_of_order_is_bad(void **state)
{
    static const struct {
        unsigned first, second;
        size_t offset;
    } WRONG[] = {{BINARY, TEXT, 0}, {CONTINUATION, TEXT, 0}, {TEXT, TEXT, 0}};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        (void)disconnected(state);
        (void)connected(state);
        enum assemble_result first = take(WRONG[i].first, false, "ab", 0, 2);
        if (first == ASSEMBLE_MORE) {
            first = take(WRONG[i].second, true, "ab", 0, 2);
        }
        assert_int_equal(first, ASSEMBLE_BAD);
    }
    (void)disconnected(state);
    (void)connected(state);
    assert_int_equal(take(TEXT, true, "abc", 1, 2), ASSEMBLE_BAD); /* its beginning never came */
    (void)disconnected(state);
    (void)connected(state);
    const struct assemble_piece longer = {
        .opcode = TEXT, .last_frame = true, .frame_length = 1, .length = 2, .bytes = "ab"};
    assert_int_equal(assemble_take(&assemble, &longer), ASSEMBLE_BAD);
}

static void wifi_is_tried_again_after_delays_that_double_up_to_half_a_minute(void **state)
{
    (void)state;
    assert_int_equal(pace_retry_ms(0), 0);
    assert_int_equal(pace_retry_ms(1), 500);
    assert_int_equal(pace_retry_ms(2), 1000);
    assert_int_equal(pace_retry_ms(6), 16000);
    assert_int_equal(pace_retry_ms(7), 30000);
    assert_int_equal(pace_retry_ms(4000000000u), 30000);
}

static void updates_are_looked_for_after_an_hour_and_then_daily(void **state)
{
    (void)state;
    assert_false(pace_update_due(3599999, 0));
    assert_true(pace_update_due(3600000, 0));
    assert_false(pace_update_due(3600000 + 86399999ull, 3600000));
    assert_true(pace_update_due(3600000 + 86400000ull, 3600000));
}

static void a_new_firmware_has_ten_minutes_and_never_ends_what_was_paid_for(void **state)
{
    (void)state;
    assert_int_equal(pace_trial(true, true, 1), PACE_TRIAL_KEEP);
    assert_int_equal(pace_trial(false, false, 599999), PACE_TRIAL_WAITS);
    assert_int_equal(pace_trial(false, true, 600000), PACE_TRIAL_WAITS);
    assert_int_equal(pace_trial(false, false, 600000), PACE_TRIAL_GO_BACK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_frame_in_one_piece_is_a_message, connected, disconnected),
        cmocka_unit_test_setup_teardown(a_frame_in_pieces_is_one_message, connected, disconnected),
        cmocka_unit_test_setup_teardown(fragments_are_put_together_with_a_ping_between, connected,
                                        disconnected),
        cmocka_unit_test_setup_teardown(an_empty_message_is_one, connected, disconnected),
        cmocka_unit_test_setup_teardown(the_longest_message_fits_and_one_byte_more_does_not, connected,
                                        disconnected),
        cmocka_unit_test_setup_teardown(what_is_out_of_order_is_bad, connected, disconnected),
        cmocka_unit_test(wifi_is_tried_again_after_delays_that_double_up_to_half_a_minute),
        cmocka_unit_test(updates_are_looked_for_after_an_hour_and_then_daily),
        cmocka_unit_test(a_new_firmware_has_ten_minutes_and_never_ends_what_was_paid_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
