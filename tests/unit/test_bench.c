/* The load generator's books, and what it says that a node says: a benchmark that cannot fail proves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/json.h"
#include "bench/latency.h"
#include "bench/payments.h"
#include "bench/resp.h"
#include "bench/tally.h"
#include "bench/ws.h"
#include "node/nano_ws_frames.h"
#include "simulate/notify.h"

#define SIGNATURES "/tmp/coinslot-test-signatures-XXXXXX"

/* ---- the books ------------------------------------------------------------------------------------- */

/* Payments 0 to 3, to the devices 0, 0, 1, 1, one after the other: each is answered before the next is sent. */
static struct tally *pay_four(void)
{
    struct tally *tally = tally_open(10, 2, false);
    for (uint32_t i = 0; i < 4; i++) {
        tally_sent(tally, i, i / 2);
        tally_answered(tally, i, true);
    }
    return tally;
}

static struct tally_counts close_books(struct tally *tally)
{
    struct tally_counts counts = tally_counts(tally);
    tally_close(tally);
    return counts;
}

static void each_payment_received_once_and_in_order_is_clean(void **state)
{
    (void)state;
    struct tally *tally = pay_four();
    for (uint32_t i = 0; i < 4; i++) {
        assert_false(tally_is_done(tally, i));
        assert_true(tally_received(tally, i, i / 2));
        assert_true(tally_is_done(tally, i));
    }
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.sent, 4);
    assert_int_equal(counts.received, 4);
    assert_true(tally_is_clean(&counts));
}

static void a_payment_that_was_answered_and_not_received_is_lost(void **state)
{
    (void)state;
    struct tally *tally = pay_four();
    assert_true(tally_received(tally, 0, 0));
    assert_true(tally_received(tally, 1, 0));
    assert_true(tally_received(tally, 3, 1));
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.lost, 1);
    assert_false(tally_is_clean(&counts));
}

static void a_payment_that_comes_twice_is_a_repeat(void **state)
{
    (void)state;
    struct tally *tally = pay_four();
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(tally_received(tally, i, i / 2));
    }
    assert_false(tally_received(tally, 2, 1));
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.repeated, 1);
    assert_int_equal(counts.lost, 0);
    assert_false(tally_is_clean(&counts));
}

static void a_payment_that_comes_to_another_device_is_misrouted_and_lost(void **state)
{
    (void)state;
    struct tally *tally = pay_four();
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(tally_received(tally, i, i / 2));
    }
    assert_false(tally_received(tally, 3, 0));
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.misrouted, 1);
    assert_int_equal(counts.lost, 1);
    assert_false(tally_is_clean(&counts));
}

static void a_payment_that_was_answered_before_another_was_sent_has_to_come_first(void **state)
{
    (void)state;
    struct tally *tally = pay_four();
    assert_true(tally_received(tally, 1, 0));
    assert_true(tally_received(tally, 0, 0));
    assert_true(tally_received(tally, 2, 1)); /* other devices do not matter */
    assert_true(tally_received(tally, 3, 1));
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.reordered, 1);
    assert_int_equal(counts.lost, 0);
    assert_false(tally_is_clean(&counts));
}

static void payments_that_were_under_way_together_may_come_either_way(void **state)
{
    (void)state;
    struct tally *tally = tally_open(2, 1, false);
    tally_sent(tally, 0, 0);
    tally_sent(tally, 1, 0);
    tally_answered(tally, 0, true);
    assert_true(tally_received(tally, 1, 0));
    tally_answered(tally, 1, true);
    assert_true(tally_received(tally, 0, 0));
    struct tally_counts counts = close_books(tally);
    assert_true(tally_is_clean(&counts));
}

static void what_was_never_paid_is_unknown(void **state)
{
    (void)state;
    struct tally *tally = tally_open(10, 1, false);
    assert_false(tally_received(tally, 5, 0));
    tally_unknown(tally);
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.unknown, 2);
    assert_false(tally_is_clean(&counts));
}

static void a_refusal_and_a_missing_answer_are_not_clean(void **state)
{
    (void)state;
    struct tally *tally = tally_open(10, 1, false);
    tally_sent(tally, 0, 0);
    tally_answered(tally, 0, false);
    assert_true(tally_is_done(tally, 0)); /* nothing more will come of it */
    struct tally_counts counts = tally_counts(tally);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.lost, 0);
    assert_false(tally_is_clean(&counts));
    tally_sent(tally, 1, 0);
    assert_true(tally_received(tally, 1, 0));
    counts = close_books(tally);
    assert_int_equal(counts.unanswered, 1);
}

static void a_hole_in_a_systems_own_numbers_is_not_clean(void **state)
{
    (void)state;
    struct tally *tally = pay_four();
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(tally_received(tally, i, i / 2));
    }
    tally_out_of_order(tally);
    struct tally_counts counts = close_books(tally);
    assert_int_equal(counts.reordered, 1);
    assert_false(tally_is_clean(&counts));
}

static void a_payment_for_everybody_is_done_when_all_have_it_once(void **state)
{
    (void)state;
    struct tally *tally = tally_open(2, 3, true);
    tally_sent(tally, 0, 0);
    tally_answered(tally, 0, true);
    assert_true(tally_received(tally, 0, 2));
    assert_true(tally_received(tally, 0, 0));
    assert_false(tally_received(tally, 0, 0));
    assert_false(tally_is_done(tally, 0));
    struct tally_counts counts = tally_counts(tally);
    assert_int_equal(counts.lost, 1);
    assert_int_equal(counts.repeated, 1);
    assert_true(tally_received(tally, 0, 1));
    assert_true(tally_is_done(tally, 0));
    counts = close_books(tally);
    assert_int_equal(counts.lost, 0);
}

/* ---- what is paid ---------------------------------------------------------------------------------- */

static void a_callback_is_to_the_byte_what_the_simulated_node_prints(void **state)
{
    (void)state;
    char path[] = SIGNATURES;
    close(mkstemp(path));
    const struct payments_options options = {.count = 600, .devices = 7, .first = 100, .signatures = path};
    struct payments *payments = payments_open(&options);
    for (uint32_t i = 0; i < options.count; i += 37) {
        char error[NOTICE_ERROR_SIZE];
        struct notice notice;
        size_t length, size;
        const uint8_t *body = payments_body(payments, i, &length);
        assert_int_equal(length, PAYMENTS_BODY_BYTES);
        json_t *object = json_loadb((const char *)body, length, 0, NULL);
        assert_int_equal(notice_read(json_view_of_tree(object), &notice, error), NOTICE_VALID);
        assert_int_equal(notice_check_signature(&notice, error), NOTICE_VALID);
        json_decref(object);
        char *request = notify_print("x", "/", &notice, NULL, &size);
        assert_memory_equal(strstr(request, "\r\n\r\n") + 4, body, length);
        free(request);
        struct address to = payments_address(payments_device(payments, i), false);
        assert_memory_equal(notice.block.link, to.bytes, 32);
        assert_int_equal(payments_find_in(payments, body, length), i);
    }
    payments_close(payments);
    remove(path);
}

static void signatures_that_were_kept_are_those_that_are_made(void **state)
{
    (void)state;
    char path[] = SIGNATURES;
    close(mkstemp(path));
    size_t length;
    struct payments *few =
        payments_open(&(struct payments_options){.count = 3, .devices = 5, .signatures = path});
    struct payments *more =
        payments_open(&(struct payments_options){.count = 6, .devices = 5, .signatures = path});
    struct payments *again =
        payments_open(&(struct payments_options){.count = 6, .devices = 5, .signatures = path});
    for (uint32_t i = 0; i < 6; i++) {
        const uint8_t *body = payments_body(more, i, &length);
        assert_memory_equal(payments_body(again, i, &length), body, length);
        if (i < 3) {
            assert_memory_equal(payments_body(few, i, &length), body, length);
        }
    }
    payments_close(few);
    payments_close(more);
    payments_close(again);
    remove(path);
}

static void news_is_understood_as_a_confirmation(void **state)
{
    (void)state;
    struct payments *payments =
        payments_open(&(struct payments_options){.count = 300, .devices = 3, .news = true});
    for (uint32_t i = 0; i < 300; i += 50) {
        struct nano_ws_message message;
        char error[NANO_WS_ERROR_SIZE];
        size_t length;
        const uint8_t *body = payments_body(payments, i, &length);
        nano_ws_read((const char *)body, length, &message, error);
        assert_int_equal(message.kind, NANO_WS_CONFIRMED);
        assert_true(message.notice.is_send);
        assert_int_equal(payments_find_in(payments, body, length), i);
    }
    payments_close(payments);
}

static void a_hash_that_was_not_paid_is_not_found(void **state)
{
    (void)state;
    struct payments *payments = payments_open(&(struct payments_options){.count = 10, .devices = 3});
    uint8_t hash[PAYMENTS_HASH_TEXT];
    memset(hash, 'A', sizeof(hash));
    assert_int_equal(payments_find(payments, hash), PAYMENTS_NONE);
    assert_int_equal(payments_find_in(payments, (const uint8_t *)"{\"hash\":\"AB", 11), PAYMENTS_NONE);
    assert_int_equal(payments_find_in(payments, (const uint8_t *)"{}", 2), PAYMENTS_NONE);
    payments_close(payments);
}

/* ---- what is said of it ---------------------------------------------------------------------------- */

static void percentiles_are_exact(void **state)
{
    (void)state;
    int64_t durations[1000];
    for (int64_t i = 0; i < 1000; i++) {
        durations[(i * 7) % 1000] = (i + 1) * 1000;
    }
    json_t *found = latency_describe(durations, 1000);
    assert_int_equal(latency_percentile(durations, 1000, 0.5), 500 * 1000);
    assert_int_equal(latency_percentile(durations, 1000, 0.99), 990 * 1000);
    assert_int_equal(latency_percentile(durations, 1000, 0.999), 999 * 1000);
    assert_int_equal(latency_percentile(durations, 1000, 1), 1000 * 1000);
    assert_int_equal(latency_percentile(durations, 1, 0.999), 1000);
    json_int_t counted = 0;
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(found, "histogram"), i, step)
    {
        counted += json_integer_value(json_array_get(step, 1));
    }
    assert_int_equal(counted, 1000);
    json_decref(found);
}

/* ---- what is read ---------------------------------------------------------------------------------- */

static void a_reply_of_redis_is_taken_only_when_it_is_whole(void **state)
{
    (void)state;
    static const char reply[] =
        "*1\r\n*2\r\n$2\r\nd7\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nb\r\n$4\r\nbody\r\n:1\r\n";
    const size_t whole = sizeof(reply) - 1 - 4;
    for (size_t length = 0; length < whole; length++) {
        assert_int_equal(resp_length((const uint8_t *)reply, length), 0);
    }
    assert_int_equal(resp_length((const uint8_t *)reply, sizeof(reply) - 1), whole);
    assert_int_equal(resp_length((const uint8_t *)reply + whole, 4), 4);
    assert_int_equal(resp_length((const uint8_t *)"*-1\r\n", 5), 5);
    assert_int_equal(resp_length((const uint8_t *)"$-1\r\n", 5), 5);
}

static void a_frame_is_taken_only_when_it_is_whole_and_unmasked(void **state)
{
    (void)state;
    uint8_t masked[] = {0x81, 0x82, 1, 2, 3, 4, 'h' ^ 1, 'i' ^ 2, 0x89};
    struct ws_frame frame;
    for (size_t length = 0; length < 8; length++) {
        assert_int_equal(ws_take(masked, length, &frame), 0);
    }
    assert_int_equal(ws_take(masked, sizeof(masked), &frame), 8);
    assert_int_equal(frame.opcode, WS_TEXT);
    assert_int_equal(frame.length, 2);
    assert_memory_equal(frame.payload, "hi", 2);
    uint8_t wide[4 + 300] = {0x81, 126, 300 >> 8, 300 & 0xFF};
    assert_int_equal(ws_take(wide, sizeof(wide) - 1, &frame), 0);
    assert_int_equal(ws_take(wide, sizeof(wide), &frame), sizeof(wide));
    assert_int_equal(frame.length, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_payment_received_once_and_in_order_is_clean),
        cmocka_unit_test(a_payment_that_was_answered_and_not_received_is_lost),
        cmocka_unit_test(a_payment_that_comes_twice_is_a_repeat),
        cmocka_unit_test(a_payment_that_comes_to_another_device_is_misrouted_and_lost),
        cmocka_unit_test(a_payment_that_was_answered_before_another_was_sent_has_to_come_first),
        cmocka_unit_test(payments_that_were_under_way_together_may_come_either_way),
        cmocka_unit_test(what_was_never_paid_is_unknown),
        cmocka_unit_test(a_refusal_and_a_missing_answer_are_not_clean),
        cmocka_unit_test(a_hole_in_a_systems_own_numbers_is_not_clean),
        cmocka_unit_test(a_payment_for_everybody_is_done_when_all_have_it_once),
        cmocka_unit_test(a_callback_is_to_the_byte_what_the_simulated_node_prints),
        cmocka_unit_test(signatures_that_were_kept_are_those_that_are_made),
        cmocka_unit_test(news_is_understood_as_a_confirmation),
        cmocka_unit_test(a_hash_that_was_not_paid_is_not_found),
        cmocka_unit_test(percentiles_are_exact),
        cmocka_unit_test(a_reply_of_redis_is_taken_only_when_it_is_whole),
        cmocka_unit_test(a_frame_is_taken_only_when_it_is_whole_and_unmasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
