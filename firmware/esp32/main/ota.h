/*
 * ota: updates over HTTPS into the other one of two partitions. Looks once a day where `update_url` is set, and when asked; takes whatever
 * is of this project and has another version. A new firmware that does not reach the relay goes back to the one before (plain/pace.h).
 */
#ifndef COINSLOT_FIRMWARE_ESP32_OTA_H
#define COINSLOT_FIRMWARE_ESP32_OTA_H

#include <stdbool.h>

/* Both are borrowed for ever. "": never looks. */
void ota_open(const char *update_url, const char *ca);

/* Any task. False: there is nothing to look at, or it looks already. */
bool ota_look(void);

/* Main task, at each turn. True: an update is in place, and a restart would begin it. */
bool ota_turn(bool in_session, bool machine_on);

#endif
