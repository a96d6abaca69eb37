/*
 * face: how the make-believe node shows itself: its RPC, its WebSocket, and what its callback has to be told. Owns a libuv loop, the
 * world behind it and the ports; one thread, which waits for face_fd and then calls face_turn. Nothing survives its end.
 */
#ifndef COINSLOT_SIMULATE_FACE_H
#define COINSLOT_SIMULATE_FACE_H

#include <stdio.h>

#include "simulate/faults.h"
#include "simulate/net.h"
#include "simulate/scenario.h"
#include "simulate/world.h"

struct face_options {
    const struct net_address *rpc, *ws; /* NULL: none of it */
    const struct faults *faults;        /* from the beginning */
    bool callback;                      /* there is one */
};

struct face;

/* CS_EIO, CS_EINVAL: a port cannot be had; `error` says which. The network stays the caller's, and outlives the face. */
CS_MUST_CHECK enum cs_err face_open(const struct face_options *options, struct network *network,
                                    struct face **face, char error[NET_ERROR_SIZE]);
/* Says good-bye to the WebSockets as a node that is stopped does. */
void face_close(struct face *face);

/* {"ready":true,"rpc":"127.0.0.1:7076","ws":"…"} */
void face_print_ready(const struct face *face, FILE *out);

/* ---- its turns ----------------------------------------------------------------------------------------- */

int face_fd(const struct face *face); /* readable: there is something to do */
/* In how many ms there is, at most `most_ms`. */
unsigned face_wait_ms(struct face *face, unsigned most_ms);
void face_turn(struct face *face);

/* ---- what is to be told -------------------------------------------------------------------------------- */

/* The next thing that the callback has to be told. False: nothing. */
bool face_take_callback(struct face *face, struct scenario_news *news);
/* Whether the scenario's own news goes out, once or `twice`, or is lost: the fault's decision. The WebSocket hears of it in any case. */
bool face_pass_news(struct face *face, const struct scenario_news *news, bool *twice);
/* What became of a callback. */
void face_count_answer(struct face *face, int status);

#endif
