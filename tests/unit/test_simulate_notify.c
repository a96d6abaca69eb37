/* The poster against a server that answers as badly as the one that the real node was recorded with
 * (callback-failures.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "cli/cli.h"
#include "simulate/notify.h"
#include "simulate/response.h"

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define ADDRESS   "nano_3i1aq1cchnmbn9x5rsbap8b15akfh7wj7pwskuzi7ahz8oq6cobd99d4r3b7"

/* ---- a server that answers what it is told to ------------------------------------------------------ */

struct answer {
    const char *text; /* NULL: say nothing */
    bool closes;
};

struct server {
    int fd;
    char port[6];
    pthread_t thread;
    const struct answer *answers; /* the n-th request gets the n-th, later ones the last */
    size_t answer_count;
    atomic_uint connections, requests;
    char last_request[4096];
};

static bool read_request(struct server *server, int fd)
{
    size_t got = 0;
    for (;;) {
        ssize_t count = recv(fd, server->last_request + got, sizeof(server->last_request) - 1 - got, 0);
        if (count <= 0) {
            return false;
        }
        got += (size_t)count;
        server->last_request[got] = '\0';
        const char *length = strstr(server->last_request, "Content-Length: ");
        const char *body = strstr(server->last_request, "\r\n\r\n");
        if (length != NULL && body != NULL) {
            size_t whole = (size_t)(body + 4 - server->last_request) + strtoul(length + 16, NULL, 10);
            if (got >= whole) {
                return true;
            }
        }
    }
}

static void *server_run(void *context)
{
    struct server *server = context;
    int fd;
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        atomic_fetch_add(&server->connections, 1);
        bool closes = false;
        while (!closes && read_request(server, fd)) {
            unsigned number = atomic_fetch_add(&server->requests, 1);
            size_t last = server->answer_count - 1;
            const struct answer *answer = &server->answers[number < last ? number : last];
            if (answer->text != NULL) {
                send(fd, answer->text, strlen(answer->text), MSG_NOSIGNAL);
            }
            closes = answer->closes;
        }
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *server, const struct answer *answers, size_t count)
{
    *server = (struct server){.answers = answers, .answer_count = count};
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->fd, 64), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &size), 0);
    snprintf(server->port, sizeof(server->port), "%u", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static void server_stop(struct server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
}

/* ---- posting --------------------------------------------------------------------------------------- */

struct outcome {
    unsigned done;
    unsigned answered_200;
    int status;
    unsigned tries;
    char error[100];
    char body[RESPONSE_BODY_SIZE];
};

static void on_done(void *context, void *tag, const struct notify_result *result)
{
    struct outcome *outcome = context;
    assert_ptr_equal(tag, outcome);
    outcome->done++;
    outcome->answered_200 += result->status == 200 ? 1 : 0;
    outcome->status = result->status;
    outcome->tries = result->tries;
    snprintf(outcome->error, sizeof(outcome->error), "%s", result->error);
    snprintf(outcome->body, sizeof(outcome->body), "%s", result->body);
}

static struct notify_url url_of(const char *port)
{
    struct notify_url url = {.host = "127.0.0.1", .target = "/callback/"};
    snprintf(url.port, sizeof(url.port), "%s", port);
    return url;
}

static void post(struct notify *notify, struct outcome *outcome)
{
    static const char request[] =
        "POST /callback/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\n{}\n";
    notify_post(notify, cs_strdup(request), sizeof(request) - 1, outcome);
}

/* `count` posts, one after the other or all at once. */
static struct outcome post_all(struct notify_options *options, const char *port, unsigned count, bool at_once)
{
    struct outcome outcome = {.done = 0};
    struct notify_url url = url_of(port);
    struct notify *notify;
    char error[NOTIFY_ERROR_SIZE];
    options->url = &url;
    assert_int_equal(notify_open(options, on_done, &outcome, &notify, error), CS_OK);
    unsigned posted = 0;
    while (outcome.done < count) {
        while (posted < count && notify_has_room(notify) && (at_once || posted == outcome.done)) {
            post(notify, &outcome);
            posted++;
        }
        notify_turn(notify, 100);
    }
    assert_int_equal(notify_in_flight(notify), 0);
    notify_close(notify);
    return outcome;
}

static struct outcome post_once(const struct answer *answer)
{
    struct server server;
    server_start(&server, answer, 1);
    struct notify_options options = {.connections = 1, .timeout_ms = 5000};
    struct outcome outcome = post_all(&options, server.port, 1, false);
    server_stop(&server);
    return outcome;
}

static void each_kind_of_answer_counts_as_it_does_with_the_node(void **state)
{
    (void)state;
    static char long_header[9100] = "HTTP/1.1 200 OK\r\nX-Long: ";
    size_t begin = strlen(long_header);
    memset(long_header + begin, 'x', sizeof(long_header) - begin - 5);
    strcpy(long_header + sizeof(long_header) - 5, "\r\n\r\n");
    const struct {
        struct answer answer;
        int status;
        const char *error, *body;
    } cases[] = {
        {{OK_ANSWER, false}, 200, "", ""},
        {{"HTTP/1.1 204 No Content\r\n\r\n", false}, 204, "", ""},
        {{"HTTP/1.1 202 Accepted\r\ncontent-length:  5 \r\n\r\nhello", false}, 202, "", "hello"},
        {{"HTTP/1.1 200 OK\r\n\r\nuntil the end", true}, 200, "", "until the end"},
        {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: "
          "x\r\n\r\n",
          false},
         200,
         "",
         "abc0123456789"},
        {{"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", false}, 500, "", "oops"},
        {{"HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", false}, 301, "", ""},
        {{"HTTP/1.1 100 Continue\r\n\r\n" OK_ANSWER, false}, 100, "", ""},
        {{NULL, true}, 0, "end of stream", ""},
        {{"garbage\r\n\r\n", true}, 0, "bad version", ""},
        {{long_header, true}, 0, "header limit exceeded", ""},
        {{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true}, 0, "partial message", "half"},
        {{"HTTP/1.1 200 OK\r\nContent-Length: lots\r\n\r\n", true}, 0, "bad field", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome outcome = post_once(&cases[i].answer);
        assert_int_equal(outcome.done, 1);
        assert_int_equal(outcome.status, cases[i].status);
        assert_string_equal(outcome.error, cases[i].error);
        assert_string_equal(outcome.body, cases[i].body);
    }
}

static void an_answer_may_come_in_any_pieces(void **state)
{
    (void)state;
    static const char *const answers[] = {
        OK_ANSWER,
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.0 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct response response;
        const char *error = NULL;
        response_init(&response);
        size_t length = strlen(answers[i]);
        for (size_t at = 0; at < length; at++) {
            enum response_progress expected = at + 1 < length ? RESPONSE_MORE : RESPONSE_DONE;
            assert_int_equal(response_feed(&response, answers[i] + at, 1, &error), expected);
        }
        assert_int_equal(response.status, i == 1 ? 400 : 200);
        assert_string_equal(response.body, i == 0 ? "" : "abc");
        assert_int_equal(response_keeps_alive(&response), i != 2);
    }
}

static void a_connection_per_callback_unless_kept_alive(void **state)
{
    (void)state;
    static const struct answer ok = {OK_ANSWER, false};
    for (int keep_alive = 0; keep_alive < 2; keep_alive++) {
        struct server server;
        server_start(&server, &ok, 1);
        struct notify_options options = {.connections = 4, .keep_alive = keep_alive == 1, .timeout_ms = 5000};
        struct outcome outcome = post_all(&options, server.port, 10, false);
        assert_int_equal(outcome.answered_200, 10);
        server_stop(&server);
        assert_int_equal(server.requests, 10);
        assert_int_equal(server.connections, keep_alive == 1 ? 1 : 10);
    }
}

static void a_kept_connection_that_the_server_closed_is_opened_anew(void **state)
{
    (void)state;
    static const struct answer ok_and_close = {OK_ANSWER, true};
    struct server server;
    server_start(&server, &ok_and_close, 1);
    struct notify_options options = {.connections = 1, .keep_alive = true, .timeout_ms = 5000};
    struct outcome outcome = post_all(&options, server.port, 10, false);
    server_stop(&server);
    assert_int_equal(outcome.answered_200, 10);
    assert_int_equal(server.connections, 10);
}

static void many_are_under_way_and_all_are_answered(void **state)
{
    (void)state;
    static const struct answer ok = {OK_ANSWER, true};
    struct server server;
    server_start(&server, &ok, 1);
    struct notify_options options = {.connections = 16, .timeout_ms = 5000};
    struct outcome outcome = post_all(&options, server.port, 300, true);
    server_stop(&server);
    assert_int_equal(outcome.answered_200, 300);
    assert_int_equal(server.connections, 300);
}

static void a_failure_is_forgotten_unless_retry_is_asked_for(void **state)
{
    (void)state;
    static const struct answer answers[] = {
        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", false},
        {NULL, true},
        {OK_ANSWER, false},
    };
    struct server server;
    server_start(&server, answers, 3);
    struct notify_options options = {.connections = 1, .timeout_ms = 5000};
    struct outcome outcome = post_all(&options, server.port, 1, false);
    assert_int_equal(outcome.status, 503);
    assert_int_equal(outcome.tries, 1);
    server_stop(&server);
    assert_int_equal(server.requests, 1);

    server_start(&server, answers, 3);
    options.retry = true;
    outcome = post_all(&options, server.port, 1, false);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(outcome.tries, 3);
    server_stop(&server);
}

/* A port on which nobody listens. */
static void find_closed_port(char port[6])
{
    struct server server;
    static const struct answer ok = {OK_ANSWER, true};
    server_start(&server, &ok, 1);
    strcpy(port, server.port);
    server_stop(&server);
}

static void nobody_there_and_nobody_answering_are_said(void **state)
{
    (void)state;
    char port[6];
    find_closed_port(port);
    struct notify_options options = {.connections = 2, .timeout_ms = 200};
    struct outcome outcome = post_all(&options, port, 2, true);
    assert_int_equal(outcome.status, 0);
    assert_string_equal(outcome.error, "Connection refused");

    static const struct answer silence = {NULL, false};
    struct server server;
    server_start(&server, &silence, 1);
    outcome = post_all(&options, server.port, 1, true);
    assert_int_equal(outcome.status, 0);
    assert_string_equal(outcome.error, "no answer in time");

    struct notify_url url = url_of(server.port);
    struct notify *notify;
    char error[NOTIFY_ERROR_SIZE];
    options.url = &url;
    options.timeout_ms = 5000;
    outcome = (struct outcome){.done = 0};
    assert_int_equal(notify_open(&options, on_done, &outcome, &notify, error), CS_OK);
    post(notify, &outcome);
    notify_close(notify);
    assert_int_equal(outcome.done, 1);
    assert_string_equal(outcome.error, "stopped before an answer came");
    server_stop(&server);
}

static void urls_are_read_or_explained(void **state)
{
    (void)state;
    struct notify_url url;
    char error[NOTIFY_ERROR_SIZE];
    assert_true(notify_parse_url("http://127.0.0.1:7090/callback/", &url, error));
    assert_string_equal(url.host, "127.0.0.1");
    assert_string_equal(url.port, "7090");
    assert_string_equal(url.target, "/callback/");
    assert_true(notify_parse_url("http://[::1]:17090/callback/s3cret", &url, error));
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.target, "/callback/s3cret");
    assert_true(notify_parse_url("http://meter.example", &url, error));
    assert_string_equal(url.port, "80");
    assert_string_equal(url.target, "/");
    static const char *const wrong[] = {
        "",
        "https://x/",
        "127.0.0.1:7090",
        "http://",
        "http://:80/",
        "http://x:0/",
        "http://x:a",
        "http://x:70000",
        "http://[::1/",
        "http://[::1]x/",
        "http://a b/",
        "http://x/\r\nHost: y",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(notify_parse_url(wrong[i], &url, error));
        assert_non_null(strstr(error, "http://HOST:PORT/callback/"));
    }
}

/* ---- the command ----------------------------------------------------------------------------------- */

#define ARGUMENTS_MOST 16

/* Runs `coinslot simulate` in a child; gives its exit code, and what it printed. */
static int run_command(const char *const *arguments, int signal_after_ms, char *output, size_t size)
{
    int argc = 0, ends[2], status;
    while (arguments[argc] != NULL) {
        argc++;
    }
    assert_true(argc < ARGUMENTS_MOST);
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        char *argv[ARGUMENTS_MOST + 1] = {NULL};
        for (int i = 0; i < argc; i++) {
            argv[i] = cs_strdup(arguments[i]);
        }
        int code = cli_simulate(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    close(ends[1]);
    if (signal_after_ms > 0) {
        usleep((useconds_t)signal_after_ms * 1000);
        kill(child, SIGTERM);
    }
    size_t got = 0;
    ssize_t count;
    while (got < size - 1 && (count = read(ends[0], output + got, size - 1 - got)) > 0) {
        got += (size_t)count;
    }
    output[got] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Reads the output's lines of JSON: how many are of the kind; and the summary. */
static size_t count_kind(const char *output, const char *kind, json_t **summary)
{
    size_t found = 0;
    for (const char *line = output; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        char error[JSON_ERROR_SIZE];
        json_t *object = *line == '{' ? json_read(line, length, 4, error) : NULL;
        const char *is = object != NULL ? json_text(object, "kind") : NULL;
        found += is != NULL && strcmp(is, kind) == 0 ? 1 : 0;
        json_t *inside = json_object_get(object, "summary");
        if (inside != NULL) {
            *summary = json_incref(inside);
        }
        json_decref(object);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
    return found;
}

static void the_command_says_what_became_of_each_and_sums_up(void **state)
{
    (void)state;
    static char output[262144];
    static const struct answer ok = {OK_ANSWER, true};
    struct server server;
    server_start(&server, &ok, 1);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%s/callback/", server.port);
    const char *arguments[] = {"simulate", "--to",      ADDRESS, "--callback", url, "--rate",
                               "0",        "--count",   "40",    "--seed",     "5", "--duplicates",
                               "50",       "--reorder", "20",    NULL};
    assert_int_equal(run_command(arguments, 0, output, sizeof(output)), 0);
    json_t *summary = NULL;
    assert_int_equal(count_kind(output, "send", &summary), 40);
    assert_non_null(summary);
    json_t *sends = json_object_get(json_object_get(summary, "kinds"), "send");
    assert_int_equal(json_integer_value(json_object_get(sends, "accepted")), 40);
    assert_int_equal(json_integer_value(json_object_get(summary, "seed")), 5);
    assert_int_equal(json_integer_value(json_object_get(summary, "unexpected")), 0);
    json_decref(summary);
    size_t duplicates = count_kind(output, "duplicate", &summary);
    json_decref(summary);
    assert_in_range(duplicates, 5, 35);
    server_stop(&server);
    assert_int_equal(server.requests, 40 + duplicates);

    assert_non_null(strstr(server.last_request, "\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"));
}

static void a_signal_ends_the_command_with_its_summary(void **state)
{
    (void)state;
    static char output[65536];
    static const struct answer ok = {OK_ANSWER, true};
    struct server server;
    server_start(&server, &ok, 1);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%s/callback/", server.port);
    const char *arguments[] = {"simulate", "--to", ADDRESS, "--callback", url, "--rate", "5", NULL};
    assert_int_equal(run_command(arguments, 1000, output, sizeof(output)), 0);
    server_stop(&server);
    json_t *summary = NULL;
    assert_true(count_kind(output, "send", &summary) >= 1);
    assert_non_null(summary);
    json_decref(summary);
}

static void nobody_to_tell_and_wrong_usage_are_told_apart(void **state)
{
    (void)state;
    static char output[65536];
    char port[6], url[64];
    find_closed_port(port);
    snprintf(url, sizeof(url), "http://127.0.0.1:%s/callback/", port);
    const char *unreachable[] = {"simulate", "--to", ADDRESS,   "--callback", url,
                                 "--rate",   "0",    "--count", "3",          NULL};
    assert_int_equal(run_command(unreachable, 0, output, sizeof(output)), 1);
    assert_non_null(strstr(output, "Connection refused"));
    assert_non_null(strstr(output, "coinslot serve"));

    const char *const wrong[][6] = {
        {"simulate", NULL},
        {"simulate", "--to", "nano_1wrong", NULL},
        {"simulate", "--to", ADDRESS, "--rate", "fast", NULL},
        {"simulate", "--to", ADDRESS, "--count", "0", NULL},
        {"simulate", "--to", ADDRESS, "--noise", "10001", NULL},
        {"simulate", "--to", ADDRESS, "--unheard-of", NULL},
        {"simulate", "--to", ADDRESS, "--amount", NULL},
        {"simulate", "--to", ADDRESS, "stray", NULL},
        {"simulate", "--addresses-from", "/nowhere/at/all", NULL},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(run_command(wrong[i], 0, output, sizeof(output)), 2);
        assert_memory_equal(output, "coinslot simulate: ", 19);
        assert_ptr_equal(strchr(output, '\n'), output + strlen(output) - 1); /* one line */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_answer_counts_as_it_does_with_the_node),
        cmocka_unit_test(an_answer_may_come_in_any_pieces),
        cmocka_unit_test(a_connection_per_callback_unless_kept_alive),
        cmocka_unit_test(a_kept_connection_that_the_server_closed_is_opened_anew),
        cmocka_unit_test(many_are_under_way_and_all_are_answered),
        cmocka_unit_test(a_failure_is_forgotten_unless_retry_is_asked_for),
        cmocka_unit_test(nobody_there_and_nobody_answering_are_said),
        cmocka_unit_test(urls_are_read_or_explained),
        cmocka_unit_test(the_command_says_what_became_of_each_and_sums_up),
        cmocka_unit_test(a_signal_ends_the_command_with_its_summary),
        cmocka_unit_test(nobody_to_tell_and_wrong_usage_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
