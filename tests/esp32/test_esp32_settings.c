/* What a meter is given: over the serial line and by NVS, in the same words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "firmware/sodium_crypto.h"
#include "plain/settings.h"

#define KEY     "1fca272556d31bf0c5a31e0a70cbf72cd264e13c017b03139502dc69e3279487"
#define NEXT    "cf8218a0bfcd12172902fdfa26b1ac3fc693e53a345a9d24c3a5786c16d7619A"
#define ADDRESS "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo"

static struct settings settings;

static const char *put(const char *name, const char *value)
{
    return settings_put(&settings, &SODIUM_CRYPTO, name, value);
}

static int fresh(void **state)
{
    (void)state;
    settings_clear(&settings);
    return 0;
}

static int complete(void **state)
{
    (void)fresh(state);
    static const char *const GIVEN[][2] = {
        {"wifi_ssid", "Market Square"},     {"wifi_password", "open sesame"},
        {"relay", "ws://192.168.1.2:7091"}, {"relay_key", KEY " " NEXT},
        {"device", "dev_kb4hapepcyyaf3v4"}, {"secret_key", KEY}};
    for (size_t i = 0; i < sizeof(GIVEN) / sizeof(GIVEN[0]); i++) {
        assert_null(put(GIVEN[i][0], GIVEN[i][1]));
    }
    return 0;
}

static void a_meter_by_key_is_complete_with_six(void **state)
{
    (void)state;
    assert_null(settings_missing(&settings));
    assert_int_equal(settings.identity.relay_key_count, 2);
    assert_int_equal(settings.identity.relay_keys[0][0], 0x1f);
    assert_int_equal(settings.identity.relay_keys[1][31], 0x9a);
    assert_int_equal(settings.secret[31], 0x87);
    assert_string_equal(settings.wifi_ssid, "Market Square");
}

static void each_of_them_is_missed(void **state)
{
    (void)state;
    settings.wifi_ssid[0] = '\0';
    assert_string_equal(settings_missing(&settings), "wifi_ssid is missing");
    (void)complete(state);
    settings.relay[0] = '\0';
    assert_string_equal(settings_missing(&settings), "relay is missing");
    (void)complete(state);
    settings.identity.device[0] = '\0';
    assert_string_equal(settings_missing(&settings), "device is missing");
    (void)complete(state);
    assert_null(put("secret_key", ""));
    assert_string_equal(settings_missing(&settings), "secret_key is missing (or token)");
    (void)complete(state);
    assert_null(put("relay_key", ""));
    assert_string_equal(settings_missing(&settings), "relay_key is missing: without it any relay would do");
    (void)complete(state);
    assert_non_null(put("steps", ""));
    assert_string_equal(settings_missing(&settings), "steps are missing");
}

static void a_token_needs_tls_and_stands_alone(void **state)
{
    (void)state;
    assert_null(put("token", "secret"));
    assert_string_equal(settings_missing(&settings), "secret_key and token: one of them");
    assert_null(put("secret_key", ""));
    assert_string_equal(settings_missing(&settings), "relay_key goes with secret_key");
    assert_null(put("relay_key", ""));
    assert_string_equal(settings_missing(&settings), "a token needs a relay at wss://");
    assert_null(put("relay", "wss://relay.example"));
    assert_null(settings_missing(&settings));
}

static void a_relays_address_may_be_the_one_that_the_demo_prints(void **state)
{
    (void)state;
    assert_null(put("relay", "ws://192.168.1.2:7091/device"));
    assert_string_equal(settings.relay, "ws://192.168.1.2:7091");
    assert_null(put("relay", "wss://relay.example/"));
    assert_string_equal(settings.relay, "wss://relay.example");
    assert_null(put("relay", "wss://relay.example/behind/device"));
    assert_string_equal(settings.relay, "wss://relay.example/behind");
}

static void what_is_no_value_is_refused_in_words(void **state)
{
    (void)state;
    static const char LONG[] = "123456789012345678901234567890123";
    static const char *const WRONG[][2] = {
        {"wifi_ssid", LONG},
        {"wifi_password", "short"},
        {"relay", "http://192.168.1.2:7091"},
        {"relay", "192.168.1.2:7091"},
        {"relay_key", "12"},
        {"relay_key", KEY "ab"},
        {"relay_key", KEY " " NEXT " " KEY},
        {"relay_key", "zfca272556d31bf0c5a31e0a70cbf72cd264e13c017b03139502dc69e3279487"},
        {"device", "kb4hapepcyyaf3v4"},
        {"secret_key", "fadb"},
        {"secret_key", KEY "0"},
        {"address", "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdd"},
        {"address", "nano_3e3j5tkog48p"},
        {"proof", "true"},
        {"proof", ""},
        {"steps", ""},
        {"steps", "0.1"},
        {"steps", "0.1:"},
        {"steps", "0:360"},
        {"steps", "0.1:0"},
        {"steps", "0.1:360 0.1:400"},
        {"steps", "0.2:360 0.1:400"},
        {"steps", "0.1:2147483648"},
        {"minimum", "a lot"},
        {"cap_s", "0"},
        {"cap_s", "-1"},
        {"cap_s", "99999999999"},
        {"late_after", "soon"},
        {"late_after", "-2"},
        {"own_tariff", "1"},
        {"update_url", "http://updates.example/meter.bin"},
        {"ca", "a certificate"},
        {"colour", "green"},
    };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        if (put(WRONG[i][0], WRONG[i][1]) == NULL) {
            fail_msg("%s took \"%s\"", WRONG[i][0], WRONG[i][1]);
        }
    }
}

static void a_tariff_is_read_to_the_raw(void **state)
{
    (void)state;
    struct core_tariff *tariff = &settings.identity.tariff;
    assert_int_equal(tariff->count, 1);
    assert_int_equal(tariff->steps[0].seconds, 6);
    assert_null(put("steps", "0.1:360  1:4200 "));
    assert_int_equal(tariff->count, 2);
    char raw[AMOUNT_RAW_SIZE];
    amount_format_raw(tariff->steps[0].amount, raw);
    assert_string_equal(raw, "100000000000000000000000000000");
    assert_int_equal(tariff->steps[1].seconds, 4200);
    assert_null(put("minimum", "0.000000000000000000000000000001"));
    assert_int_equal(tariff->minimum.low, 1);
    assert_null(put("cap_s", "7200"));
    assert_int_equal(tariff->cap_s, 7200);
    assert_null(put("late_after", "2147483647"));
    assert_int_equal(tariff->late_after_s, INT32_MAX);
    assert_null(put("late_after", "0"));
    assert_int_equal(tariff->late_after_s, 0);
    assert_null(put("late_after", "-1"));
    assert_int_equal(tariff->late_after_s, -1);
}

static void addresses_and_flags(void **state)
{
    (void)state;
    assert_null(put("address", ADDRESS " " ADDRESS));
    assert_int_equal(settings.identity.address_count, 2);
    assert_null(put("address", ""));
    assert_int_equal(settings.identity.address_count, 0);
    assert_null(put("proof", "yes"));
    assert_true(settings.identity.proof);
    assert_null(put("proof", "no"));
    assert_false(settings.identity.proof);
    assert_null(put("own_tariff", "yes"));
    assert_true(settings.identity.own_tariff);
}

static void names_fit_nvs_and_secrets_are_known(void **state)
{
    (void)state;
    size_t count = 0, secrets = 0;
    for (const char *name; (name = settings_name(count)) != NULL; count++) {
        assert_in_range(strlen(name), 1, 15);
        secrets += settings_is_secret(name);
    }
    assert_int_equal(count, 16);
    assert_int_equal(secrets, 3);
    assert_true(settings_is_secret("secret_key") && settings_is_secret("token") &&
                settings_is_secret("wifi_password"));
    assert_false(settings_is_secret("colour"));
}

static void name_and_value_are_told_apart_at_the_first_equals_sign(void **state)
{
    (void)state;
    char name[16];
    const char *value;
    assert_true(settings_split("wifi_password=a=b", name, &value));
    assert_string_equal(name, "wifi_password");
    assert_string_equal(value, "a=b");
    assert_true(settings_split("token=", name, &value));
    assert_string_equal(value, "");
    assert_false(settings_split("token", name, &value));
    assert_false(settings_split("=x", name, &value));
    assert_false(settings_split("colour=green", name, &value));
    assert_false(settings_split("a_name_of_16_lett=x", name, &value));
}

/* The built-in tariff, as the core would take it. */
static void what_is_left_out_makes_a_meter_that_the_core_takes(void **state)
{
    (void)state;
    const struct core_tariff *tariff = &settings.identity.tariff;
    assert_int_equal(tariff->count, 1);
    assert_int_equal(tariff->cap_s, CORE_SECONDS_MOST);
    assert_int_equal(tariff->late_after_s, -1);
    assert_true(amount_is_zero(tariff->minimum));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_meter_by_key_is_complete_with_six, complete),
        cmocka_unit_test_setup(each_of_them_is_missed, complete),
        cmocka_unit_test_setup(a_token_needs_tls_and_stands_alone, complete),
        cmocka_unit_test_setup(a_relays_address_may_be_the_one_that_the_demo_prints, fresh),
        cmocka_unit_test_setup(what_is_no_value_is_refused_in_words, fresh),
        cmocka_unit_test_setup(a_tariff_is_read_to_the_raw, fresh),
        cmocka_unit_test_setup(addresses_and_flags, fresh),
        cmocka_unit_test(names_fit_nvs_and_secrets_are_known),
        cmocka_unit_test(name_and_value_are_told_apart_at_the_first_equals_sign),
        cmocka_unit_test_setup(what_is_left_out_makes_a_meter_that_the_core_takes, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
