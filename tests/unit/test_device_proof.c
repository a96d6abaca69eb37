/*
 * What the two ends of a session prove to each other, and the vectors in schema/examples/device-vectors.json, which the firmware and the
 * clients check too. They are made here, from fixed keys; after a change that is meant:
 *
 *     COINSLOT_WRITE_VECTORS=1 build/debug/test_device_proof
 *
 * They are checked here a second time with libsodium alone, from the texts, as a device has to.
 */
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
#include "push/device_frames.h"
#include "push/device_proof.h"

#define VECTORS   SOURCE_DIR "/schema/examples/device-vectors.json"
#define DEVICE    "dev_abcdefghijklmnop"
#define EPOCH     "0123456789abcdef0123456789abcdef"
#define NEW_EPOCH "fedcba9876543210fedcba9876543210"
#define TIME_MS   1795194180123 /* 2026-11-20T17:03:00.123Z */
#define TEXT_SIZE 8192

/* ---- a session, both ends of it ---------------------------------------------------------------------------------- */

struct end {
    uint8_t seed[32], public_key[PROOF_PUBLIC_SIZE], secret_key[PROOF_SECRET_SIZE];
    uint8_t exchange_public[PROOF_EXCHANGE_SIZE], exchange_secret[PROOF_EXCHANGE_SIZE];
    struct proof_channel channel;
};

struct both {
    struct end relay, device;
    char challenge[TEXT_SIZE], hello[TEXT_SIZE], welcome[TEXT_SIZE]; /* as they are sent */
    struct proof_transcript transcript;
    uint8_t hello_signature[PROOF_SIGNATURE_SIZE], welcome_signature[PROOF_SIGNATURE_SIZE];
    size_t welcome_length; /* signed */
};

static void open_end(struct end *end, uint8_t identity, uint8_t session)
{
    uint8_t exchange_seed[32];
    memset(end->seed, identity, sizeof(end->seed));
    crypto_sign_seed_keypair(end->public_key, end->secret_key, end->seed);
    memset(exchange_seed, session, sizeof(exchange_seed));
    crypto_kx_seed_keypair(end->exchange_public, end->exchange_secret, exchange_seed);
}

/* Puts the tail in the place of the last brace. */
static void join(char *text, const char *tail)
{
    size_t length = strlen(text);
    assert_true(length > 0 && text[length - 1] == '}');
    assert_true(length + strlen(tail) < TEXT_SIZE);
    memcpy(text + length - 1, tail, strlen(tail) + 1);
}

static void challenge(struct both *both, uint8_t number, const char *epoch)
{
    struct device_challenge said = {.epoch = epoch};
    open_end(&both->relay, 0x11, (uint8_t)(0x40 + number));
    open_end(&both->device, 0x22, (uint8_t)(0x80 + number));
    memset(said.nonce, 0xc0 + number, sizeof(said.nonce));
    memcpy(said.key, both->relay.exchange_public, sizeof(said.key));
    memcpy(said.relay, both->relay.public_key, sizeof(said.relay));
    device_frame_challenge(both->challenge, &said);
}

/* `members` stand between the key and the sig. */
static void hello(struct both *both, const char *members)
{
    char key[65], tail[PROOF_SIG_TAIL_SIZE];
    hex_encode_lower(both->device.exchange_public, 32, key);
    snprintf(both->hello, TEXT_SIZE, "{\"type\":\"hello\",\"device\":\"" DEVICE "\",\"key\":\"%s\"%s}", key,
             members);
    both->transcript = (struct proof_transcript){
        .relay_key = both->relay.public_key,
        .device_key = both->device.public_key,
        .device = DEVICE,
        .challenge = both->challenge,
        .challenge_length = strlen(both->challenge),
        .hello = both->hello,
        .hello_length = strlen(both->hello) - 1,
    };
    proof_sign_hello(&both->transcript, both->device.secret_key, both->hello_signature);
    proof_write_sig(both->hello_signature, tail);
    join(both->hello, tail);
}

static void welcome(struct both *both, const struct device_welcome *said)
{
    char tail[PROOF_SIG_TAIL_SIZE];
    both->welcome_length = device_frame_welcome(both->welcome, said) - 1;
    proof_sign_welcome(&both->transcript, both->welcome, both->welcome_length, both->relay.secret_key,
                       both->welcome_signature);
    proof_write_sig(both->welcome_signature, tail);
    join(both->welcome, tail);
    assert_true(proof_agree_as_relay(&both->relay.channel, both->relay.exchange_public,
                                     both->relay.exchange_secret, both->device.exchange_public));
    assert_true(proof_agree_as_device(&both->device.channel, both->device.exchange_public,
                                      both->device.exchange_secret, both->relay.exchange_public));
}

#define CONFIG_1 "{\"addresses\":[\"nano_1111111111111111111111111111111111111111111111111111hifc8npp\"]}"
#define CONFIG_2                                                                                             \
    "{\"addresses\":[\"nano_1111111111111111111111111111111111111111111111111111hifc8npp\"],"                \
    "\"tariff\":{\"steps\":[{\"amount\":\"1000000000000000000000000000\",\"seconds\":600}],"                 \
    "\"minimum\":\"1000000000000000000000000000\",\"cap_s\":7200},\"late_after_s\":900}"
#define CONFIG_3                                                                                             \
    "{\"addresses\":[\"nano_1111111111111111111111111111111111111111111111111111hifc8npp\"],"                \
    "\"tariff\":{\"steps\":[{\"amount\":\"2000000000000000000000000000\",\"seconds\":600}],"                 \
    "\"minimum\":\"2000000000000000000000000000\",\"cap_s\":7200},\"late_after_s\":900}"

static void open_both(struct both *both, uint8_t number)
{
    challenge(both, number, EPOCH);
    hello(both, ",\"resume\":0,\"firmware\":\"1.2.0\"");
    welcome(both, &(struct device_welcome){TIME_MS, 0, 2, 2, CONFIG_2});
}

/* ---- making the vectors -------------------------------------------------------------------------------------------- */

static void set_hex(json_t *object, const char *name, const uint8_t *bytes, size_t count)
{
    char *text = cs_alloc(2 * count + 1);
    hex_encode_lower(bytes, count, text);
    json_object_set_new(object, name, json_string(text));
    free(text);
}

static void add_frame(json_t *frames, struct both *both, bool from_relay, const char *plain)
{
    struct proof_channel *from = from_relay ? &both->relay.channel : &both->device.channel;
    struct proof_channel *to = from_relay ? &both->device.channel : &both->relay.channel;
    json_t *entry = json_object();
    char sealed[TEXT_SIZE], tail[PROOF_MAC_TAIL_SIZE];
    json_object_set_new(entry, "from", json_string(from_relay ? "relay" : "device"));
    json_object_set_new(entry, "counter", json_integer((json_int_t)from->sent));
    json_object_set_new(entry, "plain", json_string(plain));
    snprintf(sealed, sizeof(sealed), "%s", plain);
    proof_seal(from, plain, strlen(plain), tail);
    join(sealed, tail);
    json_object_set_new(entry, "mac", json_stringn(tail + 8, 32));
    json_object_set_new(entry, "frame", json_string(sealed));
    assert_true(proof_open(to, sealed, strlen(sealed)));
    json_array_append_new(frames, entry);
}

/* A payment of `seq` × 10^27 raw; its hash tells which it is. */
static const char *payment(char text[TEXT_SIZE], uint64_t seq, uint8_t which, uint64_t version,
                           const char *config)
{
    struct store_delivery delivery = {.seq = seq,
                                      .state = DELIVERY_SENT,
                                      .stored_at_ms = TIME_MS - 2122,
                                      .config_version = version,
                                      .config = config};
    memset(delivery.payment.hash, 0xa0 + which, PAYMENT_HASH_SIZE);
    delivery.payment.from = address_from_nano_key((const uint8_t[32]){9});
    delivery.payment.to = address_from_nano_key((const uint8_t[32]){0});
    bool read = amount_parse_raw("1000000000000000000000000000", &delivery.payment.amount);
    assert_true(read);
    device_frame_payment(text, &delivery, TIME_MS, &(struct device_body){0});
    return text;
}

static json_t *describe(const struct both *both, const char *name, json_t *frames)
{
    json_t *session = json_pack("{s:s, s:s, s:s}", "name", name, "auth", "key", "device", DEVICE);
    set_hex(session, "relay_key", both->relay.public_key, PROOF_PUBLIC_SIZE);
    set_hex(session, "device_key", both->device.public_key, PROOF_PUBLIC_SIZE);
    set_hex(session, "relay_exchange_secret", both->relay.exchange_secret, PROOF_EXCHANGE_SIZE);
    set_hex(session, "relay_exchange_public", both->relay.exchange_public, PROOF_EXCHANGE_SIZE);
    set_hex(session, "device_exchange_secret", both->device.exchange_secret, PROOF_EXCHANGE_SIZE);
    set_hex(session, "device_exchange_public", both->device.exchange_public, PROOF_EXCHANGE_SIZE);
    set_hex(session, "relay_to_device_key", both->relay.channel.send_key, 32);
    set_hex(session, "device_to_relay_key", both->device.channel.send_key, 32);
    size_t length;
    json_object_set_new(session, "challenge", json_string(both->challenge));
    json_object_set_new(session, "hello", json_string(both->hello));
    uint8_t *bytes = proof_device_bytes(&both->transcript, &length);
    set_hex(session, "device_signs", bytes, length);
    free(bytes);
    set_hex(session, "device_signature", both->hello_signature, PROOF_SIGNATURE_SIZE);
    json_object_set_new(session, "welcome", json_string(both->welcome));
    bytes = proof_relay_bytes(&both->transcript, both->welcome, both->welcome_length, &length);
    set_hex(session, "relay_signs", bytes, length);
    free(bytes);
    set_hex(session, "relay_signature", both->welcome_signature, PROOF_SIGNATURE_SIZE);
    json_object_set_new(session, "frames", frames);
    return session;
}

static json_t *make_first_session(void)
{
    struct both both;
    char text[TEXT_SIZE];
    json_t *frames = json_array();
    open_both(&both, 1);
    device_frame_state(text, false, true, "backlog");
    add_frame(frames, &both, true, text);
    add_frame(frames, &both, true, payment(text, 1, 1, 2, NULL));
    add_frame(frames, &both, true, payment(text, 2, 2, 1, CONFIG_1));
    device_frame_state(text, false, true, "unproven");
    add_frame(frames, &both, true, text);
    add_frame(frames, &both, false, "{\"type\":\"ack\",\"seq\":2}");
    add_frame(frames, &both, false, "{\"type\":\"actuated\",\"seq\":1,\"seconds\":600}");
    device_frame_noted(text, 1);
    add_frame(frames, &both, true, text);
    device_frame_config(text, 3, CONFIG_3);
    add_frame(frames, &both, true, text);
    add_frame(frames, &both, false, "{\"type\":\"refused\",\"seq\":2,\"reason\":\"below_minimum\"}");
    add_frame(frames, &both, false,
              "{\"type\":\"status\",\"uptime_s\":86400,\"rssi\":-70,\"relay_on\":true,\"remaining_s\":312,"
              "\"config_version\":3}");
    device_frame_noted(text, 2);
    add_frame(frames, &both, true, text);
    device_frame_gap(text, 3, 3, "expired");
    add_frame(frames, &both, true, text);
    add_frame(frames, &both, false, "{\"type\":\"ack\",\"seq\":3}");
    device_frame_state(text, false, false, "store_full");
    add_frame(frames, &both, true, text);
    device_frame_error(text, "fenced", "a newer session of this device has begun");
    add_frame(frames, &both, true, text);
    return describe(
        &both,
        "a device that has never met this relay, paid twice while it was away; then its tariff changes",
        frames);
}

/* The device has persisted seq 104; the store that is restored has acked 4, and has found one of the others again. */
static json_t *make_rolled_back_session(void)
{
    struct both both;
    char text[TEXT_SIZE];
    json_t *frames = json_array();
    challenge(&both, 2, NEW_EPOCH);
    hello(&both, ",\"resume\":104,\"epoch\":\"" EPOCH "\",\"firmware\":\"1.2.0\",\"config_version\":3");
    welcome(&both, &(struct device_welcome){TIME_MS, 104, 2, 2, CONFIG_2});
    device_frame_gap(text, 5, 104, "store_rolled_back");
    add_frame(frames, &both, true, text);
    device_frame_state(text, false, true, "backlog");
    add_frame(frames, &both, true, text);
    add_frame(frames, &both, true, payment(text, 105, 1, 2, NULL)); /* known by its hash */
    add_frame(frames, &both, false, "{\"type\":\"actuated\",\"seq\":105,\"seconds\":600}");
    add_frame(frames, &both, true, payment(text, 106, 3, 2, NULL)); /* new */
    device_frame_state(text, false, true, "unproven");
    add_frame(frames, &both, true, text);
    device_frame_noted(text, 105);
    add_frame(frames, &both, true, text);
    add_frame(frames, &both, false, "{\"type\":\"ack\",\"seq\":106}");
    add_frame(frames, &both, false, "{\"type\":\"actuated\",\"seq\":106,\"seconds\":600}");
    device_frame_noted(text, 106);
    add_frame(frames, &both, true, text);
    return describe(
        &both,
        "the store was restored from a backup: it does not know the seqs 5 to 104 that the device has persisted, and its "
        "epoch is another; seq 105 is the payment of seq 1 in the session before, found again by its hash: its stored "
        "outcome is said again and nothing is granted",
        frames);
}

static json_t *make_token_session(void)
{
    struct both both;
    char said[TEXT_SIZE];
    challenge(&both, 3, EPOCH);
    device_frame_welcome(said, &(struct device_welcome){TIME_MS, 4, 0, 0, NULL});
    json_t *session =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[]}", "name", "a session by token: no sig, no mac",
                  "auth", "token", "device", DEVICE, "challenge", both.challenge, "hello",
                  "{\"type\":\"hello\",\"device\":\"" DEVICE
                  "\",\"token\":\"a-token-that-nobody-else-has-seen\",\"resume\":4,\"epoch\":\"" EPOCH
                  "\",\"firmware\":\"1.2.0\",\"config_version\":0}",
                  "welcome", said, "frames");
    char text[TEXT_SIZE];
    device_frame_state(text, false, true, "unproven");
    json_t *frames = json_object_get(session, "frames");
    json_array_append_new(frames, json_pack("{s:s, s:s}", "from", "relay", "frame", text));
    json_array_append_new(frames,
                          json_pack("{s:s, s:s}", "from", "relay", "frame", payment(text, 5, 5, 0, NULL)));
    json_array_append_new(frames,
                          json_pack("{s:s, s:s}", "from", "device", "frame", "{\"type\":\"ack\",\"seq\":5}"));
    return session;
}

/* The n-th frame of one side. */
static const char *frame_of(const json_t *session, const char *from, int counter)
{
    size_t i;
    json_t *frame;
    json_array_foreach(json_object_get(session, "frames"), i, frame)
    {
        if (strcmp(json_string_value(json_object_get(frame, "from")), from) == 0 &&
            json_integer_value(json_object_get(frame, "counter")) == counter) {
            return json_string_value(json_object_get(frame, "frame"));
        }
    }
    fail_msg("no frame %d from %s", counter, from);
    return NULL;
}

static void refuse(json_t *refused, const char *why, const char *to, int after, const char *frame)
{
    json_array_append_new(refused, json_pack("{s:s, s:i, s:s, s:i, s:s}", "why", why, "session", 0, "to", to,
                                             "after", after, "frame", frame));
}

/* What the first session has to end at, when it comes to one side after so many right frames. */
static json_t *make_refused(const json_t *first, const json_t *second)
{
    json_t *refused = json_array();
    char text[TEXT_SIZE];
    snprintf(text, sizeof(text), "%s", frame_of(first, "relay", 1));
    strstr(text, "\"seq\":1")[6] = '7';
    refuse(refused, "forged: another seq", "device", 1, text);
    snprintf(text, sizeof(text), "%s", frame_of(first, "device", 1));
    strstr(text, "600")[0] = '7';
    refuse(refused, "forged: other seconds", "relay", 1, text);
    refuse(refused, "dropped: the frame before it is missing", "device", 1, frame_of(first, "relay", 2));
    refuse(refused, "dropped: the frame before it is missing", "relay", 0, frame_of(first, "device", 1));
    refuse(refused, "repeated", "device", 2, frame_of(first, "relay", 1));
    refuse(refused, "repeated", "relay", 1, frame_of(first, "device", 0));
    refuse(refused, "reflected: the device's own", "device", 0, frame_of(first, "device", 0));
    refuse(refused, "reflected: the relay's own", "relay", 0, frame_of(first, "relay", 0));
    refuse(refused, "from another session", "device", 0, frame_of(second, "relay", 0));
    refuse(refused, "from another session", "relay", 0, frame_of(second, "device", 0));
    refuse(refused, "without a mac", "device", 1, payment(text, 1, 1, 2, NULL));
    refuse(refused, "without a mac", "relay", 0, "{\"type\":\"ack\",\"seq\":2}");
    snprintf(text, sizeof(text), "%s", frame_of(first, "device", 0));
    for (char *c = strstr(text, "mac\":") + 5; *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'f' ? (char)(*c - 32) : *c;
    }
    refuse(refused, "the mac in capitals", "relay", 0, text);
    snprintf(text, sizeof(text), "%s", frame_of(first, "device", 0));
    memcpy(text + strlen(text) - 1, " }", 3);
    refuse(refused, "a space behind the mac", "relay", 0, text);
    snprintf(text, sizeof(text), "%s", frame_of(first, "device", 0));
    memcpy(text + strlen(text) - 3, "\"}", 3);
    refuse(refused, "a mac that is one digit short", "relay", 0, text);
    return refused;
}

static json_t *make_vectors(void)
{
    struct both keys;
    open_both(&keys, 1);
    json_t *vectors = json_object();
    json_object_set_new(
        vectors, "about",
        json_string(
            "coinslot.v1 to the byte: docs/device-protocol.md. Made by tests/unit/test_device_proof.c."));
    set_hex(vectors, "relay_seed", keys.relay.seed, 32);
    set_hex(vectors, "device_seed", keys.device.seed, 32);
    json_t *sessions = json_array();
    json_array_append_new(sessions, make_first_session());
    json_array_append_new(sessions, make_rolled_back_session());
    json_array_append_new(sessions, make_token_session());
    json_object_set_new(vectors, "sessions", sessions);
    json_object_set_new(vectors, "refused",
                        make_refused(json_array_get(sessions, 0), json_array_get(sessions, 1)));
    return vectors;
}

static void the_vectors_are_what_this_code_makes(void **state)
{
    (void)state;
    json_t *made = make_vectors();
    if (getenv("COINSLOT_WRITE_VECTORS") != NULL) {
        FILE *file = fopen(VECTORS, "w");
        assert_non_null(file);
        assert_int_equal(json_dumpf(made, file, JSON_INDENT(2)), 0);
        fputc('\n', file);
        fclose(file);
    }
    json_t *kept = json_load_file(VECTORS, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(kept);
    assert_true(json_equal(made, kept));
    json_decref(kept);
    json_decref(made);
}

/* ---- checking the vectors with libsodium alone -------------------------------------------------------------------------- */

struct bytes {
    uint8_t at[16384];
    size_t length;
};

static void add(struct bytes *bytes, const void *more, size_t length)
{
    assert_true(bytes->length + length <= sizeof(bytes->at));
    memcpy(bytes->at + bytes->length, more, length);
    bytes->length += length;
}

static void add_number(struct bytes *bytes, uint64_t number, int width)
{
    while (width-- > 0) {
        uint8_t byte = (uint8_t)(number >> (8 * width));
        add(bytes, &byte, 1);
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    assert_non_null(text);
    return text;
}

static void read_hex(const json_t *object, const char *name, uint8_t *bytes, size_t count)
{
    assert_true(hex_decode(text_of(object, name), bytes, count));
}

static void add_hex(struct bytes *bytes, const json_t *object, const char *name)
{
    uint8_t key[32];
    read_hex(object, name, key, sizeof(key));
    add(bytes, key, sizeof(key));
}

/* The text up to `,"sig"`. */
static void add_signed(struct bytes *bytes, const char *text)
{
    size_t length = (size_t)(strstr(text, ",\"sig\":\"") - text);
    add_number(bytes, length, 4);
    add(bytes, text, length);
}

static void check_signature(const json_t *session, const char *label, bool with_welcome, const char *signs,
                            const char *key_name, const char *signature_name)
{
    struct bytes bytes = {.length = 0};
    add(&bytes, label, strlen(label) + 1);
    add_hex(&bytes, session, "relay_key");
    add_number(&bytes, strlen(text_of(session, "device")), 2);
    add(&bytes, text_of(session, "device"), strlen(text_of(session, "device")));
    add_hex(&bytes, session, "device_key");
    add_number(&bytes, strlen(text_of(session, "challenge")), 4);
    add(&bytes, text_of(session, "challenge"), strlen(text_of(session, "challenge")));
    add_signed(&bytes, text_of(session, "hello"));
    if (with_welcome) {
        add_signed(&bytes, text_of(session, "welcome"));
    }
    uint8_t key[32], signature[64];
    read_hex(session, key_name, key, sizeof(key));
    read_hex(session, signature_name, signature, sizeof(signature));
    assert_int_equal(strlen(text_of(session, signs)), 2 * bytes.length);
    uint8_t *said = cs_alloc(bytes.length);
    read_hex(session, signs, said, bytes.length);
    assert_memory_equal(said, bytes.at, bytes.length);
    free(said);
    assert_int_equal(crypto_sign_verify_detached(signature, bytes.at, bytes.length, key), 0);
    const char *frame = text_of(session, with_welcome ? "welcome" : "hello");
    assert_non_null(strstr(frame, text_of(session, signature_name)));
}

static void check_session_keys(const json_t *session, uint8_t to_device[32], uint8_t to_relay[32])
{
    uint8_t relay_public[32], relay_secret[32], device_public[32], device_secret[32], derived[32];
    read_hex(session, "relay_exchange_public", relay_public, 32);
    read_hex(session, "relay_exchange_secret", relay_secret, 32);
    read_hex(session, "device_exchange_public", device_public, 32);
    read_hex(session, "device_exchange_secret", device_secret, 32);
    read_hex(session, "relay_to_device_key", to_device, 32);
    read_hex(session, "device_to_relay_key", to_relay, 32);
    crypto_scalarmult_base(derived, relay_secret);
    assert_memory_equal(derived, relay_public, 32);
    crypto_scalarmult_base(derived, device_secret);
    assert_memory_equal(derived, device_public, 32);
    /* What crypto_kx is made of: BLAKE2b-512 of the shared point and both public keys, the client's first. */
    struct bytes bytes = {.length = 0};
    uint8_t shared[32], both[64];
    assert_int_equal(crypto_scalarmult(shared, device_secret, relay_public), 0);
    add(&bytes, shared, 32);
    add(&bytes, device_public, 32);
    add(&bytes, relay_public, 32);
    crypto_generichash(both, 64, bytes.at, bytes.length, NULL, 0);
    assert_memory_equal(both, to_device, 32);
    assert_memory_equal(both + 32, to_relay, 32);
}

static void check_frame(const json_t *frame, const uint8_t key[32])
{
    struct bytes bytes = {.length = 0};
    const char *plain = text_of(frame, "plain");
    uint8_t mac[16], said[16];
    add_number(&bytes, (uint64_t)json_integer_value(json_object_get(frame, "counter")), 8);
    add(&bytes, plain, strlen(plain) - 1);
    crypto_generichash(mac, 16, bytes.at, bytes.length, key, 32);
    read_hex(frame, "mac", said, 16);
    assert_memory_equal(mac, said, 16);
    char whole[TEXT_SIZE];
    snprintf(whole, sizeof(whole), "%.*s,\"mac\":\"%s\"}", (int)strlen(plain) - 1, plain,
             text_of(frame, "mac"));
    assert_string_equal(whole, text_of(frame, "frame"));
}

static void the_vectors_hold_with_libsodium_alone(void **state)
{
    (void)state;
    json_t *vectors = json_load_file(VECTORS, JSON_REJECT_DUPLICATES, NULL);
    size_t i, k, checked = 0;
    json_t *session, *frame;
    json_array_foreach(json_object_get(vectors, "sessions"), i, session)
    {
        if (strcmp(text_of(session, "auth"), "key") != 0) {
            continue;
        }
        check_signature(session, "coinslot.v1 device", false, "device_signs", "device_key",
                        "device_signature");
        check_signature(session, "coinslot.v1 relay", true, "relay_signs", "relay_key", "relay_signature");
        uint8_t to_device[32], to_relay[32];
        check_session_keys(session, to_device, to_relay);
        json_array_foreach(json_object_get(session, "frames"), k, frame)
        {
            check_frame(frame, strcmp(text_of(frame, "from"), "relay") == 0 ? to_device : to_relay);
            checked++;
        }
    }
    assert_int_equal(checked, 25);
    json_decref(vectors);
}

static void what_the_relay_is_to_understand_it_understands(void **state)
{
    (void)state;
    json_t *vectors = json_load_file(VECTORS, JSON_REJECT_DUPLICATES, NULL);
    size_t i, k;
    json_t *session, *frame;
    struct device_frame read;
    struct device_problem problem;
    json_array_foreach(json_object_get(vectors, "sessions"), i, session)
    {
        const char *text = text_of(session, "hello");
        assert_int_equal(device_frame_read(text, strlen(text), &read, &problem), CS_OK);
        assert_int_equal(read.type, DEVICE_HELLO);
        json_array_foreach(json_object_get(session, "frames"), k, frame)
        {
            text = text_of(frame, "frame");
            bool ours = strcmp(text_of(frame, "from"), "relay") == 0;
            assert_int_equal(device_frame_read(text, strlen(text), &read, &problem),
                             ours ? CS_EINVAL : CS_OK);
        }
    }
    json_decref(vectors);
}

/* ---- signatures ---------------------------------------------------------------------------------------------------- */

static void each_side_believes_the_other(void **state)
{
    (void)state;
    struct both both;
    open_both(&both, 1);
    assert_true(proof_check_hello(&both.transcript, both.hello_signature));
    assert_true(
        proof_check_welcome(&both.transcript, both.welcome, both.welcome_length, both.welcome_signature));
    /* A signature is good for its own side alone. */
    struct proof_transcript turned = both.transcript;
    turned.relay_key = both.device.public_key;
    assert_false(proof_check_welcome(&turned, both.welcome, both.welcome_length, both.hello_signature));
    assert_memory_equal(both.relay.channel.send_key, both.device.channel.receive_key, 32);
    assert_memory_equal(both.device.channel.send_key, both.relay.channel.receive_key, 32);
    assert_memory_not_equal(both.device.channel.send_key, both.relay.channel.send_key, 32);
}

static uint8_t one_bit(size_t i)
{
    return (uint8_t)(1u << (i * 5 % 8));
}

/* Neither signature holds over the transcript as it is now. */
static void assert_neither(const struct both *both, const struct proof_transcript *transcript)
{
    assert_false(proof_check_hello(transcript, both->hello_signature));
    assert_false(
        proof_check_welcome(transcript, both->welcome, both->welcome_length, both->welcome_signature));
}

static void every_byte_of_the_transcript_counts(void **state)
{
    (void)state;
    struct both both;
    open_both(&both, 1);
    const struct proof_transcript right = both.transcript;
    uint8_t *const keys[] = {both.relay.public_key, both.device.public_key};
    for (size_t key = 0; key < 2; key++) {
        for (size_t i = 0; i < PROOF_PUBLIC_SIZE; i++) {
            keys[key][i] ^= one_bit(i);
            assert_neither(&both, &right);
            keys[key][i] ^= one_bit(i);
        }
    }
    char device[] = DEVICE;
    struct proof_transcript wrong = right;
    wrong.device = device;
    for (size_t i = 0; device[i] != '\0'; i++) {
        device[i] ^= 1;
        assert_neither(&both, &wrong);
        device[i] ^= 1;
    }
    const struct {
        char *text;
        size_t length;
    } texts[] = {{both.challenge, right.challenge_length}, {both.hello, right.hello_length}};
    for (size_t text = 0; text < 2; text++) {
        for (size_t i = 0; i < texts[text].length; i++) {
            texts[text].text[i] = (char)(texts[text].text[i] ^ one_bit(i));
            assert_neither(&both, &right);
            texts[text].text[i] = (char)(texts[text].text[i] ^ one_bit(i));
        }
    }
    for (size_t i = 0; i < both.welcome_length; i++) {
        both.welcome[i] = (char)(both.welcome[i] ^ one_bit(i));
        assert_false(proof_check_welcome(&right, both.welcome, both.welcome_length, both.welcome_signature));
        both.welcome[i] = (char)(both.welcome[i] ^ one_bit(i));
    }
    for (size_t i = 0; i < PROOF_SIGNATURE_SIZE; i++) {
        both.hello_signature[i] ^= one_bit(i);
        both.welcome_signature[i] ^= one_bit(i);
        assert_neither(&both, &right);
        both.hello_signature[i] ^= one_bit(i);
        both.welcome_signature[i] ^= one_bit(i);
    }
    assert_true(proof_check_hello(&right, both.hello_signature));
    assert_true(proof_check_welcome(&right, both.welcome, both.welcome_length, both.welcome_signature));
}

static void bytes_that_move_from_one_part_to_the_next_are_seen(void **state)
{
    (void)state;
    struct both both;
    open_both(&both, 1);
    struct proof_transcript moved = both.transcript;
    moved.challenge_length--;
    assert_neither(&both, &moved);
    moved = both.transcript;
    moved.hello_length--;
    assert_neither(&both, &moved);
    moved = both.transcript;
    moved.device = DEVICE "x";
    assert_neither(&both, &moved);
    assert_false(
        proof_check_welcome(&both.transcript, both.welcome, both.welcome_length - 1, both.welcome_signature));
}

static void a_key_of_low_order_makes_no_secret(void **state)
{
    (void)state;
    /* RFC 7748, section 7, and libsodium's list: points that every secret sends to zero. */
    static const char *const LOW[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct end end;
    open_end(&end, 1, 2);
    for (size_t i = 0; i < sizeof(LOW) / sizeof(LOW[0]); i++) {
        uint8_t point[32];
        assert_true(hex_decode(LOW[i], point, 32));
        assert_false(proof_agree_as_relay(&end.channel, end.exchange_public, end.exchange_secret, point));
        assert_false(proof_agree_as_device(&end.channel, end.exchange_public, end.exchange_secret, point));
    }
}

/* ---- frames -------------------------------------------------------------------------------------------------------- */

static void seal(struct proof_channel *channel, const char *plain, char sealed[TEXT_SIZE])
{
    char tail[PROOF_MAC_TAIL_SIZE];
    snprintf(sealed, TEXT_SIZE, "%s", plain);
    proof_seal(channel, plain, strlen(plain), tail);
    join(sealed, tail);
}

static bool opens(const struct proof_channel *channel, const char *text, size_t length)
{
    /* A copy of the channel: one refusal tells nothing of the next. And a block of its own size, so that a read past its end is seen. */
    struct proof_channel copy = *channel;
    char *block = malloc(length > 0 ? length : 1);
    memcpy(block, text, length);
    bool opened = proof_open(&copy, block, length);
    assert_true(copy.received == channel->received + (opened ? 1 : 0));
    free(block);
    return opened;
}

static void frames_are_taken_in_their_order_and_no_other(void **state)
{
    (void)state;
    struct both both, other;
    open_both(&both, 1);
    open_both(&other, 2);
    char frame[4][TEXT_SIZE], back[TEXT_SIZE], foreign[TEXT_SIZE];
    for (size_t i = 0; i < 4; i++) {
        char plain[DEVICE_FRAME_SIZE];
        device_frame_noted(plain, i);
        seal(&both.relay.channel, plain, frame[i]);
    }
    seal(&both.device.channel, "{\"type\":\"noted\",\"seq\":0}", back);
    seal(&other.relay.channel, "{\"type\":\"noted\",\"seq\":0}", foreign);
    struct proof_channel *device = &both.device.channel;
    for (size_t next = 0; next < 4; next++) {
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(opens(device, frame[i], strlen(frame[i])), i == next);
        }
        assert_false(opens(device, back, strlen(back)));
        assert_false(opens(device, foreign, strlen(foreign)));
        assert_true(proof_open(device, frame[next], strlen(frame[next])));
    }
    assert_true(opens(&both.relay.channel, back, strlen(back)));
}

static void every_bit_of_a_frame_counts(void **state)
{
    (void)state;
    struct both both;
    open_both(&both, 1);
    char frame[TEXT_SIZE];
    seal(&both.device.channel, "{\"type\":\"actuated\",\"seq\":1,\"seconds\":600}", frame);
    size_t length = strlen(frame);
    for (size_t i = 0; i < length; i++) {
        for (int bit = 0; bit < 8; bit++) {
            frame[i] = (char)(frame[i] ^ (1 << bit));
            assert_false(opens(&both.relay.channel, frame, length));
            frame[i] = (char)(frame[i] ^ (1 << bit));
        }
    }
    for (size_t i = 0; i < length; i++) {
        assert_false(opens(&both.relay.channel, frame, i));
    }
    assert_true(opens(&both.relay.channel, frame, length));
}

static void a_frame_that_never_left_gives_its_number_to_the_next(void **state)
{
    (void)state;
    struct both both;
    open_both(&both, 1);
    char first[TEXT_SIZE], lost[TEXT_SIZE], next[TEXT_SIZE];
    seal(&both.relay.channel, "{\"type\":\"noted\",\"seq\":1}", first);
    seal(&both.relay.channel, "{\"type\":\"noted\",\"seq\":2}", lost);
    seal(&both.relay.channel, "{\"type\":\"noted\",\"seq\":3}", lost);
    proof_unsend(&both.relay.channel, 2);
    seal(&both.relay.channel, "{\"type\":\"error\",\"code\":\"fenced\"}", next);
    assert_true(proof_open(&both.device.channel, first, strlen(first)));
    assert_true(proof_open(&both.device.channel, next, strlen(next)));
}

static void what_the_vectors_say_is_refused_is_refused(void **state)
{
    (void)state;
    json_t *vectors = json_load_file(VECTORS, JSON_REJECT_DUPLICATES, NULL);
    const json_t *first = json_array_get(json_object_get(vectors, "sessions"), 0);
    size_t i;
    json_t *entry;
    assert_int_equal(json_array_size(json_object_get(vectors, "refused")), 15);
    json_array_foreach(json_object_get(vectors, "refused"), i, entry)
    {
        struct both both;
        open_both(&both, 1);
        bool to_relay = strcmp(text_of(entry, "to"), "relay") == 0;
        struct proof_channel *channel = to_relay ? &both.relay.channel : &both.device.channel;
        int after = (int)json_integer_value(json_object_get(entry, "after"));
        for (int counter = 0; counter < after; counter++) {
            const char *right = frame_of(first, to_relay ? "device" : "relay", counter);
            assert_true(proof_open(channel, right, strlen(right)));
        }
        const char *frame = text_of(entry, "frame");
        if (proof_open(channel, frame, strlen(frame))) {
            fail_msg("%s: %s was taken", text_of(entry, "why"), frame);
        }
    }
    json_decref(vectors);
}

static void a_sig_has_one_form_and_one_place(void **state)
{
    (void)state;
    uint8_t signature[PROOF_SIGNATURE_SIZE] = {0xab, [63] = 0xcd}, found[PROOF_SIGNATURE_SIZE];
    char tail[PROOF_SIG_TAIL_SIZE], text[TEXT_SIZE] = "{\"a\":1}";
    size_t before;
    proof_write_sig(signature, tail);
    assert_int_equal(strlen(tail), PROOF_SIG_TAIL_SIZE - 1);
    join(text, tail);
    assert_true(proof_split_sig(text, strlen(text), found, &before));
    assert_int_equal(before, 6);
    assert_memory_equal(found, signature, sizeof(found));
    for (size_t length = 0; length < strlen(text); length++) {
        assert_false(proof_split_sig(text, length, found, &before));
    }
    assert_false(proof_split_sig(tail, strlen(tail), found, &before)); /* nothing is signed */
    text[6 + 8] = 'A';
    assert_false(proof_split_sig(text, strlen(text), found, &before));
}

int main(void)
{
    if (sodium_init() < 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_are_what_this_code_makes),
        cmocka_unit_test(the_vectors_hold_with_libsodium_alone),
        cmocka_unit_test(what_the_relay_is_to_understand_it_understands),
        cmocka_unit_test(each_side_believes_the_other),
        cmocka_unit_test(every_byte_of_the_transcript_counts),
        cmocka_unit_test(bytes_that_move_from_one_part_to_the_next_are_seen),
        cmocka_unit_test(a_key_of_low_order_makes_no_secret),
        cmocka_unit_test(frames_are_taken_in_their_order_and_no_other),
        cmocka_unit_test(every_bit_of_a_frame_counts),
        cmocka_unit_test(a_frame_that_never_left_gives_its_number_to_the_next),
        cmocka_unit_test(what_the_vectors_say_is_refused_is_refused),
        cmocka_unit_test(a_sig_has_one_form_and_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
