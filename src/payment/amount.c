#include "payment/amount.h"

#include <assert.h>
#include <string.h>

int amount_compare(struct amount a, struct amount b)
{
    if (a.high != b.high) {
        return a.high < b.high ? -1 : 1;
    }
    if (a.low != b.low) {
        return a.low < b.low ? -1 : 1;
    }
    return 0;
}

bool amount_is_zero(struct amount a)
{
    return a.high == 0 && a.low == 0;
}

bool amount_add(struct amount a, struct amount b, struct amount *result)
{
    uint64_t low = a.low + b.low;
    uint64_t carry = low < a.low;
    if (b.high > UINT64_MAX - a.high || a.high + b.high > UINT64_MAX - carry) {
        return false;
    }
    *result = (struct amount){.high = a.high + b.high + carry, .low = low};
    return true;
}

bool amount_subtract(struct amount a, struct amount b, struct amount *result)
{
    if (amount_compare(a, b) < 0) {
        return false;
    }
    *result = (struct amount){.high = a.high - b.high - (a.low < b.low), .low = a.low - b.low};
    return true;
}

/* Appends a decimal digit: 10 * value + digit, by halves of 32 bits. False when that does not fit. */
static bool push_digit(struct amount *value, unsigned digit)
{
    uint64_t low = (value->low & UINT32_MAX) * 10 + digit;
    uint64_t middle = (value->low >> 32) * 10 + (low >> 32);
    uint64_t carry = middle >> 32;
    if (value->high > (UINT64_MAX - carry) / 10) {
        return false;
    }
    value->low = middle << 32 | (low & UINT32_MAX);
    value->high = value->high * 10 + carry;
    return true;
}

/* What remains; by halves of 32 bits, so that no step exceeds 64. */
static uint32_t divide(struct amount *value, uint32_t divisor)
{
    uint64_t parts[4] = {value->high >> 32, value->high & UINT32_MAX, value->low >> 32,
                         value->low & UINT32_MAX};
    uint64_t rest = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t dividend = rest << 32 | parts[i];
        parts[i] = dividend / divisor;
        rest = dividend % divisor;
    }
    value->high = parts[0] << 32 | parts[1];
    value->low = parts[2] << 32 | parts[3];
    return (uint32_t)rest;
}

/* Takes the last decimal digit off. */
static unsigned pop_digit(struct amount *value)
{
    return divide(value, 10);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits without a needless leading zero; `text` moves behind them. */
static bool parse_whole(const char **text, struct amount *value)
{
    const char *at = *text;
    if (!is_digit(at[0]) || (at[0] == '0' && is_digit(at[1]))) {
        return false;
    }
    *value = (struct amount){0};
    for (; is_digit(*at); at++) {
        if (!push_digit(value, (unsigned)(*at - '0'))) {
            return false;
        }
    }
    *text = at;
    return true;
}

bool amount_parse_raw(const char *text, struct amount *result)
{
    struct amount value;
    if (!parse_whole(&text, &value) || *text != '\0') {
        return false;
    }
    *result = value;
    return true;
}

void amount_format_raw(struct amount a, char text[AMOUNT_RAW_SIZE])
{
    char digits[5 * 9 + 1];
    size_t first = sizeof(digits) - 1;
    digits[first] = '\0';
    do {
        uint32_t nine = divide(&a, 1000000000);
        for (int i = 0; i < 9; i++, nine /= 10) {
            digits[--first] = (char)('0' + nine % 10);
        }
    } while (!amount_is_zero(a));
    while (digits[first] == '0' && digits[first + 1] != '\0') {
        first++;
    }
    memcpy(text, digits + first, sizeof(digits) - first);
}

bool amount_parse_nano(const char *text, struct amount *result)
{
    struct amount value;
    if (!parse_whole(&text, &value)) {
        return false;
    }
    int decimals = 0;
    if (*text == '.') {
        text++;
        for (; is_digit(*text); text++, decimals++) {
            if (decimals == AMOUNT_NANO_DECIMALS || !push_digit(&value, (unsigned)(*text - '0'))) {
                return false;
            }
        }
        if (decimals == 0) {
            return false;
        }
    }
    if (*text != '\0') {
        return false;
    }
    for (; decimals < AMOUNT_NANO_DECIMALS; decimals++) {
        if (!push_digit(&value, 0)) {
            return false;
        }
    }
    *result = value;
    return true;
}

void amount_format_nano(struct amount a, char text[AMOUNT_NANO_SIZE])
{
    char digits[AMOUNT_RAW_SIZE];
    memset(digits, '0', sizeof(digits));
    size_t first = sizeof(digits), point = sizeof(digits) - AMOUNT_NANO_DECIMALS;
    while (!amount_is_zero(a)) {
        digits[--first] = (char)('0' + pop_digit(&a));
    }
    if (first >= point) {
        first = point - 1; /* one zero before the point */
    }
    size_t whole = point - first, decimals = AMOUNT_NANO_DECIMALS;
    for (; decimals > 0 && digits[point + decimals - 1] == '0'; decimals--) {
    }
    assert(whole + 1 + decimals + 1 <= AMOUNT_NANO_SIZE);
    memcpy(text, digits + first, whole);
    text[whole] = '.';
    memcpy(text + whole + 1, digits + point, decimals);
    text[decimals == 0 ? whole : whole + 1 + decimals] = '\0';
}

static void store_be64(uint64_t value, uint8_t bytes[8])
{
    for (int i = 7; i >= 0; i--) {
        bytes[i] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t load_be64(const uint8_t bytes[8])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

void amount_to_bytes(struct amount a, uint8_t bytes[16])
{
    store_be64(a.high, bytes);
    store_be64(a.low, bytes + 8);
}

struct amount amount_from_bytes(const uint8_t bytes[16])
{
    return (struct amount){.high = load_be64(bytes), .low = load_be64(bytes + 8)};
}
