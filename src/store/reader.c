/* The pool of read-only connections, and what the pages of every kind need. */
#include "store/reader_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define LOG_MODULE "store"

#define HOUR_MS 3600000

enum { BEGIN, COMMIT, PROGRESS, HOURS, READER_SQL_COUNT };
static const char *const READER_SQL[] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [PROGRESS] =
        "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'delivery_indexed'), 0), "
        "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'payment_indexed'), 0)",
    [HOURS] = "SELECT min(first_payment), max(last_payment), min(first_delivery), max(last_delivery) "
              "FROM stored_hour WHERE hour BETWEEN ? AND ?",
};

/* ---- the pool -------------------------------------------------------------------------------------------------- */

struct reader_pool {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    struct reader *free;
    size_t count;
    struct reader readers[];
};

struct reader_pool *reader_pool_open(struct store *store)
{
    size_t count = store->options.readers;
    struct reader_pool *pool = cs_alloc(sizeof(*pool) + count * sizeof(struct reader));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->returned, NULL);
    pool->count = count;
    for (size_t i = 0; i < count; i++) {
        struct reader *reader = &pool->readers[i];
        reader->db = sql_open(store->path, SQL_READ_ONLY);
        if (reader->db == NULL) {
            log_die(LOG_MODULE, "cannot open %s for reading", store->path);
        }
        reader->sql = sql_prepare(reader->db, READER_SQL, READER_SQL_COUNT);
        reader_delivery_sql_open(reader);
        reader_payment_sql_open(reader);
        reader_device_sql_open(reader);
        reader_reconcile_sql_open(reader);
        reader->next_free = pool->free;
        pool->free = reader;
    }
    return pool;
}

void reader_pool_close(struct reader_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        struct reader *reader = &pool->readers[i];
        reader_reconcile_sql_close(reader);
        reader_device_sql_close(reader);
        reader_payment_sql_close(reader);
        reader_delivery_sql_close(reader);
        sql_finalize(reader->sql, READER_SQL_COUNT);
        sqlite3_close(reader->db);
    }
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum cs_err reader_take(struct store *store, struct reader **taken)
{
    struct reader_pool *pool = store->readers;
    pthread_mutex_lock(&pool->lock);
    while (pool->free == NULL) {
        pthread_cond_wait(&pool->returned, &pool->lock);
    }
    *taken = pool->free;
    pool->free = pool->free->next_free;
    pthread_mutex_unlock(&pool->lock);
    return sql_run((*taken)->sql[BEGIN]);
}

void reader_give_back(struct store *store, struct reader *reader)
{
    struct reader_pool *pool = store->readers;
    (void)sql_run(reader->sql[COMMIT]);
    pthread_mutex_lock(&pool->lock);
    reader->next_free = pool->free;
    pool->free = reader;
    pthread_cond_signal(&pool->returned);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- what every page needs --------------------------------------------------------------------------------------- */

enum cs_err reader_read_cursor(const char *cursor, char order, int64_t *before)
{
    *before = INT64_MAX;
    if (cursor == NULL) {
        return CS_OK;
    }
    char *end;
    errno = 0;
    long long value = strtoll(cursor + (*cursor != '\0'), &end, 10);
    if (*cursor != order || cursor[1] < '1' || cursor[1] > '9' || *end != '\0' || errno != 0) {
        return CS_EINVAL;
    }
    *before = value;
    return CS_OK;
}

void reader_write_cursor(char next[READER_CURSOR_SIZE], char order, int64_t last)
{
    snprintf(next, READER_CURSOR_SIZE, "%c%" PRId64, order, last);
}

enum cs_err reader_find_range(struct reader *reader, int64_t from_ms, int64_t to_ms,
                              struct reader_range *range)
{
    *range = (struct reader_range){0, INT64_MAX, 0, INT64_MAX};
    if (from_ms == 0 && to_ms == 0) {
        return CS_OK;
    }
    sqlite3_stmt *hours = reader->sql[HOURS];
    enum cs_err err;
    sql_bind(hours, "ii", from_ms / HOUR_MS, to_ms == 0 ? INT64_MAX : to_ms / HOUR_MS);
    if (sql_step(hours, &err)) {
        *range = (struct reader_range){sqlite3_column_int64(hours, 0), sqlite3_column_int64(hours, 1),
                                       sqlite3_column_int64(hours, 2), sqlite3_column_int64(hours, 3)};
        sqlite3_reset(hours);
    }
    return err;
}

enum cs_err reader_read_progress(struct reader *reader, struct reader_progress *progress)
{
    enum cs_err err;
    if (sql_step(reader->sql[PROGRESS], &err)) {
        progress->delivery = sqlite3_column_int64(reader->sql[PROGRESS], 0);
        progress->payment = sqlite3_column_int64(reader->sql[PROGRESS], 1);
        sqlite3_reset(reader->sql[PROGRESS]);
    }
    return err;
}

enum cs_err reader_find_num(sqlite3_stmt *find, int64_t *num)
{
    enum cs_err err;
    *num = 0;
    if (sql_step(find, &err)) {
        *num = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
    }
    return err;
}
