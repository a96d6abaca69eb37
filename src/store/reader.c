#include "store/reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

#define HOUR_MS 3600000

/* One page's deliveries: the same columns in every query. */
#define DELIVERY_COLUMNS                                                                                     \
    "d.num, v.id, d.seq, d.state, d.reason, d.stored_at, d.sent_at, d.acked_at, d.final_at, d.attempts, "    \
    "d.seconds, coalesce(d.config_version, 0), " PAYMENT_COLUMNS
#define DELIVERY_JOINS                                                                                       \
    " JOIN device v ON v.num = d.device JOIN payment p ON p.num = d.payment JOIN address a ON a.num = "      \
    "p.address "
/* ?1 before, ?2 and ?3 stored_at from and to, ?4 state or NULL, ?5 limit; ?6 and ?7 differ, ?8 device or NULL. */
#define DELIVERY_REST                                                                                        \
    "d.stored_at >= ?2 AND d.stored_at < ?3 AND (?4 IS NULL OR d.state = ?4) AND (?8 IS NULL OR d.device = " \
    "?8) "
#define PAYMENT_SELECT                                                                                       \
    "SELECT p.num, p.stored_at, p.reversed_at, (SELECT count(*) FROM delivery_by_payment b WHERE b.payment " \
    "= p.num) + "                                                                                            \
    "(SELECT count(*) FROM delivery d WHERE d.num > ?6 AND d.payment = p.num), " PAYMENT_COLUMNS             \
    " FROM payment p JOIN address a ON a.num = p.address "
#define DEVICE_COLUMNS                                                                                       \
    "num, id, name, auth, state, expire_after_ms, created_at, retired_at, head, sent, acked, "               \
    "(SELECT coalesce(max(version), 0) FROM device_config f WHERE f.device = num) FROM device JOIN "         \
    "device_cursor ON device = num "

enum {
    BEGIN,
    COMMIT,
    PROGRESS,
    HOURS,
    DELIVERIES,
    DELIVERIES_DUE,
    DELIVERIES_UNSERVED,
    DELIVERIES_OF_DEVICE_TAIL,
    DELIVERIES_OF_DEVICE,
    DELIVERIES_OF_PAYMENT_TAIL,
    DELIVERIES_OF_PAYMENT,
    PAYMENTS,
    PAYMENTS_BY_HASH,
    PAYMENTS_BY_ADDRESS_TAIL,
    PAYMENTS_BY_ADDRESS,
    FIND_ADDRESS,
    FIND_DEVICE,
    DEVICES,
    DEVICE,
    SUBSCRIPTIONS,
    CONFIG,
    TOKENS,
    READER_SQL_COUNT
};
static const char *const READER_SQL[] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [PROGRESS] =
        "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'delivery_indexed'), 0), "
        "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'payment_indexed'), 0)",
    [HOURS] = "SELECT min(first_payment), max(last_payment), min(first_delivery), max(last_delivery) "
              "FROM stored_hour WHERE hour BETWEEN ? AND ?",
    [DELIVERIES] =
        "SELECT " DELIVERY_COLUMNS " FROM delivery d" DELIVERY_JOINS
        "WHERE d.num < ?1 AND d.num BETWEEN ?6 AND ?7 AND " DELIVERY_REST "ORDER BY d.num DESC LIMIT ?5",
    [DELIVERIES_DUE] = "SELECT " DELIVERY_COLUMNS " FROM delivery d INDEXED BY delivery_due" DELIVERY_JOINS
                       "WHERE d.state IN ('stored', 'sent', 'expired') AND d.num < ?1 AND d.num BETWEEN ?6 "
                       "AND ?7 AND " DELIVERY_REST "ORDER BY d.num DESC LIMIT ?5",
    [DELIVERIES_UNSERVED] =
        "SELECT " DELIVERY_COLUMNS " FROM delivery d INDEXED BY delivery_unserved" DELIVERY_JOINS
        "WHERE d.state IN ('refused', 'expired') AND d.num < ?1 AND d.num BETWEEN ?6 AND ?7 "
        "AND " DELIVERY_REST "ORDER BY d.num DESC LIMIT ?5",
    [DELIVERIES_OF_DEVICE_TAIL] =
        "SELECT " DELIVERY_COLUMNS " FROM delivery d" DELIVERY_JOINS
        "WHERE d.num > ?6 AND d.device = ?7 AND d.seq < ?1 AND " DELIVERY_REST "ORDER BY d.seq DESC LIMIT ?5",
    [DELIVERIES_OF_DEVICE] =
        "SELECT " DELIVERY_COLUMNS
        " FROM delivery_by_device b CROSS JOIN delivery d ON d.num = b.delivery" DELIVERY_JOINS
        "WHERE ?6 >= 0 AND b.device = ?7 AND b.seq < ?1 AND " DELIVERY_REST "ORDER BY b.seq DESC LIMIT ?5",
    [DELIVERIES_OF_PAYMENT_TAIL] = "SELECT " DELIVERY_COLUMNS " FROM delivery d" DELIVERY_JOINS
                                   "WHERE d.num > ?6 AND d.payment = ?7 AND d.num < ?1 AND " DELIVERY_REST
                                   "ORDER BY d.num DESC LIMIT ?5",
    [DELIVERIES_OF_PAYMENT] =
        "SELECT " DELIVERY_COLUMNS
        " FROM delivery_by_payment b CROSS JOIN delivery d ON d.num = b.delivery" DELIVERY_JOINS
        "WHERE ?6 >= 0 AND b.payment = ?7 AND b.delivery < ?1 AND " DELIVERY_REST
        "ORDER BY b.delivery DESC LIMIT ?5",
    [PAYMENTS] = PAYMENT_SELECT
    "WHERE p.num < ?1 AND p.num BETWEEN ?4 AND ?7 AND p.stored_at >= ?2 AND p.stored_at < ?3 "
    "ORDER BY p.num DESC LIMIT ?5",
    [PAYMENTS_BY_HASH] =
        PAYMENT_SELECT "WHERE substr(p.hash, 1, 8) = substr(?4, 1, 8) AND p.hash = ?4 AND p.num < ?1 "
                       "AND p.stored_at >= ?2 AND p.stored_at < ?3 AND (?7 IS NULL OR p.address = ?7) ORDER "
                       "BY p.num DESC LIMIT ?5",
    [PAYMENTS_BY_ADDRESS_TAIL] =
        PAYMENT_SELECT "WHERE p.num > ?7 AND p.address = ?4 AND p.num < ?1 AND p.stored_at >= ?2 "
                       "AND p.stored_at < ?3 ORDER BY p.num DESC LIMIT ?5",
    [PAYMENTS_BY_ADDRESS] =
        "SELECT p.num, p.stored_at, p.reversed_at, (SELECT count(*) FROM delivery_by_payment b WHERE "
        "b.payment = p.num) + "
        "(SELECT count(*) FROM delivery d WHERE d.num > ?6 AND d.payment = p.num), " PAYMENT_COLUMNS
        " FROM payment_by_address i CROSS JOIN payment p ON p.num = i.payment JOIN address a ON a.num = "
        "p.address "
        "WHERE ?7 >= 0 AND i.address = ?4 AND i.payment < ?1 AND p.stored_at >= ?2 AND p.stored_at < ?3 "
        "ORDER BY i.payment DESC LIMIT ?5",
    [FIND_ADDRESS] = "SELECT num FROM address WHERE chain = ? AND bytes = ?",
    [FIND_DEVICE] = "SELECT num FROM device WHERE id = ?",
    [DEVICES] =
        "SELECT " DEVICE_COLUMNS "WHERE num < ? AND (?2 IS NULL OR state = ?2) ORDER BY num DESC LIMIT ?",
    [DEVICE] = "SELECT " DEVICE_COLUMNS "WHERE id = ?",
    [SUBSCRIPTIONS] =
        "SELECT s.id, v.id, a.chain, a.bytes, s.minimum, s.created_at FROM subscription s JOIN device v ON "
        "v.num = s.device "
        "JOIN address a ON a.num = s.address WHERE s.device = ? AND s.removed_at IS NULL ORDER BY s.num",
    [CONFIG] = "SELECT version, body, created_at FROM device_config WHERE device = ? AND (?2 = 0 OR version "
               "= ?2) ORDER BY version DESC LIMIT 1",
    [TOKENS] = "SELECT id, name, role, created_at, revoked_at FROM api_token ORDER BY num",
};

/* ---- the pool -------------------------------------------------------------------------------------------------- */

struct reader {
    sqlite3 *db;
    sqlite3_stmt **sql;
    struct reader *next_free;
};

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
        reader->next_free = pool->free;
        pool->free = reader;
    }
    return pool;
}

void reader_pool_close(struct reader_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) {
        sql_finalize(pool->readers[i].sql, READER_SQL_COUNT);
        sqlite3_close(pool->readers[i].db);
    }
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static enum cs_err take(struct store *store, struct reader **taken)
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

static void give_back(struct store *store, struct reader *reader)
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

/* Cursors are one letter, for the order that they belong to, and the last row's place in it. */
static enum cs_err read_cursor(const char *cursor, char order, int64_t *before)
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

static void write_cursor(char next[READER_CURSOR_SIZE], char order, int64_t last)
{
    snprintf(next, READER_CURSOR_SIZE, "%c%" PRId64, order, last);
}

struct range {
    int64_t first_payment, last_payment, first_delivery, last_delivery;
};

/* The rows that a time range can lie in; without a range, all. */
static enum cs_err find_range(struct reader *reader, int64_t from_ms, int64_t to_ms, struct range *range)
{
    *range = (struct range){0, INT64_MAX, 0, INT64_MAX};
    if (from_ms == 0 && to_ms == 0) {
        return CS_OK;
    }
    sqlite3_stmt *hours = reader->sql[HOURS];
    enum cs_err err;
    sql_bind(hours, "ii", from_ms / HOUR_MS, to_ms == 0 ? INT64_MAX : to_ms / HOUR_MS);
    if (sql_step(hours, &err)) {
        *range = (struct range){sqlite3_column_int64(hours, 0), sqlite3_column_int64(hours, 1),
                                sqlite3_column_int64(hours, 2), sqlite3_column_int64(hours, 3)};
        sqlite3_reset(hours);
    }
    return err;
}

struct progress {
    int64_t delivery, payment;
};

static enum cs_err read_progress(struct reader *reader, struct progress *progress)
{
    enum cs_err err;
    if (sql_step(reader->sql[PROGRESS], &err)) {
        progress->delivery = sqlite3_column_int64(reader->sql[PROGRESS], 0);
        progress->payment = sqlite3_column_int64(reader->sql[PROGRESS], 1);
        sqlite3_reset(reader->sql[PROGRESS]);
    }
    return err;
}

/* 0 when there is none. */
static enum cs_err find_num(sqlite3_stmt *find, int64_t *num)
{
    enum cs_err err;
    *num = 0;
    if (sql_step(find, &err)) {
        *num = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
    }
    return err;
}

/* ---- deliveries -------------------------------------------------------------------------------------------------- */

/* One row more than was asked for is read: it tells whether there is a next page. */
struct delivery_page {
    struct reader_delivery *rows;
    size_t count, limit; /* limit: with the one more */
    int64_t last_num;    /* of the last row that is shown */
    int64_t device;      /* 0, or the only one that is wanted */
};

static enum cs_err read_deliveries(sqlite3_stmt *query, struct delivery_page *page)
{
    enum cs_err err;
    while (sql_step(query, &err)) {
        struct reader_delivery *row = &page->rows[page->count++];
        page->last_num = page->count < page->limit ? sqlite3_column_int64(query, 0) : page->last_num;
        sql_copy_text(query, 1, row->device, sizeof(row->device));
        row->delivery.seq = (uint64_t)sqlite3_column_int64(query, 2);
        (void)delivery_state_parse((const char *)sqlite3_column_text(query, 3), &row->delivery.state);
        sql_copy_text(query, 4, row->delivery.reason, sizeof(row->delivery.reason));
        row->delivery.stored_at_ms = sqlite3_column_int64(query, 5);
        row->sent_at_ms = sqlite3_column_int64(query, 6);
        row->acked_at_ms = sqlite3_column_int64(query, 7);
        row->final_at_ms = sqlite3_column_int64(query, 8);
        row->attempts = (uint32_t)sqlite3_column_int64(query, 9);
        row->seconds = (uint32_t)sqlite3_column_int64(query, 10);
        row->delivery.config_version = (uint64_t)sqlite3_column_int64(query, 11);
        store_read_payment(query, 12, &row->delivery.payment);
    }
    return err;
}

static void bind_deliveries(sqlite3_stmt *query, const struct reader_delivery_filter *filter,
                            const struct delivery_page *page, int64_t before, int64_t sixth, int64_t seventh)
{
    sql_bind(query, "iiitiiio", before, filter->from_ms, filter->to_ms == 0 ? INT64_MAX : filter->to_ms,
             filter->by_state ? delivery_state_text(filter->state) : NULL,
             (int64_t)(page->limit - page->count), sixth, seventh, page->device);
}

static enum cs_err page_all(struct reader *reader, const struct reader_delivery_filter *filter,
                            int64_t before, struct delivery_page *page)
{
    struct range range;
    enum cs_err err = find_range(reader, filter->from_ms, filter->to_ms, &range);
    int which = DELIVERIES;
    if (filter->by_state && (filter->state == DELIVERY_STORED || filter->state == DELIVERY_SENT)) {
        which = DELIVERIES_DUE;
    } else if (filter->by_state && (filter->state == DELIVERY_REFUSED || filter->state == DELIVERY_EXPIRED)) {
        which = DELIVERIES_UNSERVED;
    }
    if (err == CS_OK) {
        bind_deliveries(reader->sql[which], filter, page, before, range.first_delivery, range.last_delivery);
        err = read_deliveries(reader->sql[which], page);
    }
    return err;
}

/* First what the search index has not taken in yet, which is newer, then the index. */
static enum cs_err page_two(struct reader *reader, const struct reader_delivery_filter *filter,
                            int64_t before, int tail, int64_t key, struct delivery_page *page)
{
    struct progress progress = {0};
    enum cs_err err = read_progress(reader, &progress);
    if (err == CS_OK) {
        bind_deliveries(reader->sql[tail], filter, page, before, progress.delivery, key);
        err = read_deliveries(reader->sql[tail], page);
    }
    if (err == CS_OK && page->count < page->limit) {
        bind_deliveries(reader->sql[tail + 1], filter, page, before, progress.delivery, key);
        err = read_deliveries(reader->sql[tail + 1], page);
    }
    return err;
}

static enum cs_err page_by_hash(struct reader *reader, const struct reader_delivery_filter *filter,
                                int64_t before, struct delivery_page *page)
{
    sqlite3_stmt *find = reader->sql[PAYMENTS_BY_HASH];
    sql_bind(find, "iiibiio", INT64_MAX, (int64_t)0, INT64_MAX, filter->hash, (size_t)PAYMENT_HASH_SIZE,
             (int64_t)1, INT64_MAX, (int64_t)0);
    int64_t payment;
    enum cs_err err = find_num(find, &payment);
    return err != CS_OK || payment == 0
               ? err
               : page_two(reader, filter, before, DELIVERIES_OF_PAYMENT_TAIL, payment, page);
}

static enum cs_err page_deliveries(struct reader *reader, const struct reader_delivery_filter *filter,
                                   struct delivery_page *page, char next[READER_CURSOR_SIZE])
{
    bool by_seq = filter->device != NULL && filter->hash == NULL;
    char order = by_seq ? 's' : 'd';
    int64_t before;
    enum cs_err err = read_cursor(filter->cursor, order, &before);
    if (err == CS_OK && filter->device != NULL) {
        sql_bind(reader->sql[FIND_DEVICE], "t", filter->device);
        err = find_num(reader->sql[FIND_DEVICE], &page->device);
        err = err == CS_OK && page->device == 0 ? CS_ENOTFOUND : err;
    }
    if (err != CS_OK) {
        return err;
    }
    if (filter->hash != NULL) {
        err = page_by_hash(reader, filter, before, page);
    } else if (by_seq) {
        err = page_two(reader, filter, before, DELIVERIES_OF_DEVICE_TAIL, page->device, page);
    } else {
        err = page_all(reader, filter, before, page);
    }
    if (err == CS_OK && page->count == page->limit) {
        page->count--;
        write_cursor(next, order,
                     by_seq ? (int64_t)page->rows[page->count - 1].delivery.seq : page->last_num);
    }
    return err;
}

enum cs_err reader_page_deliveries(struct store *store, const struct reader_delivery_filter *filter,
                                   struct reader_delivery **rows, size_t *count,
                                   char next[READER_CURSOR_SIZE])
{
    assert(filter->limit >= 1 && filter->limit <= READER_PAGE_MOST);
    struct delivery_page page = {.limit = filter->limit + (size_t)1};
    page.rows = cs_alloc(page.limit * sizeof(**rows));
    struct reader *reader;
    next[0] = '\0';
    enum cs_err err = take(store, &reader);
    if (err == CS_OK) {
        err = page_deliveries(reader, filter, &page, next);
    }
    give_back(store, reader);
    if (err != CS_OK) {
        free(page.rows);
        return err;
    }
    *rows = page.rows;
    *count = page.count;
    return CS_OK;
}

/* ---- payments ---------------------------------------------------------------------------------------------------- */

struct payment_page { /* as struct delivery_page */
    struct reader_payment *rows;
    size_t count, limit;
    int64_t last_num;
};

static enum cs_err read_payments(sqlite3_stmt *query, struct payment_page *page)
{
    enum cs_err err;
    while (sql_step(query, &err)) {
        struct reader_payment *row = &page->rows[page->count++];
        page->last_num = page->count < page->limit ? sqlite3_column_int64(query, 0) : page->last_num;
        row->stored_at_ms = sqlite3_column_int64(query, 1);
        row->reversed_at_ms = sqlite3_column_int64(query, 2);
        row->deliveries = (uint32_t)sqlite3_column_int64(query, 3);
        store_read_payment(query, 4, &row->payment);
    }
    return err;
}

/* What a page of payments is asked for, with the numbers looked up. */
struct payment_query {
    const struct reader_payment_filter *filter;
    int64_t before, to_ms;
    int64_t address; /* 0: whatever it is */
    struct progress progress;
};

static enum cs_err page_by_address(struct reader *reader, const struct payment_query *asked,
                                   struct payment_page *page)
{
    enum cs_err err = CS_OK;
    const int queries[] = {PAYMENTS_BY_ADDRESS_TAIL, PAYMENTS_BY_ADDRESS};
    for (size_t i = 0; i < 2 && err == CS_OK && page->count < page->limit; i++) {
        sqlite3_stmt *query = reader->sql[queries[i]];
        sql_bind(query, "iiiiiii", asked->before, asked->filter->from_ms, asked->to_ms, asked->address,
                 (int64_t)(page->limit - page->count), asked->progress.delivery, asked->progress.payment);
        err = read_payments(query, page);
    }
    return err;
}

static enum cs_err page_by_time(struct reader *reader, const struct payment_query *asked,
                                struct payment_page *page)
{
    struct range range;
    enum cs_err err = find_range(reader, asked->filter->from_ms, asked->filter->to_ms, &range);
    if (err == CS_OK) {
        sql_bind(reader->sql[PAYMENTS], "iiiiiii", asked->before, asked->filter->from_ms, asked->to_ms,
                 range.first_payment, (int64_t)page->limit, asked->progress.delivery, range.last_payment);
        err = read_payments(reader->sql[PAYMENTS], page);
    }
    return err;
}

static enum cs_err page_payments(struct reader *reader, const struct reader_payment_filter *filter,
                                 struct payment_page *page, char next[READER_CURSOR_SIZE])
{
    struct payment_query asked = {.filter = filter, .to_ms = filter->to_ms == 0 ? INT64_MAX : filter->to_ms};
    enum cs_err err = read_cursor(filter->cursor, 'p', &asked.before);
    err = err != CS_OK ? err : read_progress(reader, &asked.progress);
    if (err == CS_OK && filter->address != NULL) {
        sql_bind(reader->sql[FIND_ADDRESS], "tb", chain_text((enum chain)filter->address->chain),
                 filter->address->bytes, (size_t)filter->address->length);
        err = find_num(reader->sql[FIND_ADDRESS], &asked.address);
        if (err == CS_OK && asked.address == 0) {
            return CS_OK; /* nobody ever subscribed to it, so nothing was stored */
        }
    }
    if (err != CS_OK) {
        return err;
    }
    if (filter->hash != NULL) {
        sqlite3_stmt *query = reader->sql[PAYMENTS_BY_HASH];
        sql_bind(query, "iiibiio", asked.before, filter->from_ms, asked.to_ms, filter->hash,
                 (size_t)PAYMENT_HASH_SIZE, (int64_t)page->limit, asked.progress.delivery, asked.address);
        err = read_payments(query, page);
    } else if (filter->address != NULL) {
        err = page_by_address(reader, &asked, page);
    } else {
        err = page_by_time(reader, &asked, page);
    }
    if (err == CS_OK && page->count == page->limit) {
        page->count--;
        write_cursor(next, 'p', page->last_num);
    }
    return err;
}

enum cs_err reader_page_payments(struct store *store, const struct reader_payment_filter *filter,
                                 struct reader_payment **rows, size_t *count, char next[READER_CURSOR_SIZE])
{
    assert(filter->limit >= 1 && filter->limit <= READER_PAGE_MOST);
    struct payment_page page = {.limit = filter->limit + (size_t)1};
    page.rows = cs_alloc(page.limit * sizeof(**rows));
    struct reader *reader;
    next[0] = '\0';
    enum cs_err err = take(store, &reader);
    if (err == CS_OK) {
        err = page_payments(reader, filter, &page, next);
    }
    give_back(store, reader);
    if (err != CS_OK) {
        free(page.rows);
        return err;
    }
    *rows = page.rows;
    *count = page.count;
    return CS_OK;
}

/* ---- devices, subscriptions, tokens -------------------------------------------------------------------------------- */

static void read_device(struct store *store, sqlite3_stmt *query, struct store_device *device)
{
    memset(device, 0, sizeof(*device));
    sql_copy_text(query, 1, device->id, sizeof(device->id));
    sql_copy_text(query, 2, device->name, sizeof(device->name));
    device->auth =
        strcmp((const char *)sqlite3_column_text(query, 3), "key") == 0 ? DEVICE_AUTH_KEY : DEVICE_AUTH_TOKEN;
    for (int i = DEVICE_ACTIVE; i <= DEVICE_RETIRED; i++) {
        if (strcmp((const char *)sqlite3_column_text(query, 4), device_state_text((enum device_state)i)) ==
            0) {
            device->state = (enum device_state)i;
        }
    }
    device->expire_after_ms = sqlite3_column_int64(query, 5);
    device->created_at_ms = sqlite3_column_int64(query, 6);
    device->retired_at_ms = sqlite3_column_int64(query, 7);
    device->head_seq = (uint64_t)sqlite3_column_int64(query, 8);
    device->sent_seq = (uint64_t)sqlite3_column_int64(query, 9);
    device->acked_seq = (uint64_t)sqlite3_column_int64(query, 10);
    device->config_version = (uint64_t)sqlite3_column_int64(query, 11);
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct device *live = directory_find_device(&store->directory, device->id);
    if (live != NULL) {
        device->connected = atomic_load_explicit(&live->connected, memory_order_relaxed);
        device->rolled_back = atomic_load_explicit(&live->rolled_back, memory_order_relaxed);
        int64_t flapped_at_ms = atomic_load_explicit(&live->flapped_at_ms, memory_order_relaxed);
        device->duplicate_credential = flapped_at_ms != 0 && clock_wall_ms() - flapped_at_ms < FLAP_SHOWN_MS;
        device->last_seen_ms = live->last_seen_ms;
        device->status = live->status;
    }
    pthread_rwlock_unlock(&store->directory.lock);
}

enum cs_err reader_page_devices(struct store *store, const struct reader_device_filter *filter,
                                struct store_device **rows, size_t *count, char next[READER_CURSOR_SIZE])
{
    assert(filter->limit >= 1 && filter->limit <= READER_PAGE_MOST);
    int64_t before, last = 0;
    next[0] = '\0';
    enum cs_err err = read_cursor(filter->cursor, 'v', &before);
    if (err != CS_OK) {
        return err;
    }
    struct store_device *devices = cs_alloc((filter->limit + (size_t)1) * sizeof(*devices));
    size_t found = 0;
    struct reader *reader;
    err = take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->sql[DEVICES];
        sql_bind(query, "iti", before, filter->by_state ? device_state_text(filter->state) : NULL,
                 (int64_t)filter->limit + 1);
        while (sql_step(query, &err)) {
            last = found < filter->limit ? sqlite3_column_int64(query, 0) : last;
            read_device(store, query, &devices[found++]);
        }
    }
    give_back(store, reader);
    if (err != CS_OK) {
        free(devices);
        return err;
    }
    if (found > filter->limit) {
        found = filter->limit;
        write_cursor(next, 'v', last);
    }
    *rows = devices;
    *count = found;
    return CS_OK;
}

enum cs_err reader_device(struct store *store, const char *id, struct store_device *device)
{
    struct reader *reader;
    enum cs_err err = take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->sql[DEVICE];
        sql_bind(query, "t", id);
        if (sql_step(query, &err)) {
            read_device(store, query, device);
            sqlite3_reset(query);
        } else {
            err = err != CS_OK ? err : CS_ENOTFOUND;
        }
    }
    give_back(store, reader);
    return err;
}

static void read_subscription(sqlite3_stmt *query, struct store_subscription *subscription)
{
    memset(subscription, 0, sizeof(*subscription));
    sql_copy_text(query, 0, subscription->id, sizeof(subscription->id));
    sql_copy_text(query, 1, subscription->device, sizeof(subscription->device));
    enum chain chain = CHAIN_NANO;
    (void)chain_parse((const char *)sqlite3_column_text(query, 2), &chain);
    subscription->address.chain = (uint8_t)chain;
    int length = sqlite3_column_bytes(query, 3);
    if (length > 0 && length <= ADDRESS_BYTES_MAX) {
        subscription->address.length = (uint8_t)length;
        memcpy(subscription->address.bytes, sqlite3_column_blob(query, 3), (size_t)length);
    }
    uint8_t minimum[16] = {0};
    (void)sql_copy_blob(query, 4, minimum, sizeof(minimum));
    subscription->minimum = amount_from_bytes(minimum);
    subscription->created_at_ms = sqlite3_column_int64(query, 5);
}

enum cs_err reader_subscriptions(struct store *store, const char *device_id, struct store_subscription **rows,
                                 size_t *count)
{
    struct store_subscription *found = NULL;
    size_t used = 0, capacity = 0;
    int64_t device = 0;
    struct reader *reader;
    enum cs_err err = take(store, &reader);
    if (err == CS_OK) {
        sql_bind(reader->sql[FIND_DEVICE], "t", device_id);
        err = find_num(reader->sql[FIND_DEVICE], &device);
        err = err == CS_OK && device == 0 ? CS_ENOTFOUND : err;
    }
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->sql[SUBSCRIPTIONS];
        sql_bind(query, "i", device);
        while (sql_step(query, &err)) {
            if (used == capacity) {
                capacity = capacity * 2 + 8;
                found = cs_realloc(found, capacity * sizeof(*found));
            }
            read_subscription(query, &found[used++]);
        }
    }
    give_back(store, reader);
    if (err != CS_OK) {
        free(found);
        return err;
    }
    *rows = found;
    *count = used;
    return CS_OK;
}

enum cs_err reader_api_tokens(struct store *store, struct store_api_token **rows, size_t *count)
{
    struct store_api_token *found = NULL;
    size_t used = 0, capacity = 0;
    struct reader *reader;
    enum cs_err err = take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->sql[TOKENS];
        while (sql_step(query, &err)) {
            if (used == capacity) {
                capacity = capacity * 2 + 8;
                found = cs_realloc(found, capacity * sizeof(*found));
            }
            struct store_api_token *token = &found[used++];
            memset(token, 0, sizeof(*token));
            sql_copy_text(query, 0, token->id, sizeof(token->id));
            sql_copy_text(query, 1, token->name, sizeof(token->name));
            (void)store_role_parse((const char *)sqlite3_column_text(query, 2), &token->role);
            token->created_at_ms = sqlite3_column_int64(query, 3);
            token->revoked_at_ms = sqlite3_column_int64(query, 4);
        }
    }
    give_back(store, reader);
    if (err != CS_OK) {
        free(found);
        return err;
    }
    *rows = found;
    *count = used;
    return CS_OK;
}

enum cs_err reader_config(struct store *store, const char *device_id, uint64_t version,
                          struct reader_config *config)
{
    int64_t device = 0;
    struct reader *reader;
    enum cs_err err = take(store, &reader);
    if (err == CS_OK) {
        sql_bind(reader->sql[FIND_DEVICE], "t", device_id);
        err = find_num(reader->sql[FIND_DEVICE], &device);
    }
    if (err == CS_OK && device != 0) {
        sqlite3_stmt *query = reader->sql[CONFIG];
        sql_bind(query, "ii", device, (int64_t)version);
        if (sql_step(query, &err)) {
            config->version = (uint64_t)sqlite3_column_int64(query, 0);
            config->body = cs_strdup((const char *)sqlite3_column_text(query, 1));
            config->created_at_ms = sqlite3_column_int64(query, 2);
            sqlite3_reset(query);
        } else {
            device = 0;
        }
    }
    give_back(store, reader);
    return err != CS_OK ? err : device == 0 ? CS_ENOTFOUND : CS_OK;
}
