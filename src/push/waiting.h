/*
 * waiting: connections that have not said who they are: how many there may be in all and from one address, how many may come
 * a second, and how long each has for its handshakes, TLS's and WebSocket's; the hello has a time of its own, its
 * protocol's. What does not fit is closed before a byte of it is read. Owned by the push thread.
 */
#ifndef COINSLOT_PUSH_WAITING_H
#define COINSLOT_PUSH_WAITING_H

#include "push/internal.h"

void waiting_open(struct push *push);
void waiting_close(struct push *push);

/* Hands an accepted socket to libwebsockets, or closes it. A listener_accepted. */
void waiting_take(void *context, int fd);
/* libwebsockets has made it its own: from now on it will say when it is gone, even if it does not take it after all. */
void waiting_adopted(struct push *push);
/* From now on its protocol sees to its time. */
void waiting_upgraded(struct lws *wsi);
/* It is settled, or gone. Harmless where that was said already. */
void waiting_leave(struct push *push, struct lws *wsi);

#endif
