#include "simulate/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define ROOM_FIRST 16

struct table_entry {
    uint8_t key[32];
    uint32_t value; /* TABLE_NONE: free */
};

void table_init(struct table *table)
{
    *table = (struct table){NULL, 0, 0};
}

void table_fini(struct table *table)
{
    free(table->entries);
    table_init(table);
}

void table_copy(struct table *copy, const struct table *table)
{
    *copy = *table;
    if (table->room > 0) {
        copy->entries = cs_alloc(table->room * sizeof(table->entries[0]));
        memcpy(copy->entries, table->entries, table->room * sizeof(table->entries[0]));
    }
}

static size_t home_of(const struct table *table, const uint8_t key[32])
{
    uint64_t first;
    memcpy(&first, key, sizeof(first));
    return (size_t)first & (table->room - 1);
}

/* Where the key is, or where it would go. There is always a free entry. */
static size_t place_of(const struct table *table, const uint8_t key[32])
{
    size_t at = home_of(table, key);
    while (table->entries[at].value != TABLE_NONE && memcmp(table->entries[at].key, key, 32) != 0) {
        at = (at + 1) & (table->room - 1);
    }
    return at;
}

uint32_t table_find(const struct table *table, const uint8_t key[32])
{
    return table->room == 0 ? TABLE_NONE : table->entries[place_of(table, key)].value;
}

static void grow(struct table *table)
{
    struct table old = *table;
    table->room = old.room == 0 ? ROOM_FIRST : 2 * old.room;
    table->entries = cs_alloc(table->room * sizeof(table->entries[0]));
    for (size_t i = 0; i < table->room; i++) {
        table->entries[i].value = TABLE_NONE;
    }
    for (size_t i = 0; i < old.room; i++) {
        if (old.entries[i].value != TABLE_NONE) {
            table->entries[place_of(table, old.entries[i].key)] = old.entries[i];
        }
    }
    free(old.entries);
}

void table_put(struct table *table, const uint8_t key[32], uint32_t value)
{
    assert(value != TABLE_NONE);
    if (4 * (table->count + 1) > 3 * table->room) {
        grow(table);
    }
    struct table_entry *entry = &table->entries[place_of(table, key)];
    if (entry->value == TABLE_NONE) {
        memcpy(entry->key, key, 32);
        table->count++;
    }
    entry->value = value;
}

/* What was pushed on by the removed entry moves up into the hole (Knuth, TAOCP 3, 6.4, algorithm R). */
void table_remove(struct table *table, const uint8_t key[32])
{
    if (table_find(table, key) == TABLE_NONE) {
        return;
    }
    size_t mask = table->room - 1, hole = place_of(table, key);
    for (size_t at = (hole + 1) & mask; table->entries[at].value != TABLE_NONE; at = (at + 1) & mask) {
        size_t home = home_of(table, table->entries[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->entries[hole] = table->entries[at];
            hole = at;
        }
    }
    table->entries[hole].value = TABLE_NONE;
    table->count--;
}
