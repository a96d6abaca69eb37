#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static json_t *read(const char *text, int most_depth, char error[JSON_ERROR_SIZE])
{
    return json_read(text, strlen(text), most_depth, error);
}

static void objects_and_arrays_are_read(void **state)
{
    (void)state;
    char error[JSON_ERROR_SIZE];
    json_t *value = read("{\"a\":\"b\",\"n\":1}\n", 1, error);
    assert_string_equal(json_text(value, "a"), "b");
    assert_null(json_text(value, "n"));
    assert_null(json_text(value, "missing"));
    json_decref(value);
    value = read(" [1, 2]", 1, error);
    assert_int_equal(json_array_size(value), 2);
    assert_null(json_text(value, "a"));
    json_decref(value);
}

static void only_the_given_bytes_are_read(void **state)
{
    (void)state;
    char error[JSON_ERROR_SIZE];
    json_t *value = json_read("{}{", 2, 1, error);
    assert_non_null(value);
    json_decref(value);
}

static void depth_is_counted_outside_strings_only(void **state)
{
    (void)state;
    char error[JSON_ERROR_SIZE];
    json_t *value = read("{\"[[[[\":\"\\\"{{{{\"}", 1, error);
    assert_non_null(value);
    json_decref(value);
    value = read("[[[]]]", 3, error);
    assert_non_null(value);
    json_decref(value);
    assert_null(read("[[[]]]", 2, error));
    assert_non_null(strstr(error, "more than 2 levels"));
    assert_null(read("{\"a\":{\"b\":[]}}", 2, error));
}

static void a_million_brackets_are_refused_before_they_are_parsed(void **state)
{
    (void)state;
    static char text[1000000];
    char error[JSON_ERROR_SIZE];
    memset(text, '[', sizeof(text));
    assert_null(json_read(text, sizeof(text), 8, error));
    assert_non_null(strstr(error, "more than 8 levels"));
}

static void what_is_malformed_says_where_and_quotes_nothing(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",
        " ",
        "{",
        "{}x",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\\u0000\"}",
        "\"text\"",
        "1",
        "null",
        "{\"a\":nul}",
        "{'a':1}",
        "{\"a\":\"secret\xff\"}",
        "]",
        "}",
        "{\"secret\" 1}",
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char error[JSON_ERROR_SIZE] = "";
        assert_null(read(BAD[i], 8, error));
        assert_non_null(strstr(error, "line 1"));
        assert_null(strstr(error, "secret"));
    }
    char error[JSON_ERROR_SIZE];
    assert_null(json_read("{\"a\":\0}", 7, 8, error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_and_arrays_are_read),
        cmocka_unit_test(only_the_given_bytes_are_read),
        cmocka_unit_test(depth_is_counted_outside_strings_only),
        cmocka_unit_test(a_million_brackets_are_refused_before_they_are_parsed),
        cmocka_unit_test(what_is_malformed_says_where_and_quotes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
