#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "store/internal.h"
#include "store/migrations.h"

#define LOG_MODULE "store"

char *file_path(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = cs_alloc(size);
    snprintf(path, size, "%s/%s", dir, name);
    return path;
}

/* Makes DIR and whatever is missing above it. */
static int make_dir(const char *dir)
{
    char path[PATH_MAX];
    size_t length = strlen(dir);
    if (length == 0 || length >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(path, dir, length + 1);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            return -1;
        }
        *slash = '/';
    }
    return mkdir(path, 0700) != 0 && errno != EEXIST ? -1 : 0;
}

int file_lock_dir(const char *dir, bool make, char error[STORE_ERROR_SIZE])
{
    if (make && make_dir(dir) != 0) {
        snprintf(error, STORE_ERROR_SIZE, "cannot make the data folder %s: %s", dir, strerror(errno));
        return -1;
    }
    char *path = file_path(dir, "lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(error, STORE_ERROR_SIZE, "cannot open %s: %s", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(error, STORE_ERROR_SIZE, "%s is in use by another coinslot process; stop that one first",
                 dir);
        close(fd);
        fd = -1;
        errno = EWOULDBLOCK;
    }
    free(path);
    return fd;
}

static enum cs_err sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return CS_EIO;
    }
    int result = fsync(fd);
    close(fd);
    return result == 0 ? CS_OK : CS_EIO;
}

/* Under another name first, so that a power cut leaves a whole key or none. */
static enum cs_err make_key(const char *dir, const char *path, uint8_t key[32], char error[STORE_ERROR_SIZE])
{
    char *fresh = file_path(dir, "relay.key.new");
    randombytes_buf(key, 32);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool made = fd >= 0 && write(fd, key, 32) == 32 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    made = made && rename(fresh, path) == 0 && sync_dir(dir) == CS_OK;
    if (!made) {
        snprintf(error, STORE_ERROR_SIZE, "cannot write %s: %s", path, strerror(errno));
    }
    free(fresh);
    return made ? CS_OK : CS_EIO;
}

enum cs_err file_read_key(const char *dir, bool store_exists, uint8_t key[32], char error[STORE_ERROR_SIZE])
{
    char *path = file_path(dir, "relay.key");
    enum cs_err err = CS_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        uint8_t more;
        if (read(fd, key, 32) != 32 || read(fd, &more, 1) != 0) {
            snprintf(error, STORE_ERROR_SIZE, "%s is not 32 bytes long; restore it from the backup", path);
            err = CS_EINVAL;
        }
        close(fd);
    } else if (errno != ENOENT) {
        snprintf(error, STORE_ERROR_SIZE, "cannot open %s: %s", path, strerror(errno));
        err = CS_EIO;
    } else if (store_exists) {
        snprintf(error, STORE_ERROR_SIZE,
                 "%s is missing: without it no token is valid; restore it from the backup (FILE.key)", path);
        err = CS_EINVAL;
    } else {
        err = make_key(dir, path, key, error);
    }
    free(path);
    return err;
}

/*
 * A backup is no WAL database: it says so in its header (sqlite.org/fileformat2.html, "File format version numbers"). A store is one
 * before it has a log at all. So a log beside the former was left by a store that crashed, in whose place a backup was put back;
 * SQLite would play it into the backup, and damage it.
 */
enum cs_err file_check_wal(const char *path, char error[STORE_ERROR_SIZE])
{
    uint8_t header[20];
    struct stat status;
    size_t size = strlen(path) + sizeof("-wal");
    char *wal = cs_alloc(size);
    snprintf(wal, size, "%s-wal", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool foreign = fd >= 0 && read(fd, header, sizeof(header)) == (ssize_t)sizeof(header) &&
                   header[18] == 1 && stat(wal, &status) == 0 && status.st_size > 0;
    if (fd >= 0) {
        close(fd);
    }
    free(wal);
    if (foreign) {
        snprintf(
            error, STORE_ERROR_SIZE,
            "%s is a restored backup, beside it lies the log of the store before: move coinslot.db-wal and "
            "coinslot.db-shm away",
            path);
    }
    return foreign ? CS_EINVAL : CS_OK;
}

enum cs_err file_read_version(sqlite3 *db, const char *path, int *version, char error[STORE_ERROR_SIZE])
{
    int64_t stamped, application, objects;
    if (sql_number(db, "PRAGMA user_version", &stamped) != CS_OK ||
        sql_number(db, "PRAGMA application_id", &application) != CS_OK ||
        sql_number(db, "SELECT count(*) FROM sqlite_schema", &objects) != CS_OK) {
        snprintf(error, STORE_ERROR_SIZE, "cannot read %s: %s; if it is damaged, restore the backup", path,
                 sqlite3_errmsg(db));
        return CS_EINVAL;
    }
    if (application != SQL_APPLICATION_ID && (application != 0 || stamped != 0 || objects != 0)) {
        snprintf(error, STORE_ERROR_SIZE, "%s is not a Coinslot store; choose another data folder", path);
        return CS_EINVAL;
    }
    if (stamped > MIGRATION_COUNT) {
        snprintf(error, STORE_ERROR_SIZE,
                 "%s has version %d, this program knows %d; install the newer coinslot, or restore a backup",
                 path, (int)stamped, MIGRATION_COUNT);
        return CS_EINVAL;
    }
    *version = (int)stamped;
    return CS_OK;
}

static enum cs_err check_foreign_keys(sqlite3 *db)
{
    int64_t broken;
    enum cs_err err = sql_number(db, "SELECT count(*) FROM pragma_foreign_key_check", &broken);
    return err == CS_OK && broken > 0 ? CS_EINVAL : err;
}

enum cs_err file_migrate(sqlite3 *db, int version, void (*ran)(void *context, const char *name),
                         void *context, char error[STORE_ERROR_SIZE])
{
    enum cs_err err = CS_OK;
    /* A table that others refer to can be rebuilt only while nobody looks; inside a transaction the setting cannot be changed. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
    for (int i = version; i < MIGRATION_COUNT && err == CS_OK; i++) {
        char stamp[96];
        snprintf(stamp, sizeof(stamp), "PRAGMA user_version = %d; PRAGMA application_id = %d", i + 1,
                 SQL_APPLICATION_ID);
        err = sql_exec(db, "BEGIN IMMEDIATE");
        err = err != CS_OK ? err : sql_exec(db, MIGRATIONS[i].sql);
        err = err != CS_OK ? err : check_foreign_keys(db);
        err = err != CS_OK ? err : sql_exec(db, stamp);
        err = err != CS_OK ? err : sql_exec(db, "COMMIT");
        if (err != CS_OK) {
            snprintf(error, STORE_ERROR_SIZE, "migration %s failed: %s", MIGRATIONS[i].name,
                     err == CS_EINVAL ? "rows break their foreign keys; restore the backup"
                                      : sqlite3_errmsg(db));
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        } else {
            ran(context, MIGRATIONS[i].name);
        }
    }
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    return err;
}

int64_t file_read_number(sqlite3 *db, const char *name)
{
    static const char *const QUERY = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = ?";
    sqlite3_stmt **sql = sql_prepare(db, &QUERY, 1);
    enum cs_err err;
    int64_t number = 0;
    sql_bind(sql[0], "t", name);
    if (sql_step(sql[0], &err)) {
        number = sqlite3_column_int64(sql[0], 0);
    }
    sql_finalize(sql, 1);
    return number;
}

/* A backup carries an empty epoch, so that each restore gets a new one. */
enum cs_err file_read_epoch(sqlite3 *db, char epoch[STORE_EPOCH_TEXT])
{
    static const char *const QUERIES[] = {
        "SELECT value FROM meta WHERE name = 'epoch'",
        "INSERT INTO meta (name, value) VALUES ('epoch', ?) ON CONFLICT (name) DO UPDATE SET value = "
        "excluded.value",
    };
    sqlite3_stmt **sql = sql_prepare(db, QUERIES, 2);
    enum cs_err err;
    epoch[0] = '\0';
    if (sql_step(sql[0], &err)) {
        sql_copy_text(sql[0], 0, epoch, STORE_EPOCH_TEXT);
        sqlite3_reset(sql[0]);
    }
    if (err == CS_OK && strlen(epoch) != STORE_EPOCH_TEXT - 1) {
        uint8_t random[16];
        randombytes_buf(random, sizeof(random));
        hex_encode_lower(random, sizeof(random), epoch);
        sql_bind(sql[1], "t", epoch);
        err = sql_run(sql[1]);
    }
    sql_finalize(sql, 2);
    return err;
}
