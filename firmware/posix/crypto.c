#include "posix/crypto.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/log.h"
#include "verify/block.h"

struct crypto {
    bool has_key;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret_key[crypto_sign_SECRETKEYBYTES];
};

struct crypto *crypto_open(const uint8_t seed[CRYPTO_SEED_SIZE])
{
    struct crypto *crypto =
        sodium_malloc(sizeof(*crypto)); /* locked where the system lets us, never in a core dump */
    if (crypto == NULL) {
        log_die("meter", "out of memory");
    }
    memset(crypto, 0, sizeof(*crypto));
    crypto->has_key = seed != NULL;
    if (seed != NULL) {
        crypto_sign_seed_keypair(crypto->public_key, crypto->secret_key, seed);
    }
    return crypto;
}

void crypto_close(struct crypto *crypto)
{
    sodium_free(crypto);
}

void crypto_public_key(const struct crypto *crypto, uint8_t key[CORE_KEY_SIZE])
{
    memcpy(key, crypto->public_key, CORE_KEY_SIZE);
}

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
    assert(!failed);
    sodium_memzero(&state, sizeof(state));
}

static void sign(void *context, const uint8_t *message, size_t length, uint8_t signature[CORE_SIGNATURE_SIZE])
{
    const struct crypto *crypto = context;
    assert(crypto->has_key);
    crypto_sign_detached(signature, NULL, message, length, crypto->secret_key);
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

struct core_crypto crypto_port(struct crypto *crypto)
{
    return (struct core_crypto){
        .context = crypto,
        .blake2b = blake2b,
        .sign = sign,
        .verify = verify,
        .exchange_public = exchange_public,
        .exchange = exchange,
        .nano_verify = nano_verify,
    };
}
