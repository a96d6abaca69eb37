#include "node/nano_filter.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define LEAST_SLOTS 64

/* An account keeps its place while anything is known of it; `queued` says that its place is in the queue. */
struct entry {
    uint8_t account[32];
    bool used, wanted, told, queued;
};

struct nano_filter {
    struct entry *entries;
    size_t entries_most, entries_used, wanted;
    uint32_t *free; /* places of `entries` that are not in use, a stack */
    size_t free_count;
    uint32_t *slots; /* open addressing by account: a place + 1, 0 is empty; a power of two of them */
    size_t slots_most, slots_used;
    uint32_t *queue; /* a ring of places, as large as `entries` */
    size_t queue_first, queue_count;
    uint8_t key[crypto_shorthash_KEYBYTES]; /* accounts are chosen by others */
};

struct nano_filter *nano_filter_open(void)
{
    struct nano_filter *filter = cs_alloc(sizeof(*filter));
    randombytes_buf(filter->key, sizeof(filter->key));
    filter->slots_most = LEAST_SLOTS;
    filter->slots = cs_alloc(filter->slots_most * sizeof(filter->slots[0]));
    return filter;
}

void nano_filter_close(struct nano_filter *filter)
{
    free(filter->entries);
    free(filter->free);
    free(filter->slots);
    free(filter->queue);
    free(filter);
}

size_t nano_filter_count(const struct nano_filter *filter)
{
    return filter->wanted;
}

size_t nano_filter_waiting(const struct nano_filter *filter)
{
    return filter->queue_count;
}

/* ---- the index ----------------------------------------------------------------------------------------- */

static size_t home_of(const struct nano_filter *filter, const uint8_t account[32])
{
    uint64_t hash;
    uint8_t bytes[crypto_shorthash_BYTES];
    static_assert(sizeof(bytes) == sizeof(hash), "a 64-bit hash");
    crypto_shorthash(bytes, account, 32, filter->key);
    memcpy(&hash, bytes, sizeof(hash));
    return (size_t)hash & (filter->slots_most - 1);
}

/* The account's slot, or the empty one where it belongs. */
static size_t slot_of(const struct nano_filter *filter, const uint8_t account[32])
{
    size_t slot = home_of(filter, account);
    while (filter->slots[slot] != 0 &&
           memcmp(filter->entries[filter->slots[slot] - 1].account, account, 32) != 0) {
        slot = (slot + 1) & (filter->slots_most - 1);
    }
    return slot;
}

static void widen_slots(struct nano_filter *filter)
{
    free(filter->slots);
    filter->slots_most *= 2;
    filter->slots = cs_alloc(filter->slots_most * sizeof(filter->slots[0]));
    for (size_t place = 0; place < filter->entries_used; place++) {
        if (filter->entries[place].used) {
            filter->slots[slot_of(filter, filter->entries[place].account)] = (uint32_t)place + 1;
        }
    }
}

/* Moves up what was pushed past the slot, so that no search ends too early. */
static void empty_slot(struct nano_filter *filter, size_t slot)
{
    size_t mask = filter->slots_most - 1, hole = slot;
    filter->slots[hole] = 0;
    for (size_t next = (hole + 1) & mask; filter->slots[next] != 0; next = (next + 1) & mask) {
        size_t home = home_of(filter, filter->entries[filter->slots[next] - 1].account);
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            filter->slots[hole] = filter->slots[next];
            filter->slots[next] = 0;
            hole = next;
        }
    }
    filter->slots_used--;
}

/* ---- places and the queue ------------------------------------------------------------------------------ */

static void widen_entries(struct nano_filter *filter)
{
    size_t most = filter->entries_most == 0 ? LEAST_SLOTS : 2 * filter->entries_most;
    assert(most < UINT32_MAX);
    filter->entries = cs_realloc(filter->entries, most * sizeof(filter->entries[0]));
    filter->free = cs_realloc(filter->free, most * sizeof(filter->free[0]));
    uint32_t *queue = cs_alloc(most * sizeof(queue[0]));
    for (size_t i = 0; i < filter->queue_count; i++) {
        assert(filter->entries_most > 0);
        queue[i] = filter->queue[(filter->queue_first + i) % filter->entries_most];
    }
    free(filter->queue);
    filter->queue = queue;
    filter->queue_first = 0;
    filter->entries_most = most;
}

static uint32_t add_entry(struct nano_filter *filter, const uint8_t account[32])
{
    if (2 * (filter->slots_used + 1) > filter->slots_most) {
        widen_slots(filter);
    }
    if (filter->free_count == 0 && filter->entries_used == filter->entries_most) {
        widen_entries(filter);
    }
    uint32_t place =
        filter->free_count > 0 ? filter->free[--filter->free_count] : (uint32_t)filter->entries_used++;
    filter->entries[place] = (struct entry){.used = true};
    memcpy(filter->entries[place].account, account, 32);
    filter->slots[slot_of(filter, account)] = place + 1;
    filter->slots_used++;
    return place;
}

/* Nothing is known of it any more, unless its place still waits in the queue. */
static void drop_if_idle(struct nano_filter *filter, uint32_t place)
{
    struct entry *entry = &filter->entries[place];
    if (!entry->wanted && !entry->told && !entry->queued) {
        empty_slot(filter, slot_of(filter, entry->account));
        entry->used = false;
        filter->free[filter->free_count++] = place;
    }
}

static void enqueue(struct nano_filter *filter, uint32_t place)
{
    if (!filter->entries[place].queued) {
        assert(filter->queue_count < filter->entries_most);
        filter->entries[place].queued = true;
        filter->queue[(filter->queue_first + filter->queue_count) % filter->entries_most] = place;
        filter->queue_count++;
    }
}

static uint32_t dequeue(struct nano_filter *filter)
{
    uint32_t place = filter->queue[filter->queue_first];
    filter->queue_first = (filter->queue_first + 1) % filter->entries_most;
    filter->queue_count--;
    filter->entries[place].queued = false;
    return place;
}

/* ---- what is watched ----------------------------------------------------------------------------------- */

void nano_filter_watch(struct nano_filter *filter, const uint8_t account[32], bool added)
{
    size_t slot = slot_of(filter, account);
    if (filter->slots[slot] == 0 && !added) {
        return;
    }
    uint32_t place = filter->slots[slot] != 0 ? filter->slots[slot] - 1 : add_entry(filter, account);
    struct entry *entry = &filter->entries[place];
    if (entry->wanted == added) {
        return;
    }
    entry->wanted = added;
    if (added) {
        filter->wanted++;
    } else {
        filter->wanted--;
    }
    if (entry->wanted != entry->told) {
        enqueue(filter, place);
    }
}

void nano_filter_forget(struct nano_filter *filter)
{
    while (filter->queue_count > 0) {
        (void)dequeue(filter);
    }
    for (size_t place = 0; place < filter->entries_used; place++) {
        struct entry *entry = &filter->entries[place];
        if (entry->used) {
            entry->told = false;
            if (entry->wanted) {
                enqueue(filter, (uint32_t)place);
            }
            drop_if_idle(filter, (uint32_t)place);
        }
    }
}

static void open_changes(struct nano_filter_changes *changes, size_t most)
{
    size_t size = (most > 0 ? most : 1) * sizeof(changes->add[0]);
    *changes = (struct nano_filter_changes){.add = cs_alloc(size), .remove = cs_alloc(size)};
}

void nano_filter_take(struct nano_filter *filter, size_t most, struct nano_filter_changes *changes)
{
    open_changes(changes, most);
    while (filter->queue_count > 0 && changes->add_count + changes->remove_count < most) {
        uint32_t place = dequeue(filter);
        struct entry *entry = &filter->entries[place];
        if (entry->wanted != entry->told) { /* it may have changed to and fro */
            uint8_t *to =
                entry->wanted ? changes->add[changes->add_count++] : changes->remove[changes->remove_count++];
            memcpy(to, entry->account, 32);
            entry->told = entry->wanted;
        }
        drop_if_idle(filter, place);
    }
}

void nano_filter_take_all(struct nano_filter *filter, struct nano_filter_changes *changes)
{
    nano_filter_forget(filter);
    nano_filter_take(filter, filter->queue_count, changes);
}

void nano_filter_drop(struct nano_filter_changes *changes)
{
    free(changes->add);
    free(changes->remove);
    *changes = (struct nano_filter_changes){0};
}
