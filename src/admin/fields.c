#include "admin/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

bool fields_refuse(struct problem *problem, const char *name, const char *hint, const char *detail_format,
                   ...)
{
    char detail[sizeof problem->detail];
    va_list arguments;
    va_start(arguments, detail_format);
    vsnprintf(detail, sizeof detail, detail_format, arguments);
    va_end(arguments);
    problem_set(problem, 422, "invalid_field", name, hint, "%s", detail);
    return false;
}

void fields_inside(struct problem *problem, const char *format, ...)
{
    char outer[sizeof problem->field], inner[sizeof problem->field];
    memcpy(inner, problem->field, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(outer, sizeof outer, format, arguments);
    va_end(arguments);
    int length = snprintf(problem->field, sizeof problem->field, "%s%s", outer, inner[0] == '\0' ? "" : ".");
    if (length >= 0 && (size_t)length < sizeof problem->field) {
        size_t room = sizeof problem->field - 1 - (size_t)length, size = strnlen(inner, room);
        memcpy(problem->field + length, inner, size);
        problem->field[(size_t)length + size] = '\0';
    }
}

bool fields_only(json_t *body, const char *const *names, struct problem *problem)
{
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, key) != 0) {
            name++;
        }
        if (*name == NULL) {
            problem_set(problem, 422, "unknown_field", key,
                        "take it out, or look up its spelling in schema/openapi.yaml",
                        "there is no such field here");
            return false;
        }
    }
    return true;
}

static bool missing(struct problem *problem, const char *name, const char *hint)
{
    problem_set(problem, 422, "missing_field", name, hint, "%s is missing", name);
    return false;
}

bool fields_take_text(const json_t *body, const char *name, bool needed, const char *hint, const char **text,
                      struct problem *problem)
{
    const json_t *value = json_object_get(body, name);
    *text = json_string_value(value);
    if (value == NULL && needed) {
        return missing(problem, name, hint);
    }
    return value == NULL || *text != NULL || fields_refuse(problem, name, hint, "%s is no string", name);
}

/* Well-formed UTF-8 is the JSON reader's care; control characters (C0, DEL, C1) are ours. */
static bool has_control_character(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)) {
            return true;
        }
    }
    return false;
}

bool fields_take_name(const json_t *body, char name[STORE_NAME_SIZE], struct problem *problem)
{
    static const char HINT[] = "send 1 to 128 bytes of text without control characters";
    const char *text;
    if (!fields_take_text(body, "name", true, HINT, &text, problem)) {
        return false;
    }
    size_t length = strlen(text);
    if (length == 0 || length >= STORE_NAME_SIZE) {
        return fields_refuse(problem, "name", HINT, "the name has %zu bytes", length);
    }
    if (has_control_character(text)) {
        return fields_refuse(problem, "name", HINT, "there is a control character in the name");
    }
    memcpy(name, text, length + 1);
    return true;
}

bool fields_take_count(const json_t *body, const char *name, bool needed, json_int_t most, const char *hint,
                       json_int_t *count, struct problem *problem)
{
    const json_t *value = json_object_get(body, name);
    *count = 0;
    if (value == NULL && needed) {
        return missing(problem, name, hint);
    }
    if (value == NULL || (json_is_null(value) && !needed)) {
        return true;
    }
    *count = json_integer_value(value);
    return (json_is_integer(value) && *count >= 1 && *count <= most) ||
           fields_refuse(problem, name, hint, "%s is no whole number from 1 to %lld", name, (long long)most);
}

bool fields_take_amount(const json_t *body, const char *name, bool needed, struct amount *amount,
                        struct problem *problem)
{
    static const char HINT[] = "send raw as a decimal string, like \"1000000\"";
    const json_t *value = json_object_get(body, name);
    *amount = (struct amount){0, 0};
    if (value == NULL) {
        return !needed || missing(problem, name, HINT);
    }
    if (json_is_number(value)) {
        /* A JSON number has passed through somebody's double: raw does not fit there. */
        return fields_refuse(problem, name, HINT, "an amount is never a JSON number");
    }
    const char *text = json_string_value(value);
    return (text != NULL && amount_parse_raw(text, amount)) ||
           fields_refuse(problem, name, HINT, "this is no amount of raw below 2^128");
}

bool fields_take_past(const json_t *body, const char *name, int64_t *wall_ms, struct problem *problem)
{
    static const char HINT[] = "send a time that is past, like \"2026-11-20T17:00:00Z\"";
    const char *text = json_text(body, name);
    *wall_ms = 0;
    if (json_object_get(body, name) == NULL) {
        return true;
    }
    return (text != NULL && clock_parse_ms(text, wall_ms) == 0 && *wall_ms > 0 &&
            *wall_ms <= clock_wall_ms()) ||
           fields_refuse(problem, name, HINT, "this is no time, or not a past one");
}

bool fields_take_value(const json_t *body, const char *name, json_type type, const char *hint, json_t **value,
                       struct problem *problem)
{
    *value = json_object_get(body, name);
    if (*value == NULL) {
        return missing(problem, name, hint);
    }
    return json_typeof(*value) == type ||
           fields_refuse(problem, name, hint, "%s is no %s", name, type == JSON_ARRAY ? "array" : "object");
}
