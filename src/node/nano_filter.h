/*
 * nano_filter: the accounts that one node is to tell us of, and what of that it has been told.
 * Pure: one thread at a time, no I/O. Some 70 bytes an account at 100,000.
 */
#ifndef COINSLOT_NODE_NANO_FILTER_H
#define COINSLOT_NODE_NANO_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nano_filter;

struct nano_filter *nano_filter_open(void);
void nano_filter_close(struct nano_filter *filter);

/* Once in and once out: a second `added` of an account, or the removal of one that is not there, changes nothing. */
void nano_filter_watch(struct nano_filter *filter, const uint8_t account[32], bool added);

size_t nano_filter_count(const struct nano_filter *filter);   /* accounts that are watched */
size_t nano_filter_waiting(const struct nano_filter *filter); /* changes to tell, at most */

/* The node knows nothing any more: all that is watched waits to be told. */
void nano_filter_forget(struct nano_filter *filter);

/* What to tell next. Once taken it counts as told. */
struct nano_filter_changes {
    uint8_t (*add)[32], (*remove)[32];
    size_t add_count, remove_count;
};
/* At most `most` changes, oldest first; free with nano_filter_drop. */
void nano_filter_take(struct nano_filter *filter, size_t most, struct nano_filter_changes *changes);
/* All that is watched, as additions, whatever the node was told before. */
void nano_filter_take_all(struct nano_filter *filter, struct nano_filter_changes *changes);
void nano_filter_drop(struct nano_filter_changes *changes);

#endif
