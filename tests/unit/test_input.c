#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "admin/input.h"

#define GENESIS "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"

static json_t *body_of(const char *text)
{
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    return body;
}

static void says(const struct problem *problem, unsigned status, const char *code, const char *field)
{
    assert_string_equal(problem->code, code);
    assert_int_equal(problem->status, status);
    assert_string_equal(problem->field, field);
    assert_true(problem->detail[0] != '\0' && problem->hint[0] != '\0');
    assert_true(strlen(problem->hint) < sizeof problem->hint - 1); /* nothing was cut */
}

static struct input_device input_of(const char *text)
{
    struct input_device input;
    struct problem problem;
    json_t *body = body_of(text);
    if (!input_device(body, &input, &problem)) {
        fail_msg("%s: %s %s", text, problem.field, problem.detail);
    }
    json_decref(body);
    return input;
}

static struct store_device device_of(const char *text)
{
    return input_of(text).device;
}

static void refuse_device(const char *text, const char *code, const char *field)
{
    struct input_device input;
    struct problem problem;
    json_t *body = body_of(text);
    assert_false(input_device(body, &input, &problem));
    says(&problem, 422, code, field);
    json_decref(body);
}

static void a_device_needs_a_name_only(void **state)
{
    (void)state;
    struct store_device device = device_of("{\"name\":\"Meter 12\"}");
    assert_string_equal(device.name, "Meter 12");
    assert_int_equal(device.auth, DEVICE_AUTH_TOKEN);
    assert_int_equal(device.expire_after_ms, 0);
    device = device_of("{\"name\":\"M\u00fcnze\",\"auth\":\"token\",\"expire_after_s\":900}");
    assert_string_equal(device.name, "M\u00fcnze");
    assert_int_equal(device.expire_after_ms, 900000);
    assert_int_equal(device_of("{\"name\":\"x\",\"expire_after_s\":null}").expire_after_ms, 0);
}

static void a_name_has_1_to_128_bytes_and_no_control_characters(void **state)
{
    (void)state;
    char text[200];
    for (int length = 127; length <= 129; length++) {
        snprintf(text, sizeof text, "{\"name\":\"%0*d\"}", length, 7);
        if (length <= 128) {
            assert_int_equal(strlen(device_of(text).name), length);
        } else {
            refuse_device(text, "invalid_field", "name");
        }
    }
    refuse_device("{\"name\":\"\"}", "invalid_field", "name");
    refuse_device("{\"name\":\"a\\nb\"}", "invalid_field", "name");
    refuse_device("{\"name\":\"a\\u007fb\"}", "invalid_field", "name");
    refuse_device("{\"name\":\"a\\u0085b\"}", "invalid_field", "name");
    assert_string_equal(device_of("{\"name\":\"a\\u00a1b\"}").name, "a\u00a1b");
    refuse_device("{\"name\":12}", "invalid_field", "name");
    refuse_device("{\"name\":null}", "invalid_field", "name");
    refuse_device("{}", "missing_field", "name");
}

static void what_a_device_cannot_be_is_refused_with_its_field(void **state)
{
    (void)state;
    refuse_device("{\"name\":\"x\",\"auth\":null}", "invalid_field", "auth");
    refuse_device("{\"name\":\"x\",\"auth\":\"password\"}", "invalid_field", "auth");
    refuse_device("{\"name\":\"x\",\"token\":\"mine\"}", "unknown_field", "token");
    refuse_device("{\"name\":\"x\",\"n\\u00e4me\":1}", "unknown_field", "n??me");
    refuse_device("{\"name\":\"x\",\"expire_after_s\":0}", "invalid_field", "expire_after_s");
    refuse_device("{\"name\":\"x\",\"expire_after_s\":-5}", "invalid_field", "expire_after_s");
    refuse_device("{\"name\":\"x\",\"expire_after_s\":1.5}", "invalid_field", "expire_after_s");
    refuse_device("{\"name\":\"x\",\"expire_after_s\":\"60\"}", "invalid_field", "expire_after_s");
    refuse_device("{\"name\":\"x\",\"expire_after_s\":9223372036854775807}", "invalid_field",
                  "expire_after_s");
}

/* RFC 8032, section 7.1, test 1. */
#define PUBLIC_KEY "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

static void a_device_may_have_a_key_given_or_made_for_it(void **state)
{
    (void)state;
    struct input_device input =
        input_of("{\"name\":\"x\",\"auth\":\"key\",\"public_key\":\"" PUBLIC_KEY "\"}");
    assert_int_equal(input.device.auth, DEVICE_AUTH_KEY);
    assert_true(input.has_public_key);
    assert_int_equal(input.public_key[0], 0xd7);
    assert_int_equal(input.public_key[31], 0x1a);
    input = input_of("{\"name\":\"x\",\"auth\":\"key\"}");
    assert_int_equal(input.device.auth, DEVICE_AUTH_KEY);
    assert_false(input.has_public_key);
}

static void a_public_key_that_anybody_can_sign_under_is_refused(void **state)
{
    (void)state;
    static const char *const KEYS[] = {
        "",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f70751",
        "z75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "0000000000000000000000000000000000000000000000000000000000000000", /* order 4 */
        "0100000000000000000000000000000000000000000000000000000000000000", /* the identity */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* order 2 */
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", /* order 8 */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* not reduced */
        "0200000000000000000000000000000000000000000000000000000000000000", /* not on the curve */
    };
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"name\":\"x\",\"auth\":\"key\",\"public_key\":\"%s\"}", KEYS[i]);
        refuse_device(text, "invalid_field", "public_key");
    }
    refuse_device("{\"name\":\"x\",\"auth\":\"key\",\"public_key\":null}", "invalid_field", "public_key");
    refuse_device("{\"name\":\"x\",\"public_key\":\"" PUBLIC_KEY "\"}", "invalid_field", "public_key");
    refuse_device("{\"name\":\"x\",\"auth\":\"key\",\"secret_key\":\"" PUBLIC_KEY "\"}", "unknown_field",
                  "secret_key");
}

static void refuse_import(const char *text, const char *code, const char *field)
{
    struct input_import import;
    struct problem problem;
    json_t *body = body_of(text);
    if (input_import(body, &import, &problem)) {
        fail_msg("taken: %s", text);
    }
    says(&problem, 422, code, field);
    assert_null(import.subscriptions);
    json_decref(body);
}

#define TOKEN_32 "0123456789abcdef0123456789abcdef"

static void a_line_of_an_import_may_bring_its_token_and_subscriptions(void **state)
{
    (void)state;
    struct input_import import;
    struct problem problem;
    json_t *body =
        body_of("{\"name\":\"x\",\"token\":\"" TOKEN_32
                "\",\"expire_after_s\":60,\"subscriptions\":[{\"chain\":\"nano\",\"address\":\"" GENESIS
                "\",\"minimum\":\"7\"}]}");
    assert_true(input_import(body, &import, &problem));
    json_decref(body);
    assert_string_equal(import.input.token, TOKEN_32);
    assert_int_equal(import.input.device.expire_after_ms, 60000);
    assert_int_equal(import.subscription_count, 1);
    assert_int_equal(import.subscriptions[0].minimum.low, 7);
    free(import.subscriptions);
    body = body_of("{\"name\":\"x\",\"subscriptions\":[]}");
    assert_true(input_import(body, &import, &problem));
    json_decref(body);
    assert_true(import.subscriptions == NULL && import.input.token[0] == '\0');
}

static void what_is_wrong_with_a_line_of_an_import_is_said_with_its_field(void **state)
{
    (void)state;
    char text[400];
    refuse_import("{\"name\":\"x\",\"token\":\"0123456789abcdef0123456789abcde\"}", "invalid_field", "token");
    refuse_import("{\"name\":\"x\",\"token\":\"" TOKEN_32 " \"}", "invalid_field", "token");
    refuse_import("{\"name\":\"x\",\"token\":\"" TOKEN_32 "\u00e9\"}", "invalid_field", "token");
    refuse_import("{\"name\":\"x\",\"token\":null}", "invalid_field", "token");
    refuse_import("{\"name\":\"x\",\"auth\":\"key\",\"token\":\"" TOKEN_32 "\"}", "invalid_field", "token");
    refuse_import("{\"token\":\"" TOKEN_32 "\"}", "missing_field", "name");
    refuse_import("{\"name\":\"x\",\"subscriptions\":{}}", "invalid_field", "subscriptions");
    refuse_import("{\"name\":\"x\",\"subscriptions\":[7]}", "invalid_field", "subscriptions[0]");
    refuse_import("{\"name\":\"x\",\"subscriptions\":[{\"chain\":\"nano\",\"address\":\"" GENESIS
                  "\"},{\"chain\":\"nano\"}]}",
                  "missing_field", "subscriptions[1].address");
    refuse_import("{\"name\":\"x\",\"colour\":\"red\"}", "unknown_field", "colour");
    snprintf(text, sizeof text, "{\"name\":\"x\",\"token\":\"%0128d\"}", 7);
    struct input_import import;
    struct problem problem;
    json_t *body = body_of(text);
    assert_true(input_import(body, &import, &problem));
    json_decref(body);
    snprintf(text, sizeof text, "{\"name\":\"x\",\"token\":\"%0129d\"}", 7);
    refuse_import(text, "invalid_field", "token");
    snprintf(text, sizeof text, "{\"name\":\"x\",\"subscriptions\":[{\"%0100d\":1}]}", 7);
    body = body_of(text);
    assert_false(input_import(body, &import, &problem));
    assert_memory_equal(problem.field, "subscriptions[0].0000", 21); /* cut, and ended */
    json_decref(body);
}

static void expect_config(const char *text, const char *settings)
{
    char read[STORE_SETTINGS_MOST + 1];
    struct problem problem;
    json_t *body = body_of(text);
    if (!input_config(body, read, &problem)) {
        fail_msg("%s: %s %s", text, problem.field, problem.detail);
    }
    assert_string_equal(read, settings);
    json_decref(body);
}

static void a_config_is_kept_in_one_form(void **state)
{
    (void)state;
    expect_config(
        "{ \"tariff\" : {\"cap_s\":7200, \"steps\":[{\"seconds\":600,\"amount\":\"100\"}]}}",
        "{\"tariff\":{\"steps\":[{\"amount\":\"100\",\"seconds\":600}],\"minimum\":\"0\",\"cap_s\":7200},"
        "\"late_after_s\":null}");
    expect_config(
        "{\"late_after_s\":900,\"tariff\":{\"minimum\":\"50\",\"cap_s\":2147483647,\"steps\":["
        "{\"amount\":\"100\",\"seconds\":1},{\"amount\":\"340282366920938463463374607431768211455\",\"seconds\":2147483647}]}}",
        "{\"tariff\":{\"steps\":[{\"amount\":\"100\",\"seconds\":1},"
        "{\"amount\":\"340282366920938463463374607431768211455\",\"seconds\":2147483647}],\"minimum\":\"50\","
        "\"cap_s\":2147483647},\"late_after_s\":900}");
    expect_config(
        "{\"late_after_s\":null,\"tariff\":{\"cap_s\":1,\"steps\":[{\"amount\":\"1\",\"seconds\":1}]}}",
        "{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1}],\"minimum\":\"0\",\"cap_s\":1},\"late_after_s\":null}");
    expect_config(
        "{\"tariff\":{\"cap_s\":1,\"steps\":[{\"amount\":\"1\",\"seconds\":1}]},\"proof\":true}",
        "{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1}],\"minimum\":\"0\",\"cap_s\":1},\"late_after_s\":null,"
        "\"proof\":true}");
    expect_config(
        "{\"tariff\":{\"cap_s\":1,\"steps\":[{\"amount\":\"1\",\"seconds\":1}]},\"proof\":false}",
        "{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1}],\"minimum\":\"0\",\"cap_s\":1},\"late_after_s\":null}");
}

static void refuse_config(const char *text, const char *code, const char *field)
{
    char settings[STORE_SETTINGS_MOST + 1];
    struct problem problem;
    json_t *body = body_of(text);
    if (input_config(body, settings, &problem)) {
        fail_msg("taken: %s", text);
    }
    says(&problem, 422, code, field);
    json_decref(body);
}

static void what_is_wrong_with_a_config_is_said_with_its_field(void **state)
{
    (void)state;
#define STEP          "{\"amount\":\"5\",\"seconds\":600}"
#define TARIFF(steps) "{\"tariff\":{\"steps\":[" steps "],\"cap_s\":7200}}"
    static const struct {
        const char *text, *code, *field;
    } CASES[] = {
        {"{}", "missing_field", "tariff"},
        {"{\"tariff\":[]}", "invalid_field", "tariff"},
        {"{\"tariff\":null}", "invalid_field", "tariff"},
        {"{\"tariff\":{\"cap_s\":1}}", "missing_field", "tariff.steps"},
        {"{\"tariff\":{\"cap_s\":1,\"steps\":{}}}", "invalid_field", "tariff.steps"},
        {TARIFF(""), "invalid_field", "tariff.steps"},
        {TARIFF("7"), "invalid_field", "tariff.steps[0]"},
        {TARIFF("{\"seconds\":1}"), "missing_field", "tariff.steps[0].amount"},
        {TARIFF("{\"amount\":5,\"seconds\":1}"), "invalid_field", "tariff.steps[0].amount"},
        {TARIFF("{\"amount\":null,\"seconds\":1}"), "invalid_field", "tariff.steps[0].amount"},
        {TARIFF("{\"amount\":\"1e3\",\"seconds\":1}"), "invalid_field", "tariff.steps[0].amount"},
        {TARIFF("{\"amount\":\"0\",\"seconds\":1}"), "invalid_field", "tariff.steps[0].amount"},
        {TARIFF(STEP "," STEP), "invalid_field", "tariff.steps[1].amount"},
        {TARIFF(STEP ",{\"amount\":\"4\",\"seconds\":900}"), "invalid_field", "tariff.steps[1].amount"},
        {TARIFF("{\"amount\":\"5\"}"), "missing_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":0}"), "invalid_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":-1}"), "invalid_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":2147483648}"), "invalid_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":1.0}"), "invalid_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":\"1\"}"), "invalid_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":null}"), "invalid_field", "tariff.steps[0].seconds"},
        {TARIFF("{\"amount\":\"5\",\"seconds\":1,\"label\":\"x\"}"), "unknown_field",
         "tariff.steps[0].label"},
        {"{\"tariff\":{\"steps\":[" STEP "]}}", "missing_field", "tariff.cap_s"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":0}}", "invalid_field", "tariff.cap_s"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1,\"minimum\":1}}", "invalid_field", "tariff.minimum"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1,\"free\":true}}", "unknown_field", "tariff.free"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1},\"late_after_s\":0}", "invalid_field",
         "late_after_s"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1},\"late_after_s\":true}", "invalid_field",
         "late_after_s"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1},\"proof\":1}", "invalid_field", "proof"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1},\"proof\":null}", "invalid_field", "proof"},
        {"{\"tariff\":{\"steps\":[" STEP "],\"cap_s\":1},\"addresses\":[]}", "unknown_field", "addresses"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        refuse_config(CASES[i].text, CASES[i].code, CASES[i].field);
    }
}

/* Steps with amounts of `digits` digits each. */
static char *config_of(int count, int digits)
{
    static char text[8000];
    size_t length = (size_t)snprintf(text, sizeof text, "{\"tariff\":{\"cap_s\":1,\"steps\":[");
    for (int i = 0; i < count; i++) {
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "%s{\"amount\":\"1%0*d\",\"seconds\":600}",
                             i == 0 ? "" : ",", digits - 1, i);
    }
    snprintf(text + length, sizeof text - length, "]}}");
    return text;
}

static void a_config_has_at_most_32_steps_and_2048_bytes(void **state)
{
    (void)state;
    char settings[STORE_SETTINGS_MOST + 1];
    struct problem problem;
    json_t *body = body_of(config_of(32, 31));
    assert_true(input_config(body, settings, &problem));
    json_decref(body);
    refuse_config(config_of(33, 10), "invalid_field", "tariff.steps");
    refuse_config(config_of(32, 38), "invalid_field", "tariff");
}

static void a_device_is_changed_to_active_or_disabled_only(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code, *field;
    } CASES[] = {
        {"{}", "missing_field", "state"},
        {"{\"state\":\"retired\"}", "invalid_field", "state"},
        {"{\"state\":\"Active\"}", "invalid_field", "state"},
        {"{\"state\":null}", "invalid_field", "state"},
        {"{\"state\":\"active\",\"name\":\"y\"}", "unknown_field", "name"},
    };
    struct problem problem;
    enum device_state to;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_t *body = body_of(CASES[i].text);
        assert_false(input_device_change(body, &to, &problem));
        says(&problem, 422, CASES[i].code, CASES[i].field);
        json_decref(body);
    }
    json_t *body = body_of("{\"state\":\"disabled\"}");
    assert_true(input_device_change(body, &to, &problem));
    assert_int_equal(to, DEVICE_DISABLED);
    json_decref(body);
    body = body_of("{\"state\":\"active\"}");
    assert_true(input_device_change(body, &to, &problem));
    assert_int_equal(to, DEVICE_ACTIVE);
    json_decref(body);
}

static void a_version_is_the_current_one_unless_given(void **state)
{
    (void)state;
    struct problem problem;
    uint64_t version;
    assert_true(input_version(NULL, &version, &problem));
    assert_int_equal(version, 0);
    assert_true(input_version("12", &version, &problem));
    assert_int_equal(version, 12);
    static const char *const BAD[] = {"0", "-1", "+1", "1.0", "x", "", "9223372036854775808"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        assert_false(input_version(BAD[i], &version, &problem));
        says(&problem, 400, "invalid_parameter", "version");
    }
}

static void refuse_subscription(const char *text, const char *code, const char *field, const char *words)
{
    struct store_subscription subscription;
    struct problem problem;
    json_t *body = body_of(text);
    assert_false(input_subscription(body, &subscription, &problem));
    says(&problem, 422, code, field);
    assert_non_null(strstr(problem.hint, words));
    json_decref(body);
}

static void a_subscription_takes_every_spelling_of_an_address(void **state)
{
    (void)state;
    static const char *const BODIES[] = {
        "{\"chain\":\"nano\",\"address\":\"" GENESIS
        "\",\"minimum\":\"340282366920938463463374607431768211455\"}",
        "{\"chain\":\"nano\",\"address\":\"xrb_"
        "3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3\"}",
    };
    struct store_subscription read[2];
    for (int i = 0; i < 2; i++) {
        struct problem problem;
        json_t *body = body_of(BODIES[i]);
        assert_true(input_subscription(body, &read[i], &problem));
        json_decref(body);
    }
    assert_true(address_equal(&read[0].address, &read[1].address));
    assert_true(read[0].minimum.high == UINT64_MAX && read[0].minimum.low == UINT64_MAX);
    assert_true(amount_is_zero(read[1].minimum));
}

static void what_a_subscription_cannot_be_is_refused_with_its_field(void **state)
{
    (void)state;
#define BODY(rest) "{\"chain\":\"nano\",\"address\":\"" GENESIS "\"" rest "}"
    refuse_subscription("{\"address\":\"" GENESIS "\"}", "missing_field", "chain", "nano");
    refuse_subscription("{\"chain\":\"nano\"}", "missing_field", "address", "nano_");
    refuse_subscription("{\"chain\":\"doge\",\"address\":\"D\"}", "invalid_field", "chain", "nano");
    refuse_subscription("{\"chain\":\"nano\",\"address\":\"nano_1\"}", "invalid_field", "address",
                        "checksum");
    refuse_subscription(BODY(",\"minimum\":5"), "invalid_field", "minimum", "string");
    refuse_subscription(BODY(",\"minimum\":5.0"), "invalid_field", "minimum", "string");
    refuse_subscription(BODY(",\"minimum\":\"-1\""), "invalid_field", "minimum", "string");
    refuse_subscription(BODY(",\"minimum\":\"0.5\""), "invalid_field", "minimum", "string");
    refuse_subscription(BODY(",\"minimum\":\"340282366920938463463374607431768211456\""), "invalid_field",
                        "minimum", "string");
    refuse_subscription(BODY(",\"minimum\":null"), "invalid_field", "minimum", "string");
    refuse_subscription(BODY(",\"maximum\":\"5\""), "unknown_field", "maximum", "openapi");
#undef BODY
}

static void a_token_needs_a_name_and_one_of_the_roles(void **state)
{
    (void)state;
    struct store_api_token token;
    struct problem problem;
    json_t *body = body_of("{\"name\":\"grafana\",\"role\":\"viewer\"}");
    assert_true(input_api_token(body, &token, &problem));
    assert_int_equal(token.role, ROLE_VIEWER);
    json_decref(body);
    body = body_of("{\"name\":\"grafana\",\"role\":\"root\"}");
    assert_false(input_api_token(body, &token, &problem));
    says(&problem, 422, "invalid_field", "role");
    json_decref(body);
    body = body_of("{\"name\":\"grafana\"}");
    assert_false(input_api_token(body, &token, &problem));
    says(&problem, 422, "missing_field", "role");
    json_decref(body);
}

static void a_limit_is_100_unless_given_and_1_to_1000(void **state)
{
    (void)state;
    struct problem problem;
    uint32_t limit;
    assert_true(input_limit(NULL, &limit, &problem));
    assert_int_equal(limit, 100);
    assert_true(input_limit("1", &limit, &problem));
    assert_int_equal(limit, 1);
    assert_true(input_limit("1000", &limit, &problem));
    assert_int_equal(limit, 1000);
    static const char *const BAD[] = {"0", "1001", "99999999999", "-1", "+1", " 1", "1 ", "1e2", "ten", ""};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        assert_false(input_limit(BAD[i], &limit, &problem));
        says(&problem, 400, "invalid_parameter", "limit");
    }
}

static void a_range_takes_rfc_3339_and_milliseconds(void **state)
{
    (void)state;
    struct problem problem;
    int64_t from, to;
    assert_true(input_range(NULL, NULL, &from, &to, &problem));
    assert_true(from == 0 && to == 0);
    assert_true(input_range("2026-11-20T17:03:00Z", "1795194180001", &from, &to, &problem));
    assert_int_equal(from, 1795194180000);
    assert_int_equal(to, 1795194180001);
    assert_true(input_range("2026-11-20T18:03:00.5+01:00", NULL, &from, &to, &problem));
    assert_int_equal(from, 1795194180500);
    assert_true(input_range("0", NULL, &from, &to, &problem));
}

static void a_range_that_can_hold_nothing_is_refused(void **state)
{
    (void)state;
    struct problem problem;
    int64_t from, to;
    assert_false(input_range("yesterday", NULL, &from, &to, &problem));
    says(&problem, 400, "invalid_parameter", "from");
    assert_false(input_range(NULL, "2026-11-31T00:00:00Z", &from, &to, &problem));
    says(&problem, 400, "invalid_parameter", "to");
    assert_false(input_range("1960-01-01T00:00:00Z", NULL, &from, &to, &problem));
    says(&problem, 400, "invalid_parameter", "from");
    assert_false(input_range("5", "5", &from, &to, &problem));
    says(&problem, 400, "invalid_parameter", "to");
    assert_false(input_range(NULL, "0", &from, &to, &problem)); /* 0 means `open` further in */
    says(&problem, 400, "invalid_parameter", "to");
    /* A + that was not escaped arrives as a blank. */
    assert_false(input_range("2026-11-20T18:03:00 01:00", NULL, &from, &to, &problem));
    assert_non_null(strstr(problem.hint, "%2B"));
}

static void hashes_addresses_and_states_are_read_or_named(void **state)
{
    (void)state;
    struct problem problem;
    uint8_t hash[PAYMENT_HASH_SIZE];
    struct address address;
    enum delivery_state delivery;
    enum device_state device;
    assert_true(
        input_hash("00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", hash, &problem));
    assert_int_equal(hash[31], 0xff);
    assert_false(input_hash("0011", hash, &problem));
    says(&problem, 400, "invalid_parameter", "hash");
    assert_true(input_address(GENESIS, &address, &problem));
    assert_false(input_address("nano_", &address, &problem));
    says(&problem, 400, "invalid_parameter", "address");
    assert_true(input_delivery_state("acked", &delivery, &problem));
    assert_int_equal(delivery, DELIVERY_ACKED);
    assert_false(input_delivery_state("lost", &delivery, &problem));
    says(&problem, 400, "invalid_parameter", "state");
    assert_true(input_device_state("retired", &device, &problem));
    assert_int_equal(device, DEVICE_RETIRED);
    assert_false(input_device_state("Active", &device, &problem));
    says(&problem, 400, "invalid_parameter", "state");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_needs_a_name_only),
        cmocka_unit_test(a_name_has_1_to_128_bytes_and_no_control_characters),
        cmocka_unit_test(what_a_device_cannot_be_is_refused_with_its_field),
        cmocka_unit_test(a_device_may_have_a_key_given_or_made_for_it),
        cmocka_unit_test(a_public_key_that_anybody_can_sign_under_is_refused),
        cmocka_unit_test(a_line_of_an_import_may_bring_its_token_and_subscriptions),
        cmocka_unit_test(what_is_wrong_with_a_line_of_an_import_is_said_with_its_field),
        cmocka_unit_test(a_config_is_kept_in_one_form),
        cmocka_unit_test(what_is_wrong_with_a_config_is_said_with_its_field),
        cmocka_unit_test(a_config_has_at_most_32_steps_and_2048_bytes),
        cmocka_unit_test(a_device_is_changed_to_active_or_disabled_only),
        cmocka_unit_test(a_version_is_the_current_one_unless_given),
        cmocka_unit_test(a_subscription_takes_every_spelling_of_an_address),
        cmocka_unit_test(what_a_subscription_cannot_be_is_refused_with_its_field),
        cmocka_unit_test(a_token_needs_a_name_and_one_of_the_roles),
        cmocka_unit_test(a_limit_is_100_unless_given_and_1_to_1000),
        cmocka_unit_test(a_range_takes_rfc_3339_and_milliseconds),
        cmocka_unit_test(a_range_that_can_hold_nothing_is_refused),
        cmocka_unit_test(hashes_addresses_and_states_are_read_or_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
