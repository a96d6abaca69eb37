/* How far each address is reconciled with the node: baselines, marks, completeness. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"
#include "store/reconcile.h"

enum { TAKE_BASELINE, INSERT_HASH, WRITE_MARK, RECONCILE_SQL_COUNT };
static const char *const RECONCILE_SQL[] = {
    [TAKE_BASELINE] = "INSERT INTO baseline (subscription, taken_at, height, hashes) VALUES (?, ?, ?, ?) "
                      "ON CONFLICT (subscription) DO UPDATE SET taken_at = excluded.taken_at, "
                      "height = excluded.height, hashes = excluded.hashes WHERE taken_at IS NULL",
    [INSERT_HASH] = "INSERT INTO baseline_hash (subscription, hash) VALUES (?, ?) ON CONFLICT DO NOTHING",
    [WRITE_MARK] =
        "INSERT INTO reconciled (address, frontier, height, receivable, at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (address) DO UPDATE SET frontier = excluded.frontier, "
        "height = excluded.height, receivable = excluded.receivable, at = excluded.at",
};

void reconcile_sql_open(struct store *store)
{
    store->reconcile_sql = sql_prepare(store->db, RECONCILE_SQL, RECONCILE_SQL_COUNT);
}

void reconcile_sql_close(struct store *store)
{
    sql_finalize(store->reconcile_sql, RECONCILE_SQL_COUNT);
}

/* ---- a baseline -------------------------------------------------------------------------------------------------- */

struct baseline_command {
    struct command command; /* first */
    int64_t address, subscription;
    uint64_t height;
    store_reconcile_done done;
    void *context;
    bool taken;
    int64_t taken_at_ms;
    size_t count;
    uint8_t hashes[][32];
};

static enum cs_err baseline_apply(struct store *store, struct command *base)
{
    struct baseline_command *baseline = (struct baseline_command *)base;
    sqlite3_stmt *take = store->reconcile_sql[TAKE_BASELINE];
    sql_bind(take, "iiii", baseline->subscription, store->batch.now_ms, (int64_t)baseline->height,
             (int64_t)baseline->count);
    enum cs_err err = writer_run(store, take);
    baseline->taken = err == CS_OK && sqlite3_changes(store->db) > 0;
    baseline->taken_at_ms = store->batch.now_ms;
    for (size_t i = 0; i < baseline->count && baseline->taken && err == CS_OK; i++) {
        sqlite3_stmt *insert = store->reconcile_sql[INSERT_HASH];
        sql_bind(insert, "ib", baseline->subscription, baseline->hashes[i], sizeof(baseline->hashes[i]));
        err = writer_run(store, insert);
    }
    return err;
}

static void baseline_committed(struct store *store, struct command *base)
{
    const struct baseline_command *baseline = (const struct baseline_command *)base;
    if (baseline->taken) {
        directory_set_baseline(&store->directory, baseline->address, baseline->subscription, baseline->height,
                               baseline->count > 0, baseline->taken_at_ms);
    }
}

static void baseline_finish(struct store *store, struct command *base)
{
    struct baseline_command *baseline = (struct baseline_command *)base;
    (void)store;
    baseline->done(baseline->context, base->err);
    free(baseline);
}

static const struct command_kind BASELINE_KIND = {"baseline",         true,           false, baseline_apply,
                                                  baseline_committed, baseline_finish};

enum cs_err store_submit_baseline(struct store *store, int64_t address, int64_t subscription, uint64_t height,
                                  const uint8_t (*hashes)[32], size_t count, store_reconcile_done done,
                                  void *context)
{
    struct baseline_command *baseline = cs_alloc(sizeof(*baseline) + count * sizeof(baseline->hashes[0]));
    baseline->command.kind = &BASELINE_KIND;
    baseline->address = address;
    baseline->subscription = subscription;
    baseline->height = height;
    baseline->done = done;
    baseline->context = context;
    baseline->count = count;
    if (count > 0) {
        memcpy(baseline->hashes, hashes, count * sizeof(baseline->hashes[0]));
    }
    enum cs_err err = writer_submit(store, &baseline->command);
    if (err != CS_OK) {
        free(baseline);
    }
    return err;
}

/* ---- a mark ------------------------------------------------------------------------------------------------------ */

struct mark_command {
    struct command command; /* first */
    int64_t address;
    struct store_mark mark;
    store_reconcile_done done;
    void *context;
};

static enum cs_err mark_apply(struct store *store, struct command *base)
{
    const struct mark_command *command = (const struct mark_command *)base;
    const struct store_mark *mark = &command->mark;
    uint8_t receivable[16];
    amount_to_bytes(mark->receivable, receivable);
    sqlite3_stmt *write = store->reconcile_sql[WRITE_MARK];
    sql_bind(write, "ibibi", command->address, mark->height > 0 ? mark->frontier : NULL,
             sizeof(mark->frontier), (int64_t)mark->height, mark->moved ? NULL : receivable,
             sizeof(receivable), store->batch.now_ms);
    return writer_run(store, write);
}

static void mark_finish(struct store *store, struct command *base)
{
    struct mark_command *command = (struct mark_command *)base;
    (void)store;
    command->done(command->context, base->err);
    free(command);
}

static const struct command_kind MARK_KIND = {"mark", false, false, mark_apply, NULL, mark_finish};

enum cs_err store_submit_mark(struct store *store, int64_t address, const struct store_mark *mark,
                              store_reconcile_done done, void *context)
{
    struct mark_command *command = cs_alloc(sizeof(*command));
    command->command.kind = &MARK_KIND;
    command->address = address;
    command->mark = *mark;
    command->done = done;
    command->context = context;
    enum cs_err err = writer_submit(store, &command->command);
    if (err != CS_OK) {
        free(command);
    }
    return err;
}

/* ---- completeness ------------------------------------------------------------------------------------------------ */

static void change(struct store *store)
{
    atomic_fetch_add(&store->completed, 1);
}

uint64_t store_completeness_version(struct store *store)
{
    return atomic_load(&store->completed);
}

/* What was asked before somebody subscribed says nothing to them, and nothing does before their baseline is taken. */
static bool is_for_all(const struct address_entry *entry, int64_t at_ms)
{
    for (size_t i = 0; i < entry->count; i++) {
        const struct subscriber *subscriber = &entry->subscribers[i];
        if (subscriber->baseline_at_ms == 0 || subscriber->created_at_ms > at_ms) {
            return false;
        }
    }
    return true;
}

void store_note_complete(struct store *store, const int64_t *addresses, size_t count, int64_t at_ms)
{
    struct directory *directory = &store->directory;
    pthread_rwlock_rdlock(&directory->lock);
    for (size_t i = 0; i < count; i++) {
        assert(addresses[i] > 0 && (size_t)addresses[i] < directory->address_slots);
        struct address_entry *entry = directory->addresses[addresses[i]];
        if (is_for_all(entry, at_ms)) {
            atomic_store_explicit(&entry->complete_at_ms, at_ms, memory_order_relaxed);
        }
    }
    pthread_rwlock_unlock(&directory->lock);
    change(store);
}

void store_note_incident(struct store *store, const char *why)
{
    atomic_store(&store->incident, why);
    atomic_store(&store->incident_at_ms, clock_wall_ms());
    change(store);
}

void store_set_payable(struct store *store, const char *why_not)
{
    if (atomic_exchange(&store->not_payable, why_not) != why_not) {
        change(store);
    }
}

const char *store_not_payable(struct store *store)
{
    return atomic_load(&store->not_payable);
}

/* Zero: never; an incident at the very millisecond counts as after. */
static bool is_proven(struct store *store, const struct address_entry *entry, int64_t *complete_at_ms)
{
    *complete_at_ms = atomic_load_explicit(&entry->complete_at_ms, memory_order_relaxed);
    return *complete_at_ms > atomic_load(&store->incident_at_ms);
}

static const char *incident(struct store *store)
{
    const char *why = atomic_load(&store->incident);
    return why != NULL ? why : "unproven";
}

void store_find_completeness(struct store *store, const struct address *address,
                             struct store_completeness *found)
{
    *found = (struct store_completeness){.why = "unproven"};
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct address_entry *entry = directory_find_address(&store->directory, address);
    if (entry != NULL && entry->count > 0) {
        found->subscribed = true;
        found->disabled = true;
        found->unprovable = !atomic_load_explicit(&store->provable, memory_order_relaxed);
        for (size_t i = 0; i < entry->count; i++) {
            const struct device *device = entry->subscribers[i].device;
            found->connected |= atomic_load_explicit(&device->connected, memory_order_relaxed);
            found->disabled &= device->state != DEVICE_ACTIVE;
            found->unprovable &= device->state != DEVICE_ACTIVE || proof_is_wanted(device);
        }
        found->proven = is_proven(store, entry, &found->complete_at_ms);
        found->why = found->proven ? NULL : incident(store);
        found->since_ms = atomic_load(&store->incident_at_ms);
    }
    pthread_rwlock_unlock(&store->directory.lock);
}

const char *store_device_unproven(struct store *store, int64_t device_num)
{
    struct directory *directory = &store->directory;
    int64_t complete_at_ms;
    pthread_rwlock_rdlock(&directory->lock);
    assert(device_num > 0 && (size_t)device_num < directory->device_slots);
    const struct device *device = directory->devices[device_num];
    bool proven = true;
    for (uint32_t i = 0; i < device->subscriptions && proven; i++) {
        proven = is_proven(store, device->places[i], &complete_at_ms);
    }
    bool held = atomic_load_explicit(&device->held, memory_order_relaxed) > 0;
    pthread_rwlock_unlock(&directory->lock);
    return !proven ? incident(store) : held ? "proof_awaited" : NULL;
}

static void cover(struct store *store, const struct address_entry *entry, struct store_coverage *coverage)
{
    int64_t complete_at_ms;
    coverage->addresses++;
    if (is_proven(store, entry, &complete_at_ms)) {
        coverage->proven++;
        if (coverage->oldest_ms == 0 || complete_at_ms < coverage->oldest_ms) {
            coverage->oldest_ms = complete_at_ms;
        }
    }
}

void store_find_coverage(struct store *store, struct store_coverage *coverage)
{
    struct directory *directory = &store->directory;
    *coverage = (struct store_coverage){0};
    pthread_rwlock_rdlock(&directory->lock);
    for (size_t i = 0; i < directory->address_slots; i++) {
        const struct address_entry *entry = directory->addresses[i];
        if (entry != NULL && entry->count > 0) {
            cover(store, entry, coverage);
        }
    }
    pthread_rwlock_unlock(&directory->lock);
}

void store_each_watched(struct store *store, void (*each)(void *context, const struct address *address),
                        void *context)
{
    struct directory *directory = &store->directory;
    pthread_rwlock_rdlock(&directory->lock);
    for (size_t i = 0; i < directory->address_slots; i++) {
        const struct address_entry *entry = directory->addresses[i];
        if (entry != NULL && (entry->count > 0 || entry->listeners > 0)) {
            each(context, &entry->address);
        }
    }
    pthread_rwlock_unlock(&directory->lock);
}
