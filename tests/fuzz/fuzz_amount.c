/* Text to amounts: what is read must be written back, raw byte for byte. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "payment/amount.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_raw(const char *text)
{
    struct amount amount;
    char again[AMOUNT_RAW_SIZE];
    if (amount_parse_raw(text, &amount)) {
        amount_format_raw(amount, again);
        assert(strcmp(again, text) == 0);
    }
}

/* Written without needless zeros, so it may be shorter than what was read, and is the same from then on. */
static void check_nano(const char *text)
{
    struct amount amount, back;
    char again[AMOUNT_NANO_SIZE];
    if (amount_parse_nano(text, &amount)) {
        amount_format_nano(amount, again);
        size_t length = strlen(again);
        assert(strncmp(again, text, length) == 0);
        assert(strspn(text + length, ".0") == strlen(text + length));
        assert(amount_parse_nano(again, &back) && amount_compare(amount, back) == 0);
    }
}

static void check_bytes(const uint8_t bytes[16])
{
    struct amount amount = amount_from_bytes(bytes), back;
    char raw[AMOUNT_RAW_SIZE], nano[AMOUNT_NANO_SIZE];
    uint8_t again[16];
    amount_to_bytes(amount, again);
    assert(memcmp(bytes, again, 16) == 0);
    amount_format_raw(amount, raw);
    assert(amount_parse_raw(raw, &back) && amount_compare(amount, back) == 0);
    amount_format_nano(amount, nano);
    assert(amount_parse_nano(nano, &back) && amount_compare(amount, back) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    check_raw(text);
    check_nano(text);
    if (size >= 16) {
        check_bytes(data);
    }
    free(text);
    return 0;
}
