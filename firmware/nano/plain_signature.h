/*
 * plain_signature: the node's rule for a block's signature, by libsodium alone, straight from its equation: what block_signature_valid is
 * compared with, and what meters use that have no other library. 1.4 times as slow.
 */
#ifndef COINSLOT_FIRMWARE_NANO_PLAIN_SIGNATURE_H
#define COINSLOT_FIRMWARE_NANO_PLAIN_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

bool plain_signature_valid(const uint8_t hash[32], const uint8_t signature[64], const uint8_t key[32]);

#endif
