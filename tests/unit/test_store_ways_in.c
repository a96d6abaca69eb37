/* What several ways in need of the store: news that waits for its verdict, baselines, marks, completeness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/store_fixture.h"
#include "store/reconcile.h"

static int open_fixture(void **state)
{
    struct store_fixture *fixture = calloc(1, sizeof(*fixture));
    store_fixture_open(fixture, 64, 4, 4);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    store_fixture_close(*state);
    free(*state);
    return 0;
}

struct waiting {
    int called;
    enum cs_err err;
    enum store_payment_outcome outcome;
    int64_t num;
};

static void on_waiting(void *context, enum cs_err err, enum store_payment_outcome outcome, int64_t num)
{
    struct waiting *waiting = context;
    waiting->called++;
    waiting->err = err;
    waiting->outcome = outcome;
    waiting->num = num;
}

static struct waiting hear(struct store_fixture *fixture, const struct payment *payment)
{
    struct waiting waiting = {0};
    static const uint8_t proof[4] = {1, 2, 3, 4};
    assert_int_equal(store_submit_unconfirmed(fixture->store, payment, proof, sizeof(proof), "{\"a\":1}", 7,
                                              on_waiting, &waiting),
                     CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(waiting.called, 1);
    return waiting;
}

static void on_done(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct submitted *submitted = context;
    submitted->called++;
    submitted->err = err;
    submitted->outcome = outcome;
}

static enum store_payment_outcome judge(struct store_fixture *fixture, int64_t num, bool confirmed,
                                        uint64_t receive_height)
{
    struct submitted submitted = {0};
    assert_int_equal(
        store_submit_verdict(fixture->store, num, confirmed, receive_height, on_done, &submitted), CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(submitted.called, 1);
    assert_int_equal(submitted.err, CS_OK);
    return submitted.outcome;
}

static enum store_payment_outcome find(struct store_fixture *fixture, const struct payment *payment,
                                       uint64_t receive_height)
{
    struct submitted submitted = {0};
    assert_int_equal(
        store_submit_found(fixture->store, payment, receive_height, NULL, 0, on_done, &submitted), CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(submitted.called, 1);
    return submitted.outcome;
}

static int64_t deliveries(const struct store_fixture *fixture)
{
    return store_fixture_number(fixture, "SELECT count(*) FROM delivery");
}

/* ---- unconfirmed ------------------------------------------------------------------------------------------------- */

static void unconfirmed_news_waits_without_seq_or_delivery_and_goes_out_when_confirmed(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    struct waiting waiting = hear(fixture, &payment);
    assert_int_equal(waiting.outcome, STORE_PAYMENT_WAITING);
    assert_int_equal(store_unconfirmed_count(fixture->store), 1);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment"), 0);
    assert_int_equal(deliveries(fixture), 0);
    assert_int_equal(hear(fixture, &payment).outcome, STORE_PAYMENT_DUPLICATE);

    assert_int_equal(judge(fixture, waiting.num, true, 0), STORE_PAYMENT_STORED);
    assert_int_equal(deliveries(fixture), 1);
    assert_int_equal(store_unconfirmed_count(fixture->store), 0);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM unconfirmed"), 0);
    assert_int_equal(store_fixture_number(fixture, "SELECT length(block) FROM payment_proof"), 4);
    assert_int_equal(hear(fixture, &payment).outcome, STORE_PAYMENT_DUPLICATE);
    assert_int_equal(judge(fixture, waiting.num, true, 0), STORE_PAYMENT_DUPLICATE);
    assert_int_equal(deliveries(fixture), 1);
}

static void a_denied_payment_is_dropped_and_may_come_again(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    assert_int_equal(judge(fixture, hear(fixture, &payment).num, false, 0), STORE_PAYMENT_DENIED);
    assert_int_equal(store_unconfirmed_count(fixture->store), 0);
    assert_int_equal(deliveries(fixture), 0);
    assert_int_equal(hear(fixture, &payment).outcome, STORE_PAYMENT_WAITING);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_payments_total{result=\"denied\"}"), 1);
}

static void a_trusted_source_promotes_what_waits_and_a_forged_amount_goes_with_it(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct submitted submitted;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7), forged = payment;
    forged.amount.low = 700000;
    struct waiting first = hear(fixture, &forged), second = hear(fixture, &payment);
    assert_int_equal(second.outcome, STORE_PAYMENT_WAITING); /* each claim is judged by itself */
    payment.source = SOURCE_NANO_WS;
    store_fixture_submit(fixture, &payment, &submitted);
    store_fixture_settle(fixture);
    assert_int_equal(submitted.outcome, STORE_PAYMENT_STORED);
    assert_int_equal(store_unconfirmed_count(fixture->store), 0);
    assert_int_equal(judge(fixture, first.num, true, 0), STORE_PAYMENT_DUPLICATE);
    assert_int_equal(judge(fixture, second.num, true, 0), STORE_PAYMENT_DUPLICATE);
    assert_int_equal(deliveries(fixture), 1);
}

static void no_more_than_the_limit_wait_and_what_comes_beyond_is_refused(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct waiting waiting[102] = {0};
    for (size_t i = 0; i < 102; i++) { /* 100 is the fixture's limit; all in one or two batches */
        struct payment payment = store_fixture_payment(fixture, &address, 7);
        assert_int_equal(
            store_submit_unconfirmed(fixture->store, &payment, NULL, 0, NULL, 0, on_waiting, &waiting[i]),
            CS_OK);
    }
    store_fixture_settle(fixture);
    assert_int_equal(waiting[99].err, CS_OK);
    assert_int_equal(waiting[100].err, CS_EBUSY);
    assert_int_equal(waiting[101].err, CS_EBUSY);
    assert_int_equal(store_unconfirmed_count(fixture->store), 100);
    assert_int_equal(judge(fixture, waiting[0].num, false, 0), STORE_PAYMENT_DENIED);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    assert_int_equal(hear(fixture, &payment).outcome, STORE_PAYMENT_WAITING);
}

static void collect(void *context, int64_t num, const struct payment *payment, int64_t received_at_ms)
{
    struct waiting *waiting = context;
    waiting->called++;
    waiting->num = num;
    assert_int_equal(payment->amount.low, 7);
    assert_int_equal(payment->source, SOURCE_CALLBACK);
    assert_true(received_at_ms > 0);
}

static void what_waits_is_there_again_after_a_restart(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    struct waiting waiting = hear(fixture, &payment), found = {0};
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 64, 4, 4);
    store_each_unconfirmed(fixture->store, collect, &found);
    assert_int_equal(found.called, 1);
    assert_int_equal(found.num, waiting.num);
    assert_int_equal(store_unconfirmed_count(fixture->store), 1);
    assert_int_equal(judge(fixture, found.num, true, 0), STORE_PAYMENT_STORED);
    assert_int_equal(deliveries(fixture), 1);
}

static void nobody_subscribes_any_more_when_the_verdict_comes(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    struct waiting waiting = hear(fixture, &payment);
    assert_int_equal(store_retire_device(fixture->store, device.id), CS_OK);
    assert_int_equal(judge(fixture, waiting.num, true, 0), STORE_PAYMENT_UNMATCHED);
    assert_int_equal(store_unconfirmed_count(fixture->store), 0);
}

/* ---- baselines --------------------------------------------------------------------------------------------------- */

static void on_reconciled(void *context, enum cs_err err)
{
    assert_int_equal(err, CS_OK);
    (*(int *)context)++;
}

static void take_baselines(struct store_fixture *fixture, const struct address *address, uint64_t height,
                           const uint8_t (*hashes)[32], size_t count)
{
    struct reader_watched watched;
    struct reader_baseline *open;
    size_t open_count;
    int called = 0;
    assert_int_equal(reader_watched(fixture->store, address, &watched), CS_OK);
    assert_true(watched.needs_baseline);
    assert_int_equal(reader_open_baselines(fixture->store, watched.num, &open, &open_count), CS_OK);
    for (size_t i = 0; i < open_count; i++) {
        assert_int_equal(store_submit_baseline(fixture->store, watched.num, open[i].subscription, height,
                                               hashes, count, on_reconciled, &called),
                         CS_OK);
    }
    store_fixture_settle(fixture);
    assert_int_equal(called, open_count);
    free(open);
    assert_int_equal(reader_watched(fixture->store, address, &watched), CS_OK);
    assert_false(watched.needs_baseline);
}

static void what_was_there_before_a_subscription_is_never_delivered(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment old = store_fixture_payment(fixture, &address, 5),
                   pocketed = store_fixture_payment(fixture, &address, 6),
                   fresh = store_fixture_payment(fixture, &address, 7);
    take_baselines(fixture, &address, 10, (const uint8_t(*)[32])old.hash, 1);
    assert_int_equal(find(fixture, &old, 0), STORE_PAYMENT_OLD);
    assert_int_equal(find(fixture, &pocketed, 10), STORE_PAYMENT_OLD);
    assert_int_equal(judge(fixture, hear(fixture, &old).num, true, 0), STORE_PAYMENT_OLD);
    assert_int_equal(deliveries(fixture), 0);
    assert_int_equal(find(fixture, &fresh, 11), STORE_PAYMENT_STORED);
    assert_int_equal(deliveries(fixture), 1);

    store_fixture_shut(fixture); /* and that is remembered */
    store_fixture_reopen(fixture, 64, 4, 4);
    assert_int_equal(find(fixture, &old, 0), STORE_PAYMENT_OLD);
    assert_int_equal(find(fixture, &pocketed, 10), STORE_PAYMENT_OLD);
}

static void a_later_subscriber_to_the_same_address_does_not_get_what_only_the_first_missed(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device first = store_fixture_add_device(fixture, &address, "0", 0);
    take_baselines(fixture, &address, 0, NULL, 0);
    struct payment missed = store_fixture_payment(fixture, &address, 5);
    struct address own;
    struct store_device second = store_fixture_add_device(fixture, &own, "0", 0);
    struct store_subscription more = {.address = address};
    memcpy(more.device, second.id, sizeof(more.device));
    assert_int_equal(store_create_subscription(fixture->store, &more), CS_OK);
    take_baselines(fixture, &address, 0, (const uint8_t(*)[32])missed.hash, 1);
    assert_int_equal(find(fixture, &missed, 0), STORE_PAYMENT_STORED);
    assert_int_equal(deliveries(fixture), 1);
    struct store_device device;
    assert_int_equal(reader_device(fixture->store, first.id, &device), CS_OK);
    assert_int_equal(device.head_seq, 1);
    assert_int_equal(reader_device(fixture->store, second.id, &device), CS_OK);
    assert_int_equal(device.head_seq, 0);
}

static void since_is_kept_until_the_baseline_is_taken(void **state)
{
    struct store_fixture *fixture = *state;
    struct address own, wanted = {.chain = CHAIN_NANO, .length = 32, .bytes = {77}};
    struct store_device device = store_fixture_add_device(fixture, &own, "0", 0);
    struct store_subscription since = {.address = wanted, .since_ms = 1234567};
    memcpy(since.device, device.id, sizeof(since.device));
    assert_int_equal(store_create_subscription(fixture->store, &since), CS_OK);
    struct reader_watched watched;
    struct reader_baseline *open;
    size_t count;
    assert_int_equal(reader_watched(fixture->store, &wanted, &watched), CS_OK);
    assert_int_equal(reader_open_baselines(fixture->store, watched.num, &open, &count), CS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(open[0].since_ms, 1234567);
    assert_in_range(open[0].created_at_ms, 1, INT64_MAX);
    free(open);
    take_baselines(fixture, &wanted, 3, NULL, 0);
    uint64_t height;
    assert_int_equal(reader_baseline_height(fixture->store, watched.num, &height), CS_OK);
    assert_int_equal(height, 3);
}

static void what_is_found_waits_until_everybody_has_a_baseline(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 5);
    struct submitted submitted = {0};
    assert_int_equal(store_submit_found(fixture->store, &payment, 0, NULL, 0, on_done, &submitted), CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(submitted.err, CS_ECONFLICT);
    take_baselines(fixture, &address, 0, NULL, 0);
    assert_int_equal(find(fixture, &payment, 0), STORE_PAYMENT_STORED);
}

/* While the node does not answer, neither the baseline is taken nor what a callback says is confirmed. */
static void what_was_heard_after_the_subscription_is_new_though_the_baseline_was_taken_late(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment waits = store_fixture_payment(fixture, &address, 5),
                   received = store_fixture_payment(fixture, &address, 6),
                   again = store_fixture_payment(fixture, &address, 7);
    int64_t first = hear(fixture, &waits).num, second = hear(fixture, &received).num;
    for (int64_t heard_ms = clock_wall_ms(); clock_wall_ms() == heard_ms;) {
    }
    uint8_t hashes[2][32];
    memcpy(hashes[0], waits.hash, 32);
    memcpy(hashes[1], again.hash, 32);
    take_baselines(fixture, &address, 10, (const uint8_t(*)[32])hashes, 2);
    assert_int_equal(judge(fixture, first, true, 0), STORE_PAYMENT_STORED);
    assert_int_equal(judge(fixture, second, true, 9), STORE_PAYMENT_STORED);
    assert_int_equal(judge(fixture, hear(fixture, &again).num, true, 0), STORE_PAYMENT_OLD);
    assert_int_equal(deliveries(fixture), 2);
}

/* ---- marks and what is unknown ----------------------------------------------------------------------------------- */

static void a_mark_comes_back_as_it_was_written_and_pages_go_by_number(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address[3];
    for (size_t i = 0; i < 3; i++) {
        (void)store_fixture_add_device(fixture, &address[i], "0", 0);
    }
    struct reader_watched rows[2];
    size_t count;
    int called = 0;
    assert_int_equal(reader_page_watched(fixture->store, 0, 2, rows, &count), CS_OK);
    assert_int_equal(count, 2);
    assert_false(rows[0].has_mark);
    const struct store_mark mark = {
        .frontier = {1, 2, 3}, .height = 12, .receivable = {0xffffffffffffffffu, 5}};
    assert_int_equal(store_submit_mark(fixture->store, rows[1].num, &mark, on_reconciled, &called), CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(called, 1);
    int64_t last = rows[1].num;
    assert_int_equal(reader_page_watched(fixture->store, rows[0].num, 2, rows, &count), CS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(rows[0].num, last);
    assert_true(rows[0].has_mark);
    assert_memory_equal(&rows[0].mark, &mark, sizeof(mark));
    assert_int_equal(reader_page_watched(fixture->store, rows[1].num, 2, rows, &count), CS_OK);
    assert_int_equal(count, 0);
}

static void a_send_is_unknown_unless_it_is_a_payment_or_older_than_every_subscription(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment old = store_fixture_payment(fixture, &address, 5),
                   stored = store_fixture_payment(fixture, &address, 6),
                   lost = store_fixture_payment(fixture, &address, 7);
    struct reader_watched watched;
    assert_int_equal(reader_watched(fixture->store, &address, &watched), CS_OK);
    take_baselines(fixture, &address, 0, (const uint8_t(*)[32])old.hash, 1);
    assert_int_equal(find(fixture, &stored, 0), STORE_PAYMENT_STORED);
    uint8_t hashes[3][32];
    bool unknown[3];
    memcpy(hashes[0], old.hash, 32);
    memcpy(hashes[1], stored.hash, 32);
    memcpy(hashes[2], lost.hash, 32);
    assert_int_equal(
        reader_find_unknown(fixture->store, watched.num, (const uint8_t(*)[32])hashes, 3, unknown), CS_OK);
    assert_false(unknown[0]);
    assert_false(unknown[1]);
    assert_true(unknown[2]);
}

/* ---- completeness ------------------------------------------------------------------------------------------------ */

static void nothing_is_proven_until_it_was_asked_and_an_incident_takes_it_back(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device_key key;
    struct store_completeness found;
    struct store_coverage coverage;
    struct reader_watched watched;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    assert_true(store_find_device(fixture->store, device.id, &key));
    assert_int_equal(reader_watched(fixture->store, &address, &watched), CS_OK);
    store_note_incident(fixture->store, "started");
    assert_string_equal(store_device_unproven(fixture->store, key.device), "started");
    store_note_complete(fixture->store, &watched.num, 1, clock_wall_ms() + 1);
    assert_non_null(store_device_unproven(fixture->store, key.device)); /* it has no baseline yet */
    take_baselines(fixture, &address, 0, NULL, 0);
    store_note_complete(fixture->store, &watched.num, 1, 1);
    assert_non_null(store_device_unproven(fixture->store, key.device)); /* before it subscribed */

    uint64_t version = store_completeness_version(fixture->store);
    int64_t at_ms = clock_wall_ms() + 1;
    store_note_complete(fixture->store, &watched.num, 1, at_ms);
    assert_true(store_completeness_version(fixture->store) > version);
    assert_null(store_device_unproven(fixture->store, key.device));
    store_find_completeness(fixture->store, &address, &found);
    assert_true(found.subscribed && found.proven && !found.connected && !found.disabled);
    assert_int_equal(found.complete_at_ms, at_ms);
    store_find_coverage(fixture->store, &coverage);
    assert_int_equal(coverage.addresses, 1);
    assert_int_equal(coverage.proven, 1);
    assert_int_equal(coverage.oldest_ms, at_ms);

    /* A second address of the same device is not asked yet. */
    struct store_subscription more = {.address = {.chain = CHAIN_NANO, .length = 32, .bytes = {77}}};
    memcpy(more.device, device.id, sizeof(more.device));
    assert_int_equal(store_create_subscription(fixture->store, &more), CS_OK);
    assert_non_null(store_device_unproven(fixture->store, key.device));
    assert_int_equal(store_remove_subscription(fixture->store, device.id, more.id), CS_OK);
    assert_null(store_device_unproven(fixture->store, key.device));

    while (clock_wall_ms() < at_ms) {
    }
    store_note_incident(fixture->store, "source_lost");
    store_find_completeness(fixture->store, &address, &found);
    assert_false(found.proven);
    assert_string_equal(found.why, "source_lost");
    assert_in_range(found.since_ms, at_ms, INT64_MAX);
}

static void whether_machines_may_take_money_is_told_with_the_reason(void **state)
{
    struct store_fixture *fixture = *state;
    assert_null(store_not_payable(fixture->store));
    uint64_t version = store_completeness_version(fixture->store);
    store_set_payable(fixture->store, "no_source");
    assert_string_equal(store_not_payable(fixture->store), "no_source");
    assert_true(store_completeness_version(fixture->store) > version);
    store_set_payable(fixture->store, NULL);
    assert_null(store_not_payable(fixture->store));
}

struct watch_log {
    char text[128];
};

static void note_watch(void *context, const struct address *address, enum store_watch watch)
{
    static const char LETTERS[] = "+-s";
    struct watch_log *log = context;
    size_t length = strlen(log->text);
    log->text[length] = LETTERS[watch];
    log->text[length + 1] = (char)('a' + address->bytes[0] % 26);
}

static void who_watches_the_chain_is_told_of_addresses_that_come_and_go(void **state)
{
    struct store_fixture *fixture = *state;
    struct address a = {.chain = CHAIN_NANO, .length = 32, .bytes = {26}};
    struct watch_log log = {""};
    const struct store_events events = {.watch_context = &log, .watched = note_watch};
    store_start_by_hand(fixture->store, &events);
    struct store_import imports[2] = {{.device = {.name = "one", .auth = DEVICE_AUTH_TOKEN}},
                                      {.device = {.name = "two", .auth = DEVICE_AUTH_TOKEN}}};
    struct store_subscription subscriptions[2] = {{.address = a}, {.address = a}};
    for (size_t i = 0; i < 2; i++) {
        imports[i].subscriptions = &subscriptions[i];
        imports[i].subscription_count = 1;
    }
    assert_int_equal(store_import_devices(fixture->store, imports, 2), CS_OK);
    assert_string_equal(log.text, "+asasa");
    assert_int_equal(store_submit_listen(fixture->store, &a, 0, NULL, NULL), CS_OK);
    assert_int_equal(store_retire_device(fixture->store, imports[0].device.id), CS_OK);
    assert_int_equal(store_remove_subscription(fixture->store, imports[1].device.id, subscriptions[1].id),
                     CS_OK);
    assert_string_equal(log.text, "+asasa");
    assert_int_equal(store_submit_unlisten(fixture->store, &a), CS_OK);
    store_fixture_settle(fixture);
    assert_string_equal(log.text, "+asasa-a");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(unconfirmed_news_waits_without_seq_or_delivery_and_goes_out_when_confirmed),
        TEST(a_denied_payment_is_dropped_and_may_come_again),
        TEST(a_trusted_source_promotes_what_waits_and_a_forged_amount_goes_with_it),
        TEST(no_more_than_the_limit_wait_and_what_comes_beyond_is_refused),
        TEST(what_waits_is_there_again_after_a_restart),
        TEST(nobody_subscribes_any_more_when_the_verdict_comes),
        TEST(what_was_there_before_a_subscription_is_never_delivered),
        TEST(a_later_subscriber_to_the_same_address_does_not_get_what_only_the_first_missed),
        TEST(since_is_kept_until_the_baseline_is_taken),
        TEST(what_is_found_waits_until_everybody_has_a_baseline),
        TEST(what_was_heard_after_the_subscription_is_new_though_the_baseline_was_taken_late),
        TEST(a_mark_comes_back_as_it_was_written_and_pages_go_by_number),
        TEST(a_send_is_unknown_unless_it_is_a_payment_or_older_than_every_subscription),
        TEST(nothing_is_proven_until_it_was_asked_and_an_incident_takes_it_back),
        TEST(whether_machines_may_take_money_is_told_with_the_reason),
        TEST(who_watches_the_chain_is_told_of_addresses_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
