/* display: an SSD1306 of 128 x 64 on I2C. A meter without one, or with a broken one, does all the rest. One task: main's. */
#ifndef COINSLOT_FIRMWARE_ESP32_DISPLAY_H
#define COINSLOT_FIRMWARE_ESP32_DISPLAY_H

#include "core/core.h"

void display_open(void);
void display_show(void *context, const struct core_screen *screen);

/* For what the core does not say: lines of at most CORE_SCREEN_COLUMNS letters; NULL: no more. */
void display_say(const char *first, const char *second, const char *third);

#endif
