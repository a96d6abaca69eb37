/*
 * meter: the core with its ports, on one loop and one thread. What it promises after a crash is the core's (firmware/core/core.h), and the
 * pin's: off.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_METER_H
#define COINSLOT_FIRMWARE_POSIX_METER_H

#include "posix/settings.h"

/* Until SIGTERM or SIGINT. The exit code. */
int meter_run(const struct settings *settings);
/* Prints what the meter remembers, as JSON. The exit code. */
int meter_show(const struct settings *settings);

#endif
