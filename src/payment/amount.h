/*
 * amount: money, as an unsigned 128-bit count of the smallest unit (Nano: raw).
 * A value type: any thread, no heap, no float, no __int128 (32-bit targets compile this file too).
 */
#ifndef COINSLOT_PAYMENT_AMOUNT_H
#define COINSLOT_PAYMENT_AMOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMOUNT_RAW_SIZE      40 /* 39 digits and a NUL */
#define AMOUNT_NANO_SIZE     41 /* 9 digits, a point, 30 digits and a NUL */
#define AMOUNT_NANO_DECIMALS 30 /* 1 nano = 10^30 raw (docs.nano.org, "Distribution and units") */

#define AMOUNT_MUST_CHECK __attribute__((warn_unused_result))

struct amount {
    uint64_t high, low;
};

/* -1, 0 or 1. */
int amount_compare(struct amount a, struct amount b);
bool amount_is_zero(struct amount a);

/* False when the result does not fit; then `result` is untouched. */
AMOUNT_MUST_CHECK bool amount_add(struct amount a, struct amount b, struct amount *result);
AMOUNT_MUST_CHECK bool amount_subtract(struct amount a, struct amount b, struct amount *result);

/*
 * A plain decimal of raw: only digits, at least one, no sign, no leading zero but "0" itself, at most 2^128
 * - 1. False otherwise; then `result` is untouched.
 */
AMOUNT_MUST_CHECK bool amount_parse_raw(const char *text, struct amount *result);
void amount_format_raw(struct amount a, char text[AMOUNT_RAW_SIZE]);

/*
 * A decimal of nano: "1", "0.5", "0.000000000000000000000000000001"; at least one digit on each side of a
 * point, at most 30 decimals, no sign, no exponent, no needless leading zero. False otherwise, and when it
 * does not fit. Formatted without trailing zeros.
 */
AMOUNT_MUST_CHECK bool amount_parse_nano(const char *text, struct amount *result);
void amount_format_nano(struct amount a, char text[AMOUNT_NANO_SIZE]);

/* 16 bytes, big-endian: as blocks are hashed, and as they sort in SQL. */
void amount_to_bytes(struct amount a, uint8_t bytes[16]);
struct amount amount_from_bytes(const uint8_t bytes[16]);

#endif
