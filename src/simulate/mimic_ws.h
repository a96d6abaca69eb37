/*
 * mimic_ws: the make-believe node's WebSocket port, and one that behaves badly. Owns its port and sessions, on its owner's loop and
 * thread. Nothing survives its end.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_WS_H
#define COINSLOT_SIMULATE_MIMIC_WS_H

#include "simulate/counts.h"
#include "simulate/faults.h"
#include "simulate/net.h"
#include "simulate/world.h"

struct mimic_ws;

struct mimic_ws_options {
    uv_loop_t *loop;
    const struct net_address *address;
    struct faults *faults; /* borrowed, as counts */
    struct counts *counts;
};

/* NULL: libwebsockets does not start. */
struct mimic_ws *mimic_ws_open(const struct mimic_ws_options *options);
CS_MUST_CHECK enum cs_err mimic_ws_listen(struct mimic_ws *ws, char error[NET_ERROR_SIZE]);

/* Closes the port and says good-bye: runs the loop until all sessions are gone, or a second is over. Then run the loop to its end. */
void mimic_ws_stop(struct mimic_ws *ws);
void mimic_ws_close(struct mimic_ws *ws);

/* The port too, until mimic_ws_listen. */
void mimic_ws_cut_port(struct mimic_ws *ws);
/* Every session, without a close frame. */
void mimic_ws_cut(struct mimic_ws *ws);
/* Every session with 1000 `Shutting down`. */
void mimic_ws_say_goodbye(struct mimic_ws *ws);

/* A block that came, unconfirmed. */
void mimic_ws_tell_block(struct mimic_ws *ws, struct world *world, uint32_t block);
/* How many sessions it was sent to. */
size_t mimic_ws_tell_confirmation(struct mimic_ws *ws, struct world *world, uint32_t block,
                                  enum world_why why);

size_t mimic_ws_session_count(const struct mimic_ws *ws);
const struct net_address *mimic_ws_address(const struct mimic_ws *ws);

#endif
