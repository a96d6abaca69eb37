#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/json.h"
#include "lib/recorded.h"
#include "verify/notice.h"

#define STATE_SEND    "callback-002.raw"
#define STATE_RECEIVE "callback-005.raw"
#define STATE_CHANGE  "callback-006.raw"
#define LEGACY_SEND   "callback-001.raw"
#define LEGACY_OPEN   "callback-015.raw"
#define LEGACY_CHANGE "callback-016.raw"

#define ZERO     "0000000000000000000000000000000000000000000000000000000000000000"
#define SOMEBODY "nano_3xc8mafayqu1ae8myqw9o9dizmz5mhqnzf1dx1jdrs6apgm8g8stucek1rzc"
#define BURN     "nano_1111111111111111111111111111111111111111111111111111hifc8npp"

static json_t *recorded(const char *file)
{
    return recorded_read(SOURCE_DIR, file);
}

static void set(json_t *object, const char *key, const char *text)
{
    assert_int_equal(json_object_set_new(object, key, json_string(text)), 0);
}

/* Reads and gives up ownership of `object`. */
static struct notice read_good(json_t *object)
{
    struct notice notice;
    char error[NOTICE_ERROR_SIZE];
    enum notice_verdict verdict = notice_read(json_view_of_tree(object), &notice, error);
    if (verdict != NOTICE_VALID) {
        fail_msg("%s: %s", notice_verdict_text(verdict), error);
    }
    assert_string_equal(error, "");
    json_decref(object);
    return notice;
}

/* `object`, which is given up, must be refused so, with a reason that holds `reason`, and nothing written. */
static void refuse(json_t *object, enum notice_verdict expected, const char *reason)
{
    struct notice notice, untouched;
    char error[NOTICE_ERROR_SIZE];
    memset(&notice, 0x5a, sizeof(notice));
    memset(&untouched, 0x5a, sizeof(untouched));
    enum notice_verdict verdict = notice_read(json_view_of_tree(object), &notice, error);
    if (verdict != expected || strstr(error, reason) == NULL) {
        fail_msg("%s: %s (not %s: …%s…)", notice_verdict_text(verdict), error, notice_verdict_text(expected),
                 reason);
    }
    assert_memory_equal(&notice, &untouched, sizeof(notice));
    json_decref(object);
}

/* Changes a field inside the escaped block, with the hash set right again unless it is to stay wrong. */
static json_t *with_block_field(const char *file, const char *key, const char *text, bool rehash)
{
    json_t *object = recorded(file);
    json_t *inside = json_loads(json_text(object, "block"), 0, NULL);
    set(inside, key, text);
    char *dumped = json_dumps(inside, JSON_INDENT(4));
    set(object, "block", dumped);
    struct block block;
    char error[BLOCK_ERROR_SIZE], hash_text[PAYMENT_HASH_TEXT];
    if (rehash) {
        uint8_t hash[32];
        assert_int_equal(block_read(json_view_of_tree(inside), &block, error), CS_OK);
        block_hash(&block, hash);
        hex_encode_upper(hash, sizeof(hash), hash_text);
        set(object, "hash", hash_text);
    }
    free(dumped);
    json_decref(inside);
    return object;
}

static json_t *with_field(const char *file, const char *key, const char *text)
{
    json_t *object = recorded(file);
    set(object, key, text);
    return object;
}

static json_t *without_field(const char *file, const char *key)
{
    json_t *object = recorded(file);
    assert_int_equal(json_object_del(object, key), 0);
    return object;
}

static void every_recorded_callback_is_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDED_COUNT; i++) {
        struct notice notice = read_good(recorded(RECORDED[i].file));
        struct amount amount;
        char error[NOTICE_ERROR_SIZE];
        assert_true(amount_parse_raw(RECORDED[i].amount, &amount));
        assert_int_equal(notice.is_send, RECORDED[i].is_send);
        assert_int_equal(notice.block.type, RECORDED[i].type);
        assert_int_equal(amount_compare(notice.amount, amount), 0);
        assert_int_equal(notice_check_signature(&notice, error), NOTICE_VALID);
        assert_true(block_signature_valid(notice.hash, notice.block.signature, notice.account));
    }
}

static void a_state_send_becomes_a_payment_to_its_link(void **state)
{
    (void)state;
    struct notice notice = read_good(recorded(STATE_SEND));
    struct payment payment;
    memset(&payment, 0xff, sizeof(payment));
    payment.source = SOURCE_NANO_WS;
    payment.node_time_ms = 77;
    notice_to_payment(&notice, &payment);
    char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE], hash[PAYMENT_HASH_TEXT], raw[AMOUNT_RAW_SIZE];
    address_format(&payment.from, from);
    address_format(&payment.to, to);
    hex_encode_upper(payment.hash, sizeof(payment.hash), hash);
    amount_format_raw(payment.amount, raw);
    assert_string_equal(from, "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo");
    assert_string_equal(to, "nano_1sjkhzzeuhup4u9fbd9f77k9puwfbaadymfjnjgbtmiuchqqnmodbwrsnhn9");
    assert_string_equal(hash, "91CEAB9A2240BF83F26E2414E91794DD701C5B6B1689B178448537B1CC3B5461");
    assert_string_equal(raw, "1000000000000000000000000000000");
    assert_string_equal(payment.asset, "");
    assert_int_equal(payment.output, 0);
    assert_int_equal(payment.source, SOURCE_NANO_WS);
    assert_int_equal(payment.node_time_ms, 77);
}

static void a_legacy_send_becomes_a_payment_to_its_destination(void **state)
{
    (void)state;
    struct notice notice = read_good(recorded(LEGACY_SEND));
    struct payment payment;
    notice_to_payment(&notice, &payment);
    char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE], raw[AMOUNT_RAW_SIZE];
    address_format(&payment.from, from);
    address_format(&payment.to, to);
    amount_format_raw(payment.amount, raw);
    assert_string_equal(from, "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo");
    assert_string_equal(to, "nano_35s8xxbrurpph5zrcb8ey3y1j9niij7k1m645otcxdk3fxg517i6j5empshy");
    assert_string_equal(raw, "3000000000000000000000000000000");
}

static void the_block_may_be_an_object_that_holds_the_subtype(void **state)
{
    (void)state; /* as the node's WebSocket has it */
    json_t *object = recorded(STATE_SEND);
    json_t *inside = json_loads(json_text(object, "block"), 0, NULL);
    json_object_set_new(object, "block", inside);
    json_object_del(object, "is_send");
    json_object_del(object, "subtype");
    refuse(json_deep_copy(object), NOTICE_MALFORMED, "`subtype`");
    set(inside, "subtype", "send");
    assert_true(read_good(json_deep_copy(object)).is_send);
    set(object, "subtype", "receive");
    refuse(object, NOTICE_CONTRADICTION, "inside the block");
}

static void either_of_subtype_and_is_send_is_enough(void **state)
{
    (void)state;
    assert_true(read_good(without_field(STATE_SEND, "subtype")).is_send);
    assert_true(read_good(without_field(STATE_SEND, "is_send")).is_send);
    json_t *object = with_field(STATE_RECEIVE, "is_send", "false");
    assert_false(read_good(json_deep_copy(object)).is_send);
    json_object_del(object, "subtype");
    assert_false(read_good(object).is_send);
    assert_true(read_good(with_field(LEGACY_SEND, "subtype", "send")).is_send);
    assert_true(read_good(with_field(LEGACY_SEND, "is_send", "true")).is_send);
}

static void an_epoch_pays_nobody_and_its_signature_is_not_asked(void **state)
{
    (void)state;
    json_t *object = with_block_field(
        STATE_CHANGE, "link", "65706F636820763220626C6F636B000000000000000000000000000000000000", false);
    refuse(json_deep_copy(object), NOTICE_CONTRADICTION, "link_as_account");
    json_decref(object);
    object = recorded(STATE_CHANGE);
    json_t *inside = json_loads(json_text(object, "block"), 0, NULL);
    set(inside, "link", "65706F636820763220626C6F636B000000000000000000000000000000000000");
    json_object_del(inside, "link_as_account");
    struct block block;
    char error[NOTICE_ERROR_SIZE], hash_text[PAYMENT_HASH_TEXT];
    uint8_t hash[32];
    assert_int_equal(block_read(json_view_of_tree(inside), &block, error), CS_OK);
    block_hash(&block, hash);
    hex_encode_upper(hash, sizeof(hash), hash_text);
    set(object, "hash", hash_text);
    json_object_set_new(object, "block", inside);
    refuse(json_deep_copy(object), NOTICE_CONTRADICTION, "`link`"); /* still called a change */
    set(object, "subtype", "epoch");
    struct notice notice = read_good(object);
    assert_false(notice.is_send);
    assert_false(block_signature_valid(notice.hash, notice.block.signature, notice.account));
    assert_int_equal(notice_check_signature(&notice, error), NOTICE_VALID);
}

static void a_missing_or_unreadable_field_is_malformed(void **state)
{
    (void)state;
    static const char *const KEYS[] = {"account", "hash", "block", "amount"};
    static const char *const FILES[] = {STATE_SEND, LEGACY_SEND, STATE_RECEIVE, STATE_CHANGE, LEGACY_OPEN};
    for (size_t f = 0; f < sizeof(FILES) / sizeof(FILES[0]); f++) {
        for (size_t k = 0; k < sizeof(KEYS) / sizeof(KEYS[0]); k++) {
            refuse(without_field(FILES[f], KEYS[k]), NOTICE_MALFORMED, KEYS[k]);
            refuse(with_field(FILES[f], KEYS[k], ""), NOTICE_MALFORMED, KEYS[k]);
            json_t *object = recorded(FILES[f]);
            json_object_set_new(object, KEYS[k], json_integer(5));
            refuse(object, NOTICE_MALFORMED, KEYS[k]);
        }
    }
    refuse(with_field(STATE_SEND, "amount", "1.0"), NOTICE_MALFORMED, "`amount`");
    refuse(with_field(STATE_SEND, "amount", "340282366920938463463374607431768211456"), NOTICE_MALFORMED,
           "`amount`");
    refuse(with_field(STATE_SEND, "hash", "91CE"), NOTICE_MALFORMED, "`hash`");
    refuse(with_field(STATE_SEND, "account", "nano_1"), NOTICE_MALFORMED, "`account`");
    refuse(with_field(STATE_SEND, "subtype", "gift"), NOTICE_MALFORMED, "`subtype`");
    refuse(with_field(STATE_SEND, "is_send", "yes"), NOTICE_MALFORMED, "`is_send`");
    json_t *object = recorded(STATE_SEND);
    json_object_set_new(object, "is_send", json_true());
    refuse(object, NOTICE_MALFORMED, "`is_send`");
    object = without_field(STATE_SEND, "is_send");
    json_object_del(object, "subtype");
    refuse(object, NOTICE_MALFORMED, "`subtype`");
    refuse(json_array(), NOTICE_MALFORMED, "no JSON object");
}

static void a_block_that_cannot_be_read_is_malformed(void **state)
{
    (void)state;
    refuse(with_field(STATE_SEND, "block", "{"), NOTICE_MALFORMED, "`block` cannot be read");
    refuse(with_field(STATE_SEND, "block", "[[[[]]]]"), NOTICE_MALFORMED, "nested more than");
    refuse(with_field(STATE_SEND, "block", "[]"), NOTICE_MALFORMED, "no JSON object");
    refuse(with_field(STATE_SEND, "block", "{\"type\":\"state\",\"type\":\"send\"}"), NOTICE_MALFORMED,
           "duplicate");
    refuse(with_block_field(STATE_SEND, "type", "gift", false), NOTICE_MALFORMED, "`type`");
    refuse(with_block_field(STATE_SEND, "balance", "-1", false), NOTICE_MALFORMED, "`balance`");
    refuse(with_block_field(LEGACY_SEND, "balance", "12", false), NOTICE_MALFORMED, "`balance`");
    refuse(with_block_field(LEGACY_SEND, "destination", "nano_1", false), NOTICE_MALFORMED, "`destination`");
    refuse(with_block_field(STATE_SEND, "signature", "AB", false), NOTICE_MALFORMED, "`signature`");
}

static void every_changed_hashable_gives_a_wrong_hash(void **state)
{
    (void)state;
    static const struct {
        const char *file, *key, *text;
    } ROWS[] = {
        {STATE_SEND, "account", SOMEBODY},
        {STATE_SEND, "previous", ZERO},
        {STATE_SEND, "representative", SOMEBODY},
        {STATE_SEND, "balance", "1"},
        {LEGACY_SEND, "previous", ZERO},
        {LEGACY_SEND, "destination", SOMEBODY},
        {LEGACY_SEND, "balance", "00000000000000000000000000000001"},
        {LEGACY_OPEN, "source", ZERO},
        {LEGACY_OPEN, "representative", SOMEBODY},
        {LEGACY_OPEN, "account", SOMEBODY},
        {LEGACY_CHANGE, "previous", ZERO},
        {LEGACY_CHANGE, "representative", SOMEBODY},
        {STATE_RECEIVE, "balance", "1"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        refuse(with_block_field(ROWS[i].file, ROWS[i].key, ROWS[i].text, false), NOTICE_WRONG_HASH,
               "`hash` is ");
    }
    refuse(with_field(STATE_SEND, "hash", ZERO), NOTICE_WRONG_HASH, "91CEAB9A2240BF83");
    refuse(with_field(LEGACY_SEND, "hash", ZERO), NOTICE_WRONG_HASH, "A5A0806F7FB1E088");
    refuse(with_field(STATE_CHANGE, "hash", ZERO), NOTICE_WRONG_HASH, "39D966B68DD5225E");
}

static void what_cannot_both_be_true_is_a_contradiction(void **state)
{
    (void)state;
    refuse(with_field(STATE_SEND, "account", SOMEBODY), NOTICE_CONTRADICTION, "`account` is " SOMEBODY);
    refuse(with_field(LEGACY_OPEN, "account", SOMEBODY), NOTICE_CONTRADICTION, "`account` is " SOMEBODY);
    refuse(with_block_field(STATE_SEND, "link_as_account", SOMEBODY, false), NOTICE_CONTRADICTION,
           "link_as_account");
    refuse(with_block_field(STATE_SEND, "link", ZERO, false), NOTICE_CONTRADICTION, "link_as_account");
    refuse(with_field(STATE_SEND, "subtype", "receive"), NOTICE_CONTRADICTION, "`is_send` is \"true\"");
    refuse(with_field(STATE_SEND, "is_send", "false"), NOTICE_CONTRADICTION, "`is_send` is \"false\"");
    refuse(with_field(STATE_RECEIVE, "is_send", "true"), NOTICE_CONTRADICTION, "`is_send` is \"true\"");
    refuse(with_field(STATE_RECEIVE, "subtype", "change"), NOTICE_CONTRADICTION, "`link` is not zero");
    refuse(with_field(STATE_CHANGE, "subtype", "receive"), NOTICE_CONTRADICTION, "names no send");
    refuse(with_field(LEGACY_SEND, "subtype", "receive"), NOTICE_CONTRADICTION, "type is \"send\"");
    refuse(with_field(LEGACY_SEND, "is_send", "false"), NOTICE_CONTRADICTION, "type is \"send\"");
    refuse(with_field(LEGACY_OPEN, "subtype", "send"), NOTICE_CONTRADICTION, "type is \"open\"");
    refuse(with_field(LEGACY_CHANGE, "is_send", "true"), NOTICE_CONTRADICTION, "type is \"change\"");
    refuse(with_field(STATE_SEND, "amount", "0"), NOTICE_CONTRADICTION, "`amount` is 0");
    refuse(with_field(LEGACY_SEND, "amount", "0"), NOTICE_CONTRADICTION, "`amount` is 0");
    refuse(with_field(STATE_CHANGE, "subtype", "send"), NOTICE_CONTRADICTION, "`amount` is 0");
    refuse(with_block_field(STATE_SEND, "previous", ZERO, true), NOTICE_CONTRADICTION, "`previous` is zero");
    refuse(with_block_field(LEGACY_SEND, "previous", ZERO, true), NOTICE_CONTRADICTION, "`previous` is zero");
}

static void an_amount_may_reach_the_supply_but_not_exceed_it(void **state)
{
    (void)state;
    /* The recorded sender keeps 2^128 - 1 - 10^30 and less; what is missing to 2^128 - 1 is the most that it
     * can have sent. */
    struct notice notice = read_good(recorded(STATE_SEND));
    const struct amount most = {.high = UINT64_MAX, .low = UINT64_MAX};
    struct amount limit, beyond;
    char raw[AMOUNT_RAW_SIZE];
    assert_true(amount_subtract(most, notice.block.balance, &limit));
    amount_format_raw(limit, raw);
    read_good(with_field(STATE_SEND, "amount", raw));
    assert_true(amount_add(limit, (struct amount){.low = 1}, &beyond));
    amount_format_raw(beyond, raw);
    refuse(with_field(STATE_SEND, "amount", raw), NOTICE_CONTRADICTION, "exceed 2^128 - 1");
}

static void sending_to_the_burn_account_is_a_send_with_a_zero_link(void **state)
{
    (void)state;
    json_t *object = with_block_field(STATE_SEND, "link_as_account", BURN, false);
    json_t *inside = json_loads(json_text(object, "block"), 0, NULL);
    set(inside, "link", ZERO);
    struct block block;
    char error[BLOCK_ERROR_SIZE], hash_text[PAYMENT_HASH_TEXT];
    uint8_t hash[32];
    assert_int_equal(block_read(json_view_of_tree(inside), &block, error), CS_OK);
    block_hash(&block, hash);
    hex_encode_upper(hash, sizeof(hash), hash_text);
    set(object, "hash", hash_text);
    json_object_set_new(object, "block", inside);
    assert_true(read_good(object).is_send);
}

static void a_forged_send_has_a_wrong_signature(void **state)
{
    (void)state;
    char error[NOTICE_ERROR_SIZE];
    struct notice notice = read_good(with_block_field(STATE_SEND, "balance", "5", true));
    assert_int_equal(notice_check_signature(&notice, error), NOTICE_WRONG_SIGNATURE);
    assert_non_null(strstr(error, "nano_3e3j5tkog48p"));
    notice = read_good(with_block_field(LEGACY_SEND, "destination", SOMEBODY, true));
    assert_int_equal(notice_check_signature(&notice, error), NOTICE_WRONG_SIGNATURE);
    /* A legacy block does not name its account: the wrong one is found by the signature alone. */
    notice = read_good(with_field(LEGACY_SEND, "account", SOMEBODY));
    assert_int_equal(notice_check_signature(&notice, error), NOTICE_WRONG_SIGNATURE);
    assert_non_null(strstr(error, SOMEBODY));
}

static void every_verdict_has_a_code_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < NOTICE_VERDICT_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(notice_verdict_text((enum notice_verdict)i),
                                    notice_verdict_text((enum notice_verdict)j));
        }
        assert_string_not_equal(notice_verdict_text((enum notice_verdict)i), "?");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_callback_is_valid),
        cmocka_unit_test(a_state_send_becomes_a_payment_to_its_link),
        cmocka_unit_test(a_legacy_send_becomes_a_payment_to_its_destination),
        cmocka_unit_test(the_block_may_be_an_object_that_holds_the_subtype),
        cmocka_unit_test(either_of_subtype_and_is_send_is_enough),
        cmocka_unit_test(an_epoch_pays_nobody_and_its_signature_is_not_asked),
        cmocka_unit_test(a_missing_or_unreadable_field_is_malformed),
        cmocka_unit_test(a_block_that_cannot_be_read_is_malformed),
        cmocka_unit_test(every_changed_hashable_gives_a_wrong_hash),
        cmocka_unit_test(what_cannot_both_be_true_is_a_contradiction),
        cmocka_unit_test(an_amount_may_reach_the_supply_but_not_exceed_it),
        cmocka_unit_test(sending_to_the_burn_account_is_a_send_with_a_zero_link),
        cmocka_unit_test(a_forged_send_has_a_wrong_signature),
        cmocka_unit_test(every_verdict_has_a_code_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
