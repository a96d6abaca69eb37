/* screen: what people see, in which words. Pure. */
#ifndef COINSLOT_FIRMWARE_CORE_SCREEN_H
#define COINSLOT_FIRMWARE_CORE_SCREEN_H

#include "core/core_struct.h"

void core_screen_make(const struct core *core, struct core_screen *screen);
/* Whether the screen, as it is now, lets people pay. */
bool core_screen_takes_payments(const struct core *core);

/* "10 min", "1 h 30 min", "45 s"; the two largest units, rounded down. At most 12 characters. */
#define SCREEN_DURATION_SIZE 24
void core_screen_duration(uint32_t seconds, char text[SCREEN_DURATION_SIZE]);
/* "10:00", "1:30:00". */
void core_screen_countdown(uint32_t seconds, char text[SCREEN_DURATION_SIZE]);
/* In nano, with at most 6 decimals, rounded up: what is asked for is never too little. At most 16 characters. */
void core_screen_amount(struct amount amount, char text[AMOUNT_NANO_SIZE]);

#endif
