#include "payment/address.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/*
 * A Nano address is 300 bits in base 32: four zero bits, the 256-bit key, the 40-bit checksum; big-endian,
 * five bits a character.
 */
#define KEY_BYTES      32
#define CHECKSUM_BYTES 5
#define DIGITS         60

static const char ALPHABET[] = "13456789abcdefghijkmnopqrstuwxyz";

bool chain_parse(const char *text, enum chain *chain)
{
    if (strcmp(text, chain_text(CHAIN_NANO)) != 0) {
        return false;
    }
    *chain = CHAIN_NANO;
    return true;
}

const char *chain_text(enum chain chain)
{
    switch (chain) {
    case CHAIN_NANO:
        return "nano";
    }
    return NULL;
}

/* BLAKE2b-40 of the key, last byte first. */
static void checksum(const uint8_t key[KEY_BYTES], uint8_t sum[CHECKSUM_BYTES])
{
    crypto_generichash_state state;
    uint8_t digest[CHECKSUM_BYTES];
    int failed = crypto_generichash_init(&state, NULL, 0, CHECKSUM_BYTES) ||
                 crypto_generichash_update(&state, key, KEY_BYTES) ||
                 crypto_generichash_final(&state, digest, CHECKSUM_BYTES);
    assert(!failed);
    for (int i = 0; i < CHECKSUM_BYTES; i++) {
        sum[i] = digest[CHECKSUM_BYTES - 1 - i];
    }
}

/* What follows the prefix, or NULL when there is none that we know. */
static const char *skip_prefix(const char *text)
{
    static const char PREFIXES[][6] = {"nano_", "nano-", "xrb_", "xrb-"};
    for (size_t i = 0; i < sizeof(PREFIXES) / sizeof(PREFIXES[0]); i++) {
        size_t length = strlen(PREFIXES[i]);
        if (strncmp(text, PREFIXES[i], length) == 0) {
            return text + length;
        }
    }
    return NULL;
}

/* Exactly 60 digits to 37 bytes and the four bits that precede them, which must be zero. */
static bool decode_digits(const char *text, uint8_t bytes[KEY_BYTES + CHECKSUM_BYTES])
{
    uint32_t bits = 0;
    int held = -4; /* the four zero bits are no part of the bytes */
    size_t count = 0;
    for (int i = 0; i < DIGITS; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(ALPHABET, text[i]);
        if (digit == NULL) {
            return false;
        }
        bits = bits << 5 | (uint32_t)(digit - ALPHABET);
        held += 5;
        if (i == 0 && bits > 1) {
            return false;
        }
        if (held >= 8) {
            held -= 8;
            bytes[count++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return text[DIGITS] == '\0';
}

static bool parse_nano(const char *text, struct address *address)
{
    uint8_t bytes[KEY_BYTES + CHECKSUM_BYTES], sum[CHECKSUM_BYTES];
    const char *digits = skip_prefix(text);
    if (digits == NULL || !decode_digits(digits, bytes)) {
        return false;
    }
    checksum(bytes, sum);
    if (memcmp(bytes + KEY_BYTES, sum, CHECKSUM_BYTES) != 0) {
        return false;
    }
    *address = address_from_nano_key(bytes);
    return true;
}

bool address_parse(enum chain chain, const char *text, struct address *address)
{
    switch (chain) {
    case CHAIN_NANO:
        return parse_nano(text, address);
    }
    return false;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
    assert(address->chain == CHAIN_NANO && address->length == KEY_BYTES);
    uint8_t bytes[KEY_BYTES + CHECKSUM_BYTES];
    memcpy(bytes, address->bytes, KEY_BYTES);
    checksum(address->bytes, bytes + KEY_BYTES);
    memcpy(text, "nano_", 5);
    uint32_t bits = 0;
    int held = 4;
    size_t next = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (held < 5) {
            bits = bits << 8 | bytes[next++];
            held += 8;
        }
        held -= 5;
        text[5 + i] = ALPHABET[bits >> held];
        bits &= (1u << held) - 1;
    }
    text[5 + DIGITS] = '\0';
}

struct address address_from_nano_key(const uint8_t key[32])
{
    struct address address = {.chain = CHAIN_NANO, .length = KEY_BYTES};
    memcpy(address.bytes, key, KEY_BYTES);
    return address;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->chain == b->chain && a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}
