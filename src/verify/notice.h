/*
 * notice: what a node says of one confirmed block, and the rules by which we believe it.
 * Pure: any thread, no I/O. The same rules serve the callback and, later, the WebSocket.
 */
#ifndef COINSLOT_VERIFY_NOTICE_H
#define COINSLOT_VERIFY_NOTICE_H

#include <stdbool.h>

#include "base/json_scan.h"
#include "payment/payment.h"
#include "verify/block.h"

struct notice {
    struct block block;
    uint8_t account[32]; /* whose chain the block is on; the sender of a send */
    uint8_t hash[32];
    struct amount amount;
    bool is_send; /* false: a receive, change, open or epoch, which pays nobody */
};

/* Each refusal has a stable code, for problem+json and as a metric's label. */
enum notice_verdict {
    NOTICE_VALID,
    NOTICE_MALFORMED,     /* a field is missing, of the wrong type, or unreadable */
    NOTICE_CONTRADICTION, /* two fields, or a field and the block, cannot both be true */
    NOTICE_WRONG_HASH,
    NOTICE_WRONG_SIGNATURE,
};
#define NOTICE_VERDICT_COUNT 5

#define NOTICE_ERROR_SIZE 240

const char *notice_verdict_text(enum notice_verdict verdict); /* "valid", "malformed", "contradiction", … */

/*
 * Reads a callback's object ({account, hash, block, amount, is_send, subtype}; `block` an escaped string, or
 * an object that may hold the subtype), and checks all that costs little: form, hash, and everything in which
 * the parts can contradict each other: account against block.account, link against link_as_account, subtype
 * against is_send, the block's type and its link; an amount of zero in a send, balance + amount beyond 2^128
 * - 1, a send without a previous block. `error` gets what was wrong and what was expected; "" when valid.
 */
enum notice_verdict notice_read(struct json_view object, struct notice *notice,
                                char error[NOTICE_ERROR_SIZE]);

/*
 * The dear part: a send's signature, by the account's key. Other blocks pay nobody and are valid unasked (an
 * epoch block is signed by another key).
 */
enum notice_verdict notice_check_signature(const struct notice *notice, char error[NOTICE_ERROR_SIZE]);

/* Only of a send: who pays whom how much. Every field but source and node_time_ms, which are the caller's. */
void notice_to_payment(const struct notice *notice, struct payment *payment);

#endif
