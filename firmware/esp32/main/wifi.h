/* wifi: a station that comes back, with growing delays, for as long as the power is on. */
#ifndef COINSLOT_FIRMWARE_ESP32_WIFI_H
#define COINSLOT_FIRMWARE_ESP32_WIFI_H

#include <stdbool.h>

void wifi_open(const char *ssid, const char *password);

/* Any task. */
bool wifi_is_up(void);
bool wifi_rssi(void *context, int *dbm);

#endif
