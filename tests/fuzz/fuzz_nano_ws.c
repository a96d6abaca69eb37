/* A message of a node's WebSocket. Whatever it is, it has a kind, and what is confirmed is consistent in itself. */
#include <assert.h>
#include <string.h>

#include "node/nano_ws_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_confirmed(const struct nano_ws_message *message)
{
    uint8_t hash[32];
    block_hash(&message->notice.block, hash);
    assert(memcmp(hash, message->hash, sizeof(hash)) == 0);
    assert(memcmp(hash, message->notice.hash, sizeof(hash)) == 0);
    if (message->notice.is_send) {
        struct payment payment;
        notice_to_payment(&message->notice, &payment);
        assert(!amount_is_zero(payment.amount));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nano_ws_message message;
    char error[NANO_WS_ERROR_SIZE];
    nano_ws_read((const char *)data, size, &message, error);
    assert(memchr(error, '\0', sizeof(error)) != NULL);
    assert(message.time_ms >= 0);
    switch (message.kind) {
    case NANO_WS_CONFIRMED:
        check_confirmed(&message);
        break;
    case NANO_WS_ACK:
        assert(message.action == NANO_WS_SUBSCRIBE || message.action == NANO_WS_UPDATE ||
               message.action == NANO_WS_UNSUBSCRIBE);
        break;
    case NANO_WS_BARE:
    case NANO_WS_CONTRADICTION:
    case NANO_WS_WRONG_HASH:
    case NANO_WS_MALFORMED:
        assert(error[0] != '\0');
        break;
    case NANO_WS_PONG:
    case NANO_WS_OTHER:
        break;
    }
    return 0;
}
