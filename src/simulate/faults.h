/*
 * faults: how badly the make-believe node behaves, each fault by its name. A value type: one thread at a time.
 */
#ifndef COINSLOT_SIMULATE_FAULTS_H
#define COINSLOT_SIMULATE_FAULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "simulate/chance.h"

enum fault {
    FAULT_LOSE_CALLBACKS,   /* percent of the callbacks are never made */
    FAULT_LOSE_WS,          /* percent of the announcements reach no WebSocket */
    FAULT_REPEAT_CALLBACKS, /* percent of the callbacks are made twice */
    FAULT_REPEAT_WS,        /* percent of the WebSocket messages are sent twice */
    FAULT_RPC_ERRORS,       /* percent of the calls are answered with {"error": …} */
    FAULT_RPC_STATUS,       /* this status instead of 200, with a body that is no JSON; 0: none */
    FAULT_RPC_CUTS,         /* percent of the calls are hung up on */
    FAULT_RPC_GARBAGE,      /* percent of the answers are cut in the middle of the JSON */
    FAULT_RPC_DELAY_MS,     /* each answer takes so long */
    FAULT_RPC_STALL,        /* 1: calls are taken and not answered, until it is 0 again */
    FAULT_RPC_LAG_MS,       /* what happened in the last so many ms is not known to the RPC */
    FAULT_WS_REFUSE,        /* 1: WebSocket connections are closed as soon as they are made */
    FAULT_WS_STALL,         /* 1: they are taken, and nothing is said on them, not even an ack */
    FAULT_WS_NO_UPDATE,     /* 1: `update` is ignored, as by some providers */
    FAULT_WS_DROP_EVERY_MS, /* all WebSocket connections are cut that often */
};
#define FAULT_COUNT 15

struct faults {
    unsigned value[FAULT_COUNT];
    uint64_t until_ns[FAULT_COUNT]; /* 0: for good */
    struct chance chance;
};

/* NULL beyond the last one. */
const char *faults_name(unsigned fault);

/* "lose_callbacks", "30". CS_ENOTFOUND: there is no such fault; CS_EINVAL: the value is none, or beyond what the fault takes. */
CS_MUST_CHECK enum cs_err faults_set(struct faults *faults, const char *name, const char *value,
                                     uint64_t until_ns);

/* 0 once its time is over. */
unsigned faults_get(const struct faults *faults, enum fault fault);
/* Rolls the dice for a fault that is a percentage. */
bool faults_strike(struct faults *faults, enum fault fault);

/* All of them, as texts by name. */
json_t *faults_print(const struct faults *faults);

#endif
