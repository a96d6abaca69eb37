#include "firmware/sodium_crypto.h"

#include <assert.h>
#include <sodium.h>

#include "verify/block.h"

static void blake2b(void *context, const struct core_bytes *parts, size_t count, const uint8_t *key,
                    size_t key_length, uint8_t *out, size_t out_length)
{
    crypto_generichash_blake2b_state state;
    (void)context;
    /* generichash wants at least 16 bytes, blake2b itself 1 */
    int failed = crypto_generichash_blake2b_init(&state, key, key_length, out_length);
    for (size_t i = 0; i < count; i++) {
        failed |= crypto_generichash_blake2b_update(&state, parts[i].bytes, parts[i].length);
    }
    failed |= crypto_generichash_blake2b_final(&state, out, out_length);
    assert(failed == 0);
}

static void sign(void *context, const uint8_t *message, size_t length, uint8_t signature[CORE_SIGNATURE_SIZE])
{
    crypto_sign_detached(signature, NULL, message, length, context);
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
    return block_signature_valid(hash, signature, account);
}

const struct core_crypto SODIUM_CRYPTO = {.blake2b = blake2b,
                                          .sign = sign,
                                          .verify = verify,
                                          .exchange_public = exchange_public,
                                          .exchange = exchange,
                                          .nano_verify = nano_verify};
