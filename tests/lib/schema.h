/*
 * schema: checks JSON against the part of JSON Schema (2020-12) that schema/messages/ uses. A word of it that this does not know fails
 * the check, so that nothing is passed over.
 */
#ifndef COINSLOT_TESTS_SCHEMA_H
#define COINSLOT_TESTS_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* `dir` holds NAME.schema.json. Borrowed until schema_forget. NULL: no such file, or no JSON. */
const json_t *schema_load(const char *dir, const char *name);
void schema_forget(void);

/* False: `why` says where and what. `strict`: members that the schema does not name are refused too. */
bool schema_check(const json_t *schema, const json_t *value, bool strict, char *why, size_t size);

#endif
