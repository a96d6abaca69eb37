#include "base/json.h"

#include <stdbool.h>
#include <stdio.h>

/* The deepest nesting of brackets outside strings: cheap, before the parser allocates anything. */
static int depth_of(const char *text, size_t length)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

json_t *json_read(const char *text, size_t length, int most_depth, char error[JSON_ERROR_SIZE])
{
    if (depth_of(text, length) > most_depth) {
        snprintf(error, JSON_ERROR_SIZE, "the JSON is nested more than %d levels deep", most_depth);
        return NULL;
    }
    json_error_t why;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, &why);
    if (value == NULL) {
        /* The parser's "near" quotes what was sent, which may be anything: its position is enough. */
        char *near = why.text;
        for (char *c = why.text; *c != '\0'; c++) {
            near = c;
            if (*c == '\'' || *c == '"') {
                break;
            }
        }
        int kept = (int)(near - why.text);
        snprintf(error, JSON_ERROR_SIZE, "not well-formed JSON at line %d, column %d: %.*s", why.line,
                 why.column, kept, why.text);
    }
    return value;
}

const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
