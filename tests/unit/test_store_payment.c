/* Payments on their way into the store: matched, stored once, delivered to whom they are for; and when they are not taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store_fixture.h"

static int open_fixture(void **state)
{
    struct store_fixture *fixture = calloc(1, sizeof(*fixture));
    store_fixture_open(fixture, 256, 4, 3);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    store_fixture_close(*state);
    free(*state);
    return 0;
}

static enum store_payment_outcome pay(struct store_fixture *fixture, const struct payment *payment)
{
    struct submitted submitted;
    store_fixture_submit(fixture, payment, &submitted);
    store_fixture_settle(fixture);
    assert_int_equal(submitted.called, 1);
    assert_int_equal(submitted.err, CS_OK);
    return submitted.outcome;
}

static uint64_t head_of(struct store_fixture *fixture, const char *id)
{
    struct store_device device;
    assert_int_equal(reader_device(fixture->store, id, &device), CS_OK);
    return device.head_seq;
}

static struct store_subscription subscription_to(const char *device, uint8_t number)
{
    const uint8_t key[32] = {0xaa, number};
    struct store_subscription subscription = {.address = address_from_nano_key(key)};
    snprintf(subscription.device, sizeof(subscription.device), "%s", device);
    return subscription;
}

static void a_payment_is_stored_once_and_a_repeat_changes_nothing(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    assert_int_equal(pay(fixture, &payment), STORE_PAYMENT_STORED);
    assert_int_equal(pay(fixture, &payment), STORE_PAYMENT_DUPLICATE);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment"), 1);
    assert_int_equal(head_of(fixture, device.id), 1);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_payments_total{result=\"stored\"}"), 1);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_payments_total{result=\"duplicate\"}"), 1);
}

static void two_equal_payments_in_one_batch_are_stored_once(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 7);
    struct submitted first, second;
    store_fixture_submit(fixture, &payment, &first);
    store_fixture_submit(fixture, &payment, &second);
    assert_true(store_step_writer(fixture->store));
    assert_int_equal(first.outcome, STORE_PAYMENT_STORED);
    assert_int_equal(second.called, 1);
    assert_int_equal(second.outcome, STORE_PAYMENT_DUPLICATE);
    assert_int_equal(head_of(fixture, device.id), 1);
}

static void the_whole_hash_and_the_output_make_a_payment(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment one = store_fixture_payment(fixture, &address, 1);
    struct payment other = store_fixture_payment(fixture, &address, 1); /* alike in its first eight bytes */
    assert_memory_equal(one.hash, other.hash, 8);
    assert_int_equal(pay(fixture, &one), STORE_PAYMENT_STORED);
    assert_int_equal(pay(fixture, &other), STORE_PAYMENT_STORED);
    other.output = 1;
    assert_int_equal(pay(fixture, &other), STORE_PAYMENT_STORED);
    assert_int_equal(pay(fixture, &one), STORE_PAYMENT_DUPLICATE);
    assert_int_equal(pay(fixture, &other), STORE_PAYMENT_DUPLICATE);
}

static void a_payment_that_nobody_subscribed_to_is_counted_and_not_stored(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address = {.chain = CHAIN_NANO, .length = 32, .bytes = {9}};
    struct payment payment = store_fixture_payment(fixture, &address, 1);
    assert_false(store_knows_address(fixture->store, &address));
    assert_int_equal(pay(fixture, &payment), STORE_PAYMENT_UNMATCHED);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment"), 0);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_payments_total{result=\"unmatched\"}"), 1);
}

static void a_payment_below_the_minimum_is_stored_without_a_delivery(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "100", 0);
    struct payment less = store_fixture_payment(fixture, &address, 99);
    struct payment enough = store_fixture_payment(fixture, &address, 100);
    assert_int_equal(pay(fixture, &less), STORE_PAYMENT_STORED);
    assert_int_equal(head_of(fixture, device.id), 0);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_below_minimum_total"), 1);
    assert_int_equal(pay(fixture, &enough), STORE_PAYMENT_STORED);
    assert_int_equal(head_of(fixture, device.id), 1);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment"), 2);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery"), 1);
}

static void everybody_who_subscribed_gets_the_payment_by_a_seq_of_their_own(void **state)
{
    struct store_fixture *fixture = *state;
    struct address shared, own;
    struct store_device first = store_fixture_add_device(fixture, &shared, "0", 0);
    struct store_device devices[6];
    for (size_t i = 0; i < 6; i++) {
        devices[i] = store_fixture_add_device(fixture, &own, "0", 0);
        struct store_subscription more = {.address = shared};
        memcpy(more.device, devices[i].id, sizeof(more.device));
        assert_int_equal(store_create_subscription(fixture->store, &more), CS_OK);
    }
    (void)store_fixture_session(fixture, devices[2].id, 1, 0);
    (void)store_fixture_session(fixture, devices[4].id, 2, 0);
    struct payment alone = store_fixture_payment(fixture, &own, 1); /* the last device's own address */
    struct payment payment = store_fixture_payment(fixture, &shared, 1);
    assert_int_equal(pay(fixture, &alone), STORE_PAYMENT_STORED);
    assert_int_equal(pay(fixture, &payment), STORE_PAYMENT_STORED);
    assert_int_equal(head_of(fixture, first.id), 1);
    assert_int_equal(head_of(fixture, devices[5].id), 2);
    for (uint64_t handle = 1; handle <= 2; handle++) {
        struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
        assert_int_equal(posted->handle, handle);
        assert_int_equal(posted->deliveries[0].seq, 1);
        assert_memory_equal(posted->deliveries[0].payment.hash, payment.hash, PAYMENT_HASH_SIZE);
        store_fixture_drop(posted);
    }
    assert_null(fixture->first);
}

static void an_address_is_the_same_in_every_spelling(void **state)
{
    struct store_fixture *fixture = *state;
    struct address own;
    struct store_device device = store_fixture_add_device(fixture, &own, "0", 0);
    struct store_subscription subscription = subscription_to(device.id, 0);
    struct store_subscription again = subscription;
    char nano[ADDRESS_TEXT_SIZE], xrb[ADDRESS_TEXT_SIZE];
    address_format(&subscription.address, nano);
    snprintf(xrb, sizeof(xrb), "xrb_%s", nano + 5);
    assert_true(address_parse(CHAIN_NANO, xrb, &subscription.address));
    assert_true(address_parse(CHAIN_NANO, nano, &again.address));
    assert_int_equal(store_create_subscription(fixture->store, &subscription), CS_OK);
    assert_true(store_knows_address(fixture->store, &again.address));
    assert_int_equal(store_create_subscription(fixture->store, &again), CS_ECONFLICT);
    struct payment payment = store_fixture_payment(fixture, &again.address, 1);
    assert_int_equal(pay(fixture, &payment), STORE_PAYMENT_STORED);
    assert_int_equal(head_of(fixture, device.id), 1);
}

static void subscriptions_are_refused_with_the_reason(void **state)
{
    struct store_fixture *fixture = *state;
    struct address own;
    struct store_device device = store_fixture_add_device(fixture, &own, "0", 0);
    struct store_subscription nobody = subscription_to("dev_aaaaaaaaaaaaaaaa", 0);
    assert_int_equal(store_create_subscription(fixture->store, &nobody), CS_ENOTFOUND);
    struct store_subscription second = subscription_to(device.id, 0);
    struct store_subscription third = subscription_to(device.id, 1);
    struct store_subscription fourth = subscription_to(device.id, 2);
    assert_int_equal(store_create_subscription(fixture->store, &second), CS_OK);
    assert_int_equal(store_create_subscription(fixture->store, &third), CS_OK);
    assert_int_equal(store_create_subscription(fixture->store, &fourth), CS_EINVAL); /* three at most here */
    assert_int_equal(store_remove_subscription(fixture->store, device.id, third.id), CS_OK);
    assert_int_equal(store_create_subscription(fixture->store, &fourth), CS_OK);
    assert_int_equal(store_retire_device(fixture->store, device.id), CS_OK);
    assert_int_equal(store_create_subscription(fixture->store, &third), CS_EDENIED);
    assert_false(store_knows_address(fixture->store, &fourth.address));
}

static void an_ended_subscription_matches_nothing_until_it_is_made_again(void **state)
{
    struct store_fixture *fixture = *state;
    struct address own, foreign;
    struct store_device device = store_fixture_add_device(fixture, &own, "0", 0);
    struct store_device other = store_fixture_add_device(fixture, &foreign, "0", 0);
    struct store_subscription *rows;
    size_t count;
    assert_int_equal(reader_subscriptions(fixture->store, device.id, &rows, &count), CS_OK);
    assert_int_equal(count, 1);
    struct store_subscription subscription = rows[0];
    free(rows);
    assert_int_equal(store_remove_subscription(fixture->store, other.id, subscription.id), CS_ENOTFOUND);
    assert_int_equal(store_remove_subscription(fixture->store, "dev_", subscription.id), CS_ENOTFOUND);
    /* In one batch: what was paid before it ends is delivered still. */
    struct payment before = store_fixture_payment(fixture, &own, 1);
    struct payment after = store_fixture_payment(fixture, &own, 1);
    struct submitted submitted;
    store_fixture_submit(fixture, &before, &submitted);
    assert_int_equal(store_remove_subscription(fixture->store, device.id, subscription.id), CS_OK);
    assert_int_equal(submitted.outcome, STORE_PAYMENT_STORED);
    assert_int_equal(pay(fixture, &after), STORE_PAYMENT_UNMATCHED);
    assert_int_equal(store_remove_subscription(fixture->store, device.id, subscription.id), CS_ENOTFOUND);
    assert_int_equal(store_create_subscription(fixture->store, &subscription), CS_OK);
    assert_int_equal(pay(fixture, &after), STORE_PAYMENT_STORED);
    assert_int_equal(head_of(fixture, device.id), 2);
}

static void cursors_addresses_and_payments_outlive_a_restart(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    struct payment payments[3];
    for (size_t i = 0; i < 3; i++) {
        payments[i] = store_fixture_payment(fixture, &address, 1);
        assert_int_equal(pay(fixture, &payments[i]), STORE_PAYMENT_STORED);
    }
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    assert_int_equal(store_submit_page(fixture->store, &session, 1, 2), CS_OK);
    assert_int_equal(store_submit_ack(fixture->store, &session, 1), CS_OK);
    store_fixture_settle(fixture);
    char epoch[STORE_EPOCH_TEXT];
    snprintf(epoch, sizeof(epoch), "%s", store_epoch(fixture->store));
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, 4, 3);
    assert_string_equal(store_epoch(fixture->store), epoch);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_int_equal(found.head_seq, 3);
    assert_int_equal(found.sent_seq, 2);
    assert_int_equal(found.acked_seq, 1);
    assert_false(found.connected);
    assert_int_equal(pay(fixture, &payments[1]), STORE_PAYMENT_DUPLICATE);
    struct payment fourth = store_fixture_payment(fixture, &address, 1);
    assert_int_equal(pay(fixture, &fourth), STORE_PAYMENT_STORED);
    assert_int_equal(head_of(fixture, device.id), 4);
}

static void note(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    *(struct submitted *)context = (struct submitted){1, err, outcome};
}

static void the_signed_block_is_kept_beside_its_payment(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment without = store_fixture_payment(fixture, &address, 1);
    struct payment with = store_fixture_payment(fixture, &address, 1);
    uint8_t proof[STORE_PROOF_MAX] = {0xab};
    struct submitted submitted = {0};
    assert_int_equal(pay(fixture, &without), STORE_PAYMENT_STORED);
    assert_int_equal(
        store_submit_payment(fixture->store, &with, proof, sizeof(proof), NULL, 0, note, &submitted), CS_OK);
    memset(proof, 0, sizeof(proof)); /* it was copied */
    store_fixture_settle(fixture);
    assert_int_equal(submitted.outcome, STORE_PAYMENT_STORED);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment_proof"), 1);
    assert_int_equal(store_fixture_number(
                         fixture, "SELECT payment = 2 AND length(block) = 256 AND hex(block) LIKE 'AB00%' "
                                  "FROM payment_proof"),
                     1);
}

/* ---- when they are not taken -------------------------------------------------------------------------------------- */

/* The fixture's folder again, with real threads or by hand, and other limits. */
static void every_payment_is_told_with_its_block_when_it_is_stored_and_never_again(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "5", 0);
    static const uint8_t proof[] = {1, 2, 3};
    struct payment with = store_fixture_payment(fixture, &address, 7), without = with;
    without.output = 1;
    without.amount = (struct amount){0, 4}; /* below the minimum: stored, and delivered to nobody */
    struct submitted submitted;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            store_submit_payment(fixture->store, &with, proof, sizeof(proof), "n", 1, note, &submitted),
            CS_OK);
        store_fixture_settle(fixture);
        assert_int_equal(fixture->told.count, 1);
        assert_memory_equal(fixture->told.payment.hash, with.hash, sizeof(with.hash));
        assert_int_equal(fixture->told.proof_size, sizeof(proof));
        assert_memory_equal(fixture->told.proof, proof, sizeof(proof));
    }
    assert_int_equal(pay(fixture, &without), STORE_PAYMENT_STORED);
    assert_int_equal(fixture->told.count, 2);
    assert_int_equal(fixture->told.proof_size, 0);
    without.to.bytes[0] ^= 1;
    assert_int_equal(pay(fixture, &without), STORE_PAYMENT_UNMATCHED);
    assert_int_equal(fixture->told.count, 2);
}

static struct store *open_again(struct store_fixture *fixture, uint32_t inbox_capacity,
                                int64_t min_free_bytes)
{
    store_fixture_shut(fixture);
    fixture->metrics = metrics_open();
    const struct store_options options = {
        .dir = fixture->dir,
        .inbox_capacity = inbox_capacity,
        .batch_most = 2,
        .window = 4,
        .page_size = 3,
        .readers = 1,
        .subscriptions_most = 3,
        .unconfirmed_most = 100,
        .min_free_bytes = min_free_bytes,
        .wal_most_bytes = 1 << 20,
        .synchronous = "OFF",
        .metrics = fixture->metrics,
    };
    char error[STORE_ERROR_SIZE] = "";
    assert_int_equal(store_open(&options, &fixture->store, error), CS_OK);
    return fixture->store;
}

static void a_full_inbox_refuses_and_loses_nothing_that_it_took(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payments[6];
    struct submitted submitted[6] = {0};
    struct store *store = open_again(fixture, 5, 0);
    store_start_by_hand(store, NULL);
    assert_null(store_refusal(store));
    for (size_t i = 0; i < 6; i++) {
        payments[i] = store_fixture_payment(fixture, &address, 1);
        assert_int_equal(store_submit_payment(store, &payments[i], NULL, 0, NULL, 0, note, &submitted[i]),
                         i < 5 ? CS_OK : CS_EBUSY);
    }
    assert_int_equal(store_inbox_count(store), 5);
    assert_non_null(strstr(store_refusal(store), "inbox"));
    assert_int_equal(store_fixture_metric(fixture, "coinslot_store_payments_refused_total"), 1);
    store_stop(store); /* with a full inbox: all of it is committed, two a batch, and called back */
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(submitted[i].called, i < 5);
        assert_int_equal(submitted[i].err, CS_OK);
    }
    assert_int_equal(store_submit_payment(store, &payments[5], NULL, 0, NULL, 0, note, &submitted[5]),
                     CS_ECLOSED);
    assert_int_equal(head_of(fixture, device.id), 5);
}

static void stopping_with_threads_commits_and_calls_back_what_was_taken(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    enum { COUNT = 500 };
    struct submitted *submitted = calloc(COUNT, sizeof(*submitted));
    struct store *store = open_again(fixture, COUNT, 0);
    store_start(store, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        struct payment payment = store_fixture_payment(fixture, &address, 1);
        assert_int_equal(store_submit_payment(store, &payment, NULL, 0, NULL, 0, note, &submitted[i]), CS_OK);
    }
    store_stop(store);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(submitted[i].called, 1);
        assert_int_equal(submitted[i].err, CS_OK);
    }
    assert_int_equal(head_of(fixture, device.id), COUNT);
    store_close(store);
    metrics_close(fixture->metrics);
    store_fixture_reopen(fixture, 1, 4, 3);
    free(submitted);
}

static void a_disk_with_less_room_than_min_free_takes_no_payments_but_changes(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 1);
    struct submitted submitted = {0};
    struct store *store = open_again(fixture, 16, INT64_MAX);
    store_start(store, NULL);
    assert_non_null(strstr(store_refusal(store), "min_free_mb"));
    assert_int_equal(store_submit_payment(store, &payment, NULL, 0, NULL, 0, note, &submitted), CS_EFULL);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_store_payments_refused_total"), 1);
    struct store_device more = {.name = "More", .auth = DEVICE_AUTH_TOKEN};
    const uint8_t credential[STORE_HASH_SIZE] = {2};
    assert_int_equal(store_create_device(store, &more, credential), CS_OK);
    store_stop(store);
    assert_int_equal(submitted.called, 0);
    store_close(store);
    metrics_close(fixture->metrics);
    store_fixture_reopen(fixture, 1, 4, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_payment_is_stored_once_and_a_repeat_changes_nothing, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(two_equal_payments_in_one_batch_are_stored_once, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(the_whole_hash_and_the_output_make_a_payment, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_payment_that_nobody_subscribed_to_is_counted_and_not_stored,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_payment_below_the_minimum_is_stored_without_a_delivery,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(everybody_who_subscribed_gets_the_payment_by_a_seq_of_their_own,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(an_address_is_the_same_in_every_spelling, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(subscriptions_are_refused_with_the_reason, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(an_ended_subscription_matches_nothing_until_it_is_made_again,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(cursors_addresses_and_payments_outlive_a_restart, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(the_signed_block_is_kept_beside_its_payment, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(
            every_payment_is_told_with_its_block_when_it_is_stored_and_never_again, open_fixture,
            close_fixture),
        cmocka_unit_test_setup_teardown(a_full_inbox_refuses_and_loses_nothing_that_it_took, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(stopping_with_threads_commits_and_calls_back_what_was_taken,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_disk_with_less_room_than_min_free_takes_no_payments_but_changes,
                                        open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
