#include "simulate/sign.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static void hash_parts(uint8_t *out, size_t out_bytes, const uint8_t *const parts[], const size_t sizes[],
                       size_t count)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, out_bytes);
    for (size_t i = 0; i < count; i++) {
        crypto_generichash_update(&state, parts[i], sizes[i]);
    }
    crypto_generichash_final(&state, out, out_bytes);
}

void sign_derive_key(const uint8_t seed[32], uint32_t index, struct sign_key *key)
{
    const uint8_t number[4] = {(uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8),
                               (uint8_t)index};
    uint8_t private_key[32];
    hash_parts(private_key, sizeof(private_key), (const uint8_t *const[]){seed, number},
               (const size_t[]){32, 4}, 2);
    sign_expand_key(private_key, key);
}

void sign_expand_key(const uint8_t private_key[32], struct sign_key *key)
{
    uint8_t wide[64];
    hash_parts(wide, sizeof(wide), (const uint8_t *const[]){private_key}, (const size_t[]){32}, 1);
    wide[0] &= 0xF8;
    wide[31] &= 0x7F;
    wide[31] |= 0x40;
    memcpy(key->scalar, wide, 32);
    memcpy(key->prefix, wide + 32, 32);
    int failed = crypto_scalarmult_ed25519_base_noclamp(key->public_key, key->scalar);
    assert(failed == 0); /* a clamped scalar is never a multiple of the group's order */
    (void)failed;
}

void sign_hash(const struct sign_key *key, const uint8_t hash[32], uint8_t signature[64])
{
    uint8_t wide[64], nonce[32], challenge[32], scalar[32];
    hash_parts(wide, sizeof(wide), (const uint8_t *const[]){key->prefix, hash}, (const size_t[]){32, 32}, 2);
    crypto_core_ed25519_scalar_reduce(nonce, wide);
    int failed = crypto_scalarmult_ed25519_base_noclamp(signature, nonce);
    assert(failed == 0); /* a nonce of zero: one in 2^252 */
    (void)failed;

    hash_parts(wide, sizeof(wide), (const uint8_t *const[]){signature, key->public_key, hash},
               (const size_t[]){32, 32, 32}, 3);
    crypto_core_ed25519_scalar_reduce(challenge, wide);

    /* The clamped scalar lies above the group's order; scalar arithmetic wants it below. */
    memset(wide, 0, sizeof(wide));
    memcpy(wide, key->scalar, 32);
    crypto_core_ed25519_scalar_reduce(scalar, wide);
    crypto_core_ed25519_scalar_mul(scalar, challenge, scalar);
    crypto_core_ed25519_scalar_add(signature + 32, nonce, scalar);
}
