/*
 * mimic_session: one session of the make-believe node's WebSocket: what it said and is sent. Internal to mimic_ws.c and mimic_session.c.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_SESSION_H
#define COINSLOT_SIMULATE_MIMIC_SESSION_H

#include <libwebsockets.h>
#include <stdbool.h>

#include "simulate/mimic_subscription.h"

#define MIMIC_SESSION_MESSAGE_MOST (16u << 20) /* Boost.Beast's read_message_max */
#define MIMIC_SESSION_QUEUE_MOST   200000      /* messages; who reads no faster is cut */

struct outbound;

struct mimic_session {
    struct mimic_session *before, *after; /* in the order in which they came */
    struct lws *wsi;
    bool confirmations; /* it subscribed to them */
    struct mimic_subscription subscription;
    bool blocks;     /* it subscribed to new_unconfirmed_block */
    unsigned others; /* the other topics, of which there is never any news */
    bool leaving;    /* the close frame is next */
    char *arriving;
    size_t arrived;
    struct outbound *first, *last;
    size_t queued;
};

void mimic_session_init(struct mimic_session *session, struct lws *wsi);
void mimic_session_fini(struct mimic_session *session);

/* A part of a message has come. False: cut the connection. */
bool mimic_session_receive(struct mimic_session *session, const char *bytes, size_t length, bool last,
                           bool silent, bool no_update);
/* False: cut it. */
bool mimic_session_send(struct mimic_session *session, const char *text);
/* One message. False: the connection is broken. */
bool mimic_session_write(struct mimic_session *session);

#endif
