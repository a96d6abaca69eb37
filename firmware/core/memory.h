/* memory: what a meter must not forget, and how it changes. Nothing is written here: store.h does that. Pure. */
#ifndef COINSLOT_FIRMWARE_CORE_MEMORY_H
#define COINSLOT_FIRMWARE_CORE_MEMORY_H

#include "core/core_struct.h"

void core_memory_init(struct core_memory *memory);

/* Stands for (chain, hash, output) in what is known. */
void core_memory_payment_key(const struct core_crypto *crypto, const uint8_t hash[CORE_HASH_SIZE],
                             uint32_t output, uint8_t key[CORE_PAYMENT_KEY]);
/* False: this payment is new here. */
bool core_memory_find(const struct core_memory *memory, const uint8_t key[CORE_PAYMENT_KEY], uint32_t *value);
/* Among the granted or the refused, by its value; the oldest makes room. */
void core_memory_know(struct core_memory *memory, const uint8_t key[CORE_PAYMENT_KEY], uint32_t value);
void core_ring_put(struct core_ring *ring, const struct core_known *known);
/* The i-th of those that are kept, the oldest first. */
const struct core_known *core_ring_at(const struct core_ring *ring, unsigned i);

/* `seq` is above all others; the oldest makes room. */
void core_memory_keep_outcome(struct core_memory *memory, uint64_t seq, uint32_t value);
void core_memory_drop_outcome(struct core_memory *memory, uint64_t seq);

/* False when it is no newer than the one that is there. */
bool core_memory_take_config(struct core_memory *memory, const struct core_config *config);
/* Another store counts its configs by itself: what this one called by a number may be something else there. */
void core_memory_take_epoch(struct core_memory *memory, const char *epoch);

#endif
