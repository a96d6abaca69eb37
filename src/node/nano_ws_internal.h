/* nano_ws: what its files share. All on the loop's thread. */
#ifndef COINSLOT_NODE_NANO_WS_INTERNAL_H
#define COINSLOT_NODE_NANO_WS_INTERNAL_H

#include <pthread.h>

#include "node/nano_filter.h"
#include "node/nano_wire.h"
#include "node/nano_ws.h"
#include "node/refusals.h"

/* A request that waits for its ack; one at a time. */
struct asked {
    bool is; /* there is one */
    enum nano_ws_action action;
    uint64_t id;
    struct nano_filter_changes
        changes; /* that it tells a node which was connected; empty: none in particular */
};

struct nano_ws {
    struct nano_ws_options options; /* its texts are not kept */
    struct nano_url url;
    struct nano_wire *wire;
    struct nano_filter *filter;
    struct refusals *refusals;
    uv_timer_t step;  /* the wait for the next attempt, the connection, an ack */
    uv_timer_t ping;  /* the next question, or its answer */
    uv_timer_t batch; /* changes of the filter */
    enum nano_ws_state state;
    bool giving_up; /* hung up: only `closed` is awaited */
    bool pinged, reading, whole;
    bool told_failure; /* in the log; the next ones are debug, until it is connected again */
    struct asked asked;
    uint64_t ids;
    uint32_t attempts;                         /* since the last healthy connection */
    uint64_t connected_at_ms, confirmed_at_ms; /* monotonic; of this connection */
    bool has_count;
    uint64_t count; /* what had been cemented when nothing had come for a first time */
    uint64_t silence_ms, told_silence_ms;
    pthread_mutex_t gate; /* around `look` */
    struct nano_ws_look look;
};

/* nano_ws.c */
void nano_ws_on_step(uv_timer_t *timer);
void nano_ws_be(struct nano_ws *ws, enum nano_ws_state state);
void nano_ws_note_error(struct nano_ws *ws, const char *why, bool was_connected);
/* Ends the connection; `quietly`: not worth a warning. */
void nano_ws_give_up(struct nano_ws *ws, const char *why, bool quietly);
void nano_ws_be_connected(struct nano_ws *ws);
uint64_t nano_ws_now_ms(void);

/* nano_ws_subscribe.c: what the node is asked for */
void nano_ws_subscribe(struct nano_ws *ws);
void nano_ws_update_soon(struct nano_ws *ws);
void nano_ws_on_batch(uv_timer_t *timer);
void nano_ws_take_ack(struct nano_ws *ws, const struct nano_ws_message *message);
void nano_ws_miss_ack(struct nano_ws *ws);
void nano_ws_forget_asked(struct nano_ws *ws);

/* nano_ws_alive.c: pings, and the watch for silence */
void nano_ws_start_pings(struct nano_ws *ws);
void nano_ws_hear(struct nano_ws *ws);
void nano_ws_hear_confirmation(struct nano_ws *ws);
void nano_ws_excuse_silence(struct nano_ws *ws);

#endif
