/* The admin API over a real store and a real HTTP server on a free port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/admin.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "store/reconcile.h"

#define CONFIG                                                                                               \
    "{\"tariff\":{\"steps\":[{\"amount\":\"100\",\"seconds\":600}],\"cap_s\":7200},\"late_after_s\":900}"
#define ADDRESS      "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"
#define XRB          "xrb_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"
#define API          "/api/v1"
#define IMPORT_BYTES 5000 /* small, to be run into */
#define IMPORT_LINES 20
#define ONE_NANO     "1000000000000000000000000000000"

static char dir[64];
static struct metrics *metrics;
static struct store *store;
static struct http *http;
static struct admin *admin;
static bool reconciled, has_node = true;
static int upstream;
static char role_tokens[STORE_ROLE_COUNT][40];
static const char *trouble; /* what the one check of /readyz says */
static sem_t happened;

/* ---- a relay without its other ends ------------------------------------------------------------------------------ */

static void on_live(void *context, const struct store_session *session, const struct store_delivery *delivery)
{
    (void)context, (void)session, (void)delivery;
}
static void on_raised(void *context, const struct store_session *session, uint64_t head)
{
    (void)context, (void)session, (void)head;
}
static void on_ended(void *context, const struct store_session *session, const char *reason)
{
    (void)context, (void)session, (void)reason;
}
static void on_config(void *context, const struct store_session *session, uint64_t version, const char *body)
{
    (void)context, (void)session, (void)version, (void)body;
}
static void on_page(void *context, const struct store_session *session, uint64_t from, uint64_t to,
                    uint64_t head, const struct store_delivery *deliveries, size_t count)
{
    (void)context, (void)session, (void)from, (void)to, (void)head, (void)deliveries, (void)count;
    sem_post(&happened);
}

static const char *check(void *context)
{
    assert_string_equal(context, "its context");
    return trouble;
}

static void make_tokens(void)
{
    for (int role = 0; role < STORE_ROLE_COUNT; role++) {
        struct store_api_token token = {.role = (enum store_role)role};
        uint8_t hash[STORE_HASH_SIZE];
        snprintf(token.name, sizeof token.name, "%s", store_role_text(token.role));
        snprintf(role_tokens[role], sizeof role_tokens[role], "token-of-the-%s", store_role_text(token.role));
        store_hash_token(store, role_tokens[role], hash);
        assert_int_equal(store_create_api_token(store, &token, hash), CS_OK);
    }
}

static char *print_upstream(void *context)
{
    assert_ptr_equal(context, &upstream);
    return cs_strdup("{\"payable\":true}");
}

static bool reconcile_upstream(void *context, const char *why)
{
    assert_ptr_equal(context, &upstream);
    assert_non_null(why);
    reconciled = has_node;
    return has_node;
}

static int set_up(void **state)
{
    (void)state;
    static const struct admin_check CHECKS[] = {{"node", check, (void *)(uintptr_t) "its context"}};
    static const char *const WARNINGS[] = {"confirm = source trusts whoever can reach the callback"};
    char error[STORE_ERROR_SIZE];
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    sem_init(&happened, 0, 0);
    trouble = NULL;
    snprintf(dir, sizeof dir, "/tmp/coinslot-admin-XXXXXX");
    assert_non_null(mkdtemp(dir));
    metrics = metrics_open();
    const struct store_options options = {.dir = dir,
                                          .inbox_capacity = 64,
                                          .batch_most = 16,
                                          .window = 16,
                                          .page_size = 16,
                                          .readers = 4,
                                          .subscriptions_most = 2,
                                          .unconfirmed_most = 100,
                                          .wal_most_bytes = 1 << 24,
                                          .synchronous = "FULL",
                                          .metrics = metrics};
    const struct store_events events = {
        .live = on_live, .raised = on_raised, .ended = on_ended, .page = on_page, .config = on_config};
    if (store_open(&options, &store, error) != CS_OK) {
        fail_msg("%s", error);
    }
    store_start(store, &events);
    const struct http_options http_options = {
        .host = "127.0.0.1", .threads = 2, .connections_most = 50, .idle_timeout_s = 10, .metrics = metrics};
    http = http_open(&http_options);
    reconciled = false;
    const struct admin_options admin_options = {
        .upstream = {&upstream, print_upstream, reconcile_upstream},
        .checks = CHECKS,
        .check_count = 1,
        .warnings = WARNINGS,
        .warning_count = 1,
        .metrics = metrics,
        .spool_dir = dir,
        .import_bytes_most = IMPORT_BYTES,
        .import_lines_most = IMPORT_LINES,
    };
    admin = admin_open(&admin_options, store, http);
    if (http_start(http, error) != CS_OK) {
        fail_msg("%s", error);
    }
    make_tokens();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_quiesce(http);
    store_stop(store);
    http_close(http);
    admin_close(admin);
    store_close(store);
    metrics_close(metrics);
    sem_destroy(&happened);
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* ---- a client ---------------------------------------------------------------------------------------------------- */

struct answer {
    int status;
    char head[1000];
    char *body;
    json_t *json; /* NULL when it is none */
};

static void drop(struct answer *answer)
{
    json_decref(answer->json);
    free(answer->body);
}

static char *exchange(const char *request)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_port(http))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    size_t size = 1 << 20, length = 0;
    char *text = calloc(1, size);
    for (ssize_t got; (got = recv(fd, text + length, size - 1 - length, 0)) > 0;) {
        length += (size_t)got;
    }
    close(fd);
    return text;
}

/* `token` may be NULL; `headers` are whole lines. */
static struct answer ask_with(const char *token, const char *headers, const char *method, const char *path,
                              const char *body)
{
    static char request[30000];
    char bearer[300] = "";
    if (token != NULL) {
        snprintf(bearer, sizeof bearer, "Authorization: Bearer %s\r\n", token);
    }
    snprintf(request, sizeof request,
             "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%sContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             method, path, bearer, headers, strlen(body), body);
    char *text = exchange(request), *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    struct answer answer = {.status = atoi(text + strlen("HTTP/1.1 "))};
    snprintf(answer.head, sizeof answer.head, "%.*s", (int)(end - text), text);
    answer.body = strdup(end + 4);
    answer.json = json_loads(answer.body, 0, NULL);
    free(text);
    return answer;
}

static struct answer ask(enum store_role role, const char *method, const char *path, const char *body)
{
    return ask_with(role_tokens[role], "", method, path, body);
}

static const char *text_of(const struct answer *answer, const char *key)
{
    const char *text = json_text(answer->json, key);
    return text == NULL ? "" : text;
}

static void expect(enum store_role role, const char *method, const char *path, const char *body, int status,
                   const char *code)
{
    struct answer answer = ask(role, method, path, body);
    if (answer.status != status || strcmp(text_of(&answer, "code"), code) != 0) {
        fail_msg("%s %s %s: %d %s, not %d %s", method, path, body, answer.status, answer.body, status, code);
    }
    if (status >= 400) {
        assert_non_null(strstr(answer.head, "application/problem+json"));
        assert_true(text_of(&answer, "detail")[0] != '\0' && text_of(&answer, "hint")[0] != '\0');
    }
    drop(&answer);
}

static void count_items(const char *path, size_t count)
{
    struct answer answer = ask(ROLE_AUDITOR, "GET", path, "");
    if (answer.status != 200 || json_array_size(json_object_get(answer.json, "items")) != count) {
        fail_msg("%s: not %zu items: %s", path, count, answer.body);
    }
    drop(&answer);
}

/* Registers a device and subscribes it to ADDRESS. */
static void make_device(const char *body, char id[STORE_ID_SIZE])
{
    struct answer answer = ask(ROLE_OPERATOR, "POST", API "/devices", body);
    assert_int_equal(answer.status, 201);
    snprintf(id, STORE_ID_SIZE, "%s", text_of(&answer, "id"));
    drop(&answer);
    char path[100];
    snprintf(path, sizeof path, API "/devices/%s/subscriptions", id);
    answer = ask(ROLE_OPERATOR, "POST", path, "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}");
    assert_int_equal(answer.status, 201);
    drop(&answer);
}

static void paid(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    (void)context;
    assert_int_equal(err, CS_OK);
    assert_int_equal(outcome, STORE_PAYMENT_STORED);
    sem_post(&happened);
}

static void pay(uint8_t number)
{
    struct payment payment = {.source = SOURCE_CALLBACK, .node_time_ms = 1795194180000};
    memset(payment.hash, number, sizeof payment.hash);
    assert_true(address_parse(CHAIN_NANO, ADDRESS, &payment.to));
    assert_true(address_parse(CHAIN_NANO, ADDRESS, &payment.from));
    assert_true(amount_parse_raw(ONE_NANO, &payment.amount));
    assert_int_equal(store_submit_payment(store, &payment, NULL, 0, NULL, 0, paid, NULL), CS_OK);
    sem_wait(&happened);
}

static struct store_begun begun;

static void session_begun(void *context, uint64_t handle, enum cs_err err, const struct store_begun *answer)
{
    (void)context, (void)handle;
    assert_int_equal(err, CS_OK);
    begun = *answer;
    sem_post(&happened);
}

static void outcome_noted(void *context, uint64_t handle, enum cs_err err, uint64_t seq)
{
    (void)context, (void)handle, (void)seq;
    assert_int_equal(err, CS_OK);
    sem_post(&happened);
}

/* What a device does: it connects, gets everything, serves seq 1 and refuses seq 2. */
static void serve_one_and_refuse_one(const char *id)
{
    struct store_device_key key;
    assert_true(store_find_device(store, id, &key));
    assert_int_equal(store_submit_session(store, &(struct store_hello){.device = key.device, .handle = 7},
                                          session_begun, NULL),
                     CS_OK);
    sem_wait(&happened);
    assert_int_equal(store_submit_page(store, &begun.session, 1, 16), CS_OK);
    sem_wait(&happened);
    const struct store_outcome served = {.seq = 1, .state = DELIVERY_ACTUATED, .seconds = 600};
    assert_int_equal(store_submit_outcome(store, &begun.session, &served, outcome_noted, NULL), CS_OK);
    sem_wait(&happened);
    const struct store_outcome refused = {.seq = 2, .state = DELIVERY_REFUSED, .reason = "too_late"};
    assert_int_equal(store_submit_outcome(store, &begun.session, &refused, outcome_noted, NULL), CS_OK);
    sem_wait(&happened);
}

/* ---- the tests --------------------------------------------------------------------------------------------------- */

static void without_a_valid_token_nothing_is_told(void **state)
{
    (void)state;
    static const char *const PATHS[] = {API "/devices", API "/deliveries", API "/payments", API "/tokens"};
    for (size_t i = 0; i < 4; i++) {
        struct answer answer = ask_with(NULL, "", "GET", PATHS[i], "");
        assert_int_equal(answer.status, 401);
        assert_string_equal(text_of(&answer, "code"), "token_needed");
        assert_non_null(strstr(text_of(&answer, "hint"), "coinslot token create"));
        assert_non_null(strstr(answer.head, "WWW-Authenticate: Bearer realm=\"coinslot\"\r\n"));
        drop(&answer);
        answer = ask_with("no-such-token", "", "GET", PATHS[i], "");
        assert_int_equal(answer.status, 401);
        assert_string_equal(text_of(&answer, "code"), "invalid_token");
        assert_non_null(strstr(answer.head, "error=\"invalid_token\""));
        drop(&answer);
    }
    struct answer answer = ask_with(NULL, "Authorization: Basic dG9rZW4=\r\n", "GET", API "/devices", "");
    assert_string_equal(text_of(&answer, "code"), "token_needed");
    drop(&answer);
    answer = ask_with(NULL, "authorization: bearer   token-of-the-viewer\r\n", "GET", API "/devices", "");
    assert_int_equal(answer.status, 200);
    drop(&answer);
}

static void each_role_may_do_what_the_table_says(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *body;
        enum store_role least;
        int status; /* when allowed */
    } CASES[] = {
        {"GET", API "/devices", "", ROLE_VIEWER, 200},
        {"GET", API "/devices/dev_x", "", ROLE_VIEWER, 404},
        {"GET", API "/devices/dev_x/subscriptions", "", ROLE_VIEWER, 404},
        {"GET", API "/deliveries", "", ROLE_VIEWER, 200},
        {"GET", API "/payments", "", ROLE_VIEWER, 200},
        {"POST", API "/devices", "{\"name\":\"x\"}", ROLE_OPERATOR, 201},
        {"DELETE", API "/devices/dev_x", "", ROLE_OPERATOR, 404},
        {"POST", API "/devices/dev_x/subscriptions", "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}",
         ROLE_OPERATOR, 404},
        {"DELETE", API "/devices/dev_x/subscriptions/sub_x", "", ROLE_OPERATOR, 404},
        {"PATCH", API "/devices/dev_x", "{\"state\":\"active\"}", ROLE_OPERATOR, 404},
        {"GET", API "/devices/dev_x/config", "", ROLE_VIEWER, 404},
        {"PUT", API "/devices/dev_x/config", CONFIG, ROLE_OPERATOR, 404},
        {"POST", API "/devices/import", "", ROLE_OPERATOR, 415},
        {"GET", API "/relay", "", ROLE_VIEWER, 200},
        {"POST", API "/relay/roll-key", "", ROLE_ADMIN, 200},
        {"GET", API "/tokens", "", ROLE_ADMIN, 200},
        {"POST", API "/tokens", "{\"name\":\"x\",\"role\":\"viewer\"}", ROLE_ADMIN, 201},
        {"DELETE", API "/tokens/tok_x", "", ROLE_ADMIN, 404},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        for (int role = 0; role < STORE_ROLE_COUNT; role++) {
            bool allowed = role >= (int)CASES[i].least;
            struct answer answer = ask((enum store_role)role, CASES[i].method, CASES[i].path, CASES[i].body);
            if (answer.status != (allowed ? CASES[i].status : 403)) {
                fail_msg("%s %s as %s: %d %s", CASES[i].method, CASES[i].path,
                         store_role_text((enum store_role)role), answer.status, answer.body);
            }
            if (!allowed) {
                assert_string_equal(text_of(&answer, "code"), "role_too_low");
                assert_non_null(strstr(text_of(&answer, "hint"), store_role_text(CASES[i].least)));
                assert_non_null(strstr(answer.head, "insufficient_scope"));
            }
            drop(&answer);
        }
    }
}

static void a_device_is_registered_shown_and_retired(void **state)
{
    (void)state;
    struct answer made = ask(ROLE_OPERATOR, "POST", API "/devices",
                             "{\"name\":\"Meter 12\",\"auth\":\"token\",\"expire_after_s\":900}");
    assert_int_equal(made.status, 201);
    const char *id = text_of(&made, "id"), *token = text_of(&made, "token");
    assert_memory_equal(id, "dev_", 4);
    assert_int_equal(strlen(token), 43);
    char path[100], location[150];
    snprintf(path, sizeof path, API "/devices/%s", id);
    snprintf(location, sizeof location, "Location: %s\r\n", path);
    assert_non_null(strstr(made.head, location));
    assert_non_null(strstr(made.head, "no-store"));

    uint8_t hash[STORE_HASH_SIZE];
    struct store_device_key key;
    store_hash_token(store, token, hash);
    assert_true(store_find_device(store, id, &key));
    assert_memory_equal(key.credential, hash, sizeof hash);

    struct answer shown = ask(ROLE_VIEWER, "GET", path, "");
    assert_int_equal(shown.status, 200);
    assert_null(json_object_get(shown.json, "token")); /* shown once */
    assert_string_equal(text_of(&shown, "name"), "Meter 12");
    assert_string_equal(text_of(&shown, "state"), "active");
    assert_int_equal(json_integer_value(json_object_get(shown.json, "expire_after_s")), 900);
    assert_int_equal(strlen(text_of(&shown, "created_at")), 24);
    assert_true(json_is_null(json_object_get(shown.json, "retired_at")));
    drop(&shown);

    expect(ROLE_OPERATOR, "DELETE", path, "", 204, "");
    expect(ROLE_OPERATOR, "DELETE", path, "", 204, "");
    shown = ask(ROLE_VIEWER, "GET", path, "");
    assert_string_equal(text_of(&shown, "state"), "retired");
    drop(&shown);
    char subscriptions[120];
    snprintf(subscriptions, sizeof subscriptions, "%s/subscriptions", path);
    expect(ROLE_OPERATOR, "POST", subscriptions, "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}", 409,
           "device_retired");
    drop(&made);
}

/* What the relay shows of itself; the two keys owned by the caller. */
static void relay_keys(const char *method, const char *path, char *now, char *next)
{
    struct answer answer = ask(ROLE_ADMIN, method, path, "");
    assert_int_equal(answer.status, 200);
    const json_t *keys = json_object_get(answer.json, "relay_keys");
    assert_int_equal(json_array_size(keys), 2);
    snprintf(now, 65, "%s", json_string_value(json_array_get(keys, 0)));
    snprintf(next, 65, "%s", json_string_value(json_array_get(keys, 1)));
    assert_string_equal(text_of(&answer, "epoch"), store_epoch(store));
    assert_string_equal(text_of(&answer, "version"), COINSLOT_VERSION);
    assert_true(json_is_integer(json_object_get(answer.json, "uptime_s")));
    drop(&answer);
}

static void the_next_relay_key_comes_into_use_when_it_is_rolled(void **state)
{
    (void)state;
    char first[65], second[65], now[65], next[65];
    uint8_t public_key[32], secret_key[64];
    relay_keys("GET", API "/relay", first, second);
    assert_string_not_equal(first, second);
    relay_keys("POST", API "/relay/roll-key", now, next);
    assert_string_equal(now, second);
    assert_string_not_equal(next, first);
    store_relay_key(store, 0, public_key, secret_key);
    char text[65];
    hex_encode_lower(public_key, sizeof public_key, text);
    assert_string_equal(text, second);
    relay_keys("GET", API "/relay", first, second);
    assert_string_equal(first, now);
}

static void a_device_with_a_key_gets_what_it_has_to_pin_and_no_secret_of_it_is_kept(void **state)
{
    (void)state;
    struct answer made = ask(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"x\",\"auth\":\"key\"}");
    assert_int_equal(made.status, 201);
    assert_string_equal(text_of(&made, "auth"), "key");
    assert_null(json_object_get(made.json, "token"));
    uint8_t seed[32], public_key[32], secret_key[64];
    assert_true(hex_decode(text_of(&made, "secret_key"), seed, sizeof seed));
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    struct store_device_key found;
    assert_true(store_find_device(store, text_of(&made, "id"), &found));
    assert_int_equal(found.auth, DEVICE_AUTH_KEY);
    assert_memory_equal(found.credential, public_key, sizeof public_key);
    char text[65], now[65], next[65];
    hex_encode_lower(public_key, sizeof public_key, text);
    assert_string_equal(text_of(&made, "public_key"), text);
    relay_keys("GET", API "/relay", now, next);
    assert_string_equal(json_string_value(json_array_get(json_object_get(made.json, "relay_keys"), 0)), now);
    assert_string_equal(json_string_value(json_array_get(json_object_get(made.json, "relay_keys"), 1)), next);
    assert_string_equal(text_of(&made, "epoch"), store_epoch(store));
    drop(&made);
}

static void one_public_key_is_in_one_device_until_that_is_retired(void **state)
{
    (void)state;
    static const char BODY[] =
        "{\"name\":\"x\",\"auth\":\"key\",\"public_key\":\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"}";
    struct answer made = ask(ROLE_OPERATOR, "POST", API "/devices", BODY);
    assert_int_equal(made.status, 201);
    assert_null(json_object_get(made.json, "secret_key"));
    char path[100];
    snprintf(path, sizeof path, API "/devices/%s", text_of(&made, "id"));
    drop(&made);
    expect(ROLE_OPERATOR, "POST", API "/devices", BODY, 409, "duplicate_key");
    expect(ROLE_OPERATOR, "DELETE", path, "", 204, "");
    expect(ROLE_OPERATOR, "POST", API "/devices", BODY, 201, "");
    expect(ROLE_OPERATOR, "POST", API "/devices", BODY, 409, "duplicate_key");
}

static void a_config_is_set_in_versions_that_stay(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE], path[100], old[120];
    make_device("{\"name\":\"x\"}", id); /* and its subscription: version 1 */
    snprintf(path, sizeof path, API "/devices/%s/config", id);
    struct answer set = ask(ROLE_OPERATOR, "PUT", path, CONFIG);
    assert_int_equal(set.status, 200);
    assert_int_equal(json_integer_value(json_object_get(set.json, "version")), 2);
    const json_t *config = json_object_get(set.json, "config");
    assert_string_equal(json_string_value(json_array_get(json_object_get(config, "addresses"), 0)), ADDRESS);
    assert_string_equal(json_text(json_object_get(config, "tariff"), "minimum"), "0");
    assert_int_equal(json_integer_value(json_object_get(config, "late_after_s")), 900);
    struct answer shown = ask(ROLE_VIEWER, "GET", path, "");
    assert_true(json_equal(shown.json, set.json));
    drop(&shown);
    snprintf(old, sizeof old, "%s?version=2", path);
    shown = ask(ROLE_VIEWER, "GET", old, "");
    assert_true(json_equal(shown.json, set.json));
    drop(&shown);
    drop(&set);
    snprintf(old, sizeof old, "%s?version=1", path);
    shown = ask(ROLE_VIEWER, "GET", old, "");
    assert_int_equal(shown.status, 200);
    assert_null(json_object_get(json_object_get(shown.json, "config"), "tariff"));
    drop(&shown);
    snprintf(old, sizeof old, "%s?version=3", path);
    expect(ROLE_VIEWER, "GET", old, "", 404, "config_not_found");
    snprintf(old, sizeof old, "%s?version=0", path);
    expect(ROLE_VIEWER, "GET", old, "", 400, "invalid_parameter");
    expect(ROLE_OPERATOR, "PUT", path, "{\"tariff\":{}}", 422, "missing_field");
    shown = ask(ROLE_OPERATOR, "PUT", path, "{\"tariff\":{\"steps\":[{\"amount\":{\"a\":{}}}]}}");
    assert_int_equal(shown.status, 400); /* too deep */
    drop(&shown);
    snprintf(path, sizeof path, API "/devices/%s", id);
    shown = ask(ROLE_VIEWER, "GET", path, "");
    assert_int_equal(json_integer_value(json_object_get(shown.json, "config_version")), 2);
    drop(&shown);
    expect(ROLE_OPERATOR, "DELETE", path, "", 204, "");
    snprintf(path, sizeof path, API "/devices/%s/config", id);
    expect(ROLE_OPERATOR, "PUT", path, CONFIG, 409, "device_retired");
}

static void a_device_without_a_config_has_none(void **state)
{
    (void)state;
    struct answer made = ask(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"x\"}");
    char path[100];
    snprintf(path, sizeof path, API "/devices/%s/config", text_of(&made, "id"));
    assert_int_equal(json_integer_value(json_object_get(made.json, "config_version")), 0);
    drop(&made);
    expect(ROLE_VIEWER, "GET", path, "", 404, "config_not_found");
    expect(ROLE_VIEWER, "GET", API "/devices/dev_x/config", "", 404, "device_not_found");
}

static void a_device_is_disabled_and_made_active_again(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE], path[100];
    make_device("{\"name\":\"x\"}", id);
    snprintf(path, sizeof path, API "/devices/%s", id);
    static const char *const STATES[] = {"disabled", "disabled", "active"};
    for (size_t i = 0; i < 3; i++) {
        char body[50];
        struct store_device_key found;
        snprintf(body, sizeof body, "{\"state\":\"%s\"}", STATES[i]);
        struct answer changed = ask(ROLE_OPERATOR, "PATCH", path, body);
        assert_int_equal(changed.status, 200);
        assert_string_equal(text_of(&changed, "state"), STATES[i]);
        assert_true(store_find_device(store, id, &found));
        assert_string_equal(device_state_text(found.state), STATES[i]);
        drop(&changed);
    }
    expect(ROLE_OPERATOR, "PATCH", path, "{\"state\":\"retired\"}", 422, "invalid_field");
    expect(ROLE_OPERATOR, "DELETE", path, "", 204, "");
    expect(ROLE_OPERATOR, "PATCH", path, "{\"state\":\"active\"}", 409, "device_retired");
}

static void what_a_device_says_of_itself_is_shown(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE], path[100];
    make_device("{\"name\":\"x\"}", id);
    snprintf(path, sizeof path, API "/devices/%s", id);
    struct answer shown = ask(ROLE_VIEWER, "GET", path, "");
    assert_true(json_is_null(json_object_get(shown.json, "status")));
    assert_true(json_is_null(json_object_get(shown.json, "last_seen_at")));
    assert_int_equal(json_array_size(json_object_get(shown.json, "warnings")), 0);
    drop(&shown);
    struct store_device_key key;
    assert_true(store_find_device(store, id, &key));
    /* Firmware names are cut to 32 bytes, here in the middle of a letter. */
    const struct store_status status = {.at_ms = 1795194180000,
                                        .firmware = "1.2.0 \xc3",
                                        .uptime_s = 60,
                                        .rssi = -71,
                                        .remaining_s = INT64_MIN,
                                        .relay_on = -1,
                                        .config_version = 6};
    store_note_status(store, key.device, &status);
    shown = ask(ROLE_VIEWER, "GET", path, "");
    json_t *expected =
        json_pack("{s:s, s:s, s:i, s:i, s:n, s:n, s:i}", "at", "2026-11-20T17:03:00.000Z", "firmware",
                  "1.2.0 ", "uptime_s", 60, "rssi", -71, "relay_on", "remaining_s", "config_version", 6);
    assert_non_null(expected);
    assert_true(json_equal(json_object_get(shown.json, "status"), expected));
    assert_string_equal(text_of(&shown, "last_seen_at"), "2026-11-20T17:03:00.000Z");
    json_decref(expected);
    drop(&shown);
}

/* Five sessions begin within a moment, each throwing the one before out; and one knows more than the store. */
static void a_flapping_credential_and_a_rolled_back_store_are_warned_of(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE], path[100];
    make_device("{\"name\":\"x\"}", id);
    snprintf(path, sizeof path, API "/devices/%s", id);
    struct store_device_key key;
    assert_true(store_find_device(store, id, &key));
    for (uint64_t handle = 1; handle <= 6; handle++) {
        const struct store_hello hello = {.device = key.device, .handle = handle, .resume = 70};
        assert_int_equal(store_submit_session(store, &hello, session_begun, NULL), CS_OK);
        sem_wait(&happened);
    }
    struct answer shown = ask(ROLE_VIEWER, "GET", path, "");
    const json_t *warnings = json_object_get(shown.json, "warnings");
    assert_int_equal(json_array_size(warnings), 2);
    assert_string_equal(json_string_value(json_array_get(warnings, 0)), "duplicate_credential");
    assert_string_equal(json_string_value(json_array_get(warnings, 1)), "store_rolled_back");
    drop(&shown);
}

/* ---- imports ----------------------------------------------------------------------------------------------------- */

#define NDJSON "Content-Type: application/x-ndjson\r\n"

static struct answer import_lines(const char *lines)
{
    static char request[30000];
    snprintf(request, sizeof request,
             "POST " API
             "/devices/import HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n" NDJSON
             "Content-Length: %zu\r\n\r\n%s",
             role_tokens[ROLE_OPERATOR], strlen(lines), lines);
    char *text = exchange(request), *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    struct answer answer = {.status = atoi(text + strlen("HTTP/1.1 "))};
    snprintf(answer.head, sizeof answer.head, "%.*s", (int)(end - text), text);
    answer.body = strdup(end + 4);
    free(text);
    return answer;
}

/* The n-th line of the results, owned by the caller. */
static json_t *result_of(const struct answer *answer, size_t number)
{
    const char *line = answer->body;
    for (size_t i = 1; i < number; i++) {
        line = strchr(line, '\n');
        assert_non_null(line);
        line++;
    }
    json_t *result = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    if (result == NULL) {
        fail_msg("no line %zu in: %s", number, answer->body);
    }
    return result;
}

static void expect_refused(const struct answer *answer, size_t number, int line, const char *code,
                           const char *field)
{
    json_t *result = result_of(answer, number);
    const json_t *error = json_object_get(result, "error");
    const char *name = json_text(error, "field");
    if (json_integer_value(json_object_get(result, "line")) != line || error == NULL ||
        strcmp(json_text(error, "code"), code) != 0 || strcmp(name == NULL ? "" : name, field) != 0) {
        fail_msg("result %zu is not %s of line %d: %s", number, code, line, answer->body);
    }
    assert_true(json_text(error, "detail")[0] != '\0' && json_text(error, "hint")[0] != '\0');
    json_decref(result);
}

static void lines_are_imported_and_a_bad_one_stops_no_other(void **state)
{
    (void)state;
#define TOKEN "a-token-of-32-characters-or-more"
    struct answer answer = import_lines(
        "{\"name\":\"one\",\"auth\":\"token\",\"token\":\"" TOKEN
        "\",\"subscriptions\":[{\"chain\":\"nano\",\"address\":\"" XRB "\",\"minimum\":\"5\"}]}\r\n"
        "{\"name\":\"two\"\n"
        "\n"
        "  [1]\n"
        "{\"name\":\"five\",\"token\":\"" TOKEN "\"}\n"
        "{\"name\":\"six\",\"auth\":\"key\"}\n"
        "{\"name\":\"seven\",\"subscriptions\":[{\"chain\":\"nano\",\"address\":\"" ADDRESS
        "\"},{\"chain\":\"nano\",\"address\":\"" XRB "\"}]}\n"
        "{\"name\":\"eight\"}");
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.head, "Content-Type: application/x-ndjson\r\n"));
    json_t *one = result_of(&answer, 1), *six = result_of(&answer, 5), *eight = result_of(&answer, 7);
    assert_int_equal(json_integer_value(json_object_get(one, "line")), 1);
    assert_null(json_object_get(one, "token")); /* it is the caller's */
    assert_int_equal(json_array_size(json_object_get(one, "subscriptions")), 1);
    uint8_t hash[STORE_HASH_SIZE];
    struct store_device_key found;
    store_hash_token(store, TOKEN, hash);
    assert_true(store_find_device(store, json_text(one, "id"), &found));
    assert_memory_equal(found.credential, hash, sizeof hash);
    expect_refused(&answer, 2, 2, "malformed_json", "");
    expect_refused(&answer, 3, 4, "malformed_json", "");
    expect_refused(&answer, 4, 5, "duplicate_token", "token");
    assert_int_equal(strlen(json_text(six, "secret_key")), 64);
    expect_refused(&answer, 6, 7, "subscription_exists", "subscriptions");
    assert_int_equal(json_integer_value(json_object_get(eight, "line")), 8);
    assert_int_equal(strlen(json_text(eight, "token")), 43);
    store_hash_token(store, json_text(eight, "token"), hash);
    assert_true(store_find_device(store, json_text(eight, "id"), &found));
    assert_memory_equal(found.credential, hash, sizeof hash);
    char path[100];
    snprintf(path, sizeof path, API "/devices/%s/subscriptions", json_text(one, "id"));
    struct answer listed = ask(ROLE_VIEWER, "GET", path, "");
    const json_t *item = json_array_get(json_object_get(listed.json, "items"), 0);
    assert_string_equal(json_text(item, "id"),
                        json_string_value(json_array_get(json_object_get(one, "subscriptions"), 0)));
    assert_string_equal(json_text(item, "minimum"), "5");
    drop(&listed);
    count_items(API "/devices", 3);
    json_decref(one);
    json_decref(six);
    json_decref(eight);
    drop(&answer);
}

static void an_import_is_refused_past_its_limits_and_says_where(void **state)
{
    (void)state;
    char lines[9000] = "";
    for (int i = 0; i < IMPORT_LINES + 3; i++) {
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "{\"name\":\"m %d\"}\n", i);
    }
    struct answer answer = import_lines(lines);
    assert_int_equal(answer.status, 200);
    expect_refused(&answer, IMPORT_LINES + 1, IMPORT_LINES + 1, "too_many_lines", "");
    drop(&answer);
    count_items(API "/devices", IMPORT_LINES);
    memset(lines, ' ', IMPORT_BYTES + 1);
    lines[IMPORT_BYTES + 1] = '\0';
    answer = import_lines(lines);
    assert_int_equal(answer.status, 413);
    assert_non_null(strstr(answer.body, "body_too_large"));
    drop(&answer);
    answer = import_lines("");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "");
    drop(&answer);
    answer = ask(ROLE_OPERATOR, "POST", API "/devices/import", "{\"name\":\"x\"}");
    assert_int_equal(answer.status, 415);
    drop(&answer);
    count_items(API "/devices", IMPORT_LINES);
}

static void devices_come_in_pages(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        char body[50];
        snprintf(body, sizeof body, "{\"name\":\"meter %d\"}", i);
        expect(ROLE_OPERATOR, "POST", API "/devices", body, 201, "");
    }
    char path[200] = API "/devices?state=active&limit=2&cursor=";
    bool seen[5] = {false};
    for (int page = 0; page < 3; page++) {
        struct answer answer = ask(ROLE_VIEWER, "GET", path, "");
        assert_int_equal(answer.status, 200);
        size_t index;
        json_t *item;
        json_array_foreach(json_object_get(answer.json, "items"), index, item)
        {
            int number = json_text(item, "name")[6] - '0';
            assert_false(seen[number]);
            seen[number] = true;
        }
        const json_t *next = json_object_get(answer.json, "next");
        assert_true(page == 2 ? json_is_null(next) : json_is_string(next));
        snprintf(path, sizeof path, API "/devices?state=active&limit=2&cursor=%s", text_of(&answer, "next"));
        drop(&answer);
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3] && seen[4]);
}

static void a_subscription_is_made_once_listed_and_removed(void **state)
{
    (void)state;
    struct answer made =
        ask(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"Meter 12\",\"auth\":\"token\"}");
    char path[100], one[200];
    snprintf(path, sizeof path, API "/devices/%s/subscriptions", text_of(&made, "id"));
    struct answer added =
        ask(ROLE_OPERATOR, "POST", path, "{\"chain\":\"nano\",\"address\":\"" XRB "\",\"minimum\":\"500\"}");
    assert_int_equal(added.status, 201);
    assert_memory_equal(text_of(&added, "id"), "sub_", 4);
    assert_string_equal(text_of(&added, "device"), text_of(&made, "id"));
    assert_string_equal(text_of(&added, "chain"), "nano");
    assert_string_equal(text_of(&added, "address"), ADDRESS);
    assert_string_equal(text_of(&added, "minimum"), "500");
    snprintf(one, sizeof one, "%s/%s", path, text_of(&added, "id"));
    assert_non_null(strstr(added.head, one));
    drop(&added);

    expect(ROLE_OPERATOR, "POST", path, "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}", 409,
           "subscription_exists");
    struct answer listed = ask(ROLE_VIEWER, "GET", path, "");
    assert_int_equal(json_array_size(json_object_get(listed.json, "items")), 1);
    assert_true(json_is_null(json_object_get(listed.json, "next")));
    drop(&listed);
    expect(ROLE_OPERATOR, "DELETE", one, "", 204, "");
    expect(ROLE_OPERATOR, "DELETE", one, "", 404, "subscription_not_found");
    expect(ROLE_OPERATOR, "POST", path, "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}", 201, "");
    drop(&made);
}

static void on_marked(void *context, enum cs_err err)
{
    (void)context;
    assert_int_equal(err, CS_OK);
    sem_post(&happened);
}

static void a_subscription_says_since_when_and_how_far_it_is_proven(void **state)
{
    (void)state;
    char path[100];
    struct answer made =
        ask(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"Meter 12\",\"auth\":\"token\"}");
    snprintf(path, sizeof path, API "/devices/%s/subscriptions", text_of(&made, "id"));
    expect(ROLE_OPERATOR, "POST", path,
           "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\",\"since\":\"2099-01-01T00:00:00Z\"}", 422,
           "invalid_field");
    expect(ROLE_OPERATOR, "POST", path,
           "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\",\"since\":\"yesterday\"}", 422, "invalid_field");
    struct answer added =
        ask(ROLE_OPERATOR, "POST", path,
            "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\",\"since\":\"2026-11-01T01:00:00+01:00\"}");
    assert_int_equal(added.status, 201);
    assert_string_equal(text_of(&added, "since"), "2026-11-01T00:00:00.000Z");
    const json_t *completeness = json_object_get(added.json, "completeness");
    assert_true(json_is_false(json_object_get(completeness, "proven")));
    assert_string_equal(json_string_value(json_object_get(completeness, "reason")), "unproven");
    drop(&added);

    int64_t address = 1, subscription = 1;
    assert_int_equal(store_submit_baseline(store, address, subscription, 3, NULL, 0, on_marked, NULL), CS_OK);
    sem_wait(&happened);
    store_note_complete(store, &address, 1, 1800000000000);
    const struct store_mark mark = {.frontier = {0xab}, .height = 7};
    assert_int_equal(store_submit_mark(store, address, &mark, on_marked, NULL), CS_OK);
    sem_wait(&happened);
    struct answer listed = ask(ROLE_VIEWER, "GET", path, "");
    const json_t *item = json_array_get(json_object_get(listed.json, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(item, "since")), "2026-11-01T00:00:00.000Z");
    completeness = json_object_get(item, "completeness");
    assert_true(json_is_true(json_object_get(completeness, "proven")));
    assert_true(json_is_null(json_object_get(completeness, "reason")));
    assert_int_equal(json_integer_value(json_object_get(completeness, "height")), 7);
    assert_memory_equal(json_string_value(json_object_get(completeness, "frontier")), "AB00", 4);
    assert_string_equal(json_string_value(json_object_get(completeness, "complete_as_of")),
                        "2027-01-15T08:00:00.000Z");
    drop(&listed);
    drop(&made);
}

/* Nobody is asked for a token: it is for whoever stands before the machine. */
static void expect_status(const char *reason)
{
    struct answer answer = ask_with(NULL, "", "GET", API "/status/" XRB, "");
    assert_int_equal(answer.status, 200);
    const char *caching = strstr(answer.head, "Cache-Control: ");
    assert_memory_equal(caching, "Cache-Control: public, max-age=5\r\n", 34);
    assert_null(strstr(caching + 1, "Cache-Control: ")); /* of two the stricter holds */
    assert_string_equal(text_of(&answer, "address"), ADDRESS);
    assert_int_equal(json_is_true(json_object_get(answer.json, "payable")), reason == NULL);
    if (reason != NULL) {
        assert_string_equal(text_of(&answer, "reason"), reason);
    }
    drop(&answer);
}

static void whoever_wants_to_pay_is_told_whether_to(void **state)
{
    (void)state;
    char path[100];
    struct answer unknown = ask_with(NULL, "", "GET", API "/status/" ADDRESS, "");
    assert_int_equal(unknown.status, 404);
    assert_string_equal(text_of(&unknown, "code"), "unknown_address");
    drop(&unknown);
    struct answer wrong = ask_with(NULL, "", "GET", API "/status/nano_1", "");
    assert_int_equal(wrong.status, 400);
    drop(&wrong);

    struct answer made =
        ask(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"Meter 12\",\"auth\":\"token\"}");
    snprintf(path, sizeof path, API "/devices/%s/subscriptions", text_of(&made, "id"));
    expect(ROLE_OPERATOR, "POST", path, "{\"chain\":\"nano\",\"address\":\"" ADDRESS "\"}", 201, "");
    expect_status("device_away");
    struct store_device_key key;
    assert_true(store_find_device(store, text_of(&made, "id"), &key));
    assert_int_equal(store_submit_session(store, &(struct store_hello){.device = key.device, .handle = 7},
                                          session_begun, NULL),
                     CS_OK);
    sem_wait(&happened);
    expect_status(NULL);
    store_set_payable(store, "no_source");
    expect_status("no_source");
    store_set_payable(store, NULL);
    snprintf(path, sizeof path, API "/devices/%s", text_of(&made, "id"));
    expect(ROLE_OPERATOR, "PATCH", path, "{\"state\":\"disabled\"}", 200, "");
    expect_status("device_disabled");
    drop(&made);
}

static void the_node_is_asked_when_an_operator_wants_it(void **state)
{
    (void)state;
    expect(ROLE_AUDITOR, "POST", API "/reconcile", "", 403, "role_too_low");
    assert_false(reconciled);
    expect(ROLE_OPERATOR, "POST", API "/reconcile", "", 202, "");
    assert_true(reconciled);
    has_node = false;
    expect(ROLE_OPERATOR, "POST", API "/reconcile", "", 409, "no_node");
    has_node = true;
    struct answer sources = ask(ROLE_VIEWER, "GET", API "/sources", "");
    assert_int_equal(sources.status, 200);
    assert_true(json_is_true(json_object_get(sources.json, "payable")));
    drop(&sources);
}

static void a_device_has_as_many_subscriptions_as_the_limit_lets_it(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE], path[100], body[200];
    make_device("{\"name\":\"x\"}", id);
    snprintf(path, sizeof path, API "/devices/%s/subscriptions", id);
    for (uint8_t i = 1; i <= 2; i++) {
        uint8_t key[32] = {i};
        struct address address = address_from_nano_key(key);
        char text[ADDRESS_TEXT_SIZE];
        address_format(&address, text);
        snprintf(body, sizeof body, "{\"chain\":\"nano\",\"address\":\"%s\"}", text);
        expect(ROLE_OPERATOR, "POST", path, body, i == 1 ? 201 : 409, i == 1 ? "" : "too_many_subscriptions");
    }
}

static void what_is_wrong_with_a_body_is_said(void **state)
{
    (void)state;
    expect(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"x\",\"colour\":\"red\"}", 422,
           "unknown_field");
    struct answer answer = ask(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":");
    assert_int_equal(answer.status, 400);
    drop(&answer);
    char *big = calloc(1, 20000);
    memset(big, ' ', 19999);
    answer = ask(ROLE_OPERATOR, "POST", API "/devices", big);
    assert_int_equal(answer.status, 413);
    drop(&answer);
    free(big);
}

static void what_is_wrong_with_a_query_is_said_with_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *path, *code, *field;
    } CASES[] = {
        {API "/deliveries?colour=red", "unknown_parameter", "colour"},
        {API "/devices/dev_x?limit=5", "unknown_parameter", "limit"},
        {API "/deliveries?state=lost", "invalid_parameter", "state"},
        {API "/deliveries?limit=0", "invalid_parameter", "limit"},
        {API "/deliveries?from=now", "invalid_parameter", "from"},
        {API "/deliveries?from=10&to=10", "invalid_parameter", "to"},
        {API "/deliveries?hash=12", "invalid_parameter", "hash"},
        {API "/deliveries?cursor=zzz", "invalid_parameter", "cursor"},
        {API "/payments?address=nano_1", "invalid_parameter", "address"},
        {API "/payments?cursor=zzz", "invalid_parameter", "cursor"},
        {API "/devices?cursor=zzz", "invalid_parameter", "cursor"},
        {API "/devices?state=", "", ""}, /* empty, as a form sends it: not given */
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct answer answer = ask(ROLE_VIEWER, "GET", CASES[i].path, "");
        if (answer.status != (CASES[i].code[0] == '\0' ? 200 : 400) ||
            strcmp(text_of(&answer, "code"), CASES[i].code) != 0 ||
            strcmp(text_of(&answer, "field"), CASES[i].field) != 0) {
            fail_msg("%s: %d %s", CASES[i].path, answer.status, answer.body);
        }
        drop(&answer);
    }
    expect(ROLE_VIEWER, "GET", API "/deliveries?device=dev_x", "", 404, "device_not_found");
}

static void a_delivery_shows_its_whole_way(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE], path[200];
    make_device("{\"name\":\"x\"}", id);
    for (uint8_t i = 1; i <= 3; i++) {
        pay(i);
    }
    serve_one_and_refuse_one(id);
    snprintf(path, sizeof path, API "/deliveries?device=%s", id);
    struct answer answer = ask(ROLE_VIEWER, "GET", path, "");
    assert_int_equal(answer.status, 200);
    const json_t *items = json_object_get(answer.json, "items");
    assert_int_equal(json_array_size(items), 3);
    const json_t *sent = json_array_get(items, 0), *refused = json_array_get(items, 1),
                 *served = json_array_get(items, 2);

    assert_int_equal(json_integer_value(json_object_get(served, "seq")), 1);
    assert_string_equal(json_text(served, "state"), "actuated");
    assert_string_equal(json_text(served, "device"), id);
    static const char *const TIMES[] = {"stored_at", "sent_at", "acked_at", "actuated_at"};
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(json_text(served, TIMES[i]));
        assert_int_equal(strlen(json_text(served, TIMES[i])), 24);
        assert_true(i == 0 || strcmp(json_text(served, TIMES[i]), json_text(served, TIMES[i - 1])) >= 0);
    }
    assert_true(json_is_null(json_object_get(served, "refused_at")));
    assert_true(json_is_null(json_object_get(served, "expired_at")));
    assert_int_equal(json_integer_value(json_object_get(served, "seconds")), 600);
    assert_int_equal(json_integer_value(json_object_get(served, "attempts")), 1);

    assert_string_equal(json_text(refused, "state"), "refused");
    assert_string_equal(json_text(refused, "reason"), "too_late");
    assert_non_null(json_text(refused, "refused_at"));
    assert_true(json_is_null(json_object_get(refused, "actuated_at")));
    assert_true(json_is_null(json_object_get(refused, "seconds")));

    assert_string_equal(json_text(sent, "state"), "sent");
    assert_true(json_is_null(json_object_get(sent, "acked_at")));
    assert_true(json_is_null(json_object_get(sent, "reason")));

    const json_t *payment = json_object_get(served, "payment");
    assert_string_equal(json_text(payment, "hash"),
                        "0101010101010101010101010101010101010101010101010101010101010101");
    assert_string_equal(json_text(payment, "to"), ADDRESS);
    assert_string_equal(json_text(payment, "from"), ADDRESS);
    assert_string_equal(json_text(payment, "amount"), ONE_NANO);
    assert_string_equal(json_text(payment, "amount_nano"), "1");
    assert_string_equal(json_text(payment, "source"), "callback");
    assert_string_equal(json_text(payment, "node_time"), "2026-11-20T17:03:00.000Z");
    assert_int_equal(json_integer_value(json_object_get(payment, "output")), 0);
    drop(&answer);
}

static void deliveries_and_payments_are_filtered(void **state)
{
    (void)state;
    char id[STORE_ID_SIZE];
    make_device("{\"name\":\"x\"}", id);
    for (uint8_t i = 1; i <= 3; i++) {
        pay(i);
    }
    serve_one_and_refuse_one(id);
#define HASH_2 "0202020202020202020202020202020202020202020202020202020202020202"
    count_items(API "/deliveries", 3);
    count_items(API "/deliveries?state=refused", 1);
    count_items(API "/deliveries?state=expired", 0);
    count_items(API "/deliveries?hash=" HASH_2, 1);
    count_items(API "/deliveries?from=2020-01-01T00:00:00Z", 3);
    count_items(API "/deliveries?to=2020-01-01T00:00:00Z", 0);
    count_items(API "/payments", 3);
    count_items(API "/payments?address=" XRB "&limit=2", 2);
    count_items(API "/payments?hash=" HASH_2, 1);
    count_items(API "/payments?address=nano_1111111111111111111111111111111111111111111111111111hifc8npp", 0);
    struct answer answer = ask(ROLE_VIEWER, "GET", API "/payments?hash=" HASH_2, "");
    const json_t *payment = json_array_get(json_object_get(answer.json, "items"), 0);
    assert_int_equal(json_integer_value(json_object_get(payment, "deliveries")), 1);
    assert_true(json_is_null(json_object_get(payment, "reversed_at")));
    assert_non_null(json_text(payment, "stored_at"));
    drop(&answer);
}

static void a_token_opens_until_it_is_revoked(void **state)
{
    (void)state;
    struct answer made = ask(ROLE_ADMIN, "POST", API "/tokens", "{\"name\":\"grafana\",\"role\":\"viewer\"}");
    assert_int_equal(made.status, 201);
    struct answer used = ask_with(text_of(&made, "token"), "", "GET", API "/devices", "");
    assert_int_equal(used.status, 200);
    drop(&used);
    char path[100];
    snprintf(path, sizeof path, API "/tokens/%s", text_of(&made, "id"));
    expect(ROLE_ADMIN, "DELETE", path, "", 204, "");
    used = ask_with(text_of(&made, "token"), "", "GET", API "/devices", "");
    assert_int_equal(used.status, 401);
    drop(&used);

    struct answer listed = ask(ROLE_ADMIN, "GET", API "/tokens", "");
    bool found = false;
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(listed.json, "items"), index, item)
    {
        assert_null(json_object_get(item, "token"));
        bool this_one = strcmp(json_text(item, "id"), text_of(&made, "id")) == 0;
        assert_int_equal(json_is_null(json_object_get(item, "revoked_at")), !this_one);
        found = found || this_one;
    }
    assert_true(found);
    drop(&listed);
    drop(&made);
}

static void health_and_metrics_need_no_token_on_this_machine_but_through_a_proxy(void **state)
{
    (void)state;
    static const char *const PATHS[] = {"/healthz", "/readyz", "/metrics"};
    static const char *const BETRAYERS[] = {"X-Forwarded-For: 203.0.113.9\r\n",
                                            "Forwarded: for=203.0.113.9\r\n", "Via: 1.1 proxy\r\n"};
    for (size_t i = 0; i < 3; i++) {
        struct answer answer = ask_with(NULL, "", "GET", PATHS[i], "");
        assert_int_equal(answer.status, 200);
        drop(&answer);
        answer = ask_with(NULL, BETRAYERS[i], "GET", PATHS[i], "");
        assert_int_equal(answer.status, 401);
        drop(&answer);
        answer = ask_with(role_tokens[ROLE_VIEWER], BETRAYERS[i], "GET", PATHS[i], "");
        assert_int_equal(answer.status, 200);
        drop(&answer);
    }
    struct answer answer = ask_with(NULL, "", "GET", "/healthz", "");
    assert_string_equal(answer.body, "{\"status\":\"ok\"}");
    drop(&answer);
    answer = ask_with(NULL, "", "GET", "/metrics", "");
    assert_non_null(strstr(answer.head, "text/plain; version=0.0.4"));
    assert_non_null(strstr(answer.body, "coinslot_admin_refused_total{status=\"401\"} 3\n"));
    drop(&answer);
}

static void readyz_turns_red_when_a_check_fails_and_says_why(void **state)
{
    (void)state;
    struct answer answer = ask_with(NULL, "", "GET", "/readyz", "");
    assert_int_equal(answer.status, 200);
    assert_string_equal(text_of(&answer, "status"), "ready");
    assert_int_equal(json_array_size(json_object_get(answer.json, "warnings")), 1);
    drop(&answer);
    trouble = "the node has not been heard of for 5 minutes";
    answer = ask_with(NULL, "", "GET", "/readyz", "");
    assert_int_equal(answer.status, 503);
    assert_string_equal(text_of(&answer, "status"), "not_ready");
    const json_t *checked = json_array_get(json_object_get(answer.json, "checks"), 0);
    assert_string_equal(json_text(checked, "name"), "node");
    assert_true(json_is_false(json_object_get(checked, "ok")));
    assert_string_equal(json_text(checked, "detail"), trouble);
    drop(&answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_a_valid_token_nothing_is_told),
        TEST(each_role_may_do_what_the_table_says),
        TEST(a_device_is_registered_shown_and_retired),
        TEST(the_next_relay_key_comes_into_use_when_it_is_rolled),
        TEST(a_device_with_a_key_gets_what_it_has_to_pin_and_no_secret_of_it_is_kept),
        TEST(one_public_key_is_in_one_device_until_that_is_retired),
        TEST(a_config_is_set_in_versions_that_stay),
        TEST(a_device_without_a_config_has_none),
        TEST(a_device_is_disabled_and_made_active_again),
        TEST(what_a_device_says_of_itself_is_shown),
        TEST(a_flapping_credential_and_a_rolled_back_store_are_warned_of),
        TEST(lines_are_imported_and_a_bad_one_stops_no_other),
        TEST(an_import_is_refused_past_its_limits_and_says_where),
        TEST(devices_come_in_pages),
        TEST(a_subscription_is_made_once_listed_and_removed),
        TEST(a_subscription_says_since_when_and_how_far_it_is_proven),
        TEST(whoever_wants_to_pay_is_told_whether_to),
        TEST(the_node_is_asked_when_an_operator_wants_it),
        TEST(a_device_has_as_many_subscriptions_as_the_limit_lets_it),
        TEST(what_is_wrong_with_a_body_is_said),
        TEST(what_is_wrong_with_a_query_is_said_with_its_field),
        TEST(a_delivery_shows_its_whole_way),
        TEST(deliveries_and_payments_are_filtered),
        TEST(a_token_opens_until_it_is_revoked),
        TEST(health_and_metrics_need_no_token_on_this_machine_but_through_a_proxy),
        TEST(readyz_turns_red_when_a_check_fails_and_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
