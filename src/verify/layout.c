#include "verify/layout.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static uint8_t *put(uint8_t *at, const uint8_t *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

size_t block_hashables(const struct block *block, uint8_t bytes[BLOCK_HASHABLES_MOST])
{
    static const uint8_t STATE_PREAMBLE[32] = {[31] = 6};
    uint8_t balance[16], *at = bytes;
    amount_to_bytes(block->balance, balance);
    switch (block->type) {
    case BLOCK_STATE:
        at = put(at, STATE_PREAMBLE, 32);
        at = put(at, block->account, 32);
        at = put(at, block->previous, 32);
        at = put(at, block->representative, 32);
        at = put(at, balance, 16);
        at = put(at, block->link, 32);
        break;
    case BLOCK_SEND:
        at = put(at, block->previous, 32);
        at = put(at, block->link, 32);
        at = put(at, balance, 16);
        break;
    case BLOCK_RECEIVE:
        at = put(at, block->previous, 32);
        at = put(at, block->link, 32);
        break;
    case BLOCK_OPEN:
        at = put(at, block->link, 32);
        at = put(at, block->representative, 32);
        at = put(at, block->account, 32);
        break;
    case BLOCK_CHANGE:
        at = put(at, block->previous, 32);
        at = put(at, block->representative, 32);
        break;
    }
    return (size_t)(at - bytes);
}

/* nano-node, nano/lib/blocks.hpp, enum class block_type: the numbers never change, for the network speaks
 * them. */
static uint8_t type_number(enum block_type type)
{
    switch (type) {
    case BLOCK_SEND:
        return 2;
    case BLOCK_RECEIVE:
        return 3;
    case BLOCK_OPEN:
        return 4;
    case BLOCK_CHANGE:
        return 5;
    case BLOCK_STATE:
        return 6;
    }
    return 0;
}

static bool type_of_number(uint8_t number, enum block_type *type)
{
    static const enum block_type TYPES[] = {BLOCK_STATE, BLOCK_SEND, BLOCK_RECEIVE, BLOCK_OPEN, BLOCK_CHANGE};
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (type_number(TYPES[i]) == number) {
            *type = TYPES[i];
            return true;
        }
    }
    return false;
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* Whether all that the block's type does not have is zero. */
static bool is_bare(const struct block *block)
{
    bool account = true, previous = true, representative = true, balance = true, link = true;
    switch (block->type) {
    case BLOCK_STATE:
        break;
    case BLOCK_SEND:
        account = representative = false;
        break;
    case BLOCK_RECEIVE:
        account = representative = balance = false;
        break;
    case BLOCK_OPEN:
        previous = balance = false;
        break;
    case BLOCK_CHANGE:
        account = balance = link = false;
        break;
    }
    return (account || is_zero(block->account, 32)) && (previous || is_zero(block->previous, 32)) &&
           (representative || is_zero(block->representative, 32)) &&
           (balance || amount_is_zero(block->balance)) && (link || is_zero(block->link, 32));
}

static const uint8_t *take(const uint8_t *at, uint8_t *bytes, size_t count)
{
    memcpy(bytes, at, count);
    return at + count;
}

void block_pack(const struct block *block, uint8_t bytes[BLOCK_PACKED_SIZE])
{
    uint8_t *at = bytes, balance[16];
    assert(is_bare(block));
    amount_to_bytes(block->balance, balance);
    *at++ = type_number(block->type);
    at = put(at, block->account, 32);
    at = put(at, block->previous, 32);
    at = put(at, block->representative, 32);
    at = put(at, balance, 16);
    at = put(at, block->link, 32);
    at = put(at, block->signature, 64);
    for (int shift = 56; shift >= 0; shift -= 8) {
        *at++ = (uint8_t)(block->work >> shift);
    }
    assert(at == bytes + BLOCK_PACKED_SIZE);
}

enum cs_err block_unpack(const uint8_t bytes[BLOCK_PACKED_SIZE], struct block *block)
{
    struct block read = {0};
    uint8_t balance[16];
    const uint8_t *at = bytes;
    if (!type_of_number(*at++, &read.type)) {
        return CS_EINVAL;
    }
    at = take(at, read.account, 32);
    at = take(at, read.previous, 32);
    at = take(at, read.representative, 32);
    at = take(at, balance, 16);
    at = take(at, read.link, 32);
    at = take(at, read.signature, 64);
    for (int i = 0; i < 8; i++) {
        read.work = read.work << 8 | *at++;
    }
    read.balance = amount_from_bytes(balance);
    if (!is_bare(&read)) {
        return CS_EINVAL;
    }
    *block = read;
    return CS_OK;
}
