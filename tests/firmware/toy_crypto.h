/*
 * toy_crypto: a core_crypto with a real BLAKE2b and make-believe curves, which runs anywhere. A signature is a hash keyed with the public key: it
 * fails whenever a byte or a key is another one, and that is all that the tests that use it ask of it.
 */
#ifndef TESTS_FIRMWARE_TOY_CRYPTO_H
#define TESTS_FIRMWARE_TOY_CRYPTO_H

#include "core/core.h"

/* `context` of it is the device's public key. */
extern const struct core_crypto TOY_CRYPTO;

void toy_sign(const uint8_t key[32], const uint8_t *message, size_t length, uint8_t signature[64]);
void toy_public(const uint8_t secret[32], uint8_t public_key[32]);
bool toy_shared(const uint8_t secret[32], const uint8_t other[32], uint8_t shared[32]);
void toy_hash(const void *bytes, size_t length, uint8_t *out, size_t out_length);

#endif
