#include "base/hex.h"

static void encode(const uint8_t *bytes, size_t count, char *text, const char *digits)
{
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = '\0';
}

void hex_encode_upper(const uint8_t *bytes, size_t count, char *text)
{
    encode(bytes, count, text, "0123456789ABCDEF");
}

void hex_encode_lower(const uint8_t *bytes, size_t count, char *text)
{
    encode(bytes, count, text, "0123456789abcdef");
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool hex_decode(const char *text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int high = digit(text[2 * i]);
        if (high < 0) {
            return false;
        }
        int low = digit(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * count] == '\0';
}
