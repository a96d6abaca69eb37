#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "lib/schema.h"
#include "push/device_frames.h"

static enum cs_err read_frame(const char *text, struct device_frame *frame, struct device_problem *problem)
{
    /* In a block of its own size, so that a read past its end is seen. */
    size_t length = strlen(text);
    char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, text, length);
    enum cs_err err = device_frame_read(copy, length, frame, problem);
    free(copy);
    return err;
}

static void assert_refused(const char *text, const char *code)
{
    struct device_frame frame;
    struct device_problem problem;
    if (read_frame(text, &frame, &problem) != CS_EINVAL) {
        fail_msg("%s was taken", text);
    }
    assert_string_equal(problem.code, code);
    assert_true(problem.message[0] != '\0');
}

static void assert_taken(const char *text, struct device_frame *frame)
{
    struct device_problem problem;
    if (read_frame(text, frame, &problem) != CS_OK) {
        fail_msg("%s was refused: %s", text, problem.message);
    }
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void a_hello_is_read_whole(void **state)
{
    (void)state;
    struct device_frame frame;
    assert_taken(
        "{\"type\":\"hello\",\"device\":\"dev_abc\",\"token\":\"secret\",\"resume\":12,"
        "\"epoch\":\"0123456789abcdef0123456789abcdef\",\"firmware\":\"1.2.0\",\"config_version\":7}",
        &frame);
    assert_int_equal(frame.type, DEVICE_HELLO);
    assert_string_equal(frame.hello.device, "dev_abc");
    assert_string_equal(frame.hello.token, "secret");
    assert_int_equal(frame.hello.resume, 12);
    assert_string_equal(frame.hello.epoch, "0123456789abcdef0123456789abcdef");
    assert_string_equal(frame.hello.firmware, "1.2.0");
    assert_int_equal(frame.hello.config_version, 7);
    assert_int_equal(frame.hello.signed_length, 0);
}

#define KEY_HEX "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define SIG_HEX                                                                                              \
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"                                       \
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void a_hello_by_key_is_signed_up_to_its_last_member(void **state)
{
    (void)state;
    struct device_frame frame;
    const char *text =
        "{\"type\":\"hello\",\"device\":\"d\",\"key\":\"" KEY_HEX "\",\"resume\":5,\"sig\":\"" SIG_HEX "\"}";
    assert_taken(text, &frame);
    assert_string_equal(frame.hello.token, "");
    assert_int_equal(frame.hello.signed_length, strstr(text, ",\"sig\"") - text);
    assert_int_equal(frame.hello.key[31], 0xff);
    assert_int_equal(frame.hello.signature[63], 0xff);
    assert_int_equal(frame.hello.signature[1], 0x11);
    assert_int_equal(frame.hello.resume, 5);
}

static void a_hello_has_either_a_token_or_a_key_and_a_sig_at_its_end(void **state)
{
    (void)state;
#define HELLO "{\"type\":\"hello\",\"device\":\"d\""
    assert_refused(HELLO "}", "invalid");
    assert_refused(HELLO ",\"token\":\"t\",\"key\":\"" KEY_HEX "\",\"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"token\":\"t\",\"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"token\":\"t\",\"key\":\"" KEY_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "0\",\"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"key\":\"zz\",\"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"key\":7,\"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\",\"sig\":\"" SIG_HEX "\",\"resume\":1}", "invalid");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\",\"sig\":\"" SIG_HEX "\" }", "invalid");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\", \"sig\":\"" SIG_HEX "\"}", "invalid");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\",\"sig\":\"" KEY_HEX KEY_HEX "\"}",
                   "invalid"); /* upper case */
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\",\"sig\":\"x\",\"sig\":\"" SIG_HEX "\"}", "malformed");
    assert_refused(HELLO ",\"key\":\"" KEY_HEX "\",\"a\":{\"b\":1,\"sig\":\"" SIG_HEX "\"}}", "invalid");
#undef HELLO
}

static void a_hello_may_leave_out_resume_epoch_and_firmware(void **state)
{
    (void)state;
    struct device_frame frame;
    assert_taken("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\"}", &frame);
    assert_int_equal(frame.hello.resume, 0);
    assert_string_equal(frame.hello.epoch, "");
    assert_string_equal(frame.hello.firmware, "");
}

static void a_hello_with_a_wrong_member_is_refused(void **state)
{
    (void)state;
    assert_refused("{\"type\":\"hello\",\"token\":\"t\"}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\"}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"\",\"token\":\"t\"}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":7,\"token\":\"t\"}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"resume\":-1}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"resume\":1.0}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"resume\":\"1\"}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"epoch\":1}", "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"epoch\":"
                   "\"0123456789abcdef0123456789abcdef0\"}",
                   "invalid");
    assert_refused("{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"firmware\":null}", "invalid");
    char text[400], token[200];
    memset(token, 'x', sizeof(token));
    token[128] = '\0';
    struct device_frame frame;
    snprintf(text, sizeof(text), "{\"type\":\"hello\",\"device\":\"d\",\"token\":\"%s\"}", token);
    assert_taken(text, &frame);
    snprintf(text, sizeof(text), "{\"type\":\"hello\",\"device\":\"d\",\"token\":\"%sx\"}", token);
    assert_refused(text, "invalid");
}

static void acks_and_outcomes_are_read(void **state)
{
    (void)state;
    struct device_frame frame;
    assert_taken("{\"type\":\"ack\",\"seq\":9223372036854775807}", &frame);
    assert_int_equal(frame.type, DEVICE_ACK);
    assert_int_equal(frame.outcome.seq, INT64_MAX);
    assert_taken("{\"type\":\"ack\",\"seq\":0}", &frame);
    assert_taken("{\"type\":\"actuated\",\"seq\":3,\"seconds\":2147483647}", &frame);
    assert_int_equal(frame.outcome.state, DELIVERY_ACTUATED);
    assert_int_equal(frame.outcome.seconds, 2147483647);
    assert_taken("{\"type\":\"actuated\",\"seq\":3,\"seconds\":0}", &frame);
    assert_taken("{\"type\":\"refused\",\"seq\":4,\"reason\":\"too_late\"}", &frame);
    assert_int_equal(frame.outcome.state, DELIVERY_REFUSED);
    assert_string_equal(frame.outcome.reason, "too_late");
}

static void a_status_tells_what_it_tells_and_nothing_else(void **state)
{
    (void)state;
    struct device_frame frame;
    assert_taken(
        "{\"type\":\"status\",\"uptime_s\":3,\"rssi\":-70,\"relay_on\":true,\"remaining_s\":312,\"config_version\":7}",
        &frame);
    assert_int_equal(frame.type, DEVICE_STATUS);
    assert_int_equal(frame.status.uptime_s, 3);
    assert_int_equal(frame.status.rssi, -70);
    assert_int_equal(frame.status.relay_on, 1);
    assert_int_equal(frame.status.remaining_s, 312);
    assert_true(frame.status.has_config_version);
    assert_int_equal(frame.status.config_version, 7);
    assert_taken("{\"type\":\"status\"}", &frame);
    assert_true(frame.status.uptime_s == INT64_MIN && frame.status.rssi == INT64_MIN);
    assert_true(frame.status.remaining_s == INT64_MIN && frame.status.relay_on == -1);
    assert_false(frame.status.has_config_version);
    assert_refused("{\"type\":\"status\",\"uptime_s\":-1}", "invalid");
    assert_refused("{\"type\":\"status\",\"rssi\":40000}", "invalid");
    assert_refused("{\"type\":\"status\",\"rssi\":1.5}", "invalid");
    assert_refused("{\"type\":\"status\",\"relay_on\":1}", "invalid");
    assert_refused("{\"type\":\"status\",\"remaining_s\":null}", "invalid");
    assert_refused("{\"type\":\"status\",\"config_version\":\"7\"}", "invalid");
}

/* With a space in it, it is none of those that are read without a tree. */
static void assert_read_as_with_a_space(const char *text)
{
    char spaced[200];
    struct device_frame frame, other;
    struct device_problem problem;
    snprintf(spaced, sizeof(spaced), "{ %s", text + 1);
    char *exact = malloc(strlen(text)); /* so that reading past it is found */
    assert_non_null(exact);
    memcpy(exact, text, strlen(text));
    enum cs_err err = device_frame_read(exact, strlen(text), &frame, &problem);
    free(exact);
    assert_int_equal(err, device_frame_read(spaced, strlen(spaced), &other, &problem));
    assert_true(err != CS_OK || (frame.type == other.type && frame.outcome.seq == other.outcome.seq));
}

static void an_ack_means_the_same_however_it_is_written(void **state)
{
    (void)state;
    static const char *const NUMBERS[] = {
        "0",
        "1",
        "9",
        "10",
        "123456789012345678",
        "999999999999999999",
        "1000000000000000000",
        "00",
        "01",
        "-1",
        "1.0",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551617",
        "",
        "1e2",
        "\"1\"",
        "1,\"a\":2",
        "1,\"type\":\"hello\"",
        "1,\"seq\":2",
        "1x",
    };
    static const char *const ENDS[] = {
        "}",
        "",
        "}}",
        "} ",
        ",}",
        ",\"mac\":\"00112233445566778899aabbccddeeff\"}",
        ",\"mac\":\"00112233445566778899aabbccddeef\"}",
        ",\"mac\":\"00112233445566778899aabbccddeefff\"}",
        ",\"mac\":\"00112233445566778899AABBCCDDEEFF\"}",
        ",\"mac\":\"00112233445566\"78899aabbccddeeff\"}",
        ",\"mac\":\"001122334455667788\\xaabbccddeeff\"}",
        ",\"mac\":\"00112233445566778899aabbccddeeff\" ",
        ",\"mac\":\"00112233445566778899aabbccddeeff\",\"mac\":\"\"}",
        ",\"sig\":\"00112233445566778899aabbccddeeff\"}",
    };
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        for (size_t j = 0; j < sizeof(ENDS) / sizeof(ENDS[0]); j++) {
            char text[180];
            snprintf(text, sizeof(text), "{\"type\":\"ack\",\"seq\":%s%s", NUMBERS[i], ENDS[j]);
            assert_read_as_with_a_space(text);
        }
    }
}

static void acks_and_outcomes_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_refused("{\"type\":\"ack\"}", "invalid");
    assert_refused("{\"type\":\"ack\",\"seq\":-1}", "invalid");
    assert_refused("{\"type\":\"ack\",\"seq\":9223372036854775808}", "malformed");
    assert_refused("{\"type\":\"actuated\",\"seq\":0,\"seconds\":1}", "invalid");
    assert_refused("{\"type\":\"actuated\",\"seq\":1}", "invalid");
    assert_refused("{\"type\":\"actuated\",\"seq\":1,\"seconds\":-1}", "invalid");
    assert_refused("{\"type\":\"actuated\",\"seq\":1,\"seconds\":2147483648}", "invalid");
    assert_refused("{\"type\":\"refused\",\"seq\":0,\"reason\":\"x\"}", "invalid");
    assert_refused("{\"type\":\"refused\",\"seq\":1}", "invalid");
    assert_refused("{\"type\":\"refused\",\"seq\":1,\"reason\":\"\"}", "invalid");
    assert_refused("{\"type\":\"refused\",\"seq\":1,\"reason\":\"Too late\"}", "invalid");
    assert_refused("{\"type\":\"refused\",\"seq\":1,\"reason\":\"a23456789012345678901234567890123\"}",
                   "invalid");
}

static void what_is_no_frame_is_refused(void **state)
{
    (void)state;
    assert_refused("", "malformed");
    assert_refused("Connected", "malformed");
    assert_refused("[]", "malformed");
    assert_refused("{}", "malformed");
    assert_refused("{\"type\":1}", "malformed");
    assert_refused("{\"type\":\"ack\",\"seq\":1", "malformed");
    assert_refused("{\"type\":\"ack\",\"seq\":1}{}", "malformed");
    assert_refused("{\"type\":\"ack\",\"seq\":1,\"seq\":2}", "malformed");
    assert_refused("{\"type\":\"nonsense\"}", "unknown_type");
    assert_refused("{\"type\":\"payment\"}", "unknown_type");
}

static void nesting_past_four_levels_is_refused(void **state)
{
    (void)state;
    struct device_frame frame;
    assert_taken("{\"type\":\"status\",\"a\":[[[]]]}", &frame);
    assert_refused("{\"type\":\"status\",\"a\":[[[[]]]]}", "malformed");
}

/* ---- building ------------------------------------------------------------------------------------------ */

static struct store_delivery some_delivery(void)
{
    struct store_delivery delivery = {
        .seq = 1235, .state = DELIVERY_SENT, .config_version = 7, .stored_at_ms = 1700000000123};
    bool read = hex_decode("B3B4545EBCCB26E61DE34DF78B4ED3CA5FCB2BE6A7B9B9A2B7E6F1F4B3B0A9C8",
                           delivery.payment.hash, 32);
    assert_true(read);
    static const uint8_t key_a[32] = {1}, key_b[32] = {2};
    delivery.payment.from = address_from_nano_key(key_a);
    delivery.payment.to = address_from_nano_key(key_b);
    read = amount_parse_raw("340282366920938463463374607431768211455", &delivery.payment.amount);
    assert_true(read);
    return delivery;
}

static json_t *parse(const char *text, size_t length)
{
    assert_int_equal(strlen(text), length);
    assert_true(length < DEVICE_FRAME_SIZE);
    json_error_t error;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        fail_msg("%s: %s", text, error.text);
    }
    return value;
}

static void a_payment_says_all_that_a_device_needs(void **state)
{
    (void)state;
    struct store_delivery delivery = some_delivery();
    char text[DEVICE_FRAME_SIZE], from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE], expected[DEVICE_FRAME_SIZE];
    size_t length =
        device_frame_payment(text, &delivery, delivery.stored_at_ms + 7999, &(struct device_body){0});
    json_decref(parse(text, length));
    address_format(&delivery.payment.from, from);
    address_format(&delivery.payment.to, to);
    snprintf(
        expected, sizeof(expected),
        "{\"type\":\"payment\",\"seq\":1235,\"config_version\":7,\"payment\":{\"chain\":\"nano\",\"hash\":"
        "\"B3B4545EBCCB26E61DE34DF78B4ED3CA5FCB2BE6A7B9B9A2B7E6F1F4B3B0A9C8\",\"output\":0,\"from\":\"%"
        "s\",\"to\":\"%s\","
        "\"amount\":\"340282366920938463463374607431768211455\",\"stored_at\":\"2023-11-14T22:13:20."
        "123Z\",\"age_s\":7}}",
        from, to);
    assert_string_equal(text, expected);
}

/* Whatever frame was made before, and from whichever delivery. */
static void frames_of_one_payment_say_the_same_of_it(void **state)
{
    (void)state;
    struct store_delivery first = some_delivery(), delivery;
    struct device_body kept = {0};
    for (unsigned i = 0; i < 1000; i++) {
        unsigned what = randombytes_uniform(8);
        delivery = first;
        delivery.seq = i + 1;
        delivery.payment.hash[31] ^= what == 1 ? 1 : 0;
        delivery.payment.output = what == 2 ? 1 : 0;
        delivery.stored_at_ms += what == 3 ? 1 : 0;
        delivery.config_version = what == 4 ? 8 : 7;
        delivery.config = what == 5 ? "{}" : NULL;
        int64_t now_ms = delivery.stored_at_ms + (what == 6 ? 1000 : 0);
        struct device_body fresh = {0};
        char text[DEVICE_FRAME_SIZE + 2], right[DEVICE_FRAME_SIZE + 2];
        size_t length = device_frame_payment(right, &delivery, now_ms, &fresh);
        assert_int_equal(device_frame_payment(text, &delivery, now_ms, &kept), length);
        assert_string_equal(text, right);
        json_decref(parse(text, length));
    }
}

static json_int_t age_of(const struct store_delivery *delivery, int64_t now_ms)
{
    char text[DEVICE_FRAME_SIZE];
    json_t *frame = parse(text, device_frame_payment(text, delivery, now_ms, &(struct device_body){0}));
    json_int_t age_s = json_integer_value(json_object_get(json_object_get(frame, "payment"), "age_s"));
    json_decref(frame);
    return age_s;
}

static void what_was_found_later_is_as_old_as_the_node_knows_it(void **state)
{
    (void)state;
    struct store_delivery delivery = some_delivery();
    delivery.payment.node_time_ms = delivery.stored_at_ms - 3600000;
    delivery.payment.source = SOURCE_BACKFILL;
    assert_int_equal(age_of(&delivery, delivery.stored_at_ms + 7000), 3607);
    /* A source that tells at once has its own clock, which may be wrong. */
    delivery.payment.source = SOURCE_NANO_WS;
    assert_int_equal(age_of(&delivery, delivery.stored_at_ms + 7000), 7);
    delivery.payment.source = SOURCE_BACKFILL;
    delivery.payment.node_time_ms = 0;
    assert_int_equal(age_of(&delivery, delivery.stored_at_ms + 7000), 7);
    delivery.payment.node_time_ms = delivery.stored_at_ms + 60000; /* the node's clock is ahead */
    assert_int_equal(age_of(&delivery, delivery.stored_at_ms + 7000), 7);
    assert_int_equal(age_of(&delivery, delivery.stored_at_ms - 7000), 0);
}

static void asset_and_sender_are_there_when_the_chain_has_them(void **state)
{
    (void)state;
    struct store_delivery delivery = some_delivery();
    delivery.payment.from.length = 0;
    strcpy(delivery.payment.asset, "A\"\\\x01");
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_payment(text, &delivery, 0, &(struct device_body){0});
    json_t *frame = parse(text, length);
    json_t *payment = json_object_get(frame, "payment");
    assert_null(json_object_get(payment, "from"));
    assert_string_equal(json_string_value(json_object_get(payment, "asset")), "A\"\\\x01");
    assert_int_equal(json_integer_value(json_object_get(payment, "age_s")), 0); /* the clock jumped back */
    json_decref(frame);
}

static void the_longest_payment_fits(void **state)
{
    (void)state;
    struct store_delivery delivery = some_delivery();
    delivery.seq = delivery.config_version = INT64_MAX;
    delivery.payment.output = UINT32_MAX;
    memset(delivery.payment.asset, 0x01, PAYMENT_ASSET_SIZE - 1);
    delivery.payment.asset[PAYMENT_ASSET_SIZE - 1] = '\0';
    char text[DEVICE_FRAME_SIZE];
    delivery.stored_at_ms = 0;
    size_t length = device_frame_payment(text, &delivery, INT64_MAX, &(struct device_body){0});
    json_decref(parse(text, length));
}

static void an_older_config_travels_with_its_payment(void **state)
{
    (void)state;
    struct store_delivery delivery = some_delivery();
    const char *start =
        "{\"type\":\"payment\",\"seq\":1235,\"config_version\":7,\"config\":{\"addresses\":[]},\"payment\":{";
    delivery.config = "{\"addresses\":[]}";
    char *text = malloc(device_frame_room(delivery.config));
    device_frame_payment(text, &delivery, 0, &(struct device_body){0});
    assert_memory_equal(text, start, strlen(start));
    free(text);
}

static void a_config_of_any_length_fits(void **state)
{
    (void)state;
    const size_t count = 100000;
    char *body = malloc(count + 3);
    memset(body, ' ', count + 2);
    body[0] = '{';
    body[count + 1] = '}';
    body[count + 2] = '\0';
    struct store_delivery delivery = some_delivery();
    delivery.config = body;
    char *text = malloc(device_frame_room(body));
    assert_true(device_frame_config(text, INT64_MAX, body) > count);
    const struct device_welcome welcome = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, body};
    assert_true(device_frame_welcome(text, &welcome) > count);
    assert_true(device_frame_payment(text, &delivery, INT64_MAX, &(struct device_body){0}) > count);
    free(text);
    free(body);
}

static void the_small_frames_are_as_documented(void **state)
{
    (void)state;
    char text[DEVICE_FRAME_SIZE];
    const struct device_challenge challenge = {
        {0xab, [31] = 0x01}, {0xcd, [31] = 0x02}, {0xef, [31] = 0x03}, "0123456789abcdef0123456789abcdef"};
    device_frame_challenge(text, &challenge);
    assert_string_equal(text,
                        "{\"type\":\"challenge\",\"nonce\":"
                        "\"ab00000000000000000000000000000000000000000000000000000000000001\",\"key\":"
                        "\"cd00000000000000000000000000000000000000000000000000000000000002\",\"relay\":"
                        "\"ef00000000000000000000000000000000000000000000000000000000000003\","
                        "\"epoch\":\"0123456789abcdef0123456789abcdef\"}");
    struct device_welcome welcome = {1700000000123, 1234, 3, 0, NULL};
    device_frame_welcome(text, &welcome);
    assert_string_equal(text,
                        "{\"type\":\"welcome\",\"time\":\"2023-11-14T22:13:20.123Z\",\"last_acked\":1234,"
                        "\"pending\":3,\"config_version\":0,\"config\":null}");
    welcome.config_version = 7;
    welcome.config = "{\"addresses\":[]}";
    device_frame_welcome(text, &welcome);
    assert_string_equal(text,
                        "{\"type\":\"welcome\",\"time\":\"2023-11-14T22:13:20.123Z\",\"last_acked\":1234,"
                        "\"pending\":3,\"config_version\":7,\"config\":{\"addresses\":[]}}");
    device_frame_config(text, 7, "{\"addresses\":[]}");
    assert_string_equal(text, "{\"type\":\"config\",\"version\":7,\"config\":{\"addresses\":[]}}");
    device_frame_state(text, false, true, "unproven");
    assert_string_equal(text,
                        "{\"type\":\"state\",\"caught_up\":false,\"payable\":true,\"reason\":\"unproven\"}");
    device_frame_gap(text, 3, 5, "expired");
    assert_string_equal(text, "{\"type\":\"gap\",\"from\":3,\"to\":5,\"reason\":\"expired\"}");
    device_frame_noted(text, 7);
    assert_string_equal(text, "{\"type\":\"noted\",\"seq\":7}");
    device_frame_error(text, "busy", "later");
    assert_string_equal(text, "{\"type\":\"error\",\"code\":\"busy\",\"message\":\"later\"}");
}

static void an_error_message_that_is_too_long_is_cut_between_characters(void **state)
{
    (void)state;
    char message[1000], text[DEVICE_FRAME_SIZE];
    for (size_t skew = 0; skew < 2; skew++) {
        memset(message, 'x', skew);
        for (size_t i = skew; i + 2 < sizeof(message); i += 2) {
            memcpy(message + i, "\xc3\xa9", 3);
        }
        size_t length = device_frame_error(text, "malformed", message);
        json_decref(parse(text, length));
    }
    memset(message, 0x02, sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    size_t length = device_frame_error(text, "malformed", message);
    json_decref(parse(text, length));
}

/* ---- schema/ ------------------------------------------------------------------------------------------- */

static const json_t *schema_of(const json_t *frame)
{
    const char *type = json_string_value(json_object_get(frame, "type"));
    const json_t *schema = schema_load(SOURCE_DIR "/schema/messages", type);
    if (schema == NULL) {
        fail_msg("no schema for %s", type);
    }
    return schema;
}

static void assert_fits(const json_t *frame)
{
    char why[300];
    if (!schema_check(schema_of(frame), frame, true, why, sizeof(why))) {
        char *text = json_dumps(frame, JSON_COMPACT);
        fail_msg("%s: %s", why, text);
    }
}

/* The schema is to refuse what is wrong, too: each member that has to be there, missing, and each of another type. */
static void assert_strict(const json_t *frame)
{
    const json_t *schema = schema_of(frame);
    const char *name;
    char why[300];
    size_t i;
    json_t *required, *member;
    json_array_foreach(json_object_get(schema, "required"), i, required)
    {
        json_t *copy = json_copy((json_t *)(uintptr_t)frame);
        json_object_del(copy, json_string_value(required));
        assert_false(schema_check(schema, copy, true, why, sizeof(why)));
        json_decref(copy);
    }
    json_object_foreach((json_t *)(uintptr_t)frame, name, member)
    {
        json_t *copy = json_copy((json_t *)(uintptr_t)frame);
        json_object_set_new(copy, name, json_is_integer(member) ? json_string("1") : json_integer(-99999));
        if (schema_check(schema, copy, true, why, sizeof(why))) {
            fail_msg("the schema lets %s be anything", name);
        }
        json_decref(copy);
    }
}

/* What the device says in the examples is understood as what it is. */
static void assert_understood(const json_t *frame)
{
    char *text = json_dumps(frame, JSON_COMPACT);
    struct device_frame read;
    assert_taken(text, &read);
    assert_string_equal(device_frame_text(read.type), json_string_value(json_object_get(frame, "type")));
    free(text);
}

static void the_examples_fit_their_schemas_and_are_understood(void **state)
{
    (void)state;
    json_t *examples =
        json_load_file(SOURCE_DIR "/schema/examples/device-frames.json", JSON_REJECT_DUPLICATES, NULL);
    json_t *types = json_object(), *entry;
    size_t i;
    assert_non_null(examples);
    json_array_foreach(json_object_get(examples, "frames"), i, entry)
    {
        const json_t *frame = json_object_get(entry, "frame");
        assert_fits(frame);
        assert_strict(frame);
        if (strcmp(json_string_value(json_object_get(entry, "from")), "device") == 0) {
            assert_understood(frame);
        }
        json_object_set_new(types, json_string_value(json_object_get(frame, "type")), json_true());
    }
    assert_int_equal(json_object_size(types), 13); /* all of them */
    json_decref(types);
    json_decref(examples);
}

static void the_vectors_fit_their_schemas(void **state)
{
    (void)state;
    json_t *vectors =
        json_load_file(SOURCE_DIR "/schema/examples/device-vectors.json", JSON_REJECT_DUPLICATES, NULL);
    json_t *session, *entry;
    size_t i, k;
    static const char *const GREETINGS[] = {"challenge", "hello", "welcome"};
    json_array_foreach(json_object_get(vectors, "sessions"), i, session)
    {
        for (k = 0; k < 3; k++) {
            json_t *frame = json_loads(json_string_value(json_object_get(session, GREETINGS[k])), 0, NULL);
            assert_fits(frame);
            json_decref(frame);
        }
        json_array_foreach(json_object_get(session, "frames"), k, entry)
        {
            json_t *frame = json_loads(json_string_value(json_object_get(entry, "frame")), 0, NULL);
            assert_fits(frame);
            json_decref(frame);
        }
    }
    json_decref(vectors);
}

/* The schemas and the relay refuse the same hellos. */
static void schema_and_relay_agree_on_credentials(void **state)
{
    (void)state;
    static const char *const HELLOS[] = {
        "{\"type\":\"hello\",\"device\":\"d\"}",
        "{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"sig\":\"" SIG_HEX "\"}",
        "{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"key\":\"" KEY_HEX "\"}",
        "{\"type\":\"hello\",\"device\":\"d\",\"token\":\"t\",\"key\":\"" KEY_HEX "\",\"sig\":\"" SIG_HEX
        "\"}",
        "{\"type\":\"hello\",\"device\":\"d\",\"key\":\"" KEY_HEX "\"}",
        "{\"type\":\"hello\",\"device\":\"d\",\"sig\":\"" SIG_HEX "\"}",
        "{\"type\":\"hello\",\"device\":\"d\",\"key\":\"" KEY_HEX "\",\"sig\":\"" KEY_HEX KEY_HEX "\"}",
    };
    char why[300];
    for (size_t i = 0; i < sizeof(HELLOS) / sizeof(HELLOS[0]); i++) {
        assert_refused(HELLOS[i], "invalid");
        json_t *frame = json_loads(HELLOS[i], 0, NULL);
        assert_false(schema_check(schema_of(frame), frame, true, why, sizeof(why)));
        json_decref(frame);
    }
}

static int forget_schemas(void **state)
{
    (void)state;
    schema_forget();
    return 0;
}

static void every_close_has_a_code_of_its_own_and_a_short_reason(void **state)
{
    (void)state;
    for (int a = 0; a < DEVICE_CLOSE_COUNT; a++) {
        uint16_t code = device_close_code((enum device_close)a);
        assert_true(code == 1001 || (code >= 4000 && code < 5000));
        assert_true(strlen(device_close_text((enum device_close)a)) < 32);
        for (int b = 0; b < a; b++) {
            assert_int_not_equal(code, device_close_code((enum device_close)b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_is_read_whole),
        cmocka_unit_test(a_hello_by_key_is_signed_up_to_its_last_member),
        cmocka_unit_test(a_hello_has_either_a_token_or_a_key_and_a_sig_at_its_end),
        cmocka_unit_test(a_hello_may_leave_out_resume_epoch_and_firmware),
        cmocka_unit_test(a_hello_with_a_wrong_member_is_refused),
        cmocka_unit_test(acks_and_outcomes_are_read),
        cmocka_unit_test(a_status_tells_what_it_tells_and_nothing_else),
        cmocka_unit_test(an_ack_means_the_same_however_it_is_written),
        cmocka_unit_test(acks_and_outcomes_out_of_range_are_refused),
        cmocka_unit_test(what_is_no_frame_is_refused),
        cmocka_unit_test(nesting_past_four_levels_is_refused),
        cmocka_unit_test(a_payment_says_all_that_a_device_needs),
        cmocka_unit_test(frames_of_one_payment_say_the_same_of_it),
        cmocka_unit_test(what_was_found_later_is_as_old_as_the_node_knows_it),
        cmocka_unit_test(asset_and_sender_are_there_when_the_chain_has_them),
        cmocka_unit_test(the_longest_payment_fits),
        cmocka_unit_test(an_older_config_travels_with_its_payment),
        cmocka_unit_test(a_config_of_any_length_fits),
        cmocka_unit_test(the_small_frames_are_as_documented),
        cmocka_unit_test(an_error_message_that_is_too_long_is_cut_between_characters),
        cmocka_unit_test(every_close_has_a_code_of_its_own_and_a_short_reason),
        cmocka_unit_test(the_examples_fit_their_schemas_and_are_understood),
        cmocka_unit_test(the_vectors_fit_their_schemas),
        cmocka_unit_test(schema_and_relay_agree_on_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, forget_schemas);
}
