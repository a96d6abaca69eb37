/*
 * deadlines: how long a connection may take to send a request. libmicrohttpd's own timeout begins anew with each byte, so that one byte
 * now and then would hold a connection for ever. Owns the thread that cuts who is late. Any thread; one lock, held for a moment.
 */
#ifndef COINSLOT_HTTP_DEADLINES_H
#define COINSLOT_HTTP_DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"

struct deadlines;

/* Of one connection; zeroed at first. */
struct deadline {
    struct deadline *before, *after;
    uint64_t due_ns;
    int fd;
    bool set;
};

/* timeout_s 0: none is ever late. `cut` counts those that were. */
struct deadlines *deadlines_open(uint32_t timeout_s, metrics_count *cut);
void deadlines_close(struct deadlines *deadlines); /* none is set any more */

/* From now on, also where it was set before. `fd` stays open until deadline_clear. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int fd);
void deadline_clear(struct deadlines *deadlines, struct deadline *deadline);

#endif
