/* What a legacy client sends, read; what it made us say about it must be one JSON object. And what it may call its origin. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "push/legacy_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_error(const char *error)
{
    char *text = legacy_print_error(error);
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    must(json_is_object(value) && json_object_size(value) == 1);
    must(strcmp(json_string_value(json_object_get(value, "error")), error) == 0);
    json_decref(value);
    free(text);
}

static void check_origin(const uint8_t *data, size_t size)
{
    char *origin = malloc(size + 1);
    must(origin != NULL);
    memcpy(origin, data, size);
    origin[size] = '\0';
    must(!legacy_is_local_origin(origin) || strncmp(origin, "file://", 7) == 0 ||
         strchr(origin, '/') != NULL);
    free(origin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        check_origin(data, size);
    }
    struct legacy_request request;
    char error[LEGACY_ERROR_SIZE];
    enum legacy_message message = legacy_read((const char *)data, size, &request, error);
    must(memchr(error, '\0', sizeof(error)) != NULL &&
         memchr(request.api_key, '\0', sizeof(request.api_key)) != NULL);
    bool is_good = message == LEGACY_NOTHING || (message == LEGACY_REQUEST && request.has_address);
    must(is_good == (error[0] == '\0'));
    if (!is_good) {
        check_error(error);
    }
    return 0;
}
