/*
 * upgrade: connections that are no session yet: who may connect, where to, and what the others are answered.
 * Owned by the push thread.
 */
#ifndef COINSLOT_PUSH_UPGRADE_H
#define COINSLOT_PUSH_UPGRADE_H

#include <sys/socket.h>

#include "push/session.h"

/* For plain HTTP, for upgrades before they are granted, and for the wake from other threads. */
int upgrade_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length);

/* What is spoken on the path that the handshake is to; NULL: nothing. */
const struct session_protocol *upgrade_protocol(struct lws *wsi);
/* Whether that has this subprotocol. */
bool upgrade_is_for(struct lws *wsi, const char *subprotocol);

/* The peer's address; false when the connection is gone. */
bool upgrade_peer(struct lws *wsi, struct sockaddr_storage *address);

/* The session has written what it begins with: that goes out together with the answer to the upgrade, which has waited for it. */
void upgrade_done(struct lws *wsi);

#endif
