/*
 * router: which route a method and a path lead to.
 * Pure: built by one thread, read by any afterwards, no I/O.
 */
#ifndef COINSLOT_HTTP_ROUTER_H
#define COINSLOT_HTTP_ROUTER_H

#include "http/http.h"
#include "http/target.h"

#define ROUTER_ALLOW_SIZE 64

enum router_outcome {
    ROUTER_FOUND,
    ROUTER_NO_PATH,   /* 404 */
    ROUTER_NO_METHOD, /* 405; `allow` is set */
};

struct router_match {
    const struct http_route *route;
    const struct http_upload *upload; /* NULL: it is none */
    void *context;
    size_t param_count;
    struct target_pair
        params[TARGET_SEGMENTS_MOST]; /* names without braces; values borrowed from the target */
    char allow[ROUTER_ALLOW_SIZE];
};

struct router;

struct router *router_open(void);
void router_close(struct router *router);

/* The routes are borrowed for good. A pattern that makes no sense is our mistake: assert. */
void router_add(struct router *router, const struct http_route *routes, size_t count, void *context);

void router_add_upload(struct router *router, const struct http_upload *upload, void *context);

/*
 * Of the patterns that fit the path the one with the most literal characters counts, whatever its methods; a
 * parameter is never empty. HEAD finds GET's route (RFC 9110, section 9.3.2). Without a route `params` are
 * empty.
 */
enum router_outcome router_find(const struct router *router, const char *method, const struct target *target,
                                struct router_match *match);

/* NULL when the route has no such parameter. */
const char *router_param(const struct router_match *match, const char *name);

#endif
