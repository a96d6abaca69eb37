#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/router.h"

static void nothing(void *context, struct http_request *request)
{
    (void)context, (void)request;
}

static const struct http_route ROUTES[] = {
    {"GET", "/", nothing, 0},
    {"GET", "/api/v1/devices", nothing, 0},
    {"POST", "/api/v1/devices", nothing, 0},
    {"GET", "/api/v1/devices/{id}", nothing, 0},
    {"DELETE", "/api/v1/devices/{id}", nothing, 0},
    {"GET", "/api/v1/devices/export", nothing, 0},
    {"DELETE", "/api/v1/devices/{id}/subscriptions/{subscription}", nothing, 0},
    {"POST", "/callback", nothing, 0},
    {"POST", "/callback/", nothing, 0},
    {"POST", "/callback/{secret}", nothing, 0},
};

struct found {
    struct target target;
    struct router_match match;
    enum router_outcome outcome;
};

static struct router *router;

static int set_up(void **state)
{
    (void)state;
    router = router_open();
    router_add(router, ROUTES, sizeof(ROUTES) / sizeof(ROUTES[0]), &router);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    router_close(router);
    return 0;
}

static void find(const char *method, const char *raw, struct found *found)
{
    char error[TARGET_ERROR_SIZE];
    assert_int_equal(target_init(&found->target, raw, error), CS_OK);
    found->outcome = router_find(router, method, &found->target, &found->match);
}

static void expect_route(const char *method, const char *raw, size_t number)
{
    struct found found;
    find(method, raw, &found);
    assert_int_equal(found.outcome, ROUTER_FOUND);
    assert_ptr_equal(found.match.route, &ROUTES[number]);
    assert_ptr_equal(found.match.context, &router);
    target_fini(&found.target);
}

static void expect_outcome(const char *method, const char *raw, enum router_outcome outcome,
                           const char *allow)
{
    struct found found;
    find(method, raw, &found);
    assert_int_equal(found.outcome, outcome);
    assert_string_equal(found.match.allow, allow);
    target_fini(&found.target);
}

static void expect_refusal(const char *raw, const char *part)
{
    struct target target;
    char error[TARGET_ERROR_SIZE];
    assert_int_equal(target_init(&target, raw, error), CS_EINVAL);
    assert_non_null(strstr(error, part));
    target_fini(&target);
}

static void literal_paths_are_found_by_method(void **state)
{
    (void)state;
    expect_route("GET", "/", 0);
    expect_route("GET", "/api/v1/devices", 1);
    expect_route("POST", "/api/v1/devices", 2);
    expect_route("GET", "/api/v1/devices?limit=3", 1);
}

static void head_finds_the_route_of_get(void **state)
{
    (void)state;
    expect_route("HEAD", "/api/v1/devices", 1);
}

static void the_longer_literal_wins_over_a_parameter(void **state)
{
    (void)state;
    expect_route("GET", "/api/v1/devices/export", 5);
    expect_route("GET", "/api/v1/devices/exports", 3);
    expect_route("POST", "/callback/", 8);
    expect_route("POST", "/callback/x", 9);
    expect_route("POST", "/callback", 7);
}

static void parameters_are_given_by_name_and_decoded(void **state)
{
    (void)state;
    struct found found;
    find("DELETE", "/api/v1/devices/dev%5F1/subscriptions/a%2Fb+c", &found);
    assert_int_equal(found.outcome, ROUTER_FOUND);
    assert_string_equal(router_param(&found.match, "id"), "dev_1");
    assert_string_equal(router_param(&found.match, "subscription"), "a/b+c");
    assert_null(router_param(&found.match, "other"));
    assert_string_equal(found.target.path, "/api/v1/devices/dev%5F1/subscriptions/a%2Fb+c");
    target_fini(&found.target);
}

static void a_path_that_nobody_serves_is_not_found(void **state)
{
    (void)state;
    expect_outcome("GET", "/api/v1/device", ROUTER_NO_PATH, "");
    expect_outcome("GET", "/api/v1/devices/", ROUTER_NO_PATH, ""); /* a parameter is never empty */
    expect_outcome("GET", "/api/v1/devices/a/b", ROUTER_NO_PATH, "");
    expect_outcome("GET", "//api/v1/devices", ROUTER_NO_PATH, "");
    expect_outcome("POST", "/callback//", ROUTER_NO_PATH, "");
}

static void a_wrong_method_is_told_what_is_allowed(void **state)
{
    (void)state;
    expect_outcome("DELETE", "/api/v1/devices", ROUTER_NO_METHOD, "GET, HEAD, POST");
    expect_outcome("GET", "/callback/x", ROUTER_NO_METHOD, "POST");
    expect_outcome("DELETE", "/api/v1/devices/export", ROUTER_NO_METHOD, "GET, HEAD");
    expect_outcome("HEAD", "/callback/x", ROUTER_NO_METHOD, "POST");
}

static void query_parameters_are_decoded_as_forms_encode_them(void **state)
{
    (void)state;
    struct target target;
    char error[TARGET_ERROR_SIZE];
    assert_int_equal(target_init(&target, "/?a=1&b%20c=d+e%2Bf&empty=&bare&&q=x=y?z", error), CS_OK);
    assert_string_equal(target_query(&target, "a"), "1");
    assert_string_equal(target_query(&target, "b c"), "d e+f");
    assert_string_equal(target_query(&target, "empty"), "");
    assert_string_equal(target_query(&target, "bare"), "");
    assert_string_equal(target_query(&target, "q"), "x=y?z");
    assert_null(target_query(&target, "z"));
    assert_int_equal(target.query_count, 5);
    target_fini(&target);
}

static void the_absolute_form_means_its_path(void **state)
{
    (void)state;
    expect_route("GET", "http://relay.example:7090/api/v1/devices?x=1", 1);
    expect_route("GET", "HTTPS://relay.example/", 0);
    expect_route("GET", "http://relay.example", 0);
    expect_route("GET", "http://relay.example?x=1", 0);
}

static void what_cannot_be_read_is_refused_with_the_reason(void **state)
{
    (void)state;
    expect_refusal("", "slash");
    expect_refusal("*", "slash");
    expect_refusal("relative", "slash");
    expect_refusal("/a%2", "two hexadecimal digits");
    expect_refusal("/a%", "two hexadecimal digits");
    expect_refusal("/a%zz", "two hexadecimal digits");
    expect_refusal("/?a=%4", "two hexadecimal digits");
    expect_refusal("/?%4x=", "two hexadecimal digits");
    expect_refusal("/a%00b", "NUL");
    expect_refusal("/?a=%00", "NUL");
    expect_refusal("/?a=1&a=2", "twice");
    expect_refusal("/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", "too many segments");
    char many[400] = "/?";
    for (int i = 0; i <= TARGET_QUERY_MOST; i++) {
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "p%d=1&", i);
    }
    expect_refusal(many, "too many query");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(literal_paths_are_found_by_method, set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_finds_the_route_of_get, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longer_literal_wins_over_a_parameter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parameters_are_given_by_name_and_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_path_that_nobody_serves_is_not_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_method_is_told_what_is_allowed, set_up, tear_down),
        cmocka_unit_test(query_parameters_are_decoded_as_forms_encode_them),
        cmocka_unit_test_setup_teardown(the_absolute_form_means_its_path, set_up, tear_down),
        cmocka_unit_test(what_cannot_be_read_is_refused_with_the_reason),
    };
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
