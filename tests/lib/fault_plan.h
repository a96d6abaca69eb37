/*
 * fault_plan: which I/O call goes wrong, and how. A value type; its text form is what tests put into the
 * environment:
 *
 *     action=full calls=write,truncate files=wal at=17 lasting=1 seed=4
 *
 * Calls that match `calls` and `files` are counted from 1; the one with the number `at` is hit, with
 * `lasting` every one from there on.
 */
#ifndef TESTS_LIB_FAULT_PLAN_H
#define TESTS_LIB_FAULT_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum fault_action {
    FAULT_NONE,
    FAULT_FULL, /* ENOSPC: a part may be written, then SQLITE_FULL; opening a new file is SQLITE_CANTOPEN */
    FAULT_IO_ERROR, /* each call's own SQLITE_IOERR_…; a sync that fails loses what it was to bring to disk */
    FAULT_SHORT_WRITE, /* half is written, then SQLITE_IOERR_WRITE; other calls as FAULT_IO_ERROR */
    FAULT_KILL_BEFORE, /* SIGKILL to ourselves, before the call has done anything */
    FAULT_KILL_AFTER, /* … when it is done: after a sync of the WAL, that is between commit and answer, commit
                         and push */
    FAULT_CUT_BEFORE, /* the power goes */
    FAULT_CUT_AFTER,
};

enum fault_call {
    FAULT_OPEN = 1,
    FAULT_READ = 2,
    FAULT_WRITE = 4,
    FAULT_TRUNCATE = 8,
    FAULT_SYNC = 16,
    FAULT_SIZE = 32,
    FAULT_DELETE = 64,
    FAULT_CONTROL = 128,
    FAULT_SHARE = 256, /* the mapping of the WAL's shared memory */
};
#define FAULT_EVERY_CALL 511u

enum fault_file {
    FAULT_DATABASE = 1,
    FAULT_WAL = 2,
    FAULT_JOURNAL = 4,
    FAULT_TEMPORARY = 8,
};
#define FAULT_EVERY_FILE 15u

struct fault_plan {
    enum fault_action action;
    unsigned calls, files; /* of enum fault_call, enum fault_file */
    uint64_t at;           /* from 1; 0: never */
    bool lasting;
    uint64_t seed; /* of the cut, and of what a failed sync loses */
};

#define FAULT_PLAN_ERROR_SIZE 160

/* What is not named is: action=none, every call, every file, at=0, lasting=0, seed=1. False, with the reason
 * in `error`. */
bool fault_plan_parse(const char *text, struct fault_plan *plan, char error[FAULT_PLAN_ERROR_SIZE]);

#endif
