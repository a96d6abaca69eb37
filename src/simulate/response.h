/*
 * response: reads one HTTP response, fed in any pieces, as a Nano node takes it (Boost.Beast, with its
 * limits). A value type: one thread at a time, no heap, no I/O.
 */
#ifndef COINSLOT_SIMULATE_RESPONSE_H
#define COINSLOT_SIMULATE_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_HEAD_MOST                                                                                   \
    8192 /* bytes; beyond it the node gives up with `header limit exceeded` (recorded) */
#define RESPONSE_LINE_SIZE 256 /* what is kept of a line; the fields that matter are shorter */
#define RESPONSE_BODY_SIZE 512 /* what is kept of the body, to show to people */

enum response_part {
    RESPONSE_STATUS_LINE,
    RESPONSE_FIELDS,
    RESPONSE_COUNTED_BODY,
    RESPONSE_OPEN_BODY, /* until the peer closes */
    RESPONSE_CHUNK_SIZE,
    RESPONSE_CHUNK_DATA,
    RESPONSE_CHUNK_END,
    RESPONSE_TRAILER,
    RESPONSE_WHOLE,
};

struct response {
    enum response_part part;
    int status;          /* 0 until the status line is read */
    uint64_t left_bytes; /* of the body, or of the chunk */
    bool counted, chunked, closes;
    bool surplus; /* bytes came after the end: the connection can't be used again */
    size_t head_bytes;
    char line[RESPONSE_LINE_SIZE];
    size_t line_length;
    char body[RESPONSE_BODY_SIZE]; /* NUL-terminated */
    size_t body_length;
};

enum response_progress { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_BAD };

void response_init(struct response *response);

/* RESPONSE_BAD: `error` points to a fixed text that says why. */
enum response_progress response_feed(struct response *response, const char *bytes, size_t count,
                                     const char **error);
/* The peer has closed: never RESPONSE_MORE. */
enum response_progress response_end(struct response *response, const char **error);

/* After RESPONSE_DONE: whether another request may follow on the same connection. */
bool response_keeps_alive(const struct response *response);

#endif
