/*
 * assemble: WebSocket frames, which the client hands over in pieces, put together to text messages (RFC 6455, 5.4).
 * Pure; one for each connection.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_ASSEMBLE_H
#define COINSLOT_FIRMWARE_ESP32_ASSEMBLE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/core.h"

enum assemble_result {
    ASSEMBLE_MORE,  /* nothing to do yet */
    ASSEMBLE_WHOLE, /* `text` and `length` are a message; it is over with the next piece */
    ASSEMBLE_BAD, /* no text, too long, or out of order: nothing that follows in this connection can be made sense of */
};

struct assemble {
    char *text; /* CORE_MESSAGE_SIZE bytes; the caller's, who may change it between two messages */
    size_t length;
    bool open; /* a message has begun, and its last frame has not come */
    bool bad;
};

/* One piece of a frame: `frame_length` in all, of which this is at `offset`. */
struct assemble_piece {
    unsigned opcode;
    bool last_frame;
    size_t frame_length, offset, length;
    const char *bytes;
};

/* Control frames (pings, pongs, closes) change nothing: they may stand between the frames of a message. */
bool assemble_is_data(const struct assemble_piece *piece);
enum assemble_result assemble_take(struct assemble *assemble, const struct assemble_piece *piece);

#endif
