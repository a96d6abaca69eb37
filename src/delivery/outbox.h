/*
 * outbox: what one session has sent, and what it has to send next.
 *
 *   acked < next_seq <= head + 1      everything below next_seq has gone out in this session, or was acked
 *                                     before it
 *
 * The push loop alone moves it. There is no flag for "caught up": a delivery goes out from memory only if it
 * is next_seq and the window has room; otherwise only head is raised, and pages read afterwards bring it.
 * Pure: no I/O, no clock, no lock.
 */
#ifndef COINSLOT_DELIVERY_OUTBOX_H
#define COINSLOT_DELIVERY_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct outbox {
    uint64_t next_seq; /* the next seq that may go out */
    uint64_t head;     /* the highest seq known to exist */
    uint64_t acked;
    uint32_t window;
    bool page_asked; /* one page at a time */
};

/* As the writer answered: everything up to `acked` is done. */
void outbox_init(struct outbox *outbox, uint64_t acked, uint64_t head, uint32_t window);

/* The writer says that seqs up to `head` exist. */
void outbox_raise(struct outbox *outbox, uint64_t head);

/*
 * Deliveries (or one gap) covering the seqs from..to are at hand. True: send it now, it counts as sent.
 * False: drop it; if it is still needed a page will bring it.
 */
bool outbox_offer(struct outbox *outbox, uint64_t from, uint64_t to);

/*
 * True when a page should be asked for: `*most` seqs from `*from` on. At most one is asked for at a time;
 * every answer, an empty one too, is told by outbox_page_done.
 */
bool outbox_wants_page(struct outbox *outbox, uint32_t page_size, uint64_t *from, uint32_t *most);
void outbox_page_done(struct outbox *outbox, uint64_t head);

/* CS_EINVAL when seq is above the highest sent in this session. An older seq changes nothing. */
CS_MUST_CHECK enum cs_err outbox_ack(struct outbox *outbox, uint64_t seq);

#endif
