/*
 * exchange: X25519 key pairs, made ahead. Each connection is greeted with a new one, and making it takes longer than all else that a greeting
 * does: it is done on libuv's pool, some hundred at a time, so that the push thread has them at hand when many devices connect at once.
 *
 * Owned by the push thread. A pair is given once; none is kept anywhere else.
 */
#ifndef COINSLOT_PUSH_EXCHANGE_H
#define COINSLOT_PUSH_EXCHANGE_H

#include <uv.h>

#include "push/device_proof.h"

struct exchange_pair {
    uint8_t public_key[PROOF_EXCHANGE_SIZE], secret_key[PROOF_EXCHANGE_SIZE];
};

struct exchange;

/* Makes the first of them at once. */
struct exchange *exchange_open(uv_loop_t *loop);
/* When none is at hand it is made here and now. */
void exchange_take(struct exchange *exchange, struct exchange_pair *pair);
/* No more are made. What is under way ends while the loop runs. */
void exchange_stop(struct exchange *exchange);
void exchange_close(struct exchange *exchange); /* the loop has ended */

#endif
