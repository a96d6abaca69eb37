#include "delivery/cursor.h"

#include <assert.h>

static void check(const struct cursor *cursor)
{
    assert(cursor->acked <= cursor->sent && cursor->sent <= cursor->head);
    assert(cursor->generation == 0 || cursor->session_sent <= cursor->sent);
}

enum cursor_post cursor_take_payment(struct cursor *cursor, uint64_t *seq)
{
    bool nothing_older_waits = cursor->session_sent == cursor->head;
    *seq = ++cursor->head;
    if (cursor->generation == 0) {
        return CURSOR_POST_NOTHING;
    }
    if (nothing_older_waits && cursor->head - cursor->acked <= cursor->window) {
        cursor->session_sent = cursor->head;
        cursor->sent = cursor->head;
        check(cursor);
        return CURSOR_POST_LIVE;
    }
    if (cursor->raised) {
        return CURSOR_POST_NOTHING;
    }
    cursor->raised = true;
    return CURSOR_POST_RAISE;
}

enum cs_err cursor_begin_session(struct cursor *cursor, uint64_t generation, uint64_t resume, uint32_t window)
{
    assert(generation > 0 && window > 0);
    if (resume > cursor->sent) {
        return CS_ECONFLICT;
    }
    if (resume > cursor->acked) {
        cursor->acked = resume;
    }
    cursor->generation = generation;
    cursor->session_sent = cursor->acked;
    cursor->window = window;
    cursor->raised = false;
    check(cursor);
    return CS_OK;
}

uint64_t cursor_roll_back(struct cursor *cursor, uint64_t resume)
{
    uint64_t shift = resume > cursor->acked ? resume - cursor->acked : 0;
    cursor->generation = 0; /* an older session goes by the old numbers */
    cursor->head += shift;
    cursor->acked += shift;
    cursor->sent = cursor->acked;
    check(cursor);
    return shift;
}

bool cursor_is_live(const struct cursor *cursor, uint64_t generation)
{
    return generation != 0 && cursor->generation == generation;
}

void cursor_end_session(struct cursor *cursor)
{
    cursor->generation = 0;
}

void cursor_mark_page(struct cursor *cursor, uint64_t from, uint32_t most, uint64_t *mark_from, uint64_t *to)
{
    assert(from > 0 && most > 0);
    cursor->raised = false;
    uint64_t last = from + most - 1;
    uint64_t room = cursor->acked + cursor->window; /* the highest seq that the window lets out */
    last = last < cursor->head ? last : cursor->head;
    last = last < room ? last : room;
    *to = last;
    *mark_from = from > cursor->session_sent ? from : cursor->session_sent + 1;
    if (last > cursor->session_sent) {
        cursor->session_sent = last;
    }
    if (last > cursor->sent) {
        cursor->sent = last;
    }
    check(cursor);
}

enum cs_err cursor_ack(struct cursor *cursor, uint64_t seq)
{
    if (seq > cursor->sent) {
        return CS_EINVAL;
    }
    if (seq > cursor->acked) {
        cursor->acked = seq;
        if (cursor->session_sent < seq) {
            cursor->session_sent = seq; /* it acks what an earlier session got */
        }
    }
    check(cursor);
    return CS_OK;
}
