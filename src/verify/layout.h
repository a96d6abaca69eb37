/*
 * layout: a Nano block as bytes: what of it is hashed, and its packed form.
 * Pure: any thread, no heap, no cryptography (the firmware compiles this file too).
 */
#ifndef COINSLOT_VERIFY_LAYOUT_H
#define COINSLOT_VERIFY_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "payment/amount.h"

enum block_type { BLOCK_STATE, BLOCK_SEND, BLOCK_RECEIVE, BLOCK_OPEN, BLOCK_CHANGE };

struct block {
    enum block_type type;
    uint8_t account[32];        /* state, open; elsewhere zero: a legacy block does not name its account */
    uint8_t previous[32];       /* zero on open */
    uint8_t representative[32]; /* state, open, change */
    struct amount balance;      /* state, send: what the account has left after this block */
    uint8_t link[32]; /* state: the link; send: the destination's key; receive, open: the source's hash */
    uint8_t signature[64];
    uint64_t work;
};

#define BLOCK_PACKED_SIZE    217 /* see block_pack */
#define BLOCK_HASHABLES_MOST 176

/* What BLAKE2b-256 of is the block's hash, by its type (nano-node, nano/lib/blocks.cpp); how many bytes there are. */
size_t block_hashables(const struct block *block, uint8_t bytes[BLOCK_HASHABLES_MOST]);

/*
 * The block in fixed-width binary, for the store and for a proof to a device: type (1 byte, the node's own number), account (32),
 * previous (32), representative (32), balance (16), link (32), signature (64), work (8); numbers big-endian.
 * What the type has not is zero. Unpacking accepts only what packing makes.
 */
void block_pack(const struct block *block, uint8_t bytes[BLOCK_PACKED_SIZE]);
CS_MUST_CHECK enum cs_err block_unpack(const uint8_t bytes[BLOCK_PACKED_SIZE], struct block *block);

#endif
