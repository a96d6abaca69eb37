/*
 * From a node's WebSocket into the store. The store is a small one made here, whose inbox can be full and which answers when the test
 * says so, from another thread as the real writer does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/recorded.h"
#include "node/nano_source.h"
#include "node/nano_ws_frames.h"

#define MOST    4096
#define WAIT_MS 30000
#define QUEUE   8

/* ---- the store ----------------------------------------------------------------------------------------- */

struct submitted {
    struct payment payment;
    uint8_t proof[BLOCK_PACKED_SIZE];
    store_payment_done done;
    void *context;
};

struct store {
    pthread_mutex_t gate;
    enum cs_err answer; /* of the submission */
    bool knows;
    struct submitted submitted[MOST];
    size_t count, done;
};

uint64_t store_observe_stage(struct store *store, enum store_stage stage, uint64_t since_ns)
{
    (void)store;
    assert_int_equal(stage, STORE_STAGE_CHECK);
    assert_true(since_ns > 0);
    return since_ns;
}

bool store_knows_address(struct store *store, const struct address *address)
{
    assert_int_equal(address->chain, CHAIN_NANO);
    pthread_mutex_lock(&store->gate);
    bool knows = store->knows;
    pthread_mutex_unlock(&store->gate);
    return knows;
}

enum cs_err store_submit_payment(struct store *store, const struct payment *payment, const uint8_t *proof,
                                 size_t proof_size, const char *notice, size_t notice_size,
                                 store_payment_done done, void *context)
{
    assert_true(proof_size == BLOCK_PACKED_SIZE && notice == NULL && notice_size == 0);
    pthread_mutex_lock(&store->gate);
    enum cs_err err = store->answer;
    if (err == CS_OK) {
        struct submitted *submitted = &store->submitted[store->count++];
        *submitted = (struct submitted){.payment = *payment, .done = done, .context = context};
        memcpy(submitted->proof, proof, sizeof(submitted->proof));
    }
    pthread_mutex_unlock(&store->gate);
    return err;
}

enum cs_err store_submit_received(struct store *store, const struct payment *payment, uint64_t receive_height,
                                  const uint8_t *proof, size_t proof_size, store_payment_done done,
                                  void *context)
{
    assert_true(receive_height != 0);
    return store_submit_payment(store, payment, proof, proof_size, NULL, 0, done, context);
}

static void set_answer(struct store *store, enum cs_err err)
{
    pthread_mutex_lock(&store->gate);
    store->answer = err;
    pthread_mutex_unlock(&store->gate);
}

static size_t submitted_count(struct store *store)
{
    pthread_mutex_lock(&store->gate);
    size_t count = store->count;
    pthread_mutex_unlock(&store->gate);
    return count;
}

/* The writer commits the next; on the test's thread. */
static void commit(struct store *store, enum cs_err err, enum store_payment_outcome outcome)
{
    pthread_mutex_lock(&store->gate);
    assert_true(store->done < store->count);
    struct submitted *submitted = &store->submitted[store->done++];
    pthread_mutex_unlock(&store->gate);
    submitted->done(submitted->context, err, outcome);
}

/* ---- the source ---------------------------------------------------------------------------------------- */

struct fixture {
    struct store store;
    struct node_loop *loop;
    struct metrics *metrics;
    struct nano_source *source;
    atomic_int reading, refused, brought;
    struct notice send, receive;
};

static void on_reading(void *context, bool reading)
{
    struct fixture *fixture = context;
    atomic_store(&fixture->reading, reading ? 1 : 0);
}

static void on_refused(void *context)
{
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->refused, 1);
}

static void read_notices(struct fixture *fixture)
{
    struct recorded_session *session = recorded_session_open(SOURCE_DIR, "ws4b-filter-D.txt");
    const char *text;
    size_t length;
    while ((text = recorded_session_next(session, &length)) != NULL) {
        struct nano_ws_message message;
        char error[NANO_WS_ERROR_SIZE];
        nano_ws_read(text, length, &message, error);
        if (message.kind == NANO_WS_CONFIRMED) {
            *(message.notice.is_send ? &fixture->send : &fixture->receive) = message.notice;
        }
    }
    recorded_session_close(session);
    assert_true(fixture->send.is_send && !fixture->receive.is_send && !amount_is_zero(fixture->send.amount));
}

static void on_brought(void *context, size_t from, const struct payment *payment, bool stored,
                       int64_t heard_at_ms)
{
    struct fixture *fixture = context;
    assert_int_equal(from, 3);
    assert_int_equal(payment->source, SOURCE_NANO_WS);
    assert_true(heard_at_ms > 1700000000000);
    atomic_fetch_add(&fixture->brought, stored);
}

static struct fixture *open_fixture(enum callback_signature signature)
{
    struct fixture *fixture = cs_alloc(sizeof(*fixture));
    pthread_mutex_init(&fixture->store.gate, NULL);
    fixture->store.knows = true;
    fixture->reading = 1;
    read_notices(fixture);
    fixture->loop = node_loop_open(1000);
    fixture->metrics = metrics_open();
    fixture->source = nano_source_open(&(struct nano_source_options){
        .loop = fixture->loop,
        .store = &fixture->store,
        .signature = signature,
        .queue_most = QUEUE,
        .metrics = fixture->metrics,
        .context = fixture,
        .reading = on_reading,
        .refused = on_refused,
        .brought = on_brought,
    });
    assert_int_equal(node_loop_start(fixture->loop), CS_OK);
    return fixture;
}

static void stop_loop(struct fixture *fixture)
{
    node_loop_stop(fixture->loop);
    nano_source_stop(fixture->source);
    node_loop_settle(fixture->loop);
}

/* The writer answers whatever it took, at the latest when the store stops. */
static void close_fixture(struct fixture *fixture)
{
    while (fixture->store.done < fixture->store.count) {
        commit(&fixture->store, CS_OK, STORE_PAYMENT_DUPLICATE);
    }
    nano_source_close(fixture->source);
    node_loop_close(fixture->loop);
    metrics_close(fixture->metrics);
    pthread_mutex_destroy(&fixture->store.gate);
    free(fixture);
}

struct work {
    struct nano_source *source;
    struct notice notice;
    int64_t time_ms;
};

static void run_take(void *context)
{
    struct work *work = context;
    nano_source_take(work->source, 3, &work->notice, work->time_ms, 0);
    free(work);
}

/* The amount tells them apart; the hash is not checked again. */
static void take(struct fixture *fixture, const struct notice *notice, uint64_t raw)
{
    struct work *work = cs_alloc(sizeof(*work));
    *work = (struct work){fixture->source, *notice, (int64_t)raw};
    work->notice.amount = (struct amount){.low = raw};
    assert_int_equal(node_loop_post(fixture->loop, run_take, work), CS_OK);
}

static long long metric(struct fixture *fixture, const char *labels)
{
    char *text = metrics_print(fixture->metrics), line[160];
    snprintf(line, sizeof(line), "\ncoinslot_nano_ws_payments%s ", labels);
    const char *found = strstr(text, line);
    assert_non_null(found);
    long long value = strtoll(found + strlen(line), NULL, 10);
    free(text);
    return value;
}

static void expect_metric(struct fixture *fixture, const char *labels, long long value)
{
    for (int i = 0; i < WAIT_MS && metric(fixture, labels) != value; i++) {
        usleep(1000);
    }
    assert_int_equal(metric(fixture, labels), value);
}

static void expect_submitted(struct fixture *fixture, size_t count)
{
    for (int i = 0; i < WAIT_MS && submitted_count(&fixture->store) < count; i++) {
        usleep(1000);
    }
    assert_int_equal(submitted_count(&fixture->store), count);
}

static void expect_number(atomic_int *number, int value)
{
    for (int i = 0; i < WAIT_MS && atomic_load(number) != value; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(number), value);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void test_a_send_to_a_known_address_goes_into_the_store(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(SIGNATURE_AUTO);
    take(fixture, &fixture->send, 77);
    expect_submitted(fixture, 1);
    const struct submitted *submitted = &fixture->store.submitted[0];
    assert_int_equal(submitted->payment.source, SOURCE_NANO_WS);
    assert_int_equal(submitted->payment.node_time_ms, 77);
    assert_memory_equal(submitted->payment.hash, fixture->send.hash, 32);
    assert_memory_equal(submitted->payment.to.bytes, fixture->send.block.link, 32);
    assert_memory_equal(submitted->payment.from.bytes, fixture->send.account, 32);
    struct block block;
    assert_int_equal(block_unpack(submitted->proof, &block), CS_OK);
    assert_memory_equal(&block, &fixture->send.block, sizeof(block));
    take(fixture, &fixture->send, 78);
    take(fixture, &fixture->send, 79);
    expect_submitted(fixture, 3);
    commit(&fixture->store, CS_OK, STORE_PAYMENT_STORED);
    commit(&fixture->store, CS_OK, STORE_PAYMENT_DUPLICATE);
    commit(&fixture->store, CS_OK, STORE_PAYMENT_UNMATCHED);
    assert_int_equal(metric(fixture, "_total{result=\"stored\"}"), 1);
    assert_int_equal(metric(fixture, "_total{result=\"duplicate\"}"), 1);
    assert_int_equal(metric(fixture, "_total{result=\"unmatched\"}"), 1);
    assert_int_equal(atomic_load(&fixture->refused), 0);
    stop_loop(fixture);
    close_fixture(fixture);
}

static void test_what_pays_nobody_here_does_not_reach_the_store(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(SIGNATURE_NEVER);
    take(fixture, &fixture->receive, 1);
    expect_metric(fixture, "_total{result=\"not_a_send\"}", 1);
    pthread_mutex_lock(&fixture->store.gate);
    fixture->store.knows = false;
    pthread_mutex_unlock(&fixture->store.gate);
    take(fixture, &fixture->send, 1);
    expect_metric(fixture, "_total{result=\"unmatched\"}", 1);
    assert_int_equal(submitted_count(&fixture->store), 0);
    stop_loop(fixture);
    close_fixture(fixture);
}

static void test_signatures_are_checked_only_where_it_is_asked_for(void **state)
{
    (void)state;
    static const enum callback_signature modes[] = {SIGNATURE_AUTO, SIGNATURE_ALWAYS, SIGNATURE_NEVER};
    for (size_t i = 0; i < 3; i++) {
        struct fixture *fixture = open_fixture(modes[i]);
        take(fixture, &fixture->send, 1);
        expect_submitted(fixture, 1);
        fixture->send.block.signature[7] ^= 1;
        take(fixture, &fixture->send, 1);
        if (modes[i] == SIGNATURE_ALWAYS) {
            expect_metric(fixture, "_total{result=\"wrong_signature\"}", 1);
        } else {
            expect_submitted(fixture, 2);
        }
        assert_int_equal(submitted_count(&fixture->store), modes[i] == SIGNATURE_ALWAYS ? 1 : 2);
        stop_loop(fixture);
        close_fixture(fixture);
    }
}

static void test_while_the_inbox_is_full_they_wait_in_order_and_the_sockets_stop(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(SIGNATURE_AUTO);
    set_answer(&fixture->store, CS_EBUSY);
    for (uint64_t i = 0; i < QUEUE - 3; i++) {
        take(fixture, &fixture->send, i);
    }
    expect_metric(fixture, "_waiting", QUEUE - 3);
    assert_int_equal(atomic_load(&fixture->reading), 1);
    for (uint64_t i = QUEUE - 3; i < QUEUE; i++) {
        take(fixture, &fixture->send, i);
    }
    expect_number(&fixture->reading, 0);
    expect_metric(fixture, "_waiting", QUEUE);
    assert_int_equal(atomic_load(&fixture->refused), 0);
    take(fixture, &fixture->send, 99); /* no place any more */
    expect_number(&fixture->refused, 1);
    assert_int_equal(metric(fixture, "_total{result=\"refused\"}"), 1);
    assert_int_equal(submitted_count(&fixture->store), 0);
    set_answer(&fixture->store, CS_OK);
    expect_submitted(fixture, QUEUE);
    expect_number(&fixture->reading, 1);
    take(fixture, &fixture->send, QUEUE);
    expect_submitted(fixture, QUEUE + 1);
    for (size_t i = 0; i <= QUEUE; i++) {
        assert_int_equal(fixture->store.submitted[i].payment.amount.low, i);
    }
    expect_metric(fixture, "_waiting", 0);
    stop_loop(fixture);
    close_fixture(fixture);
}

static void test_what_the_store_refuses_is_told(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(SIGNATURE_AUTO);
    take(fixture, &fixture->send, 1);
    expect_submitted(fixture, 1);
    commit(&fixture->store, CS_EFULL, STORE_PAYMENT_STORED); /* the disk filled up under way */
    expect_number(&fixture->refused, 1);
    set_answer(&fixture->store, CS_EFULL);
    take(fixture, &fixture->send, 2);
    expect_number(&fixture->refused, 2);
    set_answer(&fixture->store, CS_ECLOSED);
    take(fixture, &fixture->send, 3);
    expect_metric(fixture, "_total{result=\"closed\"}", 1);
    assert_int_equal(metric(fixture, "_total{result=\"refused\"}"), 2);
    assert_int_equal(metric(fixture, "_total{result=\"stored\"}"), 0);
    stop_loop(fixture);
    close_fixture(fixture);
}

static void test_the_writer_may_be_done_after_the_loop_is(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture(SIGNATURE_AUTO);
    take(fixture, &fixture->send, 1);
    take(fixture, &fixture->send, 2);
    expect_submitted(fixture, 2);
    set_answer(&fixture->store, CS_EBUSY);
    take(fixture, &fixture->send, 3);
    expect_metric(fixture, "_waiting", 1);
    stop_loop(fixture);
    commit(&fixture->store, CS_OK, STORE_PAYMENT_STORED);
    commit(&fixture->store, CS_EFULL, STORE_PAYMENT_STORED);
    assert_int_equal(atomic_load(&fixture->refused), 0);
    assert_int_equal(metric(fixture, "_total{result=\"refused\"}"), 1);
    close_fixture(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_send_to_a_known_address_goes_into_the_store),
        cmocka_unit_test(test_what_pays_nobody_here_does_not_reach_the_store),
        cmocka_unit_test(test_signatures_are_checked_only_where_it_is_asked_for),
        cmocka_unit_test(test_while_the_inbox_is_full_they_wait_in_order_and_the_sockets_stop),
        cmocka_unit_test(test_what_the_store_refuses_is_told),
        cmocka_unit_test(test_the_writer_may_be_done_after_the_loop_is),
    };
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
