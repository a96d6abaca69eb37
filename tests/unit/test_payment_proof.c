/*
 * Payment frames with their proof, and the vectors in schema/examples/device-proofs.json, which the firmware and the clients check too. They
 * are made here, from fixed keys, by the code that the relay builds its frames with; after a change that is meant:
 *
 *     COINSLOT_WRITE_VECTORS=1 build/debug/test_payment_proof
 *
 * What a device makes of each is said here, and found out by clients/python/tests/test_proof.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "lib/schema.h"
#include "push/device_frames.h"
#include "simulate/sign.h"
#include "verify/block.h"

#define VECTORS SOURCE_DIR "/schema/examples/device-proofs.json"
#define TIME_MS 1795194180123 /* 2026-11-20T17:03:00.123Z */
#define NANO    "1000000000000000000000000000000"

enum { PAYER, SHOP, STRANGER, KEYS };

/* A payment as it is in the store; each case changes what it is about. */
struct paid {
    struct sign_key keys[KEYS];
    struct block block, previous;
    struct store_delivery delivery;
    bool without; /* the frame has no proof */
};

static struct amount raw(const char *text)
{
    struct amount amount = {0, 0};
    assert_true(amount_parse_raw(text, &amount));
    return amount;
}

static void sign(const struct paid *paid, struct block *block, int key)
{
    uint8_t hash[32];
    block_hash(block, hash);
    sign_hash(&paid->keys[key], hash, block->signature);
    assert_true(block_signature_valid(hash, block->signature, paid->keys[key].public_key));
}

static void copy_key(uint8_t to[32], const struct paid *paid, int key)
{
    memcpy(to, paid->keys[key].public_key, 32);
}

/* Signs both, the second on the first, and has the payment say so. */
static void chain(struct paid *paid, int previous_key, int key)
{
    struct payment *payment = &paid->delivery.payment;
    sign(paid, &paid->previous, previous_key);
    block_hash(&paid->previous, paid->block.previous);
    sign(paid, &paid->block, key);
    block_hash(&paid->block, payment->hash);
}

static void open_paid(struct paid *paid)
{
    memset(paid, 0, sizeof(*paid));
    for (int i = 0; i < KEYS; i++) {
        uint8_t seed[32];
        memset(seed, 0x30 + i, sizeof(seed));
        sign_expand_key(seed, &paid->keys[i]);
    }
    paid->block = (struct block){.type = BLOCK_STATE, .balance = raw("7" NANO), .work = 0xc0ffee0000000002};
    paid->previous = (struct block){.type = BLOCK_STATE, .work = 0xc0ffee0000000001};
    assert_true(amount_add(paid->block.balance, raw(NANO), &paid->previous.balance));
    copy_key(paid->block.account, paid, PAYER);
    copy_key(paid->block.representative, paid, STRANGER);
    copy_key(paid->block.link, paid, SHOP);
    copy_key(paid->previous.account, paid, PAYER);
    copy_key(paid->previous.representative, paid, STRANGER);
    memset(paid->previous.previous, 0x51, 32);
    memset(paid->previous.link, 0x52, 32);
    paid->delivery = (struct store_delivery){
        .seq = 1, .state = DELIVERY_SENT, .config_version = 1, .stored_at_ms = TIME_MS};
    paid->delivery.payment = (struct payment){.amount = raw(NANO), .source = SOURCE_NANO_WS};
    paid->delivery.payment.from = address_from_nano_key(paid->keys[PAYER].public_key);
    paid->delivery.payment.to = address_from_nano_key(paid->keys[SHOP].public_key);
    chain(paid, PAYER, PAYER);
}

/* A legacy send in place of either; it names no account. */
static void make_legacy(struct block *block)
{
    block->type = BLOCK_SEND;
    memset(block->account, 0, 32);
    memset(block->representative, 0, 32);
}

/* ---- the cases ----------------------------------------------------------------------------------------------------- */

static void change_nothing(struct paid *paid)
{
    (void)paid;
}

static void leave_out_from(struct paid *paid)
{
    paid->delivery.payment.from.length = 0;
}

static void send_after_legacy(struct paid *paid)
{
    make_legacy(&paid->previous);
    chain(paid, PAYER, PAYER);
}

static void legacy_after_legacy(struct paid *paid)
{
    make_legacy(&paid->previous);
    make_legacy(&paid->block);
    chain(paid, PAYER, PAYER);
}

static void leave_out_proof(struct paid *paid)
{
    paid->without = true;
}

static void send_after(struct paid *paid, const struct block *previous)
{
    paid->previous = *previous;
    paid->previous.work = 0xc0ffee0000000001;
    chain(paid, PAYER, PAYER);
}

static void send_after_open(struct paid *paid)
{
    struct block open = {.type = BLOCK_OPEN};
    copy_key(open.account, paid, PAYER);
    copy_key(open.representative, paid, STRANGER);
    memset(open.link, 0x52, 32);
    send_after(paid, &open);
}

static void send_after_receive(struct paid *paid)
{
    struct block receive = {.type = BLOCK_RECEIVE};
    memset(receive.previous, 0x51, 32);
    memset(receive.link, 0x52, 32);
    send_after(paid, &receive);
}

static void send_after_change(struct paid *paid)
{
    struct block change = {.type = BLOCK_CHANGE};
    memset(change.previous, 0x51, 32);
    copy_key(change.representative, paid, STRANGER);
    send_after(paid, &change);
}

static void say_more(struct paid *paid)
{
    paid->delivery.payment.amount = raw("2" NANO);
}

static void say_another_hash(struct paid *paid)
{
    paid->delivery.payment.hash[31] ^= 1;
}

static void say_another_sender(struct paid *paid)
{
    paid->delivery.payment.from = address_from_nano_key(paid->keys[STRANGER].public_key);
}

static void say_another_output(struct paid *paid)
{
    paid->delivery.payment.output = 1;
}

static void pay_somebody_else(struct paid *paid)
{
    copy_key(paid->block.link, paid, STRANGER);
    chain(paid, PAYER, PAYER);
}

static void make_up_a_balance(struct paid *paid)
{
    paid->previous.balance = raw("9" NANO "0"); /* not signed, not hashed: the hash is another one now */
}

static void take_anothers_previous(struct paid *paid)
{
    copy_key(paid->previous.account, paid, STRANGER);
    chain(paid, STRANGER, PAYER);
}

static void take_anothers_legacy_previous(struct paid *paid)
{
    make_legacy(&paid->previous);
    chain(paid, STRANGER, PAYER);
}

static void sign_by_another(struct paid *paid)
{
    chain(paid, PAYER, STRANGER);
}

static void spoil_the_signature(struct paid *paid)
{
    paid->block.signature[5] ^= 4;
}

static void receive_in_place_of_sending(struct paid *paid)
{
    struct amount balance = paid->previous.balance;
    paid->previous.balance = paid->block.balance;
    paid->block.balance = balance;
    chain(paid, PAYER, PAYER);
}

static void legacy_from_another(struct paid *paid)
{
    legacy_after_legacy(paid);
    paid->delivery.payment.from = address_from_nano_key(paid->keys[STRANGER].public_key);
}

static void legacy_from_nobody(struct paid *paid)
{
    legacy_after_legacy(paid);
    paid->delivery.payment.from.length = 0;
}

static void receive_block(struct paid *paid)
{
    struct block receive = {.type = BLOCK_RECEIVE, .work = 0xc0ffee0000000002};
    copy_key(receive.link, paid, SHOP);
    paid->block = receive;
    chain(paid, PAYER, PAYER);
}

static const struct {
    const char *name, *outcome;
    void (*change)(struct paid *paid);
} CASES[] = {
    {"a state block after a state block", "granted", change_nothing},
    {"the payment does not say from whom: the block does", "granted", leave_out_from},
    {"a state block after a legacy send", "granted", send_after_legacy},
    {"a legacy send after a legacy send", "granted", legacy_after_legacy},
    {"no proof", "no_proof", leave_out_proof},
    {"after a legacy open, which names no balance", "unprovable", send_after_open},
    {"after a legacy receive", "unprovable", send_after_receive},
    {"after a legacy change", "unprovable", send_after_change},
    {"the payment says more than the blocks", "proof_wrong", say_more},
    {"the payment has another hash", "proof_wrong", say_another_hash},
    {"the payment is said to be from somebody else", "proof_wrong", say_another_sender},
    {"the payment has another output", "proof_wrong", say_another_output},
    {"the block pays somebody else", "proof_wrong", pay_somebody_else},
    {"a block before with another balance", "proof_wrong", make_up_a_balance},
    {"a block before of another account", "proof_wrong", take_anothers_previous},
    {"a legacy send before, signed by another account", "proof_wrong", take_anothers_legacy_previous},
    {"signed by another account", "proof_wrong", sign_by_another},
    {"a signature with one bit changed", "proof_wrong", spoil_the_signature},
    {"the balance has grown", "proof_wrong", receive_in_place_of_sending},
    {"a legacy send, said to be from somebody else", "proof_wrong", legacy_from_another},
    {"a legacy send, from nobody", "proof_wrong", legacy_from_nobody},
    {"a legacy receive is no payment", "proof_wrong", receive_block},
};

static json_t *make_case(size_t i)
{
    struct paid paid;
    struct store_proof proof = {.block_size = BLOCK_PACKED_SIZE, .previous_size = BLOCK_PACKED_SIZE};
    open_paid(&paid);
    CASES[i].change(&paid);
    block_pack(&paid.block, proof.block);
    block_pack(&paid.previous, proof.previous);
    paid.delivery.proof = paid.without ? NULL : &proof;
    size_t room = device_frame_payment_room(&paid.delivery);
    char *text = malloc(room);
    size_t length =
        device_frame_payment(text, &paid.delivery, TIME_MS + 2000, &(struct device_body){.length = 0});
    assert_true(length < room && strlen(text) == length);
    json_t *made =
        json_pack("{s:s, s:s, s:s}", "name", CASES[i].name, "outcome", CASES[i].outcome, "frame", text);
    if (!paid.without) {
        assert_int_equal(json_object_set_new(made, "block", block_to_json(&paid.block)), 0);
        assert_int_equal(json_object_set_new(made, "previous", block_to_json(&paid.previous)), 0);
    }
    free(text);
    return made;
}

static json_t *make_vectors(void)
{
    struct paid paid;
    char address[ADDRESS_TEXT_SIZE];
    open_paid(&paid);
    address_format(&paid.delivery.payment.to, address);
    json_t *cases = json_array();
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        json_array_append_new(cases, make_case(i));
    }
    return json_pack(
        "{s:s, s:s, s:o}", "about",
        "Payments with their proof (docs/device-protocol.md, \"Proof\"), to a device whose only address is "
        "`address`, and that would otherwise grant them: each frame without its mac, and what becomes of "
        "it. `block` and `previous` are what is packed in the frame, as a Nano node prints it.",
        "address", address, "cases", cases);
}

static void the_vectors_are_what_the_relay_sends(void **state)
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

static void every_frame_is_as_its_schema_has_it(void **state)
{
    (void)state;
    const json_t *schema = schema_load(SOURCE_DIR "/schema/messages", "payment");
    assert_non_null(schema);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char why[256];
        json_t *made = make_case(i);
        json_t *frame =
            json_loads(json_string_value(json_object_get(made, "frame")), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(frame);
        if (!schema_check(schema, frame, true, why, sizeof(why))) {
            fail_msg("%s: %s", CASES[i].name, why);
        }
        json_decref(frame);
        json_decref(made);
    }
    schema_forget();
}

/* docs/device-protocol.md says how long a frame can be. */
static void the_longest_frame_has_1967_bytes_without_a_config(void **state)
{
    (void)state;
    struct store_proof proof = {.block_size = BLOCK_PACKED_SIZE, .previous_size = BLOCK_PACKED_SIZE};
    struct paid paid;
    char text[4096];
    open_paid(&paid);
    size_t without = device_frame_payment(text, &paid.delivery, 0, &(struct device_body){.length = 0});
    paid.delivery.proof = &proof;
    size_t with = device_frame_payment(text, &paid.delivery, 0, &(struct device_body){.length = 0});
    assert_int_equal(with - without, 903);
    assert_int_equal(DEVICE_FRAME_SIZE - 1 + 41 + 903, 1967); /* 41: the mac in place of a brace */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_are_what_the_relay_sends),
        cmocka_unit_test(every_frame_is_as_its_schema_has_it),
        cmocka_unit_test(the_longest_frame_has_1967_bytes_without_a_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
