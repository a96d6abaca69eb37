#include "posix/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *slot_name(enum core_slot slot)
{
    switch (slot) {
    case CORE_SLOT_RECORD_A:
        return "record-a";
    case CORE_SLOT_RECORD_B:
        return "record-b";
    case CORE_SLOT_MARK_A:
        return "mark-a";
    case CORE_SLOT_MARK_B:
        return "mark-b";
    }
    return "?";
}

/* ---- the folder ------------------------------------------------------------------------------------------------------ */

static enum cs_err open_folder(struct slots *slots, const char *path, char error[SLOTS_ERROR_SIZE])
{
    slots->lock = -1;
    slots->why = 0;
    snprintf(slots->path, sizeof(slots->path), "%s", path);
    slots->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slots->folder < 0) {
        snprintf(error, SLOTS_ERROR_SIZE, "cannot open the state folder %s: %s", path, strerror(errno));
        return CS_EIO;
    }
    return CS_OK;
}

static enum cs_err lock_folder(struct slots *slots, char error[SLOTS_ERROR_SIZE])
{
    slots->lock = openat(slots->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (slots->lock >= 0 && flock(slots->lock, LOCK_EX | LOCK_NB) == 0) {
        return CS_OK;
    }
    if (slots->lock >= 0 && errno == EWOULDBLOCK) {
        snprintf(error, SLOTS_ERROR_SIZE,
                 "another meter runs with the state folder %s: end it, or give this one a folder of its own",
                 slots->path);
        return CS_EBUSY;
    }
    snprintf(error, SLOTS_ERROR_SIZE, "cannot lock the state folder %s: %s", slots->path, strerror(errno));
    return CS_EIO;
}

/* The folder's own name is on the disk, too, before anything in it counts. */
static bool sync_parent(const char *path)
{
    char parent[256];
    snprintf(parent, sizeof(parent), "%s/..", path);
    int folder = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0) {
        close(folder);
    }
    return synced;
}

enum cs_err slots_open(struct slots *slots, const char *path, char error[SLOTS_ERROR_SIZE])
{
    if (mkdir(path, 0700) == 0) {
        if (!sync_parent(path)) {
            snprintf(error, SLOTS_ERROR_SIZE, "cannot sync the folder of %s: %s", path, strerror(errno));
            return CS_EIO;
        }
    } else if (errno != EEXIST) {
        snprintf(error, SLOTS_ERROR_SIZE, "cannot make the state folder %s: %s", path, strerror(errno));
        return CS_EIO;
    }
    enum cs_err err = open_folder(slots, path, error);
    if (err != CS_OK) {
        return err;
    }
    err = lock_folder(slots, error);
    if (err != CS_OK) {
        slots_close(slots);
    }
    return err;
}

enum cs_err slots_open_to_look(struct slots *slots, const char *path, char error[SLOTS_ERROR_SIZE])
{
    return open_folder(slots, path, error);
}

void slots_close(struct slots *slots)
{
    if (slots->lock >= 0) {
        close(slots->lock);
    }
    if (slots->folder >= 0) {
        close(slots->folder);
    }
    slots->lock = slots->folder = -1;
}

/* ---- slots ----------------------------------------------------------------------------------------------------------- */

size_t slots_load(struct slots *slots, enum core_slot slot, uint8_t *bytes, size_t size)
{
    int file = openat(slots->folder, slot_name(slot), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    size_t length = 0;
    if (file < 0) {
        return 0;
    }
    while (length < size) {
        ssize_t count = read(file, bytes + length, size - length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            length = 0; /* half of it is none */
        }
        if (count <= 0) {
            break;
        }
        length += (size_t)count;
    }
    close(file);
    return length;
}

static bool write_all(int file, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(file, bytes, length);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

static bool write_synced(int folder, const char *name, const uint8_t *bytes, size_t length)
{
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return false;
    }
    bool written = write_all(file, bytes, length) && fsync(file) == 0;
    int why = errno;
    bool closed = close(file) == 0;
    errno = written ? errno : why;
    return written && closed;
}

bool slots_save(struct slots *slots, enum core_slot slot, const uint8_t *bytes, size_t length)
{
    char fresh[32];
    const char *name = slot_name(slot);
    if (slots->lock < 0) {
        slots->why = EROFS;
        return false;
    }
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    if (write_synced(slots->folder, fresh, bytes, length) &&
        renameat(slots->folder, fresh, slots->folder, name) == 0 && fsync(slots->folder) == 0) {
        return true;
    }
    slots->why = errno;
    (void)unlinkat(slots->folder, fresh, 0); /* on a full disk, what was written of it has to go */
    return false;
}
