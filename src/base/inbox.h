/*
 * inbox: a bounded queue from many threads to one.
 * Owns nothing but its own lock: nodes belong to whoever holds them. Any thread may push, one thread takes.
 */
#ifndef COINSLOT_BASE_INBOX_H
#define COINSLOT_BASE_INBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The first member of whatever is queued. */
struct inbox_node {
    struct inbox_node *next;
};

struct inbox;

struct inbox *inbox_open(size_t capacity);
void inbox_close(struct inbox *inbox); /* must be empty */

/* Never blocks. CS_EBUSY: full; CS_ECLOSED: inbox_shut was called. Then the node is still the caller's. */
CS_MUST_CHECK enum cs_err inbox_push(struct inbox *inbox, struct inbox_node *node);

/*
 * The same, of what nobody waits for: it goes with the next that is urgent, in the order of pushing, or alone once it has been inside for
 * `linger_ms`, or once the inbox is half full.
 */
CS_MUST_CHECK enum cs_err inbox_push_lazy(struct inbox *inbox, struct inbox_node *node, uint32_t linger_ms);

/*
 * Takes up to `most` nodes, oldest first, linked by `next`. Waits up to `wait_ms` for something that does not linger (0: not at all, and
 * takes what lingers too). NULL when there was none.
 */
struct inbox_node *inbox_take(struct inbox *inbox, size_t most, int wait_ms);

/* From now on pushes are refused; what is inside can still be taken, and a waiting taker wakes. */
void inbox_shut(struct inbox *inbox);

size_t inbox_count(struct inbox *inbox);

#endif
