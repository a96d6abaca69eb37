/*
 * reader_internal: a borrowed connection and its statements, as the reader's files share them, and nobody else sees.
 * One thread has a reader between reader_take and reader_give_back; that is one read transaction, and one page.
 * Nothing is written, so a crash leaves nothing behind.
 */
#ifndef COINSLOT_STORE_READER_INTERNAL_H
#define COINSLOT_STORE_READER_INTERNAL_H

#include "store/internal.h"
#include "store/reader.h"

struct reader {
    sqlite3 *db;
    sqlite3_stmt **sql, **delivery_sql, **payment_sql, **device_sql, **reconcile_sql;
    struct reader *next_free;
};

/* The statements of each file, prepared when the pool is opened, finalized when it is closed. */
void reader_delivery_sql_open(struct reader *reader);
void reader_delivery_sql_close(struct reader *reader);
void reader_payment_sql_open(struct reader *reader);
void reader_payment_sql_close(struct reader *reader);
void reader_device_sql_open(struct reader *reader);
void reader_device_sql_close(struct reader *reader);
void reader_reconcile_sql_open(struct reader *reader);
void reader_reconcile_sql_close(struct reader *reader);

/* Waits for a connection and begins its transaction. To be given back even when that failed. */
CS_MUST_CHECK enum cs_err reader_take(struct store *store, struct reader **taken);
void reader_give_back(struct store *store, struct reader *reader);

/* Cursors are one letter, for the order that they belong to, and the last row's place in it. */
CS_MUST_CHECK enum cs_err reader_read_cursor(const char *cursor, char order, int64_t *before);
void reader_write_cursor(char next[READER_CURSOR_SIZE], char order, int64_t last);

/* The rows that a time range can lie in; without a range, all. */
struct reader_range {
    int64_t first_payment, last_payment, first_delivery, last_delivery;
};
CS_MUST_CHECK enum cs_err reader_find_range(struct reader *reader, int64_t from_ms, int64_t to_ms,
                                            struct reader_range *range);

/* The last rows that the search indexes have taken in. */
struct reader_progress {
    int64_t delivery, payment;
};
CS_MUST_CHECK enum cs_err reader_read_progress(struct reader *reader, struct reader_progress *progress);

/* The first column of a bound query's first row; 0 when there is none. */
CS_MUST_CHECK enum cs_err reader_find_num(sqlite3_stmt *find, int64_t *num);
/* CS_ENOTFOUND: there is no such device (reader_device.c). */
CS_MUST_CHECK enum cs_err reader_find_device(struct reader *reader, const char *id, int64_t *num);
/* 0 when there is none (reader_payment.c). */
CS_MUST_CHECK enum cs_err reader_find_payment(struct reader *reader, const uint8_t hash[PAYMENT_HASH_SIZE],
                                              int64_t *num);

#endif
