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
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/admin.h"
#include "base/json.h"
#include "base/log.h"

#define ADDRESS  "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"
#define XRB      "xrb_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"
#define API      "/api/v1"
#define ONE_NANO "1000000000000000000000000000000"

static char dir[64];
static struct metrics *metrics;
static struct store *store;
static struct http *http;
static struct admin *admin;
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
                                          .wal_most_bytes = 1 << 24,
                                          .synchronous = "FULL",
                                          .metrics = metrics};
    const struct store_events events = {.live = on_live, .raised = on_raised, .ended = on_ended, .page = on_page, .config = on_config};
    if (store_open(&options, &store, error) != CS_OK) {
        fail_msg("%s", error);
    }
    store_start(store, &events);
    const struct http_options http_options = {
        .host = "127.0.0.1", .threads = 2, .connections_most = 50, .idle_timeout_s = 10, .metrics = metrics};
    http = http_open(&http_options);
    const struct admin_options admin_options = {CHECKS, 1, WARNINGS, 1, metrics};
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
    assert_int_equal(store_submit_session(store, &(struct store_hello){.device = key.device, .handle = 7}, session_begun, NULL), CS_OK);
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
    expect(ROLE_OPERATOR, "POST", API "/devices", "{\"name\":\"x\",\"auth\":\"key\"}", 422,
           "not_supported_yet");
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

static void count_items(const char *path, size_t count)
{
    struct answer answer = ask(ROLE_AUDITOR, "GET", path, "");
    if (answer.status != 200 || json_array_size(json_object_get(answer.json, "items")) != count) {
        fail_msg("%s: not %zu items: %s", path, count, answer.body);
    }
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
        TEST(devices_come_in_pages),
        TEST(a_subscription_is_made_once_listed_and_removed),
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
