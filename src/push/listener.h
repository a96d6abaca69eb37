/*
 * listener: the listening socket. Ours rather than libwebsockets', so that the port is known, IPv6 is plain,
 * and it can be closed before the sessions are. Owned by the push thread once its loop runs; opened before.
 */
#ifndef COINSLOT_PUSH_LISTENER_H
#define COINSLOT_PUSH_LISTENER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

struct listener;

/* Takes a connected, non-blocking socket. */
typedef void (*listener_accepted)(void *context, int fd);

/* CS_EIO: `error` says what is wrong with the address, and what to do. */
CS_MUST_CHECK enum cs_err listener_open(uv_loop_t *loop, const char *host, uint16_t port,
                                        listener_accepted accepted, void *context, struct listener **listener,
                                        char *error, size_t error_size);
uint16_t listener_port(const struct listener *listener);
void listener_start(struct listener *listener);
/* The socket is closed at once; the memory goes when the loop has run. */
void listener_close(struct listener *listener);

#endif
