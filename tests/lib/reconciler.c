#include "lib/reconciler.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "lib/wire.h"

#define WAIT_NS 60000000000u

static void on_found(void *context, const struct payment *payment, bool stored)
{
    struct reconciler *reconciler = context;
    (void)payment;
    reconciler->found++;
    reconciler->found_first += stored;
}

static void on_swept(void *context, bool whole)
{
    struct reconciler *reconciler = context;
    reconciler->swept++;
    reconciler->whole += whole;
}

static void start(struct reconciler *reconciler)
{
    char url[64], error[RPC_ERROR_SIZE];
    reconciler->writer_rests = false;
    reconciler->loop = node_loop_open(1000);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", fake_node_port(reconciler->node));
    const struct rpc_options rpc = {.url = url,
                                    .ca_file = "",
                                    .connections = 4,
                                    .timeout_ms = 5000,
                                    .waiting_most = 100,
                                    .answer_bytes_most = RPC_ANSWER_BYTES_MOST,
                                    .metrics = reconciler->fixture.metrics};
    enum cs_err err = rpc_open(&rpc, reconciler->loop, &reconciler->rpc, error);
    assert(err == CS_OK);
    (void)err;
    const struct backfill_options backfill = {.rpc = reconciler->rpc,
                                              .store = reconciler->fixture.store,
                                              .loop = reconciler->loop,
                                              .metrics = reconciler->fixture.metrics,
                                              .batch = RECONCILER_BATCH,
                                              .context = reconciler,
                                              .found = on_found,
                                              .swept = on_swept};
    reconciler->backfill = backfill_open(&backfill);
}

void reconciler_open(struct reconciler *reconciler, size_t accounts)
{
    memset(reconciler, 0, sizeof(*reconciler));
    store_fixture_open(&reconciler->fixture, 64, 4, 4);
    reconciler->node = fake_node_open(accounts);
    start(reconciler);
}

void reconciler_start(struct reconciler *reconciler)
{
    store_fixture_shut(&reconciler->fixture);
    store_fixture_reopen(&reconciler->fixture, 64, 4, 4);
    start(reconciler);
}

void reconciler_stop(struct reconciler *reconciler)
{
    node_loop_stop(reconciler->loop);
    rpc_stop(reconciler->rpc);
    store_stop(reconciler->fixture.store);
    backfill_stop(reconciler->backfill);
    node_loop_settle(reconciler->loop);
    backfill_close(reconciler->backfill);
    rpc_close(reconciler->rpc);
    node_loop_settle(reconciler->loop);
    node_loop_close(reconciler->loop);
    reconciler->backfill = NULL;
}

void reconciler_close(struct reconciler *reconciler)
{
    if (reconciler->backfill != NULL) {
        reconciler_stop(reconciler);
    }
    store_fixture_close(&reconciler->fixture);
    fake_node_close(reconciler->node);
}

struct store_device reconciler_device(struct reconciler *reconciler, size_t account, int64_t since_ms)
{
    struct store_device device = {.name = "Meter", .auth = DEVICE_AUTH_TOKEN};
    static uint8_t credential[STORE_HASH_SIZE];
    credential[0]++;
    enum cs_err err = store_create_device(reconciler->fixture.store, &device, credential);
    assert(err == CS_OK);
    struct store_subscription subscription = {.address = fake_node_account(reconciler->node, account),
                                              .since_ms = since_ms};
    memcpy(subscription.device, device.id, sizeof(device.id));
    err = store_create_subscription(reconciler->fixture.store, &subscription);
    assert(err == CS_OK);
    (void)err;
    return device;
}

void reconciler_step(struct reconciler *reconciler)
{
    uv_run(node_loop_uv(reconciler->loop), UV_RUN_NOWAIT);
    if (!reconciler->writer_rests) {
        store_fixture_settle(&reconciler->fixture);
    }
    wire_pause_ms(1);
}

bool reconciler_sweep(struct reconciler *reconciler)
{
    int swept = reconciler->swept, whole = reconciler->whole;
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    backfill_sweep(reconciler->backfill, "a test wants it");
    while (reconciler->swept == swept) {
        assert(clock_monotonic_ns() < until_ns);
        reconciler_step(reconciler);
    }
    return reconciler->whole > whole;
}

void reconciler_wait_walked(struct reconciler *reconciler, uint64_t walked)
{
    struct backfill_report report;
    uint64_t until_ns = clock_monotonic_ns() + WAIT_NS;
    do {
        assert(clock_monotonic_ns() < until_ns);
        reconciler_step(reconciler);
        backfill_report(reconciler->backfill, &report);
    } while (report.walked < walked);
}

int64_t reconciler_deliveries(struct reconciler *reconciler, const struct store_device *device)
{
    char query[200];
    snprintf(query, sizeof(query),
             "SELECT count(*) FROM delivery d JOIN device v ON v.num = d.device WHERE v.id = '%s'",
             device->id);
    return store_fixture_number(&reconciler->fixture, query);
}

struct store_completeness reconciler_completeness(struct reconciler *reconciler, size_t account)
{
    struct store_completeness found;
    struct address address = fake_node_account(reconciler->node, account);
    store_find_completeness(reconciler->fixture.store, &address, &found);
    return found;
}
