/*
 * actuator: the pin that runs the machine. It is off from the first line of app_main, and while the firmware panics, restarts or hangs;
 * while the chip itself is in reset the pin floats, and the resistor on the board decides: README.md, "Wiring". Any task may call.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_ACTUATOR_H
#define COINSLOT_FIRMWARE_ESP32_ACTUATOR_H

#include <stdbool.h>

void actuator_open(void);
void actuator_set(bool on);

#endif
