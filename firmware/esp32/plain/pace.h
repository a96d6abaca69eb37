/*
 * pace: when to try again, when to look for an update, and whether one is kept. Pure.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_PACE_H
#define COINSLOT_FIRMWARE_ESP32_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_RETRY_MS      500u /* the first delay before WiFi is tried again; it doubles */
#define PACE_RETRY_MOST_MS 30000u
#define PACE_UPDATE_MS     (24 * 3600 * 1000ull) /* between two looks for an update */
#define PACE_UPDATE_AT_MS  (3600 * 1000ull)      /* the first one, after power-up */
#define PACE_TRIAL_MS      (10 * 60 * 1000ull)   /* a new firmware has so long to reach the relay */

uint32_t pace_retry_ms(unsigned failures); /* in a row; 0: at once */

/* Times since power-up. `looked_ms`: of the last look; 0: there was none. */
bool pace_update_due(uint64_t up_ms, uint64_t looked_ms);

/*
 * A new firmware is on trial until it has spoken with the relay. What never does goes back to the one before, but never while the
 * machine runs on somebody's money.
 */
enum pace_trial { PACE_TRIAL_WAITS, PACE_TRIAL_KEEP, PACE_TRIAL_GO_BACK };
enum pace_trial pace_trial(bool in_session, bool machine_on, uint64_t up_ms);

#endif
