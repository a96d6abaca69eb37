/* The Nano node's API on /nano, against what a real node sent; over real sockets (lib/push_fixture.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "lib/push_fixture.h"
#include "lib/recorded_ws.h"
#include "lib/wire.h"
#include "lib/ws_client.h"
#include "push/nano.h"
#include "push/nano_frames.h"
#include "verify/block.h"

#define SUBSCRIBE "{\"action\":\"subscribe\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"s\""

/* ---- the relay --------------------------------------------------------------------------------------------------- */

static struct push_fixture relay;

static void start(void (*change)(struct push_options *options))
{
    push_fixture_open(&relay, change);
    push_fixture_start(&relay);
}

static int set_up(void **state)
{
    (void)state;
    start(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    push_fixture_close(&relay);
    return 0;
}

static void step(void)
{
    push_fixture_step(&relay);
}

static bool metric_is(const char *line)
{
    return push_fixture_metric_is(&relay, line);
}

static void await_metric(const char *line)
{
    push_fixture_await_metric(&relay, line, true);
}

static bool is_known(uint8_t number)
{
    struct address address = push_fixture_account(number);
    return store_knows_address(relay.store, &address);
}

/* As if a device were subscribed to it: the relay stores its payments. */
static void make_known(const struct address *address)
{
    enum cs_err err = CS_EBUSY;
    while (err == CS_EBUSY) { /* sessions fill the inbox too */
        step();
        err = store_submit_listen(relay.store, address, 0, NULL, NULL);
    }
    assert_int_equal(err, CS_OK);
    step();
}

static void make_account_known(uint8_t number)
{
    struct address address = push_fixture_account(number);
    make_known(&address);
}

static void store_payment(const struct payment *payment)
{
    assert_int_equal(push_fixture_pay(&relay, payment, NULL, 0, "{}"), STORE_PAYMENT_STORED);
}

static struct payment pay_to(uint8_t number)
{
    struct payment payment = push_fixture_payment_to(&relay, number);
    store_payment(&payment);
    return payment;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static struct ws_client *dial_at(const char *target)
{
    int status;
    struct ws_client *client = ws_client_open(relay.port, target, NULL, &status);
    assert_int_equal(status, 101);
    return client;
}

static struct ws_client *dial(void)
{
    return dial_at("/nano");
}

/* The next message, while the writer goes on. */
static const char *await_text(struct ws_client *client)
{
    uint16_t code = 1;
    const char *text = NULL;
    for (int64_t until = push_fixture_now_ms() + WS_CLIENT_WAIT_MS; text == NULL && code == 1;) {
        step();
        text = ws_client_receive(client, 5, &code);
        if (push_fixture_now_ms() > until) {
            break;
        }
    }
    if (text == NULL) {
        fail_msg("closed with %u where a message was expected", code);
    }
    return text;
}

static json_t *await_object(struct ws_client *client)
{
    json_t *object = json_loads(await_text(client), JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_is_object(object));
    return object;
}

static void expect_ack(struct ws_client *client, const char *action, const char *id)
{
    json_t *object = await_object(client);
    if (json_object_get(object, "ack") == NULL) {
        fail_msg("no ack: %s", json_dumps(object, 0));
    }
    assert_string_equal(json_string_value(json_object_get(object, "ack")), action);
    assert_int_equal(strlen(json_string_value(json_object_get(object, "time"))), 13);
    if (id != NULL) {
        assert_string_equal(json_string_value(json_object_get(object, "id")), id);
    }
    assert_int_equal(json_object_size(object), id != NULL ? 3 : 2);
    json_decref(object);
}

/* An object that holds the error and the id, and nothing that a program could take for anything else. */
static void expect_error(struct ws_client *client, const char *words, const char *id)
{
    json_t *object = await_object(client);
    const char *error = json_string_value(json_object_get(object, "error"));
    if (error == NULL || strstr(error, words) == NULL) {
        fail_msg("%s does not say \"%s\"", json_dumps(object, 0), words);
    }
    if (id != NULL) {
        assert_string_equal(json_string_value(json_object_get(object, "id")), id);
    }
    assert_int_equal(json_object_size(object), id != NULL ? 2 : 1);
    json_decref(object);
}

static void expect_payment(struct ws_client *client, const struct payment *payment)
{
    char hash[PAYMENT_HASH_TEXT];
    hex_encode_upper(payment->hash, PAYMENT_HASH_SIZE, hash);
    json_t *object = await_object(client), *message = json_object_get(object, "message");
    if (message == NULL) {
        fail_msg("no payment: %s", json_dumps(object, 0));
    }
    assert_string_equal(json_string_value(json_object_get(message, "hash")), hash);
    json_decref(object);
}

static void expect_nothing(struct ws_client *client)
{
    uint16_t code;
    const char *text = ws_client_receive(client, 150, &code);
    if (text != NULL || code != 1) {
        fail_msg("%s where nothing was expected (close %u)", text != NULL ? text : "a close", code);
    }
}

static void expect_close(struct ws_client *client, uint16_t expected)
{
    uint16_t code;
    const char *text = ws_client_receive(client, WS_CLIENT_WAIT_MS, &code);
    if (text != NULL) {
        fail_msg("%s where a close was expected", text);
    }
    assert_int_equal(code, expected);
    ws_client_close(client);
}

/* `list` of accounts [from, to), in the old spelling when `xrb`. */
static char *request(const char *before, uint8_t from, uint8_t to, bool xrb, const char *after)
{
    size_t room = strlen(before) + strlen(after) + (size_t)(to - from) * 80 + 1;
    char *text = cs_alloc(room);
    size_t length = (size_t)snprintf(text, room, "%s", before);
    for (uint8_t number = from; number < to; number++) {
        char address_text[ADDRESS_TEXT_SIZE];
        struct address address = push_fixture_account(number);
        address_format(&address, address_text);
        length += (size_t)snprintf(text + length, room - length, "%s\"%s%s\"", number > from ? "," : "",
                                   xrb ? "xrb_" : "nano_", address_text + strlen("nano_"));
    }
    snprintf(text + length, room - length, "%s", after);
    return text;
}

static void say_accounts(struct ws_client *client, const char *before, uint8_t from, uint8_t to,
                         const char *after)
{
    char *text = request(before, from, to, false, after);
    ws_client_send(client, text);
    free(text);
}

static void filter_for(struct ws_client *client, uint8_t from, uint8_t to)
{
    say_accounts(client, SUBSCRIBE ",\"options\":{\"accounts\":[", from, to, "]}}");
}

static void update(struct ws_client *client, const char *list, uint8_t from, uint8_t to)
{
    char before[256];
    snprintf(
        before, sizeof(before),
        "{\"action\":\"update\",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"u\",\"options\":{\"%s\":[",
        list);
    say_accounts(client, before, from, to, "]}}");
}

/* ---- what a real node answered, played again ---------------------------------------------------------------------- */

/* Times differ: both get the same. */
static void blank_time(char *text)
{
    char *time = strstr(text, "\"time\": \"");
    assert_non_null(time);
    for (char *c = time + strlen("\"time\": \""); *c != '"'; c++) {
        *c = 'T';
    }
}

static void expect_as_recorded(struct ws_client *client, const char *recorded)
{
    char *ours = cs_strdup(await_text(client)), *theirs = cs_strdup(recorded);
    blank_time(ours);
    blank_time(theirs);
    assert_string_equal(ours, theirs);
    free(ours);
    free(theirs);
}

static char *print_like_a_node(const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(4)), *whole = cs_alloc(strlen(text) + 2);
    snprintf(whole, strlen(text) + 2, "%s\n", text);
    free(text);
    return whole;
}

/* What the relay cannot know is not in its messages; what that node did not know yet is. */
static char *what_we_can_know(json_t *recorded, bool with_linked_account)
{
    json_t *message = json_object_get(recorded, "message"), *block = json_object_get(message, "block");
    json_object_del(message, "election_info");
    json_object_del(message, "sideband");
    if (with_linked_account && block != NULL) {
        json_t *subtype = json_incref(json_object_get(block, "subtype"));
        const char *linked =
            json_string_value(json_object_get(block, subtype != NULL ? "link_as_account" : "destination"));
        json_object_del(block, "subtype");
        json_object_set_new(block, "linked_account", json_string(linked));
        if (subtype != NULL) {
            json_object_set_new(block, "subtype", subtype);
        }
    }
    return print_like_a_node(recorded);
}

static bool is_send(const json_t *block)
{
    const char *type = json_string_value(json_object_get(block, "type"));
    const char *subtype = json_string_value(json_object_get(block, "subtype"));
    return type != NULL && (strcmp(type, "send") == 0 || (subtype != NULL && strcmp(subtype, "send") == 0));
}

/* As a source would submit it: the payment of a recorded message, with its block. */
static void submit_recorded(const json_t *message, const json_t *block_object)
{
    struct block block;
    char error[BLOCK_ERROR_SIZE];
    uint8_t proof[BLOCK_PACKED_SIZE];
    assert_int_equal(block_read(json_view_of_tree(block_object), &block, error), CS_OK);
    block_pack(&block, proof);
    const char *type = json_string_value(json_object_get(message, "confirmation_type"));
    struct payment payment = {.source = strcmp(type, "inactive") == 0 ? SOURCE_BACKFILL : SOURCE_CALLBACK,
                              .to = address_from_nano_key(block.link)};
    assert_true(hex_decode(json_string_value(json_object_get(message, "hash")), payment.hash, 32));
    assert_true(amount_parse_raw(json_string_value(json_object_get(message, "amount")), &payment.amount));
    assert_true(
        address_parse(CHAIN_NANO, json_string_value(json_object_get(message, "account")), &payment.from));
    make_known(&payment.to);
    assert_int_equal(push_fixture_pay(&relay, &payment, proof, sizeof(proof), "{}"), STORE_PAYMENT_STORED);
}

static void expect_recorded_payment(struct ws_client *client, const char *text, bool with_linked_account)
{
    json_t *recorded = json_loads(text, 0, NULL), *message = json_object_get(recorded, "message");
    char *again = print_like_a_node(recorded);
    assert_string_equal(again, text); /* so that printing loses nothing */
    free(again);
    const json_t *block = json_object_get(message, "block");
    if (block != NULL && is_send(block)) {
        submit_recorded(message, block);
        char *expected = what_we_can_know(recorded, with_linked_account);
        expect_as_recorded(client, expected);
        free(expected);
    }
    json_decref(recorded);
}

/* Where the node said nothing, and what we say; where we say something else than the node; and what we say besides. */
static const struct {
    const char *file, *request, *words; /* the request has this in it; or is it, after a = */
    bool besides;
} DIFFERENT[] = {
    {"ws-default.txt", "nonsense", "\"topic\" nonsense is not served here", false},
    {"ws-default.txt", "update", "made without \"options\"", false},
    {"ws-default.txt", "new_unconfirmed_block", "not served here; confirmation is", false},
    {"ws-badaccount.txt", "nano_bad",
     "1 in \"accounts\" is no Nano account and was left out; the first is nano_bad", true},
    {"ws-binary-ping.txt", "just a string", "JSON", false},
    {"ws-binary-ping.txt", "[1,2]", "no JSON object", false},
    {"ws-binary-ping.txt", "{\"action\":\"subscribe\",\"ack\":true}", "\"topic\" is not served here", false},
    {"ws-malformed.txt", "={\"action\":", "not well-formed JSON", false},
    {"ws-malformed.txt", "after", NULL, false}, /* the node was gone by then */
};

static bool is_meant(const char *text, const char *request_text)
{
    return request_text[0] == '=' ? strcmp(text, request_text + 1) == 0 : strstr(text, request_text) != NULL;
}

/* Says what was said and expects what was answered. True when something was announced. */
static bool replay(const char *file, struct ws_client *client)
{
    struct recorded_ws recorded;
    bool announced = false, linked = false;
    recorded_ws_read(SOURCE_DIR, file, &recorded);
    for (size_t i = 0; i < recorded.count; i++) {
        const char *text = recorded.items[i].text;
        bool is_ack = recorded.items[i].from_node && strstr(text, "\"ack\": ") != NULL;
        if (recorded.items[i].from_node && !is_ack) {
            bool is_ours = strstr(text, "\"topic\": \"confirmation\"") != NULL;
            announced |= is_ours;
            if (is_ours) {
                expect_recorded_payment(client, text, linked);
            }
            continue;
        }
        assert_false(is_ack); /* taken with its request */
        ws_client_send(client, text);
        linked |= strstr(text, "include_linked_account") != NULL;
        const char *next =
            i + 1 < recorded.count && recorded.items[i + 1].from_node ? recorded.items[i + 1].text : "";
        bool acked = strstr(next, "\"ack\": ") != NULL, errs = false;
        for (size_t j = 0; j < sizeof(DIFFERENT) / sizeof(DIFFERENT[0]); j++) {
            if (strcmp(DIFFERENT[j].file, file) != 0 || !is_meant(text, DIFFERENT[j].request)) {
                continue;
            }
            errs = true;
            if (DIFFERENT[j].besides) {
                expect_as_recorded(client, next);
            }
            if (DIFFERENT[j].words == NULL) {
                expect_ack(client, "pong", "after");
            } else {
                json_t *said = json_loads(text, JSON_DECODE_ANY, NULL);
                expect_error(client, DIFFERENT[j].words, json_string_value(json_object_get(said, "id")));
                json_decref(said);
            }
        }
        if (!errs) {
            assert_true(acked);
            expect_as_recorded(client, next);
        }
        i += acked;
    }
    recorded_ws_free(&recorded);
    return announced;
}

static void every_recorded_session_goes_as_with_the_node_to_the_byte(void **state)
{
    (void)state;
    static const char *const files[] = {
        "ws-default.txt",      "ws-full.txt",          "ws-active-only.txt",
        "ws-filter-D.txt",     "ws-filter-update.txt", "ws-options-empty-then-update.txt",
        "ws-resubscribe.txt",  "inactive-ws.txt",      "ws-badaccount.txt",
        "ws-binary-ping.txt",  "ws-malformed.txt",     "ws-filter-B.txt",
        "ws-filter-empty.txt", "ws-inactive-only.txt"};
    int silent = 0;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        start(NULL);
        struct ws_client *client = dial();
        if (!replay(files[i], client)) {
            silent++;
        }
        expect_nothing(client);
        ws_client_close(client);
        push_fixture_close(&relay);
    }
    assert_int_equal(silent, 6);
}

/* The block that the node announced to those whose filter let it through. */
static void what_a_recorded_filter_kept_out_is_kept_out(void **state)
{
    (void)state;
    static const char *const files[] = {"ws-filter-B.txt", "ws-filter-empty.txt", "ws-inactive-only.txt",
                                        "ws-badaccount.txt"};
    struct recorded_ws other;
    recorded_ws_read(SOURCE_DIR, "ws-filter-D.txt", &other);
    json_t *object = json_loads(other.items[2].text, 0, NULL), *message = json_object_get(object, "message");
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        start(NULL);
        struct ws_client *client = dial();
        assert_false(replay(files[i], client));
        submit_recorded(message, json_object_get(message, "block"));
        expect_nothing(client);
        ws_client_close(client);
        push_fixture_close(&relay);
    }
    json_decref(object);
    recorded_ws_free(&other);
}

static void without_the_block_a_message_is_as_recorded(void **state)
{
    (void)state;
    struct recorded_ws recorded, other;
    recorded_ws_read(SOURCE_DIR, "ws-noblock.txt", &recorded);
    recorded_ws_read(SOURCE_DIR, "ws-filter-D.txt", &other);
    json_t *object = json_loads(other.items[2].text, 0, NULL), *message = json_object_get(object, "message");
    struct ws_client *client = dial();
    ws_client_send(client, recorded.items[0].text);
    expect_as_recorded(client, recorded.items[1].text);
    submit_recorded(message, json_object_get(message, "block"));
    expect_as_recorded(client, recorded.items[2].text);
    ws_client_close(client);
    json_decref(object);
    recorded_ws_free(&recorded);
    recorded_ws_free(&other);
}

static void a_filter_works_without_the_block_and_on_legacy_sends_where_the_nodes_does_not(void **state)
{
    (void)state;
    struct recorded_ws recorded;
    struct ws_client *client = dial();
    assert_false(replay("ws-filter-noblock.txt", client));
    recorded_ws_read(SOURCE_DIR, "ws-filter-D.txt", &recorded);
    json_t *object = json_loads(recorded.items[2].text, 0, NULL),
           *message = json_object_get(object, "message");
    submit_recorded(message, json_object_get(message, "block"));
    json_t *received = await_object(client);
    json_object_del(message, "block");
    assert_true(json_equal(json_object_get(received, "message"), message));
    json_decref(received);
    json_decref(object);
    recorded_ws_free(&recorded);

    recorded_ws_read(SOURCE_DIR, "ws-default.txt", &recorded);
    for (size_t i = 0; i < recorded.count; i++) {
        object = json_loads(recorded.items[i].text, 0, NULL);
        message = json_object_get(object, "message");
        const json_t *block = json_object_get(message, "block");
        const char *type = json_string_value(json_object_get(block, "type"));
        if (type != NULL && strcmp(type, "send") == 0) {
            char text[512];
            snprintf(text, sizeof(text), SUBSCRIBE ",\"options\":{\"accounts\":[\"%s\"]}}",
                     json_string_value(json_object_get(block, "destination")));
            ws_client_send(client, text);
            expect_ack(client, "subscribe", "s");
            submit_recorded(message, block);
            expect_as_recorded(client, recorded.items[i].text);
            json_decref(object);
            recorded_ws_free(&recorded);
            ws_client_close(client);
            return;
        }
        json_decref(object);
    }
    fail_msg("no legacy send was recorded");
}

/* ---- what is read ------------------------------------------------------------------------------------------------- */

static enum nano_verdict read_text(const char *text, struct nano_request *request_read)
{
    return nano_read(text, strlen(text), request_read);
}

static void values_are_taken_as_leniently_as_the_node_takes_them(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        bool ack;
        const char *id;
        bool include_block, filtered;
        uint8_t types;
        const char *error;
    } cases[] = {
        {"", false, NULL, true, false, 3, ""},
        {",\"ack\":true,\"id\":7", true, "7", true, false, 3, ""},
        {",\"ack\":\"true\",\"id\":\"\"", true, NULL, true, false, 3, ""},
        {",\"ack\":1,\"id\":null", true, "null", true, false, 3, ""},
        {",\"ack\":\"yes\",\"id\":{}", false, NULL, true, false, 3, ""},
        {",\"options\":{\"include_block\":\"false\",\"confirmation_type\":\"ACTIVE\"}", false, NULL, false,
         false, 1, ""},
        {",\"options\":{\"include_block\":0,\"confirmation_type\":\"inactive\"}", false, NULL, false, false,
         2, ""},
        {",\"options\":{\"include_block\":\"no\"}", false, NULL, true, false, 3,
         "\"include_block\" is neither"},
        {",\"options\":{\"confirmation_type\":\"active_confirmation_height\"}", false, NULL, true, false, 0,
         ""},
        {",\"options\":{\"confirmation_type\":\"soon\"}", false, NULL, true, false, 3,
         "confirmation_type soon is none of"},
        {",\"options\":{\"confirmation_type\":7}", false, NULL, true, false, 3,
         "confirmation_type is none of"},
        {",\"options\":{\"all_local_accounts\":true}", false, NULL, true, true, 3, ""},
        {",\"options\":{\"all_local_accounts\":false}", false, NULL, true, true, 3, ""},
        {",\"options\":{\"all_local_accounts\":[]}", false, NULL, true, false, 3,
         "\"all_local_accounts\" is neither"},
        {",\"options\":{\"accounts\":\"nano_1\"}", false, NULL, true, true, 3, "\"accounts\" is no list"},
        {",\"options\":{\"accounts\":[7,\"nano_1\"]}", false, NULL, true, true, 3,
         "2 in \"accounts\" are no Nano account and were left out; the first is not printable"},
        {",\"options\":7", false, NULL, true, false, 3, "\"options\" is no object"},
        {",\"options\":{\"include_election_info_with_votes\":true,\"include_sideband_info\":true}", false,
         NULL, true, false, 3, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nano_request read;
        char text[256];
        snprintf(text, sizeof(text), "{\"action\":\"subscribe\",\"topic\":\"confirmation\"%s}",
                 cases[i].members);
        assert_int_equal(read_text(text, &read), NANO_REQUEST);
        assert_int_equal(read.ack, cases[i].ack);
        assert_int_equal(read.id != NULL, cases[i].id != NULL);
        if (read.id != NULL) {
            assert_string_equal(read.id, cases[i].id);
        }
        assert_int_equal(read.options.include_block, cases[i].include_block);
        assert_int_equal(read.options.filtered, cases[i].filtered);
        assert_int_equal(read.options.types, cases[i].types);
        assert_int_equal(read.options.given, strstr(text, "options") != NULL);
        if (strncmp(read.error, cases[i].error, strlen(cases[i].error)) != 0 ||
            (cases[i].error[0] == '\0' && read.error[0] != '\0')) {
            fail_msg("%s: \"%s\" is not \"%s…\"", text, read.error, cases[i].error);
        }
        nano_request_fini(&read);
    }
}

static void what_cannot_be_done_is_told_from_what_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum nano_verdict verdict;
        const char *words;
    } cases[] = {
        {"", NANO_MALFORMED, "JSON"},
        {"{\"action\":", NANO_MALFORMED, "JSON"},
        {"\"ping\"", NANO_MALFORMED, "JSON"},
        {"{\"a\":\"\xff\"}", NANO_MALFORMED, "JSON"},
        {"[[[[[[[[[[]]]]]]]]]]", NANO_MALFORMED, "nested"},
        {"[]", NANO_REFUSED, "no JSON object"},
        {"{}", NANO_REFUSED, "\"action\" is none of subscribe"},
        {"{\"action\":7}", NANO_REFUSED, "\"action\" is none of subscribe"},
        {"{\"action\":\"Subscribe\"}", NANO_REFUSED, "\"action\" Subscribe is none of subscribe"},
        {"{\"action\":\"\\u00e9\"}", NANO_REFUSED, "\"action\" is none of subscribe"},
        {"{\"action\":\"update\"}", NANO_REFUSED, "\"topic\" is not served here"},
        {"{\"action\":\"unsubscribe\",\"topic\":\"vote\"}", NANO_REFUSED,
         "\"topic\" vote is not served here"},
        {"{\"action\":\"subscribe\",\"topic\":[]}", NANO_REFUSED, "\"topic\" is not served here"},
        {"{\"action\":\"ping\",\"topic\":\"vote\"}", NANO_REQUEST, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nano_request read;
        assert_int_equal(read_text(cases[i].text, &read), cases[i].verdict);
        if (strstr(read.error, cases[i].words) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, read.error, cases[i].words);
        }
        nano_request_fini(&read);
    }
}

static void what_goes_back_to_the_program_is_printed_as_boost_prints_it(void **state)
{
    (void)state;
    char *text = nano_print_ack(NANO_SUBSCRIBE, "a/b\"\\\x01\x7f\xc3\xa9", 1795193519924);
    assert_string_equal(text, "{\n    \"ack\": \"subscribe\",\n    \"time\": \"1795193519924\",\n"
                              "    \"id\": \"a\\/b\\\"\\\\\\u0001\x7f\xc3\xa9\"\n}\n");
    free(text);
    text = nano_print_error("what was wrong", NULL);
    assert_string_equal(text, "{\n    \"error\": \"what was wrong\"\n}\n");
    free(text);
}

/* ---- who hears what ----------------------------------------------------------------------------------------------- */

static void without_a_filter_every_stored_payment_is_heard_whoever_it_is_for(void **state)
{
    (void)state;
    struct ws_client *client = dial(), *other = dial();
    ws_client_send(client, SUBSCRIBE "}");
    expect_ack(client, "subscribe", "s");
    make_account_known(1);
    struct payment payment = pay_to(1);
    expect_payment(client, &payment);
    assert_int_equal(push_fixture_pay(&relay, &payment, NULL, 0, "{}"), STORE_PAYMENT_DUPLICATE);
    struct payment stray = push_fixture_payment_to(&relay, 2);
    assert_int_equal(push_fixture_pay(&relay, &stray, NULL, 0, "{}"), STORE_PAYMENT_UNMATCHED);
    const struct store_heard unheard = {.payment = &stray}; /* a device's, to which nobody listens */
    push_post_heard(relay.push, &unheard);
    expect_payment(client, &stray);
    expect_nothing(client);
    expect_nothing(other); /* it has not subscribed */
    assert_true(metric_is("coinslot_nano_api_forwarded_total 2"));
    assert_true(metric_is("coinslot_nano_api_sessions 2"));
    ws_client_close(client);
    ws_client_close(other);
    await_metric("coinslot_nano_api_sessions 0");
}

static void an_account_of_a_filter_enters_the_index_and_hears_what_it_gets_and_what_it_pays(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    char *text = request(SUBSCRIBE ",\"options\":{\"accounts\":[", 1, 4, true, ",\"nano_1typo\"]}}");
    ws_client_send(client, text);
    free(text);
    expect_ack(client, "subscribe", "s");
    expect_error(client, "the first is nano_1typo", "s");
    assert_true(is_known(1) && is_known(3) && !is_known(4));
    struct payment payment = pay_to(2);
    expect_payment(client, &payment);
    make_account_known(4);
    pay_to(4);
    payment = push_fixture_payment_to(&relay, 4);
    payment.from = push_fixture_account(3);
    store_payment(&payment);
    expect_payment(client, &payment);
    payment = push_fixture_payment_to(&relay, 1);
    payment.from = push_fixture_account(2); /* both are in it: told once */
    store_payment(&payment);
    expect_payment(client, &payment);
    expect_nothing(client);
    ws_client_close(client);
    await_metric("coinslot_nano_api_accounts 0");
    step();
    assert_false(is_known(1));
}

static void the_ack_comes_when_the_store_listens_and_what_was_said_after_it_waits(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    filter_for(client, 0, 20); /* more than the store's inbox takes */
    ws_client_send(client, "{\"action\":\"ping\",\"id\":\"p\"}");
    update(client, "accounts_del", 0, 10);
    push_fixture_await_inbox(&relay, PUSH_FIXTURE_INBOX);
    expect_nothing(client);
    expect_ack(client, "subscribe", "s");
    expect_ack(client, "pong", "p");
    expect_ack(client, "update", "u");
    await_metric("coinslot_nano_api_accounts 10");
    struct payment payment = pay_to(19);
    expect_payment(client, &payment);
    ws_client_close(client);
}

static void subscribing_again_replaces_filter_and_options_and_unsubscribing_ends_both(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    filter_for(client, 1, 3);
    expect_ack(client, "subscribe", "s");
    filter_for(client, 2, 4);
    expect_ack(client, "subscribe", "s");
    await_metric("coinslot_nano_api_accounts 2");
    step();
    assert_true(!is_known(1) && is_known(2) && is_known(3));
    ws_client_send(client, SUBSCRIBE ",\"options\":{\"confirmation_type\":\"inactive\"}}");
    expect_ack(client, "subscribe", "s");
    await_metric("coinslot_nano_api_accounts 0");
    make_account_known(5);
    pay_to(5); /* it came by callback */
    struct payment payment = push_fixture_payment_to(&relay, 5);
    payment.source = SOURCE_BACKFILL;
    store_payment(&payment);
    expect_payment(client, &payment);
    for (int i = 0; i < 2; i++) { /* the second time for nothing, as with the node */
        ws_client_send(client, "{\"action\":\"unsubscribe\",\"topic\":\"confirmation\",\"ack\":true}");
        expect_ack(client, "unsubscribe", NULL);
    }
    payment = push_fixture_payment_to(&relay, 5);
    payment.source = SOURCE_BACKFILL;
    store_payment(&payment);
    expect_nothing(client);
    ws_client_close(client);
}

static void an_update_adds_and_removes_and_makes_a_filter_where_there_was_none(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    ws_client_send(client, SUBSCRIBE ",\"options\":{}}");
    expect_ack(client, "subscribe", "s");
    update(client, "accounts_add", 1, 3);
    expect_ack(client, "update", "u");
    make_account_known(7);
    pay_to(7);
    struct payment payment = pay_to(2);
    expect_payment(client, &payment);
    update(client, "accounts_del", 2, 9);
    expect_ack(client, "update", "u");
    await_metric("coinslot_nano_api_accounts 1");
    payment = pay_to(1);
    expect_payment(client, &payment);
    update(client, "accounts_del", 1, 2);
    expect_ack(client, "update", "u");
    make_account_known(1);
    pay_to(1); /* an empty filter lets nothing through */
    expect_nothing(client);
    ws_client_close(client);
}

static void an_update_that_the_node_would_ignore_is_answered_and_changes_nothing(void **state)
{
    (void)state;
    static const char bare[] = "{\"action\":\"update\",\"topic\":\"confirmation\",\"id\":\"u\"}";
    struct ws_client *client = dial();
    update(client, "accounts_add", 1, 2);
    expect_error(client, "subscribe to confirmation first", "u");
    ws_client_send(client, SUBSCRIBE "}");
    expect_ack(client, "subscribe", "s");
    update(client, "accounts_add", 1, 2);
    expect_error(client, "made without \"options\"", "u");
    make_account_known(3);
    struct payment payment = pay_to(3);
    expect_payment(client, &payment);
    ws_client_send(client, SUBSCRIBE ",\"options\":{}}");
    expect_ack(client, "subscribe", "s");
    ws_client_send(client, bare);
    expect_error(client, "has to have \"options\"", "u");
    payment = pay_to(3);
    expect_payment(client, &payment);
    ws_client_close(client);
}

static void several_sessions_share_accounts_each_in_its_own_form(void **state)
{
    (void)state;
    struct ws_client *all = dial(), *first = dial(), *second = dial();
    ws_client_send(all, SUBSCRIBE ",\"options\":{\"include_block\":false}}");
    filter_for(first, 1, 2);
    filter_for(second, 1, 3);
    expect_ack(all, "subscribe", "s");
    expect_ack(first, "subscribe", "s");
    expect_ack(second, "subscribe", "s");
    struct payment payment = pay_to(1);
    expect_payment(all, &payment);
    expect_payment(first, &payment);
    expect_payment(second, &payment);
    ws_client_close(first);
    await_metric("coinslot_nano_api_accounts 2");
    assert_true(is_known(1));
    payment = pay_to(1);
    expect_payment(all, &payment);
    expect_payment(second, &payment);
    ws_client_close(second);
    ws_client_close(all);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static void past_nano_accounts_a_request_is_refused_whole(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    filter_for(client, 0, 19);
    expect_ack(client, "subscribe", "s");
    update(client, "accounts_add", 17, 21); /* two of them are new */
    expect_error(client, "20 accounts at most", "u");
    update(client, "accounts_add", 17, 20);
    expect_ack(client, "update", "u");
    await_metric("coinslot_nano_api_accounts 20");
    filter_for(client, 40, 61);
    expect_error(client, "20 accounts at most", "s");
    assert_true(is_known(0) && !is_known(40));
    struct payment payment = pay_to(19);
    expect_payment(client, &payment);
    ws_client_close(client);
}

static void malformed_messages_are_answered_and_only_many_in_a_row_end_the_session(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < NANO_MALFORMED_MOST - 1; j++) {
            ws_client_send(client, "{\"action\":");
            expect_error(client, "not well-formed JSON", NULL);
        }
        ws_client_send(client, "{\"action\":\"nonsense\",\"id\":3}");
        expect_error(client, "nonsense", "3");
    }
    for (int j = 0; j < NANO_MALFORMED_MOST; j++) {
        ws_client_send_frame(client, 0x82, "\xff\xfe", 2); /* binary, which the node reads as well */
        expect_error(client, "not well-formed JSON", NULL);
    }
    expect_close(client, 1008);
    assert_true(metric_is("coinslot_nano_api_refused_total{reason=\"message\"} 40"));
}

static void a_message_may_be_as_long_as_a_full_filter_and_no_longer(void **state)
{
    (void)state;
    size_t room = 4096 + 20 * 80;
    struct ws_client *client = dial();
    char *text = cs_alloc(room + 2);
    memset(text, ' ', room + 1);
    static const char ping[] = "{\"action\":\"ping\"}";
    memcpy(text, ping, strlen(ping));
    text[room] = '\0';
    ws_client_send(client, text);
    expect_ack(client, "pong", NULL);
    text[room] = ' ';
    ws_client_send(client, text);
    expect_error(client, "longer than", NULL);
    expect_close(client, 1009);
    free(text);
}

static void a_program_that_takes_nothing_is_closed_and_the_others_go_on(void **state)
{
    (void)state;
    struct ws_client *slow = dial(), *other = dial();
    ws_client_send(slow, SUBSCRIBE "}");
    expect_ack(slow, "subscribe", "s");
    ws_client_send(other, SUBSCRIBE "}");
    expect_ack(other, "subscribe", "s");
    struct payment payment = push_fixture_payment_to(&relay, 1);
    const struct store_heard heard = {.payment = &payment};
    bool closed = false;
    for (int i = 0; i < 100000 && !closed; i++) {
        push_post_heard(relay.push, &heard);
        expect_payment(other, &payment);
        closed = metric_is("coinslot_nano_api_sessions 1");
    }
    await_metric("coinslot_nano_api_sessions 1");
    ws_client_close(slow);
    ws_client_close(other);
}

static void however_much_comes_at_once_a_program_that_reads_gets_it_all_in_order(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct ws_client *client = dial();
    ws_client_send(client, SUBSCRIBE ",\"options\":{\"include_block\":false}}");
    expect_ack(client, "subscribe", "s");
    struct payment payment = push_fixture_payment_to(&relay, 1);
    for (uint64_t i = 0; i < MANY; i++) {
        payment.amount.low = i;
        const struct store_heard heard = {.payment = &payment};
        push_post_heard(relay.push, &heard);
    }
    for (uint64_t i = 0; i < MANY; i++) {
        char amount[32];
        snprintf(amount, sizeof(amount), "%llu", (unsigned long long)i);
        json_t *object = await_object(client);
        assert_string_equal(json_string_value(json_object_get(json_object_get(object, "message"), "amount")),
                            amount);
        json_decref(object);
    }
    ws_client_close(client);
}

static void when_payments_were_dropped_who_should_have_heard_of_them_is_closed(void **state)
{
    (void)state;
    push_fixture_open(&relay, NULL);
    push_fixture_start(&relay);
    struct ws_client *subscribed = dial(), *idle = dial();
    ws_client_send(subscribed, SUBSCRIBE "}");
    expect_ack(subscribed, "subscribe", "s");
    char *notice = cs_alloc(17 << 20);
    struct payment payment = push_fixture_payment_to(&relay, 1);
    const struct store_heard heard = {.payment = &payment, .notice = notice, .notice_size = 17 << 20};
    push_post_heard(relay.push, &heard); /* it fits in no mailbox */
    free(notice);
    expect_close(subscribed, 1013);
    expect_nothing(idle);
    assert_true(metric_is("coinslot_heard_dropped_total 1"));
    ws_client_send(idle, SUBSCRIBE "}");
    expect_ack(idle, "subscribe", "s");
    sleep(2);
    expect_nothing(idle); /* what was lost was lost before it subscribed */
    ws_client_close(idle);
    push_fixture_close(&relay);
}

static void who_leaves_before_the_store_has_answered_leaves_nothing_behind(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    filter_for(client, 0, 20);
    push_fixture_await_inbox(&relay, PUSH_FIXTURE_INBOX);
    ws_client_close(client);
    await_metric("coinslot_nano_api_sessions 0"); /* nothing is read before the answer, not even the end */
    for (uint8_t i = 0; i < 20; i++) {
        for (int64_t until = push_fixture_now_ms() + PUSH_FIXTURE_WAIT_MS; is_known(i); usleep(1000)) {
            step();
            assert_true(push_fixture_now_ms() < until);
        }
    }
    await_metric("coinslot_nano_api_accounts 0");
}

static void ping_each_second(struct push_options *options)
{
    options->ping_interval_s = 1;
    options->ping_timeout_s = 1;
}

static void a_silent_program_is_pinged_and_a_deaf_one_is_cut(void **state)
{
    (void)state;
    start(ping_each_second);
    struct ws_client *silent = dial(), *deaf = dial();
    ws_client_ignore_pings(deaf);
    uint16_t code;
    assert_null(ws_client_receive(silent, 3500, &code)); /* and answers meanwhile */
    assert_int_equal(code, 1);
    assert_true(ws_client_pings(silent) >= 2);
    assert_null(ws_client_receive(deaf, 1000, &code));
    assert_int_not_equal(code, 1);
    ws_client_close(silent);
    ws_client_close(deaf);
    push_fixture_close(&relay);
}

/* ---- who is let in ------------------------------------------------------------------------------------------------ */

/* The status of the answer to an upgrade; `text` gets it whole. */
static int shake_hands(const char *target, const char *headers, char text[2048])
{
    char request_text[1024];
    snprintf(request_text, sizeof(request_text),
             "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%s"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             target, headers);
    int fd = wire_dial(relay.port), status = 0;
    wire_put(fd, request_text);
    memset(text, 0, 2048);
    ssize_t got = wire_get(fd, text, 2047, WIRE_WAIT_MS);
    assert_true(got > 0);
    if (strncmp(text, "HTTP/1.1 ", 9) == 0) {
        status = (int)strtol(text + 9, NULL, 10);
    }
    close(fd);
    return status;
}

static void switch_off(struct push_options *options)
{
    options->nano_api = POLICY_OFF;
    options->nano_accounts_most = 0;
}

static void when_it_is_off_the_answer_says_so(void **state)
{
    (void)state;
    char text[2048];
    start(switch_off);
    assert_int_equal(shake_hands("/nano", "", text), 404);
    assert_non_null(strstr(text, "switched off"));
    assert_true(metric_is("coinslot_nano_api_refused_total{reason=\"handshake\"} 1"));
    push_fixture_close(&relay);
}

static void open_means_programs_of_this_machine_on_its_own_path(void **state)
{
    (void)state;
    static const struct {
        const char *target, *headers;
        int status;
    } cases[] = {
        {"/nano", "", 101},
        {"/nano?api_key=whatever", "", 101},
        {"/nano", "Origin: http://localhost:7091\r\n", 101},
        {"/nano", "Sec-WebSocket-Protocol: arduino\r\n", 101},
        {"/nano", "Sec-WebSocket-Protocol: coinslot.v1\r\n", 400},
        {"/nano", "Sec-WebSocket-Protocol: chat\r\n", 400},
        {"/nano", "Origin: http://evil.example\r\n", 403},
        {"/nano", "X-Forwarded-For: 127.0.0.1\r\n", 403},
        {"/nano", "Forwarded: for=192.0.2.1\r\n", 403},
        {"/nano", "Via: 1.1 proxy\r\n", 403},
        {"/nano/", "", 404},
        {"/call", "", 101},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        int status = shake_hands(cases[i].target, cases[i].headers, text);
        if (status != cases[i].status) {
            fail_msg("%s %s: %d", cases[i].target, cases[i].headers, status);
        }
        if (status == 403) {
            assert_non_null(strstr(text, "nano_api = key"));
        }
    }
}

static void want_keys(struct push_options *options)
{
    ping_each_second(options);
    options->nano_api = POLICY_KEY;
}

static void with_keys_a_token_in_header_or_query_is_needed_and_has_to_stay_valid(void **state)
{
    (void)state;
    static const struct {
        const char *target, *headers;
        int status;
    } cases[] = {
        {"/nano", "", 401},
        {"/nano?api_key=", "", 401},
        {"/nano?api_key=token_0x", "", 401},
        {"/nano?x=1&api_key=token_0&y=2", "", 101},
        {"/nano?api_key=token%5f0", "", 101},
        {"/nano", "Authorization: Bearer token_0\r\n", 101},
        {"/nano", "authorization: bearer token_0\r\n", 101},
        {"/nano", "Authorization: Bearer token_1\r\n", 401},
        {"/nano", "Authorization: Basic token_0\r\n", 401},
        {"/nano?api_key=token_0", "X-Forwarded-For: 192.0.2.1\r\n", 101},
    };
    start(want_keys);
    struct store_api_token token = push_fixture_make_token(&relay, "token_0", ROLE_VIEWER);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        int status = shake_hands(cases[i].target, cases[i].headers, text);
        if (status != cases[i].status) {
            fail_msg("%s %s: %d", cases[i].target, cases[i].headers, status);
        }
    }
    struct ws_client *client = dial_at("/nano?api_key=token_0");
    sleep(2); /* it is looked at again meanwhile */
    ws_client_send(client, "{\"action\":\"ping\"}");
    expect_ack(client, "pong", NULL);
    assert_int_equal(store_revoke_api_token(relay.store, token.id), CS_OK);
    expect_error(client, "revoked", NULL);
    expect_close(client, 1008);
    push_fixture_close(&relay);
}

#define WITH_RELAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_session_goes_as_with_the_node_to_the_byte),
        cmocka_unit_test(what_a_recorded_filter_kept_out_is_kept_out),
        WITH_RELAY(without_the_block_a_message_is_as_recorded),
        WITH_RELAY(a_filter_works_without_the_block_and_on_legacy_sends_where_the_nodes_does_not),
        cmocka_unit_test(values_are_taken_as_leniently_as_the_node_takes_them),
        cmocka_unit_test(what_cannot_be_done_is_told_from_what_cannot_be_read),
        cmocka_unit_test(what_goes_back_to_the_program_is_printed_as_boost_prints_it),
        WITH_RELAY(without_a_filter_every_stored_payment_is_heard_whoever_it_is_for),
        WITH_RELAY(an_account_of_a_filter_enters_the_index_and_hears_what_it_gets_and_what_it_pays),
        WITH_RELAY(the_ack_comes_when_the_store_listens_and_what_was_said_after_it_waits),
        WITH_RELAY(subscribing_again_replaces_filter_and_options_and_unsubscribing_ends_both),
        WITH_RELAY(an_update_adds_and_removes_and_makes_a_filter_where_there_was_none),
        WITH_RELAY(an_update_that_the_node_would_ignore_is_answered_and_changes_nothing),
        WITH_RELAY(several_sessions_share_accounts_each_in_its_own_form),
        WITH_RELAY(past_nano_accounts_a_request_is_refused_whole),
        WITH_RELAY(malformed_messages_are_answered_and_only_many_in_a_row_end_the_session),
        WITH_RELAY(a_message_may_be_as_long_as_a_full_filter_and_no_longer),
        WITH_RELAY(a_program_that_takes_nothing_is_closed_and_the_others_go_on),
        WITH_RELAY(however_much_comes_at_once_a_program_that_reads_gets_it_all_in_order),
        cmocka_unit_test(when_payments_were_dropped_who_should_have_heard_of_them_is_closed),
        WITH_RELAY(who_leaves_before_the_store_has_answered_leaves_nothing_behind),
        cmocka_unit_test(a_silent_program_is_pinged_and_a_deaf_one_is_cut),
        cmocka_unit_test(when_it_is_off_the_answer_says_so),
        WITH_RELAY(open_means_programs_of_this_machine_on_its_own_path),
        cmocka_unit_test(with_keys_a_token_in_header_or_query_is_needed_and_has_to_stay_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
