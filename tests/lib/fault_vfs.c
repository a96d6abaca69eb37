#include "lib/fault_vfs.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define LOG_MODULE "fault"

struct fault_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *base;
    struct fault_vfs_options options;
    pthread_mutex_t lock; /* over everything below */
    struct fault_disk *disk;
    struct fault_plan plan;
    uint64_t count;
    bool dead;
    struct fault_cut cut;
};

struct fault_handle {
    sqlite3_file file;
    struct fault_vfs *owner;
    struct fault_node *node; /* NULL: a temporary file, which no cut leaves behind */
    const char *path;        /* SQLite keeps it until the file is closed */
    unsigned kind;           /* enum fault_file */
    bool sync_directory;     /* the first sync makes the directory entry durable, as os_unix.c does it for
                                journals and WALs */
};

static struct fault_vfs *vfs_of(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static struct fault_handle *handle_of(sqlite3_file *file)
{
    return (struct fault_handle *)file;
}

/* The default VFS's file stands right behind ours. */
static sqlite3_file *base_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((char *)file + sizeof(struct fault_handle));
}

/* ---- the plan -------------------------------------------------------------------------------------- */

static void cut_power(struct fault_vfs *vfs, uint64_t seed)
{
    if (vfs->dead) {
        return;
    }
    vfs->dead = true;
    fault_disk_cut(vfs->disk, seed, &vfs->cut);
    if (vfs->options.exit_code != 0) {
        log_info("the power goes: %s, seed %llu, kept %llu, dropped %llu, torn %llu, garbled %llu, names "
                 "lost %llu",
                 vfs->cut.style, (unsigned long long)seed, (unsigned long long)vfs->cut.kept,
                 (unsigned long long)vfs->cut.dropped, (unsigned long long)vfs->cut.torn,
                 (unsigned long long)vfs->cut.garbled, (unsigned long long)vfs->cut.entries_lost);
        _exit(vfs->options.exit_code);
    }
}

/* Counts a call, and says what is to become of it. With the lock held. */
static enum fault_action tick(struct fault_vfs *vfs, enum fault_call call, unsigned kind)
{
    const struct fault_plan *plan = &vfs->plan;
    if (plan->action == FAULT_NONE || (plan->calls & call) == 0 || (plan->files & kind) == 0) {
        return FAULT_NONE;
    }
    vfs->count++;
    bool hit = plan->at != 0 && (vfs->count == plan->at || (plan->lasting && vfs->count > plan->at));
    return hit ? plan->action : FAULT_NONE;
}

static void strike(struct fault_vfs *vfs, bool kill_now, bool cut_now)
{
    if (kill_now) {
        kill(getpid(), SIGKILL);
        pause();
    }
    if (cut_now) {
        cut_power(vfs, vfs->plan.seed);
    }
}

/* Takes the lock; `done` gives it back. Not SQLITE_OK: the call is to return that. */
static int begin(struct fault_vfs *vfs, enum fault_call call, unsigned kind, int error,
                 enum fault_action *action)
{
    pthread_mutex_lock(&vfs->lock);
    *action = vfs->dead ? FAULT_NONE : tick(vfs, call, kind);
    strike(vfs, *action == FAULT_KILL_BEFORE, *action == FAULT_CUT_BEFORE);
    if (vfs->dead) {
        return SQLITE_IOERR;
    }
    return *action == FAULT_IO_ERROR ? error : SQLITE_OK;
}

static int done(struct fault_vfs *vfs, enum fault_action action, int result)
{
    strike(vfs, action == FAULT_KILL_AFTER, action == FAULT_CUT_AFTER);
    if (vfs->dead) {
        result = SQLITE_IOERR;
    }
    pthread_mutex_unlock(&vfs->lock);
    return result;
}

/* ---- files ----------------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *file)
{
    struct fault_handle *handle = handle_of(file);
    pthread_mutex_lock(&handle->owner->lock);
    int result = base_of(file)->pMethods->xClose(base_of(file));
    if (handle->node != NULL) {
        fault_disk_close_file(handle->owner->disk, handle->node);
    }
    pthread_mutex_unlock(&handle->owner->lock);
    return result;
}

static int file_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    struct fault_handle *handle = handle_of(file);
    enum fault_action action;
    int result = begin(handle->owner, FAULT_READ, handle->kind, SQLITE_IOERR_READ, &action);
    if (result == SQLITE_OK) {
        result = base_of(file)->pMethods->xRead(base_of(file), bytes, size, offset);
    }
    return done(handle->owner, action, result);
}

static int write_through(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    struct fault_handle *handle = handle_of(file);
    if (size == 0) {
        return SQLITE_OK;
    }
    int result = base_of(file)->pMethods->xWrite(base_of(file), bytes, size, offset);
    if (result == SQLITE_OK && handle->node != NULL) {
        fault_disk_write(handle->owner->disk, handle->node, bytes, (size_t)size, (uint64_t)offset);
    }
    return result;
}

static int file_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    struct fault_handle *handle = handle_of(file);
    enum fault_action action;
    int result = begin(handle->owner, FAULT_WRITE, handle->kind, SQLITE_IOERR_WRITE, &action);
    if (result == SQLITE_OK && action == FAULT_FULL) {
        /* The last free block takes a part of it, then nothing goes in any more. */
        int fits = handle->owner->count == handle->owner->plan.at ? size / 2 : 0;
        result = write_through(file, bytes, fits, offset);
        result = result == SQLITE_OK ? SQLITE_FULL : result;
    } else if (result == SQLITE_OK && action == FAULT_SHORT_WRITE) {
        result = write_through(file, bytes, size / 2, offset);
        result = result == SQLITE_OK ? SQLITE_IOERR_WRITE : result;
    } else if (result == SQLITE_OK) {
        result = write_through(file, bytes, size, offset);
    }
    return done(handle->owner, action, result);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_handle *handle = handle_of(file);
    enum fault_action action;
    int result = begin(handle->owner, FAULT_TRUNCATE, handle->kind, SQLITE_IOERR_TRUNCATE, &action);
    if (result == SQLITE_OK && action == FAULT_SHORT_WRITE) {
        result = SQLITE_IOERR_TRUNCATE;
    }
    if (result == SQLITE_OK) {
        result = base_of(file)->pMethods->xTruncate(base_of(file), size);
        if (result == SQLITE_OK && handle->node != NULL) {
            fault_disk_truncate(handle->owner->disk, handle->node, (uint64_t)size);
        }
    }
    return done(handle->owner, action, result);
}

/*
 * DATAONLY makes no difference: fdatasync(2), too, writes the metadata without which the data could not be
 * read again, as the size is.
 */
static int file_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    struct fault_handle *handle = handle_of(file);
    struct fault_vfs *vfs = handle->owner;
    if (vfs->options.sync_us > 0) {
        usleep(vfs->options.sync_us); /* before the lock: others may write meanwhile */
    }
    enum fault_action action;
    int result = begin(vfs, FAULT_SYNC, handle->kind, SQLITE_IOERR_FSYNC, &action);
    if (result == SQLITE_OK && (action == FAULT_SHORT_WRITE || action == FAULT_FULL)) {
        result = SQLITE_IOERR_FSYNC; /* with delayed allocation, a full disk may show as late as here */
    }
    if (handle->node != NULL && result == SQLITE_OK) {
        fault_disk_sync(vfs->disk, handle->node);
        if (handle->sync_directory) {
            fault_disk_sync_directory(vfs->disk, handle->path);
            handle->sync_directory = false;
        }
    } else if (handle->node != NULL && result == SQLITE_IOERR_FSYNC) {
        fault_disk_fail_sync(vfs->disk, handle->node, vfs->plan.seed);
    }
    return done(vfs, action, result);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct fault_handle *handle = handle_of(file);
    enum fault_action action;
    int result = begin(handle->owner, FAULT_SIZE, handle->kind, SQLITE_IOERR_FSTAT, &action);
    if (result == SQLITE_OK) {
        result = base_of(file)->pMethods->xFileSize(base_of(file), size);
    }
    return done(handle->owner, action, result);
}

static int file_lock(sqlite3_file *file, int level)
{
    return base_of(file)->pMethods->xLock(base_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return base_of(file)->pMethods->xUnlock(base_of(file), level);
}

static int file_check_reserved_lock(sqlite3_file *file, int *held)
{
    return base_of(file)->pMethods->xCheckReservedLock(base_of(file), held);
}

static int file_control(sqlite3_file *file, int what, void *argument)
{
    struct fault_handle *handle = handle_of(file);
    enum fault_action action;
    int result = begin(handle->owner, FAULT_CONTROL, handle->kind, SQLITE_IOERR, &action);
    /* A hint would let the default VFS grow the file, or map it, behind our back. */
    if (result == SQLITE_OK && what != SQLITE_FCNTL_SIZE_HINT && what != SQLITE_FCNTL_MMAP_SIZE &&
        what != SQLITE_FCNTL_CHUNK_SIZE) {
        result = base_of(file)->pMethods->xFileControl(base_of(file), what, argument);
    }
    return done(handle->owner, action, result);
}

static int file_sector_size(sqlite3_file *file)
{
    return base_of(file)->pMethods->xSectorSize(base_of(file));
}

static int file_device_characteristics(sqlite3_file *file)
{
    return base_of(file)->pMethods->xDeviceCharacteristics(base_of(file)) & SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int file_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **memory)
{
    struct fault_handle *handle = handle_of(file);
    enum fault_action action;
    int result = begin(handle->owner, FAULT_SHARE, handle->kind, SQLITE_IOERR_SHMMAP, &action);
    if (result == SQLITE_OK && action == FAULT_FULL && extend) {
        result = SQLITE_IOERR_SHMSIZE;
    }
    if (result == SQLITE_OK) {
        result = base_of(file)->pMethods->xShmMap(base_of(file), region, size, extend, memory);
    }
    return done(handle->owner, action, result);
}

static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return base_of(file)->pMethods->xShmLock(base_of(file), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    base_of(file)->pMethods->xShmBarrier(base_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete_it)
{
    return base_of(file)->pMethods->xShmUnmap(base_of(file), delete_it);
}

static const sqlite3_io_methods METHODS = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_device_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

/* ---- the VFS --------------------------------------------------------------------------------------- */

static unsigned kind_of(int flags)
{
    if (flags & SQLITE_OPEN_MAIN_DB) {
        return FAULT_DATABASE;
    }
    if (flags & SQLITE_OPEN_WAL) {
        return FAULT_WAL;
    }
    if (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL)) {
        return FAULT_JOURNAL;
    }
    return FAULT_TEMPORARY;
}

static int vfs_open(sqlite3_vfs *self, const char *path, sqlite3_file *file, int flags, int *opened)
{
    struct fault_vfs *vfs = vfs_of(self);
    struct fault_handle *handle = handle_of(file);
    memset(handle, 0, sizeof(*handle));
    handle->owner = vfs;
    handle->path = path;
    handle->kind = kind_of(flags);
    enum fault_action action;
    int result = begin(vfs, FAULT_OPEN, handle->kind, SQLITE_CANTOPEN, &action);
    if (result == SQLITE_OK && action == FAULT_FULL && (flags & SQLITE_OPEN_CREATE) &&
        (path == NULL || access(path, F_OK) != 0)) {
        result = SQLITE_CANTOPEN;
    }
    if (result == SQLITE_OK) {
        if (path != NULL && handle->kind != FAULT_TEMPORARY) {
            handle->node = fault_disk_open_file(vfs->disk, path);
            handle->sync_directory =
                (flags & SQLITE_OPEN_CREATE) && (handle->kind & (FAULT_WAL | FAULT_JOURNAL));
        }
        result = vfs->base->xOpen(vfs->base, path, base_of(file), flags, opened);
        if (result == SQLITE_OK) {
            file->pMethods = &METHODS;
        } else if (handle->node != NULL) {
            fault_disk_close_file(vfs->disk, handle->node);
        }
    }
    return done(vfs, action, result);
}

static int vfs_delete(sqlite3_vfs *self, const char *path, int sync_directory)
{
    struct fault_vfs *vfs = vfs_of(self);
    enum fault_action action;
    int result = begin(vfs, FAULT_DELETE, FAULT_WAL | FAULT_JOURNAL, SQLITE_IOERR_DELETE, &action);
    if (result == SQLITE_OK) {
        if (access(path, F_OK) == 0) {
            fault_disk_delete(vfs->disk, path);
        }
        result = vfs->base->xDelete(vfs->base, path, 0);
        if (result == SQLITE_OK && sync_directory) {
            fault_disk_sync_directory(vfs->disk, path);
        }
    }
    return done(vfs, action, result);
}

static int vfs_access(sqlite3_vfs *self, const char *path, int flags, int *result)
{
    return vfs_of(self)->base->xAccess(vfs_of(self)->base, path, flags, result);
}

static int vfs_full_pathname(sqlite3_vfs *self, const char *path, int size, char *full)
{
    return vfs_of(self)->base->xFullPathname(vfs_of(self)->base, path, size, full);
}

static int vfs_randomness(sqlite3_vfs *self, int size, char *bytes)
{
    return vfs_of(self)->base->xRandomness(vfs_of(self)->base, size, bytes);
}

static int vfs_sleep(sqlite3_vfs *self, int us)
{
    return vfs_of(self)->base->xSleep(vfs_of(self)->base, us);
}

static int vfs_current_time(sqlite3_vfs *self, double *now)
{
    return vfs_of(self)->base->xCurrentTime(vfs_of(self)->base, now);
}

static int vfs_current_time_ms(sqlite3_vfs *self, sqlite3_int64 *now)
{
    return vfs_of(self)->base->xCurrentTimeInt64(vfs_of(self)->base, now);
}

static int vfs_last_error(sqlite3_vfs *self, int size, char *text)
{
    return vfs_of(self)->base->xGetLastError(vfs_of(self)->base, size, text);
}

struct fault_vfs *fault_vfs_open(const struct fault_vfs_options *options)
{
    struct fault_vfs *vfs = cs_alloc(sizeof(*vfs));
    vfs->options = *options;
    vfs->base = sqlite3_vfs_find(NULL);
    assert(vfs->base != NULL && strcmp(vfs->base->zName, FAULT_VFS_NAME) != 0);
    pthread_mutex_init(&vfs->lock, NULL);
    vfs->disk = fault_disk_open();
    vfs->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct fault_handle) + vfs->base->szOsFile,
        .mxPathname = vfs->base->mxPathname,
        .zName = FAULT_VFS_NAME,
        .pAppData = vfs,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_current_time,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_current_time_ms,
    };
    int result = sqlite3_vfs_register(&vfs->vfs, 1);
    assert(result == SQLITE_OK);
    (void)result;
    return vfs;
}

void fault_vfs_close(struct fault_vfs *vfs)
{
    sqlite3_vfs_unregister(&vfs->vfs);
    fault_disk_close(vfs->disk);
    pthread_mutex_destroy(&vfs->lock);
    free(vfs);
}

void fault_vfs_set_plan(struct fault_vfs *vfs, const struct fault_plan *plan)
{
    pthread_mutex_lock(&vfs->lock);
    vfs->plan = *plan;
    vfs->count = 0;
    pthread_mutex_unlock(&vfs->lock);
}

uint64_t fault_vfs_count(struct fault_vfs *vfs)
{
    pthread_mutex_lock(&vfs->lock);
    uint64_t count = vfs->count;
    pthread_mutex_unlock(&vfs->lock);
    return count;
}

void fault_vfs_cut(struct fault_vfs *vfs, uint64_t seed)
{
    pthread_mutex_lock(&vfs->lock);
    cut_power(vfs, seed);
    pthread_mutex_unlock(&vfs->lock);
}

bool fault_vfs_was_cut(struct fault_vfs *vfs, struct fault_cut *cut)
{
    pthread_mutex_lock(&vfs->lock);
    bool was_cut = vfs->dead;
    *cut = vfs->cut;
    pthread_mutex_unlock(&vfs->lock);
    return was_cut;
}
