/*
 * session_state: what the files of session.h share: one connection's state, and what each does with it.
 * Owned by the push thread.
 */
#ifndef COINSLOT_PUSH_SESSION_STATE_H
#define COINSLOT_PUSH_SESSION_STATE_H

#include <netinet/in.h>

#include "push/session.h"

#define SESSION_WRITE_MOST                                                                                   \
    16384 /* bytes that are written at a time, of which a socket may leave a rest in memory */

struct session {
    struct push *push;
    struct lws *wsi;
    const struct session_protocol *protocol;
    void *state;
    uint64_t handle;
    uint64_t heard_ms;          /* when something came last */
    struct frame *first, *last; /* still to be written */
    struct session *unwritten_before,
        *unwritten_after; /* in the list of those that have something to write */
    char *arriving;       /* the fragments of a message so far, or NULL */
    uint32_t arrived;
    uint32_t queued;
    uint16_t end_code; /* 0: not ending */
    bool unwritten;    /* in that list */
    bool choked; /* the socket has not taken all: libwebsockets has the rest, and says when it is gone */
    bool reading;
    bool pinged;      /* and no pong has come since */
    bool ping_wanted; /* it is still to be sent */
    bool over;        /* libwebsockets is about to close the connection */
    bool closing;     /* the close frame is all that is left to send */
    bool settled;     /* and counted among its peer's, unless that is loopback */
    bool loopback;
    struct wheel_timer timeout, silence;
    /* Whose; an IPv4 address fits too. Kept, for a socket that was reset does not know its peer any more. */
    struct sockaddr_in6 peer;
    bool private;
    const char *end_reason;
};

/* ---- session.c */

/* Has libwebsockets close the connection: when all is well with a close frame, if `closing`. */
void session_close_soon(struct session *session);

/* ---- session_write.c */

/* Has what is queued written before the loop waits again. */
void session_write_soon(struct session *session);
void session_write_now(struct session *session);
/* The socket takes more. */
void session_unchoked(struct session *session);
/* It is gone. */
void session_forget_writing(struct session *session);

/* ---- sessions.c */

void sessions_enter(struct sessions *sessions, struct session *session);
void sessions_leave(struct push *push, struct session *session);

#endif
