/*
 * places: which session listens to which address, here and in the store. A place is one address of one session; each has exactly one
 * listen in the store, and its unlisten once it is left, however full the store's inbox is meanwhile. No more than PLACES_AT_ONCE commands
 * are handed over at a time, so that who comes with many addresses does not fill the inbox that payments need as well.
 *
 * Owned by the push thread, but for places_listening and for the done that the store is given (any thread: it posts). Nothing survives a
 * crash; the store forgets who listens as well.
 *
 *          submitted            done
 * WAITING ───────────► ASKED ───────► LISTENING        a place that is left goes away at once when it is WAITING, and becomes LEAVING
 *                        └─ failed: the owner is told   when it is LISTENING; an ASKED one waits until the store has answered
 */
#ifndef COINSLOT_PUSH_PLACES_H
#define COINSLOT_PUSH_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "store/store.h"

#define PLACES_AT_ONCE 256

struct places;
struct place;

/* A session's part, inside its state. Zeroed at first. */
struct place_owner {
    struct place *first;
    uint32_t count;
    uint32_t unsettled; /* of them, those that the store has not answered */
};

struct places_options {
    struct store *store;
    store_listen_done done; /* has to bring handle and err to places_take_done, on the push thread */
    void *context;          /* of done */
    /* A listen failed: that place is gone. Not called by places_add itself. */
    void (*failed)(struct place_owner *owner, enum cs_err err);
    /* NULL, or called when the last of an owner's places has come into effect. Not called by places_add itself. */
    void (*settled)(struct place_owner *owner);
};

struct places *places_open(const struct places_options *options);
void places_close(struct places *places); /* no owner has a place any more */

/* How many an owner has is its own to bound. A second time for the same address changes nothing. Anything but CS_OK: the store takes no listener now. */
CS_MUST_CHECK enum cs_err places_add(struct places *places, struct place_owner *owner,
                                     const struct address *address);
bool places_has(const struct places *places, const struct place_owner *owner, const struct address *address);
/* All of them; or those that `leaves` picks. */
void places_leave(struct places *places, struct place_owner *owner);
void places_leave_some(struct places *places, struct place_owner *owner,
                       bool (*leaves)(const struct address *address, void *context), void *context);
/* Of whichever places it belongs to. */
void places_take_done(uint64_t handle, enum cs_err err);

/* Once an owner. `tell` must neither add nor leave. */
void places_tell(struct places *places, const struct address *address,
                 void (*tell)(struct place_owner *owner, void *context), void *context);

/* True when something waits to be handed to the store. */
bool places_are_waiting(const struct places *places);
/* Hands it over, in the order of waiting, until the store refuses, or PLACES_AT_ONCE are with it. Called every few milliseconds while something waits. */
void places_retry(struct places *places);

/* In effect in the store. Any thread. */
int64_t places_listening(const struct places *places);

#endif
