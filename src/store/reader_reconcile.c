/* What the reconciliation reads: marks, baselines that are still to be taken, which sends are not known yet. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/proofs.h"
#include "store/reader_internal.h"
#include "store/reconcile.h"

#define WATCHED_COLUMNS                                                                                      \
    "SELECT a.num, a.chain, a.bytes, r.frontier, r.height, r.receivable, EXISTS (SELECT 1 FROM "             \
    "subscription s LEFT JOIN baseline b ON b.subscription = s.num WHERE s.address = a.num AND "             \
    "s.removed_at IS NULL AND b.taken_at IS NULL) FROM address a LEFT JOIN reconciled r ON "                 \
    "r.address = a.num "
#define SUBSCRIBED "EXISTS (SELECT 1 FROM subscription s WHERE s.address = a.num AND s.removed_at IS NULL)"

enum {
    PAGE_WATCHED,
    FIND_WATCHED,
    OPEN_BASELINES,
    BASELINE_HEIGHT,
    SUBSCRIBER_COUNT,
    KNOWN_PAYMENT,
    WAITING,
    BASELINE_COUNT,
    PAGE_HELD,
    READER_RECONCILE_SQL_COUNT
};
static const char *const READER_RECONCILE_SQL[] = {
    [PAGE_WATCHED] = WATCHED_COLUMNS "WHERE a.num > ? AND " SUBSCRIBED " ORDER BY a.num LIMIT ?",
    [FIND_WATCHED] = WATCHED_COLUMNS "WHERE a.chain = ? AND a.bytes = ? AND " SUBSCRIBED,
    [OPEN_BASELINES] =
        "SELECT s.num, s.created_at, coalesce(b.since, 0) FROM subscription s LEFT JOIN baseline b ON "
        "b.subscription = s.num WHERE s.address = ? AND s.removed_at IS NULL AND b.taken_at IS NULL",
    [BASELINE_HEIGHT] = "SELECT min(b.height) FROM subscription s JOIN baseline b ON b.subscription = s.num "
                        "WHERE s.address = ? AND s.removed_at IS NULL AND b.taken_at IS NOT NULL",
    [SUBSCRIBER_COUNT] = "SELECT count(*) FROM subscription WHERE address = ? AND removed_at IS NULL",
    [KNOWN_PAYMENT] = "SELECT 1 FROM payment INDEXED BY payment_hash WHERE substr(hash, 1, 8) = ? AND hash = "
                      "? AND output = 0 AND address = ?",
    [WAITING] = "SELECT 1 FROM unconfirmed WHERE num = ?",
    [BASELINE_COUNT] = "SELECT count(*) FROM subscription s JOIN baseline_hash h ON h.subscription = s.num "
                       "WHERE s.address = ? AND s.removed_at IS NULL AND h.hash = ?",
    [PAGE_HELD] =
        "SELECT h.payment, p.stored_at, q.block, max(h.device IN (SELECT device FROM device_proof)) "
        "FROM delivery_held h JOIN payment p ON p.num = h.payment JOIN payment_proof q ON q.payment = p.num "
        "WHERE h.payment > ? GROUP BY h.payment ORDER BY h.payment LIMIT ?",
};

void reader_reconcile_sql_open(struct reader *reader)
{
    reader->reconcile_sql = sql_prepare(reader->db, READER_RECONCILE_SQL, READER_RECONCILE_SQL_COUNT);
}

void reader_reconcile_sql_close(struct reader *reader)
{
    sql_finalize(reader->reconcile_sql, READER_RECONCILE_SQL_COUNT);
}

static void read_watched(sqlite3_stmt *query, struct reader_watched *row)
{
    uint8_t receivable[16];
    enum chain chain = CHAIN_NANO;
    memset(row, 0, sizeof(*row));
    row->num = sqlite3_column_int64(query, 0);
    (void)chain_parse((const char *)sqlite3_column_text(query, 1), &chain);
    int size = sqlite3_column_bytes(query, 2);
    if (size > 0 && size <= ADDRESS_BYTES_MAX) {
        row->address.chain = (uint8_t)chain;
        row->address.length = (uint8_t)size;
        memcpy(row->address.bytes, sqlite3_column_blob(query, 2), (size_t)size);
    }
    row->has_mark = sqlite3_column_type(query, 4) != SQLITE_NULL;
    if (row->has_mark) {
        row->mark.moved = !sql_copy_blob(query, 5, receivable, sizeof(receivable));
        (void)sql_copy_blob(query, 3, row->mark.frontier, sizeof(row->mark.frontier));
        row->mark.height = (uint64_t)sqlite3_column_int64(query, 4);
        row->mark.receivable = row->mark.moved ? (struct amount){0, 0} : amount_from_bytes(receivable);
    }
    row->needs_baseline = sqlite3_column_int64(query, 6) != 0;
}

enum cs_err reader_page_watched(struct store *store, int64_t after, uint32_t limit,
                                struct reader_watched *rows, size_t *count)
{
    assert(limit >= 1 && limit <= READER_WATCHED_MOST);
    struct reader *reader;
    *count = 0;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->reconcile_sql[PAGE_WATCHED];
        sql_bind(query, "ii", after, (int64_t)limit);
        while (sql_step(query, &err)) {
            read_watched(query, &rows[(*count)++]);
        }
    }
    reader_give_back(store, reader);
    return err;
}

enum cs_err reader_watched(struct store *store, const struct address *address, struct reader_watched *row)
{
    struct reader *reader;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->reconcile_sql[FIND_WATCHED];
        sql_bind(query, "tb", chain_text((enum chain)address->chain), address->bytes,
                 (size_t)address->length);
        if (sql_step(query, &err)) {
            read_watched(query, row);
            sqlite3_reset(query);
        } else {
            err = err != CS_OK ? err : CS_ENOTFOUND;
        }
    }
    reader_give_back(store, reader);
    return err;
}

enum cs_err reader_open_baselines(struct store *store, int64_t address, struct reader_baseline **rows,
                                  size_t *count)
{
    struct reader_baseline *found = NULL;
    size_t used = 0, capacity = 0;
    struct reader *reader;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->reconcile_sql[OPEN_BASELINES];
        sql_bind(query, "i", address);
        while (sql_step(query, &err)) {
            if (used == capacity) {
                capacity = capacity * 2 + 4;
                found = cs_realloc(found, capacity * sizeof(*found));
            }
            found[used++] =
                (struct reader_baseline){sqlite3_column_int64(query, 0), sqlite3_column_int64(query, 1),
                                         sqlite3_column_int64(query, 2)};
        }
    }
    reader_give_back(store, reader);
    if (err != CS_OK) {
        free(found);
        return err;
    }
    *rows = found;
    *count = used;
    return CS_OK;
}

enum cs_err reader_baseline_height(struct store *store, int64_t address, uint64_t *height)
{
    struct reader *reader;
    *height = UINT64_MAX;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->reconcile_sql[BASELINE_HEIGHT];
        sql_bind(query, "i", address);
        if (sql_step(query, &err)) {
            if (sqlite3_column_type(query, 0) != SQLITE_NULL) {
                *height = (uint64_t)sqlite3_column_int64(query, 0);
            }
            sqlite3_reset(query);
        }
    }
    reader_give_back(store, reader);
    return err;
}

static enum cs_err is_known(struct reader *reader, int64_t address, const uint8_t hash[32],
                            int64_t subscribers, bool *known)
{
    int64_t found = 0;
    sqlite3_stmt *payment = reader->reconcile_sql[KNOWN_PAYMENT],
                 *baseline = reader->reconcile_sql[BASELINE_COUNT];
    sql_bind(payment, "bbi", hash, (size_t)8, hash, (size_t)32, address);
    enum cs_err err = reader_find_num(payment, &found);
    *known = found != 0;
    if (err == CS_OK && !*known) {
        sql_bind(baseline, "ib", address, hash, (size_t)32);
        err = reader_find_num(baseline, &found);
        *known = found >= subscribers;
    }
    return err;
}

enum cs_err reader_find_unknown(struct store *store, int64_t address, const uint8_t (*hashes)[32],
                                size_t count, bool *unknown)
{
    struct reader *reader;
    int64_t subscribers = 0;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sql_bind(reader->reconcile_sql[SUBSCRIBER_COUNT], "i", address);
        err = reader_find_num(reader->reconcile_sql[SUBSCRIBER_COUNT], &subscribers);
    }
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        bool known;
        err = is_known(reader, address, hashes[i], subscribers, &known);
        unknown[i] = !known;
    }
    reader_give_back(store, reader);
    return err;
}

enum cs_err reader_find_waiting(struct store *store, const int64_t *nums, size_t count, bool *waits)
{
    struct reader *reader;
    int64_t found;
    enum cs_err err = reader_take(store, &reader);
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        sql_bind(reader->reconcile_sql[WAITING], "i", nums[i]);
        err = reader_find_num(reader->reconcile_sql[WAITING], &found);
        waits[i] = found != 0;
    }
    reader_give_back(store, reader);
    return err;
}

enum cs_err reader_page_held(struct store *store, int64_t after, uint32_t limit, struct reader_held *rows,
                             size_t *count)
{
    assert(limit >= 1 && limit <= READER_HELD_MOST);
    struct reader *reader;
    *count = 0;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->reconcile_sql[PAGE_HELD];
        sql_bind(query, "ii", after, (int64_t)limit);
        while (sql_step(query, &err)) {
            struct reader_held *row = &rows[(*count)++];
            row->payment = sqlite3_column_int64(query, 0);
            row->stored_at_ms = sqlite3_column_int64(query, 1);
            int size = sqlite3_column_bytes(query, 2);
            row->block_size = size <= STORE_PROOF_MAX ? (size_t)size : 0;
            memcpy(row->block, sqlite3_column_blob(query, 2), row->block_size);
            row->wanted = sqlite3_column_int64(query, 3) != 0;
        }
    }
    reader_give_back(store, reader);
    return err;
}
