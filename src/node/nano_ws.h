/*
 * nano_ws: the client of one Nano node's WebSocket: keeps itself connected and subscribed, and tells what the node says.
 *
 * Owns its connection (nano_wire.h), its filter and its timers, on the loop's thread (loop.h), where all of it is called but
 * nano_ws_look. Promises nothing, as the node does not: news can be missed, come twice, or late. So each `connected` wants a
 * reconciliation with the node's RPC.
 *
 * A connection is first subscribed, with all accounts that are watched, in requests of at most 900: one `subscribe`, then `update`s;
 * the node has to acknowledge each. A node that leaves an `update` without an ack gets the whole list in one `subscribe` from then on
 * (a list that is too long for that: no list, and everything is told), after a second's wait at each change.
 *
 * A filter never lets legacy blocks pass: the node looks for the account in `link_as_account` alone (recorded).
 */
#ifndef COINSLOT_NODE_NANO_WS_H
#define COINSLOT_NODE_NANO_WS_H

#include "node/loop.h"
#include "node/nano_url.h"
#include "node/nano_ws_counters.h"
#include "node/nano_ws_frames.h"

struct nano_ws;

enum nano_ws_filter { NANO_WS_FILTER_ACCOUNTS, NANO_WS_FILTER_ALL };

/* How long things take; NANO_WS_TIMES unless a test is in a hurry. */
struct nano_ws_times {
    uint32_t connect_ms; /* from the look-up to the upgrade */
    uint32_t ack_ms;
    uint32_t ping_ms,
        pong_ms; /* asks after so much time without a message; then something has to come within pong_ms */
    uint32_t retry_least_ms, retry_most_ms; /* 0 to retry_least_ms at first, twice that each time */
    uint32_t healthy_ms;                    /* after so long a connection the waits begin anew */
    uint32_t batch_ms,
        whole_ms; /* changes of the filter are told so late, together; the whole list so late */
    uint32_t hang_up_ms;
};
extern const struct nano_ws_times NANO_WS_TIMES;

/* On the loop's thread. None may stop or close the nano_ws; all else is fine. All must be set. */
struct nano_ws_events {
    void *context;
    /* Subscribed, and acknowledged. Also when it had to be subscribed anew: what came in between may be missing. */
    void (*connected)(void *context, struct nano_ws *ws);
    /* Once after each `connected`, before the next. */
    void (*lost)(void *context, struct nano_ws *ws, const char *why);
    /* `time_ms`: the node's; 0 when it does not say. The notice is consistent in itself; its signature is not checked. */
    void (*confirmed)(void *context, struct nano_ws *ws, const struct notice *notice,
                      enum nano_ws_confirmation confirmation, int64_t time_ms);
    /* A block was confirmed of which no more is known than its hash. */
    void (*bare)(void *context, struct nano_ws *ws, const uint8_t hash[32]);
    /* Nothing came for silence_s while the node's RPC went on: `lost` follows. */
    void (*silent)(void *context, struct nano_ws *ws);
    /* From now on the node tells of these, too: what came before may be missing. Of those watched at `connected` nothing is said. */
    void (*watching)(void *context, struct nano_ws *ws, const uint8_t (*accounts)[32], size_t count);
};

struct nano_ws_options {
    struct node_loop *loop;
    const char *url;
    const char *header;  /* "Name: value", for API keys; "" or NULL: none */
    const char *ca_file; /* PEM, instead of those that the system trusts; NULL */
    enum nano_ws_filter filter;
    uint32_t silence_s; /* 0: never */
    const struct nano_ws_times *times;
    struct nano_ws_counters *counters; /* this node's */
    struct nano_ws_events events;
};

#define NANO_WS_OPEN_ERROR_SIZE 320

/* NULL: `error` says what is wrong, and what to do. Texts are copied. */
struct nano_ws *nano_ws_open(const struct nano_ws_options *options, char error[NANO_WS_OPEN_ERROR_SIZE]);
/* From now on it connects. */
void nano_ws_start(struct nano_ws *ws);
/* After node_loop_stop; then node_loop_settle, then nano_ws_close. No event comes any more. */
void nano_ws_stop(struct nano_ws *ws);
void nano_ws_close(struct nano_ws *ws);

/* Keeps the filter in step; told to the node in batches. Nothing with NANO_WS_FILTER_ALL. */
void nano_ws_watch(struct nano_ws *ws, const struct address *address, bool added);

/*
 * What the node's RPC says it has cemented so far. Connected, but no confirmation for silence_s while this has risen: the connection is
 * given up and made anew. With a filter silence is the rule: each time that a new connection stays silent as well doubles the time
 * for the next, up to an hour, until something comes.
 */
void nano_ws_note_count(struct nano_ws *ws, uint64_t cemented);

/* While `reading` is false nothing is taken from the socket. */
void nano_ws_set_reading(struct nano_ws *ws, bool reading);

enum nano_ws_state {
    NANO_WS_WAITING,
    NANO_WS_CONNECTING,
    NANO_WS_SUBSCRIBING,
    NANO_WS_CONNECTED,
    NANO_WS_STOPPED
};

struct nano_ws_look {
    char url[NANO_URL_SHOWN_SIZE]; /* without path and query, where keys may be */
    enum nano_ws_state state;
    int64_t since_ms;     /* in this state; wall time, as the others */
    int64_t heard_ms;     /* the last message of any kind; 0: none yet */
    int64_t confirmed_ms; /* the last confirmation */
    uint64_t confirmations, reconnects, accounts;
    bool whole;      /* it does not take `update` */
    char error[160]; /* why the last connection ended, or did not come about; "" */
};
/* Any thread. */
void nano_ws_look(struct nano_ws *ws, struct nano_ws_look *look);
const char *nano_ws_state_text(enum nano_ws_state state);
const char *nano_ws_shown_url(const struct nano_ws *ws); /* any thread */

#endif
