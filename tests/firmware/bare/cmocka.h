/* cmocka, as much of it as the meter's tests use, for a machine without an operating system: the first failure ends the program with 1. */
#ifndef TESTS_FIRMWARE_BARE_CMOCKA_H
#define TESTS_FIRMWARE_BARE_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*set_up)(void **state);
};

#define cmocka_unit_test(function)                                                                           \
    {                                                                                                        \
#function, function, NULL                                                                            \
    }
#define cmocka_unit_test_setup(function, setup)                                                              \
    {                                                                                                        \
#function, function, setup                                                                           \
    }
#define cmocka_run_group_tests(tests, before, after) bare_run(tests, sizeof(tests) / sizeof((tests)[0]))

#define print_message(...) printf(__VA_ARGS__)
#define fail_msg(...)                                                                                        \
    do {                                                                                                     \
        printf(__VA_ARGS__);                                                                                 \
        printf("\n%s:%d: failed\n", __FILE__, __LINE__);                                                     \
        exit(1);                                                                                             \
    } while (0)
#define assert_true(value)                                                                                   \
    do {                                                                                                     \
        if (!(value)) {                                                                                      \
            fail_msg("%s", #value);                                                                          \
        }                                                                                                    \
    } while (0)
#define assert_false(value)    assert_true(!(value))
#define assert_null(value)     assert_true((value) == NULL)
#define assert_non_null(value) assert_true((value) != NULL)
#define assert_int_equal(a, b) assert_true((unsigned long long)(a) == (unsigned long long)(b))
#define assert_in_range(value, least, most)                                                                  \
    do {                                                                                                     \
        unsigned long long in_range = (unsigned long long)(value);                                           \
        assert_true(in_range >= (unsigned long long)(least) && in_range <= (unsigned long long)(most));      \
    } while (0)
#define assert_string_equal(a, b)                                                                            \
    do {                                                                                                     \
        if (strcmp(a, b) != 0) {                                                                             \
            fail_msg("\"%s\" is not \"%s\"", a, b);                                                          \
        }                                                                                                    \
    } while (0)
#define assert_memory_equal(a, b, count) assert_true(memcmp(a, b, count) == 0)

static inline int bare_run(const struct CMUnitTest *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *state = NULL;
        if (tests[i].set_up != NULL) {
            tests[i].set_up(&state);
        }
        tests[i].test(&state);
        printf("ok %s\n", tests[i].name);
    }
    return 0;
}

#endif
