/*
 * maintain: what is done to a store from the command line: backup, check, migrate.
 * One thread; no relay needs to run, and backup and check may run beside one.
 */
#ifndef COINSLOT_STORE_MAINTAIN_H
#define COINSLOT_STORE_MAINTAIN_H

#include <stdio.h>

#include "store/store.h"

/* An online copy of DIR/coinslot.db in `file` and of the key in `file`.key, both 0600, synced. `file` must not exist. */
CS_MUST_CHECK enum cs_err maintain_backup(const char *dir, const char *file, char error[STORE_ERROR_SIZE]);

/*
 * quick_check, or the full integrity_check, then the promises: no hole in a device's seq, no delivery without its payment, cursors that
 * fit, no payment twice, states that fit their times. Findings go to `out`, a line each. CS_EINVAL when there are any.
 */
CS_MUST_CHECK enum cs_err maintain_check(const char *dir, bool full, FILE *out, char error[STORE_ERROR_SIZE]);

/* Brings DIR to the newest version; needs the lock. The names of the migrations that ran go to `out`. */
CS_MUST_CHECK enum cs_err maintain_migrate(const char *dir, FILE *out, char error[STORE_ERROR_SIZE]);

#endif
