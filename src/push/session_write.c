/*
 * What a session has still to send. It is queued while the loop is at work, and written before the loop waits: so many frames are one write,
 * and libwebsockets is not asked to watch the socket for each of them, which takes four calls of epoll_ctl. Only a socket that does not take
 * all is watched.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "push/session_state.h"

/* RFC 6455, section 5.2: the last fragment of a message, which is the only one. */
#define OPCODE_TEXT   0x81
#define OPCODE_PING   0x89
#define HEAD_MOST     10
#define LENGTH_IN_TWO 126 /* instead of the length: it follows in two bytes, */
#define LENGTH_IN_8   127 /* in eight */

struct frame {
    struct frame *next;
    size_t length;
    unsigned char bytes[]; /* as they go out */
};

/* ---- the queue ----------------------------------------------------------------------------------------- */

/* A server's frames are not masked. */
static size_t write_head(unsigned char head[HEAD_MOST], unsigned char opcode, size_t length)
{
    head[0] = opcode;
    if (length < LENGTH_IN_TWO) {
        head[1] = (unsigned char)length;
        return 2;
    }
    unsigned width = length <= UINT16_MAX ? 2 : 8;
    head[1] = width == 2 ? LENGTH_IN_TWO : LENGTH_IN_8;
    for (unsigned i = 0; i < width; i++) {
        head[2 + i] = (unsigned char)(length >> (8 * (width - 1 - i)));
    }
    return 2 + width;
}

uint32_t session_queued(const struct session *session)
{
    return session->queued;
}

void session_send(struct session *session, const char *text, size_t length)
{
    session_send_joined(session, text, length, "", 0);
}

void session_send_joined(struct session *session, const char *text, size_t length, const char *tail,
                         size_t tail_length)
{
    unsigned char head[HEAD_MOST];
    size_t head_length = write_head(head, OPCODE_TEXT, length + tail_length);
    struct frame *frame = cs_alloc(sizeof(*frame) + head_length + length + tail_length);
    frame->length = head_length + length + tail_length;
    memcpy(frame->bytes, head, head_length);
    memcpy(frame->bytes + head_length, text, length);
    memcpy(frame->bytes + head_length + length, tail, tail_length);
    *(session->last != NULL ? &session->last->next : &session->first) = frame;
    session->last = frame;
    session->queued++;
    session_write_soon(session);
}

static void drop_first(struct session *session)
{
    struct frame *frame = session->first;
    session->first = frame->next;
    if (session->first == NULL) {
        session->last = NULL;
    }
    session->queued--;
    free(frame);
}

void session_drop_queue(struct session *session)
{
    while (session->first != NULL) {
        drop_first(session);
    }
}

/* ---- who has something to write ------------------------------------------------------------------------ */

void session_write_soon(struct session *session)
{
    struct push *push = session->push;
    if (session->unwritten || session->choked) {
        return;
    }
    session->unwritten_before = push->unwritten_last;
    *(push->unwritten_last != NULL ? &push->unwritten_last->unwritten_after : &push->unwritten_first) =
        session;
    push->unwritten_last = session;
    session->unwritten = true;
}

static void leave_unwritten(struct session *session)
{
    struct push *push = session->push;
    if (!session->unwritten) {
        return;
    }
    *(session->unwritten_before != NULL ? &session->unwritten_before->unwritten_after
                                        : &push->unwritten_first) = session->unwritten_after;
    *(session->unwritten_after != NULL ? &session->unwritten_after->unwritten_before
                                       : &push->unwritten_last) = session->unwritten_before;
    session->unwritten_before = session->unwritten_after = NULL;
    session->unwritten = false;
}

void session_unchoked(struct session *session)
{
    session->choked = false;
    session_write_soon(session);
}

void session_forget_writing(struct session *session)
{
    leave_unwritten(session);
    session_drop_queue(session);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static bool has_something(const struct session *session)
{
    return session->first != NULL || session->ping_wanted;
}

/* "Raw": they are frames already. What the socket does not take libwebsockets keeps. */
static bool write_bytes(struct session *session, unsigned char *bytes, size_t length)
{
    return lws_write(session->wsi, bytes, length, LWS_WRITE_RAW) == (int)length;
}

/* As many as are written at a time; one that is longer alone. False: the connection is broken. */
static bool write_frames(struct session *session)
{
    unsigned char bytes[SESSION_WRITE_MOST];
    size_t length = 0;
    if (session->ping_wanted) {
        session->ping_wanted = false;
        length = write_head(bytes, OPCODE_PING, 1);
        bytes[length++] = '?'; /* of a pong without a payload we would not hear */
    }
    while (session->first != NULL && session->first->length <= sizeof(bytes) - length) {
        memcpy(bytes + length, session->first->bytes, session->first->length);
        length += session->first->length;
        drop_first(session);
    }
    if (length > 0) {
        return write_bytes(session, bytes, length);
    }
    bool written = write_bytes(session, session->first->bytes, session->first->length);
    drop_first(session);
    return written;
}

/* Whether libwebsockets has the rest of a write, ours or a pong of its own. */
static bool is_choked(struct session *session)
{
    session->choked = lws_partial_buffered(session->wsi) != 0;
    if (session->choked) {
        lws_callback_on_writable(session->wsi);
    }
    return session->choked;
}

static void write_session(struct session *session)
{
    /* Once a close frame may be out, libwebsockets' own too, nothing follows it (RFC 6455, section 5.5.1). */
    if (session->over || lws_get_close_length(session->wsi) > 0 || is_choked(session)) {
        return;
    }
    if (has_something(session)) {
        if (!write_frames(session)) {
            session_close_soon(session);
            return;
        }
        (void)is_choked(session);
        session->protocol->drained(session->state);
    }
    if (has_something(session)) {
        session_write_soon(session);
    } else if (session->end_code != 0 && !session->choked) {
        session->closing = true;
        session_close_soon(session);
    }
}

void session_write_now(struct session *session)
{
    leave_unwritten(session);
    write_session(session);
}

void sessions_write(struct push *push)
{
    struct session *session, *last = push->unwritten_last;
    while ((session = push->unwritten_first) != NULL) {
        session_write_now(session);
        if (session == last) {
            break;
        }
    }
    if (push->unwritten_first != NULL) {
        push_wake(push); /* the sockets have their turn first */
    }
}
