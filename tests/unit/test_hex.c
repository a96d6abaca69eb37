#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"

static void every_byte_survives_in_both_cases(void **state)
{
    (void)state;
    uint8_t bytes[256], back[256];
    char text[513];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    hex_encode_upper(bytes, sizeof(bytes), text);
    assert_memory_equal(text + 2 * 0xAB, "AB", 2);
    assert_true(hex_decode(text, back, sizeof(back)));
    assert_memory_equal(bytes, back, sizeof(bytes));
    hex_encode_lower(bytes, sizeof(bytes), text);
    assert_memory_equal(text + 2 * 0xAB, "ab", 2);
    assert_int_equal(strlen(text), 512);
    assert_true(hex_decode(text, back, sizeof(back)));
    assert_memory_equal(bytes, back, sizeof(bytes));
}

static void mixed_case_is_read(void **state)
{
    (void)state;
    uint8_t bytes[3];
    assert_true(hex_decode("aBCdEf", bytes, sizeof(bytes)));
    assert_memory_equal(bytes, "\xab\xcd\xef", 3);
}

static void another_length_or_character_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[2];
    static const char *const BAD[] = {"",     "a",    "ab",   "abc",  "abcde", "abcdef", "abcg",
                                      "ab d", "0xab", "ab-1", "/0:0", "@0G0",  "`0g0"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_false(hex_decode(BAD[i], bytes, sizeof(bytes)));
    }
    assert_true(hex_decode("abcd", bytes, sizeof(bytes)));
}

static void nothing_is_the_empty_text(void **state)
{
    (void)state;
    uint8_t byte = 7;
    char text[1] = {'x'};
    hex_encode_upper(&byte, 0, text);
    assert_string_equal(text, "");
    assert_true(hex_decode("", &byte, 0));
    assert_false(hex_decode("00", &byte, 0));
    assert_int_equal(byte, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_survives_in_both_cases),
        cmocka_unit_test(mixed_case_is_read),
        cmocka_unit_test(another_length_or_character_is_refused),
        cmocka_unit_test(nothing_is_the_empty_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
