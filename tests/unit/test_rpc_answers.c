#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "lib/recorded_rpc.h"
#include "node/rpc_answers.h"

#define LIST_MOST 16

#define GENESIS   "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo"
#define A         "nano_1sjkhzzeuhup4u9fbd9f77k9puwfbaadymfjnjgbtmiuchqqnmodbwrsnhn9"
#define D         "nano_3xc8mafayqu1ae8myqw9o9dizmz5mhqnzf1dx1jdrs6apgm8g8stucek1rzc"
#define LEGACY    "nano_35s8xxbrurpph5zrcb8ey3y1j9niij7k1m645otcxdk3fxg517i6j5empshy"
#define AFTER     "A after open, receive, change, send, self-send: "
#define SEND_1    "91CEAB9A2240BF83F26E2414E91794DD701C5B6B1689B178448537B1CC3B5461"
#define SEND_05   "402C19C5269F7A8AA1E04CD3EC1B968B503D70D420B5BFE604C297F0E3223CC9"
#define NOT_THERE "0000000000000000000000000000000000000000000000000000000000000001"

static struct recorded_rpc recorded[RECORDED_RPC_MOST];
static size_t recorded_count;
static char error[RPC_ANSWER_ERROR_SIZE];

static int open_recordings(void **state)
{
    (void)state;
    recorded_count = recorded_rpc_read(SOURCE_DIR, recorded);
    return 0;
}

static int close_recordings(void **state)
{
    (void)state;
    recorded_rpc_free(recorded, recorded_count);
    return 0;
}

static const json_t *answer_to(const char *title)
{
    return recorded_rpc_find(recorded, recorded_count, title)->answer;
}

static struct address account_of(const char *text)
{
    struct address account;
    if (!address_parse(CHAIN_NANO, text, &account)) {
        fail_msg("%s is no address", text);
    }
    return account;
}

static void hash_of(const char *text, uint8_t hash[32])
{
    assert_true(hex_decode(text, hash, 32));
}

static void expect_hash(const uint8_t hash[32], const char *text)
{
    char got[65];
    hex_encode_upper(hash, 32, got);
    assert_string_equal(got, text);
}

static void expect_amount(struct amount amount, const char *raw)
{
    char got[AMOUNT_RAW_SIZE];
    amount_format_raw(amount, got);
    assert_string_equal(got, raw);
}

static void expect_account(const struct address *account, const char *text)
{
    char got[ADDRESS_TEXT_SIZE];
    assert_int_equal(account->length, 32);
    address_format(account, got);
    assert_string_equal(got, text);
}

static json_t *json_of(const char *text)
{
    char why[JSON_ERROR_SIZE];
    json_t *value = json_read(text, strlen(text), 10, why);
    if (value == NULL) {
        fail_msg("%s: %s", text, why);
    }
    return value;
}

/* ---- reading by the request's action ------------------------------------------------------------------------------------ */

/* The accounts asked for; malformed ones are left out. */
static size_t accounts_of(const json_t *request, struct address accounts[LIST_MOST])
{
    const json_t *list = json_object_get(request, "accounts"), *one = json_object_get(request, "account");
    size_t count = 0;
    if (one != NULL) {
        return address_parse(CHAIN_NANO, json_string_value(one), &accounts[0]) ? 1 : 0;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        count += text != NULL && address_parse(CHAIN_NANO, text, &accounts[count]);
    }
    return count;
}

static size_t hashes_of(const json_t *request, uint8_t hashes[LIST_MOST][32])
{
    const json_t *list = json_object_get(request, "hashes");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        count += hex_decode(json_string_value(json_array_get(list, i)), hashes[count], 32);
    }
    return count;
}

static enum cs_err read_lists(const char *action, const json_t *request, const json_t *answer)
{
    struct address accounts[LIST_MOST];
    size_t count = accounts_of(request, accounts);
    enum cs_err err;
    if (strcmp(action, "accounts_frontiers") == 0) {
        struct rpc_frontier *frontiers;
        err = rpc_read_frontiers(answer, accounts, count, &frontiers, error);
        assert_true((frontiers != NULL) == (err == CS_OK));
        free(frontiers);
    } else if (strcmp(action, "accounts_balances") == 0) {
        struct rpc_balance *balances;
        err = rpc_read_balances(answer, accounts, count, &balances, error);
        assert_true((balances != NULL) == (err == CS_OK));
        free(balances);
    } else {
        struct rpc_receivables *all;
        err = rpc_read_all_receivable(answer, accounts, count, &all, error);
        assert_true((all != NULL) == (err == CS_OK));
        rpc_free_receivables(all, count);
    }
    return err;
}

static enum cs_err read_blocks(const json_t *request, const json_t *answer)
{
    uint8_t hashes[LIST_MOST][32];
    struct rpc_block *blocks;
    enum cs_err err =
        rpc_read_blocks(answer, (const uint8_t(*)[32])hashes, hashes_of(request, hashes), &blocks, error);
    assert_true((blocks != NULL) == (err == CS_OK));
    free(blocks);
    return err;
}

/* False: no action of ours. */
static bool read_any(const json_t *request, const json_t *answer, enum cs_err *err)
{
    const char *action = json_text(request, "action");
    action = action != NULL ? action : "";
    struct address accounts[LIST_MOST] = {account_of(A)};
    struct rpc_version version;
    struct rpc_block_count count;
    struct rpc_account_info info;
    struct rpc_history history;
    struct rpc_receivables receivables;
    error[0] = '\0';
    if (strncmp(action, "accounts_", 9) == 0 &&
        json_array_size(json_object_get(request, "accounts")) <= LIST_MOST) {
        *err = read_lists(action, request, answer);
    } else if (strcmp(action, "version") == 0) {
        *err = rpc_read_version(answer, &version, error);
    } else if (strcmp(action, "block_count") == 0) {
        *err = rpc_read_block_count(answer, &count, error);
    } else if (strcmp(action, "account_info") == 0) {
        *err = rpc_read_account_info(answer, &info, error);
    } else if (strcmp(action, "blocks_info") == 0) {
        *err = read_blocks(request, answer);
    } else if (strcmp(action, "receivable") == 0 || strcmp(action, "pending") == 0) {
        *err = rpc_read_receivable(answer, &receivables, error);
        rpc_receivables_fini(&receivables);
    } else if (strcmp(action, "account_history") == 0) {
        accounts_of(request, accounts);
        *err = rpc_read_history(answer, &accounts[0], &history, error);
        rpc_history_fini(&history);
    } else {
        return false;
    }
    assert_true((*err == CS_OK) == (error[0] == '\0'));
    return true;
}

static void every_recorded_answer_is_read_but_those_that_must_not_be(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "receivable, malformed account", /* errors of the whole call */
        "accounts_receivable, one malformed account",
        "account_info malformed",
        "accounts_frontiers, empty list",
        "accounts_balances, empty list",
        "accounts_balances, one malformed", /* speaks of nano_bad, which we would not ask about */
        "accounts_frontiers, existing + unopened + malformed",
        "blocks_info, unknown hash", /* without include_not_found */
        "blocks_info, malformed hash",
        "account_history count 0",
        "account_history unknown head",
        "account_history: head of A, account D", /* another's history */
        "account_history A not raw",
    };
    size_t read = 0, wrong = 0;
    for (size_t i = 0; i < recorded_count; i++) {
        bool must_fail = false;
        for (size_t r = 0; r < sizeof(refused) / sizeof(refused[0]); r++) {
            must_fail |= strcmp(recorded[i].title, refused[r]) == 0;
        }
        enum cs_err err;
        if (!read_any(recorded[i].request, recorded[i].answer, &err)) {
            continue;
        }
        read++;
        wrong += err != CS_OK;
        if ((err != CS_OK) != must_fail) {
            fail_msg("\"%s\": %s", recorded[i].title, err == CS_OK ? "was read" : error);
        }
    }
    assert_int_equal(wrong, sizeof(refused) / sizeof(refused[0]));
    assert_in_range(read, 100, RECORDED_RPC_MOST);
}

/* ---- what they say ---------------------------------------------------------------------------------------------------------- */

static void the_version_is_a_number_where_it_can_be_told(void **state)
{
    (void)state;
    struct rpc_version version;
    assert_int_equal(rpc_read_version(answer_to("version, fresh node"), &version, error), CS_OK);
    assert_int_equal(version.major, 27);
    assert_int_equal(version.minor, 1);
    assert_string_equal(version.vendor, "Nano V27.1");
    assert_string_equal(version.network, "dev");
    static const struct {
        const char *text;
        uint32_t major, minor;
    } vendors[] = {
        {"Nano 20.0", 20, 0},
        {"RaiBlocks 18.0", 18, 0},
        {"Nano V22.1DB1", 22, 1},
        {"Nano v28", 28, 0},
        {"Nano V", 0, 0},
        {"something", 0, 0},
        {"", 0, 0},
        {"Nano -3.1", 0, 0},
        {"Nano 99999999999.1", 0, 0},
        {"Nano V26.99999", 26, 0},
    };
    for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
        json_t *answer = json_pack("{s:s}", "node_vendor", vendors[i].text);
        assert_int_equal(rpc_read_version(answer, &version, error), CS_OK);
        assert_int_equal(version.major, vendors[i].major);
        assert_int_equal(version.minor, vendors[i].minor);
        json_decref(answer);
    }
}

static void block_counts_are_read(void **state)
{
    (void)state;
    struct rpc_block_count count;
    assert_int_equal(rpc_read_block_count(answer_to("block_count, one unconfirmed"), &count, error), CS_OK);
    assert_int_equal(count.count, 10);
    assert_true(count.has_cemented);
    assert_int_equal(count.cemented, 9);
    json_t *old = json_of("{\"count\":\"18446744073709551615\",\"unchecked\":\"0\"}");
    assert_int_equal(rpc_read_block_count(old, &count, error), CS_OK);
    assert_true(count.count == UINT64_MAX);
    assert_false(count.has_cemented);
    json_decref(old);
}

static void frontiers_come_in_the_order_of_asking_however_errors_are_told(void **state)
{
    (void)state;
    static const char *const answers[] = {
        /* V27, as recorded but for the malformed account; V24; before; with the old prefix */
        "{\"frontiers\":{\"" GENESIS "\":\"" SEND_1 "\"},\"errors\":{\"" A "\":\"Account not found\"}}",
        "{\"frontiers\":{\"" GENESIS "\":\"" SEND_1 "\",\"" A "\":\"error: Account not found\"}}",
        "{\"frontiers\":{\"" GENESIS "\":\"" SEND_1 "\",\"" A "\":\"\"},\"errors\":\"\"}",
        "{\"frontiers\":{\"" GENESIS "\":\"" SEND_1 "\"}}",
        "{\"frontiers\":{\"xrb_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo\":"
        "\"91ceab9a2240bf83f26e2414e91794dd701c5b6b1689b178448537b1cc3b5461\"},\"errors\":[]}",
    };
    const struct address accounts[] = {account_of(A), account_of(GENESIS)};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct rpc_frontier *frontiers;
        json_t *answer = json_of(answers[i]);
        assert_int_equal(rpc_read_frontiers(answer, accounts, 2, &frontiers, error), CS_OK);
        assert_int_equal(frontiers[0].standing, i < 3 ? RPC_ACCOUNT_UNOPENED : RPC_ACCOUNT_UNSAID);
        assert_int_equal(frontiers[1].standing, RPC_ACCOUNT_SAID);
        expect_hash(frontiers[1].hash, SEND_1);
        free(frontiers);
        json_decref(answer);
    }
}

static void an_error_of_one_account_is_its_own(void **state)
{
    (void)state;
    const struct address accounts[] = {account_of(A), account_of(D)};
    struct rpc_balance *balances;
    json_t *answer =
        json_of("{\"balances\":{\"" A "\":{\"balance\":\"5\",\"pending\":\"7\"}},\"errors\":{\"" D
                "\":\"Bad account number\"}}");
    assert_int_equal(rpc_read_balances(answer, accounts, 2, &balances, error), CS_OK);
    expect_amount(balances[0].balance, "5");
    expect_amount(balances[0].receivable, "7");
    assert_int_equal(balances[1].standing, RPC_ACCOUNT_REFUSED);
    free(balances);
    json_decref(answer);
}

static void balances_are_read(void **state)
{
    (void)state;
    const struct address accounts[] = {account_of(GENESIS), account_of(LEGACY)};
    struct rpc_balance *balances;
    const json_t *answer =
        answer_to("legacy send unconfirmed: accounts_balances include_only_confirmed=false");
    assert_int_equal(rpc_read_balances(answer, accounts, 2, &balances, error), CS_OK);
    assert_int_equal(balances[0].standing, RPC_ACCOUNT_SAID);
    expect_amount(balances[0].balance, "340282363920938463463374607431768211455");
    expect_amount(balances[0].receivable, "0");
    expect_amount(balances[1].balance, "0");
    expect_amount(balances[1].receivable, "3000000000000000000000000000000");
    free(balances);
}

static void what_is_receivable_is_read_under_its_old_and_its_new_name(void **state)
{
    (void)state;
    static const char *const titles[] = {"receivable threshold+source", "pending (old name)",
                                         "receivable threshold 1", "receivable simple"};
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        char title[128];
        struct rpc_receivables receivables;
        snprintf(title, sizeof(title), "A has two receivables, unopened: %s", titles[i]);
        assert_int_equal(rpc_read_receivable(answer_to(title), &receivables, error), CS_OK);
        assert_int_equal(receivables.count, 2);
        expect_hash(receivables.items[0].hash, SEND_05);
        expect_hash(receivables.items[1].hash, SEND_1);
        expect_amount(receivables.items[0].amount, i < 3 ? "500000" : "0");
        expect_amount(receivables.items[1].amount, i < 3 ? "1000000000000000000000000000000" : "0");
        assert_int_equal(receivables.items[1].source.length, i < 2 ? 32 : 0);
        if (i < 2) {
            expect_account(&receivables.items[1].source, GENESIS);
        }
        rpc_receivables_fini(&receivables);
    }
}

static void what_several_accounts_can_receive_is_read(void **state)
{
    (void)state;
    const struct address accounts[] = {account_of(D), account_of(A), account_of(LEGACY)};
    struct rpc_receivables *all;
    const json_t *answer = answer_to(AFTER "accounts_receivable source");
    assert_int_equal(rpc_read_all_receivable(answer, accounts, 3, &all, error), CS_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(all[i].count, 1);
    }
    expect_amount(all[0].items[0].amount, "500000");
    expect_account(&all[0].items[0].source, A);
    expect_amount(all[1].items[0].amount, "1");
    expect_hash(all[2].items[0].hash, "A5A0806F7FB1E088009172E9C9054ABFAD15AAB73F043956771940FC1BFA1506");
    rpc_free_receivables(all, 3);
    /* One that has nothing is absent. */
    answer = answer_to("A has two receivables, unopened: accounts_receivable source");
    assert_int_equal(rpc_read_all_receivable(answer, accounts, 3, &all, error), CS_OK);
    assert_int_equal(all[0].count, 0);
    assert_int_equal(all[1].count, 2);
    rpc_free_receivables(all, 3);
}

static void an_accounts_confirmed_height_is_read_from_both_of_its_names(void **state)
{
    (void)state;
    struct rpc_account_info info;
    assert_int_equal(rpc_read_account_info(answer_to("unconfirmed: account_info A"), &info, error), CS_OK);
    assert_true(info.opened);
    assert_int_equal(info.height, 6);
    expect_hash(info.frontier, "CDBAA8EBFC78036373B9B97466255B6B1E843CB34BC0688D4EEB0C38A1A1FCDB");
    expect_amount(info.balance, "999999999999999999999999999992");
    assert_int_equal(info.confirmed_height, 5);
    expect_hash(info.confirmed_frontier, "AD390435E67B7F14E1F9CBD9D57CF34F532FB6BF8E4A372B06909CC94791248F");
    const json_t *older = answer_to("account_info genesis, without include_confirmed");
    assert_int_equal(rpc_read_account_info(older, &info, error), CS_OK);
    assert_int_equal(info.confirmed_height, 1);
    expect_hash(info.confirmed_frontier, "04270D7F11C4B2B472F2854C5A59F2A7E84226CE9ED799DE75744BD7D85FC9D9");
    const json_t *unopened = answer_to("account_info, account that has never been seen");
    assert_int_equal(rpc_read_account_info(unopened, &info, error), CS_OK);
    assert_false(info.opened);
}

static void a_history_says_what_each_block_did(void **state)
{
    (void)state;
    static const struct {
        enum rpc_kind kind;
        const char *other, *link, *amount;
    } blocks[] = {
        {RPC_KIND_SEND, A, "66327FFECDBF7616CED4ACED29647B6F8D4A10BF4DB1A45C9D4E1B53EF7A4EAB", "1"},
        {RPC_KIND_SEND, D, "F5469A1A8F5F60430D3F5F87A9D70FCFE39BEF4FB40BE822BC6488B3A6671B3A", "500000"},
        {RPC_KIND_CHANGE, NULL, "0000000000000000000000000000000000000000000000000000000000000000", "0"},
        {RPC_KIND_RECEIVE, GENESIS, SEND_05, "500000"},
        {RPC_KIND_RECEIVE, GENESIS, SEND_1, "1000000000000000000000000000000"},
    };
    struct rpc_history history;
    struct address account = account_of(A);
    assert_int_equal(rpc_read_history(answer_to(AFTER "account_history A raw"), &account, &history, error),
                     CS_OK);
    assert_int_equal(history.count, 5);
    assert_false(history.has_more);
    for (size_t i = 0; i < 5; i++) {
        const struct rpc_entry *entry = &history.entries[i];
        assert_int_equal(entry->kind, blocks[i].kind);
        assert_int_equal(entry->height, 5 - i);
        assert_true(entry->confirmed);
        assert_in_range(entry->node_time_ms / 1000, 1795193452, 1795193455);
        expect_hash(entry->link, blocks[i].link);
        expect_amount(entry->amount, blocks[i].amount);
        if (blocks[i].other != NULL) {
            expect_account(&entry->other, blocks[i].other);
        } else {
            assert_int_equal(entry->other.length, 0);
        }
        if (i < 4) {
            assert_memory_equal(entry->previous, history.entries[i + 1].hash, 32);
        }
    }
    rpc_history_fini(&history);
}

static void a_history_of_legacy_blocks_says_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < recorded_count; i++) {
        char *request = json_dumps(recorded[i].request, JSON_COMPACT);
        bool wanted =
            request != NULL && strcmp(request, "{\"action\":\"account_history\",\"account\":\"" LEGACY
                                               "\",\"count\":\"-1\",\"raw\":\"true\"}") == 0;
        free(request);
        if (!wanted) {
            continue;
        }
        struct rpc_history history;
        struct address account = account_of(LEGACY), to = account_of(D);
        assert_int_equal(rpc_read_history(recorded[i].answer, &account, &history, error), CS_OK);
        assert_int_equal(history.count, 3);
        assert_int_equal(history.entries[0].kind, RPC_KIND_SEND);
        assert_memory_equal(history.entries[0].link, to.bytes, 32);
        assert_int_equal(history.entries[1].kind, RPC_KIND_CHANGE);
        assert_int_equal(history.entries[2].kind, RPC_KIND_RECEIVE); /* an open */
        expect_hash(history.entries[2].link,
                    "A5A0806F7FB1E088009172E9C9054ABFAD15AAB73F043956771940FC1BFA1506");
        expect_amount(history.entries[2].amount, "3000000000000000000000000000000");
        rpc_history_fini(&history);
        return;
    }
    fail_msg("there is no history of legacy blocks among the recordings");
}

static void a_history_says_where_to_go_on_and_what_is_not_confirmed(void **state)
{
    (void)state;
    struct rpc_history history;
    struct address account = account_of(A);
    assert_int_equal(
        rpc_read_history(answer_to("unconfirmed: account_history A raw"), &account, &history, error), CS_OK);
    assert_int_equal(history.count, 2);
    assert_false(history.entries[0].confirmed);
    assert_true(history.entries[1].confirmed);
    assert_true(history.has_more);
    expect_hash(history.more, "BB7C7D37F43C6DB191A89EB1B597037D787170FF3EB9E4F27FD40EACB6E47732");
    rpc_history_fini(&history);
    static const char *const unopened[] = {"account_history, account that has never been seen, raw",
                                           "account_history, account that has never been seen, raw reverse"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rpc_read_history(answer_to(unopened[i]), &account, &history, error), CS_OK);
        assert_int_equal(history.count, 0);
        assert_false(history.has_more);
        rpc_history_fini(&history);
    }
}

static void blocks_are_read_and_their_hashes_computed(void **state)
{
    (void)state;
    uint8_t hashes[2][32];
    struct rpc_block *blocks;
    hash_of(NOT_THERE, hashes[0]);
    hash_of(SEND_1, hashes[1]);
    const json_t *answer = answer_to("blocks_info one known one unknown");
    assert_int_equal(rpc_read_blocks(answer, (const uint8_t(*)[32])hashes, 2, &blocks, error), CS_OK);
    assert_false(blocks[0].found);
    assert_true(blocks[1].found && blocks[1].confirmed && blocks[1].has_amount);
    assert_int_equal(blocks[1].kind, RPC_KIND_SEND);
    expect_account(&blocks[1].account, GENESIS);
    expect_amount(blocks[1].amount, "1000000000000000000000000000000");
    assert_int_equal(blocks[1].height, 3);
    assert_int_equal(blocks[1].node_time_ms, 1795193436000);
    assert_false(blocks[1].has_receivable || blocks[1].has_receive);
    free(blocks);
}

static void a_send_says_who_received_it(void **state)
{
    (void)state;
    uint8_t hash[1][32];
    struct rpc_block *blocks;
    hash_of("12102C212910F4E8FA9F3E88430323EA262C77D4138718A03223FE277344C772", hash[0]);
    const json_t *answer = answer_to("blocks_info of the auto-received send");
    assert_int_equal(rpc_read_blocks(answer, (const uint8_t(*)[32])hash, 1, &blocks, error), CS_OK);
    assert_true(blocks[0].has_receivable && !blocks[0].receivable && blocks[0].has_receive);
    expect_hash(blocks[0].receive_hash, "8C8D1DFD5AF6039C1854A48B2C75A5132FAF9AAE8CCFF6CF4749631BAAAB818C");
    free(blocks);
    hash_of("A5A0806F7FB1E088009172E9C9054ABFAD15AAB73F043956771940FC1BFA1506", hash[0]);
    answer = answer_to("legacy send unconfirmed: blocks_info");
    assert_int_equal(rpc_read_blocks(answer, (const uint8_t(*)[32])hash, 1, &blocks, error), CS_OK);
    assert_true(!blocks[0].confirmed && blocks[0].receivable && !blocks[0].has_receive);
    assert_int_equal(blocks[0].block.type, BLOCK_SEND);
    assert_int_equal(blocks[0].kind, RPC_KIND_SEND);
    expect_amount(blocks[0].block.balance, "340282363920938463463374607431768211455");
    free(blocks);
}

/* ---- what must not be believed ------------------------------------------------------------------------------------------------- */

/* A recorded answer about SEND_1, with something changed. */
static void expect_lie_is_seen(const char *path, const char *key, json_t *value, const char *in_error)
{
    uint8_t hash[1][32];
    struct rpc_block *blocks;
    hash_of(SEND_1, hash[0]);
    json_t *answer = json_deep_copy(answer_to("blocks_info hash in lower case"));
    json_t *info = json_object_get(json_object_get(answer, "blocks"),
                                   "91ceab9a2240bf83f26e2414e91794dd701c5b6b1689b178448537b1cc3b5461");
    assert_non_null(info);
    json_object_set_new(*path != '\0' ? json_object_get(info, path) : info, key, value);
    enum cs_err err = rpc_read_blocks(answer, (const uint8_t(*)[32])hash, 1, &blocks, error);
    if (in_error == NULL) {
        assert_int_equal(err, CS_OK);
        free(blocks);
    } else {
        assert_int_equal(err, CS_EINVAL);
        assert_null(blocks);
        if (strstr(error, in_error) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", error, in_error);
        }
    }
    json_decref(answer);
}

static void an_answer_that_lies_about_a_block_is_seen(void **state)
{
    (void)state;
    expect_lie_is_seen("contents", "balance", json_string("340282362920938463463374607431768211455"),
                       NULL); /* as it was */
    expect_lie_is_seen("contents", "balance", json_string("340282362920938463463374607431768211454"),
                       "another hash");
    expect_lie_is_seen("contents", "representative", json_string(A), "another hash");
    expect_lie_is_seen("contents", "link_as_account", json_string(D), "contents");
    expect_lie_is_seen("", "block_account", json_string(A), "not the account");
    expect_lie_is_seen("", "block_account", json_string("nano_bad"), "block_account");
    expect_lie_is_seen("", "amount", json_string("-1"), "amount");
    expect_lie_is_seen("", "height", json_string("0"), "height");
    expect_lie_is_seen("", "height", json_integer(3), NULL);
    expect_lie_is_seen("", "height", json_integer(-3), "height");
    expect_lie_is_seen("", "height", json_real(3.0), "height");
    expect_lie_is_seen("", "height", json_string("18446744073709551616"), "height");
    expect_lie_is_seen("", "confirmed", json_true(), NULL);
    expect_lie_is_seen("", "confirmed", json_string("yes"), "confirmed");
    expect_lie_is_seen("", "local_timestamp", json_string("9223372036854775807"), "local_timestamp");
    expect_lie_is_seen("", "receive_hash", json_string("zz"), "receive_hash");
    expect_lie_is_seen("", "contents", json_null(), "contents");
    expect_lie_is_seen("", "contents", json_string("{"), "contents");
}

struct rubbish {
    const char *request, *answer;
};

#define ASK_TWO(action) "{\"action\":\"" action "\",\"accounts\":[\"" A "\",\"" D "\"]}"
#define ASK_A(action)   "{\"action\":\"" action "\",\"account\":\"" A "\"}"
#define ASK_HASH        "{\"action\":\"blocks_info\",\"hashes\":[\"" NOT_THERE "\"]}"
#define INFO(rest)      "{\"frontier\":\"" SEND_1 "\",\"balance\":\"1\",\"block_count\":\"5\"," rest "}"
#define ENTRY(rest)     "{\"account\":\"" A "\",\"history\":[{\"hash\":\"" SEND_1 "\"," rest "}]}"

static void rubbish_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct rubbish all[] = {
        {ASK_TWO("accounts_frontiers"), "[]"},
        {ASK_TWO("accounts_frontiers"), "{\"error\":\"Max JSON depth exceeded\"}"},
        {ASK_TWO("accounts_frontiers"), "{\"error\":{}}"},
        {ASK_TWO("accounts_frontiers"), "{\"frontiers\":\"none\"}"},
        {ASK_TWO("accounts_frontiers"), "{\"frontiers\":[\"" SEND_1 "\"]}"},
        {ASK_TWO("accounts_frontiers"), "{\"frontiers\":{\"" A "\":\"91CEAB\"}}"},
        {ASK_TWO("accounts_frontiers"), "{\"frontiers\":{\"" A "\":5}}"},
        {ASK_TWO("accounts_frontiers"), "{\"frontiers\":{\"" GENESIS "\":\"" SEND_1 "\"}}"},
        {ASK_TWO("accounts_frontiers"), "{\"errors\":{\"" GENESIS "\":\"Account not found\"}}"},
        {ASK_TWO("accounts_frontiers"),
         "{\"frontiers\":{\"" A "\":\"" SEND_1 "\"},\"errors\":{\"" A "\":\"Account not found\"}}"},
        {ASK_TWO("accounts_balances"), "{\"balances\":{\"" A "\":\"5\"}}"},
        {ASK_TWO("accounts_balances"), "{\"balances\":{\"" A "\":{\"balance\":\"5\"}}}"},
        {ASK_TWO("accounts_balances"),
         "{\"balances\":{\"" A "\":{\"balance\":\"5.0\",\"receivable\":\"0\"}}}"},
        {ASK_TWO("accounts_balances"),
         "{\"balances\":{\"" A "\":{\"balance\":\"05\",\"receivable\":\"0\"}}}"},
        {ASK_TWO("accounts_receivable"), "{\"blocks\":[\"" SEND_1 "\"]}"},
        {ASK_TWO("accounts_receivable"), "{\"blocks\":{\"" A "\":5}}"},
        {ASK_TWO("accounts_receivable"),
         "{\"blocks\":{\"" A "\":{\"" SEND_1 "\":\"1\"},\"" GENESIS "\":\"\"}}"},
        {ASK_TWO("accounts_receivable"),
         "{\"blocks\":{\"" A "\":{\"" SEND_1 "\":\"1\"},\"" D "\":{\"" SEND_1 "\":\"0\"}}}"},
        {ASK_A("receivable"), "{\"blocks\":{\"" SEND_1 "\":{\"source\":\"" A "\"}}}"},
        {ASK_A("receivable"), "{\"blocks\":{\"" SEND_1 "\":{\"amount\":\"1\",\"source\":\"me\"}}}"},
        {ASK_A("receivable"), "{\"blocks\":{\"91CE\":{\"amount\":\"1\"}}}"},
        {ASK_A("receivable"), "{\"blocks\":[\"" SEND_1 "\",7]}"},
        {ASK_A("account_info"), "{}"},
        {ASK_A("account_info"), INFO("\"confirmed_height\":\"5\"")},
        {ASK_A("account_info"), INFO("\"confirmed_height\":\"6\",\"confirmed_frontier\":\"" SEND_1 "\"")},
        {ASK_A("account_info"), INFO("\"confirmed_height\":\"0\",\"confirmed_frontier\":\"" SEND_1 "\"")},
        {ASK_A("account_info"), INFO("\"pending\":\"0\"")},
        {ASK_A("account_history"), "{\"history\":[{}]}"},
        {ASK_A("account_history"), "{\"account\":\"" D "\",\"history\":\"\"}"},
        {ASK_A("account_history"), "{\"account\":\"" A "\",\"history\":{\"a\":1}}"},
        {ASK_A("account_history"), "{\"account\":\"" A "\",\"history\":\"\",\"previous\":\"" SEND_1 "\"}"},
        {ASK_A("account_history"), "{\"account\":\"" A "\",\"history\":[5]}"},
        {ASK_A("account_history"), ENTRY("\"type\":\"state\",\"subtype\":\"receive\"")},
        {ASK_A("account_history"),
         ENTRY("\"type\":\"receive\",\"height\":\"2\",\"previous\":\"" SEND_1 "\"")},
        {ASK_A("account_history"), ENTRY("\"type\":\"send\",\"height\":\"2\",\"previous\":\"" SEND_1 "\"")},
        {ASK_A("account_history"), ENTRY("\"type\":\"change\",\"height\":\"0\",\"previous\":\"" SEND_1 "\"")},
        {ASK_A("account_history"), ENTRY("\"type\":\"change\",\"height\":\"2\"")},
        {ASK_HASH, "{\"blocks\":\"\"}"},
        {ASK_HASH, "{\"blocks\":\"\",\"blocks_not_found\":[\"" SEND_1 "\"]}"},
        {ASK_HASH, "{\"blocks\":\"\",\"blocks_not_found\":[\"" NOT_THERE "\",\"" SEND_1 "\"]}"},
        {ASK_HASH, "{\"blocks\":{\"" NOT_THERE "\":{}},\"blocks_not_found\":[\"" NOT_THERE "\"]}"},
        {ASK_HASH, "{\"blocks\":{\"" NOT_THERE "\":{}}}"},
        {ASK_HASH, "{\"blocks\":{\"" NOT_THERE "\":7}}"},
        {"{\"action\":\"version\"}", "{\"network\":\"live\"}"},
        {"{\"action\":\"version\"}", "{\"node_vendor\":27}"},
        {"{\"action\":\"block_count\"}", "{\"cemented\":\"1\"}"},
        {"{\"action\":\"block_count\"}", "{\"count\":\"1 \",\"cemented\":\"1\"}"},
        {"{\"action\":\"block_count\"}", "{\"count\":\"1\",\"cemented\":\"\"}"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        json_t *request = json_of(all[i].request), *answer = json_of(all[i].answer);
        enum cs_err err;
        assert_true(read_any(request, answer, &err));
        if (err != CS_EINVAL) {
            fail_msg("%s was taken", all[i].answer);
        }
        json_decref(request);
        json_decref(answer);
    }
}

static void nothing_is_said_in_many_ways(void **state)
{
    (void)state;
    static const char *const nothings[] = {"\"\"", "[]", "{}", "null", NULL};
    static const struct {
        const char *request, *key, *more;
    } lists[] = {
        {ASK_TWO("accounts_frontiers"), "frontiers", ""},
        {ASK_TWO("accounts_frontiers"), "errors", ""},
        {ASK_TWO("accounts_balances"), "balances", ""},
        {ASK_TWO("accounts_receivable"), "blocks", ""},
        {ASK_A("receivable"), "blocks", ""},
        {ASK_A("pending"), "blocks", ",\"deprecated\":\"1\""},
        {ASK_A("account_history"), "history", ",\"account\":\"" A "\""},
        {ASK_HASH, "blocks", ",\"blocks_not_found\":[\"" NOT_THERE "\"]"},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (size_t n = 0; n < sizeof(nothings) / sizeof(nothings[0]); n++) {
            char text[512];
            snprintf(text, sizeof(text), nothings[n] != NULL ? "{\"%s\":%s%s}" : "{\"unused\":1%s%s%s}",
                     nothings[n] != NULL ? lists[i].key : "", nothings[n] != NULL ? nothings[n] : "",
                     lists[i].more);
            json_t *request = json_of(lists[i].request), *answer = json_of(text);
            enum cs_err err;
            assert_true(read_any(request, answer, &err));
            if (err != CS_OK) {
                fail_msg("%s: %s", text, error);
            }
            json_decref(request);
            json_decref(answer);
        }
    }
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------- */

static void expect_request(json_t *request, const char *text)
{
    char *got = json_dumps(request, JSON_COMPACT);
    assert_string_equal(got, text);
    free(got);
    json_decref(request);
}

static void requests_are_what_the_node_understands(void **state)
{
    (void)state;
    const struct address both[] = {
        account_of(A), account_of("xrb_3xc8mafayqu1ae8myqw9o9dizmz5mhqnzf1dx1jdrs6apgm8g8stucek1rzc")};
    const struct rpc_version v22 = {.major = 22}, v23 = {.major = 23, .minor = 3}, v27 = {.major = 27},
                             unknown = {0};
    uint8_t hashes[2][32];
    hash_of(SEND_1, hashes[0]);
    hash_of(NOT_THERE, hashes[1]);
    expect_request(rpc_ask_version(), "{\"action\":\"version\"}");
    expect_request(rpc_ask_block_count(), "{\"action\":\"block_count\"}");
    expect_request(rpc_ask_frontiers(both, 2),
                   "{\"action\":\"accounts_frontiers\",\"accounts\":[\"" A "\",\"" D "\"]}");
    expect_request(rpc_ask_balances(both, 1), "{\"action\":\"accounts_balances\",\"accounts\":[\"" A
                                              "\"],\"include_only_confirmed\":\"true\"}");
    expect_request(rpc_ask_account_info(both),
                   "{\"action\":\"account_info\",\"account\":\"" A "\",\"include_confirmed\":\"true\"}");
    expect_request(rpc_ask_history(both, NULL, false, 100), "{\"action\":\"account_history\",\"account\":\"" A
                                                            "\",\"count\":\"100\",\"raw\":\"true\"}");
    expect_request(rpc_ask_history(both, hashes[0], true, 1),
                   "{\"action\":\"account_history\",\"account\":\"" A
                   "\",\"count\":\"1\",\"raw\":\"true\",\"head\":\"" SEND_1 "\",\"reverse\":\"true\"}");
    expect_request(
        rpc_ask_blocks((const uint8_t(*)[32])hashes, 2, true),
        "{\"action\":\"blocks_info\",\"hashes\":[\"" SEND_1 "\",\"" NOT_THERE
        "\"],\"json_block\":\"true\",\"include_not_found\":\"true\",\"receivable\":\"true\",\"pending\":\"true\","
        "\"receive_hash\":\"true\"}");
    static const char one[] = "{\"action\":\"%s\",\"account\":\"" A "\",%s}",
                      some[] = "{\"action\":\"%s\",\"accounts\":[\"" A "\"],%s}",
                      rest[] = "\"count\":\"50\",\"threshold\":\"1\",\"include_only_confirmed\":\"true\"";
    const struct {
        const struct rpc_version *version;
        const char *single, *several;
    } names[] = {
        {NULL, "receivable", "accounts_receivable"}, {&unknown, "receivable", "accounts_receivable"},
        {&v27, "receivable", "accounts_receivable"}, {&v23, "receivable", "accounts_pending"},
        {&v22, "pending", "accounts_pending"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), one, names[i].single, rest);
        expect_request(rpc_ask_receivable(names[i].version, both, 50), text);
        snprintf(text, sizeof(text), some, names[i].several, rest);
        expect_request(rpc_ask_receivables(names[i].version, both, 1, 50), text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_answer_is_read_but_those_that_must_not_be),
        cmocka_unit_test(the_version_is_a_number_where_it_can_be_told),
        cmocka_unit_test(block_counts_are_read),
        cmocka_unit_test(frontiers_come_in_the_order_of_asking_however_errors_are_told),
        cmocka_unit_test(an_error_of_one_account_is_its_own),
        cmocka_unit_test(balances_are_read),
        cmocka_unit_test(what_is_receivable_is_read_under_its_old_and_its_new_name),
        cmocka_unit_test(what_several_accounts_can_receive_is_read),
        cmocka_unit_test(an_accounts_confirmed_height_is_read_from_both_of_its_names),
        cmocka_unit_test(a_history_says_what_each_block_did),
        cmocka_unit_test(a_history_of_legacy_blocks_says_the_same),
        cmocka_unit_test(a_history_says_where_to_go_on_and_what_is_not_confirmed),
        cmocka_unit_test(blocks_are_read_and_their_hashes_computed),
        cmocka_unit_test(a_send_says_who_received_it),
        cmocka_unit_test(an_answer_that_lies_about_a_block_is_seen),
        cmocka_unit_test(rubbish_is_refused_with_a_reason),
        cmocka_unit_test(nothing_is_said_in_many_ways),
        cmocka_unit_test(requests_are_what_the_node_understands),
    };
    return cmocka_run_group_tests(tests, open_recordings, close_recordings);
}
