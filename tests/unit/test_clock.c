#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static const struct {
    int64_t ms;
    const char *text;
} PAIRS[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {-1, "1969-12-31T23:59:59.999Z"},
    {1, "1970-01-01T00:00:00.001Z"},
    {951782400000, "2000-02-29T00:00:00.000Z"},
    {1793206980123, "2026-10-28T17:03:00.123Z"},
    {4102444799999, "2099-12-31T23:59:59.999Z"},
    {253402300799999, "9999-12-31T23:59:59.999Z"},
    {-62135596800000, "0001-01-01T00:00:00.000Z"},
};

static void times_are_written_and_read_in_utc(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(PAIRS) / sizeof(PAIRS[0]); i++) {
        char text[CLOCK_TEXT_SIZE];
        int64_t ms;
        clock_format_ms(PAIRS[i].ms, text);
        assert_string_equal(text, PAIRS[i].text);
        assert_int_equal(clock_parse_ms(text, &ms), 0);
        assert_true(ms == PAIRS[i].ms);
    }
}

static void every_time_reads_back(void **state)
{
    (void)state;
    for (int64_t ms = -62167219200000; ms <= 253402300799999; ms += 99999999977) {
        char text[CLOCK_TEXT_SIZE];
        int64_t back;
        clock_format_ms(ms, text);
        assert_int_equal(clock_parse_ms(text, &back), 0);
        assert_true(back == ms);
    }
}

static void what_lies_outside_the_four_digits_of_a_year_is_clamped(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_format_ms(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

static void offsets_fractions_and_plain_numbers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } ROWS[] = {
        {"1970-01-01T01:00:00+01:00", 0},
        {"1969-12-31t23:30:00-00:30", 0},
        {"1970-01-01 00:00:00z", 0},
        {"1970-01-01T00:00:00.5Z", 500},
        {"1970-01-01T00:00:00.123456789Z", 123},
        {"2026-11-20T17:03:00Z", 1795194180000},
        {"0", 0},
        {"1795194180000", 1795194180000},
        {"999999999999999", 999999999999999},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        int64_t ms = -7;
        assert_int_equal(clock_parse_ms(ROWS[i].text, &ms), 0);
        assert_true(ms == ROWS[i].ms);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        " ",
        "-1",
        "1e3",
        "now",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-04-31T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.1234567890Z",
        "1970-01-01T00:00:00Z ",
        "1970-01-01T00:00:00+1:00",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+01:60",
        "1970-01-01T00:00:00+0100",
        "70-01-01T00:00:00Z",
        "1234567890123456",
        "1970-01-01X00:00:00Z",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        int64_t ms;
        if (clock_parse_ms(BAD[i], &ms) == 0) {
            fail_msg("accepted: %s", BAD[i]);
        }
    }
}

static void the_clocks_run(void **state)
{
    (void)state;
    uint64_t before = clock_monotonic_ns();
    assert_true(clock_wall_ms() > 1700000000000);
    assert_true(clock_monotonic_ns() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_and_read_in_utc),
        cmocka_unit_test(every_time_reads_back),
        cmocka_unit_test(what_lies_outside_the_four_digits_of_a_year_is_clamped),
        cmocka_unit_test(offsets_fractions_and_plain_numbers_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(the_clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
