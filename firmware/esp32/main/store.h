/*
 * store: NVS. The settings are in the partition "nvs", which an image from outside may replace; what the meter remembers is in a partition
 * of its own, "meter", whose size is made for ten years of writing: README.md, "Flash". Slots are the main task's; settings are too, until the
 * console is open, and then the console's.
 * After a crash: NVS replaces a value as a whole, or leaves the old one.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_STORE_H
#define COINSLOT_FIRMWARE_ESP32_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "plain/settings.h"

/* The partitions. Where "meter" cannot be opened, slots load as empty and saves fail: the meter says so, and nothing is erased. */
void store_open(void);

/* What is missing or wrong is logged by name, and left out. */
void store_read_settings(struct settings *settings, const struct core_crypto *crypto);
bool store_write_setting(const char *name, const char *value);
bool store_has_setting(const char *name);

size_t store_load(void *context, enum core_slot slot, uint8_t *bytes, size_t size);
bool store_save(void *context, enum core_slot slot, const uint8_t *bytes, size_t length);

/* Everything, settings and memory; then nothing but a restart may follow. */
void store_wipe(void);

#endif
