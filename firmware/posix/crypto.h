/* crypto: what the core needs of cryptography, by libsodium. One thread; the secret key lies in locked memory. */
#ifndef COINSLOT_FIRMWARE_POSIX_CRYPTO_H
#define COINSLOT_FIRMWARE_POSIX_CRYPTO_H

#include "core/core.h"

#define CRYPTO_SEED_SIZE 32

struct crypto; /* holds the device's secret key */

/* `seed` NULL: a session by token, which signs nothing. */
struct crypto *crypto_open(const uint8_t seed[CRYPTO_SEED_SIZE]);
void crypto_close(struct crypto *crypto);

struct core_crypto crypto_port(struct crypto *crypto);
void crypto_public_key(const struct crypto *crypto, uint8_t key[CORE_KEY_SIZE]);

#endif
