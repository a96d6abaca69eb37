/*
 * loop: the node thread, and the uv loop that everything of node/ which waits for a node runs on.
 * Owns the thread, the loop and the queue of posted work. Any thread may post; all else happens on the node thread.
 * Nothing outlives a crash: who posts has to be able to begin again.
 *
 * Whose the loop is: of the thread that opened it until node_loop_start, of the node thread until node_loop_stop has returned, and
 * then of the thread that stopped it. So timers and clients may be made before the start, and are closed either by posted work or
 * after the stop, before node_loop_close. "On the loop's thread" means this everywhere in node/.
 */
#ifndef COINSLOT_NODE_LOOP_H
#define COINSLOT_NODE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/err.h"

struct node_loop;

/* At most so many pieces of posted work wait at a time. */
struct node_loop *node_loop_open(size_t posts_most);
CS_MUST_CHECK enum cs_err node_loop_start(struct node_loop *loop);

/*
 * Has `run` called with `context` on the loop's thread, in the order of posting. Any thread, also the loop's own. Work that was
 * accepted (CS_OK) runs in any case, at the latest before node_loop_stop returns; for what is refused, CS_EBUSY because too much
 * waits or CS_ECLOSED after the stop has begun, `run` is never called and `context` is still the caller's.
 */
CS_MUST_CHECK enum cs_err node_loop_post(struct node_loop *loop, void (*run)(void *context), void *context);

/* The loop, for handles of one's own: timers, polls, a library. */
uv_loop_t *node_loop_uv(struct node_loop *loop);

/* Whether the caller may touch the loop: for asserts. */
bool node_loop_is_mine(const struct node_loop *loop);

/* Refuses new work, runs what was accepted, ends the thread. Also when it was never started; a second time it does nothing. */
void node_loop_stop(struct node_loop *loop);

/*
 * After the stop: runs the loop until every handle that uv_close was called for is done with. For libraries that are torn down in two
 * steps around that, as libwebsockets is.
 */
void node_loop_settle(struct node_loop *loop);

/* After the stop, when nobody posts any more and every handle is closed, or closing. */
void node_loop_close(struct node_loop *loop);

#endif
