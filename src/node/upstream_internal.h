/*
 * upstream_internal: what upstream's files share, and nobody else sees. On the loop's thread but where it says otherwise.
 */
#ifndef COINSLOT_NODE_UPSTREAM_INTERNAL_H
#define COINSLOT_NODE_UPSTREAM_INTERNAL_H

#include <stdatomic.h>

#include "node/backfill.h"
#include "node/confirm.h"
#include "node/nano_source.h"
#include "node/nano_ws.h"
#include "node/prove.h"
#include "node/sources.h"
#include "node/upstream.h"

#define UPSTREAM_BARE_MOST 500 /* confirmations that wait to be asked about */

struct socket {
    struct upstream *upstream;
    struct nano_ws *ws;
    size_t source; /* its number in `sources` */
    bool connected;
};

struct upstream {
    struct upstream_options options;
    struct store *store;
    struct node_loop *loop;
    struct sources *sources;
    struct rpc *rpc;           /* NULL: none */
    struct confirm *confirm;   /* NULL: confirm = source */
    struct backfill *backfill; /* NULL without rpc */
    struct prove *prove;
    struct nano_source *source;
    struct nano_ws_counters *counters;
    struct socket sockets[UPSTREAM_SOCKETS_MOST];
    size_t socket_count;
    size_t callback, reconciler; /* their numbers in `sources` */
    uv_timer_t timer, bare_timer;
    struct upstream_bare {
        uint8_t hash[32];
        size_t source;
    } bare[UPSTREAM_BARE_MOST];
    size_t bare_count;

    /* What the RPC says of the node. */
    struct rpc_version version;
    bool has_version, asking;
    const char *_Atomic useless; /* it answers, and not what the simplest question asks: why; NULL: it does */
    uint64_t asked_ns, telemetry_ns;
    _Atomic uint64_t count, cemented, network; /* 0: not known; `network`: what others have cemented */
    enum rpc_reach reach;
    uint64_t down_ns; /* the RPC does not answer since then; 0: it does */
    bool down_told, swept_whole, lagging;

    bool live, was_live;    /* a source was alive when last looked; ever was */
    uint64_t last_sweep_ns; /* that was asked for while none was */
    uint64_t started_ns;

    _Atomic int64_t callback_at_ms;        /* the last; 0: none yet */
    _Atomic uint64_t cemented_at_callback; /* when it came */
    const char *_Atomic lost;              /* news was refused: why; NULL: not */
    const char *_Atomic trouble;           /* for /readyz; NULL: none */
    uint64_t lost_sweep_ns;
};

/* Once a second: who is alive, what follows from that (upstream_watch.c). */
void upstream_watch_tick(struct upstream *upstream);
/* Any thread. As rpc_state; down, too, while all that it answers is of no use. */
void upstream_rpc_state(struct upstream *upstream, struct rpc_state *state);
/* Before the loop runs. CS_EINVAL with the reason when a URL is wrong. */
enum cs_err upstream_open_sockets(struct upstream *upstream, char error[UPSTREAM_ERROR_SIZE]);
/* For store_each_watched, before the loop runs. */
void upstream_watch_at_start(void *context, const struct address *address);
/* Whether one of the nodes' WebSockets is connected. */
bool upstream_socket_alive(const struct upstream *upstream);
/* Its number in `sources`. */
size_t upstream_source_of(struct upstream *upstream, const struct nano_ws *ws);
/* For nano_ws_events.bare (upstream_bare.c). */
void upstream_bare_take(void *context, struct nano_ws *ws, const uint8_t hash[32]);

#endif
