/*
 * mimic_server: the make-believe node's RPC port: HTTP as a Nano V27.1 node answers it, to the byte, one request a connection; and a node
 * that answers late, badly or not at all. Not on src/http: a node's own headers in its own order, answers that never come and
 * connections that are cut in between are what this is for. The loop's thread only; nothing is kept.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_SERVER_H
#define COINSLOT_SIMULATE_MIMIC_SERVER_H

#include <stddef.h>

#include "simulate/net.h"

#define MIMIC_SERVER_HEAD_MOST 8192
#define MIMIC_SERVER_BODY_MOST (32u << 20) /* the node's max_request_size */

enum mimic_server_when {
    MIMIC_SERVER_NOW,
    MIMIC_SERVER_HELD, /* until mimic_server_release, when it is asked for again */
    MIMIC_SERVER_CUT,  /* the connection is closed without an answer */
};

struct mimic_server_reply {
    enum mimic_server_when when;
    unsigned delay_ms;
    unsigned status; /* 200, or what stands in front of a node says: 500, 429 … */
    char *body;      /* taken; only of MIMIC_SERVER_NOW */
};

struct mimic_server;

/* `answer` fills in the reply to the body of a POST. */
struct mimic_server *mimic_server_open(uv_loop_t *loop, const struct net_address *address,
                                       void (*answer)(void *context, const char *body, size_t size,
                                                      struct mimic_server_reply *reply),
                                       void *context);
/* The loop has to run once more afterwards; all handles are closed by then. */
void mimic_server_close(struct mimic_server *server);

CS_MUST_CHECK enum cs_err mimic_server_listen(struct mimic_server *server, char error[NET_ERROR_SIZE]);
/* Closes the port, and every connection in whatever state it is. */
void mimic_server_cut(struct mimic_server *server);
void mimic_server_release(struct mimic_server *server);

const struct net_address *mimic_server_address(const struct mimic_server *server);

#endif
