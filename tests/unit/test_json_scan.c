#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_scan.h"
#include "lib/json_same.h"
#include "lib/recorded.h"

#define DEPTH 4

/* Read both ways, and the same; whether it was read in place. */
static bool is_in_place(const char *text, size_t length)
{
    static struct json_scan scan;
    char error[JSON_ERROR_SIZE] = "", scan_error[JSON_ERROR_SIZE] = "";
    json_t *tree = json_read(text, length, DEPTH, error);
    bool is_read = json_scan_init(&scan, text, length, DEPTH, scan_error);
    assert_int_equal(is_read, tree != NULL);
    assert_string_equal(scan_error, error);
    bool in_place = is_read && scan.tree == NULL;
    if (is_read) {
        assert_true(json_same(json_view_of_scan(&scan), tree));
        assert_int_equal(in_place, json_same_is_plain(text, length, tree));
    }
    json_scan_fini(&scan);
    json_decref(tree);
    return in_place;
}

static void what_a_node_sends_is_read_in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDED_COUNT; i++) {
        json_t *body = recorded_read(SOURCE_DIR, RECORDED[i].file);
        char *text = json_dumps(body, JSON_INDENT(4) | JSON_ESCAPE_SLASH);
        const char *block = json_text(body, "block");
        assert_true(is_in_place(text, strlen(text)));
        assert_true(block == NULL || is_in_place(block, strlen(block)));
        free(text);
        json_decref(body);
    }
    static const char *const SESSIONS[] = {"ws-default.txt", "ws4b-all.txt", "inactive-ws.txt"};
    for (size_t i = 0; i < sizeof(SESSIONS) / sizeof(SESSIONS[0]); i++) {
        size_t length, count = 0;
        struct recorded_session *session = recorded_session_open(SOURCE_DIR, SESSIONS[i]);
        for (const char *text; (text = recorded_session_next(session, &length)) != NULL; count++) {
            assert_true(is_in_place(text, length));
        }
        assert_true(count > 0);
        recorded_session_close(session);
    }
}

static void members_are_found_in_their_own_object_only(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":\"1\",\"in\":{\"a\":\"2\",\"deep\":{\"a\":\"3\"},\"z\":null},\"b\\n\":\"\\\"/\\\\\"}\n";
    struct json_scan scan;
    char error[JSON_ERROR_SIZE];
    assert_true(json_scan_init(&scan, text, strlen(text), 3, error));
    assert_null(scan.tree);
    struct json_view whole = json_view_of_scan(&scan), inner = json_view_inner(whole, "in");
    assert_string_equal(json_view_text(whole, "a"), "1");
    assert_string_equal(json_view_text(whole, "b\n"), "\"/\\");
    assert_string_equal(json_view_text(inner, "a"), "2");
    assert_string_equal(json_view_text(json_view_inner(inner, "deep"), "a"), "3");
    assert_int_equal(json_view_kind(inner, "z"), JSON_KIND_OTHER);
    assert_int_equal(json_view_kind(whole, "z"), JSON_KIND_MISSING);
    assert_int_equal(json_view_kind(whole, "in"), JSON_KIND_OBJECT);
    assert_null(json_view_text(whole, "in"));
    assert_false(json_view_is_object(json_view_inner(whole, "a")));
    assert_int_equal(json_view_kind(json_view_inner(whole, "a"), "a"), JSON_KIND_MISSING);
    json_scan_fini(&scan);
    assert_false(json_scan_init(&scan, text, strlen(text), 2, error));
    assert_non_null(strstr(error, "more than 2 levels"));
}

static void each_text_is_taken_or_refused_as_by_the_parser(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool in_place;
    } TEXTS[] = {
        {"{}", true},
        {" \t\r\n{ } \n", true},
        {"{\"\":\"\"}", true},
        {"{\"a\":true,\"b\":false,\"c\":null,\"d\":{}}", true},
        {"{\"a\":{\"b\":{\"c\":{}}}}", true},
        {"{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}", false},
        {"{\"a\":\"\x7f\"}", true},
        {"{\"a\":{\"b\":\"1\"},\"b\":\"2\"}", true},
        {"{\"a\":\"\\b\\f\\n\\r\\t\\/\\\\\\\"\"}", true},
        {"{\"a\":\"\\u0041\"}", false},
        {"{\"a\":\"\\u0000\"}", false},
        {"{\"a\":\"\\ud83d\\ude00\"}", false},
        {"{\"a\":\"\\ud83d\"}", false},
        {"{\"a\":\"\xc3\xa4\"}", false},
        {"{\"a\":\"\xc0\x80\"}", false},
        {"{\"a\":1}", false},
        {"{\"a\":-1.5e3}", false},
        {"{\"a\":99999999999999999999}", false},
        {"{\"a\":[]}", false},
        {"[]", false},
        {"[{}]", false},
        {"", false},
        {" ", false},
        {"{", false},
        {"}", false},
        {"{}}", false},
        {"{}x", false},
        {"{}{}", false},
        {"{,}", false},
        {"{\"a\":\"b\",}", false},
        {"{,\"a\":\"b\"}", false},
        {"{\"a\":\"b\",,\"c\":\"d\"}", false},
        {"{\"a\":\"b\" \"c\":\"d\"}", false},
        {"{\"a\":{}\"c\":\"d\"}", false},
        {"{\"a\":{},}", false},
        {"{\"a\":{}}}", false},
        {"{\"a\" \"b\"}", false},
        {"{\"a\"}", false},
        {"{\"a\":}", false},
        {"{\"a\":\"b}", false},
        {"{\"a\":\"b\\\"}", false},
        {"{\"a\":\"\\", false},
        {"{\"a\":\"\\q\"}", false},
        {"{\"a\":\"\n\"}", false},
        {"{\"a\":truex}", false},
        {"{\"a\":tru}", false},
        {"{\"a\":true1}", false},
        {"{\"a\":True}", false},
        {"{\"a\":\"1\",\"a\":\"2\"}", false},
        {"{\"a\\n\":\"1\",\"a\\n\":\"2\"}", false},
        {"{\"a\":{\"b\":\"1\",\"b\":\"2\"}}", false},
        {"{'a':'b'}", false},
        {"{a:\"b\"}", false},
        {"\xef\xbb\xbf{}", false},
        {"{\"a\":\"b\"}\v", false},
        {"{/**/}", false},
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        assert_int_equal(is_in_place(TEXTS[i].text, strlen(TEXTS[i].text)), TEXTS[i].in_place);
    }
    assert_false(is_in_place("{\"a\":true\0}", 11));
    assert_false(is_in_place("{}\0", 3));
    assert_false(is_in_place("{\"a\":\"\0\"}", 9));
}

static void what_is_too_long_or_has_too_many_members_is_still_read(void **state)
{
    (void)state;
    static char text[3 * JSON_SCAN_BYTES];
    for (int most = JSON_SCAN_MEMBERS - 2; most <= JSON_SCAN_MEMBERS; most++) {
        size_t length = (size_t)snprintf(text, sizeof(text), "{\"0\":\"\"");
        for (int i = 1; i < most; i++) {
            length += (size_t)snprintf(text + length, sizeof(text) - length, ",\"%d\":\"\"", i);
        }
        length += (size_t)snprintf(text + length, sizeof(text) - length, "}");
        assert_int_equal(is_in_place(text, length), most < JSON_SCAN_MEMBERS);
    }
    for (size_t length = JSON_SCAN_BYTES - 2; length <= JSON_SCAN_BYTES + 1; length++) {
        memset(text, ' ', length);
        memcpy(text, "{}", 2);
        assert_int_equal(is_in_place(text, length), length < JSON_SCAN_BYTES);
    }
}

/* A body of a node, of which some bytes are others, are gone, or come twice. */
static void mangled_texts_are_read_as_by_the_parser(void **state)
{
    (void)state;
    static const char PIECES[] = "{}[]\",:\\ntruefalse 01-.\n\x80\xc3";
    json_t *body = recorded_read(SOURCE_DIR, RECORDED[0].file);
    char *text = json_dumps(body, JSON_INDENT(4));
    size_t length = strlen(text), read = 0;
    char *mangled = malloc(length + 1);
    srandom(1);
    for (int round = 0; round < 20000; round++) {
        memcpy(mangled, text, length + 1);
        size_t now = length;
        for (long changes = random() % 3; changes >= 0; changes--) {
            size_t at = (size_t)random() % now;
            if (random() % 2 == 0) {
                mangled[at] = PIECES[(size_t)random() % (sizeof(PIECES) - 1)];
            } else {
                memmove(mangled + at, mangled + at + 1, now - at);
                now--;
            }
        }
        read += is_in_place(mangled, now) ? 1 : 0;
    }
    assert_in_range(read, 1000, 19000);
    free(mangled);
    free(text);
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_node_sends_is_read_in_place),
        cmocka_unit_test(members_are_found_in_their_own_object_only),
        cmocka_unit_test(each_text_is_taken_or_refused_as_by_the_parser),
        cmocka_unit_test(what_is_too_long_or_has_too_many_members_is_still_read),
        cmocka_unit_test(mangled_texts_are_read_as_by_the_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
