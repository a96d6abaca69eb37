#include "push/device_frames.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    [DEVICE_CLOSE_BUSY] = {4010, "busy"},
    [DEVICE_CLOSE_SLOW] = {4011, "slow"},
    [DEVICE_CLOSE_BAD_MAC] = {4012, "bad_mac"},
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

/* A number that may be missing; then *number stays as it is. */
static enum cs_err read_optional(const json_t *object, const char *name, int64_t least, int64_t most,
                                 int64_t *number, struct device_problem *problem)
{
    return json_object_get(object, name) == NULL ? CS_OK
                                                 : read_number(object, name, least, most, number, problem);
}

/* Either a token, or a key and, as the last member, a sig over all that is before it. */
static enum cs_err read_credential(const json_t *object, const char *text, size_t length,
                                   struct device_hello *hello, struct device_problem *problem)
{
    const json_t *key = json_object_get(object, "key"), *sig = json_object_get(object, "sig");
    bool keyed = key != NULL || sig != NULL;
    if (keyed == (json_object_get(object, "token") != NULL)) {
        return refuse(problem, "invalid", "say either \"token\", or \"key\" and \"sig\"");
    }
    if (!keyed) {
        return read_text(object, "token", false, hello->token, sizeof(hello->token), problem);
    }
    if (!json_is_string(key) || json_string_length(key) != 2 * sizeof(hello->key) ||
        !hex_decode(json_string_value(key), hello->key, sizeof(hello->key))) {
        return refuse(problem, "invalid", "\"key\" must be an X25519 public key of 64 hexadecimal digits");
    }
    if (!proof_split_sig(text, length, hello->signature, &hello->signed_length)) {
        return refuse(
            problem, "invalid",
            "\"sig\" must be the last member, of 128 hexadecimal digits in lower case, without spaces");
    }
    return CS_OK;
}

static enum cs_err read_hello(const json_t *object, const char *text, size_t length,
                              struct device_hello *hello, struct device_problem *problem)
{
    enum cs_err err = read_text(object, "device", false, hello->device, sizeof(hello->device), problem);
    if (err == CS_OK) {
        err = read_credential(object, text, length, hello, problem);
    }
    if (err == CS_OK) {
        err = read_text(object, "epoch", true, hello->epoch, sizeof(hello->epoch), problem);
    }
    if (err == CS_OK) {
        err = read_text(object, "firmware", true, hello->firmware, sizeof(hello->firmware), problem);
    }
    int64_t resume = 0, config_version = 0;
    if (err == CS_OK) {
        err = read_optional(object, "resume", 0, INT64_MAX, &resume, problem);
    }
    if (err == CS_OK) {
        err = read_optional(object, "config_version", 0, INT64_MAX, &config_version, problem);
    }
    hello->resume = (uint64_t)resume;
    hello->config_version = (uint64_t)config_version;
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

static enum cs_err read_status(const json_t *object, struct device_status *status,
                               struct device_problem *problem)
{
    int64_t config_version = 0;
    *status = (struct device_status){
        .uptime_s = INT64_MIN, .rssi = INT64_MIN, .remaining_s = INT64_MIN, .relay_on = -1};
    enum cs_err err = read_optional(object, "uptime_s", 0, INT64_MAX, &status->uptime_s, problem);
    if (err == CS_OK) {
        err = read_optional(object, "rssi", INT16_MIN, INT16_MAX, &status->rssi, problem);
    }
    if (err == CS_OK) {
        err = read_optional(object, "remaining_s", 0, INT64_MAX, &status->remaining_s, problem);
    }
    if (err == CS_OK) {
        err = read_optional(object, "config_version", 0, INT64_MAX, &config_version, problem);
    }
    const json_t *relay_on = json_object_get(object, "relay_on");
    if (err == CS_OK && relay_on != NULL && !json_is_boolean(relay_on)) {
        err = refuse(problem, "invalid", "\"relay_on\" must be true or false");
    }
    if (relay_on != NULL) {
        status->relay_on = json_is_true(relay_on);
    }
    status->has_config_version = json_object_get(object, "config_version") != NULL;
    status->config_version = (uint64_t)config_version;
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

static enum cs_err read_members(const json_t *object, const char *text, size_t length,
                                struct device_frame *frame, struct device_problem *problem)
{
    switch (frame->type) {
    case DEVICE_HELLO:
        return read_hello(object, text, length, &frame->hello, problem);
    case DEVICE_ACK:
        return read_ack(object, frame, problem);
    case DEVICE_ACTUATED:
        return read_actuated(object, &frame->outcome, problem);
    case DEVICE_REFUSED:
        return read_refused(object, &frame->outcome, problem);
    case DEVICE_STATUS:
        return read_status(object, &frame->status, problem);
    }
    return CS_OK;
}

/* `}`, with or without a MAC before it, which is checked elsewhere. */
static bool is_plain_end(const char *text, size_t length)
{
    static const char MAC[] = ",\"mac\":\"";
    const size_t head = sizeof(MAC) - 1, digits = (size_t)2 * PROOF_MAC_SIZE;
    if (length != head + digits + 2) {
        return length == 1 && text[0] == '}';
    }
    bool plain = memcmp(text, MAC, head) == 0 && memcmp(text + head + digits, "\"}", 2) == 0;
    for (size_t i = head; i < head + digits; i++) {
        plain = plain && text[i] != '\0' && strchr("0123456789abcdef", text[i]) != NULL;
    }
    return plain;
}

/* An ack, which comes for every payment, as our clients write it: without a tree. False: whatever else it is. */
static bool read_plain_ack(const char *text, size_t length, struct device_frame *frame)
{
    static const char HEAD[] = "{\"type\":\"ack\",\"seq\":";
    const size_t first = sizeof(HEAD) - 1, digits_most = 18;
    size_t at = first;
    uint64_t seq = 0;
    if (length <= first || memcmp(text, HEAD, first) != 0 || text[first] == '0') {
        return false;
    }
    for (; at < length && at < first + digits_most && text[at] >= '0' && text[at] <= '9'; at++) {
        seq = 10 * seq + (uint64_t)(text[at] - '0');
    }
    if (at == first || !is_plain_end(text + at, length - at)) {
        return false;
    }
    frame->type = DEVICE_ACK;
    frame->outcome.seq = seq;
    return true;
}

enum cs_err device_frame_read(const char *text, size_t length, struct device_frame *frame,
                              struct device_problem *problem)
{
    *frame = (struct device_frame){0};
    if (read_plain_ack(text, length, frame)) {
        return CS_OK;
    }
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
        err = read_members(object, text, length, frame, problem);
    }
    json_decref(object);
    return err;
}
