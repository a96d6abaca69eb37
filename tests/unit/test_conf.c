#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"

struct sample {
    char host[16];
    int64_t port;
    bool open;
    int level;
    char secret[128];
};

static const char *const LEVELS[] = {"debug", "info", "warn", NULL};

#define KEY(section, name, type, member)                                                                     \
    section, name, type, offsetof(struct sample, member), sizeof(((struct sample *)0)->member)

static const struct conf_key KEYS[] = {
    {KEY("http", "host", CONF_TEXT, host), 0, 0, NULL, "127.0.0.1", "the address to listen on"},
    {KEY("http", "port", CONF_NUMBER, port), 0, 65535, NULL, "7090", "0 picks a free one"},
    {KEY("http", "open", CONF_FLAG, open), 0, 0, NULL, "no", "lets everybody in"},
    {KEY("log", "level", CONF_CHOICE, level), 0, 0, LEVELS, "info", "what is logged"},
    {KEY("callback", "secret", CONF_TEXT, secret), 0, 0, NULL, "", "the end of the callback's path"},
};
#define COUNT (sizeof KEYS / sizeof KEYS[0])

static struct sample read_ok(const char *text)
{
    struct sample sample;
    char error[CONF_ERROR_SIZE];
    memset(&sample, 0, sizeof sample);
    conf_set_defaults(KEYS, COUNT, &sample);
    if (conf_read_text(text, KEYS, COUNT, &sample, error) != CS_OK) {
        fail_msg("%s", error);
    }
    return sample;
}

static void refuse(const char *text, const char *place, const char *words)
{
    struct sample sample;
    char error[CONF_ERROR_SIZE];
    conf_set_defaults(KEYS, COUNT, &sample);
    assert_int_equal(conf_read_text(text, KEYS, COUNT, &sample, error), CS_EINVAL);
    if (strncmp(error, place, strlen(place)) != 0 || strstr(error, words) == NULL) {
        fail_msg("\"%s\" neither begins with \"%s\" nor says \"%s\"", error, place, words);
    }
}

static void an_empty_file_leaves_the_defaults(void **state)
{
    (void)state;
    struct sample sample = read_ok("");
    assert_string_equal(sample.host, "127.0.0.1");
    assert_int_equal(sample.port, 7090);
    assert_false(sample.open);
    assert_int_equal(sample.level, 1);
    assert_string_equal(sample.secret, "");
}

static void every_type_is_read(void **state)
{
    (void)state;
    struct sample sample =
        read_ok("[http]\nhost = ::1\nport=0\n  open: yes\n\n[log]\nlevel = warn\n[callback]\nsecret=a=b\n");
    assert_string_equal(sample.host, "::1");
    assert_int_equal(sample.port, 0);
    assert_true(sample.open);
    assert_int_equal(sample.level, 2);
    assert_string_equal(sample.secret, "a=b");
}

static void blanks_around_a_value_and_line_ends_of_windows_do_not_count(void **state)
{
    (void)state;
    struct sample sample = read_ok("\xef\xbb\xbf[http]\r\nhost =  \t ::1 \t \r\nport = 1  \r\n");
    assert_string_equal(sample.host, "::1");
    assert_int_equal(sample.port, 1);
}

static void comments_are_no_part_of_a_value(void **state)
{
    (void)state;
    struct sample sample =
        read_ok("# one\n; two\n[http] ; three\n  # four\nport = 5 ; five\n[callback]\nsecret = a;b#c\n");
    assert_int_equal(sample.port, 5);
    assert_string_equal(sample.secret, "a;b#c");
}

static void a_comment_that_inih_would_keep_is_refused(void **state)
{
    (void)state;
    refuse("[callback]\nsecret = abc # mine\n", "config:2: ", "line of its own");
    refuse("[http]\nport = 7 # mine\n", "config:2: ", "whole number");
}

static void an_empty_value_is_an_empty_text(void **state)
{
    (void)state;
    assert_string_equal(read_ok("[http]\nhost =\n").host, "");
    refuse("[http]\nport =\n", "config:2: ", "whole number from 0 to 65535");
}

static void a_section_may_come_twice_a_key_may_not(void **state)
{
    (void)state;
    assert_int_equal(read_ok("[http]\nopen=1\n[log]\nlevel=warn\n[http]\nport=1\n").port, 1);
    refuse("[http]\nport = 1\n[log]\n[http]\nport = 1\n", "config:5: ", "set twice");
}

static void a_value_does_not_go_on_in_the_next_line(void **state)
{
    (void)state;
    refuse("[http]\nhost = a\n   b\n", "config:3: ", "key = value");
}

static void what_is_unknown_is_named_with_its_line(void **state)
{
    (void)state;
    refuse("[http]\nprot = 1\n", "config:2: ", "no key prot in [http]");
    refuse("[hptt]\n", "config:1: ", "no section [hptt]");
    refuse("\n\n [ http]\nport = 1\n", "config:3: ", "no section [ http]");
    refuse("port = 1\n", "config:1: ", "before any section");
    refuse("[log]\nport = 1\n", "config:2: ", "no key port in [log]");
}

static void what_is_no_line_of_an_ini_file_is_refused(void **state)
{
    (void)state;
    refuse("[http]\nport\n", "config:2: ", "key = value");
    refuse("[http\nport = 1\n", "config:1: ", "closing bracket");
    refuse("[http] port = 1\n", "config:1: ", "line of its own");
    refuse("[http]\nport 1\nopen = maybe\n", "config:2: ", "key = value");
    refuse("[http]\nopen = maybe\nport 1\n", "config:2: ", "yes or no");
}

static void values_out_of_range_are_refused_with_what_to_write(void **state)
{
    (void)state;
    refuse("[http]\nport = 65536\n", "config:2: ", "from 0 to 65535");
    refuse("[http]\nport = -1\n", "config:2: ", "from 0 to 65535");
    refuse("[http]\nport = 99999999999999999999\n", "config:2: ", "from 0 to 65535");
    refuse("[http]\nport = 1e3\n", "config:2: ", "whole number");
    refuse("[http]\nport = +1\n", "config:2: ", "whole number");
    refuse("[http]\nport = 0x10\n", "config:2: ", "whole number");
    refuse("[http]\nopen = YES\n", "config:2: ", "yes or no");
    refuse("[log]\nlevel = error\n", "config:2: ", "debug, info or warn");
    refuse("[http]\nhost = 1234567890123456\n", "config:2: ", "longer than 15 bytes");
    refuse("[http]\nhost = \"::1\"\n", "config:2: ", "without quotes");
    refuse("[http]\nhost = a\x01"
           "b\n",
           "config:2: ", "control character");
}

static void a_value_of_the_longest_size_is_whole(void **state)
{
    (void)state;
    assert_string_equal(read_ok("[http]\nhost = 123456789012345\n").host, "123456789012345");
}

static void a_line_that_is_too_long_is_an_error_and_never_cut(void **state)
{
    (void)state;
    /* 198 bytes fit in inih's buffer of 200; with its default reader the 199th would begin a line of its own.
     */
    for (size_t length = 190; length < 210; length++) {
        char text[512] = "[log]\n;";
        size_t start = strlen(text);
        memset(text + start, 'x', length - 1);
        snprintf(text + start + length - 1, sizeof text - start - length, "\nlevel = warn\n");
        if (length <= 198) {
            assert_int_equal(read_ok(text).level, 2);
        } else {
            refuse(text, "config:2: ", "longer than 198 bytes");
        }
    }
    char secret[600] = "[callback]\nsecret = ";
    memset(secret + strlen(secret), 'y', 400);
    refuse(secret, "config:2: ", "longer than 198 bytes");
}

static void a_last_line_without_its_end_counts(void **state)
{
    (void)state;
    assert_int_equal(read_ok("[http]\nport = 12").port, 12);
}

static void what_is_printed_reads_back_as_the_defaults(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    conf_print(KEYS, COUNT, out);
    fclose(out);
    assert_non_null(strstr(text, "[http]\n# the address to listen on\nhost = 127.0.0.1\n"));
    assert_non_null(strstr(text, "# what is logged (debug, info or warn)\nlevel = info\n"));
    struct sample given, defaults;
    char error[CONF_ERROR_SIZE];
    memset(&defaults, 0, sizeof defaults);
    conf_set_defaults(KEYS, COUNT, &defaults);
    memset(&given, 0, sizeof given);
    assert_int_equal(conf_read_text(text, KEYS, COUNT, &given, error), CS_OK);
    assert_memory_equal(&given, &defaults, sizeof given);
    free(text);
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_read_and_its_errors_name_it(void **state)
{
    (void)state;
    char path[] = "/tmp/coinslot-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct sample sample;
    char error[CONF_ERROR_SIZE];
    conf_set_defaults(KEYS, COUNT, &sample);
    write_file(path, "[http]\nport = 8\n", 16);
    assert_int_equal(conf_read_file(path, KEYS, COUNT, &sample, error), CS_OK);
    assert_int_equal(sample.port, 8);
    write_file(path, "[http]\nport = x\n", 16);
    assert_int_equal(conf_read_file(path, KEYS, COUNT, &sample, error), CS_EINVAL);
    assert_int_equal(strncmp(error, path, strlen(path)), 0);
    assert_non_null(strstr(error, ":2: "));
    write_file(path, "[http]\nport\0 = 8\n", 17);
    assert_int_equal(conf_read_file(path, KEYS, COUNT, &sample, error), CS_EINVAL);
    assert_non_null(strstr(error, "NUL"));
    unlink(path);
    assert_int_equal(conf_read_file(path, KEYS, COUNT, &sample, error), CS_EIO);
    assert_non_null(strstr(error, "No such file"));
    assert_int_equal(conf_read_file("/tmp", KEYS, COUNT, &sample, error), CS_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_leaves_the_defaults),
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(blanks_around_a_value_and_line_ends_of_windows_do_not_count),
        cmocka_unit_test(comments_are_no_part_of_a_value),
        cmocka_unit_test(a_comment_that_inih_would_keep_is_refused),
        cmocka_unit_test(an_empty_value_is_an_empty_text),
        cmocka_unit_test(a_section_may_come_twice_a_key_may_not),
        cmocka_unit_test(a_value_does_not_go_on_in_the_next_line),
        cmocka_unit_test(what_is_unknown_is_named_with_its_line),
        cmocka_unit_test(what_is_no_line_of_an_ini_file_is_refused),
        cmocka_unit_test(values_out_of_range_are_refused_with_what_to_write),
        cmocka_unit_test(a_value_of_the_longest_size_is_whole),
        cmocka_unit_test(a_line_that_is_too_long_is_an_error_and_never_cut),
        cmocka_unit_test(a_last_line_without_its_end_counts),
        cmocka_unit_test(what_is_printed_reads_back_as_the_defaults),
        cmocka_unit_test(a_file_is_read_and_its_errors_name_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
