/* What a device sends, read; and what it made us say about it, built: the answer must be one JSON object that fits. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "push/device_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Either a token, or a key and a sig, which is not among what it signs. */
static void check_hello(const struct device_hello *hello, size_t size)
{
    bool keyed = hello->signed_length > 0;
    must(hello->device[0] != '\0' && hello->resume <= INT64_MAX && hello->config_version <= INT64_MAX);
    must(keyed == (hello->token[0] == '\0'));
    must(!keyed || hello->signed_length + PROOF_SIG_TAIL_SIZE - 1 == size);
}

static void check_status(const struct device_status *status)
{
    must(status->uptime_s >= 0 || status->uptime_s == INT64_MIN);
    must(status->remaining_s >= 0 || status->remaining_s == INT64_MIN);
    must((status->rssi >= INT16_MIN && status->rssi <= INT16_MAX) || status->rssi == INT64_MIN);
    must(status->relay_on >= -1 && status->relay_on <= 1);
    must(status->has_config_version || status->config_version == 0);
}

static void check_taken(const struct device_frame *frame, size_t size)
{
    switch (frame->type) {
    case DEVICE_HELLO:
        check_hello(&frame->hello, size);
        return;
    case DEVICE_ACK:
        must(frame->outcome.seq <= INT64_MAX);
        return;
    case DEVICE_ACTUATED:
        must(frame->outcome.seq > 0 && frame->outcome.seconds <= DEVICE_SECONDS_MOST);
        return;
    case DEVICE_REFUSED:
        must(frame->outcome.seq > 0 && frame->outcome.reason[0] != '\0' &&
             strlen(frame->outcome.reason) < STORE_REASON_SIZE);
        return;
    case DEVICE_STATUS:
        check_status(&frame->status);
        return;
    }
}

/* With a space in it, it is no ack of those that are read without a tree. */
static void check_spaced(const char *text, size_t size, enum cs_err err, const struct device_frame *frame)
{
    struct device_frame other;
    struct device_problem problem;
    if (size == 0 || text[0] != '{') {
        return;
    }
    char *spaced = malloc(size + 1);
    must(spaced != NULL);
    spaced[0] = '{';
    spaced[1] = ' ';
    memcpy(spaced + 2, text + 1, size - 1);
    must(device_frame_read(spaced, size + 1, &other, &problem) == err);
    must(err != CS_OK || (frame->type == other.type && frame->outcome.seq == other.outcome.seq));
    free(spaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct device_frame frame;
    struct device_problem problem;
    enum cs_err err = device_frame_read((const char *)data, size, &frame, &problem);
    check_spaced((const char *)data, size, err, &frame);
    if (err == CS_OK) {
        check_taken(&frame, size);
        return 0;
    }
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_error(text, problem.code, problem.message);
    must(length == strlen(text));
    json_error_t error;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    must(json_is_object(value));
    json_decref(value);
    return 0;
}
