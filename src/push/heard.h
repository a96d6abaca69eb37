/*
 * heard: what the store tells of payments and of listening, on its way to those who listen without being a device: legacy.h, nano.h.
 *
 * push_post_heard (push.h) and heard_listen_done: any thread; they copy, and never block. The rest belongs to the push thread. Bounded:
 * past HEARD_BYTES payments are dropped, and counted. Nothing survives a crash.
 */
#ifndef COINSLOT_PUSH_HEARD_H
#define COINSLOT_PUSH_HEARD_H

#include "push/session.h"

#define HEARD_BYTES (16u << 20)

struct heard *heard_open(struct push *push);
/* No session is left, and nothing more is taken from the store. */
void heard_shut(struct heard *heard);
void heard_close(struct heard *heard);

/* What the store has told since; some of it, when there is much. True when there is more. */
bool heard_on_wake(struct heard *heard);

/* The done of all places (places.h); its context is the struct heard. */
void heard_listen_done(void *context, uint64_t handle, enum cs_err err);

/*
 * Whoever reads is not closed as slow for the relay's having much to tell at once; whoever does not is. A session whose queue is half full
 * when it is told of a payment sets the pace: the next payment is taken when it has written a message, or with a few others every few
 * milliseconds.
 */
void heard_slow_down(struct heard *heard, const struct session *session);
void heard_drained(struct heard *heard, const struct session *session); /* a session has written a message */
/* For the timer. True when nothing is left to wait for. */
bool heard_retry(struct heard *heard);

/* How many payments were dropped since the start. */
uint64_t heard_dropped(const struct heard *heard);

#endif
