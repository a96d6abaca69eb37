/*
 * director: the action `simulate` on the make-believe node's RPC port, by which tests and people say what shall happen. The words are in
 * docs/simulated-node.md. Owns the payments that are still to be made. One thread; nothing is kept.
 */
#ifndef COINSLOT_SIMULATE_DIRECTOR_H
#define COINSLOT_SIMULATE_DIRECTOR_H

#include <jansson.h>
#include <stdint.h>

#include "simulate/faults.h"
#include "simulate/world.h"

struct director;

/* What lies outside the world. */
struct director_hooks {
    void *context;
    void (*cut_ws)(void *context);   /* without a close frame */
    void (*close_ws)(void *context); /* 1000 `Shutting down`; new connections are taken */
    void (*restart)(void *context, unsigned down_ms);
    void (*forget_callbacks)(void *context);         /* that wait to be made */
    unsigned (*told)(void *context, uint32_t block); /* the channels on which it really went out */
    void (*put_status)(void *context, json_t *status);
};

struct director *director_open(struct world *world, struct faults *faults,
                               const struct director_hooks *hooks);
void director_close(struct director *director);

/* NULL: `error` says why not. */
json_t *director_answer(struct director *director, const json_t *request, const char **error);

/* Makes the payments that are due. Returns in how many ms the next one is, at most `most_ms`. */
unsigned director_turn(struct director *director, unsigned most_ms);

#endif
