#include "base/lookup.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

#define SLOTS_LEAST 64

void lookup_fini(struct lookup *lookup)
{
    free(lookup->slots);
    *lookup = (struct lookup){0};
}

/* Where an entry with this hash would stand if nothing stood in its way; what is in its way moves it on, to the next free slot. */
static size_t home(const struct lookup *lookup, uint64_t hash)
{
    return (size_t)hash & (lookup->slot_count - 1);
}

static size_t next(const struct lookup *lookup, size_t slot)
{
    return (slot + 1) & (lookup->slot_count - 1);
}

void *lookup_find(const struct lookup *lookup, uint64_t hash, bool (*is)(const void *entry, const void *key),
                  const void *key)
{
    if (lookup->count == 0) {
        return NULL;
    }
    for (size_t i = home(lookup, hash); lookup->slots[i].entry != NULL; i = next(lookup, i)) {
        if (lookup->slots[i].hash == hash && is(lookup->slots[i].entry, key)) {
            return lookup->slots[i].entry;
        }
    }
    return NULL;
}

static void put(struct lookup *lookup, struct lookup_slot slot)
{
    size_t i = home(lookup, slot.hash);
    while (lookup->slots[i].entry != NULL) {
        i = next(lookup, i);
    }
    lookup->slots[i] = slot;
}

static void grow(struct lookup *lookup)
{
    struct lookup old = *lookup;
    lookup->slot_count = old.slot_count > 0 ? old.slot_count * 2 : SLOTS_LEAST;
    lookup->slots = cs_alloc(lookup->slot_count * sizeof(*lookup->slots));
    for (size_t i = 0; i < old.slot_count; i++) {
        if (old.slots[i].entry != NULL) {
            put(lookup, old.slots[i]);
        }
    }
    lookup_fini(&old);
}

void lookup_add(struct lookup *lookup, uint64_t hash, void *entry)
{
    assert(entry != NULL);
    if (lookup->count >= lookup->slot_count / 4 * 3) {
        grow(lookup);
    }
    put(lookup, (struct lookup_slot){hash, entry});
    lookup->count++;
}

void lookup_remove(struct lookup *lookup, uint64_t hash, const void *entry)
{
    assert(lookup->count > 0);
    size_t i = home(lookup, hash);
    while (lookup->slots[i].entry != entry) {
        assert(lookup->slots[i].entry != NULL);
        i = next(lookup, i);
    }
    lookup->slots[i].entry = NULL;
    lookup->count--;
    /* Whoever was moved on by it, or by whom it moved on, is put anew, up to the next free slot. */
    for (i = next(lookup, i); lookup->slots[i].entry != NULL; i = next(lookup, i)) {
        struct lookup_slot moved = lookup->slots[i];
        lookup->slots[i].entry = NULL;
        put(lookup, moved);
    }
}
