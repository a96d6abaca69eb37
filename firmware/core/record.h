/*
 * record: core_memory as bytes, and back. docs/firmware.md has the layout. Pure.
 *
 * The last 8 bytes are BLAKE2b-64 of all before them, keyed with the device's id: a write that was cut short, or what another device wrote, is
 * not taken for a record.
 */
#ifndef COINSLOT_FIRMWARE_CORE_RECORD_H
#define COINSLOT_FIRMWARE_CORE_RECORD_H

#include "core/core_struct.h"

#define RECORD_CHECK_SIZE 8

size_t core_record_encode(const struct core_memory *memory, const struct core_crypto *crypto,
                          const char *device, uint32_t generation, uint8_t bytes[CORE_RECORD_SIZE]);

/* Whether it is a record of this device, by its checksum. */
bool core_record_is_whole(const struct core_crypto *crypto, const char *device, const uint8_t *bytes,
                          size_t length, uint32_t *generation);
/* Of a whole one. False when it is of another version of the layout, or says what cannot be: then `memory` is empty. */
bool core_record_decode(struct core_memory *memory, const uint8_t *bytes, size_t length);

/* A mark: how much of the credit of the record with that checksum is left. */
void core_mark_encode(const struct core_crypto *crypto, const uint8_t record_check[RECORD_CHECK_SIZE],
                      uint64_t stored_ms, uint8_t bytes[CORE_MARK_SIZE]);
bool core_mark_decode(const struct core_crypto *crypto, const uint8_t record_check[RECORD_CHECK_SIZE],
                      const uint8_t *bytes, size_t length, uint64_t *stored_ms);

#endif
