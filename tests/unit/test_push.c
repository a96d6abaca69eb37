/*
 * The push server over real sockets. The store is a small one made here, with the real cursor in it, whose inbox can be full and whose
 * writer can be held at will: what the real one does is for the flow tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/inbox.h"
#include "base/log.h"
#include "delivery/cursor.h"
#include "lib/schema.h"
#include "lib/wire.h"
#include "lib/ws_client.h"
#include "push/device_frames.h"
#include "push/push.h"
#include "store/proofs.h"
#include "store/reconcile.h"

#define EPOCH       "0123456789abcdef0123456789abcdef"
#define OTHER_EPOCH "0123456789abcdef0123456789abcdee"
#define WINDOW      4
#define DEVICES     6
#define KEYED       5 /* dev_key; those below have tokens */
#define PAYMENTS    400

/* ---- the store ----------------------------------------------------------------------------------------- */

enum kind { PAY, BEGIN, END, ACK, PAGE, OUTCOME, RETIRE, CONFIG };

struct command {
    struct inbox_node node;
    enum kind kind;
    struct store_session session;
    uint64_t a, b;
    uint64_t config_version;
    bool other_epoch;
    struct store_outcome outcome;
    store_session_done begun;
    store_outcome_done noted;
    void *context;
};

struct fake_device {
    struct cursor cursor;
    struct store_session session;
    uint64_t config_version; /* its body is made from it */
    struct store_delivery delivery[PAYMENTS + 1];
};

struct store {
    struct inbox *inbox, *replay;
    pthread_t writer, replayer;
    atomic_bool stop, hold, hold_replay, busy;
    atomic_int begin_err, outcome_err, ended, refusals;
    atomic_bool full, proven;
    const char *_Atomic not_payable;
    atomic_int statuses;  /* that were noted */
    pthread_mutex_t lock; /* of the devices */
    uint64_t generation;
    struct fake_device device[DEVICES]; /* 0 is not used */
    struct store_status status;         /* the last one */
    struct push *push;
};

#define LONG_CONFIG 1000 /* versions from here on have long bodies */
#define LONG_BODY   60000

/* Owned; NULL for version 0. */
static char *config_body(uint64_t version)
{
    if (version == 0) {
        return NULL;
    }
    char *body = cs_alloc(LONG_BODY);
    int length = snprintf(
        body, LONG_BODY,
        "{\"addresses\":[],\"tariff\":{\"steps\":[{\"amount\":\"%llu\",\"seconds\":60}],\"cap_s\":60}",
        (unsigned long long)version);
    int end = version >= LONG_CONFIG ? LONG_BODY - 2 : length;
    memset(body + length, ' ', (size_t)(end - length));
    body[end] = '}';
    return body;
}

/* As the store does it: what is not acked is numbered anew, after what the device has. */
static void roll_back(struct fake_device *device, uint64_t resume, struct store_begun *begun)
{
    uint64_t acked = device->cursor.acked, head = device->cursor.head;
    uint64_t shift = cursor_roll_back(&device->cursor, resume);
    for (uint64_t seq = head; seq > acked && shift > 0; seq--) {
        assert_true(seq + shift <= PAYMENTS);
        device->delivery[seq + shift] = device->delivery[seq];
        device->delivery[seq + shift].seq = seq + shift;
        memset(&device->delivery[seq], 0, sizeof(device->delivery[seq]));
    }
    if (shift > 0) {
        begun->gap_from = acked + 1;
        begun->gap_to = acked + shift;
    }
}

static void run_begin(struct store *store, struct command *command)
{
    struct store_begun begun = {0};
    struct fake_device *device = &store->device[command->session.device];
    enum cs_err err = (enum cs_err)atomic_load(&store->begin_err);
    struct store_session fenced = device->session;
    bool fences = device->cursor.generation != 0;
    if (err == CS_OK && (command->other_epoch || command->a > device->cursor.sent)) {
        roll_back(device, command->a, &begun);
        command->a = device->cursor.acked;
    }
    if (err == CS_OK) {
        err = cursor_begin_session(&device->cursor, store->generation + 1, command->a, WINDOW);
    }
    if (err != CS_OK) {
        command->begun(command->context, command->session.handle, err, NULL);
        return;
    }
    store->generation++;
    device->session =
        (struct store_session){command->session.device, store->generation, command->session.handle};
    if (fences) {
        push_post_ended(store->push, &fenced, "fenced");
    }
    char *body = config_body(device->config_version);
    begun.session = device->session;
    begun.acked = device->cursor.acked;
    begun.head = device->cursor.head;
    begun.window = WINDOW;
    begun.config_version = device->config_version;
    begun.config = body;
    command->begun(command->context, command->session.handle, CS_OK, &begun);
    free(body);
}

static void run_pay(struct store *store, struct fake_device *device)
{
    uint64_t seq;
    enum cursor_post post = cursor_take_payment(&device->cursor, &seq);
    assert_true(seq <= PAYMENTS);
    struct store_delivery *delivery = &device->delivery[seq];
    delivery->seq = seq;
    delivery->config_version = device->config_version;
    delivery->state = post == CURSOR_POST_LIVE ? DELIVERY_SENT : DELIVERY_STORED;
    delivery->payment.to = address_from_nano_key((const uint8_t[32]){7});
    delivery->payment.from = address_from_nano_key((const uint8_t[32]){9});
    delivery->payment.amount.low = seq;
    if (post == CURSOR_POST_LIVE) {
        push_post_live(store->push, &device->session, delivery);
    } else if (post == CURSOR_POST_RAISE) {
        push_post_raised(store->push, &device->session, device->cursor.head);
    }
}

static void run_page(struct store *store, struct fake_device *device, struct command *command)
{
    uint64_t mark_from;
    struct command *request = cs_alloc(sizeof(*request));
    *request = *command;
    cursor_mark_page(&device->cursor, command->a, (uint32_t)command->b, &mark_from, &request->b);
    request->outcome.seq = device->cursor.head;
    request->config_version = device->config_version;
    if (inbox_push(store->replay, &request->node) != CS_OK) {
        free(request);
    }
}

static void run_outcome(struct store *store, struct fake_device *device, const struct command *command)
{
    enum cs_err err = (enum cs_err)atomic_load(&store->outcome_err);
    if (err == CS_OK) {
        err = cursor_ack(&device->cursor, command->outcome.seq);
        assert_int_equal(err, CS_OK);
        struct store_delivery *delivery = &device->delivery[command->outcome.seq];
        delivery->state = command->outcome.state;
        snprintf(delivery->reason, sizeof(delivery->reason), "%s", command->outcome.reason);
    }
    command->noted(command->context, command->session.handle, err, command->outcome.seq);
}

static void run_config(struct store *store, struct fake_device *device, uint64_t version)
{
    device->config_version = version;
    if (device->cursor.generation != 0) {
        char *body = config_body(version);
        push_post_config(store->push, &device->session, version, body);
        free(body);
    }
}

static void run_command(struct store *store, struct command *command)
{
    struct fake_device *device = &store->device[command->session.device];
    bool live = cursor_is_live(&device->cursor, command->session.generation);
    switch (command->kind) {
    case PAY:
        run_pay(store, device);
        return;
    case BEGIN:
        run_begin(store, command);
        return;
    case CONFIG:
        run_config(store, device, command->a);
        return;
    case RETIRE:
        push_post_ended(store->push, &device->session, command->outcome.reason);
        cursor_end_session(&device->cursor);
        return;
    case END:
        if (live) {
            cursor_end_session(&device->cursor);
        }
        atomic_fetch_add(&store->ended, 1);
        return;
    case ACK:
        if (live) {
            assert_int_equal(cursor_ack(&device->cursor, command->a), CS_OK);
        }
        return;
    case PAGE:
        if (live) {
            run_page(store, device, command);
        }
        return;
    case OUTCOME:
        if (live) {
            run_outcome(store, device, command);
        }
        return;
    }
}

static void *write_on(void *context)
{
    struct store *store = context;
    while (!atomic_load(&store->stop) || inbox_count(store->inbox) > 0) {
        struct command *command =
            atomic_load(&store->hold) ? NULL : (struct command *)inbox_take(store->inbox, 1, 5);
        if (command != NULL) {
            pthread_mutex_lock(&store->lock);
            run_command(store, command);
            pthread_mutex_unlock(&store->lock);
            free(command);
        } else {
            usleep(500);
        }
    }
    return NULL;
}

static void *replay_on(void *context)
{
    struct store *store = context;
    while (!atomic_load(&store->stop) || inbox_count(store->replay) > 0) {
        struct command *request = (struct command *)inbox_take(store->replay, 1, 5);
        while (request != NULL && atomic_load(&store->hold_replay)) {
            usleep(500);
        }
        if (request == NULL) {
            continue;
        }
        struct store_delivery found[64];
        size_t count = 0;
        pthread_mutex_lock(&store->lock);
        for (uint64_t seq = request->a; seq <= request->b; seq++) {
            const struct store_delivery *delivery = &store->device[request->session.device].delivery[seq];
            if (delivery->seq != 0) { /* 0: what retention has taken */
                found[count] = *delivery;
                if (delivery->config_version < request->config_version) {
                    found[count].config = config_body(delivery->config_version);
                }
                count++;
            }
        }
        pthread_mutex_unlock(&store->lock);
        push_post_page(store->push, &request->session, request->a, request->b, request->outcome.seq, found,
                       count);
        for (size_t i = 0; i < count; i++) {
            free((char *)(uintptr_t)found[i].config);
        }
        free(request);
    }
    return NULL;
}

static enum cs_err put(struct store *store, const struct command *command)
{
    if (command->kind != PAY && command->kind != RETIRE && command->kind != CONFIG &&
        atomic_load(&store->busy)) {
        atomic_fetch_add(&store->refusals, 1);
        return CS_EBUSY;
    }
    struct command *copy = cs_alloc(sizeof(*copy));
    *copy = *command;
    enum cs_err err = inbox_push(store->inbox, &copy->node);
    if (err != CS_OK) {
        free(copy);
    }
    return err;
}

enum cs_err store_submit_session(struct store *store, const struct store_hello *hello,
                                 store_session_done done, void *context)
{
    return put(store, &(struct command){.kind = BEGIN,
                                        .session = {hello->device, 0, hello->handle},
                                        .a = hello->resume,
                                        .other_epoch = hello->other_epoch,
                                        .begun = done,
                                        .context = context});
}

enum cs_err store_submit_session_end(struct store *store, const struct store_session *session)
{
    return put(store, &(struct command){.kind = END, .session = *session});
}

uint64_t store_observe_stage(struct store *given, enum store_stage stage, uint64_t since_ns)
{
    (void)given;
    assert_true(stage == STORE_STAGE_PUSH || stage == STORE_STAGE_ACK);
    return since_ns + 1;
}

enum cs_err store_submit_ack(struct store *store, const struct store_session *session, uint64_t seq)
{
    return put(store, &(struct command){.kind = ACK, .session = *session, .a = seq});
}

enum cs_err store_submit_page(struct store *store, const struct store_session *session, uint64_t from,
                              uint32_t most)
{
    return put(store, &(struct command){.kind = PAGE, .session = *session, .a = from, .b = most});
}

enum cs_err store_submit_outcome(struct store *store, const struct store_session *session,
                                 const struct store_outcome *outcome, store_outcome_done done, void *context)
{
    return put(
        store,
        &(struct command){
            .kind = OUTCOME, .session = *session, .outcome = *outcome, .noted = done, .context = context});
}

void store_hash_token(struct store *store, const char *token, uint8_t hash[STORE_HASH_SIZE])
{
    (void)store;
    memset(hash, 0, STORE_HASH_SIZE);
    memcpy(hash, token, strlen(token) < STORE_HASH_SIZE ? strlen(token) : STORE_HASH_SIZE);
}

const char *store_epoch(const struct store *store)
{
    (void)store;
    return EPOCH;
}

static void make_key(uint8_t number, uint8_t public_key[32], uint8_t secret_key[64])
{
    uint8_t seed[32];
    memset(seed, number, sizeof(seed));
    crypto_sign_seed_keypair(public_key, secret_key, seed);
}

#define LETTERS    "thirty-two letters, all of ASCII" /* as a token, and as a key: see find_odd */
#define RELAY_KEY  1
#define DEVICE_KEY 2 /* of dev_key, dev_key_disabled and dev_key_retired */

void store_relay_key(struct store *store, uint32_t ahead, uint8_t public_key[32], uint8_t secret_key[64])
{
    (void)store;
    assert_int_equal(ahead, 0);
    make_key(RELAY_KEY, public_key, secret_key);
}

const char *store_refusal(struct store *store)
{
    return atomic_load(&store->full) ? "the disk is full" : NULL;
}

const char *store_not_payable(struct store *store)
{
    return atomic_load(&store->not_payable);
}

const char *store_device_not_payable(struct store *store, int64_t device)
{
    (void)store;
    assert_true(device > 0 && device < DEVICES);
    return NULL; /* no device here wants proofs */
}

const char *store_device_unproven(struct store *store, int64_t device)
{
    assert_true(device > 0 && device < DEVICES);
    return atomic_load(&store->proven) ? NULL : "source_lost";
}

void store_note_status(struct store *store, int64_t device, const struct store_status *status)
{
    assert_true(device > 0 && device < DEVICES);
    pthread_mutex_lock(&store->lock);
    store->status = *status;
    pthread_mutex_unlock(&store->lock);
    atomic_fetch_add(&store->statuses, 1);
}

static bool find_keyed(const char *id, struct store_device_key *found)
{
    uint8_t secret[64];
    if (strcmp(id, "dev_key") == 0) {
        found->device = KEYED;
    } else if (strcmp(id, "dev_key_disabled") == 0) {
        found->state = DEVICE_DISABLED;
    } else if (strcmp(id, "dev_key_retired") == 0) {
        found->state = DEVICE_RETIRED;
    } else {
        return false;
    }
    found->auth = DEVICE_AUTH_KEY;
    make_key(DEVICE_KEY, found->credential, secret);
    return true;
}

/* Devices whose credential would do, if it were only of the other kind. */
static bool find_odd(const char *id, struct store_device_key *found)
{
    uint8_t secret[64];
    found->device = 1;
    if (strcmp(id, "dev_odd_key") == 0) {
        found->auth = DEVICE_AUTH_KEY;
        memcpy(found->credential, LETTERS, sizeof(found->credential));
    } else if (strcmp(id, "dev_odd_token") == 0) {
        make_key(DEVICE_KEY, found->credential, secret);
    } else {
        return false;
    }
    return true;
}

/* dev_1 … dev_4 have the tokens token_1 …; dev_disabled and dev_retired have token_x. */
bool store_find_device(struct store *store, const char *id, struct store_device_key *found)
{
    memset(found, 0, sizeof(*found));
    char token[16] = "token_x";
    if (find_keyed(id, found) || find_odd(id, found)) {
        return true;
    }
    found->device = 0;
    if (strcmp(id, "dev_disabled") == 0) {
        found->state = DEVICE_DISABLED;
    } else if (strcmp(id, "dev_retired") == 0) {
        found->state = DEVICE_RETIRED;
    } else if (strlen(id) == 5 && memcmp(id, "dev_", 4) == 0 && id[4] >= '1' && id[4] < '0' + KEYED) {
        found->device = id[4] - '0';
        snprintf(token, sizeof(token), "token_%c", id[4]);
    } else {
        return false;
    }
    store_hash_token(store, token, found->credential);
    return true;
}

/* Legacy sessions are test_legacy.c's. */
bool store_find_api_token(struct store *store, const uint8_t hash[STORE_HASH_SIZE],
                          struct store_api_token *found)
{
    (void)store, (void)hash, (void)found;
    return false;
}

enum cs_err store_submit_listen(struct store *store, const struct address *address, uint64_t handle,
                                store_listen_done done, void *context)
{
    (void)store, (void)address, (void)handle, (void)done, (void)context;
    return CS_ECLOSED;
}

enum cs_err store_submit_unlisten(struct store *store, const struct address *address)
{
    (void)store, (void)address;
    return CS_ECLOSED;
}

/* ---- the relay ----------------------------------------------------------------------------------------- */

static struct metrics *metrics;
static struct store *store;
static struct push *push;
static uint16_t port;

static void start(struct push_options options)
{
    metrics = metrics_open();
    options.host = "127.0.0.1";
    options.metrics = metrics;
    store = cs_alloc(sizeof(*store));
    store->inbox = inbox_open(100000);
    store->replay = inbox_open(100000);
    pthread_mutex_init(&store->lock, NULL);
    push = push_open(&options, store);
    store->push = push;
    pthread_create(&store->writer, NULL, write_on, store);
    pthread_create(&store->replayer, NULL, replay_on, store);
    char error[PUSH_ERROR_SIZE];
    assert_int_equal(push_start(push, error), CS_OK);
    port = push_port(push);
    assert_int_not_equal(port, 0);
}

static void stop(void)
{
    push_stop(push);
    atomic_store(&store->hold, false);
    atomic_store(&store->hold_replay, false);
    atomic_store(&store->stop, true);
    pthread_join(store->writer, NULL);
    pthread_join(store->replayer, NULL);
    push_close(push);
    inbox_close(store->inbox);
    inbox_close(store->replay);
    pthread_mutex_destroy(&store->lock);
    free(store);
    metrics_close(metrics);
}

static struct push_options usual(void)
{
    return (struct push_options){.sessions_most = 50,
                                 .waiting_most = 50,
                                 .frame_most = 4096,
                                 .hello_timeout_s = 5,
                                 .ping_interval_s = 30,
                                 .ping_timeout_s = 10,
                                 .page_size = 3};
}

static int set_up(void **state)
{
    (void)state;
    start(usual());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stop();
    return 0;
}

static void pay(int device, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(put(store, &(struct command){.kind = PAY, .session = {.device = device}}), CS_OK);
    }
}

static void set_config(int device, uint64_t version)
{
    assert_int_equal(
        put(store, &(struct command){.kind = CONFIG, .session = {.device = device}, .a = version}), CS_OK);
}

static void settle(void)
{
    while (inbox_count(store->inbox) > 0) {
        usleep(1000);
    }
    pthread_mutex_lock(&store->lock); /* the last one is through */
    pthread_mutex_unlock(&store->lock);
}

static uint64_t acked(int device)
{
    settle();
    pthread_mutex_lock(&store->lock);
    uint64_t seq = store->device[device].cursor.acked;
    pthread_mutex_unlock(&store->lock);
    return seq;
}

/* What the device says is under way for a moment. */
static void expect_acked(int device, uint64_t seq)
{
    for (int i = 0; i < 200 && acked(device) != seq; i++) {
        usleep(10000);
    }
    assert_int_equal(acked(device), seq);
}

static void assert_metric(const char *line)
{
    char *text = metrics_print(metrics);
    if (strstr(text, line) == NULL) {
        fail_msg("%s is not in\n%s", line, text);
    }
    free(text);
}

/* ---- the device ---------------------------------------------------------------------------------------- */

static struct ws_client *dial(void)
{
    int status;
    struct ws_client *client = ws_client_open(port, "/device", "coinslot.v1", &status);
    assert_int_equal(status, 101);
    return client;
}

static bool is_of_type(const char *text, const char *type)
{
    char start[64];
    int length = snprintf(start, sizeof(start), "{\"type\":\"%s\"", type);
    return strncmp(text, start, (size_t)length) == 0;
}

/* The next message; states, which may come in between at any time, are passed over. */
static const char *receive(struct ws_client *client, int wait_ms, uint16_t *code)
{
    const char *text;
    do {
        text = ws_client_receive(client, wait_ms, code);
    } while (text != NULL && is_of_type(text, "state"));
    return text;
}

/* As schema/messages says. */
static void assert_fits(const json_t *frame, const char *type)
{
    char why[300];
    if (!schema_check(schema_load(SOURCE_DIR "/schema/messages", type), frame, true, why, sizeof(why))) {
        fail_msg("%s: %s", type, why);
    }
}

/* The next frame has to be of this type. */
static json_t *expect(struct ws_client *client, const char *type)
{
    uint16_t code;
    const char *text = strcmp(type, "state") == 0 ? ws_client_receive(client, WS_CLIENT_WAIT_MS, &code)
                                                  : receive(client, WS_CLIENT_WAIT_MS, &code);
    if (text == NULL) {
        fail_msg("closed with %u where a %s was expected", code, type);
    }
    json_t *frame = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *got = json_string_value(json_object_get(frame, "type"));
    if (got == NULL || strcmp(got, type) != 0) {
        fail_msg("%s where a %s was expected", text, type);
    }
    assert_fits(frame, type);
    return frame;
}

static uint64_t number(const json_t *frame, const char *name)
{
    assert_true(json_is_integer(json_object_get(frame, name)));
    return (uint64_t)json_integer_value(json_object_get(frame, name));
}

static void expect_seq(struct ws_client *client, const char *type, uint64_t seq)
{
    json_t *frame = expect(client, type);
    assert_int_equal(number(frame, "seq"), seq);
    json_decref(frame);
}

static void expect_payments(struct ws_client *client, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        expect_seq(client, "payment", seq);
    }
}

static void expect_gap(struct ws_client *client, uint64_t from, uint64_t to, const char *reason)
{
    json_t *frame = expect(client, "gap");
    assert_int_equal(number(frame, "from"), from);
    assert_int_equal(number(frame, "to"), to);
    assert_string_equal(json_string_value(json_object_get(frame, "reason")), reason);
    json_decref(frame);
}

static void expect_close(struct ws_client *client, uint16_t expected)
{
    uint16_t code;
    const char *text = receive(client, WS_CLIENT_WAIT_MS, &code);
    if (text != NULL) {
        fail_msg("%s where a close was expected", text);
    }
    assert_int_equal(code, expected);
    ws_client_close(client);
}

static void expect_error(struct ws_client *client, const char *code, uint16_t close)
{
    json_t *frame = expect(client, "error");
    assert_string_equal(json_string_value(json_object_get(frame, "code")), code);
    json_decref(frame);
    expect_close(client, close);
}

static void expect_nothing(struct ws_client *client, int wait_ms)
{
    uint16_t code;
    const char *text = receive(client, wait_ms, &code);
    if (text != NULL || code != 1) {
        fail_msg("%s where nothing was expected (close %u)", text != NULL ? text : "a close", code);
    }
}

__attribute__((format(printf, 2, 3))) static void say(struct ws_client *client, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ws_client_send(client, text);
}

static void say_ack(struct ws_client *client, uint64_t seq)
{
    say(client, "{\"type\":\"ack\",\"seq\":%llu}", (unsigned long long)seq);
}

static void say_actuated(struct ws_client *client, uint64_t seq)
{
    say(client, "{\"type\":\"actuated\",\"seq\":%llu,\"seconds\":600}", (unsigned long long)seq);
}

static struct ws_client *greet(const char *device, const char *token, uint64_t resume)
{
    struct ws_client *client = dial();
    json_t *challenge = expect(client, "challenge");
    assert_int_equal(json_string_length(json_object_get(challenge, "nonce")), 64);
    assert_string_equal(json_string_value(json_object_get(challenge, "epoch")), EPOCH);
    json_decref(challenge);
    say(client, "{\"type\":\"hello\",\"device\":\"%s\",\"token\":\"%s\",\"resume\":%llu}", device, token,
        (unsigned long long)resume);
    return client;
}

/* A session of device `number_`, welcomed with these. */
static struct ws_client *session(int which, uint64_t resume, uint64_t last_acked, uint64_t pending)
{
    char device[8], token[16];
    snprintf(device, sizeof(device), "dev_%d", which);
    snprintf(token, sizeof(token), "token_%d", which);
    struct ws_client *client = greet(device, token, resume);
    json_t *welcome = expect(client, "welcome");
    assert_int_equal(number(welcome, "last_acked"), last_acked);
    assert_int_equal(number(welcome, "pending"), pending);
    assert_int_equal(json_string_length(json_object_get(welcome, "time")), 24);
    json_decref(welcome);
    return client;
}

/* ---- a device with a key ------------------------------------------------------------------------------- */

struct keyed {
    struct ws_client *client;
    uint8_t relay_public[32], device_public[32], device_secret[64];
    uint8_t exchange_public[32], exchange_secret[32], relay_exchange[32];
    char challenge[DEVICE_FRAME_SIZE], hello[DEVICE_FRAME_SIZE];
    struct proof_transcript transcript;
    struct proof_channel channel;
};

static void read_key(const json_t *frame, const char *name, uint8_t key[32])
{
    assert_true(hex_decode(json_string_value(json_object_get(frame, name)), key, 32));
}

/* Connects, takes the challenge, and makes ready what dev_key signs. */
static struct keyed *keyed_dial(void)
{
    uint8_t secret[64], pinned[32];
    uint16_t code;
    struct keyed *keyed = cs_alloc(sizeof(*keyed));
    keyed->client = dial();
    const char *text = ws_client_receive(keyed->client, WS_CLIENT_WAIT_MS, &code);
    assert_non_null(text);
    snprintf(keyed->challenge, sizeof(keyed->challenge), "%s", text);
    json_t *challenge = json_loads(text, 0, NULL);
    read_key(challenge, "relay", keyed->relay_public);
    read_key(challenge, "key", keyed->relay_exchange);
    json_decref(challenge);
    make_key(RELAY_KEY, pinned, secret);
    assert_memory_equal(keyed->relay_public, pinned, 32);
    make_key(DEVICE_KEY, keyed->device_public, keyed->device_secret);
    crypto_kx_keypair(keyed->exchange_public, keyed->exchange_secret);
    keyed->transcript = (struct proof_transcript){
        .relay_key = keyed->relay_public,
        .device_key = keyed->device_public,
        .device = "dev_key",
        .challenge = keyed->challenge,
        .challenge_length = strlen(keyed->challenge),
        .hello = keyed->hello,
    };
    return keyed;
}

static void keyed_close(struct keyed *keyed)
{
    ws_client_close(keyed->client);
    free(keyed);
}

/* The hello as it is sent: with `tail` for its last brace. */
static void send_joined(struct ws_client *client, const char *text, const char *tail)
{
    char whole[DEVICE_FRAME_SIZE + PROOF_SIG_TAIL_SIZE];
    snprintf(whole, sizeof(whole), "%.*s%s", (int)strlen(text) - 1, text, tail);
    ws_client_send(client, whole);
}

/* Writes the hello of `transcript.device`, not signed yet; `members` come last. */
static void keyed_write_hello(struct keyed *keyed, const char *members)
{
    char key[65];
    hex_encode_lower(keyed->exchange_public, 32, key);
    int length = snprintf(keyed->hello, sizeof(keyed->hello),
                          "{\"type\":\"hello\",\"device\":\"%s\",\"key\":\"%s\"%s}", keyed->transcript.device,
                          key, members);
    keyed->transcript.hello_length = (size_t)length - 1;
}

/* Signs and sends it. */
static void keyed_send_hello(struct keyed *keyed)
{
    uint8_t signature[PROOF_SIGNATURE_SIZE];
    char tail[PROOF_SIG_TAIL_SIZE];
    proof_sign_hello(&keyed->transcript, keyed->device_secret, signature);
    proof_write_sig(signature, tail);
    send_joined(keyed->client, keyed->hello, tail);
}

/* What the relay says has to be signed by the key that is pinned. */
static json_t *keyed_take_welcome(struct keyed *keyed)
{
    uint16_t code;
    uint8_t signature[PROOF_SIGNATURE_SIZE];
    size_t before;
    const char *text = ws_client_receive(keyed->client, WS_CLIENT_WAIT_MS, &code);
    assert_non_null(text);
    if (!proof_split_sig(text, strlen(text), signature, &before)) {
        fail_msg("%s where a welcome was expected", text);
    }
    assert_true(proof_check_welcome(&keyed->transcript, text, before, signature));
    assert_true(proof_agree_as_device(&keyed->channel, keyed->exchange_public, keyed->exchange_secret,
                                      keyed->relay_exchange));
    json_t *welcome = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_string_equal(json_string_value(json_object_get(welcome, "type")), "welcome");
    return welcome;
}

static struct keyed *keyed_session(uint64_t resume, uint64_t last_acked)
{
    struct keyed *keyed = keyed_dial();
    char members[64];
    snprintf(members, sizeof(members), ",\"resume\":%llu", (unsigned long long)resume);
    keyed_write_hello(keyed, members);
    keyed_send_hello(keyed);
    json_t *welcome = keyed_take_welcome(keyed);
    assert_int_equal(number(welcome, "last_acked"), last_acked);
    json_decref(welcome);
    return keyed;
}

/* The next frame, states aside: its MAC has to be right. NULL: closed. */
static const char *keyed_receive(struct keyed *keyed, uint16_t *code)
{
    const char *text;
    do {
        text = ws_client_receive(keyed->client, WS_CLIENT_WAIT_MS, code);
        if (text != NULL && !proof_open(&keyed->channel, text, strlen(text))) {
            fail_msg("the mac of %s is wrong", text);
        }
    } while (text != NULL && is_of_type(text, "state"));
    return text;
}

static json_t *keyed_expect(struct keyed *keyed, const char *type)
{
    uint16_t code;
    const char *text = keyed_receive(keyed, &code);
    if (text == NULL || !is_of_type(text, type)) {
        fail_msg("%s (%u) where a %s was expected", text != NULL ? text : "closed", code, type);
    }
    json_t *frame = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_fits(frame, type);
    return frame;
}

static void keyed_expect_seq(struct keyed *keyed, const char *type, uint64_t seq)
{
    json_t *frame = keyed_expect(keyed, type);
    assert_int_equal(number(frame, "seq"), seq);
    json_decref(frame);
}

static void keyed_expect_end(struct keyed *keyed, const char *error, uint16_t close)
{
    uint16_t code;
    json_t *frame = keyed_expect(keyed, "error");
    assert_string_equal(json_string_value(json_object_get(frame, "code")), error);
    json_decref(frame);
    assert_null(keyed_receive(keyed, &code));
    assert_int_equal(code, close);
    keyed_close(keyed);
}

/* Before the welcome nothing is sealed. */
static void keyed_expect_refusal(struct keyed *keyed, const char *error, uint16_t close)
{
    expect_error(keyed->client, error, close);
    free(keyed);
}

static void keyed_say(struct keyed *keyed, const char *text)
{
    char tail[PROOF_MAC_TAIL_SIZE];
    proof_seal(&keyed->channel, text, strlen(text), tail);
    send_joined(keyed->client, text, tail);
}

/* ---- deliveries ---------------------------------------------------------------------------------------- */

static void what_was_missed_comes_first_then_what_is_live(void **state)
{
    (void)state;
    pay(1, 6);
    settle();
    struct ws_client *client = session(1, 0, 0, 6);
    expect_payments(client, 1, WINDOW);
    expect_nothing(client, 50);
    say_ack(client, 3);
    expect_payments(client, 5, 6);
    say_ack(client, 6);
    assert_metric("coinslot_sessions 1\n");
    pay(1, 1);
    expect_payments(client, 7, 7);
    say_ack(client, 7);
    expect_nothing(client, 50);
    expect_acked(1, 7);
    ws_client_close(client);
}

static void an_outcome_is_noted_and_acks_what_came_before(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    pay(1, 3);
    expect_payments(client, 1, 3);
    say_actuated(client, 2);
    expect_seq(client, "noted", 2);
    assert_int_equal(acked(1), 2);
    say(client, "{\"type\":\"refused\",\"seq\":3,\"reason\":\"too_late\"}");
    expect_seq(client, "noted", 3);
    say_actuated(client, 2);
    expect_seq(client, "noted", 2);
    assert_int_equal(acked(1), 3);
    assert_int_equal(store->device[1].delivery[3].state, DELIVERY_REFUSED);
    ws_client_close(client);
}

static void a_reconnecting_device_gets_what_it_had_not_persisted(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    pay(1, 3);
    expect_payments(client, 1, 3);
    ws_client_close(client);
    client = session(1, 2, 2, 1);
    expect_payments(client, 3, 3);
    ws_client_close(client);
    client = session(1, 3, 3, 0);
    pay(1, 1);
    expect_payments(client, 4, 4);
    ws_client_close(client);
}

static void seqs_that_will_not_come_are_gaps_that_merge_by_reason(void **state)
{
    (void)state;
    pay(1, 9);
    settle();
    pthread_mutex_lock(&store->lock);
    struct store_delivery *delivery = store->device[1].delivery;
    delivery[1].state = DELIVERY_EXPIRED;
    strcpy(delivery[1].reason, "expired");
    delivery[2].state = DELIVERY_EXPIRED;
    strcpy(delivery[2].reason, "expired");
    delivery[4].state = delivery[5].state = DELIVERY_EXPIRED;
    strcpy(delivery[4].reason, "retired");
    strcpy(delivery[5].reason, "expired");
    delivery[9].state = DELIVERY_EXPIRED;
    strcpy(delivery[9].reason, "expired");
    pthread_mutex_unlock(&store->lock);
    struct ws_client *client = session(1, 0, 0, 9);
    expect_gap(client, 1, 2, "expired");
    expect_payments(client, 3, 3);
    expect_gap(client, 4, 4, "retired");
    say_ack(client, 4);
    expect_gap(client, 5, 5, "expired");
    expect_payments(client, 6, 8);
    say_ack(client, 8);
    expect_gap(client, 9, 9, "expired");
    say_ack(client, 9);
    pay(1, 1);
    expect_payments(client, 10, 10);
    ws_client_close(client);
}

static void a_seq_that_a_newer_session_has_acked_is_no_gap(void **state)
{
    (void)state;
    pay(1, 3);
    settle();
    pthread_mutex_lock(&store->lock);
    store->device[1].delivery[2].seq = 0; /* acked between the marking of the page and its reading */
    pthread_mutex_unlock(&store->lock);
    struct ws_client *client = session(1, 0, 0, 3);
    expect_payments(client, 1, 1);
    pthread_mutex_lock(&store->lock);
    store->device[1].delivery[2].seq = 2;
    pthread_mutex_unlock(&store->lock);
    say_ack(client, 1);
    expect_payments(client, 2, 3); /* and not a gap */
    ws_client_close(client);
}

static void a_second_session_fences_the_first(void **state)
{
    (void)state;
    struct ws_client *first = session(1, 0, 0, 0);
    pay(1, 1);
    expect_payments(first, 1, 1);
    struct ws_client *second = session(1, 0, 0, 1);
    expect_payments(second, 1, 1);
    expect_error(first, "fenced", 4001);
    pay(1, 1);
    expect_payments(second, 2, 2);
    assert_metric("coinslot_sessions 1\n");
    settle();
    assert_int_equal(atomic_load(&store->ended), 0);
    ws_client_close(second);
}

static void a_session_that_breaks_off_ends_in_the_store(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    atomic_store(&store->busy, true);
    ws_client_close(client);
    usleep(100000);
    assert_int_equal(atomic_load(&store->ended), 0);
    atomic_store(&store->busy, false);
    for (int i = 0; i < 200 && atomic_load(&store->ended) == 0; i++) {
        usleep(10000);
    }
    assert_int_equal(atomic_load(&store->ended), 1);
    assert_metric("coinslot_sessions 0\n");
}

static void a_connection_that_breaks_while_the_session_begins_ends_it(void **state)
{
    (void)state;
    atomic_store(&store->hold, true);
    struct ws_client *client = greet("dev_1", "token_1", 0);
    for (int i = 0; i < 200 && inbox_count(store->inbox) == 0; i++) {
        usleep(5000);
    }
    ws_client_close(client);
    usleep(100000);
    atomic_store(&store->hold, false);
    for (int i = 0; i < 200 && atomic_load(&store->ended) == 0; i++) {
        usleep(10000);
    }
    assert_int_equal(atomic_load(&store->ended), 1);
    assert_false(cursor_is_live(&store->device[1].cursor, 1));
}

/* ---- when the store has no room ------------------------------------------------------------------------ */

static void nothing_is_lost_while_the_store_is_busy(void **state)
{
    (void)state;
    pay(1, 12);
    settle();
    struct ws_client *client = session(1, 0, 0, 12);
    expect_payments(client, 1, WINDOW);
    atomic_store(&store->busy, true);
    for (uint64_t seq = 1; seq <= WINDOW; seq++) {
        say_ack(client, seq);
        say_actuated(client, seq); /* all but the first wait in the kernel: reading has stopped */
    }
    expect_nothing(client, 200);
    assert_true(atomic_load(&store->refusals) > 2);
    atomic_store(&store->busy, false);
    for (uint64_t noted = 0, paid = WINDOW; noted < WINDOW || paid < 2 * WINDOW;) {
        uint16_t code;
        const char *text = receive(client, WS_CLIENT_WAIT_MS, &code);
        assert_non_null(text);
        json_t *frame = json_loads(text, 0, NULL);
        if (strcmp(json_string_value(json_object_get(frame, "type")), "noted") == 0) {
            assert_int_equal(number(frame, "seq"), ++noted);
        } else {
            assert_int_equal(number(frame, "seq"), ++paid);
        }
        json_decref(frame);
    }
    assert_int_equal(acked(1), WINDOW);
    say_ack(client, 2 * WINDOW);
    expect_payments(client, 9, 12);
    ws_client_close(client);
}

static void an_outcome_that_was_not_committed_is_not_noted_but_its_ack_counts(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    pay(1, 1);
    expect_payments(client, 1, 1);
    atomic_store(&store->outcome_err, CS_EFULL);
    say_actuated(client, 1);
    expect_nothing(client, 100);
    assert_int_equal(acked(1), 1);
    atomic_store(&store->outcome_err, CS_OK);
    say_actuated(client, 1);
    expect_seq(client, "noted", 1);
    atomic_store(&store->outcome_err, CS_ENOTFOUND);
    say_actuated(client, 1);
    expect_error(client, "unknown_seq", 4000);
}

static void a_hello_to_a_busy_store_is_told_to_come_back(void **state)
{
    (void)state;
    atomic_store(&store->busy, true);
    expect_error(greet("dev_1", "token_1", 0), "busy", 4010);
    atomic_store(&store->busy, false);
    atomic_store(&store->begin_err, CS_EFULL);
    expect_error(greet("dev_1", "token_1", 0), "busy", 4010);
    atomic_store(&store->begin_err, CS_OK);
    ws_client_close(session(1, 0, 0, 0));
    assert_metric("coinslot_sessions_refused_total{reason=\"busy\"} 2\n");
}

static void a_device_that_sends_without_reading_is_held_not_hoarded(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    pay(1, 1);
    expect_payments(client, 1, 1);
    const uint64_t count = 3000;
    for (uint64_t i = 0; i < count; i++) {
        say_actuated(client, 1);
    }
    for (uint64_t i = 0; i < count; i++) {
        expect_seq(client, "noted", 1);
    }
    ws_client_close(client);
}

/* Each is longer than what is written at a time: the rest of one has to be gone before the next, and before a pong. */
static void a_device_that_reads_late_gets_every_frame_whole_and_in_order(void **state)
{
    (void)state;
    struct keyed *keyed = keyed_session(0, 0);
    struct store_session current = store->device[KEYED].session;
    const uint64_t count = 90;
    char *body = config_body(LONG_CONFIG);
    for (uint64_t version = 1; version <= count; version++) {
        push_post_config(push, &current, version, body);
        if (version == count / 2) {
            usleep(300000); /* the relay has begun with them */
            ws_client_send_frame(keyed->client, 0x89, "?", 1);
        }
    }
    free(body);
    usleep(300000);
    pay(KEYED, 1);
    for (uint64_t version = 1; version <= count; version++) {
        json_t *frame = keyed_expect(keyed, "config");
        assert_int_equal(number(frame, "version"), version);
        json_decref(frame);
    }
    keyed_expect_seq(keyed, "payment", 1);
    assert_int_equal(ws_client_pongs(keyed->client), 1);
    keyed_close(keyed);
}

/* ---- who may begin ------------------------------------------------------------------------------------- */

static void an_unknown_device_and_a_wrong_token_get_the_same_answer(void **state)
{
    (void)state;
    static const char *const PAIRS[][2] = {
        {"dev_9", "token_9"}, {"dev_1", "token_2"}, {"dev_key", "token_x"}, {"dev_", "token_1"}};
    char first[512] = "";
    for (size_t i = 0; i < 4; i++) {
        struct ws_client *client = greet(PAIRS[i][0], PAIRS[i][1], 0);
        uint16_t code;
        const char *text = ws_client_receive(client, WS_CLIENT_WAIT_MS, &code);
        assert_non_null(text);
        assert_non_null(strstr(text, "unauthorized"));
        if (i == 0) {
            snprintf(first, sizeof(first), "%s", text);
        }
        assert_string_equal(text, first);
        expect_close(client, 4002);
    }
    assert_metric("coinslot_sessions_refused_total{reason=\"unauthorized\"} 4\n");
}

static void disabled_and_retired_devices_have_codes_of_their_own(void **state)
{
    (void)state;
    expect_error(greet("dev_disabled", "token_x", 0), "disabled", 4006);
    expect_error(greet("dev_retired", "token_x", 0), "retired", 4007);
    expect_error(greet("dev_retired", "token_y", 0), "unauthorized", 4002);
    static const struct {
        const char *reason;
        uint16_t code;
    } LIVE[] = {{"retired", 4007}, {"disabled", 4006}};
    for (size_t i = 0; i < 2; i++) {
        struct ws_client *client = session(1, 0, 0, 0);
        struct command command = {.kind = RETIRE, .session = {.device = 1}};
        snprintf(command.outcome.reason, sizeof(command.outcome.reason), "%s", LIVE[i].reason);
        assert_int_equal(put(store, &command), CS_OK);
        expect_error(client, LIVE[i].reason, LIVE[i].code);
    }
}

/* Of device 1, by token, from a store of this epoch. */
static struct ws_client *session_from(const char *epoch, uint64_t resume, uint64_t last_acked,
                                      uint64_t pending)
{
    struct ws_client *client = dial();
    json_decref(expect(client, "challenge"));
    say(client,
        "{\"type\":\"hello\",\"device\":\"dev_1\",\"token\":\"token_1\",\"resume\":%llu,\"epoch\":\"%s\"}",
        (unsigned long long)resume, epoch);
    json_t *welcome = expect(client, "welcome");
    assert_int_equal(number(welcome, "last_acked"), last_acked);
    assert_int_equal(number(welcome, "pending"), pending);
    json_decref(welcome);
    return client;
}

static void after_a_roll_back_a_gap_is_told_and_what_waits_comes_with_new_numbers(void **state)
{
    (void)state;
    struct ws_client *client = session_from(EPOCH, 0, 0, 0);
    pay(1, 3);
    expect_payments(client, 1, 3);
    say_ack(client, 1);
    expect_acked(1, 1);
    ws_client_close(client);
    client = session_from(EPOCH, 10, 10, 2); /* above all that was ever sent */
    expect_gap(client, 2, 10, "store_rolled_back");
    expect_payments(client, 11, 12);
    say_ack(client, 11);
    expect_acked(1, 11);
    ws_client_close(client);
    client = session_from(OTHER_EPOCH, 12, 12, 1); /* as high as what was sent, but by another store */
    expect_gap(client, 12, 12, "store_rolled_back");
    expect_payments(client, 13, 13);
    say_ack(client, 13);
    pay(1, 1);
    expect_payments(client, 14, 14);
    ws_client_close(client);
    client = session_from(OTHER_EPOCH, 3, 13, 1); /* it knows less than this store: no gap */
    expect_payments(client, 14, 14);
    ws_client_close(client);
}

/* ---- sessions by key ----------------------------------------------------------------------------------- */

static void a_session_by_key_is_proved_by_both_sides_and_sealed_to_its_end(void **state)
{
    (void)state;
    set_config(KEYED, 1);
    pay(KEYED, 2);
    settle();
    struct keyed *keyed = keyed_dial();
    keyed_write_hello(keyed,
                      ",\"resume\":0,\"epoch\":\"" EPOCH "\",\"firmware\":\"1.2.0\",\"config_version\":0");
    keyed_send_hello(keyed);
    json_t *welcome = keyed_take_welcome(keyed);
    assert_int_equal(number(welcome, "pending"), 2);
    assert_int_equal(number(welcome, "config_version"), 1);
    assert_non_null(json_object_get(json_object_get(welcome, "config"), "tariff"));
    json_decref(welcome);
    keyed_expect_seq(keyed, "payment", 1);
    keyed_expect_seq(keyed, "payment", 2);
    keyed_say(keyed, "{\"type\":\"ack\",\"seq\":1}");
    keyed_say(keyed, "{\"type\":\"actuated\",\"seq\":2,\"seconds\":600}");
    keyed_expect_seq(keyed, "noted", 2);
    set_config(KEYED, 2);
    json_t *config = keyed_expect(keyed, "config");
    assert_int_equal(number(config, "version"), 2);
    json_decref(config);
    pay(KEYED, 1);
    keyed_expect_seq(keyed, "payment", 3);
    expect_acked(KEYED, 2);
    keyed_say(keyed, "{\"type\":\"ack\",\"seq\":7}");
    keyed_expect_end(keyed, "ack_ahead", 4000);
    keyed = keyed_session(10, 10);
    json_t *gap = keyed_expect(keyed, "gap"); /* sealed, like all after the welcome */
    assert_string_equal(json_string_value(json_object_get(gap, "reason")), "store_rolled_back");
    json_decref(gap);
    keyed_close(keyed);
}

static void a_hello_signed_over_anything_else_is_unauthorized(void **state)
{
    (void)state;
    /* Each field of what is signed, wrong by one bit, or by another letter where it is text. */
    enum { RELAY_BYTE = 0, DEVICE_BYTE = 32, ID_LETTER = 64, CHALLENGE_BYTE = 71 };
    struct keyed *first = keyed_dial();
    const size_t challenge_length = strlen(first->challenge);
    keyed_close(first);
    uint64_t tried = 0;
    for (size_t at = 0; at < CHALLENGE_BYTE + challenge_length; at += at < CHALLENGE_BYTE ? 5 : 11) {
        struct keyed *keyed = keyed_dial();
        char device[] = "dev_key";
        keyed_write_hello(keyed, ",\"resume\":0");
        keyed->transcript.device = device;
        if (at < DEVICE_BYTE) {
            keyed->relay_public[at] ^= 1;
        } else if (at < ID_LETTER) {
            keyed->device_public[at - DEVICE_BYTE] ^= 1;
        } else if (at < CHALLENGE_BYTE) {
            device[at - ID_LETTER] ^= 1;
        } else {
            keyed->challenge[at - CHALLENGE_BYTE] ^= 1;
        }
        keyed_send_hello(keyed);
        keyed_expect_refusal(keyed, "unauthorized", 4002);
        tried++;
    }
    assert_true(tried > 40);
    assert_int_equal(store->generation, 0); /* none of them reached the store */
}

static void a_hello_that_was_changed_on_its_way_is_unauthorized(void **state)
{
    (void)state;
    static const char *const MEMBERS =
        ",\"resume\":77,\"epoch\":\"" EPOCH "\",\"firmware\":\"1.2.0\",\"config_version\":6";
    static const struct {
        const char *find;
        char letter;
    } CHANGES[] = {{"\"key\":\"", 0},        {"\"resume\":", '6'},         {"\"epoch\":\"", 'f'},
                   {"\"firmware\":\"", '2'}, {"\"config_version\":", '7'}, {"\"sig\":\"", 0}};
    for (size_t i = 0; i < sizeof(CHANGES) / sizeof(CHANGES[0]); i++) {
        struct keyed *keyed = keyed_dial();
        uint8_t signature[PROOF_SIGNATURE_SIZE];
        char tail[PROOF_SIG_TAIL_SIZE];
        keyed_write_hello(keyed, MEMBERS);
        proof_sign_hello(&keyed->transcript, keyed->device_secret, signature);
        proof_write_sig(signature, tail);
        char *at = strstr(keyed->hello, CHANGES[i].find);
        at = (at != NULL ? at : strstr(tail, CHANGES[i].find)) + strlen(CHANGES[i].find);
        *at = CHANGES[i].letter != 0 ? CHANGES[i].letter : *at == '0' ? '1' : '0';
        send_joined(keyed->client, keyed->hello, tail);
        keyed_expect_refusal(keyed, "unauthorized", 4002);
    }
    struct keyed *earlier = keyed_dial(), *later = keyed_dial();
    keyed_write_hello(earlier, MEMBERS);
    snprintf(later->hello, sizeof(later->hello), "%s", earlier->hello);
    later->transcript = earlier->transcript; /* what was heard of another session */
    keyed_send_hello(later);
    keyed_expect_refusal(later, "unauthorized", 4002);
    keyed_close(earlier);
    assert_int_equal(store->generation, 0);
}

static void the_wrong_kind_of_credential_gets_the_answer_of_a_wrong_one(void **state)
{
    (void)state;
    static const char *const IDS[] = {"dev_1", "dev_9", "dev_retired", "dev_key"};
    char first[512] = "";
    for (size_t i = 0; i < 4; i++) {
        struct keyed *keyed = keyed_dial();
        uint16_t code;
        keyed->transcript.device = IDS[i];
        make_key(DEVICE_KEY + 1, keyed->device_public, keyed->device_secret);
        keyed_write_hello(keyed, "");
        keyed_send_hello(keyed);
        const char *text = ws_client_receive(keyed->client, WS_CLIENT_WAIT_MS, &code);
        assert_non_null(text);
        if (i == 0) {
            assert_non_null(strstr(text, "\"unauthorized\""));
            snprintf(first, sizeof(first), "%s", text);
        }
        assert_string_equal(text, first);
        expect_close(keyed->client, 4002);
        free(keyed);
    }
    expect_error(greet("dev_odd_key", LETTERS, 0), "unauthorized", 4002);
    struct keyed *odd = keyed_dial();
    odd->transcript.device = "dev_odd_token";
    keyed_write_hello(odd, "");
    keyed_send_hello(odd);
    keyed_expect_refusal(odd, "unauthorized", 4002);
    assert_metric("coinslot_sessions_refused_total{reason=\"unauthorized\"} 6\n");
}

static void disabled_and_retired_devices_with_keys_are_told_once_they_have_proved_themselves(void **state)
{
    (void)state;
    static const struct {
        const char *id, *code;
        uint16_t close;
    } DEVICES_OUT[] = {{"dev_key_disabled", "disabled", 4006}, {"dev_key_retired", "retired", 4007}};
    for (size_t i = 0; i < 2; i++) {
        struct keyed *keyed = keyed_dial();
        keyed->transcript.device = DEVICES_OUT[i].id;
        keyed_write_hello(keyed, "");
        keyed_send_hello(keyed);
        keyed_expect_refusal(keyed, DEVICES_OUT[i].code, DEVICES_OUT[i].close);
        struct keyed *stranger = keyed_dial();
        stranger->transcript.device = DEVICES_OUT[i].id;
        make_key(DEVICE_KEY + 1, stranger->device_public, stranger->device_secret);
        keyed_write_hello(stranger, "");
        keyed_send_hello(stranger);
        keyed_expect_refusal(stranger, "unauthorized", 4002);
    }
}

static void a_key_of_low_order_is_refused_even_when_it_is_signed(void **state)
{
    (void)state;
    struct keyed *keyed = keyed_dial();
    memset(keyed->exchange_public, 0, sizeof(keyed->exchange_public));
    keyed_write_hello(keyed, "");
    keyed_send_hello(keyed);
    keyed_expect_refusal(keyed, "invalid", 4000);
}

/* What somebody between the device and the relay can do to frames. */
enum meddling { FORGED, UNSEALED, CUT, DROPPED, REPEATED, REORDERED, REFLECTED, FOREIGN, MEDDLING_COUNT };

static void meddle(struct keyed *keyed, enum meddling meddling, const struct proof_channel *foreign,
                   const char *reflected)
{
    static const char *const ACTUATED = "{\"type\":\"actuated\",\"seq\":2,\"seconds\":600}";
    static const char *const STATUS = "{\"type\":\"status\",\"uptime_s\":5}";
    char tail[PROOF_MAC_TAIL_SIZE], later[PROOF_MAC_TAIL_SIZE];
    struct proof_channel other = *foreign;
    proof_seal(&keyed->channel, STATUS, strlen(STATUS), tail);
    proof_seal(&keyed->channel, ACTUATED, strlen(ACTUATED), later);
    switch (meddling) {
    case FORGED:
        send_joined(keyed->client, "{\"type\":\"status\",\"uptime_s\":6}", tail);
        return;
    case UNSEALED:
        ws_client_send(keyed->client, ACTUATED);
        return;
    case CUT:
        memcpy(tail + PROOF_MAC_TAIL_SIZE - 4, "\"}", 3);
        send_joined(keyed->client, STATUS, tail);
        return;
    case DROPPED:
    case REORDERED:
        send_joined(keyed->client, ACTUATED, later); /* and the one before it never, or after it */
        if (meddling == REORDERED) {
            send_joined(keyed->client, STATUS, tail);
        }
        return;
    case REPEATED:
        send_joined(keyed->client, STATUS, tail);
        send_joined(keyed->client, STATUS, tail);
        return;
    case REFLECTED:
        ws_client_send(keyed->client, reflected);
        return;
    case FOREIGN:
        proof_seal(&other, ACTUATED, strlen(ACTUATED), tail);
        send_joined(keyed->client, ACTUATED, tail);
        return;
    case MEDDLING_COUNT:
        break;
    }
    fail();
}

static void a_frame_that_is_not_the_devices_next_one_ends_the_session_and_changes_nothing(void **state)
{
    (void)state;
    pay(KEYED, 2);
    settle();
    struct keyed *foreign = keyed_session(0, 0);
    struct proof_channel before = foreign->channel;
    keyed_close(foreign);
    for (enum meddling meddling = FORGED; meddling < MEDDLING_COUNT; meddling++) {
        struct keyed *keyed = keyed_session(0, 0);
        uint16_t code;
        char reflected[2048];
        const char *text =
            keyed_receive(keyed, &code); /* the first payment; its number is not ours, but its key neither */
        assert_non_null(text);
        snprintf(reflected, sizeof(reflected), "%s", text);
        keyed_expect_seq(keyed, "payment", 2);
        int statuses = atomic_load(&store->statuses);
        meddle(keyed, meddling, &before, reflected);
        keyed_expect_end(keyed, "bad_mac", 4012);
        assert_int_equal(acked(KEYED), 0);
        pthread_mutex_lock(&store->lock);
        assert_true(store->status.uptime_s != 6);
        assert_int_not_equal(store->device[KEYED].delivery[2].state, DELIVERY_ACTUATED);
        pthread_mutex_unlock(&store->lock);
        assert_int_equal(atomic_load(&store->statuses) - statuses, meddling == REPEATED ? 1 : 0);
    }
    assert_metric("coinslot_bad_macs_total 8\n");
}

static void an_error_is_sealed_with_the_next_number_that_the_device_awaits(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 30; i++) {
        struct keyed *keyed = keyed_session(3 * i, 3 * i);
        atomic_store(&store->hold, true);
        pay(KEYED, 3);
        struct command command = {.kind = RETIRE, .session = {.device = KEYED}};
        snprintf(command.outcome.reason, sizeof(command.outcome.reason), "disabled");
        assert_int_equal(put(store, &command), CS_OK);
        atomic_store(&store->hold, false);
        uint16_t code;
        const char *text; /* some of the payments may have left, the others were dropped for the error */
        while ((text = keyed_receive(keyed, &code)) != NULL && is_of_type(text, "payment")) {
        }
        assert_non_null(text);
        assert_non_null(strstr(text, "\"disabled\""));
        keyed_close(keyed);
    }
}

/* ---- config, state, status ----------------------------------------------------------------------------- */

static void expect_config(struct ws_client *client, uint64_t version)
{
    json_t *frame = expect(client, "config");
    assert_int_equal(number(frame, "version"), version);
    char *body = config_body(version);
    json_t *right = json_loads(body, 0, NULL);
    assert_true(json_equal(json_object_get(frame, "config"), right));
    json_decref(right);
    free(body);
    json_decref(frame);
}

/* `inlined`: the text of its version comes with it. */
static void expect_priced(struct ws_client *client, uint64_t seq, uint64_t version, bool inlined)
{
    json_t *frame = expect(client, "payment");
    assert_int_equal(number(frame, "seq"), seq);
    assert_int_equal(number(frame, "config_version"), version);
    assert_int_equal(json_object_get(frame, "config") != NULL, inlined);
    json_decref(frame);
}

static void a_config_comes_before_the_payments_that_it_prices(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    pay(1, 1);
    set_config(1, 1);
    pay(1, 1);
    set_config(1, 2);
    set_config(1, LONG_CONFIG);
    pay(1, 1);
    expect_priced(client, 1, 0, false);
    expect_config(client, 1);
    expect_priced(client, 2, 1, false);
    expect_config(client, 2);
    expect_config(client, LONG_CONFIG);
    expect_priced(client, 3, LONG_CONFIG, false);
    struct store_session current = store->device[1].session;
    push_post_config(push, &current, 2, "{\"addresses\":[]}"); /* older than what it was told */
    pay(1, 1);
    expect_priced(client, 4, LONG_CONFIG, false);
    ws_client_close(client);
    client = greet("dev_1", "token_1", 0);
    json_t *welcome = expect(client, "welcome");
    assert_int_equal(number(welcome, "config_version"), LONG_CONFIG);
    assert_non_null(json_object_get(json_object_get(welcome, "config"), "tariff"));
    json_decref(welcome);
    expect_priced(client, 1, 0, false);
    expect_priced(client, 2, 1, true);
    expect_priced(client, 3, LONG_CONFIG, false);
    expect_priced(client, 4, LONG_CONFIG, false);
    ws_client_close(client);
}

static void a_page_that_two_changes_have_overtaken_is_asked_for_again(void **state)
{
    (void)state;
    set_config(1, 1);
    pay(1, 2);
    settle();
    atomic_store(&store->hold_replay, true);
    struct ws_client *client = session(1, 0, 0, 2);
    bool marked = false;
    for (int i = 0; i < 200 && !marked; i++) {
        usleep(5000);
        pthread_mutex_lock(&store->lock);
        marked = store->device[1].cursor.session_sent == 2;
        pthread_mutex_unlock(&store->lock);
    }
    assert_true(marked);
    set_config(1, 2);
    set_config(1, 3);
    expect_config(client, 2);
    expect_config(client, 3);
    atomic_store(&store->hold_replay, false);
    expect_priced(client, 1, 1, true); /* the page that was under way had it without its text */
    expect_priced(client, 2, 1, true);
    ws_client_close(client);
}

static void expect_state(struct ws_client *client, bool payable, const char *reason)
{
    json_t *frame = expect(client, "state");
    assert_int_equal(json_is_true(json_object_get(frame, "caught_up")), strcmp(reason, "ok") == 0);
    assert_int_equal(json_is_true(json_object_get(frame, "payable")), payable);
    assert_string_equal(json_string_value(json_object_get(frame, "reason")), reason);
    json_decref(frame);
}

static void a_device_is_told_of_its_backlog_and_whether_it_may_be_paid(void **state)
{
    (void)state;
    pay(1, WINDOW + 1);
    settle();
    struct ws_client *client = session(1, 0, 0, WINDOW + 1);
    expect_state(client, true, "backlog");
    expect_payments(client, 1, WINDOW);
    say_ack(client, WINDOW);
    expect_payments(client, WINDOW + 1, WINDOW + 1);
    expect_state(client, true, "source_lost");
    say_ack(client, WINDOW + 1);
    for (uint64_t seq = WINDOW + 2; seq < WINDOW + 12; seq++) { /* live payments are no backlog */
        uint16_t code;
        pay(1, 1);
        const char *text = ws_client_receive(client, WS_CLIENT_WAIT_MS, &code);
        assert_true(text != NULL && is_of_type(text, "payment"));
        say_ack(client, seq);
    }
    expect_acked(1, WINDOW + 11);
    pay(1, WINDOW + 1); /* one more than goes out without an ack */
    expect_payments(client, WINDOW + 12, 2 * WINDOW + 11);
    expect_state(client, true, "backlog");
    say_ack(client, 2 * WINDOW + 11);
    expect_payments(client, 2 * WINDOW + 12, 2 * WINDOW + 12);
    expect_state(client, true, "source_lost");
    atomic_store(&store->full, true);
    expect_state(client, false, "store_full");
    struct ws_client *other = session(2, 0, 0, 0);
    expect_state(other, false, "store_full");
    atomic_store(&store->full, false);
    expect_state(client, true, "source_lost");
    expect_state(other, true, "source_lost");
    ws_client_close(client);
    ws_client_close(other);
}

static void a_device_has_caught_up_when_all_is_proven_and_nothing_waits(void **state)
{
    (void)state;
    pay(1, 2);
    settle();
    struct ws_client *client = session(1, 0, 0, 2);
    expect_payments(client, 1, 2);
    expect_state(client, true, "source_lost");
    atomic_store(&store->proven, true);
    expect_state(client, true, "ok");
    atomic_store(&store->not_payable, "no_source");
    json_t *frame = expect(client, "state"); /* what was missed is here, and still nobody should pay now */
    assert_true(json_is_true(json_object_get(frame, "caught_up")));
    assert_true(json_is_false(json_object_get(frame, "payable")));
    assert_string_equal(json_string_value(json_object_get(frame, "reason")), "no_source");
    json_decref(frame);
    atomic_store(&store->not_payable, NULL);
    expect_state(client, true, "ok");
    atomic_store(&store->proven, false);
    expect_state(client, true, "source_lost");
    ws_client_close(client);
    /* In a new session nothing is proven at the first look: what was found a moment ago may be on its way to it. */
    atomic_store(&store->proven, true);
    client = session(2, 0, 0, 0);
    expect_state(client, true, "unproven");
    expect_state(client, true, "ok");
    ws_client_close(client);
}

static void a_page_that_is_done_in_a_moment_is_no_backlog(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    expect_state(client, true, "source_lost");
    int states = 0;
    const int bursts = 20;
    for (uint64_t seq = 1, paid = 0; seq <= (uint64_t)bursts * (WINDOW + 1);) {
        if (seq > paid) { /* all before the first ack: the last one has to come by a page */
            atomic_store(&store->hold, true);
            pay(1, WINDOW + 1);
            paid += WINDOW + 1;
            atomic_store(&store->hold, false);
        }
        uint16_t code;
        const char *text = ws_client_receive(client, WS_CLIENT_WAIT_MS, &code);
        assert_non_null(text);
        if (is_of_type(text, "state")) {
            states++;
        } else {
            say_ack(client, seq++);
        }
    }
    assert_true(states < bursts); /* two at each burst, if it were one */
    ws_client_close(client);
}

static void a_status_reaches_the_store_at_most_once_a_second_and_the_last_one_wins(void **state)
{
    (void)state;
    struct ws_client *client = dial();
    json_decref(expect(client, "challenge"));
    say(client,
        "{\"type\":\"hello\",\"device\":\"dev_1\",\"token\":\"token_1\",\"firmware\":\"1.2.0\",\"config_version\":6}");
    json_decref(expect(client, "welcome"));
    expect_nothing(client, 50);
    assert_int_equal(atomic_load(&store->statuses), 1);
    assert_string_equal(store->status.firmware, "1.2.0");
    assert_int_equal(store->status.config_version, 6);
    assert_true(store->status.uptime_s == INT64_MIN && store->status.relay_on == -1 &&
                store->status.at_ms > 0);
    for (int i = 1; i <= 100; i++) {
        say(client,
            "{\"type\":\"status\",\"uptime_s\":%d,\"rssi\":-70,\"relay_on\":true,\"remaining_s\":312,\"config_version\":7}",
            i);
    }
    expect_nothing(client, 2200);
    assert_int_equal(atomic_load(&store->statuses), 2);
    pthread_mutex_lock(&store->lock);
    assert_int_equal(store->status.uptime_s, 100);
    assert_int_equal(store->status.rssi, -70);
    assert_int_equal(store->status.relay_on, 1);
    assert_int_equal(store->status.remaining_s, 312);
    assert_int_equal(store->status.config_version, 7);
    assert_string_equal(store->status.firmware, "1.2.0");
    pthread_mutex_unlock(&store->lock);
    say(client, "{\"type\":\"status\",\"uptime_s\":200}");
    say(client, "{\"type\":\"status\",\"uptime_s\":201}");
    ws_client_send(client, "no JSON");
    expect_error(client, "malformed", 4000); /* what was said before the end is not lost */
    pthread_mutex_lock(&store->lock);
    assert_int_equal(store->status.uptime_s, 201);
    assert_true(store->status.rssi == INT64_MIN && store->status.config_version == 7);
    pthread_mutex_unlock(&store->lock);
}

static void only_the_right_path_and_subprotocol_are_upgraded(void **state)
{
    (void)state;
    int status;
    assert_null(ws_client_open(port, "/other", "coinslot.v1", &status));
    assert_int_equal(status, 404);
    assert_null(ws_client_open(port, "/device", NULL, &status));
    assert_int_equal(status, 400);
    assert_null(ws_client_open(port, "/device", "arduino", &status));
    assert_int_equal(status, 400);
    assert_null(ws_client_open(port, "/device", "http", &status));
    assert_int_equal(status, 400);
    struct ws_client *client = ws_client_open(port, "/device", "coinslot.v2, coinslot.v1", &status);
    assert_int_equal(status, 101);
    json_decref(expect(client, "challenge"));
    ws_client_close(client);
}

/* ---- breaking the protocol ----------------------------------------------------------------------------- */

static void what_breaks_the_protocol_is_named_and_closes_the_session(void **state)
{
    (void)state;
    static const struct {
        const char *frame, *code;
    } BROKEN[] = {
        {"{\"type\":\"nonsense\"}", "unknown_type"},
        {"no JSON", "malformed"},
        {"", "malformed"},
        {"{\"type\":\"status\",\"a\":[[[[]]]]}", "malformed"},
        {"{\"type\":\"ack\",\"seq\":-1}", "invalid"},
        {"{\"type\":\"ack\",\"seq\":3}", "ack_ahead"},
        {"{\"type\":\"actuated\",\"seq\":3,\"seconds\":1}", "ack_ahead"},
        {"{\"type\":\"actuated\",\"seq\":0,\"seconds\":1}", "invalid"},
        {"{\"type\":\"hello\",\"device\":\"dev_1\",\"token\":\"token_1\"}", "unexpected"},
    };
    pay(1, 2);
    settle();
    for (size_t i = 0; i < sizeof(BROKEN) / sizeof(BROKEN[0]); i++) {
        struct ws_client *client = session(1, 0, 0, 2);
        expect_payments(client, 1, 2);
        ws_client_send(client, BROKEN[i].frame);
        expect_error(client, BROKEN[i].code, 4000);
    }
    struct ws_client *client = dial();
    json_decref(expect(client, "challenge"));
    say_ack(client, 1);
    expect_error(client, "unexpected", 4000);
    assert_metric("coinslot_protocol_errors_total 10\n");
}

static void messages_that_are_too_big_or_binary_are_refused(void **state)
{
    (void)state;
    char *text = cs_alloc(6000);
    memset(text, ' ', 5999);
    memcpy(text, "{\"type\":\"status\"}", 17);

    struct ws_client *client = session(1, 0, 0, 0);
    ws_client_send_frame(client, 0x81, text, 4096); /* just fits */
    ws_client_send_frame(client, 0x81, text, 4097);
    expect_error(client, "too_big", 4004);

    client = session(1, 0, 0, 0);
    ws_client_send_frame(client, 0x01, text, 3000); /* in fragments */
    ws_client_send_frame(client, 0x00, text + 3000, 1000);
    ws_client_send_frame(client, 0x80, text + 4000, 97);
    expect_error(client, "too_big", 4004);

    client = session(1, 0, 0, 0);
    ws_client_send_frame(client, 0x82, text, 17);
    expect_error(client, "not_text", 4004);
    free(text);
}

static void a_message_in_fragments_is_put_together(void **state)
{
    (void)state;
    struct ws_client *client = session(1, 0, 0, 0);
    pay(1, 1);
    expect_payments(client, 1, 1);
    const char *text = "{\"type\":\"actuated\",\"seq\":1,\"seconds\":5}";
    ws_client_send_frame(client, 0x01, text, 10);
    ws_client_send_frame(client, 0x89, "between", 7); /* a ping may come in between (RFC 6455, section 5.4) */
    ws_client_send_frame(client, 0x00, text + 10, 5);
    ws_client_send_frame(client, 0x00, "", 0);
    ws_client_send_frame(client, 0x80, text + 15, strlen(text) - 15);
    expect_seq(client, "noted", 1);
    assert_int_equal(ws_client_pongs(client), 1);
    ws_client_close(client);
}

/* ---- silence, limits, the end -------------------------------------------------------------------------- */

static void silence_is_found_by_pings_in_both_directions(void **state)
{
    (void)state;
    struct push_options options = usual();
    options.hello_timeout_s = 1;
    options.ping_interval_s = 1;
    options.ping_timeout_s = 1;
    start(options);
    struct ws_client *answers = session(1, 0, 0, 0);
    struct ws_client *silent = session(2, 0, 0, 0);
    struct ws_client *mute = dial();
    json_decref(expect(mute, "challenge"));
    ws_client_ignore_pings(silent);
    expect_error(mute, "hello_timeout", 4003);
    expect_nothing(answers, 2500);
    assert_true(ws_client_pings(answers) >= 2);
    uint16_t code;
    assert_null(receive(silent, WS_CLIENT_WAIT_MS, &code));
    assert_true(code != 1);
    assert_int_equal(ws_client_pings(silent), 1);
    assert_metric("coinslot_sessions 1\n");
    ws_client_send_frame(answers, 0x89, "hi", 2);
    expect_nothing(answers, 100);
    assert_int_equal(ws_client_pongs(answers), 1);
    ws_client_close(answers);
    ws_client_close(silent);
    stop();
}

static void past_sessions_most_the_answer_is_503(void **state)
{
    (void)state;
    struct push_options options = usual();
    options.sessions_most = 2;
    options.sessions_per_ip_most = 1; /* loopback is not limited */
    start(options);
    struct ws_client *first = session(1, 0, 0, 0);
    struct ws_client *second = dial(), *stranger = dial(), *late = dial();
    json_decref(expect(stranger, "challenge"));
    json_decref(expect(second, "challenge"));
    json_decref(expect(late, "challenge")); /* who has not said who it is takes no place */
    say(second, "{\"type\":\"hello\",\"device\":\"dev_2\",\"token\":\"token_2\",\"resume\":0}");
    json_decref(expect(second, "welcome"));
    say(late, "{\"type\":\"hello\",\"device\":\"dev_3\",\"token\":\"token_3\",\"resume\":0}");
    expect_error(late, "busy", 4010);
    int status;
    assert_null(ws_client_open(port, "/device", "coinslot.v1", &status));
    assert_int_equal(status, 503);
    ws_client_close(first);
    for (int i = 0; i < 100 && status != 101; i++) {
        usleep(10000);
        first = ws_client_open(port, "/device", "coinslot.v1", &status);
    }
    assert_int_equal(status, 101);
    ws_client_close(first);
    ws_client_close(second);
    ws_client_close(stranger);
    stop();
}

/* Who asks for one thing after another costs as much as many that connect, and handshakes_per_s counts connections. */
static void a_connection_has_one_request(void **state)
{
    (void)state;
    char text[4096];
    size_t length = 0;
    ssize_t got;
    int fd = wire_dial(port);
    wire_put(fd, "GET /device HTTP/1.1\r\nHost: x\r\n\r\nGET /device HTTP/1.1\r\nHost: x\r\n\r\n");
    while ((got = wire_get(fd, text + length, sizeof(text) - 1 - length, WIRE_WAIT_MS / 2)) > 0) {
        length += (size_t)got;
    }
    close(fd);
    text[length] = '\0';
    assert_int_equal(got, 0); /* long before hello_timeout_s */
    assert_memory_equal(text, "HTTP/1.1 426 ", 13);
    assert_null(strstr(text + 13, "HTTP/1.1 "));
    assert_non_null(strstr(text, "\r\nUpgrade: websocket\r\n")); /* RFC 9110, section 15.5.22 */
}

static void a_taken_address_is_told(void **state)
{
    (void)state;
    struct push_options options = usual();
    options.host = "127.0.0.1";
    options.port = port;
    options.metrics = metrics;
    struct push *other = push_open(&options, store);
    char error[PUSH_ERROR_SIZE];
    assert_int_equal(push_start(other, error), CS_EIO);
    assert_non_null(strstr(error, "127.0.0.1"));
    push_close(other);
    options.host = "no such host";
    other = push_open(&options, store);
    assert_int_equal(push_start(other, error), CS_EIO);
    assert_non_null(strstr(error, "no such host"));
    push_close(other);
}

static void stopping_closes_every_session_with_1001_and_drops_later_posts(void **state)
{
    (void)state;
    start(usual());
    struct ws_client *live = session(1, 0, 0, 0);
    struct ws_client *waiting = dial();
    json_decref(expect(waiting, "challenge"));
    pthread_t stopper;
    pthread_create(&stopper, NULL, (void *(*)(void *))(uintptr_t)push_stop, push);
    expect_close(live, 1001);
    expect_close(waiting, 1001);
    pthread_join(stopper, NULL);
    int status;
    assert_null(ws_client_open(port, "/device", "coinslot.v1", &status));
    assert_int_equal(status, 0);
    settle();
    assert_int_equal(atomic_load(&store->ended), 1);
    struct store_session gone = {.device = 1, .generation = 1, .handle = (uint64_t)1 << 32};
    for (int i = 0; i < 200; i++) {
        push_post_raised(push, &gone, 7);
        push_post_page(push, &gone, 1, 0, 7, NULL, 0); /* would block for ever */
    }
    stop();
}

static void a_session_that_does_not_answer_the_close_does_not_hold_up_stopping(void **state)
{
    (void)state;
    start(usual());
    struct ws_client *client = session(1, 0, 0, 0);
    push_stop(push);
    ws_client_close(client);
    stop();
}

/* ---- many at once -------------------------------------------------------------------------------------- */

struct meter {
    int which;
    uint64_t persisted, random;
    atomic_bool failed;
};

static uint64_t next_random(struct meter *meter)
{
    meter->random = meter->random * 6364136223846793005u + 1442695040888963407u;
    return meter->random >> 33;
}

/* Connects, takes what comes, acks and breaks off at random, until it has everything; no cmocka here: it is another thread. */
static void *run_meter(void *context)
{
    struct meter *meter = context;
    while (meter->persisted < PAYMENTS && !atomic_load(&meter->failed)) {
        int status;
        uint16_t code;
        struct ws_client *client = ws_client_open(port, "/device", "coinslot.v1", &status);
        if (client == NULL || ws_client_receive(client, WS_CLIENT_WAIT_MS, &code) == NULL) {
            atomic_store(&meter->failed, true);
            ws_client_close(client);
            return NULL;
        }
        say(client, "{\"type\":\"hello\",\"device\":\"dev_%d\",\"token\":\"token_%d\",\"resume\":%llu}",
            meter->which, meter->which, (unsigned long long)meter->persisted);
        uint64_t patience = 1 + next_random(meter) % 60;
        const char *text;
        while (patience-- > 0 && (text = ws_client_receive(client, WS_CLIENT_WAIT_MS, &code)) != NULL) {
            unsigned long long seq;
            if (sscanf(text, "{\"type\":\"payment\",\"seq\":%llu", &seq) == 1) {
                if (seq != meter->persisted + 1) {
                    print_message("device %d has %llu and is sent %llu\n", meter->which,
                                  (unsigned long long)meter->persisted, seq);
                    atomic_store(&meter->failed, true);
                }
                meter->persisted = seq;
                uint64_t choice = next_random(meter) % 4;
                if (choice == 0) {
                    say_actuated(client, seq);
                } else if (choice != 1 || seq % WINDOW == 0) {
                    say_ack(client, seq);
                }
            }
            if (meter->persisted == PAYMENTS) {
                break;
            }
        }
        ws_client_close(client);
    }
    return NULL;
}

static void meters_that_come_and_go_miss_nothing_while_payments_keep_arriving(void **state)
{
    (void)state;
    struct meter meters[KEYED] = {0};
    pthread_t threads[KEYED];
    for (int i = 1; i < KEYED; i++) {
        meters[i].which = i;
        meters[i].random = 77u + (unsigned)i;
        pthread_create(&threads[i], NULL, run_meter, &meters[i]);
    }
    for (int count = 0; count < PAYMENTS; count++) {
        for (int i = 1; i < KEYED; i++) {
            pay(i, 1);
        }
        atomic_store(&store->busy, count % 50 >= 45);
        usleep(1000);
    }
    atomic_store(&store->busy, false);
    for (int i = 1; i < KEYED; i++) {
        pthread_join(threads[i], NULL);
        assert_false(atomic_load(&meters[i].failed));
        assert_int_equal(meters[i].persisted, PAYMENTS);
    }
}

#define WITH_RELAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    log_set_up(getenv("PUSH_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        WITH_RELAY(what_was_missed_comes_first_then_what_is_live),
        WITH_RELAY(an_outcome_is_noted_and_acks_what_came_before),
        WITH_RELAY(a_reconnecting_device_gets_what_it_had_not_persisted),
        WITH_RELAY(seqs_that_will_not_come_are_gaps_that_merge_by_reason),
        WITH_RELAY(a_seq_that_a_newer_session_has_acked_is_no_gap),
        WITH_RELAY(a_second_session_fences_the_first),
        WITH_RELAY(a_session_that_breaks_off_ends_in_the_store),
        WITH_RELAY(a_connection_that_breaks_while_the_session_begins_ends_it),
        WITH_RELAY(nothing_is_lost_while_the_store_is_busy),
        WITH_RELAY(an_outcome_that_was_not_committed_is_not_noted_but_its_ack_counts),
        WITH_RELAY(a_hello_to_a_busy_store_is_told_to_come_back),
        WITH_RELAY(a_device_that_sends_without_reading_is_held_not_hoarded),
        WITH_RELAY(a_device_that_reads_late_gets_every_frame_whole_and_in_order),
        WITH_RELAY(an_unknown_device_and_a_wrong_token_get_the_same_answer),
        WITH_RELAY(disabled_and_retired_devices_have_codes_of_their_own),
        WITH_RELAY(after_a_roll_back_a_gap_is_told_and_what_waits_comes_with_new_numbers),
        WITH_RELAY(a_session_by_key_is_proved_by_both_sides_and_sealed_to_its_end),
        WITH_RELAY(a_hello_signed_over_anything_else_is_unauthorized),
        WITH_RELAY(a_hello_that_was_changed_on_its_way_is_unauthorized),
        WITH_RELAY(the_wrong_kind_of_credential_gets_the_answer_of_a_wrong_one),
        WITH_RELAY(disabled_and_retired_devices_with_keys_are_told_once_they_have_proved_themselves),
        WITH_RELAY(a_key_of_low_order_is_refused_even_when_it_is_signed),
        WITH_RELAY(a_frame_that_is_not_the_devices_next_one_ends_the_session_and_changes_nothing),
        WITH_RELAY(an_error_is_sealed_with_the_next_number_that_the_device_awaits),
        WITH_RELAY(a_config_comes_before_the_payments_that_it_prices),
        WITH_RELAY(a_page_that_two_changes_have_overtaken_is_asked_for_again),
        WITH_RELAY(a_device_is_told_of_its_backlog_and_whether_it_may_be_paid),
        WITH_RELAY(a_device_has_caught_up_when_all_is_proven_and_nothing_waits),
        WITH_RELAY(a_page_that_is_done_in_a_moment_is_no_backlog),
        WITH_RELAY(a_status_reaches_the_store_at_most_once_a_second_and_the_last_one_wins),
        WITH_RELAY(only_the_right_path_and_subprotocol_are_upgraded),
        WITH_RELAY(what_breaks_the_protocol_is_named_and_closes_the_session),
        WITH_RELAY(messages_that_are_too_big_or_binary_are_refused),
        WITH_RELAY(a_message_in_fragments_is_put_together),
        WITH_RELAY(a_taken_address_is_told),
        WITH_RELAY(meters_that_come_and_go_miss_nothing_while_payments_keep_arriving),
        cmocka_unit_test(silence_is_found_by_pings_in_both_directions),
        cmocka_unit_test(past_sessions_most_the_answer_is_503),
        WITH_RELAY(a_connection_has_one_request),
        cmocka_unit_test(stopping_closes_every_session_with_1001_and_drops_later_posts),
        cmocka_unit_test(a_session_that_does_not_answer_the_close_does_not_hold_up_stopping),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    schema_forget();
    return failed;
}
