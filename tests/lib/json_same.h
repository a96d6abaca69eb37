/*
 * json_same: whether what json_scan read is what the parser reads, and whether it had to be read in place. Of the unit test and of the fuzz
 * target, which link nothing else of this folder.
 */
#ifndef COINSLOT_TESTS_JSON_SAME_H
#define COINSLOT_TESTS_JSON_SAME_H

#include <string.h>

#include "base/json_scan.h"

static inline size_t json_same_children(struct json_view view)
{
    size_t count = 0;
    if (view.scan == NULL) {
        return json_object_size(view.tree);
    }
    for (uint32_t i = 1; i < view.scan->count; i++) {
        count += view.scan->members[i].parent == view.at ? 1 : 0;
    }
    return count;
}

static inline bool json_same(struct json_view view, json_t *tree)
{
    const char *key;
    json_t *value;
    if (!json_is_object(tree)) {
        return !json_view_is_object(view);
    }
    bool same = json_view_is_object(view) && json_same_children(view) == json_object_size(tree);
    json_object_foreach(tree, key, value)
    {
        const char *text = json_view_text(view, key);
        enum json_kind kind = json_is_string(value)   ? JSON_KIND_TEXT
                              : json_is_object(value) ? JSON_KIND_OBJECT
                                                      : JSON_KIND_OTHER;
        same = same && json_view_kind(view, key) == kind && (text != NULL) == json_is_string(value);
        same = same && (text == NULL || strcmp(text, json_string_value(value)) == 0);
        same = same && (kind == JSON_KIND_OBJECT ? json_same(json_view_inner(view, key), value)
                                                 : !json_view_is_object(json_view_inner(view, key)));
    }
    return same;
}

/* All members, or more than a scan takes when there is something in it that it leaves to the parser. */
static inline size_t json_same_members(json_t *tree)
{
    const char *key;
    json_t *value;
    size_t count = json_object_size(tree);
    json_object_foreach(tree, key, value)
    {
        bool plain =
            json_is_string(value) || json_is_object(value) || json_is_boolean(value) || json_is_null(value);
        count += plain ? json_same_members(value) : JSON_SCAN_MEMBERS;
    }
    return count;
}

/* Whether this text, of which the parser makes this tree, is read in place. (The parser overlooks a NUL right behind a literal.) */
static inline bool json_same_is_plain(const char *text, size_t length, json_t *tree)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\0' || (unsigned char)text[i] >= 0x80 || (text[i] == '\\' && text[i + 1] == 'u')) {
            return false;
        }
        i += text[i] == '\\' ? 1 : 0;
    }
    return length < JSON_SCAN_BYTES && json_is_object(tree) && json_same_members(tree) < JSON_SCAN_MEMBERS;
}

#endif
