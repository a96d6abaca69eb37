/*
 * store: when the record and its marks are written, so that a power cut at any instant costs at most CORE_SPAN_MS of paid time, and no second
 * runs twice: what is about to run is first taken off what is stored.
 */
#ifndef COINSLOT_FIRMWARE_CORE_STORE_H
#define COINSLOT_FIRMWARE_CORE_STORE_H

#include "core/core_struct.h"

/* Reads the newest record and its mark; an empty memory where there is none. True: something was there. */
bool core_store_load(struct core *core);

/*
 * Writes the memory as it is now, into the slot that does not hold the record in force. `credit_ms` has been added to it since; the span that
 * runs next is taken off in the same write. False: it could not be written; memory and credit are what the store says now.
 */
bool core_store_save(struct core *core, uint64_t credit_ms);

/* Before and while the machine runs: sees to it that what runs until the next tick is taken off what is stored. */
void core_store_book(struct core *core);

#endif
