/*
 * request: what http.c, request.c and answer.c share of one request.
 *
 *   FRESH ──► RECEIVING ──► QUEUED        the connection's thread alone moves it
 *
 * Who made the answer, and when, does not matter: it is kept in `response`. While a request is deferred its
 * connection is suspended and the connection's thread leaves it alone; MHD's own lock, taken by
 * MHD_resume_connection, hands the answer over.
 */
#ifndef COINSLOT_HTTP_REQUEST_H
#define COINSLOT_HTTP_REQUEST_H

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "http/acceptor.h"
#include "http/clients.h"
#include "http/deadlines.h"
#include "http/http.h"
#include "http/router.h"
#include "http/target.h"

/* A body that is refused is read and dropped up to here, so that the client comes to reading its answer. */
#define REQUEST_DRAIN_MOST   (8u << 20)
#define REQUEST_HEADERS_MOST 8
/* With so much more of its body a request has earned more time. */
#define REQUEST_PROGRESS_BYTES (64u << 10)

struct http {
    struct http_options options;
    char *host;
    uint16_t port;
    struct MHD_Daemon *daemon;
    struct acceptor *acceptor; /* NULL before the start */
    struct router *router;
    struct clients *clients;
    struct deadlines *deadlines; /* NULL before the start */
    struct https *https;         /* NULL: plain HTTP */
    atomic_bool quiesced, closing;
    atomic_size_t deferred; /* suspended, and not answered yet */
    atomic_size_t busy;     /* given to a handler, and the answer not sent yet */
    metrics_count *answered[6], *refused_total, *refused_per_ip, *cut;
};

/* What MHD's socket context points to. */
struct connection {
    struct http *http;
    struct client *client;
    struct deadline deadline; /* set while a request is awaited or comes in */
    int fd;
};

enum request_stage { REQUEST_FRESH, REQUEST_RECEIVING, REQUEST_QUEUED };

struct request_header {
    char *name, *value;
};

struct http_request {
    struct http *http;
    struct MHD_Connection *connection;
    enum request_stage stage;
    bool counted; /* in http->busy */
    bool deferred;
    char *raw_target;
    const char *method;
    struct target target;
    struct router_match match;
    char peer[INET6_ADDRSTRLEN];
    char *body;
    size_t body_size, body_room, body_most;
    size_t received; /* of the body, the dropped part too */
    void *kept;
    void (*drop)(void *kept);
    size_t header_count;
    struct request_header headers[REQUEST_HEADERS_MOST];
    unsigned status;
    struct MHD_Response *response; /* the answer, until it is queued */
};

struct http_request *request_open(struct http *http, struct MHD_Connection *connection,
                                  const char *raw_target);
void request_close(struct http_request *request);

struct connection *request_connection(struct MHD_Connection *connection);

/* The headers are there: finds the route, or answers why not. True: queue the answer now, without waiting for
 * the body. */
bool request_begin(struct http_request *request, const char *method);
/* Keeps a part of the body, or drops it. False: there is no end to it, close the connection. */
bool request_receive(struct http_request *request, const char *data, size_t size);

#endif
