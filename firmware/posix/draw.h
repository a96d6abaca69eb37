/* draw: a screen as rows of a terminal, with colours, a QR code in half blocks and a countdown that can be read from a car. Pure. */
#ifndef COINSLOT_FIRMWARE_POSIX_DRAW_H
#define COINSLOT_FIRMWARE_POSIX_DRAW_H

#include <stdio.h>

#include "core/core.h"

/* At most `rows` rows of at most `columns`, each ended by `end`; `foot` goes below, where there is room. */
void draw_screen(FILE *out, const struct core_screen *screen, const char *foot, unsigned columns,
                 unsigned rows, const char *end);
const char *draw_kind(enum core_screen_kind kind); /* "prices" */

#endif
