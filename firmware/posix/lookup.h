/*
 * lookup: a host's addresses. getaddrinfo may take many seconds: it runs on libuv's pool, and the countdown goes on.
 * On the loop's thread.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_LOOKUP_H
#define COINSLOT_FIRMWARE_POSIX_LOOKUP_H

#include <stddef.h>
#include <uv.h>

#define LOOKUP_MOST      8  /* addresses */
#define LOOKUP_TEXT_SIZE 64 /* of one, numeric, with its scope */

struct lookup;

/* `count` 0: there are none, `why` says what the resolver said. */
typedef void (*lookup_done)(void *context, char (*addresses)[LOOKUP_TEXT_SIZE], size_t count,
                            const char *why);

/* `done` is called once, from the loop, unless it is forgotten before. NULL: that is no host's name. */
struct lookup *lookup_start(uv_loop_t *loop, const char *host, lookup_done done, void *context);
void lookup_forget(struct lookup *lookup);

#endif
