/*
 * The writer: takes what is waiting into one transaction, commits, and tells whoever waits (group commit).
 * Batches grow with the load, a lone payment waits for nobody. An ack has time: alone it would take a commit of its own, for which the next
 * payment would have to wait.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

#define LINGER_MS       5   /* how long what nobody waits for may wait for a batch that somebody waits for */
#define IDLE_WAIT_MS    200 /* how long the writer sleeps at most before it looks after its chores */
#define FILL_WAIT_MS    1   /* the same, while the search tables lag */
#define EXPIRY_EVERY_NS 1000000000u
#define HOUR_MS         3600000

enum { BEGIN, COMMIT, ROLLBACK, UPDATE_CURSOR, NOTE_HOUR, BATCH_SQL_COUNT };
static const char *const BATCH_SQL[] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [UPDATE_CURSOR] = "UPDATE device_cursor SET head = ?, sent = ?, acked = ? WHERE device = ?",
    [NOTE_HOUR] = "INSERT INTO stored_hour (hour, first_payment, last_payment, first_delivery, "
                  "last_delivery) VALUES (?, ?, ?, ?, ?) "
                  "ON CONFLICT (hour) DO UPDATE SET last_payment = excluded.last_payment, "
                  "first_delivery = coalesce(first_delivery, excluded.first_delivery), "
                  "last_delivery = coalesce(excluded.last_delivery, last_delivery)",
};

void batch_sql_open(struct store *store)
{
    store->batch_sql = sql_prepare(store->db, BATCH_SQL, BATCH_SQL_COUNT);
}

void batch_sql_close(struct store *store)
{
    sql_finalize(store->batch_sql, BATCH_SQL_COUNT);
}

/* ---- submitting ------------------------------------------------------------------------------------------------ */

enum cs_err writer_submit(struct store *store, struct command *command)
{
    return command->kind->can_linger ? inbox_push_lazy(store->inbox, &command->node, LINGER_MS)
                                     : inbox_push(store->inbox, &command->node);
}

void writer_wake(struct store *store, struct command *command)
{
    (void)store;
    struct waiting_command *waiting = (struct waiting_command *)command;
    pthread_mutex_lock(&waiting->lock);
    waiting->finished = true;
    pthread_cond_signal(&waiting->done);
    pthread_mutex_unlock(&waiting->lock);
}

enum cs_err writer_submit_and_wait(struct store *store, struct waiting_command *waiting)
{
    pthread_mutex_init(&waiting->lock, NULL);
    pthread_cond_init(&waiting->done, NULL);
    waiting->finished = false;
    enum cs_err err = writer_submit(store, &waiting->command);
    if (err == CS_OK) {
        while (store->by_hand && writer_step(store, 0)) {
        }
        pthread_mutex_lock(&waiting->lock);
        while (!waiting->finished) {
            pthread_cond_wait(&waiting->done, &waiting->lock);
        }
        pthread_mutex_unlock(&waiting->lock);
        err = waiting->command.err;
    }
    pthread_cond_destroy(&waiting->done);
    pthread_mutex_destroy(&waiting->lock);
    return err;
}

/* ---- inside a batch -------------------------------------------------------------------------------------------- */

/* A full disk fails the batch, a read that has to spill pages too; SQLite may have rolled everything back. */
static enum cs_err judge(struct store *store, enum cs_err err)
{
    if (err == CS_EFULL) {
        store->batch.failed = true;
    } else if (err != CS_OK) {
        log_die(LOG_MODULE, "the batch fails on %s: %s; start again, nothing committed is lost", store->path,
                sqlite3_errmsg(store->db));
    }
    return err;
}

enum cs_err writer_run(struct store *store, sqlite3_stmt *statement)
{
    if (store->batch.failed) {
        sqlite3_reset(statement);
        return CS_EFULL;
    }
    return judge(store, sql_run(statement));
}

bool writer_find(struct store *store, sqlite3_stmt *find, enum cs_err *err)
{
    if (store->batch.failed) {
        sqlite3_reset(find);
        *err = CS_EFULL;
        return false;
    }
    bool found = sql_step(find, err);
    *err = judge(store, *err);
    return found;
}

void writer_touch(struct store *store, struct device *device)
{
    if (!device->dirty) {
        device->dirty = true;
        device->saved = device->cursor;
        device->saved_session = device->session;
        device->next_dirty = store->batch.dirty;
        store->batch.dirty = device;
    }
}

static struct recent_delivery *recent_slot(struct store *store, int64_t device, uint64_t seq)
{
    uint64_t mixed = ((uint64_t)device * 0x9e3779b97f4a7c15u) ^ (seq * 0xc2b2ae3d27d4eb4fu);
    return &store->recent[(mixed >> 40) % RECENT_SLOTS];
}

void writer_note_payment(struct store *store, int64_t payment)
{
    struct batch *batch = &store->batch;
    batch->first_payment = batch->first_payment == 0 ? payment : batch->first_payment;
    batch->last_payment = payment;
}

void writer_note_delivery(struct store *store, int64_t device, uint64_t seq, int64_t delivery)
{
    struct batch *batch = &store->batch;
    batch->first_delivery = batch->first_delivery == 0 ? delivery : batch->first_delivery;
    batch->last_delivery = delivery;
    *recent_slot(store, device, seq) = (struct recent_delivery){device, delivery, seq};
}

int64_t writer_recent_delivery(struct store *store, int64_t device, uint64_t seq)
{
    const struct recent_delivery *recent = recent_slot(store, device, seq);
    return recent->device == device && recent->seq == seq ? recent->num : 0;
}

/* ---- a batch --------------------------------------------------------------------------------------------------- */

void writer_begin(struct store *store)
{
    store->batch = (struct batch){.now_ms = clock_wall_ms(),
                                  .began_ns = clock_monotonic_ns(),
                                  .changes = sqlite3_total_changes64(store->db)};
    (void)writer_run(store, store->batch_sql[BEGIN]);
}

static void write_cursors(struct store *store)
{
    sqlite3_stmt *update = store->batch_sql[UPDATE_CURSOR];
    for (struct device *device = store->batch.dirty; device != NULL; device = device->next_dirty) {
        const struct cursor *now = &device->cursor, *before = &device->saved;
        if (now->acked > before->acked) {
            session_mark_acked(store, device, before->acked + 1, now->acked);
        }
        if (now->head != before->head || now->sent != before->sent || now->acked != before->acked) {
            sql_bind(update, "iiii", (int64_t)now->head, (int64_t)now->sent, (int64_t)now->acked,
                     device->num);
            (void)writer_run(store, update);
        }
    }
}

static void write_hour(struct store *store)
{
    const struct batch *batch = &store->batch;
    if (batch->first_payment != 0) {
        sql_bind(store->batch_sql[NOTE_HOUR], "iiioo", batch->now_ms / HOUR_MS, batch->first_payment,
                 batch->last_payment, batch->first_delivery, batch->last_delivery);
        (void)writer_run(store, store->batch_sql[NOTE_HOUR]);
    }
}

/* Ends the dirty list; a batch that failed leaves every cursor as it was before it. */
static void settle_cursors(struct store *store, bool failed)
{
    struct device *next;
    for (struct device *device = store->batch.dirty; device != NULL; device = next) {
        next = device->next_dirty;
        device->dirty = false;
        device->next_dirty = NULL;
        if (failed) {
            device->cursor = device->saved;
            device->session = device->saved_session;
        }
        atomic_store_explicit(&device->connected, device->cursor.generation != 0, memory_order_relaxed);
    }
    store->batch.dirty = NULL;
}

static void count_committed(struct store *store)
{
    const struct batch *batch = &store->batch;
    metrics_add(store->acks, batch->acks);
    metrics_add(store->outcomes, batch->outcomes);
    metrics_add(store->contradictions, batch->contradictions);
    metrics_add(store->below_minimum, batch->below_minimum);
    metrics_add(store->expired, batch->expired);
    atomic_fetch_add(&store->unconfirmed, batch->unconfirmed);
    metrics_add(store->batches, 1);
}

enum cs_err writer_commit(struct store *store)
{
    write_cursors(store);
    write_hour(store);
    store->batch.written_ns = clock_monotonic_ns();
    (void)writer_run(store, store->batch_sql[COMMIT]);
    store->batch.committed_ns = clock_monotonic_ns();
    bool failed = store->batch.failed;
    if (failed && !sqlite3_get_autocommit(store->db)) {
        /* A full disk may have rolled back already; when it has not, we do. */
        (void)sql_run(store->batch_sql[ROLLBACK]);
    }
    settle_cursors(store, failed);
    if (failed) {
        if (!atomic_exchange(&store->disk_full, true)) {
            log_error("the disk is full: nothing is stored until there is room; payments are answered 503");
        }
        metrics_add(store->full_commits, 1);
        return CS_EFULL;
    }
    if (atomic_load_explicit(&store->disk_full, memory_order_relaxed) &&
        sqlite3_total_changes64(store->db) > store->batch.changes) {
        atomic_store(&store->disk_full, false);
        log_info("there is room on the disk again");
    }
    if (store->batch.last_payment != 0) {
        store->last_payment = store->batch.last_payment;
    }
    if (store->batch.last_delivery != 0) {
        store->last_delivery = store->batch.last_delivery;
    }
    count_committed(store);
    return CS_OK;
}

static void observe_stages(struct store *store, uint64_t submitted_ns)
{
    const struct batch *batch = &store->batch;
    const uint64_t ends_ns[] = {submitted_ns, batch->began_ns, batch->written_ns, batch->committed_ns};
    static const enum store_stage stages[] = {STORE_STAGE_QUEUE, STORE_STAGE_WRITE, STORE_STAGE_COMMIT};
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
        metrics_observe_ns(store->stages[stages[i]], (int64_t)(ends_ns[i + 1] - ends_ns[i]));
    }
}

/* Applies from `first` on, up to the first command that ends the batch; returns what is left. */
static struct inbox_node *apply(struct store *store, struct inbox_node *first)
{
    for (struct inbox_node *node = first; node != NULL; node = node->next) {
        struct command *command = (struct command *)node;
        command->err = store->batch.failed ? CS_EFULL : command->kind->apply(store, command);
        if (command->kind->ends_batch && node->next != NULL) {
            struct inbox_node *rest = node->next;
            node->next = NULL;
            return rest;
        }
    }
    return NULL;
}

/* Returns how many commands there were. */
static size_t run_batch(struct store *store, struct inbox_node *first)
{
    size_t count = 0;
    while (first != NULL) {
        writer_begin(store);
        struct inbox_node *rest = apply(store, first);
        enum cs_err committed = writer_commit(store);
        struct inbox_node *next;
        for (struct inbox_node *node = first; node != NULL; node = next) {
            next = node->next; /* finish frees the command */
            struct command *command = (struct command *)node;
            command->err = committed != CS_OK ? committed : command->err;
            if (command->err == CS_OK && command->submitted_ns != 0) {
                observe_stages(store, command->submitted_ns);
            }
            if (command->err == CS_OK && command->kind->committed != NULL) {
                command->kind->committed(store, command);
            }
            metrics_add(store->commands, 1);
            command->kind->finish(store, command);
            count++;
        }
        first = rest;
    }
    return count;
}

static void expire_in_time(struct store *store)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (store->directory.expiring == 0 || now_ns - store->last_expiry_ns <= EXPIRY_EVERY_NS ||
        atomic_load_explicit(&store->disk_full, memory_order_relaxed)) {
        return;
    }
    store->last_expiry_ns = now_ns;
    writer_begin(store);
    session_expire(store);
    if (writer_commit(store) == CS_OK && store->batch.expired > 0) {
        log_info("%llu deliveries have expired while their devices were away",
                 (unsigned long long)store->batch.expired);
    }
}

/* What is done between batches: it must never make a waiting payment wait long. */
static void chores(struct store *store, size_t commands)
{
    expire_in_time(store);
    store->filling = search_fill(store, commands);
    checkpoint_by_writer(store);
}

bool writer_step(struct store *store, int wait_ms)
{
    struct inbox_node *first = inbox_take(store->inbox, store->options.batch_most, wait_ms);
    size_t commands = first != NULL ? run_batch(store, first) : 0;
    chores(store, commands);
    return first != NULL;
}

void *writer_main(void *context)
{
    struct store *store = context;
    while (atomic_load(&store->running) || inbox_count(store->inbox) > 0) {
        writer_step(store, store->filling ? FILL_WAIT_MS : IDLE_WAIT_MS);
    }
    return NULL;
}
