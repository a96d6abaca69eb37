#include "lib/schema.h"

#include <regex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct checking {
    bool strict;
    char *why;
    size_t size;
};

static json_t *loaded; /* name → schema */

const json_t *schema_load(const char *dir, const char *name)
{
    if (loaded == NULL) {
        loaded = json_object();
    }
    if (json_object_get(loaded, name) == NULL) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s.schema.json", dir, name);
        json_object_set_new(loaded, name, json_load_file(path, JSON_REJECT_DUPLICATES, NULL));
    }
    return json_object_get(loaded, name);
}

void schema_forget(void)
{
    json_decref(loaded);
    loaded = NULL;
}

__attribute__((format(printf, 2, 3))) static bool refuse(const struct checking *checking, const char *format,
                                                         ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(checking->why, checking->size, format, arguments);
    va_end(arguments);
    return false;
}

static bool check(const struct checking *checking, const json_t *schema, const json_t *value,
                  const char *where);

static bool is_of_type(const char *type, const json_t *value)
{
    static const char *const NAMES[] = {
        [JSON_OBJECT] = "object",   [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "integer", [JSON_REAL] = "number", [JSON_TRUE] = "boolean",
        [JSON_FALSE] = "boolean",   [JSON_NULL] = "null",
    };
    return strcmp(type, NAMES[json_typeof(value)]) == 0;
}

static bool check_type(const struct checking *checking, const json_t *types, const json_t *value,
                       const char *where)
{
    size_t i;
    json_t *type;
    if (json_is_string(types)) {
        return is_of_type(json_string_value(types), value) ||
               refuse(checking, "%s is no %s", where, json_string_value(types));
    }
    json_array_foreach(types, i, type)
    {
        if (is_of_type(json_string_value(type), value)) {
            return true;
        }
    }
    return refuse(checking, "%s is of none of the types", where);
}

static bool check_pattern(const struct checking *checking, const char *pattern, const json_t *value,
                          const char *where)
{
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return refuse(checking, "%s: the pattern %s is wrong", where, pattern);
    }
    bool matches = !json_is_string(value) || regexec(&regex, json_string_value(value), 0, NULL, 0) == 0;
    regfree(&regex);
    return matches || refuse(checking, "%s is not like %s", where, pattern);
}

static bool check_required(const struct checking *checking, const json_t *names, const json_t *value,
                           const char *where)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (json_is_object(value) && json_object_get(value, json_string_value(name)) == NULL) {
            return refuse(checking, "%s has no %s", where, json_string_value(name));
        }
    }
    return true;
}

static bool check_properties(const struct checking *checking, const json_t *properties, const json_t *value,
                             const char *where)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        char inner[200];
        snprintf(inner, sizeof(inner), "%.90s.%s", where, name);
        const json_t *schema = json_object_get(properties, name);
        if (schema == NULL && checking->strict) {
            return refuse(checking, "%s is not in the schema", inner);
        }
        if (schema != NULL && !check(checking, schema, member, inner)) {
            return false;
        }
    }
    return true;
}

static bool check_items(const struct checking *checking, const json_t *schema, const json_t *value,
                        const char *where)
{
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item)
    {
        char inner[200];
        snprintf(inner, sizeof(inner), "%.90s[%zu]", where, i);
        if (!check(checking, schema, item, inner)) {
            return false;
        }
    }
    return true;
}

static bool check_enum(const struct checking *checking, const json_t *values, const json_t *value,
                       const char *where)
{
    size_t i;
    json_t *one;
    json_array_foreach(values, i, one)
    {
        if (json_equal(one, value)) {
            return true;
        }
    }
    return refuse(checking, "%s is none of those that it may be", where);
}

static bool check_one_of(const struct checking *checking, const json_t *schemas, const json_t *value,
                         const char *where)
{
    /* Its branches name but what tells them apart. */
    const struct checking lax = {false, checking->why, checking->size};
    size_t i, matches = 0;
    json_t *schema;
    json_array_foreach(schemas, i, schema)
    {
        matches += check(&lax, schema, value, where) ? 1 : 0;
    }
    return matches == 1 || refuse(checking, "%s fits %zu of the forms, not one", where, matches);
}

/* The number that a word limits: a length in characters counts bytes here, all that is measured is ASCII. */
static bool measure(const char *word, const json_t *value, json_int_t *measured)
{
    if (strstr(word, "Length") != NULL && json_is_string(value)) {
        *measured = (json_int_t)json_string_length(value);
    } else if (strstr(word, "Items") != NULL && json_is_array(value)) {
        *measured = (json_int_t)json_array_size(value);
    } else if (strstr(word, "imum") != NULL && json_is_integer(value)) {
        *measured = json_integer_value(value);
    } else {
        return false;
    }
    return true;
}

static bool check_word(const struct checking *checking, const char *word, const json_t *rule,
                       const json_t *value, const char *where)
{
    json_int_t measured;
    if (word[0] == '$' || strcmp(word, "title") == 0 || strcmp(word, "description") == 0) {
        return true;
    }
    if (strcmp(word, "type") == 0) {
        return check_type(checking, rule, value, where);
    }
    if (strcmp(word, "const") == 0) {
        return json_equal(rule, value) || refuse(checking, "%s is not what it has to be", where);
    }
    if (strcmp(word, "enum") == 0) {
        return check_enum(checking, rule, value, where);
    }
    if (strcmp(word, "pattern") == 0) {
        return check_pattern(checking, json_string_value(rule), value, where);
    }
    if (strcmp(word, "required") == 0) {
        return check_required(checking, rule, value, where);
    }
    if (strcmp(word, "properties") == 0) {
        return !json_is_object(value) || check_properties(checking, rule, value, where);
    }
    if (strcmp(word, "items") == 0) {
        return !json_is_array(value) || check_items(checking, rule, value, where);
    }
    if (strcmp(word, "oneOf") == 0) {
        return check_one_of(checking, rule, value, where);
    }
    if (strcmp(word, "minimum") == 0 || strcmp(word, "minLength") == 0 || strcmp(word, "minItems") == 0) {
        return !measure(word, value, &measured) || measured >= json_integer_value(rule) ||
               refuse(checking, "%s is below its %s", where, word);
    }
    if (strcmp(word, "maximum") == 0 || strcmp(word, "maxLength") == 0) {
        return !measure(word, value, &measured) || measured <= json_integer_value(rule) ||
               refuse(checking, "%s is above its %s", where, word);
    }
    return refuse(checking, "%s: the word %s is not known here", where, word);
}

static bool check(const struct checking *checking, const json_t *schema, const json_t *value,
                  const char *where)
{
    const char *word;
    json_t *rule;
    if (json_is_boolean(schema)) {
        return json_is_true(schema) || refuse(checking, "%s may not be there", where);
    }
    json_object_foreach((json_t *)(uintptr_t)schema, word, rule)
    {
        if (!check_word(checking, word, rule, value, where)) {
            return false;
        }
    }
    return true;
}

bool schema_check(const json_t *schema, const json_t *value, bool strict, char *why, size_t size)
{
    const struct checking checking = {strict, why, size};
    return check(&checking, schema, value, "the frame");
}
