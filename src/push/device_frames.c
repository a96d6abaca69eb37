#include "push/device_frames.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"

/* RFC 6455, section 7.4: 1000 to 2999 are the protocol's, 4000 to 4999 ours. */
static const struct {
    uint16_t code;
    const char *text;
} CLOSES[DEVICE_CLOSE_COUNT] = {
    [DEVICE_CLOSE_GOING_AWAY] = {1001, "going_away"},
    [DEVICE_CLOSE_PROTOCOL] = {4000, "protocol"},
    [DEVICE_CLOSE_FENCED] = {4001, "fenced"},
    [DEVICE_CLOSE_UNAUTHORIZED] = {4002, "unauthorized"},
    [DEVICE_CLOSE_HELLO_TIMEOUT] = {4003, "hello_timeout"},
    [DEVICE_CLOSE_FRAME] = {4004, "frame"},
    [DEVICE_CLOSE_INSECURE] = {4005, "insecure"},
    [DEVICE_CLOSE_DISABLED] = {4006, "disabled"},
    [DEVICE_CLOSE_RETIRED] = {4007, "retired"},
    [DEVICE_CLOSE_ROLLED_BACK] = {4008, "store_rolled_back"},
    [DEVICE_CLOSE_BUSY] = {4010, "busy"},
    [DEVICE_CLOSE_SLOW] = {4011, "slow"},
};

uint16_t device_close_code(enum device_close close)
{
    return CLOSES[close].code;
}

const char *device_close_text(enum device_close close)
{
    return CLOSES[close].text;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static enum cs_err refuse(struct device_problem *problem,
                                                                const char *code, const char *format, ...)
{
    problem->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->message, sizeof(problem->message), format, arguments);
    va_end(arguments);
    return CS_EINVAL;
}

/* A whole number from `least` to `most`. */
static enum cs_err read_number(const json_t *object, const char *name, int64_t least, int64_t most,
                               int64_t *number, struct device_problem *problem)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > most) {
        return refuse(problem, "invalid", "\"%s\" must be a whole number from %" PRId64 " to %" PRId64, name,
                      least, most);
    }
    *number = json_integer_value(value);
    return CS_OK;
}

/* A string of 1 to size - 1 bytes; when it is `optional` and missing, "". */
static enum cs_err read_text(const json_t *object, const char *name, bool optional, char *text, size_t size,
                             struct device_problem *problem)
{
    const json_t *value = json_object_get(object, name);
    text[0] = '\0';
    if (value == NULL && optional) {
        return CS_OK;
    }
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length == 0 || length >= size) {
        return refuse(problem, "invalid", "\"%s\" must be a string of 1 to %zu bytes", name, size - 1);
    }
    memcpy(text, json_string_value(value), length + 1);
    return CS_OK;
}

static enum cs_err read_seq(const json_t *object, uint64_t *seq, struct device_problem *problem)
{
    int64_t number = 0;
    enum cs_err err = read_number(object, "seq", 1, INT64_MAX, &number, problem);
    *seq = (uint64_t)number;
    return err;
}

static enum cs_err read_hello(const json_t *object, struct device_hello *hello,
                              struct device_problem *problem)
{
    enum cs_err err = read_text(object, "device", false, hello->device, sizeof(hello->device), problem);
    if (err == CS_OK) {
        err = read_text(object, "token", false, hello->token, sizeof(hello->token), problem);
    }
    if (err == CS_OK) {
        err = read_text(object, "epoch", true, hello->epoch, sizeof(hello->epoch), problem);
    }
    if (err == CS_OK) {
        err = read_text(object, "firmware", true, hello->firmware, sizeof(hello->firmware), problem);
    }
    int64_t resume = 0;
    if (err == CS_OK && json_object_get(object, "resume") != NULL) {
        err = read_number(object, "resume", 0, INT64_MAX, &resume, problem);
    }
    hello->resume = (uint64_t)resume;
    return err;
}

static enum cs_err read_ack(const json_t *object, struct device_frame *frame, struct device_problem *problem)
{
    int64_t number = 0;
    enum cs_err err = read_number(object, "seq", 0, INT64_MAX, &number, problem);
    frame->outcome.seq = (uint64_t)number;
    return err;
}

static enum cs_err read_actuated(const json_t *object, struct store_outcome *outcome,
                                 struct device_problem *problem)
{
    outcome->state = DELIVERY_ACTUATED;
    int64_t seconds = 0;
    enum cs_err err = read_seq(object, &outcome->seq, problem);
    if (err == CS_OK) {
        err = read_number(object, "seconds", 0, DEVICE_SECONDS_MOST, &seconds, problem);
    }
    outcome->seconds = (uint32_t)seconds;
    return err;
}

static enum cs_err read_refused(const json_t *object, struct store_outcome *outcome,
                                struct device_problem *problem)
{
    outcome->state = DELIVERY_REFUSED;
    enum cs_err err = read_seq(object, &outcome->seq, problem);
    if (err == CS_OK) {
        err = read_text(object, "reason", false, outcome->reason, sizeof(outcome->reason), problem);
    }
    if (err == CS_OK &&
        strspn(outcome->reason, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(outcome->reason)) {
        err = refuse(problem, "invalid", "\"reason\" must be made of a-z, 0-9 and _");
    }
    return err;
}

static const char *const TYPES[DEVICE_FRAME_TYPE_COUNT] = {
    [DEVICE_HELLO] = "hello",     [DEVICE_ACK] = "ack",       [DEVICE_ACTUATED] = "actuated",
    [DEVICE_REFUSED] = "refused", [DEVICE_STATUS] = "status",
};

const char *device_frame_text(enum device_frame_type type)
{
    return TYPES[type];
}

static bool find_type(const char *text, enum device_frame_type *type)
{
    for (size_t i = 0; i < DEVICE_FRAME_TYPE_COUNT; i++) {
        if (strcmp(text, TYPES[i]) == 0) {
            *type = (enum device_frame_type)i;
            return true;
        }
    }
    return false;
}

static enum cs_err read_members(const json_t *object, struct device_frame *frame,
                                struct device_problem *problem)
{
    switch (frame->type) {
    case DEVICE_HELLO:
        return read_hello(object, &frame->hello, problem);
    case DEVICE_ACK:
        return read_ack(object, frame, problem);
    case DEVICE_ACTUATED:
        return read_actuated(object, &frame->outcome, problem);
    case DEVICE_REFUSED:
        return read_refused(object, &frame->outcome, problem);
    case DEVICE_STATUS:
        return CS_OK;
    }
    return CS_OK;
}

enum cs_err device_frame_read(const char *text, size_t length, struct device_frame *frame,
                              struct device_problem *problem)
{
    *frame = (struct device_frame){0};
    char error[JSON_ERROR_SIZE];
    json_t *object = json_read(text, length, DEVICE_DEPTH_MOST, error);
    if (object == NULL) {
        return refuse(problem, "malformed", "%s", error);
    }
    enum cs_err err;
    const char *type = json_text(object, "type");
    if (type == NULL) {
        err = refuse(problem, "malformed", "a frame must be a JSON object with a \"type\"");
    } else if (!find_type(type, &frame->type)) {
        err = refuse(problem, "unknown_type",
                     "this \"type\" is not known; send hello, ack, actuated, refused or status");
    } else {
        err = read_members(object, frame, problem);
    }
    json_decref(object);
    return err;
}

/* ---- building ------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 3, 4))) static size_t append(char text[DEVICE_FRAME_SIZE], size_t at,
                                                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text + at, DEVICE_FRAME_SIZE - at, format, arguments);
    va_end(arguments);
    assert(written >= 0 && (size_t)written < DEVICE_FRAME_SIZE - at);
    return at + (size_t)written;
}

/* The inside of a JSON string, of at most `most` bytes of `value`; never cut within an UTF-8 character (RFC
 * 3629). */
static size_t append_escaped(char text[DEVICE_FRAME_SIZE], size_t at, const char *value, size_t most)
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
            at = append(text, at, "\\%c", c);
        } else if (c < 0x20) {
            at = append(text, at, "\\u%04x", c);
        } else {
            at = append(text, at, "%c", c);
        }
    }
    return at;
}

size_t device_frame_challenge(char text[DEVICE_FRAME_SIZE], const uint8_t nonce[DEVICE_NONCE_SIZE],
                              const char *epoch)
{
    char hex[2 * DEVICE_NONCE_SIZE + 1];
    hex_encode_lower(nonce, DEVICE_NONCE_SIZE, hex);
    return append(text, 0, "{\"type\":\"challenge\",\"nonce\":\"%s\",\"epoch\":\"%s\"}", hex, epoch);
}

size_t device_frame_welcome(char text[DEVICE_FRAME_SIZE], int64_t now_ms, uint64_t last_acked,
                            uint64_t pending)
{
    char now[CLOCK_TEXT_SIZE];
    clock_format_ms(now_ms, now);
    return append(text, 0,
                  "{\"type\":\"welcome\",\"time\":\"%s\",\"last_acked\":%" PRIu64 ",\"pending\":%" PRIu64 "}",
                  now, last_acked, pending);
}

size_t device_frame_payment(char text[DEVICE_FRAME_SIZE], const struct store_delivery *delivery,
                            int64_t now_ms)
{
    const struct payment *payment = &delivery->payment;
    char hash[PAYMENT_HASH_TEXT], to[ADDRESS_TEXT_SIZE], amount[AMOUNT_RAW_SIZE], stored_at[CLOCK_TEXT_SIZE];
    hex_encode_upper(payment->hash, PAYMENT_HASH_SIZE, hash);
    address_format(&payment->to, to);
    amount_format_raw(payment->amount, amount);
    clock_format_ms(delivery->stored_at_ms, stored_at);
    /* The wall clock may jump back: an age is never negative. */
    int64_t age_s = now_ms > delivery->stored_at_ms ? (now_ms - delivery->stored_at_ms) / 1000 : 0;

    size_t at = append(text, 0, "{\"type\":\"payment\",\"seq\":%" PRIu64 ",\"payment\":{\"chain\":\"%s\"",
                       delivery->seq, chain_text((enum chain)payment->to.chain));
    at = append(text, at, ",\"hash\":\"%s\",\"output\":%" PRIu32, hash, payment->output);
    if (payment->from.length > 0) {
        char from[ADDRESS_TEXT_SIZE];
        address_format(&payment->from, from);
        at = append(text, at, ",\"from\":\"%s\"", from);
    }
    at = append(text, at, ",\"to\":\"%s\",\"amount\":\"%s\"", to, amount);
    if (payment->asset[0] != '\0') {
        at = append(text, at, ",\"asset\":\"");
        at = append_escaped(text, at, payment->asset, PAYMENT_ASSET_SIZE);
        at = append(text, at, "\"");
    }
    return append(text, at, ",\"stored_at\":\"%s\",\"age_s\":%" PRId64 "}}", stored_at, age_s);
}

size_t device_frame_gap(char text[DEVICE_FRAME_SIZE], uint64_t from, uint64_t to, const char *reason)
{
    return append(text, 0, "{\"type\":\"gap\",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"reason\":\"%s\"}",
                  from, to, reason);
}

size_t device_frame_noted(char text[DEVICE_FRAME_SIZE], uint64_t seq)
{
    return append(text, 0, "{\"type\":\"noted\",\"seq\":%" PRIu64 "}", seq);
}

size_t device_frame_error(char text[DEVICE_FRAME_SIZE], const char *code, const char *message)
{
    /* In the worst case each byte takes six. */
    const size_t most = (DEVICE_FRAME_SIZE - 100) / 6;
    size_t at = append(text, 0, "{\"type\":\"error\",\"code\":\"%s\",\"message\":\"", code);
    at = append_escaped(text, at, message, most);
    return append(text, at, "\"}");
}
