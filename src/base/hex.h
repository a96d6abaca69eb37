/*
 * hex: bytes as text. Any thread.
 */
#ifndef COINSLOT_BASE_HEX_H
#define COINSLOT_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * count digits and a NUL. Upper case is how Nano prints hashes. */
void hex_encode_upper(const uint8_t *bytes, size_t count, char *text);
void hex_encode_lower(const uint8_t *bytes, size_t count, char *text);

/* True only when `text` is exactly 2 * count digits, of either case; else `bytes` is unspecified. */
bool hex_decode(const char *text, uint8_t *bytes, size_t count);

#endif
