/*
 * device_state: what the files of device.h share: the state of one session, and what each does with it.
 * Owned by the push thread.
 */
#ifndef COINSLOT_PUSH_DEVICE_STATE_H
#define COINSLOT_PUSH_DEVICE_STATE_H

#include "delivery/outbox.h"
#include "push/exchange.h"
#include "push/session.h"

enum device_phase {
    DEVICE_GREETING,  /* challenged; its hello is awaited */
    DEVICE_BEGINNING, /* the store is asked to begin a session */
    DEVICE_LIVE,      /* welcomed */
    DEVICE_OVER,      /* an end is under way: whatever comes is dropped */
};

/* What is remembered of the beginning, until the welcome. */
struct device_greeting {
    uint8_t relay_public[PROOF_PUBLIC_SIZE], relay_secret[PROOF_SECRET_SIZE];
    struct exchange_pair exchange;
    /* Of a session by key, from its hello on. */
    char device[STORE_ID_SIZE];
    uint8_t device_key[PROOF_PUBLIC_SIZE];
    char *hello; /* what was signed */
    size_t hello_length;
    size_t challenge_length;
    char challenge[];
};

/* What a state frame says. */
struct device_standing {
    bool caught_up, payable;
    const char *reason; /* NULL: nothing was told yet */
};

struct device {
    struct session *session;
    struct push *push;
    enum device_phase phase;
    bool stalled; /* in the list of those that wait for room in the store's inbox */
    struct device *stalled_before, *stalled_after;
    struct device_greeting *greeting; /* NULL once it is over */
    struct proof_channel *channel;    /* NULL: a session by token */
    bool sealed;                      /* from the welcome on every frame carries a MAC */
    struct store_session store;
    struct outbox outbox;
    uint64_t timed_seq, timed_ns; /* the payment whose ack is timed, and when it was sent; 0: none */
    uint64_t config_version, config_before; /* the device has been told these in this session; 0: none */
    struct device_standing standing;        /* told last */
    const char *unproven;                   /* why its addresses are not proven; NULL: they are */
    const char *unproven_before;            /* as the store said a second ago */
    const char *not_payable;                /* why not this one, whatever holds for all; NULL: it may be */
    struct store_status status;             /* as the device last told it */
    uint64_t status_noted_ns;
    bool status_waiting; /* the store has an older one */

    /* What the store is still to be told. */
    uint64_t ack_waiting; /* 0: none */
    uint64_t page_from;
    uint32_t page_most; /* 0: none */
    uint32_t outcomes_out;
    struct store_outcome *outcome_waiting;
};

/* Counts the frame and queues it, with its MAC where the session has them. */
void device_send(struct device *device, enum sent_type type, const char *text, size_t length);
/* For a device that does not read; see device.h for the bound. False: it was thrown out. */
bool device_has_room(struct device *device);

/* ---- the beginning: device_hello.c */
void device_challenge(struct device *device);
void device_take_hello(struct device *device, const struct device_hello *hello, const char *text);
void device_welcome(struct device *device, const struct store_begun *begun, const char *config);
void device_forget_greeting(struct device *device);
void device_forget_channel(struct device *device);

/* ---- what is told beside payments: device_tell.c */
void device_take_config(struct device *device, uint64_t version, const char *config);
/* Once a second, and when a session begins. */
void device_look_at_proof(struct device *device);
/* Sends a state frame when there is something new to say. `lasting`: a page that is still under way counts as backlog. */
void device_tell_state(struct device *device, bool lasting);
void device_take_status(struct device *device, const struct device_status *said);
/* The store is told at most once a second. */
void device_note_status(struct device *device);

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
