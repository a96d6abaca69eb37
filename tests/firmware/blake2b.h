/* blake2b: RFC 7693, plainly: for where there is no libsodium, and as a second opinion where there is. */
#ifndef TESTS_FIRMWARE_BLAKE2B_H
#define TESTS_FIRMWARE_BLAKE2B_H

#include <stddef.h>
#include <stdint.h>

struct blake2b {
    uint64_t h[8], count;
    uint8_t block[128];
    size_t held, out_length;
};

void blake2b_init(struct blake2b *state, const uint8_t *key, size_t key_length, size_t out_length);
void blake2b_add(struct blake2b *state, const void *bytes, size_t length);
void blake2b_end(struct blake2b *state, uint8_t *out);

#endif
