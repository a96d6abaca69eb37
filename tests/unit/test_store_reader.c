/* The pages that people look at: complete, in order, stable while rows come, whatever the search index has taken in. */
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
    store_fixture_open(fixture, 256, 8, 8);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    store_fixture_close(*state);
    free(*state);
    return 0;
}

static struct payment pay(struct store_fixture *fixture, const struct address *address)
{
    struct payment payment = store_fixture_payment(fixture, address, 1);
    struct submitted submitted;
    store_fixture_submit(fixture, &payment, &submitted);
    store_fixture_settle(fixture);
    assert_int_equal(submitted.outcome, STORE_PAYMENT_STORED);
    return payment;
}

/* All pages of `limit` rows, seqs as text: "5 4|3 2|1". */
static const char *seqs(struct store_fixture *fixture, struct reader_delivery_filter filter, uint32_t limit)
{
    static char text[256];
    char next[READER_CURSOR_SIZE] = "", cursor[READER_CURSOR_SIZE];
    size_t length = 0;
    text[0] = '\0';
    filter.limit = limit;
    do {
        struct reader_delivery *rows;
        size_t count;
        memcpy(cursor, next, sizeof(cursor));
        filter.cursor = cursor[0] != '\0' ? cursor : NULL;
        assert_int_equal(reader_page_deliveries(fixture->store, &filter, &rows, &count, next), CS_OK);
        assert_true(count <= limit && (count > 0 || filter.cursor == NULL)); /* no empty page at the end */
        for (size_t i = 0; i < count; i++) {
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%d", i > 0 ? " " : "",
                                       (int)rows[i].delivery.seq);
        }
        if (next[0] != '\0') {
            length += (size_t)snprintf(text + length, sizeof(text) - length, "|");
        }
        free(rows);
    } while (next[0] != '\0');
    return text;
}

/* How many payments all pages have. */
static size_t count_payments(struct store_fixture *fixture, struct reader_payment_filter filter,
                             uint32_t limit)
{
    char next[READER_CURSOR_SIZE] = "", cursor[READER_CURSOR_SIZE];
    size_t found = 0;
    filter.limit = limit;
    do {
        struct reader_payment *rows;
        size_t count;
        memcpy(cursor, next, sizeof(cursor));
        filter.cursor = cursor[0] != '\0' ? cursor : NULL;
        assert_int_equal(reader_page_payments(fixture->store, &filter, &rows, &count, next), CS_OK);
        assert_true(count <= limit && (count > 0 || filter.cursor == NULL));
        found += count;
        free(rows);
    } while (next[0] != '\0');
    return found;
}

/* The search index as it was when only the first `indexed` rows were in it; the store fills it again only after a second. */
static void set_indexed(struct store_fixture *fixture, int indexed)
{
    char sql[1024];
    snprintf(
        sql, sizeof(sql),
        "DELETE FROM delivery_by_device; DELETE FROM delivery_by_payment; DELETE FROM payment_by_address;"
        "INSERT INTO delivery_by_device SELECT device, seq, num FROM delivery WHERE num <= %d;"
        "INSERT INTO delivery_by_payment SELECT payment, num FROM delivery WHERE num <= %d;"
        "INSERT INTO payment_by_address SELECT address, num FROM payment WHERE num <= %d;"
        "INSERT OR REPLACE INTO meta VALUES ('delivery_indexed', '%d'), ('payment_indexed', '%d')",
        indexed, indexed, indexed, indexed, indexed);
    store_fixture_exec(fixture, sql);
}

static void a_devices_pages_are_the_same_whatever_is_indexed(void **state)
{
    struct store_fixture *fixture = *state;
    struct address first_at, second_at;
    struct store_device first = store_fixture_add_device(fixture, &first_at, "0", 0);
    struct store_device second = store_fixture_add_device(fixture, &second_at, "0", 0);
    for (int i = 0; i < 6; i++) {
        pay(fixture, &first_at);
        pay(fixture, &second_at);
    }
    const struct reader_delivery_filter of_first = {.device = first.id}, of_second = {.device = second.id},
                                        all = {0};
    const struct reader_payment_filter to_first = {.address = &first_at}, everything = {0};
    for (int indexed = 0; indexed <= 12; indexed++) {
        set_indexed(fixture, indexed);
        assert_string_equal(seqs(fixture, of_first, 100), "6 5 4 3 2 1");
        assert_string_equal(seqs(fixture, of_second, 2), "6 5|4 3|2 1");
        assert_string_equal(seqs(fixture, of_second, 6), "6 5 4 3 2 1");
        assert_string_equal(seqs(fixture, of_first, 4), "6 5 4 3|2 1");
        assert_string_equal(seqs(fixture, all, 12), "6 6 5 5 4 4 3 3 2 2 1 1");
        assert_int_equal(count_payments(fixture, to_first, 4), 6);
        assert_int_equal(count_payments(fixture, everything, 5), 12);
    }
    set_indexed(fixture, 0); /* the store goes on filling where it was */
}

static void a_page_does_not_move_when_rows_are_added(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    for (int i = 0; i < 5; i++) {
        pay(fixture, &address);
    }
    const char *const devices[] = {device.id, NULL};
    for (int which = 0; which < 2; which++) {
        struct reader_delivery_filter filter = {.device = devices[which], .limit = 2};
        struct reader_delivery *rows;
        size_t count;
        char next[READER_CURSOR_SIZE], after[READER_CURSOR_SIZE];
        assert_int_equal(reader_page_deliveries(fixture->store, &filter, &rows, &count, next), CS_OK);
        uint64_t last = rows[1].delivery.seq;
        free(rows);
        pay(fixture, &address);
        filter.cursor = next;
        assert_int_equal(reader_page_deliveries(fixture->store, &filter, &rows, &count, after), CS_OK);
        assert_int_equal(count, 2);
        assert_int_equal(rows[0].delivery.seq, last - 1);
        free(rows);
    }
}

static void a_cursor_of_another_order_or_of_nobodys_is_refused(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    const char *const wrong[] = {"",   "s", "d5", "s0", "s-5", "s 5", "s5x", "s99999999999999999999",
                                 "p5", "v5"};
    struct reader_delivery *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const struct reader_delivery_filter filter = {.device = device.id, .limit = 1, .cursor = wrong[i]};
        assert_int_equal(reader_page_deliveries(fixture->store, &filter, &rows, &count, next), CS_EINVAL);
    }
    const struct reader_delivery_filter good = {
        .device = device.id, .limit = 1, .cursor = "s9223372036854775807"};
    assert_int_equal(reader_page_deliveries(fixture->store, &good, &rows, &count, next), CS_OK);
    assert_int_equal(count, 0);
    assert_string_equal(next, "");
    free(rows);
    const struct reader_delivery_filter nobody = {.device = "dev_nobody", .limit = 1};
    assert_int_equal(reader_page_deliveries(fixture->store, &nobody, &rows, &count, next), CS_ENOTFOUND);
}

static void filters_by_state_device_and_hash_go_together(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address, other_at;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct store_device other = store_fixture_add_device(fixture, &other_at, "0", 0);
    struct store_subscription shared = {.address = address};
    memcpy(shared.device, other.id, sizeof(shared.device));
    assert_int_equal(store_create_subscription(fixture->store, &shared), CS_OK);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    struct payment payments[6];
    for (int i = 0; i < 6; i++) {
        payments[i] = pay(fixture, &address);
    }
    assert_int_equal(store_fixture_report(fixture, &session, 2, DELIVERY_ACTUATED), CS_OK);
    assert_int_equal(store_fixture_report(fixture, &session, 3, DELIVERY_REFUSED), CS_OK);
    assert_int_equal(store_submit_ack(fixture->store, &session, 4), CS_OK);
    store_fixture_settle(fixture);
    const struct {
        enum delivery_state state;
        const char *of_device, *of_all;
    } expected[] = {
        {DELIVERY_STORED, "", "6 5|4 3|2 1"}, {DELIVERY_SENT, "6 5", "6 5"}, {DELIVERY_ACKED, "4 1", "4 1"},
        {DELIVERY_ACTUATED, "2", "2"},        {DELIVERY_REFUSED, "3", "3"},  {DELIVERY_EXPIRED, "", ""},
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct reader_delivery_filter filter = {.by_state = true, .state = expected[i].state};
        assert_string_equal(seqs(fixture, filter, 2), expected[i].of_all);
        filter.device = device.id;
        assert_string_equal(seqs(fixture, filter, 2), expected[i].of_device);
    }
    for (int indexed = 0; indexed <= 12; indexed += 6) {
        set_indexed(fixture, indexed);
        struct reader_delivery_filter filter = {.hash = payments[2].hash};
        assert_string_equal(seqs(fixture, filter, 1), "3|3");
        filter.device = device.id; /* the other's delivery is the newer one: it must not hide this one */
        assert_string_equal(seqs(fixture, filter, 1), "3");
        filter.by_state = true;
        filter.state = DELIVERY_REFUSED;
        assert_string_equal(seqs(fixture, filter, 1), "3");
        filter.device = other.id;
        assert_string_equal(seqs(fixture, filter, 1), "");
    }
    set_indexed(fixture, 0);
    const uint8_t unknown[PAYMENT_HASH_SIZE] = {0xff};
    assert_string_equal(seqs(fixture, (struct reader_delivery_filter){.hash = unknown}, 5), "");
    const struct reader_payment_filter paid = {.hash = payments[1].hash, .address = &address};
    const struct reader_payment_filter not_paid = {.hash = payments[1].hash, .address = &other_at};
    assert_int_equal(count_payments(fixture, paid, 1), 1);
    assert_int_equal(count_payments(fixture, not_paid, 1), 0);
}

/* Six rows, of which the fourth and fifth were stored after the clock had been set back by two hours. */
static void a_time_range_finds_its_rows_though_the_clock_jumped_back(void **state)
{
    enum { HOUR = 3600000 };
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    for (int i = 0; i < 6; i++) {
        pay(fixture, &address);
    }
    store_fixture_exec(
        fixture, "UPDATE payment SET stored_at = 3600000 * "
                 "CASE num WHEN 1 THEN 10 WHEN 2 THEN 11 WHEN 3 THEN 12 WHEN 4 THEN 10 WHEN 5 THEN 11 ELSE "
                 "12 END + num;"
                 "UPDATE delivery SET stored_at = (SELECT stored_at FROM payment WHERE num = payment);"
                 "DELETE FROM stored_hour;"
                 "INSERT INTO stored_hour SELECT stored_at / 3600000, min(num), max(num), min(num), max(num) "
                 "FROM delivery GROUP BY 1");
    const struct {
        int64_t from_ms, to_ms;
        const char *seqs;
    } ranges[] = {
        {10 * HOUR, 11 * HOUR, "4 1"},
        {11 * HOUR, 12 * HOUR, "5 2"},
        {12 * HOUR, 0, "6 3"},
        {0, 11 * HOUR, "4 1"},
        {10 * HOUR + 1, 10 * HOUR + 4, "1"}, /* [from, to) */
        {10 * HOUR + 4, 10 * HOUR + 5, "4"},
        {13 * HOUR, 0, ""},
        {0, 10 * HOUR, ""},
        {11 * HOUR, 0, "6 5 3 2"},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct reader_delivery_filter filter = {.from_ms = ranges[i].from_ms, .to_ms = ranges[i].to_ms};
        assert_string_equal(seqs(fixture, filter, 10), ranges[i].seqs);
        filter.device = device.id;
        assert_string_equal(seqs(fixture, filter, 10), ranges[i].seqs);
        filter.by_state = true;
        filter.state = DELIVERY_STORED;
        assert_string_equal(seqs(fixture, filter, 10), ranges[i].seqs);
        filter.device = NULL;
        assert_string_equal(seqs(fixture, filter, 10), ranges[i].seqs);
        struct reader_payment_filter payments = {.from_ms = ranges[i].from_ms, .to_ms = ranges[i].to_ms};
        size_t expected = (strlen(ranges[i].seqs) + 1) / 2;
        assert_int_equal(count_payments(fixture, payments, 10), expected);
        payments.address = &address;
        assert_int_equal(count_payments(fixture, payments, 10), expected);
    }
}

/* The writer's own hour: what the range of a row that was just stored is found by. */
static void the_writer_notes_the_hour_of_what_it_stores(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    (void)store_fixture_add_device(fixture, &address, "5", 0);
    pay(fixture, &address); /* too small: a payment without a delivery */
    int64_t now_ms = store_fixture_number(fixture, "SELECT stored_at FROM payment");
    const struct reader_delivery_filter now = {.from_ms = now_ms, .to_ms = now_ms + 7200000};
    assert_string_equal(seqs(fixture, now, 3), "");
    assert_int_equal(count_payments(fixture, (struct reader_payment_filter){.from_ms = now_ms}, 3), 1);
    struct payment payment = store_fixture_payment(fixture, &address, 5);
    struct submitted submitted;
    store_fixture_submit(fixture, &payment, &submitted);
    store_fixture_settle(fixture);
    assert_string_equal(seqs(fixture, now, 3), "1");
}

static void a_payment_comes_back_as_it_was_stored(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct payment payment = store_fixture_payment(fixture, &address, 1), bare;
    payment.amount = (struct amount){UINT64_MAX, UINT64_MAX - 1}; /* as much as fits */
    payment.from.bytes[31] = 0xee;
    payment.output = UINT32_MAX;
    payment.source = SOURCE_BACKFILL;
    payment.node_time_ms = 1234567890123;
    snprintf(payment.asset, sizeof(payment.asset), "AN.ASSET/WITH_THIRTY-TWO#LETTERS");
    bare = store_fixture_payment(fixture, &address, 0);
    memset(&bare.from, 0, sizeof(bare.from));
    struct submitted submitted;
    store_fixture_submit(fixture, &payment, &submitted);
    store_fixture_submit(fixture, &bare, &submitted);
    store_fixture_settle(fixture);
    struct reader_payment_filter filter = {.limit = 2};
    struct reader_payment *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    assert_int_equal(reader_page_payments(fixture->store, &filter, &rows, &count, next), CS_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(&rows[1].payment, &payment, sizeof(payment));
    assert_memory_equal(&rows[0].payment, &bare, sizeof(bare));
    assert_int_equal(rows[1].deliveries, 1);
    assert_int_equal(rows[1].reversed_at_ms, 0);
    free(rows);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    assert_int_equal(store_submit_page(fixture->store, &session, 1, 2), CS_OK);
    store_fixture_settle(fixture);
    struct posted *page = store_fixture_next(fixture, POSTED_PAGE);
    assert_memory_equal(&page->deliveries[0].payment, &payment, sizeof(payment));
    assert_memory_equal(&page->deliveries[1].payment, &bare, sizeof(bare));
    store_fixture_drop(page);
}

static void devices_are_paged_newest_first(void **state)
{
    struct store_fixture *fixture = *state;
    struct store_device devices[4], *rows, found;
    struct address address;
    for (int i = 0; i < 4; i++) {
        devices[i] = store_fixture_add_device(fixture, &address, "0", i == 3 ? 60000 : 0);
    }
    assert_int_equal(store_retire_device(fixture->store, devices[1].id), CS_OK);
    struct reader_device_filter filter = {.limit = 2};
    size_t count;
    char next[READER_CURSOR_SIZE], end[READER_CURSOR_SIZE];
    assert_int_equal(reader_page_devices(fixture->store, &filter, &rows, &count, next), CS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(rows[0].id, devices[3].id);
    assert_int_equal(rows[0].expire_after_ms, 60000);
    assert_string_equal(rows[1].id, devices[2].id);
    free(rows);
    filter.cursor = next;
    assert_int_equal(reader_page_devices(fixture->store, &filter, &rows, &count, end), CS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(rows[1].id, devices[0].id);
    assert_string_equal(end, "");
    free(rows);
    filter = (struct reader_device_filter){.by_state = true, .state = DEVICE_ACTIVE, .limit = 3};
    assert_int_equal(reader_page_devices(fixture->store, &filter, &rows, &count, end), CS_OK);
    assert_int_equal(count, 3);
    assert_string_equal(end, "");
    free(rows);
    assert_int_equal(reader_device(fixture->store, "dev_nobody", &found), CS_ENOTFOUND);
    struct store_subscription *subscriptions;
    assert_int_equal(reader_subscriptions(fixture->store, "dev_nobody", &subscriptions, &count),
                     CS_ENOTFOUND);
    assert_int_equal(reader_subscriptions(fixture->store, devices[1].id, &subscriptions, &count), CS_OK);
    assert_int_equal(count, 0);
    free(subscriptions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_devices_pages_are_the_same_whatever_is_indexed, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_page_does_not_move_when_rows_are_added, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_cursor_of_another_order_or_of_nobodys_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(filters_by_state_device_and_hash_go_together, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_time_range_finds_its_rows_though_the_clock_jumped_back,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(the_writer_notes_the_hour_of_what_it_stores, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_payment_comes_back_as_it_was_stored, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(devices_are_paged_newest_first, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
