/*
 * link: the meter's WebSocket to its relay. One connection at a time, made when it is asked for; found dead by pings.
 * On the loop's thread; nothing of it blocks. Callbacks come from the loop, `closed` never from within a call.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_LINK_H
#define COINSLOT_FIRMWARE_POSIX_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "posix/url.h"

#define LINK_ERROR_SIZE 200
#define LINK_WHY_SIZE   160

struct link;

struct link_options {
    uv_loop_t *loop;
    struct url url;
    const char *ca_file; /* "": the system's */
    uint32_t ping_s;     /* after so much silence the relay is pinged */
    uint32_t pong_s;     /* and the connection cut when nothing comes for so long after that */

    void *context;
    void (*opened)(void *context);
    /* A whole text message, borrowed; NULL: one that is binary, or too long. */
    void (*message)(void *context, const char *text, size_t length);
    /* Once for each link_connect. `code` of the close frame, 0 where none came; `why` for people. */
    void (*closed)(void *context, unsigned code, const char *why);
};

/* NULL: `error` says why. */
struct link *link_open(const struct link_options *options, char error[LINK_ERROR_SIZE]);
void link_connect(struct link *link); /* only when there is none */
/* Copied, all of it or nothing; false: no room, or not open. */
bool link_send(struct link *link, const char *text, size_t length);
/* Politely, then for good. Harmless when there is none; more calls change nothing. */
void link_hang_up(struct link *link, unsigned code, const char *reason);

/* The end, in two steps: the loop runs in between until it has nothing left of it. No callback after link_stop. */
void link_stop(struct link *link);
void link_close(struct link *link);

#endif
