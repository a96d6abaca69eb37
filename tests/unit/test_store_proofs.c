/* Deliveries to devices that want proofs: held without a seq until the block before is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/store_fixture.h"
#include "store/maintain.h"
#include "store/proofs.h"
#include "store/reconcile.h"

static const uint8_t BLOCK[4] = {1, 2, 3, 4}, PREVIOUS[6] = {6, 5, 4, 3, 2, 1};
static const char WITH_PROOF[] = "{\"late_after_s\":null,\"proof\":true}",
                  WITHOUT[] = "{\"late_after_s\":null}";

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

static void set_config(struct store_fixture *fixture, const struct store_device *device, const char *settings)
{
    uint64_t version;
    assert_int_equal(store_set_config(fixture->store, device->id, settings, &version), CS_OK);
}

static struct store_device add_device(struct store_fixture *fixture, struct address *address)
{
    struct store_device device = store_fixture_add_device(fixture, address, "0", 0);
    set_config(fixture, &device, WITH_PROOF);
    return device;
}

static void on_done(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    assert_int_equal(err, CS_OK);
    *(enum store_payment_outcome *)context = outcome;
}

/* A payment whose block came with it. */
static struct payment pay(struct store_fixture *fixture, const struct address *to)
{
    enum store_payment_outcome outcome = STORE_PAYMENT_DENIED;
    struct payment payment = store_fixture_payment(fixture, to, 7);
    assert_int_equal(
        store_submit_payment(fixture->store, &payment, BLOCK, sizeof(BLOCK), NULL, 0, on_done, &outcome),
        CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(outcome, STORE_PAYMENT_STORED);
    return payment;
}

static size_t held(struct store_fixture *fixture, struct reader_held rows[READER_HELD_MOST])
{
    size_t count;
    assert_int_equal(reader_page_held(fixture->store, 0, READER_HELD_MOST, rows, &count), CS_OK);
    assert_true((size_t)store_held_count(fixture->store) >= count);
    return count;
}

static void prove(struct store_fixture *fixture, int64_t payment)
{
    assert_int_equal(store_submit_previous(fixture->store, payment, PREVIOUS, sizeof(PREVIOUS)), CS_OK);
    store_fixture_settle(fixture);
}

static void assert_proved(const struct posted *posted)
{
    assert_int_equal(posted->proofs, 1);
    assert_int_equal(posted->proof.block_size, sizeof(BLOCK));
    assert_memory_equal(posted->proof.block, BLOCK, sizeof(BLOCK));
    assert_int_equal(posted->proof.previous_size, sizeof(PREVIOUS));
    assert_memory_equal(posted->proof.previous, PREVIOUS, sizeof(PREVIOUS));
}

static int64_t deliveries(const struct store_fixture *fixture)
{
    return store_fixture_number(fixture, "SELECT count(*) FROM delivery");
}

static void a_delivery_is_held_until_the_block_before_is_there_and_goes_out_live_with_both(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    struct payment payment = pay(fixture, &address);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment"), 1);
    assert_int_equal(deliveries(fixture), 0);
    assert_null(store_fixture_take(fixture));
    assert_int_equal(held(fixture, rows), 1);
    assert_true(rows[0].wanted);
    assert_int_equal(rows[0].block_size, sizeof(BLOCK));
    assert_memory_equal(rows[0].block, BLOCK, sizeof(BLOCK));

    prove(fixture, rows[0].payment);
    struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
    assert_int_equal(posted->deliveries[0].seq, 1);
    assert_int_equal(posted->deliveries[0].config_version, 2);
    assert_int_equal(posted->deliveries[0].stored_at_ms, rows[0].stored_at_ms);
    assert_memory_equal(posted->deliveries[0].payment.hash, payment.hash, sizeof(payment.hash));
    assert_proved(posted);
    store_fixture_drop(posted);
    assert_int_equal(store_held_count(fixture->store), 0);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery WHERE state = 'sent'"), 1);

    prove(fixture, rows[0].payment); /* once more: it has gone */
    assert_null(store_fixture_take(fixture));
    assert_int_equal(deliveries(fixture), 1);
    assert_int_equal(fixture->told.count, 1); /* those who listen heard of it when it was stored */
}

static void what_is_missed_is_replayed_with_its_proof_and_its_own_age(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)pay(fixture, &address);
    assert_int_equal(held(fixture, rows), 1);
    store_fixture_exec(fixture, "UPDATE payment SET stored_at = stored_at - 5000");
    prove(fixture, rows[0].payment);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    struct store_session session = store_fixture_session(fixture, device.id, 2, 0);
    assert_int_equal(store_submit_page(fixture->store, &session, 1, 4), CS_OK);
    store_fixture_settle(fixture);
    struct posted *posted = store_fixture_next(fixture, POSTED_PAGE);
    assert_int_equal(posted->count, 1);
    assert_int_equal(posted->deliveries[0].stored_at_ms, rows[0].stored_at_ms - 5000);
    assert_proved(posted);
    store_fixture_drop(posted);
}

static void nothing_waits_behind_what_is_held(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    struct payment first = pay(fixture, &address), second = pay(fixture, &address);
    assert_int_equal(held(fixture, rows), 2);
    assert_true(rows[0].payment < rows[1].payment);
    prove(fixture, rows[1].payment);
    prove(fixture, rows[0].payment);
    const struct payment *expected[] = {&second, &first};
    for (uint64_t seq = 1; seq <= 2; seq++) {
        struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
        assert_int_equal(posted->deliveries[0].seq, seq);
        assert_memory_equal(posted->deliveries[0].payment.hash, expected[seq - 1]->hash, PAYMENT_HASH_SIZE);
        store_fixture_drop(posted);
    }
}

static void what_cannot_be_proven_goes_out_without(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    (void)pay(fixture, &address);
    assert_int_equal(held(fixture, rows), 1);
    assert_int_equal(store_submit_previous(fixture->store, rows[0].payment, NULL, 0), CS_OK);
    store_fixture_settle(fixture);
    struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
    assert_int_equal(posted->proofs, 0);
    store_fixture_drop(posted);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment_previous"), 0);
}

static void who_wants_no_proofs_waits_for_none_on_the_same_address(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address, other;
    struct store_device trusting = store_fixture_add_device(fixture, &address, "0", 0),
                        wary = add_device(fixture, &other);
    struct store_subscription subscription = {.address = address};
    memcpy(subscription.device, wary.id, sizeof(wary.id));
    assert_int_equal(store_create_subscription(fixture->store, &subscription), CS_OK);
    (void)store_fixture_session(fixture, trusting.id, 1, 0);
    (void)store_fixture_session(fixture, wary.id, 2, 0);
    (void)pay(fixture, &address);
    struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
    assert_int_equal(posted->session.handle, 1);
    assert_int_equal(posted->proofs, 0);
    store_fixture_drop(posted);
    assert_int_equal(held(fixture, rows), 1);
    prove(fixture, rows[0].payment);
    posted = store_fixture_next(fixture, POSTED_LIVE);
    assert_int_equal(posted->session.handle, 2);
    assert_proved(posted);
    store_fixture_drop(posted);

    struct store_session session = store_fixture_session(fixture, trusting.id, 3, 0);
    assert_int_equal(store_submit_page(fixture->store, &session, 1, 4), CS_OK);
    store_fixture_settle(fixture);
    posted = store_fixture_next(fixture, POSTED_PAGE);
    assert_int_equal(posted->count, 1);
    assert_int_equal(posted->proofs, 0); /* though it is there */
    store_fixture_drop(posted);
}

static void what_is_held_survives_a_restart_and_so_does_who_wants_it(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)pay(fixture, &address);
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 64, 4, 4);
    assert_int_equal(store_held_count(fixture->store), 1);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    (void)pay(fixture, &address);
    assert_int_equal(held(fixture, rows), 2);
    prove(fixture, rows[0].payment);
    prove(fixture, rows[1].payment);
    assert_int_equal(store_held_count(fixture->store), 0);
    for (int i = 0; i < 2; i++) {
        struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
        assert_proved(posted);
        store_fixture_drop(posted);
    }
}

static void on_baseline(void *context, enum cs_err err)
{
    (void)context;
    assert_int_equal(err, CS_OK);
}

static void a_device_with_held_deliveries_is_not_caught_up(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device_key key;
    struct store_device device = add_device(fixture, &address);
    int64_t num = store_fixture_number(fixture, "SELECT num FROM address");
    assert_true(store_find_device(fixture->store, device.id, &key));
    assert_int_equal(store_submit_baseline(fixture->store, num,
                                           store_fixture_number(fixture, "SELECT num FROM subscription"), 0,
                                           NULL, 0, on_baseline, NULL),
                     CS_OK);
    store_fixture_settle(fixture);
    (void)pay(fixture, &address);
    assert_int_equal(held(fixture, rows), 1);
    store_note_complete(fixture->store, &num, 1, clock_wall_ms() + 1);
    assert_string_equal(store_device_unproven(fixture->store, key.device), "proof_awaited");
    prove(fixture, rows[0].payment);
    assert_null(store_device_unproven(fixture->store, key.device));
}

static void an_operator_who_gives_up_on_proofs_has_what_is_held_go_out(void **state)
{
    struct store_fixture *fixture = *state;
    struct reader_held rows[READER_HELD_MOST];
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)pay(fixture, &address);
    assert_int_equal(held(fixture, rows), 1);
    assert_true(rows[0].wanted);
    set_config(fixture, &device, WITHOUT);
    assert_int_equal(held(fixture, rows), 1);
    assert_false(rows[0].wanted);
    (void)pay(fixture, &address); /* not held any more */
    assert_int_equal(deliveries(fixture), 1);
    assert_int_equal(store_submit_previous(fixture->store, rows[0].payment, NULL, 0), CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(deliveries(fixture), 2);
    assert_int_equal(
        store_fixture_number(fixture, "SELECT config_version FROM delivery ORDER BY seq DESC LIMIT 1"), 2);
}

static void what_is_held_for_a_device_that_is_retired_is_on_the_refund_list(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = add_device(fixture, &address);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    (void)pay(fixture, &address);
    assert_int_equal(store_retire_device(fixture->store, device.id), CS_OK);
    assert_int_equal(store_held_count(fixture->store), 0);
    assert_int_equal(
        store_fixture_number(fixture,
                             "SELECT count(*) FROM delivery WHERE state = 'expired' AND reason = 'retired'"),
        1);
}

static enum cs_err check(const struct store_fixture *fixture)
{
    char error[STORE_ERROR_SIZE];
    FILE *out = tmpfile();
    enum cs_err err = maintain_check(fixture->dir, true, out, error);
    fclose(out);
    return err;
}

static void the_check_finds_what_waits_and_was_delivered_and_who_wants_proofs_unasked(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address, other;
    struct store_device wary = add_device(fixture, &address);
    (void)store_fixture_add_device(fixture, &other, "0", 0);
    (void)pay(fixture, &address);
    (void)pay(fixture, &other);
    assert_int_equal(check(fixture), CS_OK);
    store_fixture_shut(fixture);
    static const struct {
        const char *damage, *repair;
    } DAMAGES[] = {
        {"INSERT INTO delivery_held SELECT payment, device, 1 FROM delivery",
         "DELETE FROM delivery_held WHERE device = 2"},
        {"DELETE FROM device_proof", "INSERT INTO device_proof VALUES (1)"},
        {"INSERT INTO device_proof VALUES (2)", "DELETE FROM device_proof WHERE device = 2"},
    };
    for (size_t i = 0; i < sizeof(DAMAGES) / sizeof(DAMAGES[0]); i++) {
        store_fixture_exec(fixture, DAMAGES[i].damage);
        assert_int_equal(check(fixture), CS_EINVAL);
        store_fixture_exec(fixture, DAMAGES[i].repair);
        assert_int_equal(check(fixture), CS_OK);
    }
    store_fixture_reopen(fixture, 64, 4, 4);
    assert_int_equal(store_retire_device(fixture->store, wary.id), CS_OK);
    assert_int_equal(check(fixture), CS_OK);
}

static void without_a_node_nobody_can_want_proofs(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct metrics *metrics = metrics_open();
    char error[STORE_ERROR_SIZE];
    uint64_t version;
    store_fixture_shut(fixture);
    const struct store_options options = {.dir = fixture->dir,
                                          .inbox_capacity = 16,
                                          .batch_most = 16,
                                          .window = 4,
                                          .page_size = 4,
                                          .readers = 1,
                                          .subscriptions_most = 3,
                                          .wal_most_bytes = 1 << 20,
                                          .synchronous = "OFF",
                                          .metrics = metrics};
    struct store *store;
    assert_int_equal(store_open(&options, &store, error), CS_OK);
    store_start_by_hand(store, NULL);
    assert_int_equal(store_set_config(store, device.id, WITH_PROOF, &version), CS_ECONFLICT);
    assert_int_equal(store_set_config(store, device.id, WITHOUT, &version), CS_OK);
    store_stop(store);
    store_close(store);
    metrics_close(metrics);
    store_fixture_reopen(fixture, 64, 4, 4);
}

static void while_no_proof_can_be_had_a_device_that_wants_them_must_not_be_paid(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address, other;
    struct store_device wary = add_device(fixture, &address),
                        trusting = store_fixture_add_device(fixture, &other, "0", 0);
    struct store_session first = store_fixture_session(fixture, wary.id, 1, 0),
                         second = store_fixture_session(fixture, trusting.id, 2, 0);
    assert_string_equal(store_device_not_payable(fixture->store, first.device), "node_unreachable");
    assert_null(store_device_not_payable(fixture->store, second.device));
    store_set_provable(fixture->store, true);
    assert_null(store_device_not_payable(fixture->store, first.device));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(a_delivery_is_held_until_the_block_before_is_there_and_goes_out_live_with_both),
        TEST(what_is_missed_is_replayed_with_its_proof_and_its_own_age),
        TEST(nothing_waits_behind_what_is_held),
        TEST(what_cannot_be_proven_goes_out_without),
        TEST(who_wants_no_proofs_waits_for_none_on_the_same_address),
        TEST(what_is_held_survives_a_restart_and_so_does_who_wants_it),
        TEST(a_device_with_held_deliveries_is_not_caught_up),
        TEST(an_operator_who_gives_up_on_proofs_has_what_is_held_go_out),
        TEST(what_is_held_for_a_device_that_is_retired_is_on_the_refund_list),
        TEST(the_check_finds_what_waits_and_was_delivered_and_who_wants_proofs_unasked),
        TEST(without_a_node_nobody_can_want_proofs),
        TEST(while_no_proof_can_be_had_a_device_that_wants_them_must_not_be_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
