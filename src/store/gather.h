/*
 * gather: SQLite's default VFS, but for the write-ahead log, whose pages it gathers into one write. SQLite writes a commit in two pieces a page,
 * and a lone payment's eight pages take sixteen calls, as long as all of its SQL.
 * For the one connection that writes, with synchronous = FULL: then SQLite syncs what it wrote before it tells others of it, and by that
 * sync at the latest all of it is written. What a power cut leaves is a part of the same bytes, in the same order.
 */
#ifndef COINSLOT_STORE_GATHER_H
#define COINSLOT_STORE_GATHER_H

/* The VFS's name, for sqlite3_open_v2; registered by the first call. Any thread. NULL: there is no default VFS. */
const char *gather_vfs(void);

#endif
