/* Pages of deliveries. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/reader_internal.h"

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

enum {
    DELIVERIES,
    DELIVERIES_DUE,
    DELIVERIES_UNSERVED,
    DELIVERIES_OF_DEVICE_TAIL,
    DELIVERIES_OF_DEVICE,
    DELIVERIES_OF_PAYMENT_TAIL,
    DELIVERIES_OF_PAYMENT,
    READER_DELIVERY_SQL_COUNT
};
static const char *const READER_DELIVERY_SQL[] = {
    [DELIVERIES] =
        "SELECT " DELIVERY_COLUMNS " FROM delivery d" DELIVERY_JOINS
        "WHERE d.num < ?1 AND d.num BETWEEN ?6 AND ?7 AND " DELIVERY_REST "ORDER BY d.num DESC LIMIT ?5",
    [DELIVERIES_DUE] = "SELECT " DELIVERY_COLUMNS " FROM delivery d INDEXED BY delivery_due" DELIVERY_JOINS
                       "WHERE d.acked_at IS NULL AND d.num < ?1 AND d.num BETWEEN ?6 "
                       "AND ?7 AND " DELIVERY_REST "ORDER BY d.num DESC LIMIT ?5",
    [DELIVERIES_UNSERVED] =
        "SELECT " DELIVERY_COLUMNS " FROM delivery d INDEXED BY delivery_unserved" DELIVERY_JOINS
        "WHERE d.reason IS NOT NULL AND d.num < ?1 AND d.num BETWEEN ?6 AND ?7 "
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
};

void reader_delivery_sql_open(struct reader *reader)
{
    reader->delivery_sql = sql_prepare(reader->db, READER_DELIVERY_SQL, READER_DELIVERY_SQL_COUNT);
}

void reader_delivery_sql_close(struct reader *reader)
{
    sql_finalize(reader->delivery_sql, READER_DELIVERY_SQL_COUNT);
}

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
    struct reader_range range;
    enum cs_err err = reader_find_range(reader, filter->from_ms, filter->to_ms, &range);
    int which = DELIVERIES;
    if (filter->by_state && (filter->state == DELIVERY_STORED || filter->state == DELIVERY_SENT)) {
        which = DELIVERIES_DUE;
    } else if (filter->by_state && (filter->state == DELIVERY_REFUSED || filter->state == DELIVERY_EXPIRED)) {
        which = DELIVERIES_UNSERVED;
    }
    if (err == CS_OK) {
        bind_deliveries(reader->delivery_sql[which], filter, page, before, range.first_delivery,
                        range.last_delivery);
        err = read_deliveries(reader->delivery_sql[which], page);
    }
    return err;
}

/* First what the search index has not taken in yet, which is newer, then the index. */
static enum cs_err page_two(struct reader *reader, const struct reader_delivery_filter *filter,
                            int64_t before, int tail, int64_t key, struct delivery_page *page)
{
    struct reader_progress progress = {0};
    enum cs_err err = reader_read_progress(reader, &progress);
    if (err == CS_OK) {
        bind_deliveries(reader->delivery_sql[tail], filter, page, before, progress.delivery, key);
        err = read_deliveries(reader->delivery_sql[tail], page);
    }
    if (err == CS_OK && page->count < page->limit) {
        bind_deliveries(reader->delivery_sql[tail + 1], filter, page, before, progress.delivery, key);
        err = read_deliveries(reader->delivery_sql[tail + 1], page);
    }
    return err;
}

static enum cs_err page_by_hash(struct reader *reader, const struct reader_delivery_filter *filter,
                                int64_t before, struct delivery_page *page)
{
    int64_t payment;
    enum cs_err err = reader_find_payment(reader, filter->hash, &payment);
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
    enum cs_err err = reader_read_cursor(filter->cursor, order, &before);
    if (err == CS_OK && filter->device != NULL) {
        err = reader_find_device(reader, filter->device, &page->device);
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
        reader_write_cursor(next, order,
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
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        err = page_deliveries(reader, filter, &page, next);
    }
    reader_give_back(store, reader);
    if (err != CS_OK) {
        free(page.rows);
        return err;
    }
    *rows = page.rows;
    *count = page.count;
    return CS_OK;
}
