/*
 * counts: what went in and out of the make-believe node. A value type: one thread at a time.
 */
#ifndef COINSLOT_SIMULATE_COUNTS_H
#define COINSLOT_SIMULATE_COUNTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct counts {
    uint64_t calls;
    json_t *calls_by_action;
    uint64_t *recent_ns; /* when the calls of the last second came */
    size_t recent_count, recent_room;
    size_t calls_most_in_1_s;
    uint64_t callbacks_made, callbacks_accepted, callbacks_lost;
    uint64_t ws_opened, ws_refused, ws_messages, ws_lost;
};

void counts_fini(struct counts *counts);

/* `action` "" where it could not be read. */
void counts_add_call(struct counts *counts, const char *action);

/* As texts, into an object. */
void counts_print(const struct counts *counts, json_t *object);

#endif
