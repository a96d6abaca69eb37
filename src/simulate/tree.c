#include "simulate/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static json_t *to_texts(json_t *value);

static json_t *array_to_texts(json_t *array)
{
    size_t index;
    json_t *value, *texts = json_array();
    json_array_foreach(array, index, value)
    {
        json_array_append_new(texts, to_texts(value));
    }
    return texts;
}

static json_t *object_to_texts(json_t *object)
{
    const char *key;
    json_t *value, *texts = json_object();
    json_object_foreach(object, key, value)
    {
        json_object_set_new_nocheck(texts, key, to_texts(value));
    }
    return texts;
}

static json_t *to_texts(json_t *value)
{
    char number[64];
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return object_to_texts(value);
    case JSON_ARRAY:
        return array_to_texts(value);
    case JSON_STRING:
        return json_incref(value);
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return json_string(number);
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        return json_string(number);
    case JSON_TRUE:
        return json_string("true");
    case JSON_FALSE:
        return json_string("false");
    case JSON_NULL:
        return json_string("null");
    }
    return NULL;
}

json_t *tree_read(const char *text, size_t length)
{
    json_t *value = json_loadb(text, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (value == NULL) {
        return NULL;
    }
    json_t *texts = to_texts(value);
    json_decref(value);
    return texts;
}

const char *tree_data(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? text : "";
}

const char *tree_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value != NULL ? tree_data(value) : NULL;
}

bool tree_flag(const json_t *object, const char *key, bool fallback)
{
    const char *text = tree_text(object, key);
    if (text == NULL) {
        return fallback;
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0) {
        return true;
    }
    return strcmp(text, "false") == 0 || strcmp(text, "0") == 0 ? false : fallback;
}

void tree_put(json_t *object, const char *key, const char *text)
{
    if (json_object_set_new_nocheck(object, key, json_string(text)) != 0) {
        log_die("simulate", "cannot put %s into an answer: out of memory, or no UTF-8", key);
    }
}

void tree_put_collection(json_t *object, const char *key, json_t *collection)
{
    bool empty =
        json_is_object(collection) ? json_object_size(collection) == 0 : json_array_size(collection) == 0;
    if (empty) {
        json_decref(collection);
        tree_put(object, key, "");
    } else {
        json_object_set_new(object, key, collection);
    }
}

char *tree_print(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(4) | JSON_ESCAPE_SLASH);
    json_decref(value);
    if (text == NULL) {
        log_die("simulate", "cannot print an answer: out of memory");
    }
    size_t length = strlen(text);
    text = cs_realloc(text, length + 2);
    memcpy(text + length, "\n", 2);
    return text;
}
