#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "nano/plain_signature.h"
#include "verify/block.h"

/* The points of small order: 0 to 7 times one of order 8. */
static uint8_t small[8][32] = {{1}};

static int make_small(void **state)
{
    (void)state;
    static const char eighth[] = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05";
    uint8_t point[32];
    int failed = sodium_init() < 0 || sodium_hex2bin(point, 32, eighth, 64, NULL, NULL, NULL) != 0;
    for (size_t i = 1; i < 8 && !failed; i++) {
        failed = crypto_core_ed25519_add(small[i], small[i - 1], point);
    }
    return failed;
}

static void add_small(uint8_t point[32], uint32_t times)
{
    assert_int_equal(crypto_core_ed25519_add(point, point, small[times]), 0);
}

/* By the key's own scalar, with an R that has a part of small order. */
static void sign(const uint8_t scalar[32], const uint8_t key[32], const uint8_t hash[32], uint32_t r_times,
                 uint8_t signature[64])
{
    uint8_t nonce[32], digest[64], h[32];
    crypto_generichash_state state;
    crypto_core_ed25519_scalar_random(nonce);
    assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(signature, nonce), 0);
    add_small(signature, r_times);
    crypto_generichash_init(&state, NULL, 0, sizeof(digest));
    crypto_generichash_update(&state, signature, 32);
    crypto_generichash_update(&state, key, 32);
    crypto_generichash_update(&state, hash, 32);
    crypto_generichash_final(&state, digest, sizeof(digest));
    crypto_core_ed25519_scalar_reduce(h, digest);
    crypto_core_ed25519_scalar_mul(h, h, scalar);
    crypto_core_ed25519_scalar_add(signature + 32, nonce, h);
}

static bool agreed(const uint8_t hash[32], const uint8_t signature[64], const uint8_t key[32])
{
    bool valid = block_signature_valid(hash, signature, key);
    assert_int_equal(valid, plain_signature_valid(hash, signature, key));
    return valid;
}

static void make_key(uint8_t scalar[32], uint8_t key[32], uint8_t hash[32])
{
    randombytes_buf(hash, 32);
    crypto_core_ed25519_scalar_random(scalar);
    assert_int_equal(crypto_scalarmult_ed25519_base_noclamp(key, scalar), 0);
}

static void what_a_wallet_signs_is_valid(void **state)
{
    (void)state;
    uint8_t scalar[32], key[32], hash[32], signature[64];
    for (int i = 0; i < 200; i++) {
        make_key(scalar, key, hash);
        sign(scalar, key, hash, 0, signature);
        assert_true(agreed(hash, signature, key));
    }
}

static void one_bit_changed_is_never_valid(void **state)
{
    (void)state;
    uint8_t scalar[32], key[32], hash[32], signature[64];
    make_key(scalar, key, hash);
    sign(scalar, key, hash, 0, signature);
    uint8_t *const parts[] = {signature, signature + 32, key, hash};
    for (size_t i = 0; i < 4; i++) {
        for (size_t bit = 0; bit < 256; bit++) {
            parts[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_false(agreed(hash, signature, key));
            parts[i][bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

/* Some are valid, and some are not: which, depends on H(R, A, hash) modulo 8. */
static void a_part_of_small_order_counts_in_the_key_and_in_r(void **state)
{
    (void)state;
    uint8_t scalar[32], key[32], hash[32], signature[64];
    int valid = 0, wrong = 0;
    for (uint32_t i = 0; i < 8 * 8 * 6; i++) {
        make_key(scalar, key, hash);
        if (i % 3 == 0) { /* the key is nothing else */
            memset(scalar, 0, 32);
            memcpy(key, small[0], 32);
        }
        add_small(key, i / 8 % 8);
        sign(scalar, key, hash, i % 8, signature);
        if (agreed(hash, signature, key)) {
            valid++;
        } else {
            wrong++;
        }
    }
    assert_true(valid > 20 && wrong > 20);
}

/* Low values of y, and the highest, with and without a sign: points of small order are among them, and second spellings of them. */
static void spell(uint32_t number, uint8_t point[32])
{
    bool high = number & 1, sign = number & 2;
    memset(point, high ? 0xFF : 0, 32);
    point[0] = (uint8_t)(high ? 0xFF - (number >> 2) : number >> 2);
    point[31] = (uint8_t)((high ? 0x7F : 0) | (sign ? 0x80 : 0));
}

static void each_spelling_of_a_point_is_taken_as_by_the_node(void **state)
{
    (void)state;
    uint8_t hash[32] = {7}, key[32], signature[64] = {0};
    int valid = 0;
    for (uint32_t i = 0; i < 80; i++) {
        for (uint32_t k = 0; k < 80; k++) {
            spell(i, key);
            spell(k, signature);
            valid += agreed(hash, signature, key) ? 1 : 0;
        }
    }
    assert_true(valid > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_wallet_signs_is_valid),
        cmocka_unit_test(one_bit_changed_is_never_valid),
        cmocka_unit_test(a_part_of_small_order_counts_in_the_key_and_in_r),
        cmocka_unit_test(each_spelling_of_a_point_is_taken_as_by_the_node),
    };
    return cmocka_run_group_tests(tests, make_small, NULL);
}
