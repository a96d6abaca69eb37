/*
 * json: reading JSON from outside, bounded in depth. Any thread.
 */
#ifndef COINSLOT_BASE_JSON_H
#define COINSLOT_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>

#define JSON_ERROR_SIZE 160

/*
 * Reads one JSON object or array of at most `most_depth` levels. Repeated keys, NUL characters and trailing
 * bytes are refused. Returns an owned value, or NULL with the reason in `error`, in words fit for whoever
 * sent it.
 */
json_t *json_read(const char *text, size_t length, int most_depth, char error[JSON_ERROR_SIZE]);

/* The string under `key`, borrowed; NULL when it is missing or no string. */
const char *json_text(const json_t *object, const char *key);

#endif
