/*
 * settings: what a meter is given before it hangs on a wall: over the serial line, or by an image of its NVS. Everything is text under a
 * name of at most 15 letters, in both ways the same; README.md names them all. Pure.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_SETTINGS_H
#define COINSLOT_FIRMWARE_ESP32_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

#define SETTINGS_NAMESPACE  "coinslot" /* in the NVS partition "nvs" */
#define SETTINGS_VALUE_SIZE 3072       /* the longest value, with its NUL: a certificate */

struct settings {
    char wifi_ssid[33];     /* IEEE 802.11: 32 bytes */
    char wifi_password[65]; /* 63, or 64 digits */
    char relay[160];
    char update_url[256]; /* "": never looks for one */
    char ca[SETTINGS_VALUE_SIZE];
    bool has_secret;
    uint8_t secret[CORE_KEY_SIZE]; /* the seed of the device's Ed25519 key */
    struct core_identity identity; /* but for `device_key`, which follows from `secret`, and `firmware` */
};

void settings_clear(struct settings *settings);

/* The names, in order; NULL after the last one. */
const char *settings_name(size_t index);
bool settings_is_secret(const char *name); /* is never printed */

/* NULL when it was taken; else what is wrong with it, for people. */
const char *settings_put(struct settings *settings, const struct core_crypto *crypto, const char *name,
                         const char *value);

/* NULL when a meter can run with them; else what is missing or does not go together. */
const char *settings_missing(const struct settings *settings);

/* "name=value", as it is typed: the value in `value`. False when it is no such thing, or no name that there is. */
bool settings_split(const char *text, char name[16], const char **value);

#endif
