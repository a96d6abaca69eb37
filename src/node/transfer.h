/*
 * transfer: HTTP POSTs, by libcurl's multi interface on a uv loop. Owns connections, and keeps them where the server does.
 * On the loop's thread (node/loop.h). http and https only, no redirects; nothing of what it sends is logged.
 */
#ifndef COINSLOT_NODE_TRANSFER_H
#define COINSLOT_NODE_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"

#define TRANSFER_ERROR_SIZE 320
#define TRANSFER_NAME_SIZE  300

enum transfer_result {
    TRANSFER_ANSWERED, /* with whatever status */
    TRANSFER_UNREACHABLE,
    TRANSFER_TIMEOUT,
    TRANSFER_TOO_BIG,
    TRANSFER_MALFORMED, /* not HTTP, or it broke off in the middle */
    TRANSFER_CANCELLED,
};

struct transfer_end {
    enum transfer_result result;
    long status;
    const char *body; /* borrowed; NUL behind it */
    size_t size;
    const char *why; /* "" when answered */
};

struct transfer_options {
    const char *url;
    const char *const *headers; /* "Name: value" each */
    size_t header_count;
    const char *ca_file; /* "": the system's */
    uint32_t connections_kept;
    uint32_t timeout_ms; /* of one transfer, with all that belongs to it */
    size_t answer_bytes_most;
};

struct transfers;

/* CS_EINVAL: the URL or a header will not do, in words for whoever wrote the config. Any thread. */
CS_MUST_CHECK enum cs_err transfers_check(const struct transfer_options *options,
                                          char error[TRANSFER_ERROR_SIZE]);

/* What the URL names, without path, query and password, which may be secret: "https://rpc.example:443". */
void transfers_name(const char *url, char name[TRANSFER_NAME_SIZE]);

/* The options must have passed the check. `done` is called once for each transfer, never from within transfers_post. */
struct transfers *transfers_open(const struct transfer_options *options, uv_loop_t *loop,
                                 void (*done)(void *context, const struct transfer_end *end));

/* `body` is taken: free() must do. */
void transfers_post(struct transfers *transfers, char *body, void *context);

/* `done` must not post any more: it gets what is still under way, as TRANSFER_CANCELLED. Frees itself once the loop has closed its handles. */
void transfers_close(struct transfers *transfers);

#endif
