/*
 * The indexes that only searches need: filled behind the commit path, in sorted batches, in transactions of their own.
 * Whoever reads them reads the unindexed tail of `delivery` and `payment` too (meta says where it begins).
 */
#include "base/clock.h"
#include "store/internal.h"

#define LOG_MODULE "store"

/*
 * A slice is as large as the batch before it was busy: while payments come one by one, the next one waits a fraction of a millisecond for it at most;
 * while they come in hundreds, a large slice costs least for each row, and is no longer than what they wait for each other.
 */
#define FILL_ROWS_LEAST  128
#define FILL_ROWS_MOST   4096
#define ROWS_PER_COMMAND 32
#define FILL_EVERY_NS    1000000000 /* when fewer rows than a slice has are waiting */

enum {
    READ_PROGRESS,
    WRITE_PROGRESS,
    FILL_BY_DEVICE,
    FILL_BY_PAYMENT,
    FILL_BY_ADDRESS,
    FIND_INDEXED,
    FIND_TAIL,
    SEARCH_SQL_COUNT
};
static const char *const SEARCH_SQL[] = {
    [READ_PROGRESS] =
        "SELECT coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'delivery_indexed'), 0), "
        "coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'payment_indexed'), 0), "
        "coalesce((SELECT max(num) FROM delivery), 0), coalesce((SELECT max(num) FROM payment), 0)",
    [WRITE_PROGRESS] =
        "INSERT INTO meta (name, value) VALUES ('delivery_indexed', CAST(? AS TEXT)), "
        "('payment_indexed', CAST(? AS TEXT)) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    [FILL_BY_DEVICE] =
        "INSERT INTO delivery_by_device (device, seq, delivery) "
        "SELECT device, seq, num FROM delivery WHERE num > ? AND num <= ? ORDER BY device, seq",
    [FILL_BY_PAYMENT] = "INSERT INTO delivery_by_payment (payment, delivery) "
                        "SELECT payment, num FROM delivery WHERE num > ? AND num <= ? ORDER BY payment, num",
    [FILL_BY_ADDRESS] = "INSERT INTO payment_by_address (address, payment) "
                        "SELECT address, num FROM payment WHERE num > ? AND num <= ? ORDER BY address, num",
    [FIND_INDEXED] = "SELECT delivery FROM delivery_by_device WHERE device = ? AND seq = ?",
    [FIND_TAIL] = "SELECT num FROM delivery WHERE num > ? AND device = ? AND seq = ?",
};

void search_sql_open(struct store *store)
{
    store->search_sql = sql_prepare(store->db, SEARCH_SQL, SEARCH_SQL_COUNT);
    sqlite3_stmt *read = store->search_sql[READ_PROGRESS];
    enum cs_err err;
    if (sql_step(read, &err)) {
        store->delivery_indexed = sqlite3_column_int64(read, 0);
        store->payment_indexed = sqlite3_column_int64(read, 1);
        store->last_delivery = sqlite3_column_int64(read, 2);
        store->last_payment = sqlite3_column_int64(read, 3);
        sqlite3_reset(read);
    }
}

void search_sql_close(struct store *store)
{
    sql_finalize(store->search_sql, SEARCH_SQL_COUNT);
}

static enum cs_err first_column(struct store *store, sqlite3_stmt *find, int64_t *num)
{
    enum cs_err err;
    *num = 0;
    if (writer_find(store, find, &err)) {
        *num = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
    }
    return err;
}

enum cs_err search_find_delivery(struct store *store, int64_t device, uint64_t seq, int64_t *num)
{
    sqlite3_stmt *indexed = store->search_sql[FIND_INDEXED], *tail = store->search_sql[FIND_TAIL];
    sql_bind(indexed, "ii", device, (int64_t)seq);
    enum cs_err err = first_column(store, indexed, num);
    if (err == CS_OK && *num == 0) {
        sql_bind(tail, "iii", store->delivery_indexed, device, (int64_t)seq);
        err = first_column(store, tail, num);
    }
    return err;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t rows_after(size_t commands)
{
    size_t rows = commands * ROWS_PER_COMMAND;
    return rows < FILL_ROWS_LEAST ? FILL_ROWS_LEAST : rows > FILL_ROWS_MOST ? FILL_ROWS_MOST : (int64_t)rows;
}

bool search_fill(struct store *store, size_t commands)
{
    int64_t rows = rows_after(commands);
    int64_t lag = store->last_delivery - store->delivery_indexed,
            payment_lag = store->last_payment - store->payment_indexed;
    lag = lag > payment_lag ? lag : payment_lag;
    atomic_store_explicit(&store->search_lag, lag, memory_order_relaxed);
    uint64_t now_ns = clock_monotonic_ns();
    if (lag == 0 || atomic_load_explicit(&store->disk_full, memory_order_relaxed) ||
        (lag < rows && now_ns - store->last_fill_ns < FILL_EVERY_NS)) {
        return false;
    }
    store->last_fill_ns = now_ns;
    int64_t delivery_to = least(store->last_delivery, store->delivery_indexed + rows);
    int64_t payment_to = least(store->last_payment, store->payment_indexed + rows);
    writer_begin(store);
    const struct {
        int query;
        int64_t from, to;
    } fills[] = {
        {FILL_BY_DEVICE, store->delivery_indexed, delivery_to},
        {FILL_BY_PAYMENT, store->delivery_indexed, delivery_to},
        {FILL_BY_ADDRESS, store->payment_indexed, payment_to},
        {WRITE_PROGRESS, delivery_to, payment_to},
    };
    for (size_t i = 0; i < sizeof(fills) / sizeof(fills[0]); i++) {
        sql_bind(store->search_sql[fills[i].query], "ii", fills[i].from, fills[i].to);
        (void)writer_run(store, store->search_sql[fills[i].query]);
    }
    if (writer_commit(store) != CS_OK) {
        return false;
    }
    store->delivery_indexed = delivery_to;
    store->payment_indexed = payment_to;
    return true;
}
