/*
 * bench: one run of the load generator: its options, its books, and the two interfaces that each system is spoken to by: as who pays, and
 * as the devices. One thread. Whatever goes wrong ends the run with exit code 1.
 */
#ifndef COINSLOT_BENCH_BENCH_H
#define COINSLOT_BENCH_BENCH_H

#include <jansson.h>

#include "bench/loop.h"
#include "bench/payments.h"
#include "bench/tally.h"

struct payer_kind;
struct device_kind;

struct bench_options {
    const char *system, *scenario;
    uint16_t payer_port, device_port;
    uint32_t devices, payments;
    uint32_t first;          /* number of the first payment: another run has made those before it */
    bool everybody;          /* each payment is for all devices */
    const char *credentials; /* a line for each device: its id */
    const char *signatures;
    bool keyed;           /* devices prove themselves by key, and seal their frames */
    uint32_t connections; /* of who pays */
    uint32_t depth;       /* payments under way on each of them */
    bool per_payment;     /* a connection for each payment */
    uint32_t outstanding; /* closed loop: payments that are not acked yet */
    uint32_t rate;        /* open loop: payments a second */
    uint32_t dials;       /* devices that connect at the same time */
    double warm_s, run_s, settle_s;
    int server_pid;
};

struct bench {
    struct bench_options options;
    struct loop *loop;
    struct payments *payments;
    struct tally *tally;
    const struct payer_kind *payer_kind;
    const struct device_kind *device_kind;
    void *payer, *device;
    uint32_t next; /* payment to be made */
    uint32_t answered;
    uint32_t done;                      /* payments that were answered and received */
    uint32_t ready;                     /* devices that are connected */
    uint64_t acks_wanted, acks_had;     /* where acks are answered */
    bool patient;                       /* a device whose connection fails is not the end, but */
    uint32_t turned_away;               /* this one */
    int64_t *intended_ns, *received_ns; /* of each payment; 0: not */
};

/* The side of who pays. It may connect at its leisure: `pay` is false until there is room. */
struct payer_kind {
    void *(*open)(struct bench *bench);
    bool (*pay)(void *payer, uint32_t payment);
    bool unanswered; /* nothing ever comes back: it counts as answered when it is written */
};

struct device_kind {
    void *(*open)(struct bench *bench);
    void (*connect)(void *devices, uint32_t device);
    void (*leave)(void *devices,
                  uint32_t device); /* as the protocol wants it, so that what comes now waits */
    bool needs_visit;               /* what is to wait for a device waits only once it was there */
};

extern const struct payer_kind PAYER_HTTP, PAYER_NODE, PAYER_REDIS, PAYER_MQTT;
extern const struct device_kind DEVICE_COINSLOT, DEVICE_LEGACY, DEVICE_REDIS, DEVICE_MQTT;

/* What the two sides tell. */
void bench_ready(struct bench *bench, uint32_t device);
void bench_answered(struct bench *bench, uint32_t payment, bool accepted);
void bench_received(struct bench *bench, uint32_t payment, uint32_t device);

/* The scenarios; each returns what it has found. */
json_t *bench_throughput(struct bench *bench);
json_t *bench_latency(struct bench *bench);
json_t *bench_connect(struct bench *bench);
json_t *bench_resume(struct bench *bench);
json_t *bench_fill(struct bench *bench);
json_t *bench_pay(struct bench *bench); /* to devices that are away */
json_t *bench_fan_out(struct bench *bench);
json_t *bench_first_push(struct bench *bench);

#endif
