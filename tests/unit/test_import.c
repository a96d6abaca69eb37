/* Imports into a real store: lines in any parts, groups, limits, and no half of anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <signal.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "admin/import.h"
#include "base/json.h"
#include "base/log.h"
#include "lib/store_fixture.h"

#define ADDRESS "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"
#define TOKEN   "0123456789abcdef0123456789abcdef"

static const struct import_limits WIDE = {1 << 20, 10000};

static struct store_fixture fixture;
static FILE *results;
static struct import *import;

static int set_up(void **state)
{
    (void)state;
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    store_fixture_open(&fixture, 16, 16, 16);
    results = tmpfile();
    assert_non_null(results);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fclose(results);
    store_fixture_close(&fixture);
    return 0;
}

static void begin(struct import_limits limits)
{
    import = import_open(fixture.store, &limits, results);
}

static void take(const char *text)
{
    import_take(import, text, strlen(text));
}

static void finish(void)
{
    assert_true(import_finish(import));
    import_close(import);
    rewind(results);
}

/* The next result, owned by the caller; NULL at the end. */
static json_t *next_result(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length = getline(&line, &room, results);
    json_t *result = NULL;
    if (length > 0) {
        assert_int_equal(line[length - 1], '\n');
        result = json_loads(line, 0, NULL);
        assert_non_null(result);
    }
    free(line);
    return result;
}

/* code NULL: a device was made. */
static void expect(int line, const char *code)
{
    json_t *result = next_result();
    assert_non_null(result);
    assert_int_equal(json_integer_value(json_object_get(result, "line")), line);
    const char *found = json_text(json_object_get(result, "error"), "code");
    if (code == NULL ? found != NULL || json_text(result, "id") == NULL
                     : found == NULL || strcmp(found, code) != 0) {
        char *text = json_dumps(result, 0);
        fail_msg("line %d is not %s: %s", line, code == NULL ? "made" : code, text);
    }
    json_decref(result);
}

static void expect_end(void)
{
    assert_null(next_result());
}

static size_t devices(void)
{
    struct reader_device_filter filter = {.limit = READER_PAGE_MOST};
    struct store_device *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    assert_int_equal(reader_page_devices(fixture.store, &filter, &rows, &count, next), CS_OK);
    free(rows);
    return count;
}

static void lines_may_come_in_any_parts(void **state)
{
    (void)state;
    static const char TEXT[] =
        "{\"name\":\"one\"}\n\n{\"name\":\n\r\n{\"name\":\"f\xc3\xbcnf\"}\r\n \t\n{\"name\":\"seven\"}";
    begin(WIDE);
    for (const char *c = TEXT; *c != '\0'; c++) {
        import_take(import, c, 1);
    }
    finish();
    expect(1, NULL);
    expect(3, "malformed_json");
    expect(5, NULL);
    expect(7, NULL);
    expect_end();
    assert_int_equal(devices(), 3);
}

static void what_is_no_json_object_in_utf_8_is_refused_line_by_line(void **state)
{
    (void)state;
    begin(WIDE);
    take(
        "7\n\"x\"\n[]\nnull\n{\"name\":\"\xff\"}\n{\"name\":\"a\",\"name\":\"b\"}\n{\"name\":\"x\"} {\"name\":\"y\"}\n"
        "{\"a\":[[[[1]]]]}\n{\"name\":\"\\ud800\"}\n\xef\xbb\xbf{\"name\":\"x\"}\n");
    import_take(import, "{\"name\":\"a\0b\"}\n", 15);
    finish();
    for (int line = 1; line <= 11; line++) {
        expect(line, "malformed_json");
    }
    expect_end();
    assert_int_equal(devices(), 0);
}

static void results_keep_the_order_of_the_lines_over_many_groups(void **state)
{
    (void)state;
    begin(WIDE);
    for (int line = 1; line <= 3 * IMPORT_GROUP_LINES + 7; line++) {
        char text[100];
        snprintf(text, sizeof text, line % 10 == 0 ? "{\"nome\":\"%d\"}\n" : "{\"name\":\"%d\"}\n", line);
        take(text);
    }
    finish();
    for (int line = 1; line <= 3 * IMPORT_GROUP_LINES + 7; line++) {
        expect(line, line % 10 == 0 ? "unknown_field" : NULL);
    }
    expect_end();
}

static void a_line_that_is_too_long_is_skipped_whatever_is_in_it(void **state)
{
    (void)state;
    char *text = malloc(IMPORT_LINE_BYTES + 2);
    begin(WIDE);
    memset(text, ' ', IMPORT_LINE_BYTES + 1);
    memcpy(text, "{\"name\":\"long\"}", 15);
    text[IMPORT_LINE_BYTES] = '\n';
    import_take(import, text, IMPORT_LINE_BYTES + 1); /* the longest that is taken */
    text[IMPORT_LINE_BYTES] = ' ';
    text[IMPORT_LINE_BYTES + 1] = '\n';
    import_take(import, text, IMPORT_LINE_BYTES + 2);
    memset(text, ' ', IMPORT_LINE_BYTES + 1); /* blank, but too long to know */
    import_take(import, text, IMPORT_LINE_BYTES + 2);
    take("{\"name\":\"short\"}\n");
    free(text);
    finish();
    expect(1, NULL);
    expect(2, "line_too_long");
    expect(3, "line_too_long");
    expect(4, NULL);
    expect_end();
}

static void a_credential_is_taken_once_within_a_group_and_beyond(void **state)
{
    (void)state;
#define WITH_TOKEN "{\"name\":\"x\",\"token\":\"" TOKEN "\"}\n"
#define WITH_KEY                                                                                             \
    "{\"name\":\"x\",\"auth\":\"key\",\"public_key\":\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}\n"
    begin(WIDE);
    take(WITH_TOKEN WITH_TOKEN WITH_KEY WITH_KEY);
    finish();
    expect(1, NULL);
    expect(2, "duplicate_token");
    expect(3, NULL);
    expect(4, "duplicate_key");
    expect_end();
    long end = ftell(results);
    store_stop(fixture.store);
    store_close(fixture.store);
    metrics_close(fixture.metrics);
    store_fixture_reopen(&fixture, 16, 16, 16); /* it is known after a restart, too */
    fseek(results, end, SEEK_SET);
    begin(WIDE);
    take(WITH_KEY WITH_TOKEN);
    assert_true(import_finish(import));
    import_close(import);
    fseek(results, end, SEEK_SET);
    expect(1, "duplicate_key");
    expect(2, "duplicate_token");
    expect_end();
    assert_int_equal(devices(), 2);
}

static void a_line_that_the_store_refuses_makes_nothing(void **state)
{
    (void)state;
    char text[20000];
    size_t length = (size_t)snprintf(text, sizeof text, "{\"name\":\"x\",\"subscriptions\":[");
    for (uint8_t i = 0; i < 4; i++) { /* the fixture's limit is 3 */
        uint8_t key[32] = {i};
        struct address address = address_from_nano_key(key);
        char spelled[ADDRESS_TEXT_SIZE];
        address_format(&address, spelled);
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "%s{\"chain\":\"nano\",\"address\":\"%s\"}", i == 0 ? "" : ",", spelled);
    }
    snprintf(text + length, sizeof text - length, "]}\n");
    begin(WIDE);
    take(text);
#define ONE "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}"
    take("{\"name\":\"x\",\"subscriptions\":[" ONE "," ONE "]}\n{\"name\":\"x\",\"subscriptions\":[" ONE
         "]}\n");
    finish();
    expect(1, "too_many_subscriptions");
    expect(2, "subscription_exists");
    expect(3, NULL);
    expect_end();
    assert_int_equal(devices(), 1);
}

static void many_subscriptions_end_a_group_early(void **state)
{
    (void)state;
    char text[8000];
    begin(WIDE);
    for (uint8_t line = 1; line <= 25;
         line++) { /* 50 each, which this store takes of none: the 6th fills the group */
        size_t length = (size_t)snprintf(text, sizeof text, "{\"name\":\"x\",\"subscriptions\":[");
        for (uint8_t i = 0; i < 50; i++) {
            length +=
                (size_t)snprintf(text + length, sizeof text - length,
                                 "%s{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}", i == 0 ? "" : ",");
        }
        snprintf(text + length, sizeof text - length, "]}\n");
        take(text);
        assert_int_equal(ftell(results) > 0, line >= 6);
    }
    finish();
    for (int line = 1; line <= 25; line++) {
        expect(line, "too_many_subscriptions");
    }
    expect_end();
}

static void an_import_that_breaks_off_leaves_whole_groups_only(void **state)
{
    (void)state;
    begin(WIDE);
    for (int line = 1; line <= IMPORT_GROUP_LINES + 40; line++) {
        take("{\"name\":\"x\"}\n");
    }
    take("{\"name\":\"half");
    import_close(import);
    assert_int_equal(devices(), IMPORT_GROUP_LINES);
}

static void past_a_limit_the_first_line_that_is_left_is_named(void **state)
{
    (void)state;
    begin((struct import_limits){1000, 2});
    take("{\"name\":\"x\"}\n\n{\"name\":\"x\"}\n{\"name\":\"x\"}\n");
    finish();
    expect(1, NULL);
    expect(3, "too_many_lines");
    expect_end();
    rewind(results);
    begin((struct import_limits){20, 1000});
    take("{\"name\":\"x\"}\n{\"name\":");
    take("\"x\"}\n{\"name\":\"x\"}\n");
    finish();
    expect(1, NULL);
    expect(2, "body_too_large");
    assert_int_equal(devices(), 2);
}

static void exactly_as_much_as_the_limits_allow_is_taken(void **state)
{
    (void)state;
    begin((struct import_limits){26, 2});
    take("{\"name\":\"x\"}\n{\"name\":\"x\"}\n");
    finish();
    expect(1, NULL);
    expect(2, NULL);
    expect_end();
}

/* Their room is taken first, so that no device is made whose token nobody gets. */
static void without_room_for_the_results_nothing_is_made(void **state)
{
    (void)state;
    struct rlimit limit, before;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 10 * IMPORT_RESULT_BYTES;
    signal(SIGXFSZ, SIG_IGN);
    begin(WIDE);
    for (int line = 1; line <= 20; line++) {
        take("{\"name\":\"x\"}\n");
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool whole = import_finish(import);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(whole);
    import_close(import);
    rewind(results);
    expect(1, "disk_full");
    expect_end();
    assert_int_equal(devices(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lines_may_come_in_any_parts),
        TEST(what_is_no_json_object_in_utf_8_is_refused_line_by_line),
        TEST(results_keep_the_order_of_the_lines_over_many_groups),
        TEST(a_line_that_is_too_long_is_skipped_whatever_is_in_it),
        TEST(a_credential_is_taken_once_within_a_group_and_beyond),
        TEST(a_line_that_the_store_refuses_makes_nothing),
        TEST(many_subscriptions_end_a_group_early),
        TEST(an_import_that_breaks_off_leaves_whole_groups_only),
        TEST(past_a_limit_the_first_line_that_is_left_is_named),
        TEST(exactly_as_much_as_the_limits_allow_is_taken),
        TEST(without_room_for_the_results_nothing_is_made),
    };
    return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
