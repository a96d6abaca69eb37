/*
 * http: a small request/response face on libmicrohttpd's thread pool (poll mode; its epoll mode stalls).
 * Owns the listening socket, the connections and their threads. Handlers run on the pool's threads; an answer may come later, from any
 * thread. Nothing survives a crash; nothing needs to.
 */
#ifndef COINSLOT_HTTP_HTTP_H
#define COINSLOT_HTTP_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/certificate.h"
#include "base/err.h"
#include "base/metrics.h"

struct http;
struct http_request; /* one request: from the handler's call until its answer is made */

typedef void (*http_handler)(void *context, struct http_request *request);

struct http_route {
    const char *method;
    const char
        *path; /* segments in braces are parameters: "/api/v1/devices/{id}"; the longest literal match wins */
    http_handler handler;
    size_t body_most; /* bytes; more is answered 413 without being kept */
};

/*
 * A route whose body is taken as it comes and never kept whole. `begin` is called when the headers are there: it may answer (then the body is
 * dropped unseen), or http_request_keep what the parts go to. `receive` gets each part; it must not answer. The route's handler is called when
 * all has come, for libmicrohttpd takes no answer earlier. When the client goes away in between, what was kept is dropped, and that is all.
 * Only a Content-Length is held against body_most: of a chunked body `receive` may get 8 MiB more before the connection is closed.
 */
struct http_upload {
    struct http_route route;
    http_handler begin;
    void (*receive)(void *context, struct http_request *request, const char *data, size_t size);
};

struct http_options {
    const char *host; /* numeric, or a name that resolves to a local address: "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;    /* 0: a free one */
    uint32_t threads;
    uint32_t connections_most;
    uint32_t connections_loopback; /* beyond connections_most, for loopback alone: the node has to find one */
    uint32_t connections_per_ip_most; /* 0: no limit; loopback is not limited */
    uint32_t idle_timeout_s;
    uint32_t
        request_timeout_s; /* for a request's first line, and again for the rest, and for each 64 KB of body; 0: no limit */
    struct metrics *metrics;
};

#define HTTP_ERROR_SIZE 200

/* Routes are borrowed for good. Add them all before http_start. */
struct http *http_open(const struct http_options *options);

/* ---- TLS: any thread ------------------------------------------------------------------------------------------- */
struct http_certificate;
/* NULL: `error` says what is wrong with it. */
struct http_certificate *http_read_certificate(const struct certificate *pem, int64_t *expires_ms,
                                               char error[HTTP_ERROR_SIZE]);
void http_free_certificate(struct http_certificate *certificate);
/* Before http_start: from then on https is spoken, and no plain HTTP. Later: for new connections. The certificate is taken. */
void http_use_certificate(struct http *http, struct http_certificate *certificate);

void http_add_routes(struct http *http, const struct http_route *routes, size_t count, void *context);
void http_add_upload(struct http *http, const struct http_upload *upload, void *context);
/* CS_EIO: the address is taken or not ours; `error` says which and what to do. */
CS_MUST_CHECK enum cs_err http_start(struct http *http, char error[HTTP_ERROR_SIZE]);
uint16_t http_port(const struct http *http); /* the real one, after http_start */
/* Stops accepting; requests under way go on. Call it before the store stops, http_close after: every deferred request must have its answer by then. */
void http_quiesce(struct http *http);
void http_close(struct http *http);

/* ---- the request: borrowed strings live as long as the request ------------------------------------------------ */
const char *http_request_method(const struct http_request *request);
const char *http_request_path(const struct http_request *request);
const char *http_request_param(const struct http_request *request,
                               const char *name); /* a {segment}; never NULL for one that is in the route */
const char *http_request_query(const struct http_request *request,
                               const char *name); /* decoded; NULL when missing */
/* True when each query parameter's name is among `names` (ends with NULL) and comes once; else *odd is the one that is not. */
bool http_request_query_only(const struct http_request *request, const char *const *names, const char **odd);
const char *http_request_header(const struct http_request *request, const char *name); /* NULL when missing */
const char *http_request_body(const struct http_request *request,
                              size_t *size); /* never NULL; NUL-terminated */
bool http_request_from_loopback(const struct http_request *request);
/* "127.0.0.1" or "::1": the peer of the connection, not what a header says. */
const char *http_request_peer(const struct http_request *request);
/* What the handlers of one request share; at most once. `drop` is called with it when the request is gone, answered or not. */
void http_request_keep(struct http_request *request, void *kept, void (*drop)(void *kept));
void *http_request_kept(const struct http_request *request); /* NULL: nothing */

/* The Content-Type is this one, in any case, with or without parameters. */
bool http_request_is_type(const struct http_request *request, const char *type);
bool http_request_is_json(const struct http_request *request);

/*
 * Parses the body as one JSON object of at most `most_depth` levels; wants Content-Type application/json.
 * NULL: a problem was answered. Owned by the caller.
 */
json_t *http_request_json(struct http_request *request, int most_depth);

/* ---- the answer: exactly one --------------------------------------------------------------------------------------
 * Within the handler, or, after http_request_defer within the handler, once from any thread. The request is gone afterwards.
 * Extra headers (http_request_add_header) are set before the answer. With a body it is `Cache-Control: no-store`, unless one of them says otherwise.
 */
void http_request_defer(struct http_request *request);
void http_request_add_header(struct http_request *request, const char *name, const char *value);
void http_answer_empty(struct http_request *request, unsigned status);
void http_answer_text(struct http_request *request, unsigned status, const char *type,
                      char *text /* taken, malloc'd */);
/* The whole of an open file, read while it is sent; the descriptor is closed. */
void http_answer_file(struct http_request *request, unsigned status, const char *type, int fd /* taken */,
                      uint64_t size);
void http_answer_json(struct http_request *request, unsigned status, json_t *value /* taken */);
/*
 * RFC 9457 problem+json: {"type":"about:blank","title":…,"status":…,"code":…,"detail":…,["field":…,]"hint":…}.
 * `code` is stable and for programs, `detail` says what was wrong, `hint` what to do; field and hint may be NULL.
 */
void http_answer_problem(struct http_request *request, unsigned status, const char *code, const char *field,
                         const char *hint, const char *detail_format, ...)
    __attribute__((format(printf, 6, 7)));

#endif
