/*
 * tree: JSON as a Nano node reads and writes it, which is as Boost's property_tree does: a scalar is a text, whatever it was, and what
 * is empty is written as "". Pure: any thread.
 */
#ifndef COINSLOT_SIMULATE_TREE_H
#define COINSLOT_SIMULATE_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* NULL: it is no JSON. Every scalar in it has become a string. Owned by the caller. */
json_t *tree_read(const char *text, size_t length);

/* The text of a value; "" of an object or an array. */
const char *tree_data(const json_t *value);
/* The text under `key`; NULL when it is missing. */
const char *tree_text(const json_t *object, const char *key);
/* True for "true" and "1", false for "false" and "0", `fallback` for everything else. */
bool tree_flag(const json_t *object, const char *key, bool fallback);

void tree_put(json_t *object, const char *key, const char *text);
/* The collection is taken; an empty one becomes "". */
void tree_put_collection(json_t *object, const char *key, json_t *collection);

/* Pretty, 4 spaces, a final newline. The value is taken; the text is the caller's. */
char *tree_print(json_t *value);

#endif
