/* What a node's WebSocket says, from recordings of one, and what is said to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/hex.h"
#include "base/json.h"
#include "lib/recorded.h"
#include "node/nano_filter.h"
#include "node/nano_ws_frames.h"

/* How many messages of each kind a recording has, counted by other means; sends, legacy and inactive blocks are of the confirmed. */
static const struct recording {
    const char *file;
    int acks, pongs, confirmed, bare, others, sends, legacy, inactive;
} RECORDINGS[] = {
    {"inactive-ws.txt", 1, 0, 13, 0, 0, 9, 4, 6},
    {"leak1-first-default.txt", 1, 0, 1, 0, 0, 1, 0, 0},
    {"leak1-second-full.txt", 1, 0, 1, 0, 0, 1, 0, 0},
    {"leak2-first-full.txt", 1, 0, 1, 0, 0, 1, 0, 0},
    {"leak2-second-default.txt", 1, 0, 1, 0, 0, 1, 0, 0},
    {"ws-active-only.txt", 1, 0, 2, 0, 0, 1, 1, 0},
    {"ws-badaccount.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-binary-ping.txt", 3, 2, 0, 0, 0, 0, 0, 0},
    {"ws-default.txt", 2, 2, 3, 0, 3, 3, 1, 0},
    {"ws-filter-B.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-filter-D.txt", 1, 0, 1, 0, 0, 1, 0, 0},
    {"ws-filter-empty.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-filter-noblock.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-filter-update.txt", 2, 0, 1, 0, 0, 1, 0, 0},
    {"ws-full.txt", 1, 0, 5, 0, 0, 2, 0, 0},
    {"ws-idle.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-inactive-only.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-malformed.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws-noblock.txt", 1, 0, 0, 2, 0, 0, 0, 0},
    {"ws-options-empty-then-update.txt", 2, 0, 1, 0, 0, 1, 0, 0},
    {"ws-resubscribe.txt", 2, 0, 1, 0, 0, 1, 0, 0},
    {"ws4b-all.txt", 1, 0, 8, 0, 0, 5, 3, 0},
    {"ws4b-filter-B.txt", 1, 0, 0, 0, 0, 0, 0, 0},
    {"ws4b-filter-D.txt", 1, 0, 5, 0, 0, 3, 0, 0},
};

static struct nano_ws_message read_text(const char *text, char error[NANO_WS_ERROR_SIZE])
{
    struct nano_ws_message message;
    nano_ws_read(text, strlen(text), &message, error);
    return message;
}

static enum nano_ws_kind kind_of(const char *text)
{
    char error[NANO_WS_ERROR_SIZE];
    return read_text(text, error).kind;
}

static void check_confirmed(const struct nano_ws_message *message, struct recording *found)
{
    char error[NANO_WS_ERROR_SIZE];
    assert_memory_equal(message->hash, message->notice.hash, 32);
    assert_int_equal(notice_check_signature(&message->notice, error), NOTICE_VALID);
    assert_int_not_equal(message->confirmation, NANO_WS_CONFIRMATION_UNKNOWN);
    found->confirmed++;
    found->sends += message->notice.is_send;
    found->legacy += message->notice.block.type != BLOCK_STATE;
    found->inactive += message->confirmation == NANO_WS_INACTIVE;
}

static void count_message(const char *text, size_t length, struct recording *found)
{
    struct nano_ws_message message;
    char error[NANO_WS_ERROR_SIZE];
    nano_ws_read(text, length, &message, error);
    assert_true(message.time_ms > 1795193000000 && message.time_ms < 1795194000000);
    switch (message.kind) {
    case NANO_WS_ACK:
        found->acks++;
        break;
    case NANO_WS_PONG:
        found->pongs++;
        break;
    case NANO_WS_CONFIRMED:
        check_confirmed(&message, found);
        break;
    case NANO_WS_BARE:
        assert_false(message.has_block);
        found->bare++;
        break;
    case NANO_WS_OTHER:
        found->others++;
        break;
    case NANO_WS_CONTRADICTION:
    case NANO_WS_WRONG_HASH:
    case NANO_WS_MALFORMED:
        fail_msg("%.*s: %s", (int)length, text, error);
    }
}

static void test_every_message_of_every_recording_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(RECORDINGS) / sizeof(RECORDINGS[0]); i++) {
        struct recording found = {.file = RECORDINGS[i].file};
        struct recorded_session *session = recorded_session_open(SOURCE_DIR, found.file);
        const char *text;
        size_t length;
        while ((text = recorded_session_next(session, &length)) != NULL) {
            count_message(text, length, &found);
        }
        recorded_session_close(session);
        print_message("%s: %d confirmed\n", found.file, found.confirmed);
        assert_memory_equal(&found, &RECORDINGS[i], sizeof(found));
    }
}

static void test_an_ack_comes_back_with_what_it_is_for(void **state)
{
    (void)state;
    char error[NANO_WS_ERROR_SIZE];
    struct nano_ws_message message =
        read_text("{\"ack\":\"update\",\"time\":\"1795193514336\",\"id\":\"17\"}", error);
    assert_int_equal(message.kind, NANO_WS_ACK);
    assert_int_equal(message.action, NANO_WS_UPDATE);
    assert_true(message.has_id && message.id == 17);
    assert_int_equal(message.time_ms, 1795193514336);

    message = read_text("{\"ack\":\"subscribe\"}", error);
    assert_int_equal(message.kind, NANO_WS_ACK);
    assert_true(!message.has_id && message.time_ms == 0);

    message = read_text("{\"ack\":\"subscribe\",\"id\":\"18446744073709551616\",\"time\":\"-1\"}", error);
    assert_true(message.has_id && message.id == 0 && message.time_ms == 0);
    message = read_text("{\"ack\":\"subscribe\",\"id\":\"x1\",\"time\":1795193514336}", error);
    assert_true(message.has_id && message.id == 0 && message.time_ms == 0);
    assert_int_equal(kind_of("{\"ack\":\"ping\"}"), NANO_WS_OTHER);
    assert_int_equal(kind_of("{\"ack\":\"pong\"}"), NANO_WS_PONG);
}

static void test_what_is_no_message_is_told_apart(void **state)
{
    (void)state;
    static const char *const malformed[] = {
        "",
        "{",
        "[1,2]",
        "\"just a string\"",
        "{\"topic\":\"confirmation\"}",
        "{\"topic\":\"confirmation\",\"message\":7}",
        "{\"topic\":\"confirmation\",\"message\":{\"hash\":7}}",
        "{\"topic\":\"confirmation\",\"message\":{\"hash\":\"634DD75357D25AEDBCBEEB6B1E78CDEA\"}}",
        "{\"a\":[[[[[[[[[]]]]]]]]]}",
    };
    static const char *const others[] = {"{}", "{\"ack\":7}", "{\"error\":\"no such action\"}",
                                         "{\"topic\":\"vote\",\"message\":{}}"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        char error[NANO_WS_ERROR_SIZE] = "";
        assert_int_equal(read_text(malformed[i], error).kind, NANO_WS_MALFORMED);
        assert_string_not_equal(error, "");
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(kind_of(others[i]), NANO_WS_OTHER);
    }
}

/* The first confirmed send of a recording, as JSON; owned by the caller. */
static json_t *recorded_send(void)
{
    struct recorded_session *session = recorded_session_open(SOURCE_DIR, "ws4b-filter-D.txt");
    const char *text;
    size_t length;
    json_t *found = NULL;
    while (found == NULL && (text = recorded_session_next(session, &length)) != NULL) {
        char error[JSON_ERROR_SIZE];
        json_t *object = json_read(text, length, 8, error);
        if (json_text(json_object_get(json_object_get(object, "message"), "block"), "subtype") != NULL) {
            found = json_incref(object);
        }
        json_decref(object);
    }
    recorded_session_close(session);
    assert_non_null(found);
    return found;
}

/* Gives up ownership. */
static struct nano_ws_message read_json(json_t *object, char error[NANO_WS_ERROR_SIZE])
{
    char *text = json_dumps(object, 0);
    struct nano_ws_message message = read_text(text, error);
    free(text);
    json_decref(object);
    return message;
}

static void test_a_confirmation_without_a_usable_block_is_its_hash(void **state)
{
    (void)state;
    static const char *const needed[] = {"account", "amount", "block"};
    static const char *const in_block[] = {"subtype", "signature", "link", "balance", "type"};
    char error[NANO_WS_ERROR_SIZE];
    struct nano_ws_message whole = read_json(recorded_send(), error);
    assert_int_equal(whole.kind, NANO_WS_CONFIRMED);
    for (size_t i = 0; i < 8; i++) {
        json_t *object = recorded_send(), *content = json_object_get(object, "message");
        bool whole_block = i < 3;
        assert_int_equal(json_object_del(whole_block ? content : json_object_get(content, "block"),
                                         whole_block ? needed[i] : in_block[i - 3]),
                         0);
        struct nano_ws_message message = read_json(object, error);
        assert_int_equal(message.kind, NANO_WS_BARE);
        assert_int_equal(message.has_block, i != 2);
        assert_int_equal(message.confirmation, NANO_WS_ACTIVE_QUORUM);
        assert_int_equal(message.time_ms, whole.time_ms);
        assert_memory_equal(message.hash, whole.hash, 32);
        assert_string_not_equal(error, "");
    }
}

static void test_a_confirmation_that_cannot_be_true_is_none(void **state)
{
    (void)state;
    char error[NANO_WS_ERROR_SIZE];
    json_t *object = recorded_send(), *content = json_object_get(object, "message");
    json_object_set_new(content, "amount", json_string("0"));
    assert_int_equal(read_json(object, error).kind, NANO_WS_CONTRADICTION);
    object = recorded_send(), content = json_object_get(object, "message");
    json_object_set_new(json_object_get(content, "block"), "balance", json_string("1"));
    assert_int_equal(read_json(object, error).kind, NANO_WS_WRONG_HASH);
    /* What is not said, or by an unknown word, is not held against it. */
    object = recorded_send(), content = json_object_get(object, "message");
    json_object_set_new(content, "confirmation_type", json_string("by_acclamation"));
    json_object_del(object, "time");
    struct nano_ws_message message = read_json(object, error);
    assert_int_equal(message.kind, NANO_WS_CONFIRMED);
    assert_int_equal(message.confirmation, NANO_WS_CONFIRMATION_UNKNOWN);
    assert_int_equal(message.time_ms, 0);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

#define ONE "nano_1sjkhzzeuhup4u9fbd9f77k9puwfbaadymfjnjgbtmiuchqqnmodbwrsnhn9"
#define TWO "nano_3xc8mafayqu1ae8myqw9o9dizmz5mhqnzf1dx1jdrs6apgm8g8stucek1rzc"

static void put_account(const char *text, uint8_t account[32])
{
    struct address address;
    assert_true(address_parse(CHAIN_NANO, text, &address));
    memcpy(account, address.bytes, 32);
}

static void expect_printed(const struct nano_ws_request *request, const char *expected)
{
    size_t length;
    char *text = nano_ws_print(request, &length);
    assert_string_equal(text, expected);
    assert_int_equal(length, strlen(expected));
    free(text);
}

static void test_requests_are_as_the_recorded_node_took_them(void **state)
{
    (void)state;
    uint8_t accounts[2][32];
    put_account(ONE, accounts[0]);
    put_account(TWO, accounts[1]);
    expect_printed(&(struct nano_ws_request){.action = NANO_WS_PING}, "{\"action\":\"ping\"}");
    expect_printed(&(struct nano_ws_request){.action = NANO_WS_UNSUBSCRIBE, .id = 4},
                   "{\"action\":\"unsubscribe\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"4\"}");
    expect_printed(&(struct nano_ws_request){.action = NANO_WS_SUBSCRIBE, .id = 1},
                   "{\"action\":\"subscribe\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"1\","
                   "\"options\":{\"confirmation_type\":\"all\",\"include_block\":true}}");
    expect_printed(&(struct nano_ws_request){.action = NANO_WS_SUBSCRIBE, .id = 2, .filtered = true},
                   "{\"action\":\"subscribe\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"2\","
                   "\"options\":{\"confirmation_type\":\"all\",\"include_block\":true,\"accounts\":[]}}");
    expect_printed(
        &(struct nano_ws_request){
            .action = NANO_WS_SUBSCRIBE, .id = 3, .filtered = true, .add = accounts, .add_count = 2},
        "{\"action\":\"subscribe\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"3\","
        "\"options\":{\"confirmation_type\":\"all\",\"include_block\":true,\"accounts\":[\"" ONE "\",\"" TWO
        "\"]}}");
    expect_printed(
        &(struct nano_ws_request){.action = NANO_WS_UPDATE, .id = 5, .add = accounts, .add_count = 1},
        "{\"action\":\"update\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"5\","
        "\"options\":{\"accounts_add\":[\"" ONE "\"]}}");
    expect_printed(&(struct nano_ws_request){.action = NANO_WS_UPDATE,
                                             .id = 6,
                                             .add = accounts,
                                             .add_count = 1,
                                             .remove = accounts + 1,
                                             .remove_count = 1},
                   "{\"action\":\"update\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"6\","
                   "\"options\":{\"accounts_add\":[\"" ONE "\"],\"accounts_del\":[\"" TWO "\"]}}");
    expect_printed(
        &(struct nano_ws_request){.action = NANO_WS_UPDATE, .id = 7, .remove = accounts, .remove_count = 2},
        "{\"action\":\"update\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"7\","
        "\"options\":{\"accounts_del\":[\"" ONE "\",\"" TWO "\"]}}");
}

static void test_a_full_request_stays_below_64_kb(void **state)
{
    (void)state;
    uint8_t(*accounts)[32] = calloc(NANO_WS_ACCOUNTS_MOST, 32);
    struct nano_ws_request request = {.action = NANO_WS_UPDATE,
                                      .id = UINT64_MAX,
                                      .add = accounts,
                                      .remove = accounts,
                                      .add_count = NANO_WS_ACCOUNTS_MOST / 2,
                                      .remove_count = NANO_WS_ACCOUNTS_MOST / 2};
    size_t length;
    char *text = nano_ws_print(&request, &length);
    assert_true(length > 60000 && length < 65536);
    free(text);
    free(accounts);
}

/* ---- the filter ---------------------------------------------------------------------------------------- */

static void number(uint32_t n, uint8_t account[32])
{
    memset(account, 0, 32);
    memcpy(account, &n, sizeof(n));
}

static void watch(struct nano_filter *filter, uint32_t n, bool added)
{
    uint8_t account[32];
    number(n, account);
    nano_filter_watch(filter, account, added);
}

/* Takes and expects so many of each. */
static void expect_changes(struct nano_filter *filter, size_t most, size_t adds, size_t removes)
{
    struct nano_filter_changes changes;
    nano_filter_take(filter, most, &changes);
    assert_int_equal(changes.add_count, adds);
    assert_int_equal(changes.remove_count, removes);
    nano_filter_drop(&changes);
}

static void test_the_filter_tells_each_change_once(void **state)
{
    (void)state;
    struct nano_filter *filter = nano_filter_open();
    watch(filter, 1, true);
    watch(filter, 1, true);
    watch(filter, 2, true);
    watch(filter, 9, false);
    assert_int_equal(nano_filter_count(filter), 2);
    assert_int_equal(nano_filter_waiting(filter), 2);
    expect_changes(filter, 10, 2, 0);
    expect_changes(filter, 10, 0, 0);
    watch(filter, 1, false);
    watch(filter, 3, true);
    expect_changes(filter, 10, 1, 1);
    watch(filter, 4, true); /* to and fro: nothing to tell */
    watch(filter, 4, false);
    watch(filter, 2, false);
    watch(filter, 2, true);
    expect_changes(filter, 10, 0, 0);
    assert_int_equal(nano_filter_count(filter), 2);
    nano_filter_forget(filter);
    expect_changes(filter, 1, 1, 0);
    expect_changes(filter, 10, 1, 0);
    struct nano_filter_changes changes;
    nano_filter_take_all(filter, &changes);
    assert_int_equal(changes.add_count, 2);
    nano_filter_drop(&changes);
    assert_int_equal(nano_filter_waiting(filter), 0);
    nano_filter_close(filter);
}

#define RANGE 300

/* Against a plain table of what is wanted and what was told. */
static void test_the_filter_agrees_with_a_plain_table(void **state)
{
    (void)state;
    struct nano_filter *filter = nano_filter_open();
    bool wanted[RANGE] = {0}, told[RANGE] = {0};
    for (int step = 0; step < 40000; step++) {
        uint32_t n = randombytes_uniform(RANGE), what = randombytes_uniform(100);
        if (what < 90) {
            wanted[n] = what < 45;
            watch(filter, n, wanted[n]);
        } else if (what < 99) {
            struct nano_filter_changes changes;
            nano_filter_take(filter, 1 + n % 20, &changes);
            for (size_t i = 0; i < changes.add_count; i++) {
                memcpy(&n, changes.add[i], sizeof(n));
                assert_true(wanted[n] && !told[n]);
                told[n] = true;
            }
            for (size_t i = 0; i < changes.remove_count; i++) {
                memcpy(&n, changes.remove[i], sizeof(n));
                assert_true(!wanted[n] && told[n]);
                told[n] = false;
            }
            nano_filter_drop(&changes);
        } else {
            memset(told, 0, sizeof(told));
            nano_filter_forget(filter);
        }
        size_t count = 0, differ = 0;
        for (uint32_t i = 0; i < RANGE; i++) {
            count += wanted[i];
            differ += wanted[i] != told[i];
        }
        assert_int_equal(nano_filter_count(filter), count);
        assert_true(nano_filter_waiting(filter) >= differ);
    }
    nano_filter_close(filter);
}

static void test_the_filter_takes_a_hundred_thousand_accounts(void **state)
{
    (void)state;
    struct nano_filter *filter = nano_filter_open();
    for (uint32_t n = 0; n < 100000; n++) {
        watch(filter, n, true);
    }
    for (uint32_t n = 0; n < 50000; n++) {
        watch(filter, n, false);
    }
    size_t told = 0;
    while (nano_filter_waiting(filter) > 0) {
        struct nano_filter_changes changes;
        nano_filter_take(filter, NANO_WS_ACCOUNTS_MOST, &changes);
        told += changes.add_count;
        assert_int_equal(changes.remove_count, 0);
        nano_filter_drop(&changes);
    }
    assert_int_equal(told, 50000);
    nano_filter_close(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_of_every_recording_is_understood),
        cmocka_unit_test(test_an_ack_comes_back_with_what_it_is_for),
        cmocka_unit_test(test_what_is_no_message_is_told_apart),
        cmocka_unit_test(test_a_confirmation_without_a_usable_block_is_its_hash),
        cmocka_unit_test(test_a_confirmation_that_cannot_be_true_is_none),
        cmocka_unit_test(test_requests_are_as_the_recorded_node_took_them),
        cmocka_unit_test(test_a_full_request_stays_below_64_kb),
        cmocka_unit_test(test_the_filter_tells_each_change_once),
        cmocka_unit_test(test_the_filter_agrees_with_a_plain_table),
        cmocka_unit_test(test_the_filter_takes_a_hundred_thousand_accounts),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
