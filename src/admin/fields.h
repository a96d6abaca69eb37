/*
 * fields: takes single fields out of an object from outside, strictly.
 * Pure: any thread. False with the problem filled in when the field is not as it has to be; `hint` says how that is.
 */
#ifndef COINSLOT_ADMIN_FIELDS_H
#define COINSLOT_ADMIN_FIELDS_H

#include <jansson.h>

#include "admin/problem.h"
#include "payment/amount.h"
#include "store/store.h"

/* A 422 with the code invalid_field; always false. */
__attribute__((format(printf, 4, 5))) bool fields_refuse(struct problem *problem, const char *name,
                                                         const char *hint, const char *detail_format, ...);

/* The problem is about a field inside another one: puts that one's name, printed from `format`, before it. */
__attribute__((format(printf, 2, 3))) void fields_inside(struct problem *problem, const char *format, ...);

/* `names` ends with NULL. */
bool fields_only(json_t *body, const char *const *names, struct problem *problem);

/* A text that must be there, or may be missing (then *text is NULL). */
bool fields_take_text(const json_t *body, const char *name, bool needed, const char *hint, const char **text,
                      struct problem *problem);
bool fields_take_name(const json_t *body, char name[STORE_NAME_SIZE], struct problem *problem);

/* A whole number from 1 to `most`; 0 when it is missing or null and not needed. */
bool fields_take_count(const json_t *body, const char *name, bool needed, json_int_t most, const char *hint,
                       json_int_t *count, struct problem *problem);

/* Raw as a decimal string; 0 when it is missing and not needed. */
bool fields_take_amount(const json_t *body, const char *name, bool needed, struct amount *amount,
                        struct problem *problem);

/* An object or an array that must be there. */
/* RFC 3339 or milliseconds, not in the future; 0 where it is missing. */
bool fields_take_past(const json_t *body, const char *name, int64_t *wall_ms, struct problem *problem);
bool fields_take_value(const json_t *body, const char *name, json_type type, const char *hint, json_t **value,
                       struct problem *problem);

#endif
