/*
 * device: the protocol `coinslot.v1`, from the challenge to the end of a session (docs/device-protocol.md).
 *
 * Owned by the push thread. One session's whole state is its outbox (delivery/outbox.h) and what could not be
 * handed to the store yet: one ack (they coalesce), one page request, one outcome. While an outcome or a page
 * waits nothing is read from the device.
 *
 * The queue is bounded by that: nothing is read while DEVICE_QUEUE_PAUSE frames wait, so that no ack opens
 * the window and no outcome asks for its `noted`. What can still come is at most a window of payments and
 * gaps, a `noted` for each of the DEVICE_OUTCOMES_MOST outcomes that are with the store, and an error:
 * DEVICE_QUEUE_PAUSE + window + DEVICE_OUTCOMES_MOST + 4. Past that the session is closed as slow: so is one
 * that reads nothing while operators change its config again and again. States wait until the device reads.
 */
#ifndef COINSLOT_PUSH_DEVICE_H
#define COINSLOT_PUSH_DEVICE_H

#include "push/session.h"

#define DEVICE_QUEUE_PAUSE   64
#define DEVICE_OUTCOMES_MOST 32 /* with the store at a time */

extern const struct session_protocol DEVICE_PROTOCOL;

/* What the store tells. Posts for sessions that are gone, or of another generation, are dropped. */
void device_take_post(struct push *push, const struct post *post);

/* Hands the store what it had no room for, in the order of waiting, until it refuses. True when nothing is
 * left. */
bool device_retry_all(struct push *push);

#endif
