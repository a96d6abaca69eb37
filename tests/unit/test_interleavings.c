/*
 * The races that the design rules out, driven one by one: a real store whose writer and replayer move only when the test says so, a real
 * outbox in place of the push loop, and a device that remembers what it has persisted.
 *
 * Every order of a set of steps is tried: payments, the writer, the replayer, the mailbox, acks, a second session, an end. Afterwards
 * all is allowed to settle, and then the device must have seen every seq once, in order, up to the head, with no repeat of what it acked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "delivery/outbox.h"
#include "lib/store_fixture.h"

#define WINDOW    3
#define PAGE_SIZE 2
#define SEQS_MOST 32

/* The device, and the connection that it thinks it has. */
struct meter {
    struct store_fixture *fixture;
    struct store_device device;
    struct address address;
    uint64_t persisted;     /* the last seq that it has granted, or skipped by a gap */
    int granted[SEQS_MOST]; /* how often each was granted */
    uint64_t handle;        /* of the newest connection; older ones are dead to it */
    bool begun, ended;
    struct store_session session;
    struct outbox outbox;
    int acks_owed;
    struct submitted submitted[SEQS_MOST];
    size_t payments;
};

static void ask_for_page(struct meter *meter)
{
    uint64_t from;
    uint32_t most;
    if (meter->begun && !meter->ended && outbox_wants_page(&meter->outbox, PAGE_SIZE, &from, &most)) {
        assert_int_equal(store_submit_page(meter->fixture->store, &meter->session, from, most), CS_OK);
    }
}

/* A frame arrives at the device. */
static void receive(struct meter *meter, uint64_t seq)
{
    assert_int_equal(seq, meter->persisted + 1); /* in order, no hole, no repeat of what it has */
    meter->granted[seq]++;
    meter->persisted = seq;
    meter->acks_owed++;
}

static void offer(struct meter *meter, const struct store_delivery *delivery)
{
    if (outbox_offer(&meter->outbox, delivery->seq, delivery->seq)) {
        receive(meter, delivery->seq);
    }
}

static void begin(struct meter *meter)
{
    meter->handle++;
    meter->begun = meter->ended = false;
    meter->acks_owed = 0;
    assert_int_equal(store_fixture_begin(meter->fixture, meter->device.id, meter->handle, meter->persisted),
                     CS_OK);
}

/* The push loop takes one post from its mailbox. */
static void mailbox_step(struct meter *meter)
{
    struct posted *posted = store_fixture_take(meter->fixture);
    if (posted == NULL) {
        return;
    }
    bool mine = posted->handle == meter->handle;
    if (mine && posted->kind == POSTED_BEGUN) {
        assert_int_equal(posted->err, CS_OK);
        meter->begun = true;
        meter->session = posted->begun.session;
        outbox_init(&meter->outbox, posted->begun.acked, posted->begun.head, posted->begun.window);
        assert_int_equal(posted->begun.acked, meter->persisted);
    } else if (mine && meter->begun && !meter->ended) {
        assert_int_equal(posted->session.generation, meter->session.generation);
        switch (posted->kind) {
        case POSTED_LIVE:
            offer(meter, &posted->deliveries[0]);
            break;
        case POSTED_RAISED:
            outbox_raise(&meter->outbox, posted->head);
            break;
        case POSTED_PAGE:
            assert_int_equal(posted->count, posted->to + 1 - posted->from);
            for (size_t i = 0; i < posted->count; i++) {
                assert_int_equal(posted->deliveries[i].seq, posted->from + i);
                assert_int_equal(posted->deliveries[i].state,
                                 DELIVERY_SENT); /* committed before it reaches a socket */
                offer(meter, &posted->deliveries[i]);
            }
            outbox_page_done(&meter->outbox, posted->head);
            break;
        case POSTED_ENDED:
            fail_msg("the newest session was fenced");
            break;
        case POSTED_BEGUN:
        case POSTED_NOTED:
        case POSTED_CONFIG:
        case POSTED_HEARD:
            break;
        }
    }
    store_fixture_drop(posted);
    ask_for_page(meter);
}

static void ack(struct meter *meter)
{
    if (meter->begun && !meter->ended && meter->acks_owed > 0) {
        assert_int_equal(outbox_ack(&meter->outbox, meter->persisted), CS_OK);
        assert_int_equal(store_submit_ack(meter->fixture->store, &meter->session, meter->persisted), CS_OK);
        meter->acks_owed = 0;
        ask_for_page(meter);
    }
}

static void end(struct meter *meter)
{
    if (meter->begun && !meter->ended) {
        meter->ended = true;
        assert_int_equal(store_submit_session_end(meter->fixture->store, &meter->session), CS_OK);
    }
}

static void pay(struct meter *meter)
{
    struct payment payment = store_fixture_payment(meter->fixture, &meter->address, 1);
    store_fixture_submit(meter->fixture, &payment, &meter->submitted[meter->payments++]);
}

/* One letter a step. */
static void step(struct meter *meter, char what)
{
    switch (what) {
    case 'p':
        pay(meter);
        break;
    case 'w':
        store_step_writer(meter->fixture->store);
        break;
    case 'r':
        store_step_replayer(meter->fixture->store);
        break;
    case 'm':
        mailbox_step(meter);
        break;
    case 'a':
        ack(meter);
        break;
    case 's':
        begin(meter); /* the same device again, from a new connection: fences the one before */
        break;
    case 'e':
        end(meter);
        break;
    default:
        fail_msg("no such step: %c", what);
    }
}

static void check_rows(struct meter *meter)
{
    struct reader_delivery *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    const struct reader_delivery_filter filter = {.device = meter->device.id, .limit = SEQS_MOST};
    assert_int_equal(reader_page_deliveries(meter->fixture->store, &filter, &rows, &count, next), CS_OK);
    assert_int_equal(count, meter->payments);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rows[i].delivery.seq, count - i);
        assert_int_equal(rows[i].delivery.state, DELIVERY_ACKED);
        assert_true(rows[i].sent_at_ms >= rows[i].delivery.stored_at_ms);
        assert_true(rows[i].acked_at_ms >= rows[i].sent_at_ms);
        assert_in_range(rows[i].attempts, 1, meter->handle);
    }
    free(rows);
}

/* The device comes back, if it has to, and everything runs until nothing moves. */
static void settle(struct meter *meter)
{
    if (!meter->begun || meter->ended) {
        begin(meter);
    }
    for (int quiet = 0; quiet < 3;) {
        bool moved = store_step_writer(meter->fixture->store);
        moved = store_step_replayer(meter->fixture->store) || moved;
        while (meter->fixture->first != NULL) {
            mailbox_step(meter);
            moved = true;
        }
        ack(meter);
        quiet = moved ? 0 : quiet + 1;
    }
    assert_int_equal(meter->persisted, meter->payments);
    for (size_t seq = 1; seq <= meter->payments; seq++) {
        assert_int_equal(meter->granted[seq], 1);
        assert_int_equal(meter->submitted[seq - 1].called, 1);
        assert_int_equal(meter->submitted[seq - 1].err, CS_OK);
        assert_int_equal(meter->submitted[seq - 1].outcome, STORE_PAYMENT_STORED);
    }
    check_rows(meter);
}

static void run_order(struct store_fixture *fixture, const char *order)
{
    struct meter meter = {.fixture = fixture};
    meter.device = store_fixture_add_device(fixture, &meter.address, "0", 0);
    pay(&meter); /* missed while away: more than a window of them */
    pay(&meter);
    pay(&meter);
    pay(&meter);
    store_fixture_settle(fixture);
    begin(&meter);
    for (const char *what = order; *what != '\0'; what++) {
        step(&meter, *what);
    }
    settle(&meter);
    end(&meter);
    store_fixture_settle(fixture);
}

static int compare_chars(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

/* The next order of the letters, each different one once; false after the last. */
static bool next_order(char *order)
{
    size_t n = strlen(order), i = n - 1;
    while (i > 0 && order[i - 1] >= order[i]) {
        i--;
    }
    if (i == 0) {
        return false;
    }
    size_t j = n - 1;
    while (order[j] <= order[i - 1]) {
        j--;
    }
    char swapped = order[i - 1];
    order[i - 1] = order[j];
    order[j] = swapped;
    qsort(order + i, n - i, 1, compare_chars);
    return true;
}

/* `./dev test --long` tries the longer orders, about five times as many. */
static bool full_size(void)
{
    return getenv("COINSLOT_LONG") != NULL;
}

static void try_all_orders(const char *steps, uint32_t batch_most)
{
    struct store_fixture fixture;
    store_fixture_open(&fixture, batch_most, WINDOW, PAGE_SIZE);
    char order[16];
    snprintf(order, sizeof(order), "%s", steps);
    qsort(order, strlen(order), 1, compare_chars);
    size_t count = 0;
    do {
        run_order(&fixture, order);
        count++;
    } while (next_order(order));
    print_message("%zu orders of %s, batches of up to %u\n", count, steps, batch_most);
    store_fixture_close(&fixture);
}

static void page_live_payment_and_ack_in_every_order(void **state)
{
    (void)state;
    try_all_orders("pwrmaw", 256);
    try_all_orders(full_size() ? "pwwmmra" : "pwmra", 1);
}

static void a_second_session_fences_the_first_at_any_moment(void **state)
{
    (void)state;
    try_all_orders(full_size() ? "psmwwra" : "psmwr", 256);
    try_all_orders("psmwwr", 1);
}

static void a_session_ends_at_any_moment(void **state)
{
    (void)state;
    try_all_orders(full_size() ? "pemwwra" : "pemwr", 256);
    try_all_orders("esmwwr", 1);
}

static void payments_keep_coming_while_pages_are_read(void **state)
{
    (void)state;
    try_all_orders(full_size() ? "ppmmwwrr" : "pmmwwrr", 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_live_payment_and_ack_in_every_order),
        cmocka_unit_test(a_second_session_fences_the_first_at_any_moment),
        cmocka_unit_test(a_session_ends_at_any_moment),
        cmocka_unit_test(payments_keep_coming_while_pages_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
