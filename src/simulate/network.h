/*
 * network: a make-believe Nano network in memory: accounts, their chains, really hashed and signed blocks.
 * Pure: no I/O, no clock; one thread at a time; all of it comes from the seed, and nothing is kept.
 * Only proof of work is make-believe: random digits of the right form, for nobody who is told of a confirmed
 * block checks it.
 */
#ifndef COINSLOT_SIMULATE_NETWORK_H
#define COINSLOT_SIMULATE_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "payment/amount.h"
#include "simulate/sign.h"
#include "verify/notice.h"

struct network;

/* How a block is written. A chain that has a state block takes no legacy block any more. */
enum network_style { NETWORK_STATE, NETWORK_LEGACY };

#define NETWORK_GENESIS         0 /* this account begins with all the money there is: 2^128 - 1 raw */
#define NETWORK_RECEIVABLE_MOST 8 /* for each account; more have to be received first */

/* Accounts have the numbers 0 … accounts - 1, their keys are the seed's keys of these numbers. At least the
 * genesis. */
struct network *network_open(const uint8_t seed[32], size_t accounts);
void network_close(struct network *network);

/* Called for each block that comes onto a chain, from within the call that makes it, and at once for the genesis's open. */
typedef void (*network_made)(void *context, const struct notice *notice);
void network_watch(struct network *network, network_made made, void *context);

/* Any key of the seed's. */
void network_derive_key(const struct network *network, uint32_t index, struct sign_key *key);

/* One more account, of any key; returns its number. */
size_t network_add_account(struct network *network, const struct sign_key *key);

const uint8_t *network_key(const struct network *network, size_t account); /* 32 bytes */
struct amount network_balance(const struct network *network, size_t account);
bool network_is_open(const struct network *network, size_t account);
size_t network_receivable_count(const struct network *network, size_t account);

/*
 * Each makes one block on the chain of `account`, and what a node would tell of it.
 * CS_ECONFLICT: the chain is not open, the money does not suffice, nothing is sent, or the style is past.
 */
CS_MUST_CHECK enum cs_err network_send(struct network *network, size_t account, enum network_style style,
                                       const uint8_t to[32], struct amount amount, struct notice *notice);
/* A send to one of our own, who can then receive it. CS_EBUSY: it has to receive others first. */
CS_MUST_CHECK enum cs_err network_transfer(struct network *network, size_t account, enum network_style style,
                                           size_t to, struct amount amount, struct notice *notice);
/* The oldest of what waits; an account's first is its open. CS_ENOTFOUND: nothing waits. */
CS_MUST_CHECK enum cs_err network_receive(struct network *network, size_t account, enum network_style style,
                                          struct notice *notice);
/* The same of any send to the account; the caller knows that it waits. */
CS_MUST_CHECK enum cs_err network_receive_from(struct network *network, size_t account,
                                               enum network_style style, const uint8_t source[32],
                                               struct amount amount, struct notice *notice);
CS_MUST_CHECK enum cs_err network_change(struct network *network, size_t account, enum network_style style,
                                         const uint8_t representative[32], struct notice *notice);

/* Like network_send, but the block is not put on the chain: it never happened. */
CS_MUST_CHECK enum cs_err network_draft_send(struct network *network, size_t account,
                                             enum network_style style, const uint8_t to[32],
                                             struct amount amount, struct notice *notice);

#endif
