#include "base/json_scan.h"

#include <string.h>

/*
 * What is read in place: objects of strings, true, false, null, and objects, all of it ASCII, with the escapes of two characters. The rest
 * (numbers, arrays, \u, UTF-8) no node writes into the news of a payment; it is the parser's.
 */

static char *skip_space(char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') {
        at++;
    }
    return at;
}

/* 0: none of those. */
static char unescape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* From its first quote; unescaped where it stands. Returns what follows it, NULL when it is the parser's. */
static char *take_string(char *at, const char **text)
{
    char *to = ++at;
    *text = to;
    for (; *at != '"'; at++) {
        char c = *at;
        if (c == '\\') {
            c = unescape(*++at);
            if (c == 0) {
                return NULL;
            }
        } else if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x80) { /* the end, too */
            return NULL;
        }
        *to++ = c;
    }
    *to = '\0';
    return at + 1;
}

static const struct json_member *find(const struct json_scan *scan, uint32_t parent, const char *key)
{
    for (uint32_t i = 1; i < scan->count; i++) {
        const struct json_member *member = &scan->members[i];
        if (member->parent == parent && *member->key == *key && strcmp(member->key, key) == 0) {
            return member;
        }
    }
    return NULL;
}

static char *take_literal(char *at)
{
    static const char *const literals[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
        size_t length = strlen(literals[i]);
        if (strncmp(at, literals[i], length) == 0) {
            return at + length;
        }
    }
    return NULL;
}

/* From a member's key to its value, of which an object is only begun. */
static char *take_member(struct json_scan *scan, uint32_t parent, char *at)
{
    struct json_member member = {.parent = parent, .kind = JSON_KIND_OTHER};
    if (*at != '"' || scan->count == JSON_SCAN_MEMBERS) {
        return NULL;
    }
    at = take_string(at, &member.key);
    if (at == NULL || find(scan, parent, member.key) != NULL) {
        return NULL;
    }
    at = skip_space(at);
    if (*at != ':') {
        return NULL;
    }
    at = skip_space(at + 1);
    if (*at == '"') {
        member.kind = JSON_KIND_TEXT;
        at = take_string(at, &member.text);
    } else if (*at == '{') {
        member.kind = JSON_KIND_OBJECT;
        at++;
    } else {
        at = take_literal(at);
    }
    scan->members[scan->count++] = member;
    return at;
}

/* `at` is behind the first bracket. Returns what follows the last one; NULL when it is the parser's. */
static char *take_members(struct json_scan *scan, int most_depth, char *at)
{
    uint32_t inside = 0;
    int depth = 1;
    bool begun = true; /* nothing is in the object yet */
    while (depth > 0 && depth <= most_depth) {
        at = skip_space(at);
        if (*at == '}') {
            at++;
            depth--;
            inside = scan->members[inside].parent;
            begun = false;
            continue;
        }
        if (!begun) {
            if (*at != ',') {
                return NULL;
            }
            at = skip_space(at + 1);
        }
        at = take_member(scan, inside, at);
        if (at == NULL) {
            return NULL;
        }
        begun = scan->members[scan->count - 1].kind == JSON_KIND_OBJECT;
        if (begun) {
            inside = scan->count - 1;
            depth++;
        }
    }
    return depth == 0 ? at : NULL;
}

static bool scan_copy(struct json_scan *scan, size_t length, int most_depth)
{
    scan->members[0] = (struct json_member){.kind = JSON_KIND_OBJECT};
    scan->count = 1;
    scan->copy[length] = '\0';
    char *at = skip_space(scan->copy);
    if (*at != '{') {
        return false;
    }
    at = take_members(scan, most_depth, at + 1);
    return at != NULL && skip_space(at) == scan->copy + length;
}

bool json_scan_init(struct json_scan *scan, const char *text, size_t length, int most_depth,
                    char error[JSON_ERROR_SIZE])
{
    scan->tree = NULL;
    if (length < sizeof(scan->copy)) {
        memcpy(scan->copy, text, length);
        if (scan_copy(scan, length, most_depth)) {
            return true;
        }
    }
    scan->tree = json_read(text, length, most_depth, error);
    return scan->tree != NULL;
}

void json_scan_fini(struct json_scan *scan)
{
    json_decref(scan->tree);
}

struct json_view json_view_of_scan(const struct json_scan *scan)
{
    return scan->tree != NULL ? json_view_of_tree(scan->tree) : (struct json_view){.scan = scan};
}

struct json_view json_view_of_tree(const json_t *tree)
{
    return (struct json_view){.tree = tree};
}

bool json_view_is_object(struct json_view view)
{
    return view.scan != NULL || json_is_object(view.tree);
}

static enum json_kind kind_of_tree(const json_t *value)
{
    if (value == NULL) {
        return JSON_KIND_MISSING;
    }
    return json_is_string(value)   ? JSON_KIND_TEXT
           : json_is_object(value) ? JSON_KIND_OBJECT
                                   : JSON_KIND_OTHER;
}

enum json_kind json_view_kind(struct json_view view, const char *key)
{
    if (view.scan == NULL) {
        return kind_of_tree(json_object_get(view.tree, key));
    }
    const struct json_member *member = find(view.scan, view.at, key);
    return member != NULL ? member->kind : JSON_KIND_MISSING;
}

const char *json_view_text(struct json_view view, const char *key)
{
    if (view.scan == NULL) {
        return json_text(view.tree, key);
    }
    const struct json_member *member = find(view.scan, view.at, key);
    return member != NULL ? member->text : NULL;
}

struct json_view json_view_inner(struct json_view view, const char *key)
{
    if (view.scan == NULL) {
        return json_view_of_tree(json_object_get(view.tree, key));
    }
    const struct json_member *member = find(view.scan, view.at, key);
    if (member == NULL || member->kind != JSON_KIND_OBJECT) {
        return json_view_of_tree(NULL);
    }
    return (struct json_view){.scan = view.scan, .at = (uint32_t)(member - view.scan->members)};
}
