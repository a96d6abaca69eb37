/*
 * signature: whether a Nano block was signed by its account, as the node checks it. libsodium and nothing else: the firmware compiles it.
 * Pure: any thread, no heap.
 */
#ifndef COINSLOT_VERIFY_SIGNATURE_H
#define COINSLOT_VERIFY_SIGNATURE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Ed25519 with BLAKE2b-512 over `hash`, accepting exactly what the node accepts: S needs only its top three
 * bits clear, so S + L passes too. About 85 µs; twice that for a key outside the prime subgroup.
 */
bool block_signature_valid(const uint8_t hash[32], const uint8_t signature[64], const uint8_t key[32]);

#endif
