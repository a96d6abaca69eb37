/*
 * mimic_rpc: answers requests as a Nano V27.1 node does (recorded; docs/simulated-node.md says what comes from where).
 * Pure but for what its owner's callbacks do: no I/O, one thread, nothing is kept.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_RPC_H
#define COINSLOT_SIMULATE_MIMIC_RPC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "simulate/ledger.h"

#define MIMIC_BRACKETS_MOST 20

struct mimic_options {
    const char *node_vendor; /* "Nano V27.1" */
    void *context;
    /* The ledger to answer from, now. */
    const struct ledger *(*ledger)(void *context);
    int64_t (*uptime_s)(void *context);
    int64_t (*now_ms)(void *context);
    /* block_confirm of a known block. */
    void (*confirm)(void *context, const uint8_t hash[32]);
    /* The action `simulate`, which a node does not have: an answer, or NULL with the error in `error`. NULL: unknown. */
    json_t *(*control)(void *context, const json_t *request, const char **error);
};

/* The answer's body: owned by the caller. `action` gets the name of what was asked for, cut to size; "" where there is none. */
#define MIMIC_ACTION_SIZE 32
char *mimic_answer(const struct mimic_options *options, const char *body, size_t size,
                   char action[MIMIC_ACTION_SIZE]);

/* The body of an error. */
char *mimic_error(const char *error);

#endif
