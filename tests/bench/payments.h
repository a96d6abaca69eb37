/*
 * payments: what is paid in a run: really hashed blocks to the devices' addresses, told as a Nano node (V27.1) tells them. Made before
 * the run, all from a seed, so that each run has the same ones. Owns their texts; one thread.
 */
#ifndef COINSLOT_BENCH_PAYMENTS_H
#define COINSLOT_BENCH_PAYMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payment/address.h"
#include "verify/notice.h"

#define PAYMENTS_BODY_BYTES 1010
#define PAYMENTS_HASH_TEXT  64
#define PAYMENTS_TOKEN_SIZE 44
#define PAYMENTS_NONE       UINT32_MAX

struct payments;

struct payments_options {
    uint32_t count, devices;
    uint32_t first; /* of all that the seed has, the number of the first one */
    bool everybody; /* all go to one address, which all devices have */
    bool news;      /* as the node's WebSocket tells them, instead of its callback */
    /* Signatures are made once and kept in this file, which they cost 60 us each; NULL: random bytes take their place. */
    const char *signatures;
};

struct payments *payments_open(const struct payments_options *options);
void payments_close(struct payments *payments);

uint32_t payments_count(const struct payments *payments);
uint32_t payments_device(const struct payments *payments, uint32_t number);
const uint8_t *payments_body(const struct payments *payments, uint32_t number, size_t *length);

/* By the 64 digits of a hash, as the body has them. PAYMENTS_NONE: it is none of ours. */
uint32_t payments_find(const struct payments *payments, const uint8_t hash[PAYMENTS_HASH_TEXT]);
/* The same, for the first hash in a text that has it as JSON's `"hash"`. */
uint32_t payments_find_in(const struct payments *payments, const uint8_t *text, size_t length);

/* What device `number` is registered with; its address is `everybody`'s where that is so. */
struct address payments_address(uint32_t number, bool everybody);
void payments_token(uint32_t number, char token[PAYMENTS_TOKEN_SIZE]);
void payments_seed(uint32_t number, uint8_t seed[32]); /* of its Ed25519 key */

/* For the tests: the block behind a body. */
void payments_notice(const struct payments_options *options, uint32_t number, const uint8_t signature[64],
                     struct notice *notice);

#endif
