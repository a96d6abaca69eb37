/*
 * json: hostile JSON, read without a heap. The grammar (RFC 8259) is checked first, with its depth; then jsmn cuts it into tokens, of which
 * there is a bounded number; then duplicate keys are refused. Numbers are whole and not negative, texts and keys have no escapes: nothing that
 * the relay sends and a device reads has any.
 * Pure. Tokens are places in the text, which has to stay where it is.
 */
#ifndef COINSLOT_FIRMWARE_CORE_JSON_H
#define COINSLOT_FIRMWARE_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef JSMN_H
#define JSMN_HEADER /* the declarations alone: json.c has the rest */
#include <jsmn.h>
#endif

#define JSON_DEPTH_MOST  5   /* docs/device-protocol.md: of what is sent to a device */
#define JSON_TOKENS_MOST 512 /* a config of 32 steps and 16 addresses, in a payment with its proof, has 230 */

struct core_json {
    const char *text;
    const jsmntok_t *tokens;
    int count;
};

/* False: no JSON, no object, too deep, too many tokens, a key twice, or a key with an escape.  */
bool core_json_read(struct core_json *json, const char *text, size_t length,
                    jsmntok_t tokens[JSON_TOKENS_MOST]);

/* The value of the member, or -1. `object` is a token's number, 0 the whole; -1 and what is no object have no members. */
int core_json_member(const struct core_json *json, int object, const char *name);

bool core_json_is_null(const struct core_json *json, int value);
bool core_json_is_object(const struct core_json *json, int value);
/* The first element of an array and how many there are; false when it is no array. The next one: json_after. */
bool core_json_array(const struct core_json *json, int value, int *first, int *count);
int core_json_after(const struct core_json *json, int value);

/* Each is false when the value is missing (-1), of another type or out of range; then the result is untouched. */
bool core_json_number(const struct core_json *json, int value, uint64_t most, uint64_t *number);
bool core_json_bool(const struct core_json *json, int value, bool *truth);
/* With its NUL in `size` bytes. */
bool core_json_text(const struct core_json *json, int value, char *text, size_t size);
bool core_json_hex(const struct core_json *json, int value, bool lower_only, uint8_t *bytes, size_t count);

#endif
