/*
 * acceptor: takes connections, turns those away for whom there is no room, and hands the others to libmicrohttpd's threads. Were these to
 * accept for themselves, each connection that knocks, refused or not, would wake them all, and each would look at all the connections it has.
 * Owns the listening socket and the thread that accepts. Nothing survives a crash; nothing needs to.
 */
#ifndef COINSLOT_HTTP_ACCEPTOR_H
#define COINSLOT_HTTP_ACCEPTOR_H

#include <stddef.h>
#include <sys/socket.h>

#include "base/metrics.h"
#include "http/clients.h"

struct acceptor;

struct acceptor_options {
    int listening; /* blocking; taken */
    struct clients *clients;
    /* Takes the socket; false: it has closed it. On the acceptor's thread. */
    bool (*hand_over)(void *context, int fd, const struct sockaddr *address, socklen_t size);
    void *context;
    metrics_count *refused_total, *refused_per_ip;
};

struct acceptor *acceptor_open(const struct acceptor_options *options);
void acceptor_start(struct acceptor *acceptor);
/* Nobody gets in any more. */
void acceptor_stop(struct acceptor *acceptor);
/* It was started and stopped, and what was handed over is closed. */
void acceptor_close(struct acceptor *acceptor);

/* Whom a socket that was handed over belongs to: for the thread that serves it, once. It is counted since it was accepted; the caller has it leave. */
struct client *acceptor_claim(struct acceptor *acceptor, int fd);

#endif
