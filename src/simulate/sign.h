/*
 * sign: Nano's keys and signatures, for blocks of our own making. Pure: any thread, nothing is kept.
 * The relay itself never signs a block; only the make-believe network does. Secrets here are worth nothing,
 * and are not wiped.
 */
#ifndef COINSLOT_SIMULATE_SIGN_H
#define COINSLOT_SIMULATE_SIGN_H

#include <stdint.h>

struct sign_key {
    uint8_t scalar[32]; /* clamped, as Ed25519 multiplies with it */
    uint8_t prefix[32]; /* what makes each signature's nonce unpredictable */
    uint8_t public_key[32];
};

/* Key number `index` of a wallet: private key = BLAKE2b-256(seed ‖ index, big-endian) (docs.nano.org, "Key
 * management"). */
void sign_derive_key(const uint8_t seed[32], uint32_t index, struct sign_key *key);
void sign_expand_key(const uint8_t private_key[32], struct sign_key *key);

/* Ed25519 as in RFC 8032, section 5.1.6, with BLAKE2b-512 in SHA-512's place: the same signature each time.
 */
void sign_hash(const struct sign_key *key, const uint8_t hash[32], uint8_t signature[64]);

#endif
