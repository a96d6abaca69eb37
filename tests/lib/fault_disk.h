/*
 * fault_disk: what a disk would hold after a power cut. Owns, per file, a copy of what was synced, and every
 * write and truncation since; per directory, the creations and deletions since. The real files are written
 * through by the caller, so that reads, locks and shared memory work as ever; only a cut touches them. One
 * thread at a time: the owner holds a lock. After a cut only fault_disk_close_file and fault_disk_close may
 * follow.
 */
#ifndef TESTS_LIB_FAULT_DISK_H
#define TESTS_LIB_FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_SECTOR_BYTES 512

struct fault_disk;
struct fault_node; /* a file, whatever its name */

struct fault_disk *fault_disk_open(void);
void fault_disk_close(struct fault_disk *disk);

/*
 * Call before the real file is opened: what is there already counts as synced. The directory entry of a new
 * file does not. Closing the last one forgets a file that has nothing unsynced.
 */
struct fault_node *fault_disk_open_file(struct fault_disk *disk, const char *path);
void fault_disk_close_file(struct fault_disk *disk, struct fault_node *node);

void fault_disk_write(struct fault_disk *disk, struct fault_node *node, const void *bytes, size_t size,
                      uint64_t offset);
void fault_disk_truncate(struct fault_disk *disk, struct fault_node *node, uint64_t size);
void fault_disk_sync(struct fault_disk *disk, struct fault_node *node);

/*
 * A sync that fails: Linux marks the pages clean all the same, so that no later fsync(2) brings to disk what
 * this one did not (fsync(2), "EIO"; the PostgreSQL wiki's "Fsync Errors"). By `seed`, some of it did get
 * there.
 */
void fault_disk_fail_sync(struct fault_disk *disk, struct fault_node *node, uint64_t seed);

/* Call before the real file is deleted. */
void fault_disk_delete(struct fault_disk *disk, const char *path);
/* The directory that `path` is in. */
void fault_disk_sync_directory(struct fault_disk *disk, const char *path);

/* What became of the unsynced writes, in pieces of at most a sector. */
struct fault_cut {
    uint64_t kept, dropped, torn, garbled, entries_lost;
    const char *style;
};

/*
 * The power goes. Each unsynced write, or each sector of it, is kept, dropped, torn or garbled, in order or
 * not; each unsynced directory entry is there or not. Never touched: what was synced, and bytes that nobody
 * wrote to (SQLite's "powersafe overwrite").
 */
void fault_disk_cut(struct fault_disk *disk, uint64_t seed, struct fault_cut *cut);

#endif
