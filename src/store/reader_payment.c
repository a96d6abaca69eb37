/* Pages of payments. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/reader_internal.h"

#define PAYMENT_SELECT                                                                                       \
    "SELECT p.num, p.stored_at, p.reversed_at, (SELECT count(*) FROM delivery_by_payment b WHERE b.payment " \
    "= p.num) + "                                                                                            \
    "(SELECT count(*) FROM delivery d WHERE d.num > ?6 AND d.payment = p.num), " PAYMENT_COLUMNS             \
    " FROM payment p JOIN address a ON a.num = p.address "

enum {
    PAYMENTS,
    PAYMENTS_BY_HASH,
    PAYMENTS_BY_ADDRESS_TAIL,
    PAYMENTS_BY_ADDRESS,
    FIND_ADDRESS,
    READER_PAYMENT_SQL_COUNT
};
static const char *const READER_PAYMENT_SQL[] = {
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
};

void reader_payment_sql_open(struct reader *reader)
{
    reader->payment_sql = sql_prepare(reader->db, READER_PAYMENT_SQL, READER_PAYMENT_SQL_COUNT);
}

void reader_payment_sql_close(struct reader *reader)
{
    sql_finalize(reader->payment_sql, READER_PAYMENT_SQL_COUNT);
}

enum cs_err reader_find_payment(struct reader *reader, const uint8_t hash[PAYMENT_HASH_SIZE], int64_t *num)
{
    sqlite3_stmt *find = reader->payment_sql[PAYMENTS_BY_HASH];
    sql_bind(find, "iiibiio", INT64_MAX, (int64_t)0, INT64_MAX, hash, (size_t)PAYMENT_HASH_SIZE, (int64_t)1,
             INT64_MAX, (int64_t)0);
    return reader_find_num(find, num);
}

struct payment_page { /* as struct delivery_page in reader_delivery.c */
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
    struct reader_progress progress;
};

static enum cs_err page_by_address(struct reader *reader, const struct payment_query *asked,
                                   struct payment_page *page)
{
    enum cs_err err = CS_OK;
    const int queries[] = {PAYMENTS_BY_ADDRESS_TAIL, PAYMENTS_BY_ADDRESS};
    for (size_t i = 0; i < 2 && err == CS_OK && page->count < page->limit; i++) {
        sqlite3_stmt *query = reader->payment_sql[queries[i]];
        sql_bind(query, "iiiiiii", asked->before, asked->filter->from_ms, asked->to_ms, asked->address,
                 (int64_t)(page->limit - page->count), asked->progress.delivery, asked->progress.payment);
        err = read_payments(query, page);
    }
    return err;
}

static enum cs_err page_by_time(struct reader *reader, const struct payment_query *asked,
                                struct payment_page *page)
{
    struct reader_range range;
    enum cs_err err = reader_find_range(reader, asked->filter->from_ms, asked->filter->to_ms, &range);
    if (err == CS_OK) {
        sql_bind(reader->payment_sql[PAYMENTS], "iiiiiii", asked->before, asked->filter->from_ms,
                 asked->to_ms, range.first_payment, (int64_t)page->limit, asked->progress.delivery,
                 range.last_payment);
        err = read_payments(reader->payment_sql[PAYMENTS], page);
    }
    return err;
}

static enum cs_err page_payments(struct reader *reader, const struct reader_payment_filter *filter,
                                 struct payment_page *page, char next[READER_CURSOR_SIZE])
{
    struct payment_query asked = {.filter = filter, .to_ms = filter->to_ms == 0 ? INT64_MAX : filter->to_ms};
    enum cs_err err = reader_read_cursor(filter->cursor, 'p', &asked.before);
    err = err != CS_OK ? err : reader_read_progress(reader, &asked.progress);
    if (err == CS_OK && filter->address != NULL) {
        sql_bind(reader->payment_sql[FIND_ADDRESS], "tb", chain_text((enum chain)filter->address->chain),
                 filter->address->bytes, (size_t)filter->address->length);
        err = reader_find_num(reader->payment_sql[FIND_ADDRESS], &asked.address);
        if (err == CS_OK && asked.address == 0) {
            return CS_OK; /* nobody ever subscribed to it, so nothing was stored */
        }
    }
    if (err != CS_OK) {
        return err;
    }
    if (filter->hash != NULL) {
        sqlite3_stmt *query = reader->payment_sql[PAYMENTS_BY_HASH];
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
        reader_write_cursor(next, 'p', page->last_num);
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
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        err = page_payments(reader, filter, &page, next);
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
