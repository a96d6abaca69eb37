/*
 * nano_text: the text form of a Nano account, without the cryptography of its checksum: the firmware brings its own.
 * Pure: any thread, no heap.
 */
#ifndef COINSLOT_PAYMENT_NANO_TEXT_H
#define COINSLOT_PAYMENT_NANO_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#define NANO_KEY_BYTES      32
#define NANO_CHECKSUM_BYTES 5
#define NANO_TEXT_SIZE      66 /* "nano_", 60 characters, NUL */

/*
 * `nano_`, `xrb_`, `nano-` or `xrb-`, 52 characters of key and 8 of checksum, lower case. The checksum is as it stands in the text:
 * BLAKE2b-40 of the key, last byte first; whether it is right is the caller's to say. False when it is no such text.
 */
bool nano_text_decode(const char *text, uint8_t key[NANO_KEY_BYTES], uint8_t checksum[NANO_CHECKSUM_BYTES]);
void nano_text_encode(const uint8_t key[NANO_KEY_BYTES], const uint8_t checksum[NANO_CHECKSUM_BYTES],
                      char text[NANO_TEXT_SIZE]);

#endif
