/*
 * device_state: what device.c, device_store.c and device_posts.c share: the state of one session, and what both do with it.
 * Owned by the push thread.
 */
#ifndef COINSLOT_PUSH_DEVICE_STATE_H
#define COINSLOT_PUSH_DEVICE_STATE_H

#include "delivery/outbox.h"
#include "push/session.h"

enum device_phase {
    DEVICE_GREETING,  /* challenged; its hello is awaited */
    DEVICE_BEGINNING, /* the store is asked to begin a session */
    DEVICE_LIVE,      /* welcomed */
    DEVICE_OVER,      /* an end is under way: whatever comes is dropped */
};

struct device {
    struct session *session;
    struct push *push;
    enum device_phase phase;
    bool stalled; /* in the list of those that wait for room in the store's inbox */
    struct device *stalled_before, *stalled_after;
    struct store_session store;
    struct outbox outbox;

    /* What the store is still to be told. */
    uint64_t ack_waiting; /* 0: none */
    uint64_t page_from;
    uint32_t page_most; /* 0: none */
    uint32_t outcomes_out;
    struct store_outcome *outcome_waiting;
};

void device_send(struct device *device, enum sent_type type, const char *text, size_t length);

/* The session is over for the store: it is told, unless it said so itself, and what it still posts is dropped. */
void device_leave(struct device *device, bool tell_store);
/* Leaves, and ends the connection with an error frame. */
void device_fail_with(struct device *device, enum device_close close, bool tell_store, const char *code,
                      const char *message);
void device_fail(struct device *device, enum device_close close, const char *message);
void device_break_protocol(struct device *device, const char *code, const char *message);
/* What store_submit_session, or its callback, said no with. */
void device_refuse_begin(struct device *device, enum cs_err err);

/* The highest of these is what the store is told next. */
void device_wait_ack(struct device *device, uint64_t seq);
/* After each event: asks for what is due, tells the store what can be told, and reads on if the device may go on. */
void device_advance(struct device *device);
void device_set_reading(struct device *device);
/* Has the store end the session; when its inbox is full, later. */
void device_end_in_store(struct push *push, const struct store_session *session);
/* Waits, behind the others, for room in the store's inbox. */
void device_stall(struct device *device);
void device_unstall(struct device *device);

#endif
