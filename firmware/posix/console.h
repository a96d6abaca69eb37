/*
 * console: standard output, for a program that may never wait for whoever reads it: a full pipe or a stopped terminal must not hold the
 * countdown up. What does not fit is kept, at most CONSOLE_KEPT bytes, and dropped whole beyond that. One thread.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_CONSOLE_H
#define COINSLOT_FIRMWARE_POSIX_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_KEPT (256 * 1024)

struct console {
    int file;
    bool is_own, is_socket;
    size_t first, length;
    unsigned long dropped; /* texts */
    char kept[CONSOLE_KEPT];
};

void console_init(struct console *console);
/* All of the text, now or later, or nothing of it. */
void console_put(struct console *console, const char *text, size_t length);
/* As much as goes without waiting; true: nothing is left. */
bool console_flush(struct console *console);
void console_fini(struct console *console); /* waits for a reader, but not for long */

#endif
