/* Deliveries to devices that want proofs: held without a seq until the block before the payment's is here. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"
#include "store/proofs.h"

enum {
    HOLD,
    FIND_HELD,
    FIND_HELD_OF,
    DROP_HELD,
    READ_PAYMENT,
    INSERT_PREVIOUS,
    WANT_PROOF,
    WANT_NONE,
    PROOF_SQL_COUNT
};
static const char *const PROOF_SQL[] = {
    [HOLD] = "INSERT INTO delivery_held (payment, device, config_version) VALUES (?, ?, ?)",
    [FIND_HELD] =
        "SELECT payment, device, config_version FROM delivery_held WHERE payment = ? ORDER BY device LIMIT 1",
    [FIND_HELD_OF] =
        "SELECT payment, device, config_version FROM delivery_held WHERE device = ? ORDER BY payment LIMIT 1",
    [DROP_HELD] = "DELETE FROM delivery_held WHERE payment = ? AND device = ?",
    [READ_PAYMENT] =
        "SELECT " PAYMENT_COLUMNS ", p.stored_at, q.block FROM payment p JOIN address a ON a.num = p.address "
        "JOIN payment_proof q ON q.payment = p.num WHERE p.num = ?",
    [INSERT_PREVIOUS] = "INSERT INTO payment_previous (payment, block) VALUES (?, ?)",
    [WANT_PROOF] = "INSERT INTO device_proof (device) VALUES (?)",
    [WANT_NONE] = "DELETE FROM device_proof WHERE device = ?",
};

void proof_sql_open(struct store *store)
{
    int64_t count = 0;
    store->proof_sql = sql_prepare(store->db, PROOF_SQL, PROOF_SQL_COUNT);
    if (sql_number(store->db, "SELECT count(*) FROM delivery_held", &count) != CS_OK) {
        log_die("store", "cannot read what waits for its proof; run `coinslot check --full`");
    }
    atomic_store(&store->held, count);
}

void proof_sql_close(struct store *store)
{
    sql_finalize(store->proof_sql, PROOF_SQL_COUNT);
}

int64_t store_held_count(struct store *store)
{
    return atomic_load_explicit(&store->held, memory_order_relaxed);
}

/* ---- whether a device wants them ----------------------------------------------------------------------------------- */

bool proof_is_wanted(const struct device *device)
{
    return atomic_load_explicit(&device->proof, memory_order_relaxed);
}

enum cs_err proof_want(struct store *store, const struct device *device, bool proof)
{
    if (proof_is_wanted(device) == proof) {
        return CS_OK;
    }
    sqlite3_stmt *want = store->proof_sql[proof ? WANT_PROOF : WANT_NONE];
    sql_bind(want, "i", device->num);
    return writer_run(store, want);
}

void proof_set_wanted(struct store *store, struct device *device, bool proof)
{
    bool wanted = atomic_exchange(&device->proof, proof);
    if (wanted && !proof && atomic_load_explicit(&device->held, memory_order_relaxed) > 0) {
        proof_tell_held(store); /* they need not wait any longer */
    }
}

void store_set_provable(struct store *store, bool provable)
{
    atomic_store_explicit(&store->provable, provable, memory_order_relaxed);
}

const char *store_device_not_payable(struct store *store, int64_t device_num)
{
    struct directory *directory = &store->directory;
    pthread_rwlock_rdlock(&directory->lock);
    assert(device_num > 0 && (size_t)device_num < directory->device_slots);
    bool wanted = proof_is_wanted(directory->devices[device_num]);
    pthread_rwlock_unlock(&directory->lock);
    return wanted && !atomic_load_explicit(&store->provable, memory_order_relaxed) ? "node_unreachable"
                                                                                   : NULL;
}

/* ---- holding --------------------------------------------------------------------------------------------------------- */

bool proof_holds(const struct payment_work *work, const struct device *device)
{
    return proof_is_wanted(device) && work->proof_size > 0;
}

enum cs_err proof_hold(struct store *store, struct payment_work *work, int64_t payment, struct device *device)
{
    sqlite3_stmt *hold = store->proof_sql[HOLD];
    sql_bind(hold, "iii", payment, device->num, (int64_t)device->config_version);
    enum cs_err err = writer_run(store, hold);
    if (err == CS_OK) {
        payment_add_post(work, &(struct payment_post){.held = device, .held_more = 1});
    }
    return err;
}

void proof_note_held(struct store *store, const struct payment_post *post)
{
    atomic_fetch_add_explicit(&post->held->held, post->held_more, memory_order_relaxed);
    atomic_fetch_add_explicit(&store->held, post->held_more, memory_order_relaxed);
    atomic_fetch_add(&store->completed, 1);
}

void proof_tell_held(struct store *store)
{
    if (store->events.held != NULL) {
        store->events.held(store->events.watch_context);
    }
}

/* The next delivery that is held, by `find`: it gets its seq. `*more`: there was one. */
static enum cs_err release_one(struct store *store, struct payment_work *work, sqlite3_stmt *find, bool *more)
{
    enum cs_err err;
    *more = writer_find(store, find, &err);
    if (!*more) {
        return err;
    }
    int64_t payment = sqlite3_column_int64(find, 0), num = sqlite3_column_int64(find, 1);
    uint64_t version = (uint64_t)sqlite3_column_int64(find, 2);
    sqlite3_reset(find);
    assert(num > 0 && (size_t)num < store->directory.device_slots);
    struct device *device = store->directory.devices[num];
    sqlite3_stmt *drop = store->proof_sql[DROP_HELD];
    sql_bind(drop, "ii", payment, num);
    err = writer_run(store, drop);
    err = err != CS_OK ? err : payment_deliver(store, work, payment, device, version);
    payment_add_post(work, &(struct payment_post){.held = device, .held_more = -1});
    return err;
}

static enum cs_err release(struct store *store, struct payment_work *work, int query, int64_t num)
{
    bool more = true;
    enum cs_err err = CS_OK;
    while (more && err == CS_OK) {
        sql_bind(store->proof_sql[query], "i", num);
        err = release_one(store, work, store->proof_sql[query], &more);
    }
    return err;
}

/* What was held in this very batch is not counted in the device yet: the table is asked. */
enum cs_err proof_release_device(struct store *store, struct payment_work *work, const struct device *device)
{
    return release(store, work, FIND_HELD_OF, device->num);
}

/* ---- the block before ------------------------------------------------------------------------------------------------ */

struct previous_command {
    struct command command; /* first */
    struct payment_work work;
    int64_t payment;
    struct store_proof proof; /* previous is given; block is read, when there is something to release */
};

static enum cs_err read_payment(struct store *store, struct previous_command *previous)
{
    sqlite3_stmt *read = store->proof_sql[READ_PAYMENT];
    enum cs_err err;
    sql_bind(read, "i", previous->payment);
    if (!writer_find(store, read, &err)) {
        return err;
    }
    store_read_payment(read, 0, &previous->work.payment);
    previous->work.stored_at_ms = sqlite3_column_int64(read, PAYMENT_COLUMN_COUNT);
    int size = sqlite3_column_bytes(read, PAYMENT_COLUMN_COUNT + 1);
    if (size > 0 && size <= STORE_PROOF_MAX && previous->proof.previous_size > 0) {
        memcpy(previous->proof.block, sqlite3_column_blob(read, PAYMENT_COLUMN_COUNT + 1), (size_t)size);
        previous->proof.block_size = (size_t)size;
        previous->work.delivered_proof = &previous->proof;
    }
    sqlite3_reset(read);
    return CS_OK;
}

static enum cs_err previous_apply(struct store *store, struct command *base)
{
    struct previous_command *previous = (struct previous_command *)base;
    sqlite3_stmt *find = store->proof_sql[FIND_HELD];
    enum cs_err err;
    sql_bind(find, "i", previous->payment);
    if (!writer_find(store, find, &err)) {
        return err; /* it was asked about twice, or its device is retired */
    }
    sqlite3_reset(find);
    err = read_payment(store, previous);
    if (err == CS_OK && previous->proof.previous_size > 0) {
        sqlite3_stmt *insert = store->proof_sql[INSERT_PREVIOUS];
        sql_bind(insert, "ib", previous->payment, previous->proof.previous, previous->proof.previous_size);
        err = writer_run(store, insert);
    }
    return err != CS_OK ? err : release(store, &previous->work, FIND_HELD, previous->payment);
}

static void previous_committed(struct store *store, struct command *base)
{
    payment_tell(store, &((struct previous_command *)base)->work);
}

static void previous_finish(struct store *store, struct command *base)
{
    struct previous_command *previous = (struct previous_command *)base;
    (void)store;
    payment_work_fini(&previous->work);
    free(previous);
}

static const struct command_kind PREVIOUS_KIND = {"previous",         false,          false, previous_apply,
                                                  previous_committed, previous_finish};

enum cs_err store_submit_previous(struct store *store, int64_t payment, const uint8_t *bytes, size_t size)
{
    assert(size <= STORE_PROOF_MAX && (bytes == NULL) == (size == 0));
    struct previous_command *previous = cs_alloc(sizeof(*previous));
    previous->command.kind = &PREVIOUS_KIND;
    previous->payment = payment;
    payment_work_init(&previous->work);
    previous->work.outcome = STORE_PAYMENT_DUPLICATE; /* it was stored, and heard of, before */
    if (size > 0) {
        memcpy(previous->proof.previous, bytes, size);
        previous->proof.previous_size = size;
    }
    enum cs_err err = writer_submit(store, &previous->command);
    if (err != CS_OK) {
        free(previous);
    }
    return err;
}
