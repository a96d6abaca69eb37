/*
 * moves: the states of a delivery and the moves between them, as data.
 *
 *   stored ──► sent ──► acked ──► actuated
 *     │          └──────┬──┴─────► refused (below_minimum, too_late, …)
 *     └──► expired      └ an ack, cumulative, moves only `sent`; an outcome acks everything before it
 *
 * Pure: any thread, no I/O.
 */
#ifndef COINSLOT_DELIVERY_MOVES_H
#define COINSLOT_DELIVERY_MOVES_H

#include <stdbool.h>

enum delivery_state {
    DELIVERY_STORED,   /* committed */
    DELIVERY_SENT,     /* committed before the frame reached a socket */
    DELIVERY_ACKED,    /* the device has it for good */
    DELIVERY_ACTUATED, /* the machine did what was paid for; final */
    DELIVERY_REFUSED,  /* the device would not; final */
    DELIVERY_EXPIRED,  /* it waited longer than its operator allows; final */
};
#define DELIVERY_STATE_COUNT 6

const char *delivery_state_text(enum delivery_state state);
bool delivery_state_parse(const char *text, enum delivery_state *state);
bool delivery_state_final(enum delivery_state state);
bool delivery_move_allowed(enum delivery_state from, enum delivery_state to);

#endif
