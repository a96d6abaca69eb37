/* What each way in brought, missed, and how late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "node/sources.h"

#define NOW 1800000000000

struct fixture {
    struct metrics *metrics;
    struct sources *sources;
    size_t callback, socket, backfill;
};

static int open_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->metrics = metrics_open();
    fixture->sources = sources_open(fixture->metrics);
    fixture->callback = sources_add(fixture->sources, SOURCE_CALLBACK, "callback", true);
    fixture->socket = sources_add(fixture->sources, SOURCE_NANO_WS, "ws://[::1]:7078", true);
    fixture->backfill = sources_add(fixture->sources, SOURCE_BACKFILL, "backfill", false);
    sources_add_metrics(fixture->sources);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    sources_close(fixture->sources);
    metrics_close(fixture->metrics);
    free(fixture);
    return 0;
}

static struct payment payment_of(uint32_t number)
{
    struct payment payment = {0};
    memcpy(payment.hash + 8, &number, sizeof(number)); /* all in one bucket */
    return payment;
}

static struct source_report report_of(const struct fixture *fixture, size_t source)
{
    struct source_report reports[SOURCES_MOST];
    assert_int_equal(sources_report(fixture->sources, reports), 3);
    return reports[source];
}

static void note(const struct fixture *fixture, size_t source, uint32_t number, bool stored, int64_t at_ms)
{
    struct payment payment = payment_of(number);
    sources_note_payment(fixture->sources, source, &payment, stored, at_ms);
}

static void who_does_not_bring_a_payment_in_its_grace_has_missed_it(void **state)
{
    const struct fixture *fixture = *state;
    sources_note_message(fixture->sources, fixture->callback);
    sources_note_message(fixture->sources, fixture->socket);
    note(fixture, fixture->socket, 1, true, NOW);
    note(fixture, fixture->socket, 2, true, NOW + 10);
    note(fixture, fixture->callback, 2, false, NOW + 250);
    sources_settle(fixture->sources, NOW + SOURCE_GRACE_MS - 1);
    assert_int_equal(report_of(fixture, fixture->callback).missed, 0);
    sources_settle(fixture->sources, NOW + SOURCE_GRACE_MS + 10);
    struct source_report callback = report_of(fixture, fixture->callback),
                         socket = report_of(fixture, fixture->socket);
    assert_int_equal(callback.missed, 1);
    assert_int_equal(callback.payments, 1);
    assert_int_equal(callback.first, 0);
    assert_int_equal(callback.late, 1);
    assert_int_equal(callback.late_most_ms, 240);
    assert_int_equal(socket.missed, 0);
    assert_int_equal(socket.first, 2);
    char *text = metrics_print(fixture->metrics);
    assert_non_null(strstr(text, "coinslot_source_missed_total{source=\"callback\"} 1\n"));
    assert_non_null(strstr(text, "coinslot_source_payments_total{source=\"ws://[::1]:7078\"} 2\n"));
    free(text);
}

static void what_is_told_again_long_after_is_nobodys_news(void **state)
{
    const struct fixture *fixture = *state;
    sources_note_message(fixture->sources, fixture->callback);
    note(fixture, fixture->socket, 1, false, NOW); /* it was in the store from another year */
    note(fixture, fixture->callback, 2, true, NOW);
    note(fixture, fixture->callback, 2, false, NOW + 1); /* the same source repeats itself */
    sources_settle(fixture->sources, NOW + 2 * SOURCE_GRACE_MS);
    assert_int_equal(report_of(fixture, fixture->socket).payments, 0);
    assert_int_equal(report_of(fixture, fixture->callback).payments, 1);
    assert_int_equal(report_of(fixture, fixture->callback).missed, 0);
}

static void a_source_that_never_spoke_is_not_in_use(void **state)
{
    const struct fixture *fixture = *state;
    note(fixture, fixture->socket, 1, true, NOW);
    sources_settle(fixture->sources, NOW + SOURCE_GRACE_MS);
    assert_int_equal(report_of(fixture, fixture->callback).missed, 0);
}

static void what_reconciliation_found_was_missed_by_all_others_and_its_delay_is_told(void **state)
{
    const struct fixture *fixture = *state;
    sources_note_message(fixture->sources, fixture->callback);
    sources_note_message(fixture->sources, fixture->socket);
    struct payment payment = payment_of(1);
    payment.node_time_ms = NOW - 60000;
    sources_note_payment(fixture->sources, fixture->backfill, &payment, true, NOW);
    sources_settle(fixture->sources, NOW + SOURCE_GRACE_MS);
    assert_int_equal(report_of(fixture, fixture->callback).missed, 1);
    assert_int_equal(report_of(fixture, fixture->socket).missed, 1);
    assert_int_equal(report_of(fixture, fixture->backfill).missed, 0);
    assert_int_equal(report_of(fixture, fixture->backfill).late_most_ms, 60000);
}

static void the_table_of_recent_payments_is_bounded_and_settles_the_oldest_early(void **state)
{
    const struct fixture *fixture = *state;
    sources_note_message(fixture->sources, fixture->callback);
    for (uint32_t i = 0; i < SOURCE_RECENT_MOST + 100; i++) {
        struct payment payment = {0};
        memcpy(payment.hash, &i, sizeof(i));
        sources_note_payment(fixture->sources, fixture->socket, &payment, true, NOW);
    }
    assert_int_equal(report_of(fixture, fixture->callback).missed, 100);
    sources_settle(fixture->sources, NOW + SOURCE_GRACE_MS);
    assert_int_equal(report_of(fixture, fixture->callback).missed, SOURCE_RECENT_MOST + 100);
}

static void alive_and_why_not_are_told_with_their_time(void **state)
{
    const struct fixture *fixture = *state;
    assert_false(report_of(fixture, fixture->socket).alive);
    sources_set_alive(fixture->sources, fixture->socket, true, "");
    struct source_report report = report_of(fixture, fixture->socket);
    assert_true(report.alive);
    assert_string_equal(report.why, "");
    sources_set_alive(fixture->sources, fixture->socket, false, "it does not answer");
    assert_string_equal(report_of(fixture, fixture->socket).why, "it does not answer");
    sources_note_lost(fixture->sources, fixture->socket);
    assert_int_equal(report_of(fixture, fixture->socket).lost, 1);
}

static void sources_that_look_alike_are_told_apart(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_open();
    struct sources *sources = sources_open(metrics);
    struct source_report reports[SOURCES_MOST];
    for (size_t i = 0; i < 3; i++) {
        sources_add(sources, SOURCE_NANO_WS, "wss://node.example", true);
    }
    sources_add_metrics(sources);
    assert_int_equal(sources_report(sources, reports), 3);
    assert_string_equal(reports[0].name, "wss://node.example");
    assert_string_equal(reports[1].name, "wss://node.example (2)");
    assert_string_equal(reports[2].name, "wss://node.example (3)");
    char *text = metrics_print(metrics);
    assert_non_null(strstr(text, "coinslot_source_alive{source=\"wss://node.example (2)\"} 0"));
    free(text);
    sources_close(sources);
    metrics_close(metrics);
}

int main(void)
{
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(who_does_not_bring_a_payment_in_its_grace_has_missed_it),
        TEST(what_is_told_again_long_after_is_nobodys_news),
        TEST(a_source_that_never_spoke_is_not_in_use),
        TEST(what_reconciliation_found_was_missed_by_all_others_and_its_delay_is_told),
        TEST(the_table_of_recent_payments_is_bounded_and_settles_the_oldest_early),
        TEST(alive_and_why_not_are_told_with_their_time),
        TEST(sources_that_look_alike_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
