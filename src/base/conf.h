/*
 * conf: reads an ini file into a struct, driven by a table. Any thread; nothing is kept.
 * Unknown sections or keys, repeated keys and values out of range are errors that name the line.
 */
#ifndef COINSLOT_BASE_CONF_H
#define COINSLOT_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum conf_type {
    CONF_TEXT,   /* char[size] inside the struct */
    CONF_NUMBER, /* int64_t, from least to most */
    CONF_FLAG,   /* bool: yes, no, true, false, on, off, 1, 0 */
    CONF_CHOICE, /* int: the place of the value in `choices` */
};

struct conf_key {
    const char *section, *name;
    enum conf_type type;
    size_t offset, size;        /* of the member in the struct */
    int64_t least, most;        /* CONF_NUMBER */
    const char *const *choices; /* CONF_CHOICE, ends with NULL */
    const char *fallback;       /* the default, as it would be written in the file */
    const char *help;           /* one line */
};

#define CONF_ERROR_SIZE  256
#define CONF_REASON_SIZE (CONF_ERROR_SIZE - 80) /* leaves room for FILE:LINE */

/* Fills `target` with every key's default. A default that does not parse is our mistake: assert. */
void conf_set_defaults(const struct conf_key *keys, size_t count, void *target);

/* CS_EINVAL with `FILE:LINE: what is wrong and what to write` in `error`; CS_EIO when it cannot be read. */
CS_MUST_CHECK enum cs_err conf_read_file(const char *path, const struct conf_key *keys, size_t count,
                                         void *target, char error[CONF_ERROR_SIZE]);
CS_MUST_CHECK enum cs_err conf_read_text(const char *text, const struct conf_key *keys, size_t count,
                                         void *target, char error[CONF_ERROR_SIZE]);

/* One key from elsewhere, a command line. False: what to write instead in `why`; `target` is as it was. */
CS_MUST_CHECK bool conf_set(const struct conf_key *key, const char *value, void *target,
                            char why[CONF_REASON_SIZE]);

/* Prints every key with its help and its default, as a file that could be used as it is. */
void conf_print(const struct conf_key *keys, size_t count, FILE *out);

#endif
