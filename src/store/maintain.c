#include "store/maintain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/internal.h"
#include "store/migrations.h"

#define LOG_MODULE "store"

static enum cs_err open_existing(const char *dir, enum sql_access access, sqlite3 **db, int *version,
                                 char error[STORE_ERROR_SIZE])
{
    char *path = file_path(dir, "coinslot.db");
    struct stat status;
    *db = NULL;
    if (stat(path, &status) != 0) {
        snprintf(error, STORE_ERROR_SIZE, "there is no store in %s: %s; name its folder with --data", dir,
                 strerror(errno));
        free(path);
        return CS_ENOTFOUND;
    }
    enum cs_err err = file_check_wal(path, error);
    if (err == CS_OK && (*db = sql_open(path, access)) == NULL) {
        snprintf(error, STORE_ERROR_SIZE, "cannot open %s", path);
        err = CS_ENOTFOUND;
    }
    if (err == CS_OK) {
        err = file_read_version(*db, path, version, error);
        if (err == CS_OK && *version == 0) {
            snprintf(error, STORE_ERROR_SIZE, "%s is empty: it is no Coinslot store yet", path);
            err = CS_ENOTFOUND;
        }
    }
    if (err != CS_OK) {
        sqlite3_close(*db);
        *db = NULL;
    }
    free(path);
    return err;
}

/* ---- backup ------------------------------------------------------------------------------------------------------ */

static enum cs_err sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    int result = fd >= 0 ? fsync(fd) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return result == 0 ? CS_OK : CS_EIO;
}

/* Syncs a file and the folder that its name stands in. */
static enum cs_err sync_with_folder(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *folder = slash == NULL ? cs_strdup(".") : slash == file ? cs_strdup("/") : cs_strdup(file);
    if (slash != NULL && slash != file) {
        folder[slash - file] = '\0';
    }
    enum cs_err err = sync_path(file, O_RDWR);
    err = err != CS_OK ? err : sync_path(folder, O_RDONLY | O_DIRECTORY);
    free(folder);
    return err;
}

/* On an error nothing of ours is left behind, and what was there before is. */
static enum cs_err copy_key(const char *dir, const char *to, char error[STORE_ERROR_SIZE])
{
    char *from = file_path(dir, "relay.key");
    uint8_t key[32];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    bool copied = in >= 0 && read(in, key, sizeof(key)) == (ssize_t)sizeof(key);
    if (copied) {
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        copied = out >= 0 && write(out, key, sizeof(key)) == (ssize_t)sizeof(key);
    }
    if (copied && sync_with_folder(to) != CS_OK) {
        copied = false;
    }
    if (!copied) {
        snprintf(error, STORE_ERROR_SIZE, "cannot copy %s to %s: %s", from, to, strerror(errno));
    }
    if (in >= 0) {
        close(in);
    }
    if (out >= 0) {
        close(out);
        if (!copied) {
            unlink(to);
        }
    }
    free(from);
    return copied ? CS_OK : CS_EIO;
}

/* One step of −1: small steps begin again with each commit, and never end under load. */
static enum cs_err copy_pages(sqlite3 *from, sqlite3 *to)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL) {
        return CS_EIO;
    }
    /* A lock in the way is told by the step alone, not by the finish. */
    int code = sqlite3_backup_step(backup, -1);
    enum cs_err err = sql_error(sqlite3_backup_finish(backup));
    return err != CS_OK ? err : code == SQLITE_DONE ? CS_OK : CS_EBUSY;
}

/* `file` is there, and empty. */
static enum cs_err copy_store(sqlite3 *from, const char *file, char error[STORE_ERROR_SIZE])
{
    sqlite3 *to = sql_open(file, SQL_READ_WRITE);
    enum cs_err err = to == NULL ? CS_EIO : copy_pages(from, to);
    /* An empty epoch: whoever opens the copy as a store makes a new one, so that devices notice the
     * roll-back. */
    err = err != CS_OK ? err : sql_exec(to, "PRAGMA journal_mode = DELETE");
    err = err != CS_OK ? err : sql_exec(to, "UPDATE meta SET value = '' WHERE name = 'epoch'");
    if (err == CS_EBUSY) {
        snprintf(error, STORE_ERROR_SIZE, "the store is locked by another program; try again");
    } else if (err != CS_OK) {
        snprintf(error, STORE_ERROR_SIZE, "cannot write %s: %s", file,
                 to != NULL ? sqlite3_errmsg(to) : "see the log");
    }
    sqlite3_close(to);
    return err;
}

/* A copy that found no room may have left SQLite's own files beside it. */
static void remove_copy(const char *file)
{
    static const char *const ENDINGS[] = {"", "-journal", "-wal", "-shm"};
    size_t size = strlen(file) + sizeof("-journal");
    char *path = cs_alloc(size);
    for (size_t i = 0; i < sizeof(ENDINGS) / sizeof(ENDINGS[0]); i++) {
        snprintf(path, size, "%s%s", file, ENDINGS[i]);
        unlink(path);
    }
    free(path);
}

enum cs_err maintain_backup(const char *dir, const char *file, char error[STORE_ERROR_SIZE])
{
    sqlite3 *from;
    int version;
    enum cs_err err = open_existing(dir, SQL_READ_ONLY, &from, &version, error);
    if (err != CS_OK) {
        return err;
    }
    int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(error, STORE_ERROR_SIZE, "cannot make %s: %s%s", file, strerror(errno),
                 errno == EEXIST ? "; a backup never overwrites, choose another name" : "");
        sqlite3_close(from);
        return CS_ECONFLICT;
    }
    close(fd);
    size_t size = strlen(file) + sizeof(".key");
    char *key = cs_alloc(size);
    snprintf(key, size, "%s.key", file);
    bool has_key = false;
    err = copy_store(from, file, error);
    sqlite3_close(from);
    if (err == CS_OK) {
        err = copy_key(dir, key, error);
        has_key = err == CS_OK;
    }
    if (err == CS_OK && sync_with_folder(file) != CS_OK) {
        snprintf(error, STORE_ERROR_SIZE, "cannot sync %s: %s", file, strerror(errno));
        err = CS_EIO;
    }
    if (err != CS_OK) { /* half a backup is worse than none */
        remove_copy(file);
        if (has_key) {
            unlink(key);
        }
    }
    free(key);
    return err;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

/* Each query finds what breaks a promise: one text column, a line a finding. */
static const char *const PROMISES[] = {
    "SELECT printf('device %s: %d deliveries and %d seqs skipped by a roll-back up to seq %d, so there is a "
    "hole', id, made, skipped, head) "
    "FROM (SELECT v.id AS id, c.head AS head, count(d.num) AS made, count(DISTINCT d.seq) AS seqs, "
    "coalesce(max(d.seq), 0) AS highest, "
    "(SELECT coalesce(sum(last - first + 1), 0) FROM seq_gap g WHERE g.device = v.num) AS skipped, "
    "(SELECT coalesce(max(last), 0) FROM seq_gap g WHERE g.device = v.num) AS gap_end "
    "FROM device v JOIN device_cursor c ON c.device = v.num LEFT JOIN delivery d ON d.device = v.num GROUP "
    "BY v.num) "
    "WHERE made + skipped <> head OR max(highest, gap_end) <> head OR seqs <> made",
    "SELECT printf('delivery %d of device %d names config %d, which is not there', d.num, d.device, "
    "d.config_version) FROM delivery d "
    "LEFT JOIN device_config f ON f.device = d.device AND f.version = d.config_version "
    "WHERE d.config_version IS NOT NULL AND f.version IS NULL",
    "SELECT printf('device %s has no cursor', id) FROM device WHERE num NOT IN (SELECT device FROM "
    "device_cursor)",
    "SELECT printf('delivery %d has no payment %d', num, payment) FROM delivery WHERE payment NOT IN (SELECT "
    "num FROM payment)",
    "SELECT printf('delivery %d has no device %d', num, device) FROM delivery WHERE device NOT IN (SELECT "
    "num FROM device)",
    "SELECT printf('payment %s output %d is stored %d times', hex(p.hash), p.output, count(*)) FROM payment "
    "p "
    "JOIN address a ON a.num = p.address GROUP BY a.chain, p.hash, p.output HAVING count(*) > 1",
    "SELECT printf('payment %d was delivered to device %d %d times', payment, device, count(*)) FROM "
    "delivery "
    "GROUP BY payment, device HAVING count(*) > 1",
    "SELECT printf('device %d: seq %d is %s although %d was acked', d.device, d.seq, d.state, c.acked) "
    "FROM delivery d INDEXED BY delivery_due JOIN device_cursor c ON c.device = d.device "
    "WHERE d.acked_at IS NULL AND d.state <> 'expired' AND d.seq <= c.acked",
    "SELECT printf('device %d: seq %d is stored although %d was sent', d.device, d.seq, c.sent) "
    "FROM delivery d INDEXED BY delivery_due JOIN device_cursor c ON c.device = d.device "
    "WHERE d.acked_at IS NULL AND d.state = 'stored' AND d.seq <= c.sent",
    "SELECT printf('device %d: seq %d is %s although only %d was sent and %d acked', d.device, d.seq, "
    "d.state, c.sent, c.acked) "
    "FROM delivery d JOIN device_cursor c ON c.device = d.device "
    "WHERE (d.state = 'sent' AND d.seq > c.sent) OR (d.state IN ('acked', 'actuated', 'refused') AND d.seq > "
    "c.acked)",
    "SELECT printf('delivery %d is %s, but was never sent', num, state) FROM delivery "
    "WHERE state IN ('sent', 'acked', 'actuated', 'refused') AND (sent_at IS NULL OR attempts < 1)",
    "SELECT printf('delivery %d is %s, but was never acked', num, state) FROM delivery "
    "WHERE state IN ('acked', 'actuated', 'refused') AND acked_at IS NULL",
    "SELECT printf('delivery %d is %s, but has the time of an ack', num, state) FROM delivery "
    "WHERE state IN ('stored', 'sent', 'expired') AND acked_at IS NOT NULL",
    "SELECT printf('delivery %d is %s, but has %s', num, state, iif(reason IS NULL, 'no reason', 'a reason')) "
    "FROM delivery WHERE (state IN ('refused', 'expired')) <> (reason IS NOT NULL)",
    "SELECT printf('payment %d waits for its proof for device %d, and was delivered to it', h.payment, h.device) "
    "FROM delivery_held h JOIN delivery d ON d.payment = h.payment AND d.device = h.device",
    "SELECT printf('payment %d waits for its proof, and has no block', payment) FROM delivery_held "
    "WHERE payment NOT IN (SELECT payment FROM payment_proof)",
    "SELECT printf('device %s: its config and device_proof do not agree on proofs', v.id) FROM device v "
    "LEFT JOIN device_proof p ON p.device = v.num LEFT JOIN device_config f ON f.device = v.num AND "
    "f.version = (SELECT max(version) FROM device_config WHERE device = v.num) "
    "WHERE (p.device IS NOT NULL) <> coalesce(json_extract(f.settings, '$.proof') = 1, 0)",
    "SELECT printf('the search index names delivery %d for device %d seq %d', b.delivery, b.device, b.seq) "
    "FROM delivery_by_device b "
    "LEFT JOIN delivery d ON d.num = b.delivery WHERE d.num IS NULL OR d.device <> b.device OR d.seq <> "
    "b.seq",
};

/* In a damaged file even preparing may fail: that is a finding too. */
static int64_t print_findings(sqlite3 *db, const char *query, FILE *out, const char *fine)
{
    sqlite3_stmt *statement = NULL;
    int64_t found = 0;
    int code = sqlite3_prepare_v2(db, query, -1, &statement, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (fine == NULL || text == NULL || strcmp(text, fine) != 0) {
            fprintf(out, "%s\n", text != NULL ? text : "?");
            found++;
        }
        code = SQLITE_OK;
    }
    if (code != SQLITE_DONE) {
        fprintf(out, "cannot read: %s\n", sqlite3_errmsg(db));
        found++;
    }
    sqlite3_finalize(statement);
    return found;
}

/* The queries are of this version's tables: an older store has first to become one. */
static int64_t check_promises(sqlite3 *db, int version, FILE *out)
{
    if (version < MIGRATION_COUNT) {
        fprintf(
            out,
            "the store has version %d of %d: its pages are sound, its promises can be checked after `coinslot migrate`\n",
            version, MIGRATION_COUNT);
        return 0;
    }
    int64_t found = 0;
    for (size_t i = 0; i < sizeof(PROMISES) / sizeof(PROMISES[0]); i++) {
        found += print_findings(db, PROMISES[i], out, NULL);
    }
    return found;
}

enum cs_err maintain_check(const char *dir, bool full, FILE *out, char error[STORE_ERROR_SIZE])
{
    sqlite3 *db;
    int version;
    enum cs_err err = open_existing(dir, SQL_READ_ONLY, &db, &version, error);
    if (err != CS_OK) {
        return err;
    }
    /* One snapshot for all of it: a relay may be writing. */
    err = sql_exec(db, "BEGIN");
    int64_t found =
        err != CS_OK ? 1
                     : print_findings(db, full ? "PRAGMA integrity_check" : "PRAGMA quick_check", out, "ok");
    if (found == 0) {
        found += print_findings(
            db,
            "SELECT printf('%s row %d breaks its foreign key to %s', \"table\", rowid, parent) "
            "FROM pragma_foreign_key_check",
            out, NULL);
        found += check_promises(db, version, out);
    }
    (void)sql_exec(db, "COMMIT");
    sqlite3_close(db);
    if (found > 0) {
        snprintf(error, STORE_ERROR_SIZE,
                 "%" PRId64 " findings; keep a copy of the data folder before anything else", found);
        return CS_EINVAL;
    }
    return CS_OK;
}

/* ---- migrate ----------------------------------------------------------------------------------------------------- */

static void print_migration(void *out, const char *name)
{
    fprintf(out, "%s\n", name);
}

enum cs_err maintain_migrate(const char *dir, FILE *out, char error[STORE_ERROR_SIZE])
{
    sqlite3 *db;
    int version;
    enum cs_err err = open_existing(dir, SQL_READ_WRITE, &db, &version, error);
    if (err != CS_OK) {
        return err;
    }
    int lock_fd = file_lock_dir(dir, false, error);
    if (lock_fd < 0) {
        sqlite3_close(db);
        return CS_EBUSY;
    }
    err = sql_exec(db, "PRAGMA synchronous = FULL");
    if (err != CS_OK) {
        snprintf(error, STORE_ERROR_SIZE, "cannot read the store in %s: %s", dir, sqlite3_errmsg(db));
    }
    char *path = file_path(dir, "coinslot.db");
    /* Again, now that nobody else migrates it. */
    err = err != CS_OK ? err : file_read_version(db, path, &version, error);
    free(path);
    err = err != CS_OK ? err : file_migrate(db, version, print_migration, out, error);
    sqlite3_close(db);
    close(lock_fd);
    return err;
}
