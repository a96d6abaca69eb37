/* schema/examples, with libsodium: the meter to the byte, as the relay and the Python device are. Not for bare machines: it reads files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/config.h"
#include "core/frame.h"
#include "core/proof.h"
#include "core/session.h"
#include "core/tariff.h"
#include "core/text.h"
#include "firmware/blake2b.h"
#include "firmware/rig.h"
#include "firmware/sodium_crypto.h"
#include "payment/nano_text.h"

static struct rig rig;
static json_t *vectors;
static uint8_t device_secret[64];

static json_t *load(const char *name)
{
    char path[512];
    json_error_t error;
    snprintf(path, sizeof(path), SOURCE_DIR "/%s", name);
    json_t *value = json_load_file(path, 0, &error);
    assert_non_null(value);
    return value;
}

static int load_vectors(void **state)
{
    (void)state;
    vectors = load("schema/examples/device-vectors.json");
    return sodium_init() < 0;
}

static int forget_vectors(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

static void bytes_of(const json_t *object, const char *name, uint8_t *bytes, size_t count)
{
    const char *text = text_of(object, name);
    assert_true(core_text_hex_decode(text, strlen(text), true, bytes, count));
}

/* The secret that the device of the vectors drew. */
static uint8_t drawn[32];

static void port_random(void *context, uint8_t *bytes, size_t count)
{
    (void)context;
    memset(bytes, 1, count);
    if (count == sizeof(drawn)) {
        memcpy(bytes, drawn, count);
    }
}

static struct core_report report(void)
{
    struct core_report told;
    core_report(&rig.core, &told);
    return told;
}

static void make_meter(void)
{
    uint8_t seed[32];
    const json_t *session = json_array_get(json_object_get(vectors, "sessions"), 0);
    rig_init(&rig);
    rig.port.random = port_random;
    bytes_of(vectors, "device_seed", seed, sizeof(seed));
    crypto_sign_seed_keypair(rig.identity.device_key, device_secret, seed);
    rig.crypto = SODIUM_CRYPTO;
    rig.crypto.context = device_secret;
    bytes_of(session, "relay_key", rig.identity.relay_keys[0], 32);
    rig.identity.relay_key_count = 1;
    rig.identity.tariff.steps[0].amount.high *=
        1000; /* what a config leaves open is dearer here than what is paid */
    rig_power_on(&rig);
}

/* Up to the welcome: the hello is the vector's to the byte, the welcome is believed, the keys are the vector's. */
static void greet(const json_t *session)
{
    uint8_t key[32];
    bytes_of(session, "device_exchange_secret", drawn, sizeof(drawn));
    rig_connect(&rig);
    rig_say(&rig, text_of(session, "challenge"));
    assert_string_equal(rig_last(&rig), text_of(session, "hello"));
    rig_say(&rig, text_of(session, "welcome"));
    assert_int_equal(report().link, CORE_LINK_SESSION);
    bytes_of(session, "relay_to_device_key", key, sizeof(key));
    assert_memory_equal(key, rig.core.session.receive_key, sizeof(key));
    bytes_of(session, "device_to_relay_key", key, sizeof(key));
    assert_memory_equal(key, rig.core.session.send_key, sizeof(key));
}

/* The device's own frames in the vectors, sealed under their numbers. */
static void check_sealing(const json_t *frame)
{
    char text[CORE_FRAME_SIZE];
    uint64_t was = rig.core.session.sent;
    struct core_text sealed = core_text_in(text, sizeof(text));
    core_text_add(&sealed, text_of(frame, "plain"));
    rig.core.session.sent = (uint64_t)json_integer_value(json_object_get(frame, "counter"));
    core_session_seal(&rig.core, &sealed);
    assert_string_equal(text, text_of(frame, "frame"));
    rig.core.session.sent = was;
}

static void follow(const json_t *session, json_int_t relay_frames)
{
    const json_t *frame;
    size_t i;
    json_array_foreach(json_object_get(session, "frames"), i, frame)
    {
        if (strcmp(text_of(frame, "from"), "device") == 0) {
            check_sealing(frame);
        } else if (relay_frames-- > 0) {
            rig_say(&rig, text_of(frame, "frame"));
            assert_int_equal(rig.close_code, 0);
        }
    }
}

static void the_sessions_by_key_run_to_the_byte(void **state)
{
    (void)state;
    const json_t *sessions = json_object_get(vectors, "sessions");
    make_meter();
    greet(json_array_get(sessions, 0));
    follow(json_array_get(sessions, 0), 1000);
    assert_true(rig_has_sent(&rig, "{\"type\":\"actuated\",\"seq\":1,\"seconds\":600"));
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":2,\"reason\":\"below_minimum\""));
    assert_int_equal(report().seq, 3);
    assert_int_equal(report().config_version, 3);
    assert_int_equal(report().outcome_count, 0);
    assert_string_equal(report().last_error, "fenced");
    rig_disconnect(&rig, 4001);

    rig.core.memory.seq = 104; /* it was paid a hundred times between the two */
    rig_forget_sent(&rig);
    greet(json_array_get(sessions, 1));
    follow(json_array_get(sessions, 1), 1000);
    assert_int_equal(report().seq, 106);
    assert_int_equal(report().granted_s, 1200);
    assert_string_equal(report().epoch, "fedcba9876543210fedcba9876543210");
    assert_true(rig_has_sent(&rig, "{\"type\":\"actuated\",\"seq\":105,\"seconds\":600"));
    assert_true(rig_has_sent(&rig, "{\"type\":\"actuated\",\"seq\":106,\"seconds\":600"));
}

static void what_the_vectors_refuse_ends_the_session(void **state)
{
    (void)state;
    const json_t *row;
    size_t i, tried = 0;
    json_array_foreach(json_object_get(vectors, "refused"), i, row)
    {
        if (strcmp(text_of(row, "to"), "device") != 0) {
            continue;
        }
        json_int_t after = json_integer_value(json_object_get(row, "after"));
        assert_int_equal(json_integer_value(json_object_get(row, "session")), 0);
        make_meter();
        greet(json_array_get(json_object_get(vectors, "sessions"), 0));
        follow(json_array_get(json_object_get(vectors, "sessions"), 0), after);
        uint64_t seq = report().seq, granted_s = report().granted_s;
        rig_say(&rig, text_of(row, "frame"));
        assert_int_equal(rig.close_code, 4012);
        assert_int_equal(report().seq, seq);
        assert_int_equal(report().granted_s, granted_s);
        tried++;
    }
    assert_true(tried >= 5);
}

static void the_session_by_token_is_spoken(void **state)
{
    (void)state;
    const json_t *session = json_array_get(json_object_get(vectors, "sessions"), 2), *frame;
    size_t i;
    rig_init(&rig);
    rig_by_token(&rig);
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say(&rig, text_of(session, "challenge"));
    rig_say(&rig, text_of(session, "welcome"));
    json_array_foreach(json_object_get(session, "frames"), i, frame)
    {
        if (strcmp(text_of(frame, "from"), "device") == 0) {
            assert_true(rig_has_sent(&rig, text_of(frame, "frame")));
        } else {
            rig_say(&rig, text_of(frame, "frame"));
        }
    }
    assert_int_equal(report().seq, 5);
}

/* Also those that no session of the vectors has. */
static void every_example_of_a_frame_to_a_device_is_read(void **state)
{
    (void)state;
    json_t *examples = load("schema/examples/device-frames.json"), *row;
    size_t i, count = 0;
    rig_init(&rig);
    rig_power_on(&rig);
    json_array_foreach(json_object_get(examples, "frames"), i, row)
    {
        if (strcmp(text_of(row, "from"), "relay") == 0) {
            char *text = json_dumps(json_object_get(row, "frame"), JSON_COMPACT);
            assert_true(core_frame_read(&rig.core, text, strlen(text)));
            assert_int_not_equal(rig.core.frame.type, CORE_FRAME_UNKNOWN);
            free(text);
            count++;
        }
    }
    assert_true(count > 15);
    json_decref(examples);
}

/* What the relay's own code made, and what a device has to make of it. */
static void proofs_are_judged_as_the_vectors_have_them(void **state)
{
    (void)state;
    json_t *proofs = load("schema/examples/device-proofs.json"), *row;
    size_t i;
    struct core_port port = {.context = NULL};
    static struct core core;
    core.port = &port;
    core.crypto = &SODIUM_CRYPTO;
    core.identity.proof = true;
    core.identity.address_count = 1;
    uint8_t checksum[NANO_CHECKSUM_BYTES];
    assert_true(nano_text_decode(text_of(proofs, "address"), core.identity.addresses[0], checksum));
    json_array_foreach(json_object_get(proofs, "cases"), i, row)
    {
        const char *frame = text_of(row, "frame");
        assert_true(core_frame_read(&core, frame, strlen(frame)));
        assert_int_equal(core.frame.type, CORE_FRAME_PAYMENT);
        const char *reason = core_reason_text(core_proof_check(&core));
        if (strcmp(reason, text_of(row, "outcome")) != 0) {
            fail_msg("%s: %s, not %s", text_of(row, "name"), reason, text_of(row, "outcome"));
        }
    }
    assert_true(i >= 20);
    json_decref(proofs);
}

/* ---- prices ---------------------------------------------------------------------------------------------------------- */

static void check_price(const struct core_tariff *tariff, const json_t *price)
{
    struct amount amount = {0, 0};
    uint32_t seconds = 0;
    assert_true(amount_parse_raw(text_of(price, "amount"), &amount));
    uint64_t age_s = (uint64_t)json_integer_value(json_object_get(price, "age_s"));
    enum core_reason reason = core_tariff_price(tariff, amount, age_s, &seconds);
    const json_t *refused = json_object_get(price, "refused");
    if (refused != NULL) {
        assert_string_equal(core_reason_text(reason), json_string_value(refused));
    } else {
        assert_int_equal(reason, CORE_GRANTED);
        assert_int_equal(seconds, json_integer_value(json_object_get(price, "seconds")));
    }
}

static void prices_are_those_of_the_python_device(void **state)
{
    (void)state;
    json_t *file = load("schema/examples/tariff-vectors.json"), *row, *price;
    size_t i, j, count = 0;
    json_array_foreach(json_object_get(file, "tariffs"), i, row)
    {
        char *text = json_dumps(json_object_get(row, "config"), JSON_COMPACT);
        struct core_json json;
        struct core_config config;
        struct core_tariff tariff;
        assert_true(core_json_read(&json, text, strlen(text), rig.core.scratch.tokens));
        assert_true(core_config_read(&SODIUM_CRYPTO, &json, 0, &config));
        config.version = 1;
        core_config_tariff(&rig.identity, &config, &tariff);
        json_array_foreach(json_object_get(row, "prices"), j, price)
        {
            check_price(&tariff, price);
            count++;
        }
        free(text);
    }
    assert_true(count > 300);
    json_decref(file);
}

/* ---- what the tests stand on -------------------------------------------------------------------------------------------- */

static void our_blake2b_is_libsodium_s(void **state)
{
    (void)state;
    uint8_t message[300], key[64], ours[64], theirs[64];
    for (size_t i = 0; i < sizeof(message); i++) {
        message[i] = (uint8_t)(7 * i);
        key[i % 64] = (uint8_t)(11 * i);
    }
    for (size_t length = 0; length <= sizeof(message); length++) {
        struct blake2b hash;
        size_t key_length = length % 3 == 0 ? 0 : 1 + length % 64, out_length = 1 + length % 64;
        const struct core_bytes parts[] = {{message, length / 3},
                                           {message + length / 3, length - length / 3}};
        SODIUM_CRYPTO.blake2b(NULL, parts, 2, key, key_length, theirs, out_length);
        blake2b_init(&hash, key, key_length, out_length);
        blake2b_add(&hash, message, length);
        blake2b_end(&hash, ours);
        assert_memory_equal(ours, theirs, out_length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sessions_by_key_run_to_the_byte),
        cmocka_unit_test(what_the_vectors_refuse_ends_the_session),
        cmocka_unit_test(the_session_by_token_is_spoken),
        cmocka_unit_test(every_example_of_a_frame_to_a_device_is_read),
        cmocka_unit_test(proofs_are_judged_as_the_vectors_have_them),
        cmocka_unit_test(prices_are_those_of_the_python_device),
        cmocka_unit_test(our_blake2b_is_libsodium_s),
    };
    return cmocka_run_group_tests(tests, load_vectors, forget_vectors);
}
