#include "store/sql.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/gather.h"

#define LOG_MODULE "store"

#define BUSY_TIMEOUT_MS 10000

sqlite3 *sql_open(const char *path, enum sql_access access)
{
    sqlite3 *db = NULL;
    int flags =
        SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | (access != SQL_READ_ONLY ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(path, &db, flags, access == SQL_GATHERED ? gather_vfs() : NULL);
    if (code != SQLITE_OK) {
        log_error("cannot open %s: %s", path, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code));
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    sqlite3_wal_autocheckpoint(db, 0);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* Debian builds with SECURE_DELETE, which rewrites freed pages: nothing secret is deleted here. */
    sqlite3_exec(db, "PRAGMA secure_delete = OFF", NULL, NULL, NULL);
    if (access == SQL_READ_ONLY) {
        sqlite3_exec(db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    }
    return db;
}

sqlite3_stmt **sql_prepare(sqlite3 *db, const char *const *queries, size_t count)
{
    sqlite3_stmt **statements = cs_alloc(count * sizeof(sqlite3_stmt *));
    for (size_t i = 0; i < count; i++) {
        int code = sqlite3_prepare_v3(db, queries[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i], NULL);
        if (code != SQLITE_OK) {
            log_die(LOG_MODULE, "cannot prepare «%s»: %s", queries[i], sqlite3_errmsg(db));
        }
    }
    return statements;
}

void sql_finalize(sqlite3_stmt **statements, size_t count)
{
    if (statements == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(statements[i]);
    }
    free(statements);
}

void sql_bind(sqlite3_stmt *statement, const char *types, ...)
{
    assert((int)strlen(types) == sqlite3_bind_parameter_count(statement));
    va_list arguments;
    va_start(arguments, types);
    int code = SQLITE_OK;
    for (int i = 1; types[i - 1] != '\0' && code == SQLITE_OK; i++) {
        switch (types[i - 1]) {
        case 'i':
            code = sqlite3_bind_int64(statement, i, va_arg(arguments, int64_t));
            break;
        case 'o': {
            int64_t value = va_arg(arguments, int64_t);
            code = value == 0 ? sqlite3_bind_null(statement, i) : sqlite3_bind_int64(statement, i, value);
            break;
        }
        case 't':
            code = sqlite3_bind_text(statement, i, va_arg(arguments, const char *), -1, SQLITE_STATIC);
            break;
        case 'b': {
            const void *bytes = va_arg(arguments, const void *);
            size_t size = va_arg(arguments, size_t);
            code = bytes == NULL ? sqlite3_bind_null(statement, i)
                                 : sqlite3_bind_blob64(statement, i, bytes, size, SQLITE_STATIC);
            break;
        }
        default:
            assert(!"a type that sql_bind does not know");
        }
    }
    va_end(arguments);
    if (code != SQLITE_OK) {
        log_die(LOG_MODULE, "cannot bind «%s»: %s", sqlite3_sql(statement), sqlite3_errstr(code));
    }
}

enum cs_err sql_error(int code)
{
    if (code == SQLITE_IOERR_SHMSIZE) {
        return CS_EFULL; /* no room for the next piece of the WAL's index, -shm: a full disk by another name */
    }
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return CS_OK;
    case SQLITE_FULL:
        return CS_EFULL;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return CS_EBUSY;
    case SQLITE_NOMEM:
        log_die(LOG_MODULE, "out of memory in SQLite; start again, nothing committed is lost");
    default:
        return CS_EIO;
    }
}

bool sql_step(sqlite3_stmt *statement, enum cs_err *err)
{
    int code = sqlite3_step(statement);
    *err = sql_error(code);
    if (code == SQLITE_ROW) {
        return true;
    }
    if (*err != CS_OK && *err != CS_EFULL) { /* a full disk is told once, by the writer */
        log_error("%s in «%s»", sqlite3_errmsg(sqlite3_db_handle(statement)), sqlite3_sql(statement));
    }
    sqlite3_reset(statement);
    return false;
}

enum cs_err sql_run(sqlite3_stmt *statement)
{
    enum cs_err err;
    if (sql_step(statement, &err)) {
        sqlite3_reset(statement);
    }
    return err;
}

enum cs_err sql_exec(sqlite3 *db, const char *text)
{
    int code = sqlite3_exec(db, text, NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        log_error("%s in «%s»", sqlite3_errmsg(db), text);
    }
    return sql_error(code);
}

enum cs_err sql_number(sqlite3 *db, const char *query, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, query, -1, &statement, NULL);
    code = code != SQLITE_OK ? code : sqlite3_step(statement);
    *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    enum cs_err err = sql_error(code);
    sqlite3_finalize(statement);
    return err;
}

void sql_copy_text(sqlite3_stmt *statement, int column, char *text, size_t size)
{
    const char *from = (const char *)sqlite3_column_text(statement, column);
    size_t length = from != NULL ? (size_t)sqlite3_column_bytes(statement, column) : 0;
    length = length < size ? length : size - 1;
    if (from != NULL) {
        memcpy(text, from, length);
    }
    text[length] = '\0';
}

bool sql_copy_blob(sqlite3_stmt *statement, int column, void *bytes, size_t size)
{
    const void *from = sqlite3_column_blob(statement, column);
    if (from == NULL || (size_t)sqlite3_column_bytes(statement, column) != size) {
        return false;
    }
    memcpy(bytes, from, size);
    return true;
}
