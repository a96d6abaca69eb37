/*
 * clock: the two clocks. Any thread.
 * Wall time is UTC milliseconds since 1970 and may jump; monotonic time is for intervals only.
 */
#ifndef COINSLOT_BASE_CLOCK_H
#define COINSLOT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CLOCK_TEXT_SIZE 25 /* "2026-11-20T17:03:00.123Z" and its NUL */

int64_t clock_wall_ms(void);
uint64_t clock_monotonic_ns(void);

/* RFC 3339, UTC, with milliseconds. Years 0000 to 9999; what lies outside is clamped. */
void clock_format_ms(int64_t wall_ms, char text[CLOCK_TEXT_SIZE]);

/* RFC 3339 with any offset and up to nanoseconds (cut to ms), or a plain decimal of milliseconds. 0, or -1
 * when it is neither. */
int clock_parse_ms(const char *text, int64_t *wall_ms);

#endif
