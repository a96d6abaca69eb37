#include "base/token.h"

#include <sodium.h>
#include <stdint.h>

#include "base/log.h"

_Static_assert(TOKEN_TEXT_SIZE == sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
               "32 bytes as base64url");

void token_make(char text[TOKEN_TEXT_SIZE])
{
    if (sodium_init() < 0) {
        log_die("token", "libsodium cannot start: no source of random numbers");
    }
    uint8_t bytes[32];
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2base64(text, TOKEN_TEXT_SIZE, bytes, sizeof bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof bytes);
}
