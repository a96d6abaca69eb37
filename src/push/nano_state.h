/*
 * nano_state: a session on /nano as the files nano*.c share it. Owned by the push thread.
 *
 *   nano.c            the connection, what the store tells, life
 *   nano_subscribe.c  requests: subscription, filter, answers
 *   nano_frames.c     what is read (nano_frames.h), nano_print.c what is printed
 */
#ifndef COINSLOT_PUSH_NANO_STATE_H
#define COINSLOT_PUSH_NANO_STATE_H

#include "push/nano_frames.h"
#include "push/places.h"
#include "push/session.h"

#define NANO_CLOSE_GOING_AWAY 1001 /* RFC 6455, section 7.4.1 */
#define NANO_CLOSE_POLICY     1008
#define NANO_CLOSE_TOO_BIG    1009
#define NANO_CLOSE_TRY_LATER  1013 /* IANA's registry */

struct nano_server {
    struct push *push;
    struct places *places;
    struct nano *unfiltered; /* the sessions that hear everything */
    atomic_uint wanting;     /* sessions with a subscription that may let something through */
    _Atomic int64_t sessions;
    uint64_t payments; /* how many were heard of: the number of the last */
    metrics_count *forwarded, *refused_handshake, *refused_message;
};

struct nano {
    struct place_owner places; /* first; the accounts of the filter */
    struct session *session;
    struct nano_server *server;
    bool over; /* an end is under way: whatever comes is dropped */
    bool subscribed, wanting;
    struct nano_options options;
    struct nano **link, *next; /* among the unfiltered; link NULL: not there */
    struct nano_request
        *pending; /* to be answered when the store listens to all that it names; until then nothing is read */
    uint64_t told;                  /* the payment that it was told last */
    uint64_t dropped;               /* as many had been when it subscribed */
    uint32_t malformed;             /* in a row */
    uint8_t token[STORE_HASH_SIZE]; /* that it was let in with; nano_api = key */
};

void nano_end(struct nano *nano, uint16_t code, const char *reason);
/* Closes a client that does not read. */
bool nano_has_room(struct nano *nano);
void nano_complain(struct nano *nano, const char *error, const char *id);

/* Does what is asked for and answers, now or when the store listens. `request` is taken. */
void nano_carry_out(struct nano *nano, struct nano_request *request);
void nano_free_request(struct nano_request *request); /* or NULL */
void nano_unsubscribe(struct nano *nano);

/* For the places: what the store has answered. */
void nano_on_listen_failed(struct place_owner *owner, enum cs_err err);
void nano_on_settled(struct place_owner *owner);

#endif
