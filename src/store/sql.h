/*
 * sql: a connection, its prepared statements, and what its errors mean. Inside store/ only.
 * A connection and its statements belong to one thread at a time.
 */
#ifndef COINSLOT_STORE_SQL_H
#define COINSLOT_STORE_SQL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SQL_APPLICATION_ID 0x43534c54 /* "CSLT": PRAGMA application_id of our files */

enum sql_access {
    SQL_READ_WRITE,
    SQL_READ_ONLY,
    SQL_GATHERED, /* read and write, each commit in one write (gather.h): for one that stays at synchronous = FULL */
};

/* NULL: could not be opened; why in the log. Foreign keys on, automatic checkpoints off, 10 s of patience with locks. */
sqlite3 *sql_open(const char *path, enum sql_access access);

/*
 * Prepares all of them. A query that does not prepare is our mistake and ends the process. Freed by sql_finalize, before the connection.
 */
sqlite3_stmt **sql_prepare(sqlite3 *db, const char *const *queries, size_t count);
void sql_finalize(sqlite3_stmt **statements, size_t count);

/*
 * Binds all parameters, in order: `i` int64_t; `o` int64_t, 0 as NULL; `t` const char * (NULL as NULL); `b` const void * and size_t
 * (NULL as NULL). What is bound must live until the statement is reset.
 */
void sql_bind(sqlite3_stmt *statement, const char *types, ...);

/* One step. True: a row is there. False: done, or failed; the statement is reset then, and *err says which (CS_EFULL, CS_EIO). */
bool sql_step(sqlite3_stmt *statement, enum cs_err *err);
/* Steps once, drops what comes, and resets. */
enum cs_err sql_run(sqlite3_stmt *statement);
enum cs_err sql_exec(sqlite3 *db, const char *text);
/* The first column of the first row of a query that has one. A damaged file fails here first: nothing is logged. */
CS_MUST_CHECK enum cs_err sql_number(sqlite3 *db, const char *query, int64_t *number);

enum cs_err sql_error(int code);

/* Copies a column into a buffer of `size` bytes: text is cut at size - 1 and ends with NUL, NULL is "". */
void sql_copy_text(sqlite3_stmt *statement, int column, char *text, size_t size);
/* False when the column is not exactly `size` bytes. */
bool sql_copy_blob(sqlite3_stmt *statement, int column, void *bytes, size_t size);

#endif
