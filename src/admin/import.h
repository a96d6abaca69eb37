/*
 * import: registers many devices from NDJSON, one a line, as the lines come in.
 * One thread at a time, not the writer; each group of lines waits for its commit. Memory is bounded by one line and one group.
 * After a crash: the groups that were committed are there, each line of them whole, and of the others nothing.
 */
#ifndef COINSLOT_ADMIN_IMPORT_H
#define COINSLOT_ADMIN_IMPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "store/store.h"

#define IMPORT_LINE_BYTES   65536
#define IMPORT_RESULT_BYTES 2048 /* a result without its subscriptions is shorter */
/* A group ends at either: it is one transaction, of some milliseconds, and payments wait for it. */
#define IMPORT_GROUP_LINES         64
#define IMPORT_GROUP_SUBSCRIPTIONS 256

_Static_assert(IMPORT_GROUP_LINES <= STORE_IMPORT_MOST, "the store takes a group at once");

struct import;

struct import_limits {
    size_t bytes_most;   /* in all */
    uint32_t lines_most; /* with the blank ones */
};

/*
 * `results` (borrowed, a file with room for IMPORT_RESULT_BYTES) gets one line for each line that is not blank, in their order:
 *
 *   {"line":1,"id":"dev_…","token":"…","subscriptions":["sub_…"]}     token, public_key, secret_key as in credential.h
 *   {"line":2,"error":{"code":…,"detail":…,"field":…,"hint":…}}       nothing was made of this line
 *
 * Past a limit, and when the results have no room on the disk, the last result is an error with the first line that was not looked at.
 */
struct import *import_open(struct store *store, const struct import_limits *limits, FILE *results);
void import_take(struct import *import, const char *data, size_t size);
/* All has come: the last line needs no end. False: writing to `results` failed, and nothing was made from there on. */
bool import_finish(struct import *import);
/* At any time: what was not committed yet is dropped. */
void import_close(struct import *import);

#endif
