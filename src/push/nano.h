/*
 * nano: the Nano node's own WebSocket API on /nano, for the topic `confirmation`: programs that were written for a node are told of the
 * payments that the relay stores, as a node would tell them. docs/nano-websocket.md says what is the same and what is not. No acks of
 * payments, no replay: who is away misses them, as with a node.
 *
 * Owned by the push thread, but for nano_wants_all. Bounded: accounts in a session's filter (nano_accounts_most), messages that it does not
 * take (NANO_QUEUE_MOST, then it is closed), malformed messages in a row (NANO_MALFORMED_MOST, the same), payments that wait for the push
 * thread (heard.h; when some were dropped every subscribed session is closed, so that its program knows that it missed something).
 * Nothing survives a crash.
 */
#ifndef COINSLOT_PUSH_NANO_H
#define COINSLOT_PUSH_NANO_H

#include "push/session.h"

#define NANO_QUEUE_MOST     1024
#define NANO_MALFORMED_MOST 10

extern const struct session_protocol NANO_PROTOCOL;

/* What all its sessions share. */
struct nano_server *nano_open(struct push *push);
void nano_close(struct nano_server *server); /* no session is left */

/* Whether a payment to an address that nobody listens to may concern a session all the same. Any thread: one atomic load. */
bool nano_wants_all(const struct nano_server *server);
void nano_take_heard(struct nano_server *server, const struct store_heard *heard);
void nano_on_wake(struct nano_server *server); /* after what was heard */
/* Hands the store what it had no room for. True when nothing is left. */
bool nano_retry_all(struct nano_server *server);

#endif
