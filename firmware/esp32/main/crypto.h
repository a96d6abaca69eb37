/* crypto: libsodium for the core, and the chip's random numbers. Any task may call, after crypto_open. */
#ifndef COINSLOT_FIRMWARE_ESP32_CRYPTO_H
#define COINSLOT_FIRMWARE_ESP32_CRYPTO_H

#include <stdint.h>

#include "core/core.h"

void crypto_open(void);
void crypto_set_secret(const uint8_t seed[CORE_KEY_SIZE], uint8_t public_key[CORE_KEY_SIZE]);
const struct core_crypto *crypto_port(void);

/* True random numbers only while the radio is on: call wifi_open first (ESP-IDF, "Random Number Generation"). */
void crypto_random(void *context, uint8_t *bytes, size_t count);

#endif
