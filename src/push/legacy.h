/*
 * legacy: the protocol of Nano_Callback_System's clients, on /call: they name addresses, and get each payment to one of them as the object
 * that the node called back with. No acks, no numbers, no replay: who is away misses it, as it was with the old server.
 *
 * Owned by the push thread. Bounded: addresses a session (legacy_addresses), frames that a session does not take (LEGACY_QUEUE_MOST, then
 * it is closed), payments that wait for the push thread (heard.h). An address stays in the store's index for as long as a session listens
 * to it (places.h).
 *
 * The old server never pinged, and the ESP32 sketch reads nothing while it counts down what was paid, for up to an hour. So a session may
 * be silent for legacy_silence_s; it is pinged all the same, which keeps proxies from closing it.
 */
#ifndef COINSLOT_PUSH_LEGACY_H
#define COINSLOT_PUSH_LEGACY_H

#include "push/session.h"

#define LEGACY_QUEUE_MOST 64

extern const struct session_protocol LEGACY_PROTOCOL;

/* What all legacy sessions share. */
struct legacy_server *legacy_open(struct push *push);
void legacy_close(struct legacy_server *server);

void legacy_take_heard(struct legacy_server *server, const struct store_heard *heard);
void legacy_on_wake(struct legacy_server *server); /* after what was heard */
/* Hands the store what it had no room for. True when nothing is left. */
bool legacy_retry_all(struct legacy_server *server);

#endif
