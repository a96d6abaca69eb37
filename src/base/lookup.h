/*
 * lookup: finds entries by the hash of their key, in about one look at memory however many there are.
 * Owns its slots, not the entries. Pure: the caller hashes (with a secret key, where others choose what is hashed), and brings the lock.
 */
#ifndef COINSLOT_BASE_LOOKUP_H
#define COINSLOT_BASE_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lookup_slot {
    uint64_t hash;
    void *entry; /* NULL: free */
};

/* Zeroed, it is empty. */
struct lookup {
    struct lookup_slot *slots; /* a power of two of them, at most three quarters taken */
    size_t slot_count, count;
};

void lookup_fini(struct lookup *lookup);
/* The entry with that hash of which `is` says that it has that key; NULL: there is none. */
void *lookup_find(const struct lookup *lookup, uint64_t hash, bool (*is)(const void *entry, const void *key),
                  const void *key);
/* Its key must not be there yet. */
void lookup_add(struct lookup *lookup, uint64_t hash, void *entry);
/* It must be there. */
void lookup_remove(struct lookup *lookup, uint64_t hash, const void *entry);

#endif
