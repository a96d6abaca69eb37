#include "core/memory.h"

#include <assert.h>
#include <string.h>

void core_memory_init(struct core_memory *memory)
{
    memset(memory, 0, sizeof(*memory));
    memory->granted = (struct core_ring){.entries = memory->granted_entries, .size = CORE_GRANTED_KEPT};
    memory->refused = (struct core_ring){.entries = memory->refused_entries, .size = CORE_REFUSED_KEPT};
}

void core_memory_payment_key(const struct core_crypto *crypto, const uint8_t hash[CORE_HASH_SIZE],
                             uint32_t output, uint8_t key[CORE_PAYMENT_KEY])
{
    const uint8_t number[4] = {(uint8_t)(output >> 24), (uint8_t)(output >> 16), (uint8_t)(output >> 8),
                               (uint8_t)output};
    const struct core_bytes parts[] = {{"nano", 4}, {hash, CORE_HASH_SIZE}, {number, sizeof(number)}};
    crypto->blake2b(crypto->context, parts, 3, NULL, 0, key, CORE_PAYMENT_KEY);
}

const struct core_known *core_ring_at(const struct core_ring *ring, unsigned i)
{
    assert(i < ring->count);
    unsigned at = (unsigned)ring->next + ring->size - ring->count + i;
    return &ring->entries[at % ring->size];
}

void core_ring_put(struct core_ring *ring, const struct core_known *known)
{
    ring->entries[ring->next] = *known;
    ring->next = (uint16_t)((ring->next + 1) % ring->size);
    ring->count = (uint16_t)(ring->count + (ring->count < ring->size));
}

static bool ring_find(const struct core_ring *ring, const uint8_t key[CORE_PAYMENT_KEY], uint32_t *value)
{
    for (unsigned i = 0; i < ring->count; i++) {
        const struct core_known *known = core_ring_at(ring, i);
        if (memcmp(known->key, key, CORE_PAYMENT_KEY) == 0) {
            *value = known->value;
            return true;
        }
    }
    return false;
}

bool core_memory_find(const struct core_memory *memory, const uint8_t key[CORE_PAYMENT_KEY], uint32_t *value)
{
    return ring_find(&memory->granted, key, value) || ring_find(&memory->refused, key, value);
}

void core_memory_know(struct core_memory *memory, const uint8_t key[CORE_PAYMENT_KEY], uint32_t value)
{
    struct core_known known = {.value = value};
    memcpy(known.key, key, CORE_PAYMENT_KEY);
    core_ring_put((value & CORE_VALUE_REFUSED) != 0 ? &memory->refused : &memory->granted, &known);
}

void core_memory_keep_outcome(struct core_memory *memory, uint64_t seq, uint32_t value)
{
    if (memory->outcome_count == CORE_OUTCOMES_KEPT) {
        core_memory_drop_outcome(memory, memory->outcomes[0].seq);
    }
    memory->outcomes[memory->outcome_count++] = (struct core_outcome){seq, value};
}

void core_memory_drop_outcome(struct core_memory *memory, uint64_t seq)
{
    struct core_outcome *outcomes = memory->outcomes;
    unsigned kept = 0;
    for (unsigned i = 0; i < memory->outcome_count; i++) {
        if (outcomes[i].seq != seq) {
            outcomes[kept++] = outcomes[i];
        }
    }
    memory->outcome_count = (uint16_t)kept;
}

bool core_memory_take_config(struct core_memory *memory, const struct core_config *config)
{
    if (config->version <= memory->current.version) {
        return false;
    }
    memory->before = memory->current;
    memory->current = *config;
    return true;
}

void core_memory_take_epoch(struct core_memory *memory, const char *epoch)
{
    assert(strlen(epoch) == CORE_EPOCH_SIZE - 1);
    memcpy(memory->epoch, epoch, CORE_EPOCH_SIZE);
    memory->current.version = memory->before.version = 0;
}
