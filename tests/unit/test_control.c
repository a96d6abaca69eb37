/* The control socket over a real store: lines that come whole, in pieces, too long, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "cli/command.h"
#include "cli/control.h"

static char root[64], dir[600];
static struct metrics *metrics;
static struct store *store;
static struct control *control;
static pthread_t relay;
static int stop_pipe[2];

/* As the relay's main thread does. */
static void *serve(void *context)
{
    (void)context;
    for (;;) {
        struct pollfd fds[2] = {{stop_pipe[0], POLLIN, 0}, {control_fd(control), POLLIN, 0}};
        poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            return NULL;
        }
        const struct command_target target = {store, NULL};
        control_serve_one(control, &target);
    }
}

static void open_relay(void)
{
    char error[STORE_ERROR_SIZE];
    metrics = metrics_open();
    const struct store_options options = {.dir = dir,
                                          .inbox_capacity = 64,
                                          .batch_most = 16,
                                          .window = 16,
                                          .page_size = 16,
                                          .readers = 1,
                                          .subscriptions_most = 10,
                                          .unconfirmed_most = 100,
                                          .wal_most_bytes = 1 << 24,
                                          .synchronous = "FULL",
                                          .metrics = metrics};
    if (store_open(&options, &store, error) != CS_OK) {
        fail_msg("%s", error);
    }
    store_start(store, NULL);
    if (control_open(dir, &control, error) != CS_OK) {
        fail_msg("%s", error);
    }
    assert_int_equal(pipe2(stop_pipe, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&relay, NULL, serve, NULL), 0);
}

static void close_relay(void)
{
    assert_int_equal(write(stop_pipe[1], "x", 1), 1);
    pthread_join(relay, NULL);
    close(stop_pipe[0]);
    close(stop_pipe[1]);
    control_close(control);
    store_stop(store);
    store_close(store);
    metrics_close(metrics);
}

static int set_up(void **state)
{
    (void)state;
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    snprintf(root, sizeof root, "/tmp/coinslot-control-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/data", root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static json_t *call(const char *request_text)
{
    char error[CONTROL_ERROR_SIZE];
    json_t *request = json_loads(request_text, 0, NULL), *answer;
    assert_non_null(request);
    if (control_call(dir, request, &answer, error) != CS_OK) {
        fail_msg("%s", error);
    }
    json_decref(request);
    return answer;
}

static int connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/control.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The error that is answered; "" for a result. */
static void hear(int fd, char *answered, size_t room)
{
    char line[2000];
    size_t length = 0;
    ssize_t got;
    while (length < sizeof line && (got = recv(fd, line + length, sizeof line - length, 0)) > 0) {
        length += (size_t)got;
    }
    close(fd);
    assert_true(length > 0 && line[length - 1] == '\n');
    json_t *answer = json_loadb(line, length, 0, NULL);
    assert_non_null(answer);
    const char *error = json_text(answer, "error");
    snprintf(answered, room, "%s", error == NULL ? "" : error);
    json_decref(answer);
}

/* Sends the bytes as they are. */
static void say(int fd, const char *bytes, size_t size, char *answered, size_t room)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
    hear(fd, answered, room);
}

static void a_token_made_through_the_socket_opens_the_relay(void **state)
{
    (void)state;
    open_relay();
    json_t *answer =
        call("{\"command\":\"token_create\",\"arguments\":{\"name\":\"me\",\"role\":\"operator\"}}");
    const char *token = json_text(json_object_get(answer, "result"), "token");
    assert_non_null(token);
    assert_int_equal(strlen(token), 43);
    uint8_t hash[STORE_HASH_SIZE];
    struct store_api_token found;
    store_hash_token(store, token, hash);
    assert_true(store_find_api_token(store, hash, &found));
    assert_int_equal(found.role, ROLE_OPERATOR);
    assert_string_equal(found.name, "me");

    char request[200];
    snprintf(request, sizeof request, "{\"command\":\"token_revoke\",\"arguments\":{\"id\":\"%s\"}}",
             found.id);
    json_decref(call(request));
    assert_false(store_find_api_token(store, hash, &found));
    json_decref(answer);
    close_relay();
}

static void what_is_wrong_is_answered_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *request, *words;
    } CASES[] = {
        {"{\"command\":\"fly\",\"arguments\":{}}", "does not know the command"},
        {"{\"command\":\"token_create\"}", "a request is"},
        {"{\"command\":7,\"arguments\":{}}", "a request is"},
        {"{\"command\":\"token_create\",\"arguments\":[]}", "a request is"},
        {"{\"command\":\"token_create\",\"arguments\":{\"name\":\"x\",\"role\":\"god\"}}",
         "role: there is no such role"},
        {"{\"command\":\"token_revoke\",\"arguments\":{}}", "no token with this id"},
        {"{\"command\":\"token_revoke\",\"arguments\":{\"id\":\"tok_x\"}}", "no token with this id"},
        {"{\"command\":\"device_retire\",\"arguments\":{\"id\":\"dev_x\"}}", "no device with this id"},
        {"{\"command\":\"device_list\",\"arguments\":{\"cursor\":\"zzz\"}}", "cursor"},
        {"{\"command\":\"subscription_create\",\"arguments\":{\"device\":\"dev_x\"}}", "chain is missing"},
        {"[1]", "a request is"},
    };
    open_relay();
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        json_t *answer = call(CASES[i].request);
        const char *error = json_text(answer, "error");
        if (error == NULL || strstr(error, CASES[i].words) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", CASES[i].request, error == NULL ? "" : error,
                     CASES[i].words);
        }
        json_decref(answer);
    }
    close_relay();
}

static void lines_that_are_no_request_are_answered_and_cost_little(void **state)
{
    (void)state;
    char answered[300];
    open_relay();
    say(connect_raw(), "hello\n", 6, answered, sizeof answered);
    assert_non_null(strstr(answered, "not well-formed JSON"));
    say(connect_raw(), "\n", 1, answered, sizeof answered);
    assert_non_null(strstr(answered, "not well-formed JSON"));
    say(connect_raw(), "[[[[[[[[[[[[\n", 13, answered, sizeof answered);
    assert_non_null(strstr(answered, "levels deep"));
    say(connect_raw(), "{\"a\":1}\0\n", 9, answered, sizeof answered);
    assert_true(answered[0] != '\0');

    char *long_line = malloc(CONTROL_REQUEST_BYTES + 2);
    memset(long_line, ' ', CONTROL_REQUEST_BYTES + 1);
    long_line[CONTROL_REQUEST_BYTES + 1] = '\n';
    say(connect_raw(), long_line, CONTROL_REQUEST_BYTES + 1, answered, sizeof answered);
    assert_non_null(strstr(answered, "longer than 65536 bytes"));
    static const char REQUEST[] = "{\"command\":\"token_list\",\"arguments\":{}}";
    memcpy(long_line, REQUEST, sizeof REQUEST - 1);
    long_line[CONTROL_REQUEST_BYTES] = '\n';
    say(connect_raw(), long_line, CONTROL_REQUEST_BYTES + 1, answered, sizeof answered);
    assert_string_equal(answered, "");
    free(long_line);
    close_relay();
}

static void a_request_may_come_in_pieces(void **state)
{
    (void)state;
    open_relay();
    static const char REQUEST[] = "{\"command\":\"token_list\",\"arguments\":{}}\n";
    int fd = connect_raw();
    for (size_t i = 0; i + 2 < sizeof REQUEST; i++) {
        assert_int_equal(send(fd, REQUEST + i, 1, MSG_NOSIGNAL), 1);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    char answered[300];
    say(fd, "\n", 1, answered, sizeof answered);
    assert_string_equal(answered, "");
    close_relay();
}

static void a_silent_caller_holds_the_others_up_for_2_seconds_only(void **state)
{
    (void)state;
    open_relay();
    int silent = connect_raw();
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    json_decref(call("{\"command\":\"token_list\",\"arguments\":{}}"));
    clock_gettime(CLOCK_MONOTONIC, &after);
    double waited_s = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    assert_true(waited_s > 1.5 && waited_s < 15);
    char answered[300];
    hear(silent, answered, sizeof answered);
    assert_non_null(strstr(answered, "within 2 s"));
    /* One that has gone is no trouble either. */
    close(connect_raw());
    json_decref(call("{\"command\":\"token_list\",\"arguments\":{}}"));
    close_relay();
}

static void the_socket_is_for_its_owner_and_goes_with_the_relay(void **state)
{
    (void)state;
    char path[700], error[CONTROL_ERROR_SIZE];
    snprintf(path, sizeof path, "%.90s/control.sock", dir);
    json_t *request = json_object(), *answer;
    assert_int_equal(control_call(dir, request, &answer, error), CS_ENOTFOUND);
    open_relay();
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    assert_int_equal(status.st_mode & 0777, 0600);
    close_relay();
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(control_call(dir, request, &answer, error), CS_ENOTFOUND);
    json_decref(request);
}

static void what_a_killed_relay_left_is_not_in_the_way(void **state)
{
    (void)state;
    open_relay();
    close_relay();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/control.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* as a kill does: the file stays */
    json_t *request = json_object(), *answer;
    char error[CONTROL_ERROR_SIZE];
    assert_int_equal(control_call(dir, request, &answer, error), CS_ENOTFOUND);
    json_decref(request);
    open_relay();
    json_decref(call("{\"command\":\"token_list\",\"arguments\":{}}"));
    close_relay();
}

static void a_path_that_no_socket_address_holds_works_as_well(void **state)
{
    (void)state;
    size_t length = strlen(dir);
    for (int i = 0; i < 3; i++) {
        assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
        length += (size_t)snprintf(dir + length, sizeof dir - length, "/%0*d", 120, i);
    }
    open_relay();
    json_t *answer = call("{\"command\":\"device_create\",\"arguments\":{\"name\":\"far\"}}");
    assert_string_equal(json_text(json_object_get(answer, "result"), "name"), "far");
    json_decref(answer);
    answer = call("{\"command\":\"device_list\",\"arguments\":{}}");
    const json_t *page = json_object_get(answer, "result");
    assert_int_equal(json_array_size(json_object_get(page, "items")), 1);
    assert_true(json_is_null(json_object_get(page, "next")));
    json_decref(answer);
    close_relay();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_token_made_through_the_socket_opens_the_relay),
        TEST(what_is_wrong_is_answered_in_words),
        TEST(lines_that_are_no_request_are_answered_and_cost_little),
        TEST(a_request_may_come_in_pieces),
        TEST(a_silent_caller_holds_the_others_up_for_2_seconds_only),
        TEST(the_socket_is_for_its_owner_and_goes_with_the_relay),
        TEST(what_a_killed_relay_left_is_not_in_the_way),
        TEST(a_path_that_no_socket_address_holds_works_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
