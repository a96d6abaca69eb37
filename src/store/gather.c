#include "store/gather.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define VFS_NAME "coinslot-gather"
#define BYTES_MOST                                                                                           \
    (96                                                                                                      \
     << 10) /* more is written in parts: SQLite's own VFS takes less than 128 kB (os_unix.c, seekAndWriteFd) */

/* As SQLite sees it: `methods` first. Behind it is the file of the default VFS. */
struct gathered_file {
    sqlite3_file file;
    sqlite3_file *base;
    char *bytes; /* BYTES_MOST of them */
    int length;
    sqlite3_int64 offset; /* where they belong */
};

static struct gathered_file *gathered(sqlite3_file *file)
{
    return (struct gathered_file *)file;
}

/* What could not be written stays: SQLite ends the transaction, and the next write begins anew. */
static int write_out(struct gathered_file *wal)
{
    if (wal->length == 0) {
        return SQLITE_OK;
    }
    int length = wal->length;
    wal->length = 0;
    return wal->base->pMethods->xWrite(wal->base, wal->bytes, length, wal->offset);
}

static int wal_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 offset)
{
    struct gathered_file *wal = gathered(file);
    if (wal->length > 0 && (offset != wal->offset + wal->length || length > BYTES_MOST - wal->length)) {
        int result = write_out(wal);
        if (result != SQLITE_OK) {
            return result;
        }
    }
    if (length > BYTES_MOST) {
        return wal->base->pMethods->xWrite(wal->base, bytes, length, offset);
    }
    if (wal->length == 0) {
        wal->offset = offset;
    }
    memcpy(wal->bytes + wal->length, bytes, (size_t)length);
    wal->length += length;
    return SQLITE_OK;
}

static int wal_sync(sqlite3_file *file, int flags)
{
    struct gathered_file *wal = gathered(file);
    int result = write_out(wal);
    return result != SQLITE_OK ? result : wal->base->pMethods->xSync(wal->base, flags);
}

static int wal_read(sqlite3_file *file, void *bytes, int length, sqlite3_int64 offset)
{
    struct gathered_file *wal = gathered(file);
    int result = write_out(wal);
    return result != SQLITE_OK ? result : wal->base->pMethods->xRead(wal->base, bytes, length, offset);
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct gathered_file *wal = gathered(file);
    int result = write_out(wal);
    return result != SQLITE_OK ? result : wal->base->pMethods->xTruncate(wal->base, size);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct gathered_file *wal = gathered(file);
    int result = write_out(wal);
    return result != SQLITE_OK ? result : wal->base->pMethods->xFileSize(wal->base, size);
}

/* What was not synced belongs to a transaction that did not end. */
static int wal_close(sqlite3_file *file)
{
    struct gathered_file *wal = gathered(file);
    free(wal->bytes);
    return wal->base->pMethods->xClose(wal->base);
}

static int wal_lock(sqlite3_file *file, int level)
{
    return gathered(file)->base->pMethods->xLock(gathered(file)->base, level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
    return gathered(file)->base->pMethods->xUnlock(gathered(file)->base, level);
}

static int wal_check_reserved_lock(sqlite3_file *file, int *reserved)
{
    return gathered(file)->base->pMethods->xCheckReservedLock(gathered(file)->base, reserved);
}

static int wal_control(sqlite3_file *file, int operation, void *argument)
{
    return gathered(file)->base->pMethods->xFileControl(gathered(file)->base, operation, argument);
}

static int wal_sector_size(sqlite3_file *file)
{
    return gathered(file)->base->pMethods->xSectorSize(gathered(file)->base);
}

static int wal_characteristics(sqlite3_file *file)
{
    return gathered(file)->base->pMethods->xDeviceCharacteristics(gathered(file)->base);
}

/* Version 1: shared memory and mappings are the database file's. */
static const sqlite3_io_methods WAL_METHODS = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_check_reserved_lock,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector_size,
    .xDeviceCharacteristics = wal_characteristics,
};

struct gather_vfs {
    sqlite3_vfs vfs; /* first: a copy of the base, which its other functions take for it */
    sqlite3_vfs *base;
};

static int open_file(sqlite3_vfs *self, const char *path, sqlite3_file *file, int flags, int *opened)
{
    sqlite3_vfs *base = ((struct gather_vfs *)self)->base;
    if ((flags & SQLITE_OPEN_WAL) == 0) {
        return base->xOpen(base, path, file, flags, opened);
    }
    struct gathered_file *wal = gathered(file);
    *wal = (struct gathered_file){.base = (sqlite3_file *)(wal + 1)};
    int result = base->xOpen(base, path, wal->base, flags, opened);
    if (result == SQLITE_OK) {
        wal->bytes = cs_alloc(BYTES_MOST);
        wal->file.pMethods = &WAL_METHODS;
    }
    return result;
}

const char *gather_vfs(void)
{
    static struct gather_vfs
        gather; /* SQLite's list of VFSs is the process's, and wants it to stay where it is */
    sqlite3_mutex *lock = sqlite3_mutex_alloc(SQLITE_MUTEX_STATIC_VFS1);
    sqlite3_mutex_enter(lock);
    sqlite3_vfs *base = sqlite3_vfs_find(NULL);
    if (base != NULL && base != gather.base) { /* the first time; and in tests, which have several */
        sqlite3_vfs_unregister(&gather.vfs);
        gather.base = base;
        gather.vfs = *base;
        gather.vfs.pNext = NULL;
        gather.vfs.zName = VFS_NAME;
        gather.vfs.szOsFile = (int)sizeof(struct gathered_file) + base->szOsFile;
        gather.vfs.xOpen = open_file;
        if (sqlite3_vfs_register(&gather.vfs, 0) != SQLITE_OK) {
            base = NULL;
        }
    }
    sqlite3_mutex_leave(lock);
    return base != NULL ? VFS_NAME : NULL;
}
