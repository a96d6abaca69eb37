/*
 * Checkpoints off the commit path: a thread with its own connection makes PASSIVE passes, which wait for nobody, and syncs what they have
 * written. Under a steady load a pass never reaches the WAL's end; once one has come close to it, the writer makes the last one between two
 * batches, after which the WAL begins anew: in place, where a commit's sync is cheaper than at the end of a file that grows.
 * The same thread looks after the free space of the disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

#define PASS_EVERY_MS 100
#define PASSES_PER_MOST                                                                                      \
    16 /* wal_most_bytes is so many times what a pass and its syncs are worth making for */
#define ROUNDS_PER_MOST  4         /* and so many times what the WAL begins anew after */
#define LITTLE_FRAMES    64        /* so much may be left for the writer: less than a millisecond */
#define PASSES_AT_ONCE   4         /* to come so close to the WAL's end */
#define LOOK_EVERY_NS    500000000 /* at the disk's free space */
#define WAL_FRAME_HEADER 24        /* sqlite.org/fileformat2.html, "The Write-Ahead Log" */

struct checkpointer {
    struct store *store;
    sqlite3 *db;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
    int64_t frame_bytes;
    uint64_t last_look_ns;
    bool blind; /* the free space cannot be asked for; said once */
};

static int on_wal_written(void *context, sqlite3 *db, const char *name, int frames)
{
    struct checkpointer *checkpointer = context;
    (void)db;
    (void)name;
    atomic_store_explicit(&checkpointer->store->wal_bytes, frames * checkpointer->frame_bytes,
                          memory_order_relaxed);
    return SQLITE_OK;
}

struct checkpointer *checkpoint_open(struct store *store)
{
    struct checkpointer *checkpointer = cs_alloc(sizeof(*checkpointer));
    checkpointer->store = store;
    checkpointer->db = sql_open(store->path, SQL_READ_WRITE);
    if (checkpointer->db == NULL ||
        sql_number(checkpointer->db, "PRAGMA page_size", &checkpointer->frame_bytes) != CS_OK) {
        log_die(LOG_MODULE, "cannot open %s for checkpoints", store->path);
    }
    checkpointer->frame_bytes += WAL_FRAME_HEADER;
    char synchronous[48];
    snprintf(synchronous, sizeof(synchronous), "PRAGMA synchronous = %s", store->options.synchronous);
    (void)sql_exec(checkpointer->db, synchronous);
    pthread_mutex_init(&checkpointer->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&checkpointer->stop, &attributes);
    pthread_condattr_destroy(&attributes);
    sqlite3_wal_hook(store->db, on_wal_written, checkpointer);
    return checkpointer;
}

void checkpoint_close(struct checkpointer *checkpointer)
{
    sqlite3_wal_hook(checkpointer->store->db, NULL, NULL);
    sqlite3_close(checkpointer->db);
    pthread_cond_destroy(&checkpointer->stop);
    pthread_mutex_destroy(&checkpointer->lock);
    free(checkpointer);
}

/* After a sync that failed, a second one may claim success for pages that are lost. The WAL still has them: begin anew. */
static void insist(struct store *store, sqlite3 *db, int code)
{
    if (sql_error(code) == CS_EIO) {
        log_die(LOG_MODULE, "cannot checkpoint %s: %s; start again, nothing committed is lost", store->path,
                sqlite3_errmsg(db));
    }
}

/* How many of the WAL's frames are in the database now. */
static int64_t make_pass(struct store *store, sqlite3 *db)
{
    int frames = 0;
    insist(store, db, sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, &frames));
    metrics_add(store->checkpoints, 1);
    return frames;
}

/* SQLite syncs the database only in the pass that reaches the WAL's end: the writer's, which would have to wait for all pages since the last. */
static void sync_database(struct store *store, sqlite3 *db)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(db, NULL, SQLITE_FCNTL_FILE_POINTER, &file);
    insist(store, db, code != SQLITE_OK ? code : file->pMethods->xSync(file, SQLITE_SYNC_NORMAL));
}

void checkpoint_by_writer(struct store *store)
{
    bool little_left = atomic_load_explicit(&store->wal_nearly_done, memory_order_relaxed);
    if (little_left ||
        atomic_load_explicit(&store->wal_bytes, memory_order_relaxed) > store->options.wal_most_bytes) {
        atomic_store_explicit(&store->wal_nearly_done, false, memory_order_relaxed);
        (void)make_pass(store, store->db);
    }
}

static void look_at_disk(struct checkpointer *checkpointer)
{
    struct store *store = checkpointer->store;
    struct statvfs disk;
    bool blind = statvfs(store->options.dir, &disk) != 0;
    if (blind && !checkpointer->blind) {
        log_warn("cannot ask for the free space of %s: %s", store->options.dir, strerror(errno));
    }
    checkpointer->blind = blind;
    if (blind) {
        return;
    }
    int64_t free_bytes = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
    bool low = free_bytes < store->options.min_free_bytes;
    if (low != atomic_exchange(&store->disk_low, low)) {
        if (low) {
            log_error("only %lld MB are free in %s, min_free_mb asks for %lld: payments are answered 503 "
                      "until there is room",
                      (long long)(free_bytes >> 20), store->options.dir,
                      (long long)(store->options.min_free_bytes >> 20));
        } else {
            log_info("there is room in %s again", store->options.dir);
        }
    }
}

static bool wait_for_next(struct checkpointer *checkpointer)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += PASS_EVERY_MS * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&checkpointer->lock);
    int timed_out = 0;
    while (!checkpointer->stopping && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&checkpointer->stop, &checkpointer->lock, &until);
    }
    bool stopping = checkpointer->stopping;
    pthread_mutex_unlock(&checkpointer->lock);
    return !stopping;
}

/* Passes, until little of the WAL is left, when it is long enough to begin anew; how far they came. */
static int64_t pass_over(struct checkpointer *checkpointer)
{
    struct store *store = checkpointer->store;
    int64_t round_bytes = store->options.wal_most_bytes / ROUNDS_PER_MOST, passed_bytes = 0;
    bool little_left = false;
    for (int i = 0; i < PASSES_AT_ONCE && !little_left; i++) {
        passed_bytes = make_pass(store, checkpointer->db) * checkpointer->frame_bytes;
        sync_database(store, checkpointer->db);
        int64_t wal_bytes = atomic_load_explicit(&store->wal_bytes, memory_order_relaxed);
        if (wal_bytes < round_bytes) {
            return passed_bytes;
        }
        little_left = wal_bytes - passed_bytes <= LITTLE_FRAMES * checkpointer->frame_bytes;
    }
    atomic_store_explicit(&store->wal_nearly_done, little_left, memory_order_relaxed);
    return passed_bytes;
}

static void *checkpoint_main(void *context)
{
    struct checkpointer *checkpointer = context;
    struct store *store = checkpointer->store;
    int64_t passed_bytes = 0;
    do {
        int64_t wal_bytes = atomic_load_explicit(&store->wal_bytes, memory_order_relaxed);
        if (wal_bytes < passed_bytes) {
            passed_bytes = 0; /* the WAL has begun anew */
        }
        if (wal_bytes - passed_bytes > store->options.wal_most_bytes / PASSES_PER_MOST) {
            passed_bytes = pass_over(checkpointer);
        }
        if (wal_bytes > store->options.wal_most_bytes) {
            soundness_give_way(store->soundness);
        }
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns - checkpointer->last_look_ns > LOOK_EVERY_NS) {
            checkpointer->last_look_ns = now_ns;
            look_at_disk(checkpointer);
        }
    } while (wait_for_next(checkpointer));
    return NULL;
}

void checkpoint_start(struct checkpointer *checkpointer)
{
    look_at_disk(checkpointer);
    if (pthread_create(&checkpointer->thread, NULL, checkpoint_main, checkpointer) != 0) {
        log_die(LOG_MODULE, "cannot start the checkpoint thread");
    }
}

void checkpoint_stop(struct checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->lock);
    checkpointer->stopping = true;
    pthread_cond_signal(&checkpointer->stop);
    pthread_mutex_unlock(&checkpointer->lock);
    pthread_join(checkpointer->thread, NULL);
}
