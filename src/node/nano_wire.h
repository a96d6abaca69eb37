/*
 * nano_wire: one WebSocket connection to a node at a time, on the loop's thread (loop.h). libwebsockets is touched here alone.
 * Owns the library's context, the names of the host, what is to be sent and the message that comes in.
 *
 * Made before the loop is started or on its thread; after node_loop_stop: nano_wire_stop, node_loop_settle, nano_wire_close.
 */
#ifndef COINSLOT_NODE_NANO_WIRE_H
#define COINSLOT_NODE_NANO_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "node/loop.h"
#include "node/nano_url.h"

#define NANO_WIRE_HEADER_SIZE 1025
#define NANO_WIRE_ERROR_SIZE  200

struct nano_wire;

struct nano_wire_options {
    struct node_loop *loop;
    struct nano_url url;
    const char *header;  /* "Name: value", sent with the upgrade; "" or NULL: none. Copied */
    const char *ca_file; /* PEM: whose certificates are good for wss://; NULL: those that the system trusts */
    size_t message_most; /* bytes; a longer one ends the connection */
    uint32_t patience_ms; /* of a hang-up: for the close frame to go out and its answer to come */
    /* None of these may close the wire; all else is fine. */
    void *context;
    void (*opened)(void *context);
    void (*message)(void *context, const char *text, size_t length);
    void (*not_text)(void *context); /* a binary message, which no node sends; it is dropped */
    /* Once for each dial: the connection is gone, or never came about. Another dial may follow at once. */
    void (*closed)(void *context, const char *why);
};

/* NULL: `error` says what is wrong, and what to do. */
struct nano_wire *nano_wire_open(const struct nano_wire_options *options, char error[NANO_WIRE_ERROR_SIZE]);

/* Only when none is under way: looks up the host and tries its addresses in turn, beginning with another one each time. */
void nano_wire_dial(struct nano_wire *wire);
/* At any time, also while it is being dialled or is hung up already: `closed` follows from the loop, and nothing else any more. */
void nano_wire_hang_up(struct nano_wire *wire);

/* While open. Takes the text over. */
void nano_wire_send(struct nano_wire *wire, char *text, size_t length);
/* While `reading` is false the kernel's buffer fills, and then the node's. Stays so for the next connection. */
void nano_wire_set_reading(struct nano_wire *wire, bool reading);

void nano_wire_stop(struct nano_wire *wire);
void nano_wire_close(struct nano_wire *wire);

#endif
