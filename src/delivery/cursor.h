/*
 * cursor: where one device stands, as the writer knows it.
 *
 *   1 … acked … sent … head        acked <= sent <= head, always
 *
 * The writer alone moves it, inside its transactions; it decides which payment may go out live and which seqs
 * a page may read. Its counterpart in the push loop is outbox.h. Pure: no I/O, no clock, no lock.
 */
#ifndef COINSLOT_DELIVERY_CURSOR_H
#define COINSLOT_DELIVERY_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cursor {
    uint64_t head;  /* the highest seq given out */
    uint64_t sent;  /* the highest seq ever marked as sent, or announced as a gap */
    uint64_t acked; /* the device has everything up to here */

    /* The live session; 0 when there is none. Everything below belongs to it. */
    uint64_t generation;
    uint64_t session_sent; /* the highest seq handed to this session */
    uint32_t window;       /* how many seqs may be out and not acked */
    bool raised;           /* the session has been told that there is more, and has not asked for it yet */
};

enum cursor_post {
    CURSOR_POST_NOTHING, /* no session, or it knows that it has to ask */
    CURSOR_POST_LIVE,    /* mark the delivery as sent and hand it to the session */
    CURSOR_POST_RAISE,   /* tell the session that head has moved */
};

/* Gives the next seq to a new delivery. */
enum cursor_post cursor_take_payment(struct cursor *cursor, uint64_t *seq);

/*
 * A session begins and fences the one before; `resume` is the last seq that the device has persisted.
 * CS_ECONFLICT when it is above the highest seq ever sent: then nothing has changed. On CS_OK acked has taken
 * resume in.
 */
CS_MUST_CHECK enum cs_err cursor_begin_session(struct cursor *cursor, uint64_t generation, uint64_t resume,
                                               uint32_t window);

/*
 * The store was rolled back, and the device has persisted `resume`, whether or not this store ever sent it: nothing is acked; what was not
 * acked is numbered anew, right after resume. Returns by how much each seq above acked is to be raised (0: they may stay).
 */
uint64_t cursor_roll_back(struct cursor *cursor, uint64_t resume);

/* False when `generation` is not the live one (0 never is): whatever comes from it is to be ignored. */
bool cursor_is_live(const struct cursor *cursor, uint64_t generation);
void cursor_end_session(struct cursor *cursor);

/*
 * The session asks for at most `most` seqs from `from` on. `*to` is the last one it may read, below `from`
 * when there is none; `*mark_from` is the first that this session has not been given before, so that an
 * attempt is counted once a session.
 */
void cursor_mark_page(struct cursor *cursor, uint64_t from, uint32_t most, uint64_t *mark_from, uint64_t *to);

/* CS_EINVAL when seq is above what this device was ever sent. An older seq changes nothing. */
CS_MUST_CHECK enum cs_err cursor_ack(struct cursor *cursor, uint64_t seq);

#endif
