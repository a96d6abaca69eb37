#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"
#include "store/migrations.h"

#define LOG_MODULE "store"

static void add_metrics(struct store *store)
{
    struct metrics *metrics = store->options.metrics;
    const struct {
        metrics_count **count;
        const char *name, *labels, *help;
    } counters[] = {
        {&store->batches, "coinslot_store_transactions_total", "", "Transactions committed."},
        {&store->commands, "coinslot_store_commands_total", "", "Commands that the writer has answered."},
        {&store->full_commits, "coinslot_store_full_total", "",
         "Transactions given up because the disk was full."},
        {&store->payment_refusals, "coinslot_store_payments_refused_total", "",
         "Payments not taken because the inbox or the disk was full."},
        {&store->payments[STORE_PAYMENT_STORED], "coinslot_payments_total", "result=\"stored\"",
         "Payments that reached the writer, by what became of them."},
        {&store->payments[STORE_PAYMENT_DUPLICATE], "coinslot_payments_total", "result=\"duplicate\"", ""},
        {&store->payments[STORE_PAYMENT_UNMATCHED], "coinslot_payments_total", "result=\"unmatched\"", ""},
        {&store->payments[STORE_PAYMENT_OLD], "coinslot_payments_total", "result=\"old\"", ""},
        {&store->payments[STORE_PAYMENT_WAITING], "coinslot_payments_total", "result=\"waiting\"", ""},
        {&store->payments[STORE_PAYMENT_DENIED], "coinslot_payments_total", "result=\"denied\"", ""},
        {&store->below_minimum, "coinslot_deliveries_below_minimum_total", "",
         "Deliveries not made because the amount was below the subscription's minimum."},
        {&store->acks, "coinslot_deliveries_acked_total", "", "Deliveries acknowledged by their device."},
        {&store->outcomes, "coinslot_deliveries_outcome_total", "",
         "Deliveries actuated or refused by their device."},
        {&store->contradictions, "coinslot_deliveries_contradicted_total", "",
         "Reports of a device that contradict an earlier one; the first stands."},
        {&store->expired, "coinslot_deliveries_expired_total", "",
         "Deliveries that expired or whose device was retired."},
        {&store->pages, "coinslot_replay_pages_total", "",
         "Pages read for sessions that had something to catch up with."},
        {&store->rollbacks, "coinslot_store_rollbacks_total", "",
         "Sessions of devices that knew more than this store: it was restored from a backup."},
        {&store->flaps, "coinslot_sessions_flapping_total", "",
         "Sessions thrown out by another of the same device more than three times a minute."},
        {&store->checkpoints, "coinslot_store_checkpoints_total", "", "Passes over the write-ahead log."},
    };
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        *counters[i].count =
            metrics_add_counter(metrics, counters[i].name, counters[i].labels, counters[i].help);
    }
}

static void add_histograms(struct store *store)
{
    static const char *const labels[STORE_STAGES] = {
        [STORE_STAGE_CHECK] = "stage=\"check\"", [STORE_STAGE_QUEUE] = "stage=\"queue\"",
        [STORE_STAGE_WRITE] = "stage=\"write\"", [STORE_STAGE_COMMIT] = "stage=\"commit\"",
        [STORE_STAGE_PUSH] = "stage=\"push\"",   [STORE_STAGE_ACK] = "stage=\"ack\"",
    };
    for (size_t i = 0; i < STORE_STAGES; i++) {
        store->stages[i] =
            metrics_add_histogram(store->options.metrics, "coinslot_payment_stage_seconds", labels[i],
                                  "How long payments took in each stage, from their news to the ack.");
    }
}

uint64_t store_observe_stage(struct store *store, enum store_stage stage, uint64_t since_ns)
{
    uint64_t now_ns = clock_monotonic_ns();
    metrics_observe_ns(store->stages[stage], (int64_t)(now_ns - since_ns));
    return now_ns;
}

static int64_t read_inbox(void *store)
{
    return store_inbox_count(store);
}

static int64_t read_search_lag(void *store)
{
    return atomic_load_explicit(&((struct store *)store)->search_lag, memory_order_relaxed);
}

static int64_t read_unconfirmed(void *store)
{
    return store_unconfirmed_count(store);
}

static int64_t read_wal(void *store)
{
    return atomic_load_explicit(&((struct store *)store)->wal_bytes, memory_order_relaxed);
}

static int64_t read_sound(void *store)
{
    return atomic_load(&((struct store *)store)->sound);
}

static void add_gauges(struct store *store)
{
    struct metrics *metrics = store->options.metrics;
    metrics_add_gauge(metrics, "coinslot_store_inbox", "", "Commands waiting for the writer.", read_inbox,
                      store);
    metrics_add_gauge(metrics, "coinslot_payments_unconfirmed", "",
                      "Payments that wait for a node to say whether they are confirmed.", read_unconfirmed,
                      store);
    metrics_add_gauge(metrics, "coinslot_search_lag_rows", "",
                      "Rows that the search indexes have yet to take in.", read_search_lag, store);
    metrics_add_gauge(metrics, "coinslot_store_wal_bytes", "", "Length of the write-ahead log in use.",
                      read_wal, store);
    metrics_add_gauge(
        metrics, "coinslot_store_sound", "",
        "1: the file was looked through since the start, and is sound; 0: not yet; -1: it is damaged.",
        read_sound, store);
}

static void log_migration(void *context, const char *name)
{
    (void)context;
    log_info("migration %s has run", name);
}

/* A disk that could not read for a moment shows here too: nobody is to restore a backup over a sound file. */
static bool passes_quick_check(sqlite3 *db, char error[STORE_ERROR_SIZE])
{
    sqlite3_stmt *check = NULL;
    const char *finding = NULL;
    if (sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &check, NULL) == SQLITE_OK &&
        sqlite3_step(check) == SQLITE_ROW) {
        finding = (const char *)sqlite3_column_text(check, 0);
    }
    bool sound = finding != NULL && strcmp(finding, "ok") == 0;
    if (!sound) {
        snprintf(error, STORE_ERROR_SIZE,
                 "the store fails its check (%.80s): if the disk is well and a second start says the same, "
                 "copy the file, run `coinslot check --full`, restore the backup",
                 finding != NULL ? finding : sqlite3_errmsg(db));
    }
    sqlite3_finalize(check);
    return sound;
}

/* SQLite answers the mode that it has now, and calls staying in another one no error. */
static bool enter_wal(sqlite3 *db)
{
    sqlite3_stmt *statement = NULL;
    const char *mode = NULL;
    if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        mode = (const char *)sqlite3_column_text(statement, 0);
    }
    bool entered = mode != NULL && strcmp(mode, "wal") == 0;
    sqlite3_finalize(statement);
    return entered;
}

/* Opens the file and brings it to what this program knows. */
static enum cs_err open_file(struct store *store, char error[STORE_ERROR_SIZE])
{
    char synchronous[48];
    int version;
    snprintf(synchronous, sizeof(synchronous), "PRAGMA synchronous = %s", store->options.synchronous);
    enum cs_err err = file_check_wal(store->path, error);
    if (err != CS_OK) {
        return err;
    }
    /* SQLite gives its -wal and -shm the file's mode, so it is private before they are made. */
    int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)fchmod(fd, 0600);
        close(fd); /* before SQLite has it open: closing drops a process's locks on a file (fcntl(2)) */
    }
    bool synced = strcmp(store->options.synchronous, "FULL") == 0;
    store->db = fd < 0 ? NULL : sql_open(store->path, synced ? SQL_GATHERED : SQL_READ_WRITE);
    if (store->db == NULL) {
        snprintf(error, STORE_ERROR_SIZE, "cannot open %s: %s", store->path,
                 fd < 0 ? strerror(errno) : "see the log");
        return CS_EINVAL;
    }
    /* Before anything is written: it may be somebody else's. */
    err = file_read_version(store->db, store->path, &version, error);
    if (err != CS_OK) {
        return err;
    }
    if (sql_exec(store->db, synchronous) != CS_OK || !enter_wal(store->db) ||
        sql_exec(store->db, "PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864") != CS_OK) {
        snprintf(error, STORE_ERROR_SIZE,
                 "cannot open %s with a write-ahead log: %s; it has to be on a local disk", store->path,
                 sqlite3_errmsg(store->db));
        return CS_EINVAL;
    }
    /* Else it is looked through behind the ports (soundness.c): reading all of it takes a while. What is migrated is written anew. */
    if (version > 0 && version < MIGRATION_COUNT && !passes_quick_check(store->db, error)) {
        return CS_EINVAL;
    }
    err = file_migrate(store->db, version, log_migration, NULL, error);
    if (err == CS_OK) {
        err = file_read_epoch(store->db, store->epoch);
        if (err != CS_OK) {
            snprintf(error, STORE_ERROR_SIZE, "cannot write to %s: %s", store->path,
                     sqlite3_errmsg(store->db));
        }
    }
    return err;
}

static enum cs_err open_key(struct store *store, char error[STORE_ERROR_SIZE])
{
    static const char LABEL[] = "coinslot token hash";
    enum cs_err err =
        file_read_key(store->options.dir, access(store->path, F_OK) == 0, store->relay_key, error);
    if (err == CS_OK) {
        crypto_generichash(store->token_key, sizeof(store->token_key), (const uint8_t *)LABEL,
                           sizeof(LABEL) - 1, store->relay_key, sizeof(store->relay_key));
    }
    return err;
}

static void open_statements(struct store *store)
{
    batch_sql_open(store);
    payment_sql_open(store);
    session_sql_open(store);
    device_sql_open(store);
    subscription_sql_open(store);
    unconfirmed_sql_open(store);
    reconcile_sql_open(store);
    token_sql_open(store);
    search_sql_open(store);
    config_sql_open(store);
    proof_sql_open(store);
}

static void close_statements(struct store *store)
{
    proof_sql_close(store);
    config_sql_close(store);
    search_sql_close(store);
    token_sql_close(store);
    reconcile_sql_close(store);
    unconfirmed_sql_close(store);
    subscription_sql_close(store);
    device_sql_close(store);
    session_sql_close(store);
    payment_sql_close(store);
    batch_sql_close(store);
}

enum cs_err store_open(const struct store_options *options, struct store **opened,
                       char error[STORE_ERROR_SIZE])
{
    if (sodium_init() < 0) {
        log_die(LOG_MODULE, "libsodium cannot be initialised");
    }
    /* SQLite's account of its memory takes a lock at each allocation, and nobody reads it. Refused once SQLite is in use: then it counts. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    int lock_fd = file_lock_dir(options->dir, true, error);
    if (lock_fd < 0) {
        return errno == EWOULDBLOCK ? CS_EBUSY : CS_EIO;
    }
    struct store *store = cs_alloc(sizeof(*store));
    store->options = *options;
    store->lock_fd = lock_fd;
    store->path = file_path(options->dir, "coinslot.db");
    directory_init(&store->directory, &store->events);
    pthread_mutex_init(&store->key_lock, NULL);
    enum cs_err err = open_key(store, error); /* first: a store without its key is not to be opened */
    err = err != CS_OK ? err : open_file(store, error);
    if (err == CS_OK && directory_load(&store->directory, store->db) != CS_OK) {
        snprintf(error, STORE_ERROR_SIZE, "cannot read the devices of %s; run `coinslot check --full`",
                 store->path);
        err = CS_EINVAL;
    }
    if (err != CS_OK) {
        sqlite3_close(store->db);
        directory_fini(&store->directory);
        close(lock_fd);
        free(store->path);
        free(store);
        return err;
    }
    relay_key_use(store, (uint32_t)file_read_number(store->db, "relay_key"));
    store->inbox = inbox_open(options->inbox_capacity);
    store->recent = cs_alloc(RECENT_SLOTS * sizeof(struct recent_delivery));
    open_statements(store);
    replay_open(store);
    store->readers = reader_pool_open(store);
    store->soundness = soundness_open(store);
    store->checkpointer = checkpoint_open(store);
    add_metrics(store);
    add_gauges(store);
    add_histograms(store);
    *opened = store;
    return CS_OK;
}

void store_start_by_hand(struct store *store, const struct store_events *events)
{
    if (events != NULL) {
        store->events = *events;
    }
    store->by_hand = true;
    atomic_store(&store->running, true);
}

bool store_step_writer(struct store *store)
{
    assert(store->by_hand);
    return writer_step(store, 0);
}

bool store_step_replayer(struct store *store)
{
    assert(store->by_hand);
    return replay_step(store, 0);
}

void store_start(struct store *store, const struct store_events *events)
{
    if (events != NULL) {
        store->events = *events;
    }
    atomic_store(&store->running, true);
    checkpoint_start(store->checkpointer);
    soundness_start(store->soundness);
    if (pthread_create(&store->writer, NULL, writer_main, store) != 0 ||
        pthread_create(&store->replayer, NULL, replay_main, store) != 0) {
        log_die(LOG_MODULE, "cannot start the store's threads");
    }
}

void store_stop(struct store *store)
{
    inbox_shut(store->inbox);
    if (store->by_hand) {
        while (writer_step(store, 0)) {
        }
        return;
    }
    atomic_store(&store->running, false);
    pthread_join(store->writer, NULL);
    inbox_shut(store->replay_inbox);
    pthread_join(store->replayer, NULL);
    checkpoint_stop(store->checkpointer);
    soundness_stop(store->soundness);
}

void store_close(struct store *store)
{
    checkpoint_close(store->checkpointer);
    soundness_close(store->soundness);
    reader_pool_close(store->readers);
    replay_close(store);
    close_statements(store);
    sqlite3_close(store->db); /* the last connection: SQLite finishes the checkpoint and removes the WAL */
    inbox_close(store->inbox);
    directory_fini(&store->directory);
    sodium_memzero(store->token_key, sizeof(store->token_key));
    sodium_memzero(store->relay_key, sizeof(store->relay_key));
    sodium_memzero(store->secret_key, sizeof(store->secret_key));
    pthread_mutex_destroy(&store->key_lock);
    close(store->lock_fd);
    free(store->recent);
    free(store->path);
    free(store);
}

void store_hash_token(struct store *store, const char *token, uint8_t hash[STORE_HASH_SIZE])
{
    crypto_generichash(hash, STORE_HASH_SIZE, (const uint8_t *)token, strlen(token), store->token_key,
                       sizeof(store->token_key));
}

const char *store_epoch(const struct store *store)
{
    return store->epoch;
}

int64_t store_inbox_count(struct store *store)
{
    return (int64_t)inbox_count(store->inbox);
}

const char *store_refusal(struct store *store)
{
    if (atomic_load(&store->disk_full)) {
        return "the disk is full: nothing is stored until there is room";
    }
    if (atomic_load(&store->sound) == STORE_DAMAGED) {
        return "the store is damaged; the log says where, and what to do";
    }
    if (atomic_load(&store->disk_low)) {
        return "the disk is nearly full (min_free_mb): make room";
    }
    if (inbox_count(store->inbox) >= store->options.inbox_capacity) {
        return "the writer's inbox is full: payments come faster than the disk takes them";
    }
    return NULL;
}
