#include "core/proof.h"

#include <string.h>

static void hash_of(const struct core *core, const struct block *block, uint8_t hash[CORE_HASH_SIZE])
{
    uint8_t bytes[BLOCK_HASHABLES_MOST];
    const struct core_bytes part = {bytes, block_hashables(block, bytes)};
    core->crypto->blake2b(core->crypto->context, &part, 1, NULL, 0, hash, CORE_HASH_SIZE);
}

static bool equal(const uint8_t a[CORE_KEY_SIZE], const uint8_t b[CORE_KEY_SIZE])
{
    return memcmp(a, b, CORE_KEY_SIZE) == 0;
}

static bool is_among(const uint8_t (*addresses)[CORE_KEY_SIZE], unsigned count,
                     const uint8_t key[CORE_KEY_SIZE])
{
    for (unsigned i = 0; i < count; i++) {
        if (equal(addresses[i], key)) {
            return true;
        }
    }
    return false;
}

/* Those that were provisioned, and nothing else where there are any; else all that a payment under way may have been for. */
static bool is_own_address(const struct core *core, const uint8_t key[CORE_KEY_SIZE])
{
    const struct core_memory *memory = &core->memory;
    const struct core_frame *frame = &core->frame;
    const struct core_config *configs[] = {&memory->current, &memory->before, &frame->config};
    const bool there[] = {memory->current.version > 0, memory->before.version > 0, frame->has_config};
    if (core->identity.address_count > 0) {
        return is_among(core->identity.addresses, core->identity.address_count, key);
    }
    for (unsigned i = 0; i < 3; i++) {
        if (there[i] && is_among(configs[i]->addresses, configs[i]->address_count, key)) {
            return true;
        }
    }
    return false;
}

/*
 * Who sent it. A legacy send does not name its account: there the payment does, and that it is right shows when the signature of the block
 * before is this account's too.
 */
static const uint8_t *sender_of(const struct core_payment *payment, const struct block *block)
{
    if (block->type == BLOCK_STATE) {
        return block->account;
    }
    return block->type == BLOCK_SEND && payment->has_from ? payment->from : NULL;
}

static bool signed_by(const struct core *core, const struct block *block,
                      const uint8_t account[CORE_KEY_SIZE])
{
    uint8_t hash[CORE_HASH_SIZE];
    hash_of(core, block, hash);
    return core->crypto->nano_verify(core->crypto->context, hash, block->signature, account);
}

/* The block before, which says what the account had. */
static enum core_reason check_previous(const struct core *core, const struct block *block,
                                       const struct block *previous, const uint8_t sender[CORE_KEY_SIZE])
{
    uint8_t hash[CORE_HASH_SIZE];
    hash_of(core, previous, hash);
    if (!equal(hash, block->previous)) {
        return CORE_PROOF_WRONG;
    }
    switch (previous->type) {
    case BLOCK_STATE:
        return equal(previous->account, sender) ? CORE_GRANTED : CORE_PROOF_WRONG;
    case BLOCK_SEND:
        return signed_by(core, previous, sender) ? CORE_GRANTED : CORE_PROOF_WRONG;
    case BLOCK_RECEIVE:
    case BLOCK_OPEN:
    case BLOCK_CHANGE:
        return CORE_UNPROVABLE;
    }
    return CORE_PROOF_WRONG;
}

enum core_reason core_proof_check(const struct core *core)
{
    const struct core_payment *payment = &core->frame.payment;
    struct block block, previous;
    struct amount amount;
    uint8_t hash[CORE_HASH_SIZE];
    if (!payment->has_proof) {
        return CORE_NO_PROOF;
    }
    if (block_unpack(payment->block, &block) != CS_OK ||
        block_unpack(payment->previous, &previous) != CS_OK) {
        return CORE_PROOF_WRONG;
    }
    const uint8_t *sender = sender_of(payment, &block);
    hash_of(core, &block, hash);
    if (sender == NULL || payment->output != 0 || !equal(hash, payment->hash) ||
        !is_own_address(core, block.link) || (payment->has_from && !equal(payment->from, sender))) {
        return CORE_PROOF_WRONG;
    }
    enum core_reason reason = check_previous(core, &block, &previous, sender);
    if (reason != CORE_GRANTED) {
        return reason;
    }
    if (!amount_subtract(previous.balance, block.balance, &amount) ||
        amount_compare(amount, payment->amount) != 0 || amount_is_zero(amount)) {
        return CORE_PROOF_WRONG;
    }
    return core->crypto->nano_verify(core->crypto->context, hash, block.signature, sender) ? CORE_GRANTED
                                                                                           : CORE_PROOF_WRONG;
}
