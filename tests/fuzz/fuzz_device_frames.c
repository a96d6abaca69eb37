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

static void check_taken(const struct device_frame *frame)
{
    switch (frame->type) {
    case DEVICE_HELLO:
        must(frame->hello.device[0] != '\0' && frame->hello.token[0] != '\0' &&
             frame->hello.resume <= INT64_MAX);
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
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct device_frame frame;
    struct device_problem problem;
    if (device_frame_read((const char *)data, size, &frame, &problem) == CS_OK) {
        check_taken(&frame);
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
