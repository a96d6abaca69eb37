/*
 * nano: everything that speaks with Nano nodes: their WebSockets, the RPC client, the confirmation of what callbacks say, reconciliation,
 * and from all of these whether machines may take money. Owns the node thread (node/loop.h).
 * nano_open, _start, _stop, _close: the main thread. The rest: any. Nothing of it outlives a crash but what the store has.
 */
#ifndef COINSLOT_NODE_NANO_H
#define COINSLOT_NODE_NANO_H

#include "base/metrics.h"
#include "node/callback.h"
#include "store/store.h"

#define NANO_ERROR_SIZE   480
#define NANO_SOCKETS_MOST 8

struct nano_options {
    const char *rpc;        /* URL; "": none, and nothing can be confirmed or reconciled */
    const char *rpc_header; /* "Name: value", such as an API key; "" */
    uint32_t rpc_calls_per_s, rpc_connections, rpc_timeout_s;
    const char *ws;        /* URLs, separated by spaces; "": none */
    const char *ws_header; /* for all of them */
    bool ws_filter_all;    /* false: the nodes send only what concerns our accounts */
    const char *ca_file;   /* PEM: whom https and wss believe; "": the system's */
    uint32_t silence_s, sweep_s, batch;
    bool confirm; /* callbacks are believed only once the RPC has said so; needs rpc */
    enum callback_signature signature;
    struct metrics *metrics;
};

struct nano;

/* After store_open, before store_start. CS_EINVAL: an option, `error` says which and what to write. */
CS_MUST_CHECK enum cs_err nano_open(const struct nano_options *options, struct store *store,
                                    struct nano **nano, char error[NANO_ERROR_SIZE]);
CS_MUST_CHECK enum cs_err nano_start(struct nano *nano); /* after store_start */
void nano_stop(struct nano *nano);                       /* before store_stop: asks nobody any more */
void nano_close(struct nano *nano);                      /* after store_stop and callback_close */

/* Where the callback tells what comes in. */
struct callback_sink nano_callback_sink(struct nano *nano);
/* For store_events.watched. */
void nano_note_watched(void *nano, const struct address *address, enum store_watch watch);

/* Every address is looked at, soon. False: there is no RPC to ask. `why` lives for ever. */
bool nano_reconcile(void *nano, const char *why);
/* NULL when news comes in, else why not, in words: for /readyz. */
const char *nano_check(void *nano);
/* Sources, node, reconciliation and completeness as one JSON object; owned by the caller. docs: schema/openapi.yaml, /api/v1/sources. */
char *nano_print_report(void *nano);

#endif
