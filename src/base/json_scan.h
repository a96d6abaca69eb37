/*
 * json_scan: one JSON object from outside, read in place where it is written as nodes and devices write theirs,
 * else as a tree. Which of the two it was, nobody sees: the same is taken, and the same is refused in the same words.
 * Any thread; no heap but the tree's.
 */
#ifndef COINSLOT_BASE_JSON_SCAN_H
#define COINSLOT_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

/* What is longer, or has more members with those of its inner objects, is read as a tree. */
#define JSON_SCAN_BYTES   4096
#define JSON_SCAN_MEMBERS 48

enum json_kind { JSON_KIND_MISSING, JSON_KIND_TEXT, JSON_KIND_OBJECT, JSON_KIND_OTHER };

struct json_member {
    const char *key, *text; /* in the scan's own copy, unescaped; text: NULL when it is no string */
    enum json_kind kind;
    uint32_t parent; /* the member whose object it is in; the first is the whole */
};

struct json_scan {
    json_t *tree; /* NULL: in place */
    uint32_t count;
    struct json_member members[JSON_SCAN_MEMBERS];
    char copy[JSON_SCAN_BYTES];
};

/*
 * Reads as json_read does, what it refuses and how it says so included. Valid as long as the scan is, which must
 * stay where it is.
 */
CS_MUST_CHECK bool json_scan_init(struct json_scan *scan, const char *text, size_t length, int most_depth,
                                  char error[JSON_ERROR_SIZE]);
void json_scan_fini(struct json_scan *scan);

/* An object that was read, borrowed, or something that is none. */
struct json_view {
    const struct json_scan *scan; /* NULL: of a tree */
    uint32_t at;
    const json_t *tree;
};

struct json_view json_view_of_scan(const struct json_scan *scan);
struct json_view json_view_of_tree(const json_t *tree); /* NULL is no object */

bool json_view_is_object(struct json_view view);
/* What is under `key`; missing, too, in what is no object. */
enum json_kind json_view_kind(struct json_view view, const char *key);
/* The string under `key`, borrowed, without any NUL in it; NULL when it is missing or no string. */
const char *json_view_text(struct json_view view, const char *key);
struct json_view json_view_inner(struct json_view view, const char *key);

#endif
