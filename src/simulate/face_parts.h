/*
 * face_parts: what the parts of the make-believe node's face share. Internal to face*.c.
 */
#ifndef COINSLOT_SIMULATE_FACE_PARTS_H
#define COINSLOT_SIMULATE_FACE_PARTS_H

#include "simulate/counts.h"
#include "simulate/director.h"
#include "simulate/face.h"
#include "simulate/mimic_rpc.h"
#include "simulate/mimic_server.h"
#include "simulate/mimic_ws.h"
#include "simulate/past.h"

struct due;

struct face {
    uv_loop_t loop;
    uv_timer_t tick, restart;
    struct world *world;
    struct faults faults;
    struct director *director;
    struct past *past; /* NULL: the RPC knows what there is */
    struct mimic_options rpc;
    struct mimic_server *server; /* NULL: none */
    struct mimic_ws *ws;         /* NULL: none */
    uint64_t ws_dropped_ns;      /* all its sessions, for the last time */
    struct counts counts;
    bool has_callback, stalled, down;
    uint64_t started_ns;
    unsigned down_ms;
    struct due *first_due, *last_due; /* callbacks that wait to be made */
    unsigned char *told;              /* by block: the channels on which it went out */
    size_t told_room;
};

/* face_news.c: what the world tells, on its way to callback and WebSocket. */
struct world_events face_events(struct face *face);
void face_forget_callbacks(struct face *face);
uint64_t face_callbacks_waiting(const struct face *face);

/* face_calls.c: the RPC, and its faults. */
void face_open_calls(struct face *face);
void face_answer_call(void *context, const char *body, size_t size, struct mimic_server_reply *reply);
/* As the faults of this moment want it: behind, or stalled, or not any more. */
void face_follow_faults(struct face *face);

/* face_hooks.c: what the director asks for. */
struct director_hooks face_hooks(struct face *face);

#endif
