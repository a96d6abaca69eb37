/*
 * Whether the file is sound: looked through once behind the ports, table by table, over a connection of its own. A store that was killed is
 * consistent by its WAL; what this finds is a bad disk or a bad copy, and it takes as long as reading the file does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

#define AGAIN_SLICES 200   /* so many slices until it tries again, when it had to give way */
#define SLICE_US     50000 /* how soon it notices that it is to stop, meanwhile */
#define STOP_US      1000
#define NICENESS     19 /* of the thread alone: Linux counts it by thread */

enum { NEXT_TABLE, CHECK_TABLE, SOUNDNESS_SQL_COUNT };
static const char *const SOUNDNESS_SQL[] = {
    [NEXT_TABLE] = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name > ? ORDER BY name LIMIT 1",
    [CHECK_TABLE] = "SELECT quick_check FROM pragma_quick_check(?) WHERE quick_check <> 'ok' LIMIT 1",
};

struct soundness {
    struct store *store;
    sqlite3 *db;
    sqlite3_stmt **sql;
    pthread_t thread;
    _Atomic bool stopping;
};

struct soundness *soundness_open(struct store *store)
{
    struct soundness *soundness = cs_alloc(sizeof(*soundness));
    soundness->store = store;
    soundness->db = sql_open(store->path, SQL_READ_ONLY);
    if (soundness->db == NULL) {
        log_die(LOG_MODULE, "cannot open %s to look through it", store->path);
    }
    soundness->sql = sql_prepare(soundness->db, SOUNDNESS_SQL, SOUNDNESS_SQL_COUNT);
    return soundness;
}

void soundness_close(struct soundness *soundness)
{
    sql_finalize(soundness->sql, SOUNDNESS_SQL_COUNT);
    sqlite3_close(soundness->db);
    free(soundness);
}

void soundness_give_way(struct soundness *soundness)
{
    sqlite3_interrupt(soundness->db);
}

/* CS_EINVAL: damaged, as was logged; CS_EBUSY: it had to give way. */
static enum cs_err judge(const struct soundness *soundness, const char *table, int code, const char *finding)
{
    if (code == SQLITE_DONE) {
        return CS_OK;
    }
    if (code == SQLITE_INTERRUPT || (code & 0xff) == SQLITE_BUSY) {
        return CS_EBUSY;
    }
    log_error(
        "%s is damaged, in its table %s (%.80s): payments are answered 503. If the disk is well and a second start says the same, "
        "copy the file, run `coinslot check --full`, restore the backup",
        soundness->store->path, table, code == SQLITE_ROW ? finding : sqlite3_errmsg(soundness->db));
    return CS_EINVAL;
}

/* The table after `table`, which it becomes when that one is sound. CS_ENOTFOUND: there is none. */
static enum cs_err check_next(const struct soundness *soundness, char table[STORE_NAME_SIZE])
{
    sqlite3_stmt *find = soundness->sql[NEXT_TABLE], *check = soundness->sql[CHECK_TABLE];
    char next[STORE_NAME_SIZE] = "sqlite_schema";
    sql_bind(find, "t", table);
    int code = sqlite3_step(find); /* not sql_step, to which an interrupt is an error */
    if (code == SQLITE_ROW) {
        sql_copy_text(find, 0, next, sizeof(next));
    }
    sqlite3_reset(find);
    if (code != SQLITE_ROW) {
        return code == SQLITE_DONE ? CS_ENOTFOUND : judge(soundness, next, code, NULL);
    }
    sql_bind(check, "t", next);
    code = sqlite3_step(check);
    enum cs_err err = judge(soundness, next, code, (const char *)sqlite3_column_text(check, 0));
    sqlite3_reset(check);
    if (err == CS_OK) {
        memcpy(table, next, sizeof(next));
    }
    return err;
}

static void wait_for_quiet(const struct soundness *soundness)
{
    for (int i = 0; i < AGAIN_SLICES && !atomic_load(&soundness->stopping); i++) {
        usleep(SLICE_US);
    }
}

static void *soundness_main(void *context)
{
    struct soundness *soundness = context;
    char table[STORE_NAME_SIZE] = "";
    enum cs_err err = CS_OK;
    (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    while (err == CS_OK || (err == CS_EBUSY && !atomic_load(&soundness->stopping))) {
        err = check_next(soundness, table);
        if (err == CS_EBUSY) {
            wait_for_quiet(soundness);
        }
    }
    atomic_store(&soundness->store->sound, err == CS_ENOTFOUND ? STORE_SOUND
                                           : err == CS_EINVAL  ? STORE_DAMAGED
                                                               : STORE_NOT_LOOKED_AT);
    return NULL;
}

void soundness_start(struct soundness *soundness)
{
    if (pthread_create(&soundness->thread, NULL, soundness_main, soundness) != 0) {
        log_die(LOG_MODULE, "cannot start the thread that looks through the store");
    }
}

void soundness_stop(struct soundness *soundness)
{
    atomic_store(&soundness->stopping, true);
    /* Again and again: an interrupt stops what runs, not what is about to. */
    while (pthread_tryjoin_np(soundness->thread, NULL) == EBUSY) {
        sqlite3_interrupt(soundness->db);
        usleep(STOP_US);
    }
}
