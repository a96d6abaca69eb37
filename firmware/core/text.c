#include "core/text.h"

#include <assert.h>
#include <string.h>

struct core_text core_text_in(char *bytes, size_t size)
{
    assert(size > 0);
    bytes[0] = '\0';
    return (struct core_text){bytes, size, 0};
}

void core_text_add(struct core_text *text, const char *string)
{
    size_t length = strlen(string);
    assert(length < text->size - text->length);
    memcpy(text->bytes + text->length, string, length + 1);
    text->length += length;
}

void core_text_add_number(struct core_text *text, uint64_t number)
{
    char digits[21]; /* 2^64 has 20 */
    size_t first = sizeof(digits) - 1;
    digits[first] = '\0';
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    core_text_add(text, digits + first);
}

void core_text_add_two_digits(struct core_text *text, unsigned number)
{
    char digits[3] = {(char)('0' + number / 10 % 10), (char)('0' + number % 10), '\0'};
    core_text_add(text, digits);
}

void core_text_add_hex(struct core_text *text, const uint8_t *bytes, size_t count)
{
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {DIGITS[bytes[i] >> 4], DIGITS[bytes[i] & 15], '\0'};
        core_text_add(text, pair);
    }
}

static int hex_value(char c, bool lower_only)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' && !lower_only ? c - 'A' + 10 : -1;
}

bool core_text_hex_decode(const char *digits, size_t length, bool lower_only, uint8_t *bytes, size_t count)
{
    if (length != 2 * count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        int high = hex_value(digits[2 * i], lower_only), low = hex_value(digits[2 * i + 1], lower_only);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void core_text_copy_word(char *word, size_t size, const char *from)
{
    size_t i = 0;
    for (; i < size - 1 && from[i] != '\0'; i++) {
        char c = from[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        word[i] = (char)(plain ? c : '?');
    }
    word[i] = '\0';
}
