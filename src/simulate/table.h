/*
 * table: from 32-byte keys (hashes, public keys) to a number each. Keys are taken for evenly spread: they are hashes, or as good as.
 * A value type on the heap: one thread at a time.
 */
#ifndef COINSLOT_SIMULATE_TABLE_H
#define COINSLOT_SIMULATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_NONE UINT32_MAX

struct table_entry;

struct table {
    struct table_entry *entries;
    size_t room, count;
};

void table_init(struct table *table);
void table_fini(struct table *table);
void table_copy(struct table *copy, const struct table *table);

/* TABLE_NONE: it is not there. */
uint32_t table_find(const struct table *table, const uint8_t key[32]);
/* In the place of an older value. `value` is not TABLE_NONE. */
void table_put(struct table *table, const uint8_t key[32], uint32_t value);
void table_remove(struct table *table, const uint8_t key[32]);

#endif
