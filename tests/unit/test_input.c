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

static struct store_device device_of(const char *text)
{
    struct store_device device;
    struct problem problem;
    json_t *body = body_of(text);
    if (!input_device(body, &device, &problem)) {
        fail_msg("%s: %s %s", text, problem.field, problem.detail);
    }
    json_decref(body);
    return device;
}

static void refuse_device(const char *text, const char *code, const char *field)
{
    struct store_device device;
    struct problem problem;
    json_t *body = body_of(text);
    assert_false(input_device(body, &device, &problem));
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
    refuse_device("{\"name\":\"x\",\"auth\":\"key\"}", "not_supported_yet", "auth");
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
