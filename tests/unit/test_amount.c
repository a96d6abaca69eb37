#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/json.h"
#include "lib/recorded.h"
#include "payment/amount.h"

__extension__ typedef unsigned __int128 wide; /* the oracle; the code under test has to do without it */

static const struct amount MOST = {.high = UINT64_MAX, .low = UINT64_MAX};

static wide to_wide(struct amount a)
{
    return (wide)a.high << 64 | a.low;
}

static struct amount of_wide(wide value)
{
    return (struct amount){.high = (uint64_t)(value >> 64), .low = (uint64_t)value};
}

/* xorshift64*: the same numbers in each run. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

/* Of every size, with many zeros and ones at the places where carries happen. */
static struct amount draw_amount(uint64_t *state)
{
    static const uint64_t EDGES[] = {0, 1, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX - 1, UINT64_MAX};
    uint64_t kind = draw(state);
    uint64_t halves[2];
    for (int i = 0; i < 2; i++, kind >>= 8) {
        halves[i] = (kind & 3) == 0 ? EDGES[(kind >> 2) % 6] : draw(state) >> ((kind >> 2) & 63);
    }
    return (struct amount){.high = halves[0], .low = halves[1]};
}

static void raw_and_nano_are_what_two_libraries_say(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i;
    json_array_foreach(json_object_get(vectors, "amounts"), i, row)
    {
        struct amount from_raw, from_nano;
        char raw[AMOUNT_RAW_SIZE], nano[AMOUNT_NANO_SIZE];
        uint8_t bytes[16], expected[16];
        assert_true(amount_parse_raw(json_text(row, "raw"), &from_raw));
        assert_true(amount_parse_nano(json_text(row, "nano"), &from_nano));
        assert_int_equal(amount_compare(from_raw, from_nano), 0);
        amount_format_raw(from_raw, raw);
        amount_format_nano(from_raw, nano);
        assert_string_equal(raw, json_text(row, "raw"));
        assert_string_equal(nano, json_text(row, "nano"));
        assert_true(hex_decode(json_text(row, "bytes"), expected, sizeof(expected)));
        amount_to_bytes(from_raw, bytes);
        assert_memory_equal(bytes, expected, sizeof(bytes));
    }
    assert_true(i > 100);
    json_decref(vectors);
}

static void needless_zeros_behind_the_point_are_read(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i;
    json_array_foreach(json_object_get(vectors, "nano_spellings"), i, row)
    {
        struct amount nano, raw;
        assert_true(amount_parse_nano(json_text(row, "nano"), &nano));
        assert_true(amount_parse_raw(json_text(row, "raw"), &raw));
        assert_int_equal(amount_compare(nano, raw), 0);
    }
    assert_true(i > 0);
    json_decref(vectors);
}

static void what_is_no_amount_is_refused_and_writes_nothing(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i;
    const struct amount untouched = {.high = 7, .low = 9};
    struct amount result = untouched;
    json_array_foreach(json_object_get(vectors, "not_raw"), i, row)
    {
        assert_false(amount_parse_raw(json_string_value(row), &result));
        assert_int_equal(amount_compare(result, untouched), 0);
    }
    assert_true(i > 10);
    json_array_foreach(json_object_get(vectors, "not_nano"), i, row)
    {
        assert_false(amount_parse_nano(json_string_value(row), &result));
        assert_int_equal(amount_compare(result, untouched), 0);
    }
    assert_true(i > 10);
    json_decref(vectors);
}

static void addition_and_subtraction_match_128_bit_integers(void **state)
{
    (void)state;
    uint64_t seed = 20261101;
    const struct amount untouched = {.high = 7, .low = 9};
    for (int i = 0; i < 200000; i++) {
        struct amount a = draw_amount(&seed), b = draw_amount(&seed), result = untouched;
        wide x = to_wide(a), y = to_wide(b);
        bool fits = (wide)(x + y) >= x;
        assert_int_equal(amount_add(a, b, &result), fits);
        assert_int_equal(amount_compare(result, fits ? of_wide(x + y) : untouched), 0);
        result = untouched;
        assert_int_equal(amount_subtract(a, b, &result), x >= y);
        assert_int_equal(amount_compare(result, x >= y ? of_wide(x - y) : untouched), 0);
        assert_int_equal(amount_compare(a, b), x < y ? -1 : x > y);
        assert_int_equal(amount_is_zero(a), x == 0);
    }
}

static void every_form_reads_back_what_was_written(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 50000; i++) {
        struct amount a = draw_amount(&seed), back;
        char raw[AMOUNT_RAW_SIZE], nano[AMOUNT_NANO_SIZE], decimal[AMOUNT_RAW_SIZE] = {0};
        uint8_t bytes[16];
        amount_format_raw(a, raw);
        assert_true(amount_parse_raw(raw, &back));
        assert_int_equal(amount_compare(a, back), 0);
        amount_format_nano(a, nano);
        assert_true(amount_parse_nano(nano, &back));
        assert_int_equal(amount_compare(a, back), 0);
        amount_to_bytes(a, bytes);
        assert_int_equal(amount_compare(a, amount_from_bytes(bytes)), 0);
        size_t at = sizeof(decimal) - 1;
        wide rest = to_wide(a);
        do {
            decimal[--at] = (char)('0' + (int)(rest % 10));
            rest /= 10;
        } while (rest != 0);
        assert_string_equal(raw, decimal + at);
    }
}

static void bytes_sort_as_amounts_do(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int i = 0; i < 50000; i++) {
        struct amount a = draw_amount(&seed), b = draw_amount(&seed);
        uint8_t x[16], y[16];
        amount_to_bytes(a, x);
        amount_to_bytes(b, y);
        int order = memcmp(x, y, sizeof(x));
        assert_int_equal(amount_compare(a, b), (order > 0) - (order < 0));
    }
}

static void nothing_can_be_added_to_the_most(void **state)
{
    (void)state;
    struct amount result = {0};
    assert_false(amount_add(MOST, (struct amount){.low = 1}, &result));
    assert_false(amount_add((struct amount){.low = 1}, MOST, &result));
    assert_true(amount_add(MOST, (struct amount){0}, &result));
    assert_int_equal(amount_compare(result, MOST), 0);
    assert_false(amount_subtract((struct amount){0}, (struct amount){.low = 1}, &result));
}

static void half_a_million_raw_is_not_half_a_nano(void **state)
{
    (void)state; /* the bug of the clients that we replace */
    struct amount raw;
    char nano[AMOUNT_NANO_SIZE];
    assert_true(amount_parse_raw("500000", &raw));
    amount_format_nano(raw, nano);
    assert_string_equal(nano, "0.0000000000000000000000005");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_and_nano_are_what_two_libraries_say),
        cmocka_unit_test(needless_zeros_behind_the_point_are_read),
        cmocka_unit_test(what_is_no_amount_is_refused_and_writes_nothing),
        cmocka_unit_test(addition_and_subtraction_match_128_bit_integers),
        cmocka_unit_test(every_form_reads_back_what_was_written),
        cmocka_unit_test(bytes_sort_as_amounts_do),
        cmocka_unit_test(nothing_can_be_added_to_the_most),
        cmocka_unit_test(half_a_million_raw_is_not_half_a_nano),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
