#include "push/places.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define BUCKETS_LEAST 64

enum place_state { PLACE_WAITING, PLACE_ASKED, PLACE_LISTENING, PLACE_LEAVING };

struct place {
    enum place_state state;
    struct address address;
    struct places *places;
    struct place_owner *owner; /* NULL: it has left */
    struct place *next_of_owner;
    struct place *here_before, *here_after; /* in its bucket, while it has an owner */
    struct place *before, *after;           /* in `waiting` or in `orphans` */
};

struct list {
    struct place *first, *last;
};

struct places {
    struct places_options options;
    uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* addresses are chosen by whoever connects */
    struct place **buckets;
    size_t bucket_count, count; /* of places with an owner */
    struct list waiting;        /* WAITING and LEAVING, in their order */
    struct list orphans;        /* ASKED, whose owner has left */
    uint32_t budget;            /* commands that may still go to the store before the next places_retry */
    _Atomic int64_t listening;
};

/* ---- lists and buckets ------------------------------------------------------------------------------------------- */

static void list_append(struct list *list, struct place *place)
{
    place->before = list->last;
    place->after = NULL;
    *(list->last != NULL ? &list->last->after : &list->first) = place;
    list->last = place;
}

static void list_remove(struct list *list, struct place *place)
{
    if (place->before != NULL) {
        place->before->after = place->after;
    } else {
        list->first = place->after;
    }
    if (place->after != NULL) {
        place->after->before = place->before;
    } else {
        list->last = place->before;
    }
    place->before = place->after = NULL;
}

/* Of a list that has one. */
static struct place *list_take_first(struct list *list)
{
    struct place *place = list->first;
    list->first = place->after;
    *(list->first != NULL ? &list->first->before : &list->last) = NULL;
    place->after = NULL;
    return place;
}

static struct place **bucket_of(const struct places *places, const struct address *address)
{
    uint8_t bytes[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(bytes, address->bytes, address->length, places->hash_key);
    memcpy(&hash, bytes, sizeof(hash));
    return &places->buckets[hash & (places->bucket_count - 1)];
}

static void put_here(struct places *places, struct place *place)
{
    struct place **bucket = bucket_of(places, &place->address);
    place->here_before = NULL;
    place->here_after = *bucket;
    if (*bucket != NULL) {
        (*bucket)->here_before = place;
    }
    *bucket = place;
}

static void take_away(struct places *places, struct place *place)
{
    *(place->here_before != NULL ? &place->here_before->here_after : bucket_of(places, &place->address)) =
        place->here_after;
    if (place->here_after != NULL) {
        place->here_after->here_before = place->here_before;
    }
    places->count--;
}

static void grow(struct places *places)
{
    struct place **old = places->buckets;
    size_t old_count = places->bucket_count;
    places->bucket_count = old_count * 2;
    places->buckets = cs_alloc(places->bucket_count * sizeof(struct place *));
    for (size_t i = 0; i < old_count; i++) {
        for (struct place *place = old[i]; place != NULL;) {
            struct place *next = place->here_after;
            put_here(places, place);
            place = next;
        }
    }
    free(old);
}

struct places *places_open(const struct places_options *options)
{
    struct places *places = cs_alloc(sizeof(*places));
    places->options = *options;
    crypto_shorthash_keygen(places->hash_key);
    places->budget = PLACES_AT_ONCE;
    places->bucket_count = BUCKETS_LEAST;
    places->buckets = cs_alloc(places->bucket_count * sizeof(struct place *));
    return places;
}

static void free_all(struct list *list)
{
    while (list->first != NULL) {
        free(list_take_first(list));
    }
}

void places_close(struct places *places)
{
    assert(places->count == 0);
    free_all(&places->waiting);
    free_all(&places->orphans);
    free(places->buckets);
    free(places);
}

/* ---- what the store is told -------------------------------------------------------------------------------------- */

static bool may_tell(struct places *places)
{
    if (places->budget == 0) {
        return false;
    }
    places->budget--;
    return true;
}

/* CS_EBUSY: later. */
static enum cs_err ask(struct places *places, struct place *place)
{
    if (!may_tell(places)) {
        return CS_EBUSY;
    }
    enum cs_err err = store_submit_listen(places->options.store, &place->address, (uint64_t)(uintptr_t)place,
                                          places->options.done, places->options.context);
    if (err == CS_OK) {
        place->state = PLACE_ASKED;
    }
    return err;
}

/* CS_EBUSY: later; else that was it: a store that closes forgets its listeners by itself. */
static enum cs_err say_leave(struct places *places, const struct place *place)
{
    if (!may_tell(places)) {
        return CS_EBUSY;
    }
    return store_submit_unlisten(places->options.store, &place->address);
}

/* Has the store forget a place that has no owner any more. */
static void give_up(struct places *places, struct place *place)
{
    atomic_fetch_sub_explicit(&places->listening, 1, memory_order_relaxed);
    place->state = PLACE_LEAVING;
    if (places->waiting.first == NULL && say_leave(places, place) != CS_EBUSY) {
        free(place);
    } else {
        list_append(&places->waiting, place);
    }
}

/* Out of its owner's list, whose link to it this is. */
static struct place *take_out(struct place **link)
{
    struct place *place = *link;
    *link = place->next_of_owner;
    place->owner->count--;
    if (place->state == PLACE_WAITING || place->state == PLACE_ASKED) {
        place->owner->unsettled--;
    }
    return place;
}

static void fail(struct places *places, struct place *place, enum cs_err err)
{
    struct place_owner *owner = place->owner;
    struct place **link = &owner->first;
    while (*link != place) {
        link = &(*link)->next_of_owner;
    }
    take_out(link);
    take_away(places, place);
    free(place);
    places->options.failed(owner, err);
}

bool places_are_waiting(const struct places *places)
{
    return places->waiting.first != NULL;
}

void places_retry(struct places *places)
{
    places->budget = PLACES_AT_ONCE;
    while (places->waiting.first != NULL) {
        struct place *first = places->waiting.first;
        bool leaves = first->state == PLACE_LEAVING;
        enum cs_err err = leaves ? say_leave(places, first) : ask(places, first);
        if (err == CS_EBUSY) {
            return;
        }
        first = list_take_first(&places->waiting);
        if (leaves) {
            free(first);
        } else if (err != CS_OK) {
            fail(places, first, err);
        }
    }
}

static void take_orphan(struct places *places, struct place *place, enum cs_err err)
{
    list_remove(&places->orphans, place);
    if (err == CS_OK) {
        give_up(places, place);
    } else {
        free(place);
    }
}

void places_take_done(uint64_t handle, enum cs_err err)
{
    struct place *place = (struct place *)(uintptr_t)handle;
    struct places *places = place->places;
    struct place_owner *owner = place->owner;
    assert(place->state == PLACE_ASKED);
    if (err == CS_OK) {
        place->state = PLACE_LISTENING;
        atomic_fetch_add_explicit(&places->listening, 1, memory_order_relaxed);
    }
    if (owner == NULL) {
        take_orphan(places, place, err);
    } else if (err != CS_OK) {
        fail(places, place, err);
    } else if (--owner->unsettled == 0 && places->options.settled != NULL) {
        places->options.settled(owner);
    }
}

/* ---- coming and going -------------------------------------------------------------------------------------------- */

bool places_has(const struct places *places, const struct place_owner *owner, const struct address *address)
{
    for (const struct place *place = *bucket_of(places, address); place != NULL; place = place->here_after) {
        if (place->owner == owner && address_equal(&place->address, address)) {
            return true;
        }
    }
    return false;
}

enum cs_err places_add(struct places *places, struct place_owner *owner, const struct address *address)
{
    if (places_has(places, owner, address)) {
        return CS_OK;
    }
    struct place *place = cs_alloc(sizeof(*place));
    place->address = *address;
    place->places = places;
    enum cs_err err = places->waiting.first != NULL ? CS_EBUSY : ask(places, place);
    if (err == CS_EBUSY) {
        list_append(&places->waiting, place);
    } else if (err != CS_OK) {
        free(place);
        return err;
    }
    place->owner = owner;
    place->next_of_owner = owner->first;
    owner->first = place;
    owner->count++;
    owner->unsettled++;
    if (places->count == places->bucket_count) {
        grow(places);
    }
    put_here(places, place);
    places->count++;
    return CS_OK;
}

/* Which its owner has left. */
static void leave(struct places *places, struct place *place)
{
    take_away(places, place);
    place->owner = NULL;
    switch (place->state) {
    case PLACE_WAITING:
        list_remove(&places->waiting, place);
        free(place);
        break;
    case PLACE_ASKED:
        list_append(&places->orphans, place);
        break;
    case PLACE_LISTENING:
        give_up(places, place);
        break;
    case PLACE_LEAVING:
        assert(false);
    }
}

void places_leave(struct places *places, struct place_owner *owner)
{
    while (owner->first != NULL) {
        leave(places, take_out(&owner->first));
    }
}

void places_leave_some(struct places *places, struct place_owner *owner,
                       bool (*leaves)(const struct address *address, void *context), void *context)
{
    for (struct place **link = &owner->first; *link != NULL;) {
        if (leaves(&(*link)->address, context)) {
            leave(places, take_out(link));
        } else {
            link = &(*link)->next_of_owner;
        }
    }
}

void places_tell(struct places *places, const struct address *address,
                 void (*tell)(struct place_owner *owner, void *context), void *context)
{
    for (struct place *place = *bucket_of(places, address); place != NULL; place = place->here_after) {
        if (address_equal(&place->address, address)) {
            tell(place->owner, context);
        }
    }
}

int64_t places_listening(const struct places *places)
{
    return atomic_load_explicit(&places->listening, memory_order_relaxed);
}
