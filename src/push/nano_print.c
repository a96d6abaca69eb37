/* What is sent. The node's form: nano-node, nano/node/websocket.cpp, session::send_ack and message_builder::block_confirmed. */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "push/nano_frames.h"
#include "verify/block.h"

#define TIME_SIZE 24

/* As Boost's write_json prints: four spaces, a final newline, slashes escaped. Takes `value` over. */
static char *print(json_t *value)
{
    char *text = value != NULL ? json_dumps(value, JSON_INDENT(4) | JSON_ESCAPE_SLASH) : NULL;
    assert(text != NULL); /* what we build is valid; jansson has no other reason but memory */
    json_decref(value);
    size_t length = strlen(text);
    text = cs_realloc(text, length + 2);
    memcpy(text + length, "\n", 2);
    return text;
}

static const char *print_time(int64_t now_ms, char text[TIME_SIZE])
{
    snprintf(text, TIME_SIZE, "%" PRId64, now_ms);
    return text;
}

char *nano_print_ack(enum nano_action action, const char *id, int64_t now_ms)
{
    static const char *const ACKS[] = {[NANO_SUBSCRIBE] = "subscribe",
                                       [NANO_UPDATE] = "update",
                                       [NANO_UNSUBSCRIBE] = "unsubscribe",
                                       [NANO_PING] = "pong"};
    char time[TIME_SIZE];
    return print(
        json_pack("{s:s, s:s, s:s*}", "ack", ACKS[action], "time", print_time(now_ms, time), "id", id));
}

char *nano_print_error(const char *error, const char *id)
{
    return print(json_pack("{s:s, s:s*}", "error", error, "id", id));
}

enum nano_type nano_type_of(const struct payment *payment)
{
    switch (payment->source) {
    case SOURCE_CALLBACK: /* a node calls back for what its elections have confirmed, and for nothing else */
    case SOURCE_NANO_WS:
    case SOURCE_EVR_ZMQ:
        return NANO_ACTIVE_QUORUM;
    case SOURCE_BACKFILL:
        return NANO_INACTIVE;
    }
    return NANO_INACTIVE;
}

static const char *type_text(enum nano_type type)
{
    switch (type) {
    case NANO_ACTIVE_QUORUM:
        return "active_quorum";
    case NANO_INACTIVE:
        return "inactive";
    }
    return "unknown";
}

/* NULL: there is none. */
static json_t *make_block(const struct store_heard *heard, bool with_linked_account)
{
    struct block block;
    if (heard->proof_size != BLOCK_PACKED_SIZE || block_unpack(heard->proof, &block) != CS_OK) {
        return NULL;
    }
    json_t *object = block_to_json(&block);
    int failed = 0;
    if (with_linked_account) {
        char linked[ADDRESS_TEXT_SIZE];
        address_format(&heard->payment->to, linked);
        failed |= json_object_set_new(object, "linked_account", json_string(linked));
    }
    if (block.type == BLOCK_STATE) {
        failed |= json_object_set_new(object, "subtype", json_string("send"));
    }
    assert(!failed);
    return object;
}

char *nano_print_confirmation(const struct store_heard *heard, enum nano_form form, int64_t now_ms)
{
    const struct payment *payment = heard->payment;
    assert(payment->to.chain == CHAIN_NANO);
    char hash[PAYMENT_HASH_TEXT], amount[AMOUNT_RAW_SIZE], account[ADDRESS_TEXT_SIZE], time[TIME_SIZE];
    hex_encode_upper(payment->hash, PAYMENT_HASH_SIZE, hash);
    amount_format_raw(payment->amount, amount);
    bool has_account = payment->from.length > 0;
    if (has_account) {
        address_format(&payment->from, account);
    }
    json_t *block = form != NANO_WITHOUT_BLOCK ? make_block(heard, form == NANO_WITH_LINKED_ACCOUNT) : NULL;
    json_t *message =
        json_pack("{s:s*, s:s, s:s, s:s, s:o*}", "account", has_account ? account : NULL, "amount", amount,
                  "hash", hash, "confirmation_type", type_text(nano_type_of(payment)), "block", block);
    return print(json_pack("{s:s, s:s, s:o}", "topic", "confirmation", "time", print_time(now_ms, time),
                           "message", message));
}
