/*
 * upstream: everything that speaks with Nano nodes: their WebSockets, the RPC client, the confirmation of what callbacks say, the blocks
 * that prove payments, reconciliation, and from all of these whether machines may take money. Owns the node thread (node/loop.h).
 * upstream_open, _start, _stop, _close: the main thread. The rest: any. Nothing of it outlives a crash but what the store has.
 */
#ifndef COINSLOT_NODE_UPSTREAM_H
#define COINSLOT_NODE_UPSTREAM_H

#include "base/metrics.h"
#include "node/callback.h"
#include "store/store.h"

#define UPSTREAM_ERROR_SIZE   480
#define UPSTREAM_SOCKETS_MOST 8

struct upstream_options {
    const char *rpc;        /* URL; "": none, and nothing can be confirmed or reconciled */
    const char *rpc_header; /* "Name: value", such as an API key; "" */
    uint32_t rpc_calls_per_s, rpc_connections, rpc_timeout_s;
    const char *ws;        /* URLs, separated by spaces; "": none */
    const char *ws_header; /* for all of them */
    bool ws_filter_all;    /* false: the nodes send only what concerns our accounts */
    const char *ca_file;   /* PEM: whom https and wss believe; "": the system's */
    uint32_t silence_s, sweep_s, batch;
    bool confirm; /* callbacks are believed only once the RPC has said so; then there must be one */
    enum callback_signature signature;
    struct metrics *metrics;
};

struct upstream;

/* After store_open, before store_start. CS_EINVAL: an option, `error` says which and what to write. */
CS_MUST_CHECK enum cs_err upstream_open(const struct upstream_options *options, struct store *store,
                                        struct upstream **upstream, char error[UPSTREAM_ERROR_SIZE]);
CS_MUST_CHECK enum cs_err upstream_start(struct upstream *upstream); /* after store_start */
void upstream_stop(struct upstream *upstream);  /* before store_stop: asks nobody any more */
void upstream_close(struct upstream *upstream); /* after store_stop and callback_close */

/* Where the callback tells what comes in. */
struct callback_sink upstream_callback_sink(struct upstream *upstream);
/* For store_events.watched; here and below, the context is the upstream. */
void upstream_note_watched(void *context, const struct address *address, enum store_watch watch);
/* For store_events.held. */
void upstream_note_held(void *context);

/* Every address is looked at, soon. False: there is no RPC to ask. `why` lives for ever. */
bool upstream_reconcile(void *context, const char *why);
/* NULL when news comes in, else why not, in words: for /readyz. */
const char *upstream_check(void *context);
/* Sources, node, reconciliation and completeness as one JSON object; owned by the caller. docs: schema/openapi.yaml, /api/v1/sources. */
char *upstream_print_report(void *context);

#endif
