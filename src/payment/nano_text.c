#include "payment/nano_text.h"

#include <stddef.h>
#include <string.h>

/*
 * A Nano address is 300 bits in base 32: four zero bits, the 256-bit key, the 40-bit checksum; big-endian,
 * five bits a character.
 */
#define DIGITS 60

static const char ALPHABET[] = "13456789abcdefghijkmnopqrstuwxyz";

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
static bool decode_digits(const char *text, uint8_t bytes[NANO_KEY_BYTES + NANO_CHECKSUM_BYTES])
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

bool nano_text_decode(const char *text, uint8_t key[NANO_KEY_BYTES], uint8_t checksum[NANO_CHECKSUM_BYTES])
{
    uint8_t bytes[NANO_KEY_BYTES + NANO_CHECKSUM_BYTES];
    const char *digits = skip_prefix(text);
    if (digits == NULL || !decode_digits(digits, bytes)) {
        return false;
    }
    memcpy(key, bytes, NANO_KEY_BYTES);
    memcpy(checksum, bytes + NANO_KEY_BYTES, NANO_CHECKSUM_BYTES);
    return true;
}

void nano_text_encode(const uint8_t key[NANO_KEY_BYTES], const uint8_t checksum[NANO_CHECKSUM_BYTES],
                      char text[NANO_TEXT_SIZE])
{
    uint8_t bytes[NANO_KEY_BYTES + NANO_CHECKSUM_BYTES];
    memcpy(bytes, key, NANO_KEY_BYTES);
    memcpy(bytes + NANO_KEY_BYTES, checksum, NANO_CHECKSUM_BYTES);
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
