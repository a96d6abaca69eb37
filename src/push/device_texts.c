/* The frames that the relay sends, built. */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "push/device_frames.h"

struct text {
    char *bytes;
    size_t size, at;
};

static struct text text_in(char *bytes, size_t size)
{
    return (struct text){bytes, size, 0};
}

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text->bytes + text->at, text->size - text->at, format, arguments);
    va_end(arguments);
    assert(written >= 0 && (size_t)written < text->size - text->at);
    text->at += (size_t)written;
}

/* Without printf, for what is sent for every payment. */
static void append_bytes(struct text *text, const char *bytes, size_t length)
{
    assert(length < text->size - text->at);
    memcpy(text->bytes + text->at, bytes, length);
    text->at += length;
    text->bytes[text->at] = '\0';
}

static void append_text(struct text *text, const char *value)
{
    append_bytes(text, value, strlen(value));
}

static void append_number(struct text *text, uint64_t number)
{
    char digits[20];
    size_t first = sizeof(digits);
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    append_bytes(text, digits + first, sizeof(digits) - first);
}

/* The inside of a JSON string, of at most `most` bytes of `value`; never cut within an UTF-8 character (RFC
 * 3629). */
static void append_escaped(struct text *text, const char *value, size_t most)
{
    size_t length = strlen(value);
    if (length > most) {
        length = most;
        while (length > 0 && ((unsigned char)value[length] & 0xc0) == 0x80) {
            length--;
        }
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c == '"' || c == '\\') {
            append(text, "\\%c", c);
        } else if (c < 0x20) {
            append(text, "\\u%04x", c);
        } else {
            append(text, "%c", c);
        }
    }
}

static void append_hex(struct text *text, const char *name, const uint8_t bytes[32])
{
    char hex[65];
    hex_encode_lower(bytes, 32, hex);
    append(text, ",\"%s\":\"%s\"", name, hex);
}

static const char PROOF_BLOCK[] = ",\"proof\":{\"block\":\"", PROOF_PREVIOUS[] = "\",\"previous\":\"",
                  PROOF_END[] = "\"}";

static void append_packed(struct text *text, const uint8_t *bytes, size_t size)
{
    char hex[2 * STORE_PROOF_MAX + 1];
    hex_encode_lower(bytes, size, hex);
    append_bytes(text, hex, 2 * size);
}

/* Both blocks as they are stored; of one that is missing a device can make nothing. */
static void append_proof(struct text *frame, const struct store_proof *proof)
{
    append_text(frame, PROOF_BLOCK);
    append_packed(frame, proof->block, proof->block_size);
    append_text(frame, PROOF_PREVIOUS);
    append_packed(frame, proof->previous, proof->previous_size);
    append_text(frame, PROOF_END);
}

size_t device_frame_room(const char *config)
{
    return DEVICE_FRAME_SIZE + (config != NULL ? strlen(config) : 0);
}

size_t device_frame_payment_room(const struct store_delivery *delivery)
{
    const struct store_proof *proof = delivery->proof;
    return device_frame_room(delivery->config) +
           (proof != NULL ? sizeof(PROOF_BLOCK) + sizeof(PROOF_PREVIOUS) + sizeof(PROOF_END) +
                                2 * (proof->block_size + proof->previous_size)
                          : 0);
}

size_t device_frame_challenge(char text[DEVICE_FRAME_SIZE], const struct device_challenge *challenge)
{
    struct text frame = text_in(text, DEVICE_FRAME_SIZE);
    append(&frame, "{\"type\":\"challenge\"");
    append_hex(&frame, "nonce", challenge->nonce);
    append_hex(&frame, "key", challenge->key);
    append_hex(&frame, "relay", challenge->relay);
    append(&frame, ",\"epoch\":\"%s\"}", challenge->epoch);
    return frame.at;
}

size_t device_frame_welcome(char *text, const struct device_welcome *welcome)
{
    struct text frame = text_in(text, device_frame_room(welcome->config));
    char now[CLOCK_TEXT_SIZE];
    clock_format_ms(welcome->now_ms, now);
    append(&frame, "{\"type\":\"welcome\",\"time\":\"%s\"", now);
    append(&frame, ",\"last_acked\":%" PRIu64 ",\"pending\":%" PRIu64, welcome->last_acked, welcome->pending);
    append(&frame, ",\"config_version\":%" PRIu64 ",\"config\":%s}", welcome->config_version,
           welcome->config != NULL ? welcome->config : "null");
    return frame.at;
}

/*
 * Who pays waits from when they paid. What reconciliation found was paid when the node got to know it, which may be long before it was
 * stored here. The wall clock may jump back: an age is never negative.
 */
static int64_t age_ms(const struct store_delivery *delivery, int64_t now_ms)
{
    const struct payment *payment = &delivery->payment;
    int64_t since_ms = delivery->stored_at_ms;
    if (payment->source == SOURCE_BACKFILL && payment->node_time_ms != 0 &&
        payment->node_time_ms < since_ms) {
        since_ms = payment->node_time_ms;
    }
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

static void append_address(struct text *frame, const char *name, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    append_text(frame, name);
    append_text(frame, text);
}

static void append_payment(struct text *frame, const struct store_delivery *delivery, int64_t age_s)
{
    const struct payment *payment = &delivery->payment;
    char hash[PAYMENT_HASH_TEXT], amount[AMOUNT_RAW_SIZE], stored_at[CLOCK_TEXT_SIZE];
    hex_encode_upper(payment->hash, PAYMENT_HASH_SIZE, hash);
    amount_format_raw(payment->amount, amount);
    clock_format_ms(delivery->stored_at_ms, stored_at);

    append_text(frame, "{\"chain\":\"");
    append_text(frame, chain_text((enum chain)payment->to.chain));
    append_text(frame, "\",\"hash\":\"");
    append_text(frame, hash);
    append_text(frame, "\",\"output\":");
    append_number(frame, payment->output);
    if (payment->from.length > 0) {
        append_address(frame, ",\"from\":\"", &payment->from);
        append_text(frame, "\"");
    }
    append_address(frame, ",\"to\":\"", &payment->to);
    append_text(frame, "\",\"amount\":\"");
    append_text(frame, amount);
    if (payment->asset[0] != '\0') {
        append_text(frame, "\",\"asset\":\"");
        append_escaped(frame, payment->asset, PAYMENT_ASSET_SIZE);
    }
    append_text(frame, "\",\"stored_at\":\"");
    append_text(frame, stored_at);
    append_text(frame, "\",\"age_s\":");
    append_number(frame, (uint64_t)age_s);
    append_text(frame, "}");
}

static bool is_body_of(const struct device_body *body, const struct store_delivery *delivery, int64_t age_s)
{
    const struct payment *payment = &delivery->payment;
    return body->length > 0 && memcmp(body->hash, payment->hash, sizeof(body->hash)) == 0 &&
           body->output == payment->output && body->chain == (enum chain)payment->to.chain &&
           body->stored_at_ms == delivery->stored_at_ms && body->age_s == age_s;
}

static void make_body(struct device_body *body, const struct store_delivery *delivery, int64_t age_s)
{
    struct text text = text_in(body->text, sizeof(body->text));
    append_payment(&text, delivery, age_s);
    body->length = text.at;
    body->chain = (enum chain)delivery->payment.to.chain;
    memcpy(body->hash, delivery->payment.hash, sizeof(body->hash));
    body->output = delivery->payment.output;
    body->stored_at_ms = delivery->stored_at_ms;
    body->age_s = age_s;
}

size_t device_frame_payment(char *text, const struct store_delivery *delivery, int64_t now_ms,
                            struct device_body *body)
{
    int64_t age_s = age_ms(delivery, now_ms) / 1000;
    if (!is_body_of(body, delivery, age_s)) {
        make_body(body, delivery, age_s);
    }
    struct text frame = text_in(text, device_frame_payment_room(delivery));
    append_text(&frame, "{\"type\":\"payment\",\"seq\":");
    append_number(&frame, delivery->seq);
    append_text(&frame, ",\"config_version\":");
    append_number(&frame, delivery->config_version);
    if (delivery->config != NULL) {
        append_text(&frame, ",\"config\":");
        append_text(&frame, delivery->config);
    }
    append_text(&frame, ",\"payment\":");
    append_bytes(&frame, body->text, body->length);
    if (delivery->proof != NULL) {
        append_proof(&frame, delivery->proof);
    }
    append_text(&frame, "}");
    return frame.at;
}

size_t device_frame_gap(char text[DEVICE_FRAME_SIZE], uint64_t from, uint64_t to, const char *reason)
{
    struct text frame = text_in(text, DEVICE_FRAME_SIZE);
    append(&frame, "{\"type\":\"gap\",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"reason\":\"%s\"}", from, to,
           reason);
    return frame.at;
}

size_t device_frame_noted(char text[DEVICE_FRAME_SIZE], uint64_t seq)
{
    struct text frame = text_in(text, DEVICE_FRAME_SIZE);
    append(&frame, "{\"type\":\"noted\",\"seq\":%" PRIu64 "}", seq);
    return frame.at;
}

size_t device_frame_config(char *text, uint64_t version, const char *config)
{
    struct text frame = text_in(text, device_frame_room(config));
    append(&frame, "{\"type\":\"config\",\"version\":%" PRIu64 ",\"config\":%s}", version, config);
    return frame.at;
}

size_t device_frame_state(char text[DEVICE_FRAME_SIZE], bool caught_up, bool payable, const char *reason)
{
    struct text frame = text_in(text, DEVICE_FRAME_SIZE);
    append(&frame, "{\"type\":\"state\",\"caught_up\":%s,\"payable\":%s,\"reason\":\"%s\"}",
           caught_up ? "true" : "false", payable ? "true" : "false", reason);
    return frame.at;
}

size_t device_frame_error(char text[DEVICE_FRAME_SIZE], const char *code, const char *message)
{
    /* In the worst case each byte takes six. */
    const size_t most = (DEVICE_FRAME_SIZE - 100) / 6;
    struct text frame = text_in(text, DEVICE_FRAME_SIZE);
    append(&frame, "{\"type\":\"error\",\"code\":\"%s\",\"message\":\"", code);
    append_escaped(&frame, message, most);
    append(&frame, "\"}");
    return frame.at;
}
