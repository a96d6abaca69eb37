/*
 * session: one WebSocket connection: what it has still to send, the message that is coming in, its place in
 * the table, its end. What the messages mean is its protocol's business (device.h); libwebsockets is touched
 * here and in push.c alone.
 *
 * Owned by the push thread. An idle session costs its struct and libwebsockets' own 1.5 KB: buffers exist
 * while they are in use.
 */
#ifndef COINSLOT_PUSH_SESSION_H
#define COINSLOT_PUSH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "push/internal.h"

struct session;

/* One way of speaking; its state is what `open` returns and `close` frees. */
struct session_protocol {
    const char *subprotocol, *path; /* several may have one subprotocol: the path tells them apart */
    bool subprotocol_optional;
    const char *offer; /* what whoever offers another subprotocol is told */
    /* NULL, or who may not connect at all: the status to answer, and why, in words for whoever runs the client. 0: come in. */
    unsigned int (*judge)(struct push *push, struct lws *wsi, const char **why);
    uint32_t (*message_most)(const struct push_options *options); /* bytes; NULL: frame_most */
    bool binary_too; /* a binary message is taken as text; else `not_text` is called */
    void *(*open)(struct session *session);
    void (*message)(void *state, const char *text, size_t length);
    void (*not_text)(void *state);
    void (*too_big)(void *state);
    void (*timeout)(void *state);
    void (*drained)(void *state); /* frames have left the queue */
    void (*second)(void *state);  /* NULL, or called about once a second */
    void (*stop)(void *state);    /* the relay stops: end the session */
    void (*close)(void *state);   /* the connection is gone */
};

struct push *session_push(const struct session *session);
uint64_t session_handle(const struct session *session);
/* Its request can be read while `open` runs. */
struct lws *session_wsi(const struct session *session);
/* TLS, or from loopback. */
bool session_is_private(const struct session *session);

/* The protocol's state of the session with this handle; NULL when it is gone. */
void *session_find(struct push *push, uint64_t handle);

/* Copies the text into the queue. */
void session_send(struct session *session, const char *text, size_t length);
/* The text and, right after it, the tail: one message. */
void session_send_joined(struct session *session, const char *text, size_t length, const char *tail,
                         size_t tail_length);
uint32_t session_queued(const struct session *session); /* frames */
void session_drop_queue(struct session *session);

/* Nothing more is read. When the queue is empty the close frame goes out; after a few seconds the connection
 * is cut regardless. */
void session_end(struct session *session, uint16_t code, const char *reason);

/* It has said who it is: from now on it is not among those that wait (waiting.h), but one of sessions_most, and of its address's. False: there is
 * no place. */
CS_MUST_CHECK bool session_settle(struct session *session);
/* While `reading` is false the kernel's buffer fills, and then the peer's. */
void session_set_reading(struct session *session, bool reading);
/* Calls `timeout` once, after that time; 0: never. */
void session_set_timeout(struct session *session, uint32_t seconds);
void session_set_timeout_ms(struct session *session, uint32_t ms);

/* For how long nothing has come, not even a pong. */
uint64_t session_silent_ms(const struct session *session);
/* As if a pong had come: the connection is not cut for its silence before another ping_interval_s and ping_timeout_s. */
void session_excuse_silence(struct session *session);

/* ---- the table, for push.c ----------------------------------------------------------------------------- */

struct sessions *sessions_open(const struct push_options *options);
void sessions_close(struct sessions *sessions);
uint32_t sessions_count(const struct sessions *sessions); /* those that have not settled, too */
/* No more can settle, of this address at least. */
bool sessions_are_full(const struct push *push, const struct sockaddr_storage *address);
void sessions_stop_all(struct push *push);
void sessions_tell_second(struct push *push);
/* What is queued, as far as the sockets take it; before each wait of the loop. */
void sessions_write(struct push *push);

/* What libwebsockets is to speak; ends with a NULL name. */
const struct lws_protocols *session_protocols(void);

#endif
