#include "crash/store_load.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "crash/store_device.h"
#include "lib/fault_random.h"
#include "lib/fault_vfs.h"

#define LOG_MODULE "load"

#define PAYERS            3
#define OUTSTANDING_MOST  24
#define LIFE_MOST_SECONDS 60

struct life {
    const struct load_options *options;
    struct load_shared *shared;
    struct fault_vfs *vfs;
    struct store *store;
    struct crash_device *device;
    _Atomic uint32_t tried; /* in this life */
    _Atomic uint32_t outstanding;
    _Atomic bool done; /* the device thread may go */
};

/* One payer's view of one payment. */
struct attempt {
    struct life *life;
    uint32_t number;
};

void load_payment(uint64_t seed, uint32_t number, struct payment *payment)
{
    uint64_t random = seed * 1000003 + number;
    static const uint8_t KEY[32] = {1, 2, 3};
    *payment = (struct payment){.source = SOURCE_CALLBACK, .amount = {0, number + 1u}};
    for (size_t i = 0; i < sizeof(payment->hash); i += 8) {
        uint64_t word = fault_random(&random);
        memcpy(payment->hash + i, &word, 8);
    }
    payment->from = address_from_nano_key(payment->hash);
    payment->to = address_from_nano_key(KEY);
}

static void answer(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct attempt *attempt = context;
    struct life *life = attempt->life;
    if (err == CS_OK) {
        atomic_store(&life->shared->answered[attempt->number], 1);
        if (outcome == STORE_PAYMENT_UNMATCHED) {
            snprintf(life->shared->violation, sizeof(life->shared->violation),
                     "payment %u: the subscription is gone", attempt->number);
        }
    } else {
        atomic_fetch_add(&life->shared->refused, 1);
    }
    atomic_fetch_sub(&life->outstanding, 1);
    free(attempt);
}

/* Mostly a new payment, now and then one that was tried before: as a node may notify again, answered or not.
 */
static void try_one(struct life *life, uint64_t *random)
{
    uint32_t number = atomic_load(&life->shared->next);
    if (number > 0 && fault_random_chance(random, 10)) {
        number = (uint32_t)fault_random_below(random, number);
    } else {
        number = atomic_fetch_add(&life->shared->next, 1);
    }
    assert(number < LOAD_PAYMENTS);
    struct payment payment;
    load_payment(life->options->seed, number, &payment);
    struct attempt *attempt = cs_alloc(sizeof(*attempt));
    *attempt = (struct attempt){life, number};
    uint8_t proof[200] = {0};
    atomic_fetch_add(&life->outstanding, 1);
    if (life->options->early) {
        atomic_store(&life->shared->answered[number], 1);
    }
    if (store_submit_payment(life->store, &payment, proof, sizeof(proof), NULL, 0, answer, attempt) !=
        CS_OK) {
        atomic_fetch_sub(&life->outstanding, 1);
        free(attempt);
    }
}

static void keep_outage(struct life *life, uint32_t tried)
{
    uint32_t third = life->options->payments / 3;
    if (life->options->outage && tried == third) {
        fault_vfs_set_plan(life->vfs, &life->options->plan);
    } else if (life->options->outage && tried == 2 * third) {
        atomic_store(&life->shared->calls, fault_vfs_count(life->vfs));
        fault_vfs_set_plan(life->vfs, &(struct fault_plan){0});
        atomic_store(&life->shared->refused_in_outage, atomic_exchange(&life->shared->refused, 0));
    }
}

static void *pay(void *context)
{
    struct life *life = context;
    uint64_t random = life->options->life_seed ^ (uint64_t)(uintptr_t)pthread_self();
    for (;;) {
        uint32_t tried = atomic_fetch_add(&life->tried, 1);
        if (tried >= life->options->payments) {
            return NULL;
        }
        while (atomic_load(&life->outstanding) >= OUTSTANDING_MOST) {
            usleep(20);
        }
        keep_outage(life, tried);
        try_one(life, &random);
    }
}

static void *take(void *context)
{
    struct life *life = context;
    while (!atomic_load(&life->done)) {
        crash_device_step(life->device, 20);
    }
    return NULL;
}

static void run_threads(struct life *life)
{
    pthread_t payers[PAYERS], device;
    pthread_create(&device, NULL, take, life);
    for (int i = 0; i < PAYERS; i++) {
        pthread_create(&payers[i], NULL, pay, life);
    }
    for (int i = 0; i < PAYERS; i++) {
        pthread_join(payers[i], NULL);
    }
    while (atomic_load(&life->outstanding) > 0 && !life->options->cut_at_end) {
        usleep(100);
    }
    if (life->options->cut_at_end) {
        atomic_fetch_add(&life->shared->cuts_at_end, 1);
        fault_vfs_cut(life->vfs, life->options->life_seed);
    }
    for (int i = 0; i < 1000 && !crash_device_caught_up(life->device); i++) {
        usleep(1000);
    }
    atomic_store(&life->done, true);
    pthread_join(device, NULL);
}

static void step_all(struct life *life)
{
    bool moved = true;
    for (int i = 0; i < 1000 && moved; i++) {
        moved = store_step_writer(life->store);
        moved = store_step_replayer(life->store) || moved;
        moved = crash_device_step(life->device, 0) || moved;
    }
}

static void run_by_hand(struct life *life)
{
    uint64_t random = life->options->life_seed;
    for (uint32_t tried = 0; tried < life->options->payments;) {
        uint32_t batch = 1 + (uint32_t)fault_random_below(&random, OUTSTANDING_MOST);
        for (uint32_t i = 0; i < batch && tried < life->options->payments; i++, tried++) {
            keep_outage(life, tried);
            try_one(life, &random);
        }
        if (fault_random_chance(&random, 70)) {
            step_all(life);
        } else {
            (void)store_step_writer(life->store);
        }
    }
    if (life->options->cut_at_end) {
        atomic_fetch_add(&life->shared->cuts_at_end, 1);
        fault_vfs_cut(life->vfs, life->options->life_seed);
    }
    step_all(life);
}

/* The device and its subscription; after a cut in the middle of it, what is missing. */
static void set_up(struct life *life)
{
    struct load_shared *shared = life->shared;
    if (shared->device[0] == '\0') {
        struct store_device device = {.name = "Meter", .auth = DEVICE_AUTH_TOKEN};
        uint8_t credential[STORE_HASH_SIZE] = {7};
        enum cs_err err = store_create_device(life->store, &device, credential);
        if (err != CS_OK) {
            log_die("load", "no device: %s", cs_err_text(err));
        }
        memcpy(shared->device, device.id, sizeof(shared->device));
    }
    if (!shared->subscribed) {
        struct payment payment;
        load_payment(0, 0, &payment);
        struct store_subscription subscription = {.address = payment.to};
        memcpy(subscription.device, shared->device, sizeof(subscription.device));
        enum cs_err err = store_create_subscription(life->store, &subscription);
        if (err != CS_OK && err != CS_ECONFLICT) {
            log_die("load", "no subscription: %s", cs_err_text(err));
        }
        shared->subscribed = true;
    }
    struct store_device_key key;
    if (!store_find_device(life->store, shared->device, &key)) {
        snprintf(shared->violation, sizeof(shared->violation), "the device that was answered 201 is gone");
        _exit(1);
    }
    crash_device_begin(life->device, life->store, key.device);
}

void load_live(const struct load_options *options, struct load_shared *shared)
{
    alarm(LIFE_MOST_SECONDS);
    struct life life = {.options = options, .shared = shared};
    life.vfs = fault_vfs_open(&(struct fault_vfs_options){.exit_code = LOAD_CUT_EXIT});
    if (!options->outage) {
        fault_vfs_set_plan(life.vfs, &options->plan);
    }
    struct metrics *metrics = metrics_open();
    struct store_options store_options = {
        .dir = options->dir,
        .inbox_capacity = 1024,
        .batch_most = 64,
        .window = 32,
        .page_size = 16,
        .readers = 1,
        .subscriptions_most = 4,
        .unconfirmed_most = 100,
        .wal_most_bytes = options->wal_most_bytes,
        .synchronous = options->synchronous,
        .metrics = metrics,
    };
    char error[STORE_ERROR_SIZE] = "";
    atomic_store(&shared->phase, LOAD_OPENING);
    if (store_open(&store_options, &life.store, error) != CS_OK) {
        log_error("cannot open the store: %s", error[0] != '\0' ? error : "NO REASON GIVEN");
        _exit(1);
    }
    life.device = crash_device_open(shared, options->life_seed);
    struct store_events events = crash_device_events(life.device);
    if (options->by_hand) {
        store_start_by_hand(life.store, &events);
    } else {
        store_start(life.store, &events);
    }
    atomic_store(&shared->phase, LOAD_SETTING_UP);
    set_up(&life);
    atomic_store(&shared->phase, LOAD_RUNNING);
    if (options->by_hand) {
        run_by_hand(&life);
    } else {
        run_threads(&life);
    }
    atomic_store(&shared->phase, LOAD_STOPPING);
    store_stop(life.store);
    store_close(life.store);
    crash_device_close(life.device);
    metrics_close(metrics);
    if (!options->outage) {
        atomic_store(&shared->calls, fault_vfs_count(life.vfs));
    }
    fault_vfs_close(life.vfs);
    atomic_store(&shared->phase, LOAD_ENDED);
    _exit(0);
}
