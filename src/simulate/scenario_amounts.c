#include <string.h>

#include "simulate/scenario.h"

#define TEXT_SIZE 128

/* Takes `suffix` off the end of `text`. */
static bool cut_suffix(char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    if (length <= tail || strcmp(text + length - tail, suffix) != 0) {
        return false;
    }
    text[length - tail] = '\0';
    return true;
}

static size_t count_decimals(const char *text)
{
    const char *point = strchr(text, '.');
    return point == NULL ? 0 : strlen(point + 1);
}

/* "0.5" with 2 decimals is 50. The caller has seen that `text` is an amount of nano, so there is room for the
 * zeros. */
static struct amount read_units(const char *text, size_t decimals)
{
    char digits[TEXT_SIZE + AMOUNT_NANO_DECIMALS];
    size_t count = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c != '.' && (count > 0 || *c != '0')) {
            digits[count++] = *c;
        }
    }
    for (size_t i = count_decimals(text); i < decimals && count > 0; i++) {
        digits[count++] = '0';
    }
    digits[count] = '\0';
    struct amount units = {0, 0};
    return count > 0 && amount_parse_raw(digits, &units) ? units : (struct amount){0, 0};
}

static bool parse_nano(const char *low, const char *high, struct scenario_amounts *amounts)
{
    struct amount whole;
    if (!amount_parse_nano(low, &whole) || !amount_parse_nano(high, &whole)) {
        return false;
    }
    size_t decimals = count_decimals(low);
    if (count_decimals(high) > decimals) {
        decimals = count_decimals(high);
    }
    amounts->low = read_units(low, decimals);
    amounts->high = read_units(high, decimals);
    amounts->zeros = AMOUNT_NANO_DECIMALS - (unsigned)decimals;
    return true;
}

bool scenario_parse_amounts(const char *text, struct scenario_amounts *amounts)
{
    char low[TEXT_SIZE];
    size_t size = strlen(text) + 1;
    if (size > sizeof(low)) {
        return false;
    }
    memcpy(low, text, size);
    bool nano = cut_suffix(low, "nano");
    bool raw = !nano && cut_suffix(low, "raw");
    char *high = strchr(low, '-');
    if (high == NULL) {
        high = low;
    } else {
        *high++ = '\0';
    }
    nano = nano || (!raw && (strchr(low, '.') != NULL || strchr(high, '.') != NULL));
    struct scenario_amounts read = {.zeros = 0};
    bool good = nano ? parse_nano(low, high, &read)
                     : amount_parse_raw(low, &read.low) && amount_parse_raw(high, &read.high);
    if (!good || amount_is_zero(read.low) || amount_compare(read.low, read.high) > 0) {
        return false;
    }
    *amounts = read;
    return true;
}
