#include "firmware/blake2b.h"

#include <stdbool.h>
#include <string.h>

static const uint64_t IV[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                               0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                               0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const uint8_t SIGMA[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                      {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                      {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                      {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                      {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                      {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                      {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                      {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                      {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                      {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static uint64_t turn(uint64_t value, unsigned bits)
{
    return value >> bits | value << (64 - bits);
}

static void mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = turn(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = turn(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = turn(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = turn(v[b] ^ v[c], 63);
}

static void compress(struct blake2b *state, bool last)
{
    uint64_t v[16], m[16];
    for (int i = 0; i < 16; i++) {
        m[i] = 0;
        for (int j = 7; j >= 0; j--) {
            m[i] = m[i] << 8 | state->block[8 * i + j];
        }
    }
    memcpy(v, state->h, sizeof(state->h));
    memcpy(v + 8, IV, sizeof(IV));
    v[12] ^= state->count;
    v[14] ^= last ? UINT64_MAX : 0;
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = SIGMA[round % 10];
        for (int i = 0; i < 4; i++) {
            mix(v, i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
        }
        for (int i = 0; i < 4; i++) {
            mix(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
        }
    }
    for (int i = 0; i < 8; i++) {
        state->h[i] ^= v[i] ^ v[8 + i];
    }
}

void blake2b_init(struct blake2b *state, const uint8_t *key, size_t key_length, size_t out_length)
{
    memset(state, 0, sizeof(*state));
    memcpy(state->h, IV, sizeof(IV));
    state->h[0] ^= 0x01010000 ^ key_length << 8 ^ out_length;
    state->out_length = out_length;
    if (key_length > 0) {
        uint8_t padded[128] = {0};
        memcpy(padded, key, key_length);
        blake2b_add(state, padded, sizeof(padded));
    }
}

void blake2b_add(struct blake2b *state, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        if (state->held == sizeof(state->block)) {
            state->count += state->held;
            compress(state, false);
            state->held = 0;
        }
        size_t room = sizeof(state->block) - state->held, count = length < room ? length : room;
        memcpy(state->block + state->held, at, count);
        state->held += count;
        at += count;
        length -= count;
    }
}

void blake2b_end(struct blake2b *state, uint8_t *out)
{
    state->count += state->held;
    memset(state->block + state->held, 0, sizeof(state->block) - state->held);
    compress(state, true);
    for (size_t i = 0; i < state->out_length; i++) {
        out[i] = (uint8_t)(state->h[i / 8] >> 8 * (i % 8));
    }
}
