/* Deliveries that wait for their proof, and a node that knows the block before, or does not: a real store and ledger. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hex.h"
#include "lib/reconciler.h"
#include "node/prove.h"
#include "verify/block.h"

#define METER 3

struct trial {
    struct reconciler all;
    struct prove *prove;
    struct store_device device;
};

static void open_prove(struct trial *trial)
{
    const struct prove_options options = {.rpc = trial->all.rpc,
                                          .store = trial->all.fixture.store,
                                          .loop = trial->all.loop,
                                          .metrics = trial->all.fixture.metrics};
    trial->prove = prove_open(&options);
}

static void set_config(struct trial *trial, const char *settings)
{
    uint64_t version;
    assert_int_equal(store_set_config(trial->all.fixture.store, trial->device.id, settings, &version), CS_OK);
}

static int open_all(void **state)
{
    struct trial *trial = calloc(1, sizeof(*trial));
    reconciler_open(&trial->all, 8);
    trial->device = reconciler_device(&trial->all, METER, 0);
    set_config(trial, "{\"proof\":true}");
    assert_true(reconciler_sweep(&trial->all)); /* the baseline */
    open_prove(trial);
    *state = trial;
    return 0;
}

/* As the relay stops. */
static void stop(struct trial *trial)
{
    node_loop_stop(trial->all.loop);
    rpc_stop(trial->all.rpc);
    store_stop(trial->all.fixture.store);
    prove_stop(trial->prove);
    node_loop_settle(trial->all.loop);
    prove_close(trial->prove);
    trial->prove = NULL;
    reconciler_stop(&trial->all);
}

static int close_all(void **state)
{
    struct trial *trial = *state;
    if (trial->prove != NULL) {
        stop(trial);
    }
    reconciler_close(&trial->all);
    free(trial);
    return 0;
}

/* Paid, found by reconciliation, and told to whoever proves. */
static uint32_t pay(struct trial *trial, uint64_t raw)
{
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, raw, true);
    assert_true(reconciler_sweep(&trial->all));
    prove_note_held(trial->prove);
    return block;
}

static void run_ms(struct trial *trial, uint64_t ms)
{
    for (uint64_t until_ns = clock_monotonic_ns() + ms * 1000000; clock_monotonic_ns() < until_ns;) {
        reconciler_step(&trial->all);
    }
}

static void wait_nothing_held(struct trial *trial)
{
    for (uint64_t until_ns = clock_monotonic_ns() + 20000000000u;
         store_held_count(trial->all.fixture.store) > 0;) {
        assert_true(clock_monotonic_ns() < until_ns);
        reconciler_step(&trial->all);
    }
}

static int64_t proofs(const struct trial *trial)
{
    return store_fixture_number(&trial->all.fixture, "SELECT count(*) FROM payment_previous");
}

static int64_t delivered(struct trial *trial)
{
    return reconciler_deliveries(&trial->all, &trial->device);
}

/* What the last frame would carry: the payment's block, and the block whose hash it names, with an amount more. */
static void assert_proves(struct trial *trial, uint32_t paid, uint64_t raw)
{
    struct store_session session = store_fixture_session(&trial->all.fixture, trial->device.id, 1, 0);
    assert_int_equal(store_submit_page(trial->all.fixture.store, &session, 1, 4), CS_OK);
    store_fixture_settle(&trial->all.fixture);
    struct posted *posted = store_fixture_next(&trial->all.fixture, POSTED_PAGE);
    struct block block, previous;
    struct amount amount;
    uint8_t hash[32], expected[32];
    assert_int_equal(posted->proofs, posted->count);
    assert_int_equal(posted->proof.block_size, BLOCK_PACKED_SIZE);
    assert_int_equal(posted->proof.previous_size, BLOCK_PACKED_SIZE);
    assert_int_equal(block_unpack(posted->proof.block, &block), CS_OK);
    assert_int_equal(block_unpack(posted->proof.previous, &previous), CS_OK);
    fake_node_hash(trial->all.node, paid, expected);
    block_hash(&block, hash);
    assert_memory_equal(hash, expected, 32);
    block_hash(&previous, hash);
    assert_memory_equal(hash, block.previous, 32);
    assert_true(amount_subtract(previous.balance, block.balance, &amount));
    assert_true(amount.high == 0 && amount.low == raw);
    store_fixture_drop(posted);
}

static void the_node_is_asked_once_for_the_block_before(void **state)
{
    struct trial *trial = *state;
    fake_node_forget_asked(trial->all.node);
    uint32_t block = pay(trial, 5);
    size_t asked = fake_node_asked(trial->all.node, "blocks_info");
    wait_nothing_held(trial);
    run_ms(trial, 600);
    assert_int_equal(fake_node_asked(trial->all.node, "blocks_info"), asked + 1);
    assert_int_equal(delivered(trial), 1);
    assert_int_equal(proofs(trial), 1);
    assert_false(prove_is_failing(trial->prove));
    assert_proves(trial, block, 5);
    assert_int_equal(store_fixture_metric(&trial->all.fixture, "coinslot_proofs_total{result=\"found\"}"), 1);
}

static void many_are_asked_about_together(void **state)
{
    struct trial *trial = *state;
    uint32_t block = 0;
    for (uint64_t raw = 1; raw <= 70; raw++) {
        block = fake_node_pay(trial->all.node, 1 + raw % 2, METER, raw, true);
    }
    (void)block;
    assert_true(reconciler_sweep(&trial->all));
    fake_node_forget_asked(trial->all.node);
    prove_note_held(trial->prove);
    wait_nothing_held(trial);
    assert_int_equal(fake_node_asked(trial->all.node, "blocks_info"), 2);
    assert_int_equal(delivered(trial), 70);
    assert_int_equal(proofs(trial), 70);
}

/* What the hook does in place of the ledger. */
static char *answer_nothing(void *context, struct fake_node *node, const char *action, const char *body)
{
    (void)node;
    (void)body;
    return strcmp(action, "blocks_info") == 0 && atomic_load((atomic_bool *)context) ? FAKE_NODE_DROP : NULL;
}

static void while_the_node_does_not_answer_it_is_held_however_long_that_is(void **state)
{
    struct trial *trial = *state;
    atomic_bool down = false;
    fake_node_set_hook(trial->all.node, answer_nothing, &down);
    fake_node_pay(trial->all.node, 1, METER, 5, true);
    assert_true(reconciler_sweep(&trial->all));
    store_fixture_exec(&trial->all.fixture, "UPDATE payment SET stored_at = stored_at - 86400000");
    atomic_store(&down, true);
    fake_node_forget_asked(trial->all.node);
    prove_note_held(trial->prove);
    run_ms(trial, 1500);
    assert_true(prove_is_failing(trial->prove));
    assert_in_range(fake_node_asked(trial->all.node, "blocks_info"), 2, 4); /* less and less often */
    assert_int_equal(delivered(trial), 0);
    atomic_store(&down, false);
    wait_nothing_held(trial);
    assert_false(prove_is_failing(trial->prove));
    assert_int_equal(proofs(trial), 1);
}

/* A node without any block before. */
static char *answer_unknown(void *context, struct fake_node *node, const char *action, const char *body)
{
    (void)node;
    if (strcmp(action, "blocks_info") != 0 || !atomic_load((atomic_bool *)context)) {
        return NULL;
    }
    const char *list = strstr(body, "\"hashes\"");
    const char *begin = strchr(list, '['), *end = strchr(begin, ']');
    char *answer = calloc(1, 100 + (size_t)(end - begin));
    strcpy(answer, "{\"blocks\":\"\",\"blocks_not_found\":");
    strncat(answer, begin, (size_t)(end - begin) + 1);
    strcat(answer, "}");
    return answer;
}

static void what_the_node_does_not_know_goes_out_without_proof_after_a_minute(void **state)
{
    struct trial *trial = *state;
    atomic_bool unknown = false;
    fake_node_set_hook(trial->all.node, answer_unknown, &unknown);
    fake_node_pay(trial->all.node, 1, METER, 5, true);
    assert_true(reconciler_sweep(&trial->all));
    atomic_store(&unknown, true);
    prove_note_held(trial->prove);
    run_ms(trial, 900);
    assert_false(prove_is_failing(trial->prove)); /* it answers */
    assert_int_equal(delivered(trial), 0);
    store_fixture_exec(&trial->all.fixture, "UPDATE payment SET stored_at = stored_at - 60000");
    prove_set_behind(trial->prove, true); /* such a node may know it later */
    run_ms(trial, 2500);
    assert_int_equal(delivered(trial), 0);
    prove_set_behind(trial->prove, false);
    wait_nothing_held(trial);
    assert_int_equal(delivered(trial), 1);
    assert_int_equal(proofs(trial), 0);
    assert_int_equal(store_fixture_metric(&trial->all.fixture, "coinslot_proofs_total{result=\"unknown\"}"),
                     1);
}

static void what_is_unknown_holds_up_nothing_that_comes_later(void **state)
{
    struct trial *trial = *state;
    atomic_bool unknown = false;
    fake_node_set_hook(trial->all.node, answer_unknown, &unknown);
    fake_node_pay(trial->all.node, 1, METER, 5, true);
    assert_true(reconciler_sweep(&trial->all));
    atomic_store(&unknown, true);
    prove_note_held(trial->prove);
    run_ms(trial, 2000); /* it is left alone for longer and longer */
    atomic_store(&unknown, false);
    (void)pay(trial, 6);
    for (uint64_t until_ns = clock_monotonic_ns() + 1500000000u; delivered(trial) == 0;) {
        assert_true(clock_monotonic_ns() < until_ns);
        reconciler_step(&trial->all);
    }
    wait_nothing_held(trial);
    assert_int_equal(proofs(trial), 2);
}

static void what_is_held_is_asked_about_again_after_a_restart(void **state)
{
    struct trial *trial = *state;
    atomic_bool down = false;
    fake_node_set_hook(trial->all.node, answer_nothing, &down);
    uint32_t block = fake_node_pay(trial->all.node, 1, METER, 5, true);
    assert_true(reconciler_sweep(&trial->all));
    atomic_store(&down, true);
    prove_note_held(trial->prove);
    run_ms(trial, 100);
    stop(trial);
    atomic_store(&down, false);
    reconciler_start(&trial->all);
    open_prove(trial);
    wait_nothing_held(trial);
    assert_proves(trial, block, 5);
}

static void what_is_not_wanted_any_more_goes_out_without_a_question(void **state)
{
    struct trial *trial = *state;
    atomic_bool down = false;
    fake_node_set_hook(trial->all.node, answer_nothing, &down);
    fake_node_pay(trial->all.node, 1, METER, 5, true);
    assert_true(reconciler_sweep(&trial->all));
    atomic_store(&down, true);
    set_config(trial, "{}");
    fake_node_forget_asked(trial->all.node);
    prove_note_held(trial->prove);
    wait_nothing_held(trial);
    assert_int_equal(fake_node_asked(trial->all.node, "blocks_info"), 0);
    assert_int_equal(delivered(trial), 1);
}

static void a_lost_word_of_what_is_held_is_made_up_for_within_a_second(void **state)
{
    struct trial *trial = *state;
    fake_node_pay(trial->all.node, 1, METER, 5, true);
    assert_true(reconciler_sweep(&trial->all));
    run_ms(trial, 100);
    assert_int_equal(delivered(trial), 0); /* nobody was told */
    prove_tick(trial->prove);
    wait_nothing_held(trial);
    assert_int_equal(delivered(trial), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(the_node_is_asked_once_for_the_block_before),
        TEST(many_are_asked_about_together),
        TEST(while_the_node_does_not_answer_it_is_held_however_long_that_is),
        TEST(what_the_node_does_not_know_goes_out_without_proof_after_a_minute),
        TEST(what_is_unknown_holds_up_nothing_that_comes_later),
        TEST(what_is_held_is_asked_about_again_after_a_restart),
        TEST(what_is_not_wanted_any_more_goes_out_without_a_question),
        TEST(a_lost_word_of_what_is_held_is_made_up_for_within_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
