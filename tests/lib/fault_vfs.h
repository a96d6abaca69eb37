/*
 * fault_vfs: an SQLite VFS over the default one, through which the power can be cut, and any I/O call fail.
 * For tests only.
 *
 * Owns one fault_disk. Any thread: one lock is held during each call that reads, writes or syncs. Syncs are
 * kept in the books and not made for real, so that a thousand cuts cost seconds. Locks and shared memory are
 * the default VFS's, files are not mapped into memory.
 */
#ifndef TESTS_LIB_FAULT_VFS_H
#define TESTS_LIB_FAULT_VFS_H

#include "lib/fault_disk.h"
#include "lib/fault_plan.h"

#define FAULT_VFS_NAME "fault"

struct fault_vfs;

struct fault_vfs_options {
    /*
     * What a cut ends in. 0: the process lives on and every later call fails with SQLITE_IOERR, so that
     * connections can be closed. Else _exit with this code, before any other thread can write, sync or answer
     * for a later sync.
     */
    int exit_code;
    unsigned sync_us; /* how long a sync takes */
};

/* Registers the VFS, as the default one. */
struct fault_vfs *fault_vfs_open(const struct fault_vfs_options *options);
/* Every connection must be closed. */
void fault_vfs_close(struct fault_vfs *vfs);

/* From now on; counting starts at 1 again. */
void fault_vfs_set_plan(struct fault_vfs *vfs, const struct fault_plan *plan);
/* How many calls have matched the plan. */
uint64_t fault_vfs_count(struct fault_vfs *vfs);

/* The power goes now. */
void fault_vfs_cut(struct fault_vfs *vfs, uint64_t seed);
/* True once it has gone; what became of the writes. */
bool fault_vfs_was_cut(struct fault_vfs *vfs, struct fault_cut *cut);

#endif
