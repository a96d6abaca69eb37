/*
 * block: a Nano block, its hash and its signature, as the node checks them.
 * Pure: any thread, no heap but the parser's, no I/O.
 */
#ifndef COINSLOT_VERIFY_BLOCK_H
#define COINSLOT_VERIFY_BLOCK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json_scan.h"
#include "payment/address.h"
#include "payment/amount.h"
#include "verify/layout.h"

#define BLOCK_ERROR_SIZE 160

/*
 * Reads the node's JSON form (every value a string; legacy balances are 32 hex digits, a state block's
 * decimal). Fields that are not the block's own (`subtype`, `hash`) are ignored. CS_EINVAL when it is
 * malformed, CS_ECONFLICT when `link_as_account` contradicts `link`; the field and what is wrong with it in
 * `error`, in words fit for whoever sent it.
 */
CS_MUST_CHECK enum cs_err block_read(struct json_view object, struct block *block,
                                     char error[BLOCK_ERROR_SIZE]);

/* As the node prints it: owned by the caller, keys in the node's order. */
json_t *block_to_json(const struct block *block);

/* BLAKE2b-256 over the type's hashables (nano-node, nano/lib/blocks.cpp; docs.nano.org, "Blocks
 * specifications"). */
void block_hash(const struct block *block, uint8_t hash[32]);

/*
 * Ed25519 with BLAKE2b-512 over `hash`, accepting exactly what the node accepts: S needs only its top three
 * bits clear, so S + L passes too. By far the dearest thing that a payment takes.
 */
bool block_signature_valid(const uint8_t hash[32], const uint8_t signature[64], const uint8_t key[32]);

const char *block_type_text(enum block_type type);

#endif
