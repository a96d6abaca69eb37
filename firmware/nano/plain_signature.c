#include "nano/plain_signature.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define POINT_BYTES  32
#define SCALAR_BYTES 32

static const uint8_t IDENTITY[POINT_BYTES] = {1};

/* point = scalar * B. The library reports the identity as a failure. */
static void multiply_base(const uint8_t scalar[SCALAR_BYTES], uint8_t point[POINT_BYTES])
{
    if (crypto_scalarmult_ed25519_base_noclamp(point, scalar) != 0) {
        memcpy(point, IDENTITY, POINT_BYTES);
    }
}

/*
 * point = scalar * key for keys that the library's multiplication refuses: those with a part of small order,
 * and other spellings of a point. With scalar = 8m + r it is m * (8 key) + r * key, and 8 key is always in
 * the prime subgroup. False when the key is no point of the curve.
 */
static bool multiply_any_key(const uint8_t scalar[SCALAR_BYTES], const uint8_t key[POINT_BYTES],
                             uint8_t point[POINT_BYTES])
{
    uint8_t eightfold[POINT_BYTES], eighth[SCALAR_BYTES];
    if (crypto_core_ed25519_add(eightfold, key, IDENTITY) != 0) {
        return false;
    }
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        failed |= crypto_core_ed25519_add(eightfold, eightfold, eightfold);
    }
    for (size_t i = 0; i < SCALAR_BYTES; i++) {
        unsigned above = i + 1 < SCALAR_BYTES ? scalar[i + 1] : 0;
        eighth[i] = (uint8_t)(scalar[i] >> 3 | above << 5);
    }
    if (crypto_scalarmult_ed25519_noclamp(point, eighth, eightfold) != 0) {
        memcpy(point, IDENTITY, POINT_BYTES); /* m is 0, or the key has nothing but a small order */
    }
    for (unsigned i = scalar[0] & 7; i > 0; i--) {
        failed |= crypto_core_ed25519_add(point, point, key);
    }
    assert(!failed);
    return true;
}

/* H(R, A, hash) modulo the group's order L. */
static void challenge(const uint8_t r[POINT_BYTES], const uint8_t key[POINT_BYTES], const uint8_t hash[32],
                      uint8_t scalar[SCALAR_BYTES])
{
    crypto_generichash_state state;
    uint8_t digest[crypto_core_ed25519_NONREDUCEDSCALARBYTES];
    int failed = crypto_generichash_init(&state, NULL, 0, sizeof(digest)) ||
                 crypto_generichash_update(&state, r, POINT_BYTES) ||
                 crypto_generichash_update(&state, key, POINT_BYTES) ||
                 crypto_generichash_update(&state, hash, 32) ||
                 crypto_generichash_final(&state, digest, sizeof(digest));
    assert(!failed);
    crypto_core_ed25519_scalar_reduce(scalar, digest);
}

bool plain_signature_valid(const uint8_t hash[32], const uint8_t signature[64], const uint8_t key[32])
{
    const uint8_t *r = signature, *s = signature + POINT_BYTES;
    if ((s[SCALAR_BYTES - 1] & 0xE0) != 0) {
        return false;
    }
    uint8_t wide[crypto_core_ed25519_NONREDUCEDSCALARBYTES] = {0}, scalar[SCALAR_BYTES];
    memcpy(wide, s, SCALAR_BYTES);
    crypto_core_ed25519_scalar_reduce(scalar, wide);

    uint8_t base_part[POINT_BYTES], key_part[POINT_BYTES], expected[POINT_BYTES], h[SCALAR_BYTES];
    challenge(r, key, hash, h);
    if (crypto_scalarmult_ed25519_noclamp(key_part, h, key) != 0 && !multiply_any_key(h, key, key_part)) {
        return false;
    }
    multiply_base(scalar, base_part);
    int failed = crypto_core_ed25519_sub(expected, base_part, key_part);
    assert(!failed);
    return memcmp(r, expected, POINT_BYTES) == 0;
}
