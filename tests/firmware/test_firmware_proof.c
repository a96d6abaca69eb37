/* A payment's own blocks: what they have to say before it counts. Signatures are toys here; test_firmware_vectors has real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "firmware/rig.h"
#include "firmware/toy_crypto.h"

static struct rig rig;

/* A payment of 0.1 nano, to the account of 32 zeros. */
static struct {
    struct block block, previous;
    char from[66];
    const char *amount;
} paid;

#define FROM "nano_14a1111111111111111111111111111111111111111111111111kmuc34us"
static const uint8_t FROM_KEY[32] = {0x09};

static void hash_of(const struct block *block, uint8_t hash[32])
{
    uint8_t bytes[BLOCK_HASHABLES_MOST];
    size_t length = block_hashables(block, bytes);
    toy_hash(bytes, length, hash, 32);
}

static void sign(struct block *block, const uint8_t key[32])
{
    uint8_t hash[32];
    hash_of(block, hash);
    toy_sign(key, hash, 32, block->signature);
}

static void chain(void)
{
    sign(&paid.previous, FROM_KEY);
    hash_of(&paid.previous, paid.block.previous);
    sign(&paid.block, FROM_KEY);
}

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.identity.proof = true;
    memset(&paid, 0, sizeof(paid));
    paid.amount = "100000000000000000000000000000";
    strcpy(paid.from, FROM);
    paid.previous.type = paid.block.type = BLOCK_STATE;
    memcpy(paid.previous.account, FROM_KEY, 32);
    memcpy(paid.block.account, FROM_KEY, 32);
    struct amount amount = {0, 0};
    assert_true(amount_parse_raw(paid.amount, &amount));
    paid.block.balance = (struct amount){1, 2};
    assert_true(amount_add(paid.block.balance, amount, &paid.previous.balance));
    rig_power_on(&rig);
    rig_open_session(&rig, 0);
    return 0;
}

static void add_packed(char *text, const struct block *block)
{
    uint8_t bytes[BLOCK_PACKED_SIZE];
    block_pack(block, bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        sprintf(text + strlen(text), "%02x", bytes[i]);
    }
}

static void pay_hashed(const uint8_t hash[32], unsigned output)
{
    static char text[2048];
    struct core_report told;
    core_report(&rig.core, &told);
    snprintf(
        text, sizeof(text),
        "{\"type\":\"payment\",\"seq\":%u,\"config_version\":1,\"payment\":{\"chain\":\"nano\",\"hash\":\"",
        (unsigned)told.seq + 1);
    for (int i = 0; i < 32; i++) {
        sprintf(text + strlen(text), "%02X", hash[i]);
    }
    sprintf(text + strlen(text), "\",\"output\":%u,", output);
    if (paid.from[0] != '\0') {
        sprintf(text + strlen(text), "\"from\":\"%s\",", paid.from);
    }
    sprintf(text + strlen(text),
            "\"to\":\"" RIG_ACCOUNT "\",\"amount\":\"%s\",\"age_s\":0},\"proof\":{\"block\":\"", paid.amount);
    add_packed(text, &paid.block);
    strcat(text, "\",\"previous\":\"");
    add_packed(text, &paid.previous);
    strcat(text, "\"}}");
    rig_say_sealed(&rig, text);
}

static void pay(void)
{
    uint8_t hash[32];
    hash_of(&paid.block, hash);
    pay_hashed(hash, 0);
}

static void expect(const char *outcome)
{
    assert_int_equal(
        rig_count_sent(&rig, "{\"type\":\"actuated\"") + rig_count_sent(&rig, "{\"type\":\"refused\""), 1);
    char begins[96];
    snprintf(begins, sizeof(begins), "{\"type\":\"%s", outcome);
    for (unsigned i = 0; i < rig.sent_count; i++) {
        if (strncmp(rig.sent[i], "{\"type\":\"actuated\"", 18) == 0 ||
            strncmp(rig.sent[i], "{\"type\":\"refused\"", 17) == 0) {
            assert_memory_equal(rig.sent[i], begins, strlen(begins));
        }
    }
    assert_int_equal(rig.on, strncmp(outcome, "actuated", 8) == 0);
}

#define GRANTED    "actuated\",\"seq\":1,\"seconds\":600"
#define WRONG      "refused\",\"seq\":1,\"reason\":\"proof_wrong"
#define UNPROVABLE "refused\",\"seq\":1,\"reason\":\"unprovable"

static void a_state_block_after_a_state_block_is_a_proof(void **state)
{
    (void)state;
    chain();
    pay();
    expect(GRANTED);
}

static void so_it_is_without_from_and_after_a_legacy_send(void **state)
{
    (void)state;
    paid.from[0] = '\0';
    paid.previous.type = BLOCK_SEND;
    memset(paid.previous.account, 0, 32);
    chain();
    pay();
    expect(GRANTED);
}

static void a_legacy_send_needs_its_sender_and_the_signature_before(void **state)
{
    (void)state;
    paid.block.type = paid.previous.type = BLOCK_SEND;
    memset(paid.block.account, 0, 32);
    memset(paid.previous.account, 0, 32);
    chain();
    pay();
    expect(GRANTED);
    set_up(NULL);
    paid.block.type = BLOCK_SEND;
    memset(paid.block.account, 0, 32);
    chain();
    paid.from[0] = '\0';
    pay();
    expect(WRONG);
}

static void a_legacy_send_on_top_of_another_s_balance_is_wrong(void **state)
{
    (void)state;
    static const uint8_t RICH[32] = {0x55};
    paid.block.type = paid.previous.type = BLOCK_SEND;
    memset(paid.block.account, 0, 32);
    memset(paid.previous.account, 0, 32);
    sign(&paid.previous, RICH); /* its balance is not the sender's */
    hash_of(&paid.previous, paid.block.previous);
    sign(&paid.block, FROM_KEY);
    pay();
    expect(WRONG);
}

static void a_balance_that_is_not_named_cannot_be_proved(void **state)
{
    (void)state;
    static const enum block_type TYPES[] = {BLOCK_RECEIVE, BLOCK_OPEN, BLOCK_CHANGE};
    for (int i = 0; i < 3; i++) {
        set_up(NULL);
        memset(&paid.previous, 0, sizeof(paid.previous));
        paid.previous.type = TYPES[i];
        chain();
        pay();
        expect(UNPROVABLE);
    }
    assert_string_equal(rig_screen(&rig), "refused: Payment refused / Ask for your money [qr]");
}

static void no_proof_no_credit_and_without_the_wish_none_is_looked_at(void **state)
{
    (void)state;
    rig_say_payment(&rig, 1, 1, 1, paid.amount, 0);
    expect("refused\",\"seq\":1,\"reason\":\"no_proof");
    set_up(NULL);
    rig.identity.proof = false;
    rig_power_on(&rig);
    rig_open_session(&rig, 0);
    pay(); /* nothing is signed */
    expect(GRANTED);
}

static void whatever_is_not_as_it_was_signed_is_wrong(void **state)
{
    (void)state;
    for (int how = 0; how < 13; how++) {
        set_up(NULL);
        uint8_t hash[32];
        unsigned output = 0;
        chain();
        hash_of(&paid.block, hash);
        switch (how) {
        case 0: /* another payment's proof */
            hash[0] ^= 1;
            break;
        case 1:
            paid.block.signature[5] ^= 1;
            break;
        case 2: /* it says more than was paid */
            paid.amount = "200000000000000000000000000000";
            break;
        case 3:
            paid.amount = "99999999999999999999999999999";
            break;
        case 4: /* to somebody else */
            paid.block.link[0] = 1;
            chain();
            hash_of(&paid.block, hash);
            break;
        case 5: /* the block before is another one */
            paid.previous.balance.high++;
            break;
        case 6: /* another's account */
            paid.previous.account[0] = 1;
            chain();
            hash_of(&paid.block, hash);
            break;
        case 7: /* it receives: the balance grew */
            paid.block.balance = (struct amount){UINT64_MAX, 0};
            chain();
            hash_of(&paid.block, hash);
            break;
        case 8: /* it moves nothing */
            paid.block.balance = paid.previous.balance;
            paid.amount = "0";
            chain();
            hash_of(&paid.block, hash);
            break;
        case 9: /* `from` is not who signed */
            strcpy(paid.from, RIG_ACCOUNT);
            break;
        case 10: /* Nano has one output */
            output = 1;
            break;
        case 11: /* no send at all */
            memset(&paid.block, 0, sizeof(paid.block));
            paid.block.type = BLOCK_CHANGE;
            chain();
            hash_of(&paid.block, hash);
            break;
        default: /* signed by a key that is not the account's */
            sign(&paid.block, hash);
            break;
        }
        pay_hashed(hash, output);
        expect(WRONG);
    }
}

static void bytes_that_are_no_block_are_wrong(void **state)
{
    (void)state;
    char text[2048] =
        "{\"type\":\"payment\",\"seq\":1,\"config_version\":1,\"payment\":{\"chain\":\"nano\",\"hash\":\"" RIG_EPOCH
            RIG_EPOCH "\",\"output\":0,\"amount\":\"1\",\"age_s\":0},\"proof\":{\"block\":\"";
    chain();
    for (int which = 0; which < 2; which++) {
        rig_init(&rig);
        rig.identity.proof = true;
        rig_power_on(&rig);
        rig_open_session(&rig, 0);
        char whole[2048], zeros[2 * BLOCK_PACKED_SIZE + 1];
        memset(zeros, '0', sizeof(zeros) - 1);
        zeros[sizeof(zeros) - 1] = '\0';
        strcpy(whole, text);
        if (which == 0) {
            strcat(whole, zeros);
        } else {
            add_packed(whole, &paid.block);
        }
        strcat(whole, "\",\"previous\":\"");
        strcat(whole, zeros);
        strcat(whole, "\"}}");
        rig_say_sealed(&rig, whole);
        expect(WRONG);
    }
    rig_init(&rig);
    rig.identity.proof = true;
    rig_power_on(&rig);
    rig_open_session(&rig, 0);
    strcat(text, "00\",\"previous\":\"00\"}}");
    rig_say_sealed(&rig, text);
    assert_string_equal(rig.close_reason, "malformed");
}

static void where_addresses_are_pinned_the_relay_s_count_for_nothing(void **state)
{
    (void)state;
    memset(rig.identity.addresses[0], 0x33, 32);
    memset(rig.identity.addresses[1], 0x44, 32);
    rig.identity.address_count = 2;
    rig_power_on(&rig);
    rig_open_session(&rig, 0);
    assert_memory_equal(rig.screen.qr, "nano:nano_1esm", 14);
    chain();
    pay();
    expect(WRONG);
    rig_forget_sent(&rig);
    memset(paid.block.link, 0x44, 32);
    chain();
    pay();
    expect("actuated\",\"seq\":2");
}

static void an_address_of_the_config_before_or_of_the_payment_s_own_is_good_too(void **state)
{
    (void)state;
    static const char NONE[] = "{\"type\":\"config\",\"version\":2,\"config\":{\"addresses\":[]}}";
    rig_say_sealed(&rig, NONE);
    chain();
    pay();
    expect(GRANTED);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_state_block_after_a_state_block_is_a_proof),
        TEST(so_it_is_without_from_and_after_a_legacy_send),
        TEST(a_legacy_send_needs_its_sender_and_the_signature_before),
        TEST(a_legacy_send_on_top_of_another_s_balance_is_wrong),
        TEST(a_balance_that_is_not_named_cannot_be_proved),
        TEST(no_proof_no_credit_and_without_the_wish_none_is_looked_at),
        TEST(whatever_is_not_as_it_was_signed_is_wrong),
        TEST(bytes_that_are_no_block_are_wrong),
        TEST(where_addresses_are_pinned_the_relay_s_count_for_nothing),
        TEST(an_address_of_the_config_before_or_of_the_payment_s_own_is_good_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
