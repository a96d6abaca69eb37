/*
 * slots: the core's store as files in a folder of its own, which one meter at a time holds. One thread.
 * A slot is replaced whole: written beside it, synced, renamed, and the folder synced. After a power cut it is the old one or the new one.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_SLOTS_H
#define COINSLOT_FIRMWARE_POSIX_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/core.h"

#define SLOTS_ERROR_SIZE 400

struct slots {
    int folder;
    int lock; /* -1: only for looking; nothing is saved */
    int why;  /* errno of the last save that failed */
    char path[256];
};

/* Makes the folder when it is missing. CS_EBUSY: another meter holds it; `error` says what is wrong and what to do. */
CS_MUST_CHECK enum cs_err slots_open(struct slots *slots, const char *path, char error[SLOTS_ERROR_SIZE]);
/* The same without the lock and without making anything, beside a meter that runs. */
CS_MUST_CHECK enum cs_err slots_open_to_look(struct slots *slots, const char *path,
                                             char error[SLOTS_ERROR_SIZE]);
void slots_close(struct slots *slots);

/* As struct core_port wants them. */
size_t slots_load(struct slots *slots, enum core_slot slot, uint8_t *bytes, size_t size);
bool slots_save(struct slots *slots, enum core_slot slot, const uint8_t *bytes, size_t length);

#endif
