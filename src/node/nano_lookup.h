/*
 * nano_lookup: a host's addresses. getaddrinfo may take many seconds: it runs on libuv's pool, and nobody waits for it.
 * On the loop's thread (loop.h).
 */
#ifndef COINSLOT_NODE_NANO_LOOKUP_H
#define COINSLOT_NODE_NANO_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

#include "node/loop.h"

#define NANO_LOOKUP_MOST      8  /* addresses */
#define NANO_LOOKUP_TEXT_SIZE 64 /* of one, numeric, with its scope */

struct nano_lookup;

/* `count` 0: there are none, `why` says what the resolver said. */
typedef void (*nano_lookup_done)(void *context, char (*addresses)[NANO_LOOKUP_TEXT_SIZE], size_t count,
                                 const char *why);

/* `done` is called once, from the loop, unless it is forgotten before. NULL: that is no host's name. */
struct nano_lookup *nano_lookup_start(struct node_loop *loop, const char *host, nano_lookup_done done,
                                      void *context);
/* `done` will not be called. What is under way ends by itself while the loop runs, or is closed. */
void nano_lookup_forget(struct nano_lookup *lookup);

#endif
