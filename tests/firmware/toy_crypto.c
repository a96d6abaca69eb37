#include "firmware/toy_crypto.h"

#include <string.h>

#include "firmware/blake2b.h"

#define GENERATOR 0x9e3779b97f4a7c15u

static void toy_blake2b(void *context, const struct core_bytes *parts, size_t count, const uint8_t *key,
                        size_t key_length, uint8_t *out, size_t out_length)
{
    struct blake2b state;
    (void)context;
    blake2b_init(&state, key, key_length, out_length);
    for (size_t i = 0; i < count; i++) {
        blake2b_add(&state, parts[i].bytes, parts[i].length);
    }
    blake2b_end(&state, out);
}

void toy_hash(const void *bytes, size_t length, uint8_t *out, size_t out_length)
{
    const struct core_bytes part = {bytes, length};
    toy_blake2b(NULL, &part, 1, NULL, 0, out, out_length);
}

void toy_sign(const uint8_t key[32], const uint8_t *message, size_t length, uint8_t signature[64])
{
    const struct core_bytes part = {message, length};
    toy_blake2b(NULL, &part, 1, key, 32, signature, 64);
}

static void toy_sign_as_device(void *context, const uint8_t *message, size_t length, uint8_t signature[64])
{
    toy_sign(context, message, length, signature);
}

static bool toy_verify(void *context, const uint8_t signature[64], const uint8_t *message, size_t length,
                       const uint8_t key[32])
{
    uint8_t expected[64];
    (void)context;
    toy_sign(key, message, length, expected);
    return memcmp(expected, signature, sizeof(expected)) == 0;
}

/* Secret times generator, modulo 2^64: what both multiply comes out alike. */
static void times(const uint8_t a[32], const uint8_t b[32], uint8_t product[32])
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    x *= y;
    memset(product, 0, 32);
    memcpy(product, &x, sizeof(x));
}

void toy_public(const uint8_t secret[32], uint8_t public_key[32])
{
    uint8_t generator[32] = {0};
    uint64_t value = GENERATOR;
    memcpy(generator, &value, sizeof(value));
    times(secret, generator, public_key);
}

bool toy_shared(const uint8_t secret[32], const uint8_t other[32], uint8_t shared[32])
{
    static const uint8_t ZERO[32];
    times(secret, other, shared);
    return memcmp(shared, ZERO, sizeof(ZERO)) != 0;
}

static void toy_exchange_public(void *context, const uint8_t secret[32], uint8_t public_key[32])
{
    (void)context;
    toy_public(secret, public_key);
}

static bool toy_exchange(void *context, const uint8_t secret[32], const uint8_t other[32], uint8_t shared[32])
{
    (void)context;
    return toy_shared(secret, other, shared);
}

static bool toy_nano_verify(void *context, const uint8_t hash[32], const uint8_t signature[64],
                            const uint8_t account[32])
{
    return toy_verify(context, signature, hash, 32, account);
}

const struct core_crypto TOY_CRYPTO = {.blake2b = toy_blake2b,
                                       .sign = toy_sign_as_device,
                                       .verify = toy_verify,
                                       .exchange_public = toy_exchange_public,
                                       .exchange = toy_exchange,
                                       .nano_verify = toy_nano_verify};
