/* The nodes' WebSockets: what they tell, and the addresses that they are to tell of. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/upstream_internal.h"

#define LOG_MODULE "upstream"

#define QUEUE_MOST 16384 /* payments that wait because the writer's inbox is full */

/* ---- what they tell ------------------------------------------------------------------------------------------------ */

static struct socket *socket_of(struct upstream *upstream, const struct nano_ws *ws)
{
    for (size_t i = 0; i < upstream->socket_count; i++) {
        if (upstream->sockets[i].ws == ws) {
            return &upstream->sockets[i];
        }
    }
    assert(!"one of ours");
    return NULL;
}

size_t upstream_source_of(struct upstream *upstream, const struct nano_ws *ws)
{
    return socket_of(upstream, ws)->source;
}

static void on_connected(void *context, struct nano_ws *ws)
{
    struct upstream *upstream = context;
    struct socket *socket = socket_of(upstream, ws);
    socket->connected = true;
    sources_set_alive(upstream->sources, socket->source, true, "");
    sources_note_message(upstream->sources, socket->source);
    (void)upstream_reconcile(upstream,
                             "a node's WebSocket is subscribed: what came before has to be asked for");
}

static void on_lost(void *context, struct nano_ws *ws, const char *why)
{
    struct upstream *upstream = context;
    struct socket *socket = socket_of(upstream, ws);
    socket->connected = false;
    sources_set_alive(upstream->sources, socket->source, false, why);
}

/*
 * A node may tell again of what it confirmed long ago, though not as the outcome of an election: for that it was held once. What was
 * received before a subscription is known by the height of its receive alone, which the RPC has to say.
 */
static bool may_be_old(const struct upstream *upstream, const struct notice *notice)
{
    struct payment payment;
    if (upstream->rpc == NULL || !notice->is_send) {
        return false;
    }
    notice_to_payment(notice, &payment);
    return store_has_past(upstream->store, &payment.to);
}

static void on_confirmed(void *context, struct nano_ws *ws, const struct notice *notice,
                         enum nano_ws_confirmation confirmation, int64_t time_ms)
{
    struct upstream *upstream = context;
    struct socket *socket = socket_of(upstream, ws);
    if (confirmation != NANO_WS_ACTIVE_QUORUM && may_be_old(upstream, notice)) {
        upstream_bare_take(upstream, ws, notice->hash);
        return;
    }
    sources_note_message(upstream->sources, socket->source);
    nano_source_take(upstream->source, socket->source, notice, time_ms, 0);
}

static void on_silent(void *context, struct nano_ws *ws)
{
    (void)context;
    (void)ws; /* `lost` follows, and says it */
}

/* What was paid between a subscription's baseline and now no source may have told of. */
static void on_watching(void *context, struct nano_ws *ws, const uint8_t (*accounts)[32], size_t count)
{
    struct upstream *upstream = context;
    (void)ws;
    for (size_t i = 0; i < count && upstream->backfill != NULL; i++) {
        struct address address = address_from_nano_key(accounts[i]);
        backfill_ask(upstream->backfill, &address);
    }
}

static void on_brought(void *context, size_t source, const struct payment *payment, bool stored,
                       int64_t heard_at_ms)
{
    sources_note_payment(((struct upstream *)context)->sources, source, payment, stored, heard_at_ms);
}

static void on_reading(void *context, bool reading)
{
    struct upstream *upstream = context;
    for (size_t i = 0; i < upstream->socket_count; i++) {
        nano_ws_set_reading(upstream->sockets[i].ws, reading);
    }
}

static void on_refused(void *context)
{
    atomic_store(&((struct upstream *)context)->lost, "disk_full");
}

/* ---- addresses that come and go ------------------------------------------------------------------------------------ */

struct watched {
    struct upstream *upstream;
    struct address address;
    bool added;
};

static void watch_on_loop(void *context)
{
    struct watched watched = *(struct watched *)context;
    free(context);
    for (size_t i = 0; i < watched.upstream->socket_count; i++) {
        nano_ws_watch(watched.upstream->sockets[i].ws, &watched.address, watched.added);
    }
}

void upstream_note_watched(void *context, const struct address *address, enum store_watch watch)
{
    struct upstream *upstream = context;
    if (watch == STORE_WATCH_SUBSCRIBED) {
        if (upstream->backfill != NULL) {
            backfill_ask(upstream->backfill, address);
        }
        return;
    }
    if (upstream->socket_count == 0) {
        return;
    }
    struct watched *watched = cs_alloc(sizeof(*watched));
    *watched = (struct watched){upstream, *address, watch == STORE_WATCH_BEGUN};
    enum cs_err err = node_loop_post(upstream->loop, watch_on_loop, watched);
    if (err != CS_OK) {
        /* The filter would stay wrong for good: a restart is safe. Never seen: the queue holds tens of thousands. */
        if (err == CS_EBUSY) {
            log_die(LOG_MODULE,
                    "the node thread does not take up new addresses; start again, nothing committed is lost");
        }
        free(watched);
    }
}

void upstream_watch_at_start(void *context, const struct address *address)
{
    struct upstream *upstream = context;
    for (size_t i = 0; i < upstream->socket_count; i++) {
        nano_ws_watch(upstream->sockets[i].ws, address, true);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static enum cs_err open_socket(struct upstream *upstream, const char *url, char error[UPSTREAM_ERROR_SIZE])
{
    char why[NANO_WS_OPEN_ERROR_SIZE];
    struct socket *socket = &upstream->sockets[upstream->socket_count];
    const struct nano_ws_options options = {
        .loop = upstream->loop,
        .url = url,
        .header = upstream->options.ws_header,
        .ca_file = upstream->options.ca_file[0] != '\0' ? upstream->options.ca_file : NULL,
        .filter = upstream->options.ws_filter_all ? NANO_WS_FILTER_ALL : NANO_WS_FILTER_ACCOUNTS,
        .silence_s = upstream->rpc != NULL ? upstream->options.silence_s : 0,
        .times = &NANO_WS_TIMES,
        .counters = &upstream->counters[upstream->socket_count],
        .events = {upstream, on_connected, on_lost, on_confirmed, upstream_bare_take, on_silent, on_watching},
    };
    socket->ws = nano_ws_open(&options, why);
    if (socket->ws == NULL) {
        snprintf(error, UPSTREAM_ERROR_SIZE, "[nano] ws: %s", why);
        return CS_EINVAL;
    }
    socket->upstream = upstream;
    socket->source = sources_add(upstream->sources, SOURCE_NANO_WS, nano_ws_shown_url(socket->ws), true);
    upstream->socket_count++;
    return CS_OK;
}

enum cs_err upstream_open_sockets(struct upstream *upstream, char error[UPSTREAM_ERROR_SIZE])
{
    const struct nano_source_options source = {
        .loop = upstream->loop,
        .store = upstream->store,
        .signature = upstream->options.signature,
        .queue_most = QUEUE_MOST,
        .metrics = upstream->options.metrics,
        .context = upstream,
        .reading = on_reading,
        .refused = on_refused,
        .brought = on_brought,
    };
    char urls[1024];
    snprintf(urls, sizeof(urls), "%s", upstream->options.ws);
    size_t count = 0;
    for (char *at = urls; *at != '\0'; at += strcspn(at, " ")) {
        at += strspn(at, " ");
        count += *at != '\0';
    }
    if (count > UPSTREAM_SOCKETS_MOST) {
        snprintf(error, UPSTREAM_ERROR_SIZE, "[nano] ws has %zu URLs: at most %d", count,
                 UPSTREAM_SOCKETS_MOST);
        return CS_EINVAL;
    }
    upstream->source = nano_source_open(&source);
    upstream->counters = nano_ws_counters_open(upstream->options.metrics, count);
    enum cs_err err = CS_OK;
    char *rest = NULL;
    for (char *url = strtok_r(urls, " ", &rest); url != NULL && err == CS_OK;
         url = strtok_r(NULL, " ", &rest)) {
        err = open_socket(upstream, url, error);
    }
    return err;
}
