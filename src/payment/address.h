/*
 * address: whom a payment is for.
 * A value type: any thread, no heap. The text form belongs to the chain; two spellings of one account are one
 * address.
 */
#ifndef COINSLOT_PAYMENT_ADDRESS_H
#define COINSLOT_PAYMENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number is what SQL stores nowhere: there and in JSON a chain goes by its name. */
enum chain { CHAIN_NANO = 1 };

#define ADDRESS_TEXT_SIZE 66 /* "nano_", 60 characters, NUL */
#define ADDRESS_BYTES_MAX 33 /* a witness version and a 32-byte program; Nano needs 32 */

struct address {
    uint8_t chain;                    /* enum chain */
    uint8_t length;                   /* of bytes: 32 on Nano, the account's public key */
    uint8_t bytes[ADDRESS_BYTES_MAX]; /* zero beyond length, so that addresses compare with memcmp */
};

/* "nano" <-> CHAIN_NANO. False, or NULL, when there is no such chain. */
bool chain_parse(const char *text, enum chain *chain);
const char *chain_text(enum chain chain);

/*
 * Nano: `nano_`, `xrb_`, `nano-` or `xrb-`, 52 characters of key and 8 of BLAKE2b-40 checksum, lower case
 * (nano-node, nano/lib/numbers.cpp, account::decode_account). False when any of it is wrong.
 */
bool address_parse(enum chain chain, const char *text, struct address *address);

/* In the chain's present form: `nano_…`. */
void address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE]);

struct address address_from_nano_key(const uint8_t key[32]);
bool address_equal(const struct address *a, const struct address *b);

#endif
