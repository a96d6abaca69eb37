#define JSMN_STATIC
#define JSMN_STRICT
#include <jsmn.h>

#include "core/json.h"

#include <string.h>

#include "core/json_grammar.h"
#include "core/text.h"

static size_t length_of(const jsmntok_t *token)
{
    return (size_t)(token->end - token->start);
}

static bool is_text(const struct core_json *json, const jsmntok_t *token, const char *text)
{
    size_t length = strlen(text);
    return length_of(token) == length && memcmp(json->text + token->start, text, length) == 0;
}

/* Keys are strings that jsmn has given a value. Two that are spelled alike in one object, or one with an escape, are hostile. */
static bool keys_are_good(const struct core_json *json, int object)
{
    const jsmntok_t *tokens = json->tokens;
    int first = object + 1, key = first;
    for (int i = 0; i < tokens[object].size; i++, key = core_json_after(json, key + 1)) {
        size_t length = length_of(&tokens[key]);
        const char *name = json->text + tokens[key].start;
        if (memchr(name, '\\', length) != NULL) {
            return false;
        }
        for (int other = first; other < key; other = core_json_after(json, other + 1)) {
            if (length_of(&tokens[other]) == length &&
                memcmp(json->text + tokens[other].start, name, length) == 0) {
                return false;
            }
        }
    }
    return true;
}

bool core_json_read(struct core_json *json, const char *text, size_t length,
                    jsmntok_t tokens[JSON_TOKENS_MOST])
{
    jsmn_parser parser;
    if (!core_json_grammar_object(text, length, JSON_DEPTH_MOST)) {
        return false;
    }
    jsmn_init(&parser);
    int count = jsmn_parse(&parser, text, length, tokens, JSON_TOKENS_MOST);
    if (count < 1) {
        return false;
    }
    *json = (struct core_json){text, tokens, count};
    for (int i = 0; i < count; i++) {
        if (tokens[i].type == JSMN_OBJECT && !keys_are_good(json, i)) {
            return false;
        }
    }
    return true;
}

int core_json_after(const struct core_json *json, int value)
{
    int end = json->tokens[value].end;
    do {
        value++;
    } while (value < json->count && json->tokens[value].start < end);
    return value;
}

int core_json_member(const struct core_json *json, int object, const char *name)
{
    if (!core_json_is_object(json, object)) {
        return -1;
    }
    int key = object + 1;
    for (int i = 0; i < json->tokens[object].size; i++) {
        if (is_text(json, &json->tokens[key], name)) {
            return key + 1;
        }
        key = core_json_after(json, key + 1);
    }
    return -1;
}

/* NULL when the value is missing or of another type. */
static const jsmntok_t *token_of(const struct core_json *json, int value, jsmntype_t type)
{
    return value >= 0 && json->tokens[value].type == type ? &json->tokens[value] : NULL;
}

bool core_json_is_null(const struct core_json *json, int value)
{
    const jsmntok_t *token = token_of(json, value, JSMN_PRIMITIVE);
    return token != NULL && is_text(json, token, "null");
}

bool core_json_is_object(const struct core_json *json, int value)
{
    return token_of(json, value, JSMN_OBJECT) != NULL;
}

bool core_json_array(const struct core_json *json, int value, int *first, int *count)
{
    const jsmntok_t *token = token_of(json, value, JSMN_ARRAY);
    if (token == NULL) {
        return false;
    }
    *first = value + 1;
    *count = token->size;
    return true;
}

bool core_json_number(const struct core_json *json, int value, uint64_t most, uint64_t *number)
{
    const jsmntok_t *token = token_of(json, value, JSMN_PRIMITIVE);
    if (token == NULL) {
        return false;
    }
    uint64_t sum = 0;
    for (int i = token->start; i < token->end; i++) {
        unsigned digit = (unsigned char)json->text[i] - (unsigned)'0';
        if (digit > 9 || sum > (most - digit) / 10) { /* `most` is never below 9 */
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

bool core_json_bool(const struct core_json *json, int value, bool *truth)
{
    const jsmntok_t *token = token_of(json, value, JSMN_PRIMITIVE);
    if (token == NULL || (!is_text(json, token, "true") && !is_text(json, token, "false"))) {
        return false;
    }
    *truth = is_text(json, token, "true");
    return true;
}

bool core_json_text(const struct core_json *json, int value, char *text, size_t size)
{
    const jsmntok_t *token = token_of(json, value, JSMN_STRING);
    if (token == NULL || length_of(token) >= size ||
        memchr(json->text + token->start, '\\', length_of(token)) != NULL) {
        return false;
    }
    memcpy(text, json->text + token->start, length_of(token));
    text[length_of(token)] = '\0';
    return true;
}

bool core_json_hex(const struct core_json *json, int value, bool lower_only, uint8_t *bytes, size_t count)
{
    const jsmntok_t *token = token_of(json, value, JSMN_STRING);
    return token != NULL &&
           core_text_hex_decode(json->text + token->start, length_of(token), lower_only, bytes, count);
}
