#include "crypto.h"

#include <assert.h>
#include <sodium.h>

#include "esp_random.h"
#include "nano/plain_signature.h"

static uint8_t secret_key[crypto_sign_SECRETKEYBYTES];

static void blake2b(void *context, const struct core_bytes *parts, size_t count, const uint8_t *key,
                    size_t key_length, uint8_t *out, size_t out_length)
{
    (void)context;
    crypto_generichash_state state;
    int failed = crypto_generichash_init(&state, key_length > 0 ? key : NULL, key_length, out_length);
    for (size_t i = 0; i < count; i++) {
        failed |= crypto_generichash_update(&state, parts[i].bytes, parts[i].length);
    }
    failed |= crypto_generichash_final(&state, out, out_length);
    assert(failed == 0);
    (void)failed;
    sodium_memzero(&state, sizeof(state));
}

static void sign(void *context, const uint8_t *message, size_t length, uint8_t signature[CORE_SIGNATURE_SIZE])
{
    (void)context;
    crypto_sign_detached(signature, NULL, message, length, secret_key);
}

static bool verify(void *context, const uint8_t signature[CORE_SIGNATURE_SIZE], const uint8_t *message,
                   size_t length, const uint8_t key[CORE_KEY_SIZE])
{
    (void)context;
    return crypto_sign_verify_detached(signature, message, length, key) == 0;
}

static void exchange_public(void *context, const uint8_t secret[CORE_KEY_SIZE],
                            uint8_t public_key[CORE_KEY_SIZE])
{
    (void)context;
    crypto_scalarmult_base(public_key, secret);
}

static bool exchange(void *context, const uint8_t secret[CORE_KEY_SIZE], const uint8_t other[CORE_KEY_SIZE],
                     uint8_t shared[CORE_KEY_SIZE])
{
    (void)context;
    return crypto_scalarmult(shared, secret, other) == 0;
}

static bool nano_verify(void *context, const uint8_t hash[CORE_HASH_SIZE],
                        const uint8_t signature[CORE_SIGNATURE_SIZE], const uint8_t account[CORE_KEY_SIZE])
{
    (void)context;
    return plain_signature_valid(hash, signature, account);
}

void crypto_open(void)
{
    int failed = sodium_init();
    assert(failed >= 0);
    (void)failed;
}

void crypto_set_secret(const uint8_t seed[CORE_KEY_SIZE], uint8_t public_key[CORE_KEY_SIZE])
{
    crypto_sign_seed_keypair(public_key, secret_key, seed);
}

const struct core_crypto *crypto_port(void)
{
    static const struct core_crypto PORT = {
        .blake2b = blake2b,
        .sign = sign,
        .verify = verify,
        .exchange_public = exchange_public,
        .exchange = exchange,
        .nano_verify = nano_verify,
    };
    return &PORT;
}

void crypto_random(void *context, uint8_t *bytes, size_t count)
{
    (void)context;
    esp_fill_random(bytes, count);
}
