/*
 * The client of a node's WebSocket, over real sockets: the node is the test (lib/ws_server.h), the loop runs on its own thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "lib/recorded.h"
#include "lib/ws_server.h"
#include "node/nano_ws.h"

#define EVENTS_MOST 256
#define WAIT_MS     30000

static const struct nano_ws_times QUICK = {
    .connect_ms = 1500,
    .ack_ms = 300,
    .ping_ms = 20000,
    .pong_ms = 200,
    .retry_least_ms = 20,
    .retry_most_ms = 100,
    .healthy_ms = 1000,
    .batch_ms = 50,
    .whole_ms = 60,
    .hang_up_ms = 200,
};

/* ---- what it tells ------------------------------------------------------------------------------------- */

enum kind { CONNECTED, LOST, CONFIRMED, BARE, SILENT };
static const char *const KINDS[] = {"connected", "lost", "confirmed", "bare", "silent"};

struct event {
    enum kind kind;
    char why[160];
    uint8_t hash[32];
    enum nano_ws_confirmation confirmation;
    int64_t time_ms;
};

struct fixture {
    struct node_loop *loop;
    struct metrics *metrics;
    struct nano_ws_counters *counters;
    struct nano_ws *ws;
    struct nano_ws_times times;
    pthread_mutex_t gate;
    pthread_cond_t told;
    struct event events[EVENTS_MOST];
    size_t told_count, taken;
    _Atomic size_t widened; /* accounts of which it said that they are told of from now on */
};

static void tell(struct fixture *fixture, const struct event *event)
{
    pthread_mutex_lock(&fixture->gate);
    assert_true(fixture->told_count < EVENTS_MOST);
    fixture->events[fixture->told_count++] = *event;
    pthread_cond_signal(&fixture->told);
    pthread_mutex_unlock(&fixture->gate);
}

static void on_connected(void *context, struct nano_ws *ws)
{
    (void)ws;
    tell(context, &(struct event){.kind = CONNECTED});
}

static void on_lost(void *context, struct nano_ws *ws, const char *why)
{
    (void)ws;
    struct event event = {.kind = LOST};
    snprintf(event.why, sizeof(event.why), "%s", why);
    tell(context, &event);
}

static void on_confirmed(void *context, struct nano_ws *ws, const struct notice *notice,
                         enum nano_ws_confirmation confirmation, int64_t time_ms)
{
    (void)ws;
    struct event event = {.kind = CONFIRMED, .confirmation = confirmation, .time_ms = time_ms};
    memcpy(event.hash, notice->hash, sizeof(event.hash));
    tell(context, &event);
}

static void on_bare(void *context, struct nano_ws *ws, const uint8_t hash[32])
{
    (void)ws;
    struct event event = {.kind = BARE};
    memcpy(event.hash, hash, sizeof(event.hash));
    tell(context, &event);
}

static void on_silent(void *context, struct nano_ws *ws)
{
    (void)ws;
    tell(context, &(struct event){.kind = SILENT});
}

static void on_watching(void *context, struct nano_ws *ws, const uint8_t (*accounts)[32], size_t count)
{
    struct fixture *fixture = context;
    (void)ws;
    (void)accounts;
    fixture->widened += count;
}

static bool take_event(struct fixture *fixture, int wait_ms, struct event *event)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int late = 0;
    pthread_mutex_lock(&fixture->gate);
    while (fixture->taken == fixture->told_count && late == 0) {
        late = pthread_cond_timedwait(&fixture->told, &fixture->gate, &until);
    }
    bool any = fixture->taken < fixture->told_count;
    if (any) {
        *event = fixture->events[fixture->taken++];
    }
    pthread_mutex_unlock(&fixture->gate);
    return any;
}

static struct event expect_event(struct fixture *fixture, enum kind kind)
{
    struct event event;
    if (!take_event(fixture, WAIT_MS, &event)) {
        fail_msg("no `%s` came", KINDS[kind]);
    }
    if (event.kind != kind) {
        fail_msg("`%s` came (%s), not `%s`", KINDS[event.kind], event.why, KINDS[kind]);
    }
    return event;
}

/* What was watched from the beginning does not count: `connected` says that. */
static void expect_widened(struct fixture *fixture, size_t accounts)
{
    for (int waited_ms = 0; fixture->widened != accounts && waited_ms < WAIT_MS; waited_ms += 10) {
        usleep(10000);
    }
    assert_int_equal(fixture->widened, accounts);
}

static void expect_no_event(struct fixture *fixture, int for_ms)
{
    struct event event;
    if (take_event(fixture, for_ms, &event)) {
        fail_msg("`%s` came (%s)", KINDS[event.kind], event.why);
    }
}

/* ---- the client ---------------------------------------------------------------------------------------- */

struct work {
    struct nano_ws *ws;
    struct address address;
    uint64_t number;
    bool flag;
};

static void run_watch(void *context)
{
    struct work *work = context;
    nano_ws_watch(work->ws, &work->address, work->flag);
    free(work);
}

static void run_count(void *context)
{
    struct work *work = context;
    nano_ws_note_count(work->ws, work->number);
    free(work);
}

static void run_reading(void *context)
{
    struct work *work = context;
    nano_ws_set_reading(work->ws, work->flag);
    free(work);
}

static void post(struct fixture *fixture, void (*run)(void *context), struct work work)
{
    struct work *copy = cs_alloc(sizeof(*copy));
    *copy = work;
    copy->ws = fixture->ws;
    assert_int_equal(node_loop_post(fixture->loop, run, copy), CS_OK);
}

static struct address account(uint32_t number)
{
    uint8_t key[32] = {1};
    memcpy(key + 4, &number, sizeof(number));
    return address_from_nano_key(key);
}

static void watch(struct fixture *fixture, uint32_t number, bool added)
{
    post(fixture, run_watch, (struct work){.address = account(number), .flag = added});
}

static struct fixture *open_fixture(void)
{
    struct fixture *fixture = cs_alloc(sizeof(*fixture));
    pthread_mutex_init(&fixture->gate, NULL);
    pthread_cond_init(&fixture->told, NULL);
    fixture->times = QUICK;
    fixture->loop = node_loop_open(200000);
    fixture->metrics = metrics_open();
    fixture->counters = nano_ws_counters_open(fixture->metrics, 2);
    return fixture;
}

static struct nano_ws_options options_of(struct fixture *fixture, const char *url)
{
    return (struct nano_ws_options){
        .loop = fixture->loop,
        .url = url,
        .filter = NANO_WS_FILTER_ACCOUNTS,
        .times = &fixture->times,
        .counters = &fixture->counters[1],
        .events = {fixture, on_connected, on_lost, on_confirmed, on_bare, on_silent, on_watching},
    };
}

static void begin(struct fixture *fixture, const struct nano_ws_options *options)
{
    char error[NANO_WS_OPEN_ERROR_SIZE];
    fixture->ws = nano_ws_open(options, error);
    if (fixture->ws == NULL) {
        fail_msg("%s", error);
    }
    nano_ws_start(fixture->ws);
    assert_int_equal(node_loop_start(fixture->loop), CS_OK);
}

static void begin_at(struct fixture *fixture, const struct ws_server *server, enum nano_ws_filter filter)
{
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u", ws_server_port(server));
    struct nano_ws_options options = options_of(fixture, url);
    options.filter = filter;
    begin(fixture, &options);
}

static void close_fixture(struct fixture *fixture)
{
    node_loop_stop(fixture->loop);
    if (fixture->ws != NULL) {
        nano_ws_stop(fixture->ws);
        node_loop_settle(fixture->loop);
        nano_ws_close(fixture->ws);
    }
    node_loop_close(fixture->loop);
    metrics_close(fixture->metrics);
    nano_ws_counters_close(fixture->counters);
    pthread_mutex_destroy(&fixture->gate);
    pthread_cond_destroy(&fixture->told);
    free(fixture);
}

static long long metric(struct fixture *fixture, const char *name)
{
    char *text = metrics_print(fixture->metrics), line[160];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *found = strstr(text, line);
    if (found == NULL) {
        fail_msg("no metric %s in\n%s", name, text);
    }
    long long value = strtoll(found + strlen(line), NULL, 10);
    free(text);
    return value;
}

static void expect_metric(struct fixture *fixture, const char *name, long long value)
{
    for (int i = 0; i < WAIT_MS && metric(fixture, name) != value; i++) {
        usleep(1000);
    }
    assert_int_equal(metric(fixture, name), value);
}

/* ---- the node ------------------------------------------------------------------------------------------ */

struct asked {
    char action[16], id[24];
    size_t accounts, added, removed;
    bool filtered, has_options;
    json_t *all; /* owned */
};

static void read_asked(const char *text, struct asked *asked)
{
    json_error_t error;
    *asked = (struct asked){.all = json_loads(text, 0, &error)};
    assert_non_null(asked->all);
    const json_t *options = json_object_get(asked->all, "options");
    snprintf(asked->action, sizeof(asked->action), "%s", json_text(asked->all, "action"));
    if (json_text(asked->all, "id") != NULL) {
        snprintf(asked->id, sizeof(asked->id), "%s", json_text(asked->all, "id"));
    }
    asked->has_options = options != NULL;
    asked->filtered = json_object_get(options, "accounts") != NULL;
    asked->accounts = json_array_size(json_object_get(options, "accounts"));
    asked->added = json_array_size(json_object_get(options, "accounts_add"));
    asked->removed = json_array_size(json_object_get(options, "accounts_del"));
}

/* The next request, which must be of that action. */
static struct asked expect_asked(struct ws_peer *peer, const char *action)
{
    uint16_t code;
    struct asked asked;
    const char *text = ws_peer_receive(peer, WAIT_MS, &code);
    if (text == NULL) {
        fail_msg("no `%s` came: %u", action, code);
    }
    read_asked(text, &asked);
    assert_string_equal(asked.action, action);
    json_decref(asked.all);
    asked.all = NULL;
    return asked;
}

static void send_ack(struct ws_peer *peer, const struct asked *asked)
{
    char text[160];
    snprintf(text, sizeof(text),
             "{\n    \"ack\": \"%s\",\n    \"time\": \"1795193451649\",\n    \"id\": \"%s\"\n}\n",
             asked->action, asked->id);
    ws_peer_send(peer, text);
}

static struct ws_peer *expect_peer(struct ws_server *server)
{
    struct ws_peer *peer = ws_server_accept(server, WAIT_MS);
    assert_non_null(peer);
    return peer;
}

static struct asked answer(struct ws_peer *peer, const char *action)
{
    struct asked asked = expect_asked(peer, action);
    send_ack(peer, &asked);
    return asked;
}

/* Subscribed at once. */
static struct ws_peer *connect_peer(struct fixture *fixture, struct ws_server *server)
{
    struct ws_peer *peer = expect_peer(server);
    answer(peer, "subscribe");
    expect_event(fixture, CONNECTED);
    return peer;
}

static void expect_end(struct ws_peer *peer, uint16_t code)
{
    uint16_t got;
    assert_null(ws_peer_receive(peer, WAIT_MS, &got));
    assert_int_equal(got, code);
    ws_peer_close(peer);
}

/* Sends the confirmations of a recording; returns how many there were. */
static size_t play(struct ws_peer *peer, const char *file)
{
    struct recorded_session *session = recorded_session_open(SOURCE_DIR, file);
    const char *text;
    size_t length, count = 0;
    while ((text = recorded_session_next(session, &length)) != NULL) {
        if (memmem(text, length, "\"ack\"", 5) == NULL) {
            ws_peer_send_frame(peer, 0x81, text, length);
            count++;
        }
    }
    recorded_session_close(session);
    return count;
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void test_confirmations_of_a_recorded_node_are_told(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    struct ws_peer *peer = expect_peer(server);
    assert_non_null(strstr(ws_peer_request(peer), "GET / HTTP/1.1\r\n"));
    assert_null(strcasestr(ws_peer_request(peer), "sec-websocket-extensions"));
    assert_null(strcasestr(ws_peer_request(peer), "origin:"));
    struct asked asked = answer(peer, "subscribe");
    assert_true(asked.has_options && !asked.filtered);
    expect_event(fixture, CONNECTED);
    size_t count = play(peer, "inactive-ws.txt"), inactive = 0;
    for (size_t i = 0; i < count; i++) {
        struct event event = expect_event(fixture, CONFIRMED);
        inactive += event.confirmation == NANO_WS_INACTIVE;
        assert_true(event.time_ms > 1795193000000);
    }
    assert_int_equal(count, 13);
    assert_int_equal(inactive, 6);
    assert_int_equal(play(peer, "ws-noblock.txt"), 2);
    expect_event(fixture, BARE);
    expect_event(fixture, BARE);
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"confirmed\"}", 13);
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"no_block\"}", 2);
    expect_metric(fixture, "coinslot_nano_ws_connected{node=\"1\"}", 1);
    struct nano_ws_look look;
    nano_ws_look(fixture->ws, &look);
    assert_int_equal(look.state, NANO_WS_CONNECTED);
    assert_true(look.confirmations == 15 && look.heard_ms > 0 && look.confirmed_ms > 0);
    ws_peer_close(peer);
    expect_event(fixture, LOST);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_a_subscription_without_an_ack_is_tried_again(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    for (int i = 0; i < 2; i++) {
        struct ws_peer *peer = expect_peer(server);
        expect_asked(peer, "subscribe");
        ws_peer_send(peer, "{\"ack\":\"subscribe\",\"id\":\"999\"}"); /* not ours */
        ws_peer_send(peer, "{\"ack\":\"update\"}");
        expect_end(peer, 1001);
    }
    expect_no_event(fixture, 50);
    struct ws_peer *peer = expect_peer(server);
    expect_asked(peer, "subscribe");
    ws_peer_send(peer, "{\"ack\":\"subscribe\"}"); /* an id is a courtesy */
    expect_event(fixture, CONNECTED);
    expect_metric(fixture, "coinslot_nano_ws_failures_total{node=\"1\"}", 2);
    struct nano_ws_look look;
    nano_ws_look(fixture->ws, &look);
    assert_non_null(strstr(look.error, "acknowledge"));
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_after_a_drop_all_accounts_are_subscribed_again(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    char url[64];
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u", ws_server_port(server));
    struct nano_ws_options options = options_of(fixture, url);
    begin(fixture, &options);
    struct ws_peer *peer = connect_peer(fixture, server);
    for (uint32_t i = 0; i < 2000; i++) {
        watch(fixture, i, true);
    }
    size_t told = 0;
    while (told < 2000) {
        told += answer(peer, "update").added;
    }
    for (int i = 0; i < 3; i++) {
        ws_peer_close(peer);
        assert_string_not_equal(expect_event(fixture, LOST).why, "");
        peer = expect_peer(server);
        struct asked first = answer(peer, "subscribe"), second = answer(peer, "update");
        expect_no_event(fixture, 20);
        struct asked third = answer(peer, "update");
        assert_true(first.filtered);
        assert_int_equal(first.accounts, NANO_WS_ACCOUNTS_MOST);
        assert_int_equal(second.added, NANO_WS_ACCOUNTS_MOST);
        assert_int_equal(third.added, 2000 - 2 * NANO_WS_ACCOUNTS_MOST);
        expect_event(fixture, CONNECTED);
    }
    expect_metric(fixture, "coinslot_nano_ws_reconnects_total{node=\"1\"}", 3);
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_changes_of_the_filter_are_told_together(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ACCOUNTS);
    for (uint32_t i = 0; i < 10; i++) {
        watch(fixture, i, true);
    }
    struct ws_peer *peer = expect_peer(server);
    struct asked asked = answer(peer, "subscribe");
    size_t told = asked.accounts;
    while (told < 10) { /* those that came too late for it */
        told += answer(peer, "update").added;
    }
    expect_event(fixture, CONNECTED);
    for (uint32_t i = 0; i < 5; i++) {
        watch(fixture, i, false);
        watch(fixture, 10 + i, true);
        watch(fixture, 20, i % 2 == 0);
    }
    asked = expect_asked(peer, "update");
    assert_int_equal(asked.added, 6);
    assert_int_equal(asked.removed, 5);
    /* The next are told when these are acknowledged. */
    watch(fixture, 30, true);
    uint16_t code;
    assert_null(ws_peer_receive(peer, 150, &code));
    assert_int_equal(code, 1);
    send_ack(peer, &asked);
    assert_int_equal(answer(peer, "update").added, 1);
    expect_widened(fixture, 7);
    struct nano_ws_look look;
    nano_ws_look(fixture->ws, &look);
    assert_int_equal(look.accounts, 12);
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_a_node_that_ignores_updates_gets_the_whole_list(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ACCOUNTS);
    struct ws_peer *peer = connect_peer(fixture, server);
    for (uint32_t i = 0; i < 1000; i++) {
        watch(fixture, i, true);
    }
    assert_true(expect_asked(peer, "update").added > 0); /* and no ack */
    /* What was confirmed meanwhile for the new accounts was not told: the owner hears of it. */
    struct asked asked = expect_asked(peer, "subscribe");
    assert_int_equal(asked.accounts, 1000);
    expect_event(fixture, LOST);
    send_ack(peer, &asked);
    expect_event(fixture, CONNECTED);
    watch(fixture, 1000, true);
    watch(fixture, 0, false);
    watch(fixture, 1, false);
    assert_int_equal(answer(peer, "subscribe").accounts, 999);
    expect_widened(fixture, 1);
    struct nano_ws_look look;
    nano_ws_look(fixture->ws, &look);
    assert_true(look.whole);
    /* It is remembered beyond the connection. */
    ws_peer_close(peer);
    expect_event(fixture, LOST);
    peer = expect_peer(server);
    assert_int_equal(answer(peer, "subscribe").accounts, 999);
    expect_event(fixture, CONNECTED);
    /* And when that is not acknowledged either, it is the connection. */
    watch(fixture, 1001, true);
    assert_int_equal(expect_asked(peer, "subscribe").accounts, 1000);
    expect_end(peer, 1001);
    expect_event(fixture, LOST);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_a_whole_list_that_is_too_long_is_left_out(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ACCOUNTS);
    struct ws_peer *peer = connect_peer(fixture, server);
    watch(fixture, 0, true);
    expect_asked(peer, "update");
    assert_int_equal(answer(peer, "subscribe").accounts, 1);
    expect_event(fixture, LOST);
    expect_event(fixture, CONNECTED);
    ws_peer_close(peer);
    expect_event(fixture, LOST);
    for (uint32_t i = 1; i <= 15000; i++) {
        watch(fixture, i, true);
    }
    /* However many had been watched when it came back: in the end there are too many. */
    peer = expect_peer(server);
    struct asked asked;
    do {
        asked = answer(peer, "subscribe");
    } while (asked.filtered);
    assert_true(asked.has_options);
    expect_event(fixture, CONNECTED);
    play(peer, "ws-filter-D.txt");
    expect_event(fixture, CONFIRMED);
    watch(fixture, 7, false);
    assert_int_equal(answer(peer, "subscribe").accounts, 15000);
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_what_is_no_message_is_counted_and_changes_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    struct ws_peer *peer = connect_peer(fixture, server);
    ws_peer_send(peer, "{\"action\":");
    ws_peer_send(peer, "");
    ws_peer_send_frame(peer, 0x81, "\xff\xfe{}", 4);
    ws_peer_send(peer, "{\"topic\":\"confirmation\",\"message\":{}}");
    ws_peer_send_frame(peer, 0x82, "\0\1\2", 3);
    ws_peer_send_frame(peer, 0x89, "ping", 4);
    ws_peer_send(peer, "{\"topic\":\"vote\",\"message\":{}}");
    ws_peer_send_frame(peer, 0x01, "{\"topic\":\"confirm", 17); /* in two fragments */
    ws_peer_send_frame(peer, 0x80, "ation\"}", 7);
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"malformed\"}", 5);
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"binary\"}", 1);
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"other\"}", 1);
    assert_int_equal(play(peer, "ws-filter-D.txt"), 1);
    expect_event(fixture, CONFIRMED);
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_a_message_that_is_too_long_ends_the_connection(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    struct ws_peer *peer = connect_peer(fixture, server);
    char *long_text = malloc(NANO_WS_MESSAGE_MOST);
    memset(long_text, ' ', NANO_WS_MESSAGE_MOST);
    long_text[0] = '{';
    long_text[1] = '}';
    ws_peer_send_frame(peer, 0x81, long_text, NANO_WS_MESSAGE_MOST); /* as long as may be */
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"other\"}", 1);
    ws_peer_send_head(peer, 0x81, (uint64_t)1 << 40);
    ws_peer_send_frame(peer, 'x', long_text, 8192); /* some of its bytes */
    assert_non_null(strstr(expect_event(fixture, LOST).why, "too long"));
    ws_peer_close(peer);
    peer = connect_peer(fixture, server);
    for (int i = 0; i < 3; i++) { /* in fragments, none of which is too long itself */
        ws_peer_send_frame(peer, i == 0 ? 0x01 : 0x00, long_text, NANO_WS_MESSAGE_MOST / 2);
    }
    assert_non_null(strstr(expect_event(fixture, LOST).why, "too long"));
    ws_peer_close(peer);
    free(long_text);
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_a_node_that_does_not_answer_a_ping_is_left(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    fixture->times.ping_ms = 100;
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    struct ws_peer *peer = connect_peer(fixture, server);
    for (int i = 0; i < 3; i++) {
        expect_asked(peer, "ping");
        ws_peer_send(peer, "{\"ack\":\"pong\",\"time\":\"1795193451649\"}");
    }
    expect_no_event(fixture, 0);
    expect_metric(fixture, "coinslot_nano_ws_messages_total{node=\"1\",result=\"pong\"}", 3);
    expect_asked(peer, "ping");
    assert_non_null(strstr(expect_event(fixture, LOST).why, "ping"));
    expect_end(peer, 1001);
    /* It need not even answer the close frame. */
    peer = connect_peer(fixture, server);
    expect_event(fixture, LOST);
    struct ws_peer *next = connect_peer(fixture, server);
    ws_peer_close(peer);
    ws_peer_close(next);
    close_fixture(fixture);
    ws_server_close(server);
}

static void note_count(struct fixture *fixture, uint64_t number)
{
    post(fixture, run_count, (struct work){.number = number});
}

static void test_silence_while_the_node_goes_on_is_noticed(void **state)
{
    (void)state;
    for (int filter = 0; filter < 2; filter++) {
        struct fixture *fixture = open_fixture();
        struct ws_server *server = ws_server_open("127.0.0.1");
        char url[64];
        snprintf(url, sizeof(url), "ws://127.0.0.1:%u", ws_server_port(server));
        struct nano_ws_options options = options_of(fixture, url);
        options.filter = filter == 0 ? NANO_WS_FILTER_ALL : NANO_WS_FILTER_ACCOUNTS;
        options.silence_s = 1;
        begin(fixture, &options);
        struct ws_peer *peer = connect_peer(fixture, server);
        note_count(fixture, 100);
        note_count(fixture, 101);
        expect_no_event(fixture, 700);
        play(peer, "ws-filter-D.txt");
        expect_event(fixture, CONFIRMED);
        note_count(fixture, 150);
        expect_no_event(fixture, 700);
        note_count(fixture, 151); /* not yet silent for a second */
        expect_no_event(fixture, 400);
        note_count(fixture, 150); /* it stands still: so may the node */
        expect_no_event(fixture, 50);
        note_count(fixture, 152);
        expect_event(fixture, SILENT);
        assert_non_null(strstr(expect_event(fixture, LOST).why, "silent"));
        expect_end(peer, 1001);
        peer = connect_peer(fixture, server);
        note_count(fixture, 160);
        expect_no_event(fixture, 1100);
        note_count(fixture, 161);
        if (filter == 0) {
            expect_event(fixture, SILENT);
        } else {
            expect_no_event(fixture, 100); /* with a filter that was to be expected: twice the time */
        }
        expect_metric(fixture, "coinslot_nano_ws_silences_total{node=\"1\"}", filter == 0 ? 2 : 1);
        ws_peer_close(peer);
        close_fixture(fixture);
        ws_server_close(server);
    }
}

static void test_while_it_is_not_read_the_node_waits(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    fixture->times.ping_ms = 50;
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    struct ws_peer *peer = connect_peer(fixture, server);
    post(fixture, run_reading, (struct work){.flag = false});
    expect_asked(peer, "ping");
    for (int i = 0; i < 10; i++) {
        play(peer, "ws4b-all.txt");
    }
    expect_no_event(fixture, 600); /* nor is it left for an answer that was not read */
    post(fixture, run_reading, (struct work){.flag = true});
    for (int i = 0; i < 80; i++) {
        expect_event(fixture, CONFIRMED);
    }
    post(fixture, run_reading, (struct work){.flag = false});
    ws_peer_close(peer);
    post(fixture, run_reading, (struct work){.flag = true});
    expect_event(fixture, LOST);
    close_fixture(fixture);
    ws_server_close(server);
}

/* ---- getting there ------------------------------------------------------------------------------------- */

static void test_paths_headers_and_ipv6_addresses_arrive(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("::1");
    char url[96], expected[96];
    snprintf(url, sizeof(url), "ws://[::1]:%u/node/ws?key=secret", ws_server_port(server));
    struct nano_ws_options options = options_of(fixture, url);
    options.header = "Authorization: Bearer abc";
    begin(fixture, &options);
    struct ws_peer *peer = expect_peer(server);
    assert_non_null(strstr(ws_peer_request(peer), "GET /node/ws?key=secret HTTP/1.1\r\n"));
    assert_non_null(strstr(ws_peer_request(peer), "\r\nAuthorization: Bearer abc\r\n"));
    snprintf(expected, sizeof(expected), "\r\nHost: [::1]:%u\r\n", ws_server_port(server));
    assert_non_null(strstr(ws_peer_request(peer), expected));
    snprintf(expected, sizeof(expected), "ws://[::1]:%u", ws_server_port(server));
    assert_string_equal(nano_ws_shown_url(fixture->ws), expected);
    answer(peer, "subscribe");
    expect_event(fixture, CONNECTED);
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

/* By name it is tried at each of its addresses: localhost is ::1, too, where nobody listens. */
static void test_a_host_is_tried_at_each_of_its_addresses(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    char url[64];
    snprintf(url, sizeof(url), "ws://localhost:%u", ws_server_port(server));
    struct nano_ws_options options = options_of(fixture, url);
    begin(fixture, &options);
    ws_peer_close(connect_peer(fixture, server));
    expect_event(fixture, LOST);
    ws_peer_close(connect_peer(fixture, server));
    expect_event(fixture, LOST);
    assert_int_equal(metric(fixture, "coinslot_nano_ws_failures_total{node=\"1\"}"), 0);
    close_fixture(fixture);
    ws_server_close(server);
}

static void wait_for_failures(struct fixture *fixture, long long count, const char *because)
{
    struct nano_ws_look look;
    for (int i = 0; i < WAIT_MS && metric(fixture, "coinslot_nano_ws_failures_total{node=\"1\"}") < count;
         i++) {
        usleep(1000);
    }
    nano_ws_look(fixture->ws, &look);
    if (metric(fixture, "coinslot_nano_ws_failures_total{node=\"1\"}") < count ||
        strstr(look.error, because) == NULL) {
        fail_msg("`%s` is not about `%s`, or came too seldom", look.error, because);
    }
}

static void test_a_node_that_is_not_there_is_tried_again(void **state)
{
    (void)state;
    static const char *const nowhere[][2] = {
        {"ws://127.0.0.1:1", ""},
        {"ws://[::1]:1", ""},
        {"ws://[fe80::1]:7078", "no way"}, /* no such network: fails at once */
        {"ws://no-such-host.invalid:7078", "unknown node or service"},
        {"wss://localhost:1", ""},
    };
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        struct fixture *fixture = open_fixture();
        fixture->times.connect_ms = WAIT_MS;
        struct nano_ws_options options = options_of(fixture, nowhere[i][0]);
        begin(fixture, &options);
        wait_for_failures(fixture, i == 3 ? 1 : 4, nowhere[i][1]);
        close_fixture(fixture);
    }
}

/* On average half of 1, 2, 4, … 50 ms: some 38 attempts in a second; without growing there would be a thousand. */
static void test_attempts_come_ever_more_seldom(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    fixture->times.retry_least_ms = 1;
    fixture->times.retry_most_ms = 50;
    struct nano_ws_options options = options_of(fixture, "ws://127.0.0.1:1");
    begin(fixture, &options);
    usleep(1000000);
    long long attempts = metric(fixture, "coinslot_nano_ws_failures_total{node=\"1\"}");
    assert_in_range(attempts, 8, 90);
    close_fixture(fixture);
}

static void test_a_node_that_refuses_the_upgrade_says_why(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    assert_true(ws_server_accept_refusing(server, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"));
    wait_for_failures(fixture, 1, "401");
    /* A redirect is not followed: the extra header was for this host. */
    assert_true(ws_server_accept_refusing(
        server, "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"));
    wait_for_failures(fixture, 2, "302");
    assert_true(ws_server_accept_refusing(server, "SSH-2.0-OpenSSH_9.2\r\n"));
    wait_for_failures(fixture, 3, "");
    assert_true(ws_server_accept_refusing(server,
                                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                          "Connection: upgrade\r\n"
                                          "Sec-WebSocket-Accept: ZO8A+dLEEyR3VEO9DkYiVWYOFRY=\r\n\r\n"));
    wait_for_failures(fixture, 4, "");
    ws_peer_close(connect_peer(fixture, server));
    close_fixture(fixture);
    ws_server_close(server);
}

static void test_a_connection_that_does_not_come_about_is_given_up(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    fixture->times.connect_ms = 200;
    struct ws_server *server = ws_server_open("127.0.0.1");
    begin_at(fixture, server, NANO_WS_FILTER_ALL);
    int mute = ws_server_accept_mute(server, WAIT_MS);
    assert_true(mute >= 0);
    wait_for_failures(fixture, 1, "in time");
    struct ws_peer *peer = connect_peer(fixture, server);
    close(mute);
    ws_peer_close(peer);
    close_fixture(fixture);
    ws_server_close(server);
}

/* ---- TLS ----------------------------------------------------------------------------------------------- */

static void with_certificate(const char *name, bool trusted, const char *because)
{
    char path[] = "/tmp/coinslot-test-XXXXXX", url[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct fixture *fixture = open_fixture();
    struct ws_server *server = ws_server_open_tls("127.0.0.1", name, path);
    snprintf(url, sizeof(url), "wss://%s:%u/", because == NULL ? name : "127.0.0.1", ws_server_port(server));
    struct nano_ws_options options = options_of(fixture, url);
    options.ca_file = trusted ? path : NULL;
    begin(fixture, &options);
    if (because == NULL) {
        struct ws_peer *peer = connect_peer(fixture, server);
        assert_int_equal(play(peer, "inactive-ws.txt"), 13);
        for (int i = 0; i < 13; i++) {
            expect_event(fixture, CONFIRMED);
        }
        ws_peer_close(peer);
        expect_event(fixture, LOST);
    } else {
        assert_null(ws_server_accept(server, WAIT_MS));
        wait_for_failures(fixture, 1, because);
        expect_no_event(fixture, 0);
    }
    close_fixture(fixture);
    ws_server_close(server);
    close(fd);
    unlink(path);
}

static void test_with_tls_the_certificate_has_to_be_right(void **state)
{
    (void)state;
    with_certificate("127.0.0.1", true, NULL);
    with_certificate("localhost", true, NULL);
    with_certificate("127.0.0.1", false, "certificate");
    with_certificate("localhost", true, "certificate"); /* of another name */
}

/* ---- ends ---------------------------------------------------------------------------------------------- */

static void test_it_can_be_stopped_at_each_stage(void **state)
{
    (void)state;
    for (int stage = 0; stage < 9; stage++) {
        char path[] = "/tmp/coinslot-test-XXXXXX";
        int fd = mkstemp(path), mute = -1;
        struct fixture *fixture = open_fixture();
        struct ws_server *server =
            stage == 8 ? ws_server_open_tls("127.0.0.1", "127.0.0.1", path) : ws_server_open("127.0.0.1");
        struct ws_peer *peer = NULL;
        char url[64];
        snprintf(url, sizeof(url), "%s://%s:%u", stage == 8 ? "wss" : "ws",
                 stage == 1 ? "no-such-host.invalid" : "127.0.0.1",
                 stage == 7 ? 1u : (unsigned)ws_server_port(server));
        struct nano_ws_options options = options_of(fixture, url);
        options.ca_file = stage == 8 ? path : NULL;
        fixture->times.retry_least_ms = fixture->times.retry_most_ms = stage == 7 ? 1 : 10000;
        char error[NANO_WS_OPEN_ERROR_SIZE];
        fixture->ws = nano_ws_open(&options, error);
        assert_non_null(fixture->ws);
        if (stage > 0) { /* 0: never started; 1: while its host is looked up */
            nano_ws_start(fixture->ws);
            assert_int_equal(node_loop_start(fixture->loop), CS_OK);
        }
        if (stage == 2 || stage == 8) { /* while it connects */
            mute = ws_server_accept_mute(server, WAIT_MS);
        } else if (stage == 3) { /* unsubscribed, with something to send */
            peer = expect_peer(server);
        } else if (stage >= 4 && stage <= 6) {
            peer = connect_peer(fixture, server);
        }
        if (stage == 5) { /* while it waits for the next attempt */
            ws_peer_close(peer);
            expect_event(fixture, LOST);
            peer = NULL;
        } else if (stage == 6) { /* while it hangs up */
            watch(fixture, 1, true);
            expect_asked(peer, "update");
            expect_asked(peer, "subscribe");
            uint16_t code;
            assert_null(ws_peer_receive(peer, WAIT_MS, &code));
        } else if (stage == 7) {
            wait_for_failures(fixture, 3, "");
        }
        close_fixture(fixture);
        if (peer != NULL) {
            ws_peer_close(peer);
        }
        if (mute >= 0) {
            close(mute);
        }
        ws_server_close(server);
        close(fd);
        unlink(path);
    }
}

static void test_several_nodes_share_a_loop(void **state)
{
    (void)state;
    struct fixture *fixture = open_fixture();
    struct ws_server *servers[2];
    struct nano_ws *nodes[2];
    for (int i = 0; i < 2; i++) {
        char url[64], error[NANO_WS_OPEN_ERROR_SIZE];
        servers[i] = ws_server_open(i == 0 ? "127.0.0.1" : "::1");
        snprintf(url, sizeof(url), i == 0 ? "ws://127.0.0.1:%u" : "ws://[::1]:%u",
                 ws_server_port(servers[i]));
        struct nano_ws_options options = options_of(fixture, url);
        options.counters = &fixture->counters[i];
        nodes[i] = nano_ws_open(&options, error);
        assert_non_null(nodes[i]);
        nano_ws_start(nodes[i]);
    }
    assert_int_equal(node_loop_start(fixture->loop), CS_OK);
    struct ws_peer *one = connect_peer(fixture, servers[0]), *two = connect_peer(fixture, servers[1]);
    assert_int_equal(play(one, "ws-filter-D.txt") + play(two, "ws-filter-D.txt"), 2);
    expect_event(fixture, CONFIRMED);
    expect_event(fixture, CONFIRMED);
    ws_peer_close(two);
    expect_event(fixture, LOST);
    expect_metric(fixture, "coinslot_nano_ws_connected{node=\"0\"}", 1);
    node_loop_stop(fixture->loop);
    for (int i = 0; i < 2; i++) {
        nano_ws_stop(nodes[i]);
    }
    node_loop_settle(fixture->loop);
    for (int i = 0; i < 2; i++) {
        nano_ws_close(nodes[i]);
        ws_server_close(servers[i]);
    }
    ws_peer_close(one);
    close_fixture(fixture);
}

/* ---- what cannot be --------------------------------------------------------------------------------------- */

static void test_urls_and_headers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const refused[][3] = {
        {"http://127.0.0.1:7078", "", "ws://"},
        {"127.0.0.1:7078", "", "ws://"},
        {"ws://", "", "host"},
        {"ws://:7078", "", "host"},
        {"ws://[::1:7078", "", "bracket"},
        {"ws://::1:7078", "", "host"},
        {"ws://fe80::1:7078", "", "port"},
        {"ws://127.0.0.1:0", "", "port"},
        {"ws://127.0.0.1:65536", "", "port"},
        {"ws://127.0.0.1:70x", "", "port"},
        {"ws://me:secret@127.0.0.1", "", "ws_header"},
        {"ws://127.0.0.1/a b", "", "space"},
        {"ws://127.0.0.1/#a", "", "#"},
        {"wss://[::1]:7078", "", "IPv6"},
        {"ws://127.0.0.1", "no colon", "Name: value"},
        {"ws://127.0.0.1", ": x", "Name: value"},
        {"ws://127.0.0.1", "X: y\r\nZ: w", "control"},
    };
    struct fixture *fixture = open_fixture();
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char error[NANO_WS_OPEN_ERROR_SIZE] = "";
        struct nano_ws_options options = options_of(fixture, refused[i][0]);
        options.header = refused[i][1];
        assert_null(nano_ws_open(&options, error));
        if (strstr(error, refused[i][2]) == NULL || strstr(error, "secret") != NULL) {
            fail_msg("%s: %s", refused[i][0], error);
        }
    }
    close_fixture(fixture);
    struct nano_url url;
    char error[NANO_URL_ERROR_SIZE];
    assert_int_equal(nano_url_parse("wss://node.example/?key=1", &url, error), CS_OK);
    assert_true(url.secure && url.port == 443);
    assert_string_equal(url.path, "/?key=1");
    assert_string_equal(url.shown, "wss://node.example:443");
    assert_int_equal(nano_url_parse("ws://node.example?key=1", &url, error), CS_OK);
    assert_true(!url.secure && url.port == 80);
    assert_string_equal(url.path, "/?key=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confirmations_of_a_recorded_node_are_told),
        cmocka_unit_test(test_a_subscription_without_an_ack_is_tried_again),
        cmocka_unit_test(test_after_a_drop_all_accounts_are_subscribed_again),
        cmocka_unit_test(test_changes_of_the_filter_are_told_together),
        cmocka_unit_test(test_a_node_that_ignores_updates_gets_the_whole_list),
        cmocka_unit_test(test_a_whole_list_that_is_too_long_is_left_out),
        cmocka_unit_test(test_what_is_no_message_is_counted_and_changes_nothing),
        cmocka_unit_test(test_a_message_that_is_too_long_ends_the_connection),
        cmocka_unit_test(test_a_node_that_does_not_answer_a_ping_is_left),
        cmocka_unit_test(test_silence_while_the_node_goes_on_is_noticed),
        cmocka_unit_test(test_while_it_is_not_read_the_node_waits),
        cmocka_unit_test(test_paths_headers_and_ipv6_addresses_arrive),
        cmocka_unit_test(test_a_host_is_tried_at_each_of_its_addresses),
        cmocka_unit_test(test_a_node_that_is_not_there_is_tried_again),
        cmocka_unit_test(test_attempts_come_ever_more_seldom),
        cmocka_unit_test(test_a_node_that_refuses_the_upgrade_says_why),
        cmocka_unit_test(test_a_connection_that_does_not_come_about_is_given_up),
        cmocka_unit_test(test_with_tls_the_certificate_has_to_be_right),
        cmocka_unit_test(test_it_can_be_stopped_at_each_stage),
        cmocka_unit_test(test_several_nodes_share_a_loop),
        cmocka_unit_test(test_urls_and_headers_that_cannot_be_are_refused),
    };
    log_set_up(getenv("TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
