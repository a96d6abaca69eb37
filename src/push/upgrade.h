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

/* Whether the handshake is to this protocol's path. */
bool upgrade_is_to(struct lws *wsi, const struct session_protocol *protocol);

/* The peer's address; false when the connection is gone. */
bool upgrade_peer(struct lws *wsi, struct sockaddr_storage *address);

#endif
