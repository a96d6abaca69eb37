/*
 * net: listening sockets on a libuv loop, for the make-believe node's faces. The loop's thread only.
 */
#ifndef COINSLOT_SIMULATE_NET_H
#define COINSLOT_SIMULATE_NET_H

#include <stdint.h>
#include <uv.h>

#include "base/err.h"

#define NET_ERROR_SIZE 200
#define NET_HOST_SIZE  64
#define NET_TEXT_SIZE  80

struct net_address {
    char host[NET_HOST_SIZE]; /* numeric, without brackets */
    uint16_t port;            /* 0: a free one */
};

/* 127.0.0.1:7076, [::1]:7076, 127.0.0.1:0. */
CS_MUST_CHECK enum cs_err net_parse(const char *text, struct net_address *address,
                                    char error[NET_ERROR_SIZE]);
/* As it is parsed. */
void net_format(const struct net_address *address, char text[NET_TEXT_SIZE]);

/* Binds and listens; a port of 0 becomes the real one. The handle is initialised in any case, and has to be closed. */
CS_MUST_CHECK enum cs_err net_listen(uv_loop_t *loop, uv_tcp_t *tcp, struct net_address *address,
                                     uv_connection_cb on_connection, char error[NET_ERROR_SIZE]);

#endif
