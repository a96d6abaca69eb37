/* What callbacks say, and what the node says of it: a real store, and a node that the test makes say what it wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "lib/reconciler.h"
#include "lib/wire.h"
#include "node/confirm.h"

#define METER 3

/* The reconciler's node, store and loop; what it reconciles is never asked for. */
struct trial {
    struct reconciler all;
    struct confirm *confirm;
    struct store_device device;
    struct address address;
    _Atomic int confirmed, stored, contradicted;
};

static void on_confirmed(void *context, const struct payment *payment, bool stored, int64_t heard_at_ms)
{
    struct trial *trial = context;
    assert_true(payment->source == SOURCE_CALLBACK && heard_at_ms > 0);
    trial->confirmed++;
    trial->stored += stored;
}

static void on_contradicted(void *context, const struct address *address)
{
    struct trial *trial = context;
    assert_memory_equal(address, &trial->address, sizeof(*address));
    trial->contradicted++;
}

static void open_confirm(struct trial *trial)
{
    const struct confirm_options options = {.rpc = trial->all.rpc,
                                            .store = trial->all.fixture.store,
                                            .loop = trial->all.loop,
                                            .metrics = trial->all.fixture.metrics,
                                            .context = trial,
                                            .confirmed = on_confirmed,
                                            .contradicted = on_contradicted};
    trial->confirm = confirm_open(&options);
}

static int open_all(void **state)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    reconciler_open(&trial->all, 8);
    trial->address = fake_node_account(trial->all.node, METER);
    trial->device = reconciler_device(&trial->all, METER, 0);
    open_confirm(trial);
    *state = trial;
    return 0;
}

/* As the relay stops. */
static void stop(struct trial *trial)
{
    node_loop_stop(trial->all.loop);
    rpc_stop(trial->all.rpc);
    store_stop(trial->all.fixture.store);
    confirm_stop(trial->confirm);
    node_loop_settle(trial->all.loop);
    confirm_close(trial->confirm);
    trial->confirm = NULL;
    reconciler_stop(&trial->all);
}

static int close_all(void **state)
{
    struct trial *trial = *state;
    if (trial->confirm != NULL) {
        stop(trial);
    }
    reconciler_close(&trial->all);
    free(trial);
    return 0;
}

static void on_waiting(void *context, enum cs_err err, enum store_payment_outcome outcome, int64_t num)
{
    assert_int_equal(err, CS_OK);
    assert_int_equal(outcome, STORE_PAYMENT_WAITING);
    *(int64_t *)context = num;
}

/* A callback tells that this block pays so much. */
static void hear(struct trial *trial, uint32_t block, uint64_t raw)
{
    int64_t num = 0;
    struct payment payment = {.source = SOURCE_CALLBACK, .to = trial->address, .amount = {0, raw}};
    payment.from = fake_node_account(trial->all.node, 1);
    if (block != LEDGER_NONE) {
        fake_node_hash(trial->all.node, block, payment.hash);
    }
    assert_int_equal(
        store_submit_unconfirmed(trial->all.fixture.store, &payment, NULL, 0, NULL, 0, on_waiting, &num),
        CS_OK);
    store_fixture_settle(&trial->all.fixture);
    confirm_add(trial->confirm, num, &payment);
}

static void run_ms(struct trial *trial, uint64_t ms)
{
    for (uint64_t until_ns = clock_monotonic_ns() + ms * 1000000; clock_monotonic_ns() < until_ns;) {
        reconciler_step(&trial->all);
    }
}

static void wait_empty(struct trial *trial)
{
    for (uint64_t until_ns = clock_monotonic_ns() + 20000000000u;
         store_unconfirmed_count(trial->all.fixture.store) > 0;) {
        assert_true(clock_monotonic_ns() < until_ns);
        reconciler_step(&trial->all);
    }
}

static int64_t delivered(struct trial *trial)
{
    return reconciler_deliveries(&trial->all, &trial->device);
}

static void what_the_node_has_confirmed_is_delivered_once(void **state)
{
    struct trial *trial = *state;
    hear(trial, fake_node_pay(trial->all.node, 1, METER, 5, true), 5);
    wait_empty(trial);
    assert_int_equal(delivered(trial), 1);
    assert_int_equal(trial->confirmed, 1);
    assert_int_equal(trial->stored, 1);
}

static void what_is_not_confirmed_yet_waits_until_it_is(void **state)
{
    struct trial *trial = *state;
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, 5, false);
    hear(trial, block, 5);
    run_ms(trial, 600);
    assert_int_equal(delivered(trial), 0);
    assert_int_equal(store_unconfirmed_count(trial->all.fixture.store), 1);
    fake_node_confirm(trial->all.node, block);
    wait_empty(trial);
    assert_int_equal(delivered(trial), 1);
}

static void a_block_with_another_amount_is_dropped_and_the_address_looked_at(void **state)
{
    struct trial *trial = *state;
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, 5, true);
    hear(trial, block, 500);
    hear(trial, block, 5); /* two claims about one block: each is judged by itself */
    wait_empty(trial);
    assert_in_range(trial->contradicted, 0, 1); /* once the true one is stored, nobody asks about the other */
    assert_int_equal(delivered(trial), 1);
    assert_int_equal(store_fixture_number(&trial->all.fixture,
                                          "SELECT sum(length(amount)) FROM payment WHERE "
                                          "hex(amount) LIKE '%05'"),
                     16);
}

static void a_block_to_somebody_else_is_dropped(void **state)
{
    struct trial *trial = *state;
    hear(trial, fake_node_pay(trial->all.node, 1, METER + 1, 5, true), 5);
    wait_empty(trial);
    assert_int_equal(trial->contradicted, 1);
    assert_int_equal(delivered(trial), 0);
}

/* Calls that fail are no denials. */
static char *answer_nothing(void *context, struct fake_node *node, const char *action, const char *body)
{
    (void)node;
    (void)action;
    (void)body;
    return atomic_load((atomic_bool *)context) ? FAKE_NODE_DROP : NULL;
}

static void a_block_that_nobody_knows_is_dropped_only_after_the_node_has_denied_it_often_enough(void **state)
{
    struct trial *trial = *state;
    atomic_bool down = true;
    fake_node_set_hook(trial->all.node, answer_nothing, &down);
    hear(trial, LEDGER_NONE, 5);
    store_fixture_exec(&trial->all.fixture, "UPDATE unconfirmed SET received_at = received_at - 3000000");
    stop(trial);
    reconciler_start(&trial->all);
    open_confirm(trial);
    run_ms(trial, 4200); /* five calls */
    assert_in_range(fake_node_asked(trial->all.node, "blocks_info"), 5, 100);
    atomic_store(&down, false);
    run_ms(trial, 4500);
    assert_int_equal(store_unconfirmed_count(trial->all.fixture.store), 1);
}

static void what_waits_survives_a_stop_in_the_middle_of_a_question(void **state)
{
    struct trial *trial = *state;
    atomic_bool down = true;
    fake_node_set_hook(trial->all.node, answer_nothing, &down);
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, 5, true);
    fake_node_pocket(trial->all.node, METER, block, true);
    hear(trial, block, 5);
    run_ms(trial, 100);
    stop(trial);
    atomic_store(&down, false);
    reconciler_start(&trial->all);
    open_confirm(trial);
    wait_empty(trial);
    assert_int_equal(delivered(trial), 1);
}

static void what_was_received_below_a_baseline_is_old(void **state)
{
    struct trial *trial = *state;
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, 5, true);
    fake_node_pocket(trial->all.node, METER, block, true);
    assert_true(reconciler_sweep(&trial->all));
    wire_pause_ms(2);
    hear(trial, block, 5);
    wait_empty(trial);
    assert_int_equal(delivered(trial), 0);
}

static void another_source_may_be_quicker(void **state)
{
    struct trial *trial = *state;
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, 5, false);
    hear(trial, block, 5);
    run_ms(trial, 100);
    struct payment payment = {.source = SOURCE_NANO_WS, .to = trial->address, .amount = {0, 5}};
    struct submitted submitted;
    fake_node_hash(trial->all.node, block, payment.hash);
    store_fixture_submit(&trial->all.fixture, &payment, &submitted);
    run_ms(trial, 1200);
    assert_int_equal(submitted.outcome, STORE_PAYMENT_STORED);
    assert_int_equal(store_unconfirmed_count(trial->all.fixture.store), 0);
    assert_int_equal(trial->confirmed, 1);
    assert_int_equal(trial->stored, 0);
    assert_int_equal(delivered(trial), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(what_the_node_has_confirmed_is_delivered_once),
        TEST(what_is_not_confirmed_yet_waits_until_it_is),
        TEST(a_block_with_another_amount_is_dropped_and_the_address_looked_at),
        TEST(a_block_to_somebody_else_is_dropped),
        TEST(a_block_that_nobody_knows_is_dropped_only_after_the_node_has_denied_it_often_enough),
        TEST(what_waits_survives_a_stop_in_the_middle_of_a_question),
        TEST(what_was_received_below_a_baseline_is_old),
        TEST(another_source_may_be_quicker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
