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

size_t device_frame_room(const char *config)
{
    return DEVICE_FRAME_SIZE + (config != NULL ? strlen(config) : 0);
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

static void append_payment(struct text *frame, const struct store_delivery *delivery, int64_t now_ms)
{
    const struct payment *payment = &delivery->payment;
    char hash[PAYMENT_HASH_TEXT], to[ADDRESS_TEXT_SIZE], amount[AMOUNT_RAW_SIZE], stored_at[CLOCK_TEXT_SIZE];
    hex_encode_upper(payment->hash, PAYMENT_HASH_SIZE, hash);
    address_format(&payment->to, to);
    amount_format_raw(payment->amount, amount);
    clock_format_ms(delivery->stored_at_ms, stored_at);
    int64_t age_s = age_ms(delivery, now_ms) / 1000;

    append(frame, "{\"chain\":\"%s\",\"hash\":\"%s\",\"output\":%" PRIu32,
           chain_text((enum chain)payment->to.chain), hash, payment->output);
    if (payment->from.length > 0) {
        char from[ADDRESS_TEXT_SIZE];
        address_format(&payment->from, from);
        append(frame, ",\"from\":\"%s\"", from);
    }
    append(frame, ",\"to\":\"%s\",\"amount\":\"%s\"", to, amount);
    if (payment->asset[0] != '\0') {
        append(frame, ",\"asset\":\"");
        append_escaped(frame, payment->asset, PAYMENT_ASSET_SIZE);
        append(frame, "\"");
    }
    append(frame, ",\"stored_at\":\"%s\",\"age_s\":%" PRId64 "}", stored_at, age_s);
}

size_t device_frame_payment(char *text, const struct store_delivery *delivery, int64_t now_ms)
{
    struct text frame = text_in(text, device_frame_room(delivery->config));
    append(&frame, "{\"type\":\"payment\",\"seq\":%" PRIu64 ",\"config_version\":%" PRIu64, delivery->seq,
           delivery->config_version);
    if (delivery->config != NULL) {
        append(&frame, ",\"config\":%s", delivery->config);
    }
    append(&frame, ",\"payment\":");
    append_payment(&frame, delivery, now_ms);
    append(&frame, "}");
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
