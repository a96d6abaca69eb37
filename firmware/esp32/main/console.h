/*
 * console: the serial line, for whoever stands before the open machine: `status`, `provision`, `update`, `restart`, `wipe`. It asks for no
 * password: who has the line has the board. Secrets go in, and never come out.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_CONSOLE_H
#define COINSLOT_FIRMWARE_ESP32_CONSOLE_H

#include "core/core.h"
#include "plain/settings.h"

/* `missing`: why the meter does not run; NULL: it does. Borrowed for ever. */
void console_open(const char *missing);

/* Main task, now and then: what `status` tells. */
void console_publish(const struct core_report *report);

#endif
