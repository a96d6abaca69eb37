/*
 * A block's signature, as the node's ed25519-donna checks it: R must be the encoding of S * B - h * A, with the key A and h = H(R, A, hash).
 * S is not limited to S < L, nor the key to the prime subgroup or to a canonical encoding: a stricter rule would refuse blocks that the
 * network has confirmed. How it is calculated: docs/decisions/0007-two-libraries-for-a-signature.md.
 */
#include <assert.h>
#include <decaf.h>
#include <decaf/ed255.h>
#include <sodium.h>
#include <string.h>

#include "verify/block.h"

#define POINT_BYTES  32
#define SCALAR_BYTES 32

/* H(R, A, hash) modulo the group's order L. */
static void challenge(const uint8_t r[POINT_BYTES], const uint8_t key[POINT_BYTES], const uint8_t hash[32],
                      decaf_255_scalar_t scalar)
{
    crypto_generichash_state state;
    uint8_t digest[64];
    int failed = crypto_generichash_init(&state, NULL, 0, sizeof(digest)) ||
                 crypto_generichash_update(&state, r, POINT_BYTES) ||
                 crypto_generichash_update(&state, key, POINT_BYTES) ||
                 crypto_generichash_update(&state, hash, 32) ||
                 crypto_generichash_final(&state, digest, sizeof(digest));
    assert(!failed);
    decaf_255_scalar_decode_long(scalar, digest, sizeof(digest));
}

/* The y of the points whose x is zero, which are of order 1 and 2; the second is P - 1, with P the field's size. */
static const uint8_t ONE[POINT_BYTES] = {1};
static const uint8_t MINUS_ONE[POINT_BYTES] = {
    0xEC, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F,
};

static bool equal(const uint8_t a[POINT_BYTES], const uint8_t b[POINT_BYTES])
{
    return memcmp(a, b, POINT_BYTES) == 0;
}

/* Whether these bytes, if they are a point, are the one encoding that the node makes of it: y is below P, and an x of zero has no sign. */
static bool is_canonical(const uint8_t bytes[POINT_BYTES])
{
    uint8_t y[POINT_BYTES];
    memcpy(y, bytes, POINT_BYTES);
    y[POINT_BYTES - 1] &= 0x7F;
    bool has_x = !equal(y, ONE) && !equal(y, MINUS_ONE);
    return sodium_compare(y, MINUS_ONE, POINT_BYTES) <= 0 /* little-endian */ &&
           (has_x || bytes[POINT_BYTES - 1] < 0x80);
}

/*
 * 8 * key, or what the library holds for it; false when it is no point of the curve. The library takes only the canonical encoding, and no
 * point without an x: to add the identity makes the one, and 8 times the other is the identity.
 */
static bool decode(const uint8_t key[POINT_BYTES], decaf_255_point_t point)
{
    uint8_t canonical[POINT_BYTES];
    if (decaf_255_point_decode_like_eddsa_and_mul_by_ratio(point, key) == DECAF_SUCCESS) {
        return true;
    }
    if (crypto_core_ed25519_add(canonical, key, ONE) != 0) {
        return false;
    }
    if (equal(canonical, ONE) || equal(canonical, MINUS_ONE)) {
        decaf_255_point_copy(point, decaf_255_point_identity);
        return true;
    }
    return decaf_255_point_decode_like_eddsa_and_mul_by_ratio(point, canonical) == DECAF_SUCCESS;
}

/* sum += times * point; false when one of them is no point of the curve. */
static bool add_times(uint8_t sum[POINT_BYTES], int times, const uint8_t point[POINT_BYTES])
{
    int failed = 0;
    for (; times > 0 && !failed; times--) {
        failed = crypto_core_ed25519_add(sum, sum, point);
    }
    for (; times < 0 && !failed; times++) {
        failed = crypto_core_ed25519_sub(sum, sum, point);
    }
    return !failed;
}

static void divide(decaf_255_scalar_t scalar, int halvings)
{
    for (; halvings > 0; halvings--) {
        decaf_255_scalar_halve(scalar, scalar);
    }
}

/*
 * S * B - (h - c) * A, for a c of which h - c is a multiple of 8; c is returned, from -3 to 4. (The library's points know nothing of a part
 * of small order: decoding and encoding together multiply by 8, the encoding alone by 4.)
 */
static int calculate(const uint8_t s[SCALAR_BYTES], const decaf_255_scalar_t h, decaf_255_point_t point,
                     uint8_t result[POINT_BYTES])
{
    uint8_t bytes[SCALAR_BYTES];
    decaf_255_scalar_t base_times, key_times;
    decaf_255_scalar_encode(bytes, h);
    int c = bytes[0] & 7;
    decaf_255_scalar_set_unsigned(key_times, (uint64_t)c);
    decaf_255_scalar_sub(key_times, key_times, h);
    divide(key_times, 3);
    if (c > 4) {
        c -= 8;
        decaf_255_scalar_sub(key_times, key_times, decaf_255_scalar_one);
    }
    decaf_255_scalar_decode_long(base_times, s, SCALAR_BYTES);
    divide(base_times, 2);
    decaf_255_base_double_scalarmul_non_secret(point, base_times, point, key_times);
    decaf_255_point_mul_by_ratio_and_encode_like_eddsa(result, point);
    return c;
}

bool block_signature_valid(const uint8_t hash[32], const uint8_t signature[64], const uint8_t key[32])
{
    const uint8_t *r = signature, *s = signature + POINT_BYTES;
    decaf_255_point_t point = {0};
    if ((s[SCALAR_BYTES - 1] & 0xE0) != 0 || !is_canonical(r) || !decode(key, point)) {
        return false;
    }
    decaf_255_scalar_t h = {0};
    challenge(r, key, hash, h);
    uint8_t right[POINT_BYTES], left[POINT_BYTES];
    int c = calculate(s, h, point, right);
    memcpy(left, r, POINT_BYTES);
    return add_times(left, c, key) && equal(left, right);
}
