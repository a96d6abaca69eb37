/* The legacy protocol over real sockets (lib/push_fixture.h). */
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
#include "lib/recorded.h"
#include "lib/wire.h"
#include "lib/ws_client.h"
#include "push/legacy.h"
#include "push/legacy_frames.h"
#include "push/push.h"

#define INBOX   PUSH_FIXTURE_INBOX
#define WAIT_MS PUSH_FIXTURE_WAIT_MS

/* ---- the relay --------------------------------------------------------------------------------------------------- */

static struct push_fixture relay;

static void start(void (*change)(struct push_options *options))
{
    push_fixture_open(&relay, change);
    push_fixture_start(&relay);
}

static void stop(void)
{
    push_fixture_close(&relay);
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
    stop();
    return 0;
}

static int64_t now_ms(void)
{
    return push_fixture_now_ms();
}

static void step(void)
{
    push_fixture_step(&relay);
}

static bool metric_is(const char *line)
{
    return push_fixture_metric_is(&relay, line);
}

static void await_metric(const char *line, bool stepping)
{
    push_fixture_await_metric(&relay, line, stepping);
}

static void await_inbox(int64_t count)
{
    push_fixture_await_inbox(&relay, count);
}

static struct address account(uint8_t number)
{
    return push_fixture_account(number);
}

static bool is_known(uint8_t number)
{
    struct address address = account(number);
    return store_knows_address(relay.store, &address);
}

static struct payment payment_to(uint8_t number)
{
    return push_fixture_payment_to(&relay, number);
}

static enum store_payment_outcome pay(const struct payment *payment, const char *notice)
{
    return push_fixture_pay(&relay, payment, NULL, 0, notice);
}

static void pay_to(uint8_t number, const char *notice)
{
    struct payment payment = payment_to(number);
    assert_int_equal(pay(&payment, notice), STORE_PAYMENT_STORED);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static struct ws_client *dial(const char *subprotocol)
{
    int status;
    struct ws_client *client = ws_client_open(relay.port, "/call", subprotocol, &status);
    assert_int_equal(status, 101);
    return client;
}

static void say_address(struct ws_client *client, const char *prefix, uint8_t number, const char *key)
{
    struct address address = account(number);
    char text[ADDRESS_TEXT_SIZE], message[256];
    address_format(&address, text);
    snprintf(message, sizeof(message), "{\"address\": \"%s%s\", \"api_key\": \"%s\"}", prefix, text + 5, key);
    ws_client_send(client, message);
}

static void say(struct ws_client *client, uint8_t number)
{
    say_address(client, "nano_", number, "0");
}

static const char *await_text(struct ws_client *client)
{
    uint16_t code;
    const char *text = ws_client_receive(client, WS_CLIENT_WAIT_MS, &code);
    if (text == NULL) {
        fail_msg("closed with %u where a message was expected", code);
    }
    return text;
}

static void expect(struct ws_client *client, const char *wanted)
{
    assert_string_equal(await_text(client), wanted);
}

/* An object that names nothing but the error, which holds these words. */
static void expect_error(struct ws_client *client, const char *words)
{
    json_t *object = json_loads(await_text(client), 0, NULL);
    assert_true(json_is_object(object));
    assert_int_equal(json_object_size(object), 1);
    const char *error = json_string_value(json_object_get(object, "error"));
    assert_non_null(error);
    if (strstr(error, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", error, words);
    }
    json_decref(object);
}

static void expect_nothing(struct ws_client *client)
{
    uint16_t code;
    const char *text = ws_client_receive(client, 200, &code);
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

/* ---- what is read and built, without sockets ---------------------------------------------------------------------- */

static enum legacy_message read_text(const char *text, struct legacy_request *request,
                                     char error[LEGACY_ERROR_SIZE])
{
    return legacy_read(text, strlen(text), request, error);
}

static void the_bare_greeting_of_the_first_clients_is_no_error(void **state)
{
    (void)state;
    struct legacy_request request;
    char error[LEGACY_ERROR_SIZE];
    assert_int_equal(read_text("Connected", &request, error), LEGACY_NOTHING);
    assert_int_equal(read_text("Connected!", &request, error), LEGACY_MALFORMED);
    assert_int_equal(read_text("connected", &request, error), LEGACY_MALFORMED);
}

static void every_spelling_of_an_address_is_read(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"nano_", "xrb_", "nano-", "xrb-"};
    struct address address = account(3);
    char text[ADDRESS_TEXT_SIZE], message[256], error[LEGACY_ERROR_SIZE];
    address_format(&address, text);
    for (size_t i = 0; i < 4; i++) {
        struct legacy_request request;
        snprintf(message, sizeof(message), "{\"api_key\":\"k%zu\",\"more\":[1],\"address\":\"%s%s\"}\r\n", i,
                 prefixes[i], text + 5);
        assert_int_equal(read_text(message, &request, error), LEGACY_REQUEST);
        assert_true(request.has_address);
        assert_true(address_equal(&request.address, &address));
        assert_string_equal(error, "");
        assert_int_equal(request.api_key[1], '0' + (int)i);
    }
}

static void what_is_wrong_with_a_message_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *message;
        enum legacy_message kind;
        const char *words;
    } cases[] = {
        {"", LEGACY_MALFORMED, "no JSON object"},
        {"{", LEGACY_MALFORMED, "no JSON object"},
        {"[]", LEGACY_MALFORMED, "no JSON object"},
        {"7", LEGACY_MALFORMED, "no JSON object"},
        {"\"nano_1\"", LEGACY_MALFORMED, "no JSON object"},
        {"{\"a\":[[[[[]]]]]}", LEGACY_MALFORMED, "no JSON object"},
        {"{\"address\":\"\xff\"}", LEGACY_MALFORMED, "no JSON object"},
        {"{\"address\":\"a\",\"address\":\"b\"}", LEGACY_MALFORMED, "no JSON object"},
        {"{}", LEGACY_REQUEST, "\"address\" is missing"},
        {"{\"api_key\":\"0\"}", LEGACY_REQUEST, "\"address\" is missing"},
        {"{\"address\":null}", LEGACY_REQUEST, "\"address\" is missing"},
        {"{\"address\":[\"nano_1\"]}", LEGACY_REQUEST, "\"address\" is missing"},
        {"{\"address\":\"\"}", LEGACY_REQUEST, "no Nano address"},
        {"{\"address\":\"nano_1typo\"}", LEGACY_REQUEST, "nano_1typo is no Nano address"},
        {"{\"address\":\"nano_\\u00e9\"}", LEGACY_REQUEST, "\"address\" is no Nano address"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct legacy_request request;
        char error[LEGACY_ERROR_SIZE];
        assert_int_equal(read_text(cases[i].message, &request, error), cases[i].kind);
        assert_false(request.has_address);
        if (strstr(error, cases[i].words) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].message, error, cases[i].words);
        }
        char *printed = legacy_print_error(error);
        json_t *object = json_loads(printed, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(object, "error")), error);
        json_decref(object);
        free(printed);
    }
}

static void a_key_that_is_no_text_or_too_long_is_none(void **state)
{
    (void)state;
    struct legacy_request request;
    char error[LEGACY_ERROR_SIZE], message[400], key[131];
    assert_int_equal(read_text("{\"api_key\":0}", &request, error), LEGACY_REQUEST);
    assert_string_equal(request.api_key, "");
    memset(key, 'k', sizeof(key));
    key[129] = '\0';
    snprintf(message, sizeof(message), "{\"api_key\":\"%s\"}", key);
    assert_int_equal(read_text(message, &request, error), LEGACY_REQUEST);
    assert_string_equal(request.api_key, "");
    key[128] = '\0';
    snprintf(message, sizeof(message), "{\"api_key\":\"%s\"}", key);
    assert_int_equal(read_text(message, &request, error), LEGACY_REQUEST);
    assert_string_equal(request.api_key, key);
}

/* The same names in the same order, as far as they can be known, with the same values as the node gave. */
static void what_is_built_from_a_payment_has_the_form_of_the_recorded_callback(void **state)
{
    (void)state;
    const struct recorded *one = RECORDED;
    while (!one->is_send || one->type != BLOCK_STATE) {
        one++;
    }
    json_t *recorded = recorded_read(SOURCE_DIR, one->file);
    json_t *block = json_loads(json_string_value(json_object_get(recorded, "block")), 0, NULL);
    assert_string_equal(json_string_value(json_object_get(recorded, "subtype")), "send");
    struct payment payment = {.source = SOURCE_NANO_WS};
    const char *hash = json_string_value(json_object_get(recorded, "hash"));
    assert_true(hex_decode(hash, payment.hash, sizeof(payment.hash)));
    assert_true(amount_parse_raw(json_string_value(json_object_get(recorded, "amount")), &payment.amount));
    assert_true(
        address_parse(CHAIN_NANO, json_string_value(json_object_get(recorded, "account")), &payment.from));
    assert_true(
        address_parse(CHAIN_NANO, json_string_value(json_object_get(block, "link_as_account")), &payment.to));

    char *text = legacy_print_payment(&payment);
    json_t *built = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *built_block =
        json_loads(json_string_value(json_object_get(built, "block")), JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_object_size(built_block), 4);
    const char *key;
    json_t *value;
    json_object_foreach(built_block, key, value)
    {
        assert_true(json_equal(value, json_object_get(block, key)));
    }
    json_object_set_new(recorded, "block", json_incref(json_object_get(built, "block")));
    assert_true(json_equal(built, recorded));
    char *as_printed = json_dumps(recorded, JSON_INDENT(4));
    assert_string_equal(text, as_printed);
    free(as_printed);
    json_decref(built_block);
    json_decref(built);
    free(text);

    payment.from.length = 0; /* a source may not know */
    text = legacy_print_payment(&payment);
    built = json_loads(text, 0, NULL);
    assert_null(json_object_get(built, "account"));
    assert_int_equal(json_object_size(built), 5);
    json_decref(built);
    free(text);
    json_decref(block);
    json_decref(recorded);
}

static void an_origin_is_local_only_if_no_web_page_could_have_it(void **state)
{
    (void)state;
    static const char *const local[] = {"file://", "http://127.0.0.1:7091", "http://localhost",
                                        "https://[::1]:7090", "HTTP://LOCALHOST:1"};
    static const char *const foreign[] = {"",
                                          "null",
                                          "file://x",
                                          "http://",
                                          "http://evil.example",
                                          "http://127.0.0.1.evil.example",
                                          "http://localhost.evil.example:7091",
                                          "http://evil.example/localhost",
                                          "http://localhost@evil.example",
                                          "ws://localhost",
                                          "localhost"};
    for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
        assert_true(legacy_is_local_origin(local[i]));
    }
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_false(legacy_is_local_origin(foreign[i]));
    }
}

/* ---- who gets what ------------------------------------------------------------------------------------------------ */

static void a_payment_is_forwarded_as_the_node_sent_it_and_once(void **state)
{
    (void)state;
    static const char notice[] = "{\n    \"account\": \"\xc3\xa9\",\n    \"amount\": \"5\"\n}\n";
    struct ws_client *client = dial(NULL);
    ws_client_send(client, "Connected");
    say(client, 1);
    await_metric("coinslot_legacy_addresses 1", true);
    assert_true(is_known(1));
    struct payment payment = payment_to(1);
    assert_int_equal(pay(&payment, notice), STORE_PAYMENT_STORED);
    expect(client, notice);
    assert_int_equal(pay(&payment, notice), STORE_PAYMENT_DUPLICATE);
    expect_nothing(client);
    pay_to(1, "{\"second\":1}");
    expect(client, "{\"second\":1}");
    assert_true(metric_is("coinslot_legacy_forwarded_total 2"));
    assert_true(metric_is("coinslot_legacy_sessions 1"));
    ws_client_close(client);
    await_metric("coinslot_legacy_sessions 0", true);
    await_metric("coinslot_legacy_addresses 0", true);
    step();
    assert_false(is_known(1));
}

static void news_that_came_without_a_callback_is_given_its_form(void **state)
{
    (void)state;
    struct ws_client *client = dial(NULL);
    say(client, 1);
    await_metric("coinslot_legacy_addresses 1", true);
    struct payment payment = payment_to(1);
    assert_int_equal(pay(&payment, NULL), STORE_PAYMENT_STORED);
    char *built = legacy_print_payment(&payment);
    expect(client, built);
    free(built);
    payment = payment_to(1);
    payment.source = SOURCE_NANO_WS; /* what a node's WebSocket says is no callback's object */
    assert_int_equal(pay(&payment, "{\"topic\":\"confirmation\"}"), STORE_PAYMENT_STORED);
    built = legacy_print_payment(&payment);
    expect(client, built);
    free(built);
    ws_client_close(client);
}

static void an_address_given_twice_in_two_spellings_is_one(void **state)
{
    (void)state;
    struct ws_client *client = dial("arduino");
    say_address(client, "xrb_", 1, "0");
    say(client, 1);
    say(client, 2);
    await_metric("coinslot_legacy_addresses 2", true);
    pay_to(1, "{\"one\":1}");
    pay_to(2, "{\"two\":2}");
    expect(client, "{\"one\":1}");
    expect(client, "{\"two\":2}");
    expect_nothing(client);
    ws_client_close(client);
}

static void several_clients_share_an_address_until_each_has_gone(void **state)
{
    (void)state;
    struct ws_client *first = dial(NULL), *second = dial("arduino"), *other = dial(NULL);
    say(first, 1);
    say(second, 1);
    say(other, 2);
    await_metric("coinslot_legacy_addresses 3", true);
    pay_to(1, "{\"n\":1}");
    expect(first, "{\"n\":1}");
    expect(second, "{\"n\":1}");
    ws_client_close(first);
    await_metric("coinslot_legacy_addresses 2", true);
    step();
    assert_true(is_known(1));
    pay_to(1, "{\"n\":2}");
    expect(second, "{\"n\":2}");
    ws_client_close(second);
    await_metric("coinslot_legacy_addresses 1", true);
    step();
    assert_false(is_known(1));
    struct payment unheard = payment_to(1);
    assert_int_equal(pay(&unheard, "{}"), STORE_PAYMENT_UNMATCHED);
    expect_nothing(other);
    ws_client_close(other);
}

static void many_addresses_of_many_clients_find_their_way(void **state)
{
    (void)state;
    struct ws_client *clients[10];
    for (uint8_t i = 0; i < 10; i++) {
        clients[i] = dial(NULL);
        for (uint8_t j = 0; j < 20; j++) {
            say(clients[i], (uint8_t)(i * 10 + j)); /* neighbours share ten */
        }
    }
    await_metric("coinslot_legacy_addresses 200", true);
    for (uint8_t number = 0; number < 110; number++) {
        char notice[32];
        snprintf(notice, sizeof(notice), "{\"to\":%u}", number);
        pay_to(number, notice);
        for (uint8_t i = 0; i < 10; i++) {
            if (number >= i * 10 && number < i * 10 + 20) {
                expect(clients[i], notice);
            }
        }
    }
    for (uint8_t i = 0; i < 10; i++) {
        ws_client_close(clients[i]);
    }
    await_metric("coinslot_legacy_addresses 0", true);
    for (uint8_t number = 0; number < 110; number++) {
        for (int64_t until = now_ms() + WAIT_MS; is_known(number); usleep(1000)) {
            step();
            assert_true(now_ms() < until);
        }
    }
}

/* ---- the store is busy, or full, or slow -------------------------------------------------------------------------- */

static void what_a_full_inbox_refuses_is_said_later_both_coming_and_going(void **state)
{
    (void)state;
    struct ws_client *client = dial(NULL);
    for (uint8_t i = 0; i < 20; i++) {
        say(client, i);
    }
    await_inbox(INBOX);
    await_metric("coinslot_legacy_addresses 20", true);
    ws_client_close(client); /* twenty unlistens, and the writer rests */
    await_metric("coinslot_legacy_addresses 0", false);
    await_inbox(INBOX);
    struct ws_client *next = dial(NULL);
    say(next, 3);
    await_metric("coinslot_legacy_addresses 1", true); /* it was behind the twenty */
    step();
    for (uint8_t i = 0; i < 20; i++) {
        assert_int_equal(is_known(i), i == 3);
    }
    ws_client_close(next);
}

static void who_leaves_before_the_store_has_answered_leaves_nothing_behind(void **state)
{
    (void)state;
    struct ws_client *client = dial(NULL);
    for (uint8_t i = 0; i < 20; i++) {
        say(client, i); /* eight are asked for, twelve wait */
    }
    await_inbox(INBOX);
    struct ws_client *witness = dial(NULL);
    say(witness, 99);
    await_metric("coinslot_legacy_sessions 2", false);
    ws_client_close(client);
    await_metric("coinslot_legacy_sessions 1", false);
    await_metric("coinslot_legacy_addresses 1", true);
    for (uint8_t i = 0; i < 20; i++) {
        for (int64_t until = now_ms() + WAIT_MS; is_known(i); usleep(1000)) {
            step();
            assert_true(now_ms() < until);
        }
    }
    assert_true(is_known(99));
    ws_client_close(witness);
}

static void stopping_waits_for_no_answer_of_the_store(void **state)
{
    (void)state;
    start(NULL);
    struct ws_client *client = dial(NULL);
    for (uint8_t i = 0; i < 20; i++) {
        say(client, i);
    }
    await_inbox(INBOX);
    ws_client_close(client);
    client = dial(NULL);
    say(client, 1);
    await_metric("coinslot_legacy_sessions 1", false);
    ws_client_close(client);
    int64_t began = now_ms();
    push_stop(relay.push);
    assert_true(now_ms() - began < 2000);
    stop(); /* the store answers the eight, and nobody is there */
}

/* ---- limits and errors -------------------------------------------------------------------------------------------- */

static void a_wrong_message_is_answered_and_the_session_goes_on(void **state)
{
    (void)state;
    struct ws_client *client = dial(NULL);
    ws_client_send(client, "nano_1");
    expect_error(client, "no JSON object");
    ws_client_send(client, "{\"address\":\"nano_1typo\",\"api_key\":\"0\"}");
    expect_error(client, "nano_1typo is no Nano address");
    say(client, 1);
    await_metric("coinslot_legacy_addresses 1", true);
    assert_true(metric_is("coinslot_legacy_refused_total{reason=\"message\"} 2"));
    pay_to(1, "{}");
    expect(client, "{}");
    ws_client_close(client);
}

static void past_legacy_addresses_more_are_refused_and_the_others_stay(void **state)
{
    (void)state;
    struct ws_client *client = dial(NULL);
    for (uint8_t i = 0; i < 20; i++) {
        say(client, i);
    }
    await_metric("coinslot_legacy_addresses 20", true);
    say(client, 20);
    expect_error(client, "20 addresses at most");
    say(client, 7); /* it has that one */
    pay_to(7, "{}");
    expect(client, "{}");
    assert_false(is_known(20));
    ws_client_close(client);
}

static void a_message_that_is_too_long_ends_the_session(void **state)
{
    (void)state;
    char *text = cs_alloc(4098);
    memset(text, ' ', 4097);
    struct ws_client *client = dial(NULL);
    ws_client_send(client, text);
    expect_error(client, "longer than");
    expect_close(client, 1009);
    free(text);
}

static void binary_and_fragments_and_pings_are_taken_as_the_old_server_took_them(void **state)
{
    (void)state;
    struct address address = account(1);
    char text[ADDRESS_TEXT_SIZE], message[128];
    address_format(&address, text);
    snprintf(message, sizeof(message), "{\"address\":\"%s\"}", text);
    struct ws_client *client = dial("arduino");
    ws_client_send_frame(client, 0x89, "", 0); /* arduinoWebSockets' heartbeat */
    ws_client_send_frame(client, 0x02, message, 10);
    ws_client_send_frame(client, 0x80, message + 10, strlen(message) - 10);
    ws_client_send_frame(client, 0x8a, "", 0); /* a pong that nobody asked for */
    await_metric("coinslot_legacy_addresses 1", true);
    pay_to(1, "{\"n\":1}");
    expect(client, "{\"n\":1}");
    assert_int_equal(ws_client_pongs(client), 1);
    ws_client_send_frame(client, 0x82, "\xff\xfe", 2);
    expect_error(client, "no JSON object");
    ws_client_close(client);
}

static void give_a_second(struct push_options *options)
{
    options->hello_timeout_s = 1;
}

static void who_names_no_address_is_closed_after_a_while(void **state)
{
    (void)state;
    start(give_a_second);
    struct ws_client *silent = dial(NULL), *greeting = dial("arduino"), *mistaken = dial(NULL);
    ws_client_send(greeting, "Connected");
    ws_client_send(mistaken, "{\"address\":\"nano_1typo\"}"); /* it has to read why */
    expect_error(mistaken, "no Nano address");
    expect_error(silent, "no address came in time");
    expect_close(silent, 1008);
    expect_error(greeting, "no address came in time");
    expect_close(greeting, 1008);
    sleep(1);
    expect_nothing(mistaken);
    ws_client_close(mistaken);
    stop();
}

/* libwebsockets binds whoever connects to the default subprotocol, which is the legacy one. */
static void who_asks_for_no_session_at_all_has_the_same_while(void **state)
{
    (void)state;
    start(give_a_second);
    int fd = wire_dial(relay.port);
    usleep(600000);
    wire_put(fd, "GET /call HTTP/1.1\r\nHost: x\r\n");
    char text[1024] = "";
    assert_int_equal(wire_get(fd, text, sizeof(text) - 1, WIRE_WAIT_MS),
                     0); /* libwebsockets alone would begin anew */
    close(fd);
    assert_true(metric_is("coinslot_sessions_refused_total{reason=\"hello_timeout\"} 1"));
    stop();
}

static void a_client_that_takes_nothing_is_closed_and_the_others_go_on(void **state)
{
    (void)state;
    enum { SIZE = 60000 };
    char *notice = cs_alloc(SIZE + 1);
    memset(notice, ' ', SIZE);
    notice[0] = '{';
    notice[1] = '}';
    struct ws_client *slow = dial(NULL), *other = dial(NULL);
    say(slow, 1);
    say(other, 1);
    await_metric("coinslot_legacy_addresses 2", true);
    bool closed = false;
    for (int i = 0; i < 400 && !closed; i++) {
        pay_to(1, notice);
        expect(other, notice);
        closed = metric_is("coinslot_legacy_sessions 1");
    }
    await_metric("coinslot_legacy_addresses 1", true);
    ws_client_close(slow);
    ws_client_close(other);
    free(notice);
}

static void however_much_comes_at_once_a_client_that_reads_gets_it_all_in_order(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct ws_client *client = dial(NULL);
    say(client, 1);
    await_metric("coinslot_legacy_addresses 1", true);
    struct payment payment = payment_to(1);
    char notice[32];
    for (int i = 0; i < MANY; i++) {
        int size = snprintf(notice, sizeof(notice), "{\"n\":%d}", i);
        const struct store_heard heard = {
            .payment = &payment, .listened = true, .notice = notice, .notice_size = (size_t)size};
        push_post_heard(relay.push, &heard);
    }
    for (int i = 0; i < MANY; i++) {
        snprintf(notice, sizeof(notice), "{\"n\":%d}", i);
        expect(client, notice);
    }
    ws_client_close(client);
}

static void what_too_many_payments_at_once_would_take_is_dropped_and_counted(void **state)
{
    (void)state;
    push_fixture_open(&relay, NULL); /* and nobody takes what is posted */
    char *notice = cs_alloc(1 << 20);
    struct payment payment = payment_to(1);
    const struct store_heard heard = {
        .payment = &payment, .listened = true, .notice = notice, .notice_size = 1 << 20};
    for (int i = 0; i < 20; i++) {
        push_post_heard(relay.push, &heard);
    }
    assert_true(metric_is("coinslot_heard_dropped_total 5")); /* each is a little more than its notice */
    free(notice);
    push_fixture_start(&relay);
    struct ws_client *client = dial(NULL);
    say(client, 1);
    await_metric("coinslot_legacy_addresses 1", true);
    expect_nothing(client); /* what came before it listened */
    pay_to(1, "{}");
    expect(client, "{}");
    assert_true(metric_is("coinslot_heard_dropped_total 5"));
    ws_client_close(client);
    stop();
}

/* ---- silence ------------------------------------------------------------------------------------------------------ */

static void ping_each_second(struct push_options *options)
{
    options->ping_interval_s = 1;
    options->ping_timeout_s = 1;
    options->legacy_silence_s = 30;
}

static void a_client_that_is_deaf_while_it_counts_down_is_pinged_but_not_cut(void **state)
{
    (void)state;
    start(ping_each_second);
    struct ws_client *deaf = dial("arduino");
    ws_client_ignore_pings(deaf);
    say(deaf, 1);
    await_metric("coinslot_legacy_addresses 1", true);
    sleep(6); /* three times as long as a device may be silent */
    pay_to(1, "{}");
    expect(deaf, "{}");
    assert_true(ws_client_pings(deaf) >= 2);
    ws_client_close(deaf);
    stop();
}

static void be_patient_for_three_seconds(struct push_options *options)
{
    ping_each_second(options);
    options->legacy_silence_s = 3;
}

static void past_legacy_silence_a_deaf_client_is_cut_and_one_that_pongs_is_not(void **state)
{
    (void)state;
    start(be_patient_for_three_seconds);
    struct ws_client *deaf = dial("arduino"), *alive = dial(NULL);
    ws_client_ignore_pings(deaf);
    say(deaf, 1);
    say(alive, 1);
    await_metric("coinslot_legacy_addresses 2", true);
    uint16_t code;
    for (int64_t until = now_ms() + WAIT_MS; !metric_is("coinslot_legacy_sessions 1");) {
        assert_null(ws_client_receive(alive, 100, &code));
        assert_int_equal(code, 1); /* nothing came but pings */
        assert_true(now_ms() < until);
    }
    for (int64_t until = now_ms() + 3000; now_ms() < until;) {
        assert_null(ws_client_receive(alive, 100, &code));
    }
    await_metric("coinslot_legacy_addresses 1", true);
    pay_to(1, "{}");
    expect(alive, "{}");
    ws_client_close(alive);
    ws_client_close(deaf);
    stop();
}

/* The answer's status; its text, up to the end of the connection or of the head of a 101. */
static int shake_hands(const char *headers, char text[2048])
{
    int fd = wire_dial(relay.port), status = 0;
    size_t length = 0;
    ssize_t got;
    snprintf(
        text, 2048,
        "GET /call HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%sSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        headers);
    wire_put(fd, text);
    while (status != 101 && (got = wire_get(fd, text + length, 2047 - length, WIRE_WAIT_MS)) > 0) {
        length += (size_t)got;
        text[length] = '\0';
        if (strstr(text, "\r\n\r\n") != NULL) {
            status = (int)strtol(text + strlen("HTTP/1.1 "), NULL, 10);
        }
    }
    close(fd);
    return status;
}

/* ---- who is let in ------------------------------------------------------------------------------------------------ */

static void switch_off(struct push_options *options)
{
    options->legacy = POLICY_OFF;
    options->legacy_addresses_most = options->legacy_silence_s = 0;
}

static void when_it_is_off_the_answer_says_so(void **state)
{
    (void)state;
    start(switch_off);
    char text[2048];
    assert_int_equal(shake_hands("", text), 404);
    assert_non_null(strstr(text, "switched off"));
    assert_true(metric_is("coinslot_legacy_refused_total{reason=\"handshake\"} 1"));
    stop();
}

static void each_path_speaks_its_own_subprotocol(void **state)
{
    (void)state;
    static const struct {
        const char *path, *offered;
        int status;
    } cases[] = {
        {"/call", NULL, 101},
        {"/call", "arduino", 101},
        {"/call", "chat, arduino", 101},
        {"/call", "chat", 400},
        {"/call", "http", 400},
        {"/call", "coinslot.v1", 400},
        {"/call", "coinslot.v1, arduino", 400}, /* libwebsockets would take the first */
        {"/device", "arduino, coinslot.v1", 400},
        {"/device", "coinslot.v1, arduino", 101},
        {"/device", "arduino", 400},
        {"/device", NULL, 400},
        {"/call/", NULL, 404},
        {"/callback/", NULL, 404},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status;
        struct ws_client *client = ws_client_open(relay.port, cases[i].path, cases[i].offered, &status);
        if (status != cases[i].status) {
            fail_msg("%s with %s: %d", cases[i].path, cases[i].offered != NULL ? cases[i].offered : "none",
                     status);
        }
        ws_client_close(client);
    }
}

static void without_a_key_only_programs_of_this_machine_are_let_in(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int status;
    } cases[] = {
        {"", 101},
        {"Origin: file://\r\n", 101},
        {"Origin: http://127.0.0.1:7091\r\n", 101},
        {"Origin: http://localhost:7091\r\n", 101},
        {"Origin: http://evil.example\r\n", 403},
        {"origin: null\r\n", 403},
        {"X-Forwarded-For: 127.0.0.1\r\n", 403},
        {"x-forwarded-for: 192.0.2.1, 192.0.2.2\r\n", 403},
        {"X-Real-IP: 192.0.2.1\r\n", 403},
        {"Forwarded: for=192.0.2.1\r\n", 403},
        {"X-Thing: a\r\nForwarded: for=192.0.2.1\r\n", 403},
        {"Via: 1.1 proxy\r\n", 403},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[2048];
        int status = shake_hands(cases[i].header, text);
        if (status != cases[i].status) {
            fail_msg("%s: %d", cases[i].header, status);
        }
        if (status == 403) {
            assert_non_null(strstr(text, "legacy = key"));
        } else {
            assert_null(strcasestr(text, "Sec-WebSocket-Protocol"));
        }
    }
}

static void want_keys(struct push_options *options)
{
    ping_each_second(options);
    options->legacy = POLICY_KEY;
}

static struct store_api_token make_token(const char *secret, enum store_role role)
{
    return push_fixture_make_token(&relay, secret, role);
}

static void with_keys_only_a_valid_token_of_any_role_is_let_in(void **state)
{
    (void)state;
    static const char *const secrets[STORE_ROLE_COUNT] = {"token_0", "token_1", "token_2", "token_3"};
    start(want_keys);
    for (int role = 0; role < STORE_ROLE_COUNT; role++) {
        make_token(secrets[role], (enum store_role)role);
    }
    struct ws_client *clients[STORE_ROLE_COUNT];
    for (int role = 0; role < STORE_ROLE_COUNT; role++) {
        clients[role] = dial(NULL);
        say_address(clients[role], "nano_", 1, secrets[role]);
    }
    await_metric("coinslot_legacy_addresses 4", true);
    pay_to(1, "{}");
    for (int role = 0; role < STORE_ROLE_COUNT; role++) {
        expect(clients[role], "{}");
    }
    static const char *const wrong[] = {"0", "", "token_4", "token_0 "};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ws_client *client = dial("arduino");
        say_address(client, "nano_", 2, wrong[i]);
        expect_error(client, "has to be a token");
        expect_close(client, 1008);
    }
    say_address(clients[0], "nano_", 2, "0"); /* each message needs one */
    expect_error(clients[0], "has to be a token");
    expect_close(clients[0], 1008);
    step();
    assert_false(is_known(2));
    assert_true(metric_is("coinslot_legacy_refused_total{reason=\"api_key\"} 5"));
    for (int role = 1; role < STORE_ROLE_COUNT; role++) {
        ws_client_close(clients[role]);
    }
    stop();
}

static void a_token_that_is_revoked_ends_the_sessions_it_let_in(void **state)
{
    (void)state;
    start(want_keys);
    struct store_api_token token = make_token("token_0", ROLE_VIEWER);
    make_token("token_1", ROLE_VIEWER);
    struct ws_client *client = dial(NULL), *other = dial(NULL);
    say_address(client, "nano_", 1, "token_0");
    say_address(other, "nano_", 1, "token_1");
    await_metric("coinslot_legacy_addresses 2", true);
    assert_int_equal(store_revoke_api_token(relay.store, token.id), CS_OK);
    expect_error(client, "revoked");
    expect_close(client, 1008);
    await_metric("coinslot_legacy_addresses 1", true);
    pay_to(1, "{}");
    expect(other, "{}");
    ws_client_close(other);
    stop();
}

#define WITH_RELAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bare_greeting_of_the_first_clients_is_no_error),
        cmocka_unit_test(every_spelling_of_an_address_is_read),
        cmocka_unit_test(what_is_wrong_with_a_message_is_said),
        cmocka_unit_test(a_key_that_is_no_text_or_too_long_is_none),
        cmocka_unit_test(what_is_built_from_a_payment_has_the_form_of_the_recorded_callback),
        cmocka_unit_test(an_origin_is_local_only_if_no_web_page_could_have_it),
        WITH_RELAY(a_payment_is_forwarded_as_the_node_sent_it_and_once),
        WITH_RELAY(news_that_came_without_a_callback_is_given_its_form),
        WITH_RELAY(an_address_given_twice_in_two_spellings_is_one),
        WITH_RELAY(several_clients_share_an_address_until_each_has_gone),
        WITH_RELAY(many_addresses_of_many_clients_find_their_way),
        WITH_RELAY(what_a_full_inbox_refuses_is_said_later_both_coming_and_going),
        WITH_RELAY(who_leaves_before_the_store_has_answered_leaves_nothing_behind),
        cmocka_unit_test(stopping_waits_for_no_answer_of_the_store),
        WITH_RELAY(a_wrong_message_is_answered_and_the_session_goes_on),
        WITH_RELAY(past_legacy_addresses_more_are_refused_and_the_others_stay),
        WITH_RELAY(a_message_that_is_too_long_ends_the_session),
        WITH_RELAY(binary_and_fragments_and_pings_are_taken_as_the_old_server_took_them),
        cmocka_unit_test(who_names_no_address_is_closed_after_a_while),
        cmocka_unit_test(who_asks_for_no_session_at_all_has_the_same_while),
        WITH_RELAY(a_client_that_takes_nothing_is_closed_and_the_others_go_on),
        WITH_RELAY(however_much_comes_at_once_a_client_that_reads_gets_it_all_in_order),
        cmocka_unit_test(what_too_many_payments_at_once_would_take_is_dropped_and_counted),
        cmocka_unit_test(a_client_that_is_deaf_while_it_counts_down_is_pinged_but_not_cut),
        cmocka_unit_test(past_legacy_silence_a_deaf_client_is_cut_and_one_that_pongs_is_not),
        cmocka_unit_test(when_it_is_off_the_answer_says_so),
        WITH_RELAY(each_path_speaks_its_own_subprotocol),
        WITH_RELAY(without_a_key_only_programs_of_this_machine_are_let_in),
        cmocka_unit_test(with_keys_only_a_valid_token_of_any_role_is_let_in),
        cmocka_unit_test(a_token_that_is_revoked_ends_the_sessions_it_let_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
