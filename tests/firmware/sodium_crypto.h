/* sodium_crypto: a core_crypto of libsodium and the relay's own check of Nano's signatures. `context` is the device's secret key, of 64 bytes. */
#ifndef TESTS_FIRMWARE_SODIUM_CRYPTO_H
#define TESTS_FIRMWARE_SODIUM_CRYPTO_H

#include "core/core.h"

extern const struct core_crypto SODIUM_CRYPTO;

#endif
