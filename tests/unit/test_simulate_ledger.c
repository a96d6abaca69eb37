/* The make-believe node's ledger, and what is said of it. What a real node answers is compared in tests/flow/12_simnode_shapes.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/hex.h"
#include "payment/payment.h"
#include "simulate/ledger.h"
#include "simulate/mimic_rpc.h"
#include "simulate/mimic_subscription.h"
#include "simulate/network.h"
#include "simulate/past.h"
#include "simulate/table.h"
#include "simulate/tree.h"

static const uint8_t SEED[32] = {7};
static const struct amount TEN = {0, 10};

/* ---- a network whose blocks all come into a ledger ----------------------------------------------------- */

struct recorder {
    struct ledger *ledger;
    struct network *network;
    uint32_t last;
};

static void record(void *context, const struct notice *notice)
{
    struct recorder *recorder = context;
    assert_int_equal(ledger_add(recorder->ledger, notice, 1000, &recorder->last), CS_OK);
}

static struct recorder begin(size_t accounts)
{
    return (struct recorder){.ledger = ledger_open(), .network = network_open(SEED, accounts)};
}

static void end(struct recorder *recorder)
{
    ledger_close(recorder->ledger);
    network_close(recorder->network);
}

static uint32_t send(struct recorder *recorder, size_t from, size_t to)
{
    struct notice notice;
    assert_int_equal(network_transfer(recorder->network, from, NETWORK_STATE, to, TEN, &notice), CS_OK);
    return recorder->last;
}

static uint32_t receive(struct recorder *recorder, size_t to)
{
    struct notice notice;
    assert_int_equal(network_receive(recorder->network, to, NETWORK_STATE, &notice), CS_OK);
    return recorder->last;
}

static const struct ledger_account *account_of(const struct recorder *recorder, size_t account)
{
    uint32_t number = ledger_find_account(recorder->ledger, network_key(recorder->network, account));
    assert_int_not_equal(number, LEDGER_NONE);
    return ledger_account(recorder->ledger, number);
}

static size_t confirm(struct ledger *ledger, uint32_t block, uint32_t *first)
{
    struct ledger_list newly = {NULL, 0, 0};
    ledger_confirm(ledger, block, &newly);
    size_t count = newly.count;
    *first = count > 0 ? newly.numbers[0] : LEDGER_NONE;
    ledger_list_fini(&newly);
    return count;
}

/* ---- the ledger ---------------------------------------------------------------------------------------- */

static void a_chain_knows_its_heights_neighbours_and_balances(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    uint32_t first = send(&recorder, 0, 1), second = send(&recorder, 0, 1);
    const struct ledger_block *block = ledger_block(recorder.ledger, first);
    assert_int_equal(block->height, 2);
    assert_int_equal(block->previous, 0);
    assert_int_equal(block->successor, second);
    assert_int_equal(ledger_block(recorder.ledger, second)->successor, LEDGER_NONE);
    assert_true(amount_compare(block->amount, TEN) == 0);
    assert_true(amount_compare(block->balance, ledger_block(recorder.ledger, second)->balance) > 0);
    assert_int_equal(ledger_find_block(recorder.ledger, block->hash), first);
    assert_int_equal(account_of(&recorder, 0)->head, second);
    end(&recorder);
}

static void a_send_waits_until_it_is_received_and_knows_by_what(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    uint32_t sends[4];
    for (size_t i = 0; i < 4; i++) {
        sends[i] = send(&recorder, 0, 1);
    }
    const struct ledger_account *shop = account_of(&recorder, 1);
    assert_int_equal(shop->receivable_count, 4);
    for (size_t i = 1; i < 4; i++) {
        assert_true(memcmp(ledger_block(recorder.ledger, shop->receivable[i - 1])->hash,
                           ledger_block(recorder.ledger, shop->receivable[i])->hash, 32) < 0);
    }
    assert_int_equal(shop->head, LEDGER_NONE);
    uint32_t opened = receive(&recorder, 1);
    assert_int_equal(shop->receivable_count, 3);
    assert_int_equal(shop->open, opened);
    assert_int_equal(ledger_block(recorder.ledger, sends[0])->received_by, opened);
    assert_int_equal(ledger_block(recorder.ledger, opened)->source, sends[0]);
    assert_int_equal(ledger_block(recorder.ledger, sends[1])->received_by, LEDGER_NONE);
    end(&recorder);
}

static void confirming_a_block_confirms_what_it_stands_on_first(void **state)
{
    (void)state;
    struct recorder recorder = begin(3);
    network_watch(recorder.network, record, &recorder);
    send(&recorder, 0, 1);
    receive(&recorder, 1);
    uint32_t onward = send(&recorder, 1, 2);
    uint32_t last = receive(&recorder, 2), first;
    assert_int_equal(ledger_confirmed_count(recorder.ledger), 0);
    assert_int_equal(account_of(&recorder, 1)->confirmed, LEDGER_NONE);
    assert_int_equal(confirm(recorder.ledger, last, &first), 5); /* the genesis's open and all four */
    assert_int_equal(first, 0);
    assert_int_equal(ledger_confirmed_count(recorder.ledger), 5);
    assert_int_equal(account_of(&recorder, 1)->confirmed, onward);
    assert_int_equal(confirm(recorder.ledger, last, &first), 0);
    end(&recorder);
}

static void what_does_not_follow_is_not_taken(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    uint32_t sent = send(&recorder, 0, 1), number;
    struct notice notice;
    ledger_to_notice(recorder.ledger, ledger_block(recorder.ledger, sent), &notice);
    assert_int_equal(ledger_add(recorder.ledger, &notice, 1, &number), CS_ECONFLICT); /* it is there */
    uint32_t taken = receive(&recorder, 1);
    ledger_to_notice(recorder.ledger, ledger_block(recorder.ledger, taken), &notice);
    memcpy(notice.block.previous, notice.hash, 32);
    randombytes_buf(notice.hash, 32);
    assert_int_equal(ledger_add(recorder.ledger, &notice, 1, &number), CS_ECONFLICT); /* nothing waits */
    end(&recorder);
}

static void a_representative_weighs_what_is_with_it_now(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    send(&recorder, 0, 1);
    receive(&recorder, 1);
    struct amount all = {UINT64_MAX, UINT64_MAX}, without;
    assert_true(amount_compare(account_of(&recorder, 0)->weight, all) == 0);
    struct notice notice;
    assert_int_equal(
        network_change(recorder.network, 1, NETWORK_STATE, network_key(recorder.network, 1), &notice), CS_OK);
    assert_true(amount_subtract(all, TEN, &without));
    assert_true(amount_compare(account_of(&recorder, 1)->weight, TEN) == 0);
    assert_true(amount_compare(account_of(&recorder, 0)->weight, without) == 0);
    end(&recorder);
}

static void a_copy_goes_its_own_way(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    uint32_t sent = send(&recorder, 0, 1), first;
    struct ledger *copy = ledger_copy(recorder.ledger);
    confirm(recorder.ledger, sent, &first);
    receive(&recorder, 1);
    assert_int_equal(ledger_block_count(copy), 2);
    assert_false(ledger_block(copy, sent)->confirmed);
    assert_int_equal(ledger_block(copy, sent)->received_by, LEDGER_NONE);
    uint32_t account = ledger_find_account(copy, network_key(recorder.network, 1));
    assert_int_equal(ledger_account(copy, account)->receivable_count, 1);
    ledger_close(copy);
    end(&recorder);
}

static void the_past_comes_after_its_time(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    struct past *past = past_open(recorder.ledger);
    uint32_t sent = send(&recorder, 0, 1), first;
    past_note_block(past, sent);
    confirm(recorder.ledger, sent, &first);
    past_note_confirmed(past, 0);
    past_note_confirmed(past, sent);
    past_follow(past, 60000);
    assert_int_equal(ledger_block_count(past_ledger(past)), 1);
    past_follow(past, 0);
    assert_int_equal(ledger_block_count(past_ledger(past)), 2);
    assert_true(ledger_block(past_ledger(past), sent)->confirmed);
    past_close(past);
    end(&recorder);
}

/* Hashes are drawn, for nobody here checks them: 100,000 accounts, each paid twice out of one chain. */
static void a_big_ledger_is_found_through_at_once(void **state)
{
    (void)state;
    enum { ACCOUNTS = 100000, BLOCKS = 200000 };
    struct ledger *ledger = ledger_open();
    struct notice notice = {.amount = {UINT64_MAX, UINT64_MAX}};
    uint8_t previous[32] = {0}, seed[randombytes_SEEDBYTES] = {1};
    uint8_t(*keys)[32] = malloc(sizeof(*keys) * ACCOUNTS);
    assert_non_null(keys);
    randombytes_buf_deterministic(keys, sizeof(*keys) * ACCOUNTS, seed);
    struct amount balance = notice.amount;
    notice.block.type = BLOCK_OPEN;
    notice.account[0] = notice.block.link[0] = 1;
    for (uint32_t i = 0; i <= BLOCKS; i++) {
        uint32_t number;
        seed[1] = (uint8_t)i;
        seed[2] = (uint8_t)(i >> 8);
        seed[3] = (uint8_t)(i >> 16);
        randombytes_buf_deterministic(notice.hash, 32, seed);
        assert_int_equal(ledger_add(ledger, &notice, 1, &number), CS_OK);
        memcpy(previous, notice.hash, 32);
        assert_true(amount_subtract(balance, TEN, &balance));
        notice.block.type = BLOCK_STATE;
        notice.is_send = true;
        notice.amount = TEN;
        notice.block.balance = balance;
        memcpy(notice.block.previous, previous, 32);
        memcpy(notice.block.link, keys[i % ACCOUNTS], 32);
    }
    assert_int_equal(ledger_block_count(ledger), BLOCKS + 1);
    uint32_t first;
    assert_int_equal(confirm(ledger, BLOCKS, &first), BLOCKS + 1);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        uint32_t account = ledger_find_account(ledger, keys[i]);
        assert_int_not_equal(account, LEDGER_NONE);
        assert_int_equal(ledger_account(ledger, account)->receivable_count, 2);
    }
    for (uint32_t i = 0; i <= BLOCKS; i++) {
        assert_int_equal(ledger_find_block(ledger, ledger_block(ledger, i)->hash), i);
    }
    free(keys);
    ledger_close(ledger);
}

static void a_table_finds_what_was_put_and_not_removed(void **state)
{
    (void)state;
    enum { KEYS = 3000 };
    struct table table;
    table_init(&table);
    uint8_t key[32] = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        key[0] = (uint8_t)(i % 7); /* they crowd on few places */
        memcpy(key + 8, &i, sizeof(i));
        table_put(&table, key, i);
    }
    for (uint32_t i = 0; i < KEYS; i += 3) {
        key[0] = (uint8_t)(i % 7);
        memcpy(key + 8, &i, sizeof(i));
        table_remove(&table, key);
        table_remove(&table, key);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        key[0] = (uint8_t)(i % 7);
        memcpy(key + 8, &i, sizeof(i));
        assert_int_equal(table_find(&table, key), i % 3 == 0 ? TABLE_NONE : i);
    }
    assert_int_equal(table.count, KEYS - KEYS / 3);
    table_fini(&table);
}

/* ---- what is read and said ----------------------------------------------------------------------------- */

static void scalars_are_read_as_texts_and_what_is_empty_is_said_as_one(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":1,\"b\":true,\"c\":null,\"d\":[2,\"x\"],\"e\":\"0\"}";
    json_t *tree = tree_read(text, strlen(text));
    assert_string_equal(tree_text(tree, "a"), "1");
    assert_string_equal(tree_text(tree, "c"), "null");
    assert_string_equal(tree_text(tree, "d"), "");
    assert_null(tree_text(tree, "f"));
    assert_true(tree_flag(tree, "a", false) && tree_flag(tree, "b", false) && !tree_flag(tree, "e", true));
    assert_true(tree_flag(tree, "c", true) && tree_flag(tree, "f", true) && !tree_flag(tree, "d", false));
    json_decref(tree);
    assert_null(tree_read("{\"a\":", 5));
    json_t *answer = json_object();
    tree_put_collection(answer, "list", json_array());
    tree_put_collection(answer, "object", json_object());
    tree_put(answer, "path", "a/b");
    char *printed = tree_print(answer);
    assert_string_equal(printed,
                        "{\n    \"list\": \"\",\n    \"object\": \"\",\n    \"path\": \"a\\/b\"\n}\n");
    free(printed);
}

static const struct ledger *ledger_for_rpc(void *context)
{
    return ((struct recorder *)context)->ledger;
}

static void assert_answer(struct recorder *recorder, const char *request, const char *expected)
{
    const struct mimic_options options = {
        .node_vendor = "Nano V27.1", .context = recorder, .ledger = ledger_for_rpc};
    char action[MIMIC_ACTION_SIZE];
    char *answer = mimic_answer(&options, request, strlen(request), action);
    assert_non_null(strstr(answer, expected));
    free(answer);
}

static void requests_that_are_wrong_get_the_nodes_words(void **state)
{
    (void)state;
    struct recorder recorder = begin(1);
    network_watch(recorder.network, record, &recorder);
    assert_answer(&recorder, "{\"action\":\"account_info\"}", "Unable to parse JSON");
    assert_answer(&recorder, "{\"action\":\"accounts_balances\"}", "Unable to parse JSON");
    assert_answer(&recorder, "{\"action\":\"accounts_balances\",\"accounts\":\"\"}", "Empty response");
    assert_answer(&recorder, "{\"action\":\"account_history\",\"account\":\"x\"}", "Unable to parse JSON");
    assert_answer(&recorder, "{\"action\":\"account_history\",\"count\":\"x\",\"head\":\"zz\"}",
                  "Bad hash number");
    assert_answer(&recorder, "{\"action\":\"block_info\",\"hash\":\"zz\"}", "Invalid block hash");
    assert_answer(&recorder, "{\"action\":\"block_info\",\"hash\":\"1\"}", "Block not found");
    assert_answer(&recorder, "{\"action\":\"receivable\",\"account\":\"nano_x\",\"count\":\"x\"}",
                  "Bad account number");
    assert_answer(&recorder, "{\"action\":\"simulate\"}", "Unknown command"); /* without a director */
    assert_answer(&recorder, "\"text\"", "Unable to parse JSON");
    end(&recorder);
}

static bool nobody(void *context, const uint8_t account[32])
{
    (void)context, (void)account;
    return false;
}

static bool passes(const char *options, const struct ledger_block *block, const uint8_t account[32],
                   enum world_why why)
{
    json_t *tree = tree_read(options, strlen(options));
    struct mimic_subscription subscription;
    mimic_subscription_init(&subscription, tree);
    bool result = mimic_subscription_passes(&subscription, block, account, why, subscription.include_block,
                                            nobody, NULL);
    mimic_subscription_fini(&subscription);
    json_decref(tree);
    return result;
}

static void filters_look_at_reason_payer_and_payee(void **state)
{
    (void)state;
    struct recorder recorder = begin(2);
    network_watch(recorder.network, record, &recorder);
    const struct ledger_block *block = ledger_block(recorder.ledger, send(&recorder, 0, 1));
    const uint8_t *payer = network_key(recorder.network, 0);
    char text[ADDRESS_TEXT_SIZE], options[200];
    struct address address = address_from_nano_key(network_key(recorder.network, 1));
    address_format(&address, text);
    assert_true(passes("{}", block, payer, WORLD_QUORUM));
    assert_true(passes("{\"confirmation_type\":\"ACTIVE\"}", block, payer, WORLD_HEIGHT));
    assert_false(passes("{\"confirmation_type\":\"active\"}", block, payer, WORLD_INACTIVE));
    assert_false(passes("{\"confirmation_type\":\"inactive\"}", block, payer, WORLD_QUORUM));
    assert_true(passes("{\"confirmation_type\":\"nonsense\"}", block, payer, WORLD_INACTIVE));
    assert_false(passes("{\"all_local_accounts\":true}", block, payer, WORLD_QUORUM));
    assert_false(passes("{\"accounts\":\"\"}", block, payer, WORLD_QUORUM));
    snprintf(options, sizeof(options), "{\"accounts\":[\"nano_bad\",\"%s\"]}", text);
    assert_true(passes(options, block, payer, WORLD_QUORUM));
    snprintf(options, sizeof(options), "{\"accounts\":[\"%s\"],\"include_block\":false}", text);
    assert_false(passes(options, block, payer, WORLD_QUORUM));
    end(&recorder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_knows_its_heights_neighbours_and_balances),
        cmocka_unit_test(a_send_waits_until_it_is_received_and_knows_by_what),
        cmocka_unit_test(confirming_a_block_confirms_what_it_stands_on_first),
        cmocka_unit_test(what_does_not_follow_is_not_taken),
        cmocka_unit_test(a_representative_weighs_what_is_with_it_now),
        cmocka_unit_test(a_copy_goes_its_own_way),
        cmocka_unit_test(the_past_comes_after_its_time),
        cmocka_unit_test(a_big_ledger_is_found_through_at_once),
        cmocka_unit_test(a_table_finds_what_was_put_and_not_removed),
        cmocka_unit_test(scalars_are_read_as_texts_and_what_is_empty_is_said_as_one),
        cmocka_unit_test(requests_that_are_wrong_get_the_nodes_words),
        cmocka_unit_test(filters_look_at_reason_payer_and_payee),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
