/* work: the parts of core that act, and what they have of each other. */
#ifndef COINSLOT_FIRMWARE_CORE_WORK_H
#define COINSLOT_FIRMWARE_CORE_WORK_H

#include "core/core_struct.h"

/* Ends the connection for a reason of ours: nothing that is still to come of it counts. `code` as in docs/device-protocol.md. */
void core_link_drop(struct core *core, unsigned code, const char *why);
#define CLOSE_PROTOCOL  4000
#define CLOSE_NOT_KNOWN 4002 /* the relay is not the one that is pinned */
#define CLOSE_TIMEOUT   4003
#define CLOSE_BAD_MAC   4012

/* What is due leaves, as long as the port has room: hello, ack, outcomes, status, in this order. Nothing is due but by what is kept. */
void core_out_flush(struct core *core);
/* Of that the ack alone. */
void core_out_ack(struct core *core);

/* A frame of the session; it was read into core->frame. */
void core_take_welcome(struct core *core);
void core_take_frame(struct core *core);

/* The machine runs while there is credit. */
void core_credit_switch(struct core *core);
#endif
