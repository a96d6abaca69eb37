#include "plain/assemble.h"

#include <string.h>

#define OPCODE_CONTINUATION 0x0 /* RFC 6455, 5.2 */
#define OPCODE_TEXT         0x1
#define OPCODE_BINARY       0x2

bool assemble_is_data(const struct assemble_piece *piece)
{
    return piece->opcode <= OPCODE_BINARY;
}

static enum assemble_result refuse(struct assemble *assemble)
{
    assemble->bad = true;
    return ASSEMBLE_BAD;
}

enum assemble_result assemble_take(struct assemble *assemble, const struct assemble_piece *piece)
{
    if (!assemble_is_data(piece)) {
        return ASSEMBLE_MORE;
    }
    if (assemble->bad) {
        return ASSEMBLE_BAD;
    }
    if (piece->offset == 0) {
        /* An empty piece can be told twice: when a frame's first bytes were late. It is a beginning only once. */
        bool begins = piece->opcode != OPCODE_CONTINUATION;
        bool again = piece->length == 0 && piece->frame_length > 0;
        if (piece->opcode == OPCODE_BINARY || begins == assemble->open) {
            return refuse(assemble);
        }
        if (again) {
            return ASSEMBLE_MORE;
        }
        assemble->length = begins ? 0 : assemble->length;
        assemble->open = true;
    } else if (!assemble->open) {
        return refuse(assemble);
    }
    if (piece->length > CORE_MESSAGE_SIZE - assemble->length || piece->length > piece->frame_length ||
        piece->offset > piece->frame_length - piece->length) {
        return refuse(assemble);
    }
    if (piece->length > 0) {
        memcpy(assemble->text + assemble->length, piece->bytes, piece->length);
        assemble->length += piece->length;
    }
    if (!piece->last_frame || piece->offset + piece->length < piece->frame_length) {
        return ASSEMBLE_MORE;
    }
    assemble->open = false;
    return ASSEMBLE_WHOLE;
}
