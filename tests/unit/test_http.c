/* A real server on a free port, driven through raw sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "http/clients.h"
#include "http/http.h"
#include "lib/wire.h"

#define BODY_MOST 1000

/* ---- the server ---------------------------------------------------------------------------------------- */

/* Where deferred requests wait until a test, or the answering thread, takes them. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_request *waiting[64];
    size_t count;
    bool stop;
    pthread_t thread;
} parked = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct metrics *metrics;
static struct http *server;
static atomic_int handled;

static void park(struct http_request *request)
{
    pthread_mutex_lock(&parked.lock);
    assert_true(parked.count < 64);
    parked.waiting[parked.count++] = request;
    pthread_cond_broadcast(&parked.changed);
    pthread_mutex_unlock(&parked.lock);
}

/* Waits until there are `count` and takes one; NULL when it is told to stop. */
static struct http_request *unpark(size_t count)
{
    struct http_request *request = NULL;
    pthread_mutex_lock(&parked.lock);
    while (parked.count < count && !parked.stop) {
        pthread_cond_wait(&parked.changed, &parked.lock);
    }
    if (parked.count > 0) {
        request = parked.waiting[--parked.count];
    }
    pthread_mutex_unlock(&parked.lock);
    return request;
}

static void *answer_parked(void *context)
{
    (void)context;
    for (struct http_request *request; (request = unpark(1)) != NULL;) {
        http_answer_empty(request, 200);
    }
    return NULL;
}

static void start_answering(void)
{
    parked.stop = false;
    assert_int_equal(pthread_create(&parked.thread, NULL, answer_parked, NULL), 0);
}

static void stop_answering(void)
{
    pthread_mutex_lock(&parked.lock);
    parked.stop = true;
    pthread_cond_broadcast(&parked.changed);
    pthread_mutex_unlock(&parked.lock);
    pthread_join(parked.thread, NULL);
    parked.stop = false;
}

static void handle_empty(void *context, struct http_request *request)
{
    (void)context;
    atomic_fetch_add(&handled, 1);
    http_answer_empty(request, 200);
}

/* Says back what it was given. */
static void handle_echo(void *context, struct http_request *request)
{
    assert_string_equal(context, "the context");
    size_t size;
    const char *body = http_request_body(request, &size);
    assert_int_equal(strlen(body), size);
    const char *colour = http_request_query(request, "colour"),
               *mark = http_request_header(request, "x-mark");
    http_request_add_header(request, "X-Extra", "one");
    http_answer_json(request, 201,
                     json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s, s:s, s:b}", "method",
                               http_request_method(request), "path", http_request_path(request), "id",
                               http_request_param(request, "id"), "colour", colour, "mark", mark, "body",
                               body, "peer", http_request_peer(request), "loopback",
                               http_request_from_loopback(request)));
}

static void handle_json(void *context, struct http_request *request)
{
    (void)context;
    json_t *value = http_request_json(request, 3);
    if (value != NULL) {
        http_answer_json(request, 200, value);
    }
}

static void handle_text(void *context, struct http_request *request)
{
    (void)context;
    http_request_keep(request, cs_strdup("freed with the request"), free);
    assert_string_equal(http_request_kept(request), "freed with the request");
    http_answer_text(request, 200, "text/plain; charset=utf-8", cs_strdup("hello\n"));
}

static void handle_large(void *context, struct http_request *request)
{
    (void)context;
    char *text = cs_alloc(3000001);
    memset(text, 'x', 3000000);
    http_answer_text(request, 200, "text/plain", text);
}

static void handle_problem(void *context, struct http_request *request)
{
    (void)context;
    http_answer_problem(request, 422, "odd", "amount", "send \"1\"", "%s is \xff wrong\n", "it");
}

static void handle_later(void *context, struct http_request *request)
{
    (void)context;
    atomic_fetch_add(&handled, 1);
    http_request_defer(request);
    park(request);
}

/* The other thread has long answered when the handler returns. */
static void handle_late_return(void *context, struct http_request *request)
{
    (void)context;
    http_request_defer(request);
    park(request);
    wire_pause_ms(20);
}

static void handle_defer_and_answer(void *context, struct http_request *request)
{
    (void)context;
    http_request_defer(request);
    http_request_add_header(request, "Retry-After", "1");
    http_answer_problem(request, 503, "busy", NULL, NULL, "no room");
}

/* What an upload keeps: how much of it has come. It lives until the request is gone. */
struct upload {
    size_t size, parts, sum;
};
static atomic_int uploads;

static void drop_upload(void *kept)
{
    free(kept);
    atomic_fetch_sub(&uploads, 1);
}

static void begin_upload(void *context, struct http_request *request)
{
    (void)context;
    if (http_request_query(request, "no") != NULL) {
        http_answer_problem(request, 403, "not_you", NULL, NULL, "not you");
        return;
    }
    atomic_fetch_add(&uploads, 1);
    http_request_keep(request, cs_alloc(sizeof(struct upload)), drop_upload);
}

static void receive_upload(void *context, struct http_request *request, const char *data, size_t size)
{
    assert_string_equal(context, "the context");
    struct upload *upload = http_request_kept(request);
    upload->parts++;
    upload->size += size;
    for (size_t i = 0; i < size; i++) {
        upload->sum += (uint8_t)data[i];
    }
}

/* Answers with a file: as many lines as there were parts, and one with the sum. */
static void end_upload(void *context, struct http_request *request)
{
    (void)context;
    const struct upload *upload = http_request_kept(request);
    FILE *file = tmpfile();
    for (size_t i = 0; i < upload->parts; i++) {
        fprintf(file, "part\n");
    }
    fprintf(file, "%zu bytes %zu\n", upload->size, upload->sum);
    fflush(file);
    long size = ftell(file);
    int fd = dup(fileno(file));
    fclose(file);
    http_answer_file(request, 200, "text/plain", fd, (uint64_t)size);
}

#define UPLOAD_MOST 1000000

static const struct http_upload UPLOAD = {
    {"POST", "/upload", end_upload, UPLOAD_MOST}, begin_upload, receive_upload};

static const struct http_route ROUTES[] = {
    {"GET", "/empty", handle_empty, 0},
    {"POST", "/empty", handle_empty, BODY_MOST},
    {"GET", "/echo/{id}", handle_echo, 0},
    {"POST", "/echo/{id}", handle_echo, BODY_MOST},
    {"POST", "/json", handle_json, BODY_MOST},
    {"GET", "/text", handle_text, 0},
    {"GET", "/large", handle_large, 0},
    {"GET", "/problem", handle_problem, 0},
    {"POST", "/later", handle_later, BODY_MOST},
    {"GET", "/later", handle_later, 0},
    {"GET", "/late-return", handle_late_return, 0},
    {"GET", "/defer-and-answer", handle_defer_and_answer, 0},
};

static char context[] = "the context";

static void start_server_with(const char *host, uint32_t connections_most, uint32_t connections_loopback,
                              uint32_t idle_timeout_s, uint32_t request_timeout_s)
{
    metrics = metrics_open();
    struct http_options options = {
        .host = host,
        .threads = 2,
        .connections_most = connections_most,
        .connections_loopback = connections_loopback,
        .connections_per_ip_most = 1,
        .idle_timeout_s = idle_timeout_s,
        .request_timeout_s = request_timeout_s,
        .metrics = metrics,
    };
    server = http_open(&options);
    http_add_routes(server, ROUTES, sizeof(ROUTES) / sizeof(ROUTES[0]), context);
    http_add_upload(server, &UPLOAD, context);
    char error[HTTP_ERROR_SIZE];
    assert_int_equal(http_start(server, error), CS_OK);
    assert_int_not_equal(http_port(server), 0);
    atomic_store(&handled, 0);
}

static void start_server(const char *host, uint32_t connections_most, uint32_t idle_timeout_s)
{
    start_server_with(host, connections_most, 0, idle_timeout_s, 30);
}

static void stop_server(void)
{
    http_quiesce(server);
    http_close(server);
    metrics_close(metrics);
}

static int set_up(void **state)
{
    (void)state;
    start_server("127.0.0.1", 100, 30);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stop_server();
    return 0;
}

static bool metric_is(const char *line)
{
    char *text = metrics_print(metrics);
    bool found = strstr(text, line) != NULL;
    free(text);
    return found;
}

/* For what a thread of the server does a moment after its answer. */
static void expect_metric(const char *line)
{
    for (int waited = 0; waited < WIRE_WAIT_MS && !metric_is(line); waited += 5) {
        wire_pause_ms(5);
    }
    assert_true(metric_is(line));
}

/* ---- the client ---------------------------------------------------------------------------------------- */

static int dial(void)
{
    return wire_dial(http_port(server));
}

static int ask(const char *request)
{
    int fd = dial();
    wire_put(fd, request);
    return fd;
}

static void ask_once(const char *request, int status, const char *in_head, const char *in_body)
{
    wire_ask(http_port(server), request, status, in_head, in_body);
}

/* ---- routing ------------------------------------------------------------------------------------------- */

static void a_handler_gets_what_was_asked(void **state)
{
    (void)state;
    int fd = ask("POST /echo/a%2Fb?colour=dark%20blue&x HTTP/1.1\r\nHost: x\r\nX-Mark: 7\r\nContent-Length: "
                 "4\r\n\r\nbody");
    struct wire_answer answer = wire_read(fd, false);
    assert_int_equal(answer.status, 201);
    assert_non_null(strstr(answer.head, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(answer.head, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(answer.head, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(answer.head, "X-Extra: one\r\n"));
    assert_string_equal(answer.body,
                        "{\"method\":\"POST\",\"path\":\"/echo/a%2Fb\",\"id\":\"a/b\",\"colour\":\"dark "
                        "blue\",\"mark\":\"7\",\"body\":\"body\",\"peer\":\"127.0.0.1\",\"loopback\":true}");
    free(answer.body);
    close(fd);
    ask_once("GET /echo/x HTTP/1.1\r\nHost: x\r\nX-Mark:\r\n\r\n", 201, NULL,
             "\"colour\":null,\"mark\":\"\"");
}

static void what_nobody_serves_is_404_as_problem_json(void **state)
{
    (void)state;
    int fd = ask("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    struct wire_answer answer = wire_read(fd, false);
    assert_int_equal(answer.status, 404);
    assert_non_null(strstr(answer.head, "Content-Type: application/problem+json\r\n"));
    assert_string_equal(answer.body, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
                                     "\"code\":\"not_found\",\"detail\":\"there is nothing at /nowhere\"}");
    free(answer.body);
    wire_put(fd,
             "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /empty HTTP/1.1\r\nHost: "
             "x\r\n\r\n");
    wire_expect(fd, 404, NULL, NULL);
    wire_expect(fd, 200, NULL, NULL); /* the refused body was read: the connection goes on */
    close(fd);
    expect_metric("coinslot_http_requests_total{status=\"4xx\"} 2\n");
    expect_metric("coinslot_http_requests_total{status=\"2xx\"} 1\n");
}

static void a_wrong_method_is_405_with_allow(void **state)
{
    (void)state;
    ask_once("DELETE /empty HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Allow: GET, HEAD, POST\r\n",
             "method_not_allowed");
    ask_once("GET /json HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Allow: POST\r\n", NULL);
}

static void a_malformed_url_is_400(void **state)
{
    (void)state;
    ask_once("GET /echo/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL, "malformed_url");
    ask_once("GET /empty?a=1&a=2 HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL, "twice");
}

static void a_problem_names_field_and_hint_and_stays_json(void **state)
{
    (void)state;
    ask_once(
        "GET /problem HTTP/1.1\r\nHost: x\r\n\r\n", 422, NULL,
        "\"code\":\"odd\",\"detail\":\"it is ? wrong\\n\",\"field\":\"amount\",\"hint\":\"send \\\"1\\\"\"}");
}

/* ---- bodies -------------------------------------------------------------------------------------------- */

/* A POST of `size` letters, as much of it as the server takes. */
static int ask_with_body(const char *path, size_t size, const char *more_headers)
{
    char head[300];
    snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n", path,
             more_headers, size);
    char *body = cs_alloc(size + 1);
    memset(body, 'a', size);
    int fd = ask(head);
    wire_put(fd, body);
    free(body);
    return fd;
}

static void a_body_up_to_the_limit_is_taken_and_beyond_is_413(void **state)
{
    (void)state;
    int fd = ask_with_body("/empty", BODY_MOST, "");
    wire_expect(fd, 200, NULL, NULL);
    close(fd);
    fd = ask_with_body("/empty", BODY_MOST + 1, "");
    wire_expect(fd, 413, "application/problem+json", "more than the 1000 bytes");
    wire_put(fd, "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_expect(fd, 200, NULL, NULL);
    close(fd);
    assert_int_equal(atomic_load(&handled), 2);
}

static void a_client_that_sends_far_too_much_still_gets_its_answer(void **state)
{
    (void)state;
    int fd = ask_with_body("/empty", 4000000, "");
    wire_expect(fd, 413, NULL, "body_too_large");
    close(fd);
}

static void a_body_without_end_is_cut_off(void **state)
{
    (void)state;
    int fd = ask("POST /empty HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    char chunk[2 + 6 + 65536 + 2 + 1];
    snprintf(chunk, sizeof(chunk), "10000\r\n%065536d\r\n", 0);
    size_t sent = 0;
    while (sent < (32u << 20) && send(fd, chunk, strlen(chunk), MSG_NOSIGNAL) > 0) {
        sent += strlen(chunk);
    }
    assert_true(sent < (32u << 20));
    close(fd);
    assert_int_equal(atomic_load(&handled), 0);
}

static void a_chunked_body_is_put_together_and_bounded(void **state)
{
    (void)state;
    ask_once("POST /echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
             "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
             201, NULL, "\"body\":\"abcde\"");
    char chunk[BODY_MOST + 300];
    snprintf(
        chunk, sizeof(chunk),
        "POST /echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n%01001d\r\n0\r\n\r\n",
        0);
    ask_once(chunk, 413, NULL, NULL);
}

static void a_client_that_expects_continue_is_told_before_it_sends(void **state)
{
    (void)state;
    int fd = ask("POST /echo/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    wire_expect(fd, 100, NULL, NULL);
    wire_put(fd, "body");
    wire_expect(fd, 201, NULL, "\"body\":\"body\"");
    close(fd);
    fd = ask("POST /echo/x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    wire_expect(fd, 413, "Connection: close\r\n", NULL);
    wire_expect_end(fd);
    fd = ask("POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    wire_expect(fd, 404, NULL, NULL);
    wire_expect_end(fd);
}

static void a_request_whose_end_is_in_doubt_is_refused(void **state)
{
    (void)state;
    int fd =
        ask("POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n");
    wire_expect(fd, 400, NULL, "ambiguous_length");
    wire_expect_end(fd);
    fd = ask("POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n");
    wire_expect(fd, 400, NULL, "ambiguous_length");
    wire_expect_end(fd);
    fd = ask("POST /empty HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n");
    wire_expect(fd, 501, NULL, "unknown_transfer_encoding");
    wire_expect_end(fd);
}

static void post_json(const char *type, const char *body, int status, const char *in_body)
{
    char request[500];
    snprintf(request, sizeof(request), "POST /json HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s",
             type, strlen(body), body);
    ask_once(request, status, NULL, in_body);
}

static void a_json_body_is_checked(void **state)
{
    (void)state;
    const char type[] = "Content-Type: application/json\r\n";
    post_json(type, "{\"a\":[1,{\"b\":\"c\"}]}", 200, "{\"a\":[1,{\"b\":\"c\"}]}");
    post_json("content-type: Application/JSON; charset=utf-8\r\n", "{}", 200, "{}");
    post_json("", "{}", 415, "unsupported_media_type");
    post_json("Content-Type: text/plain\r\n", "{}", 415, "Content-Type: application/json");
    post_json("Content-Type: application/jsonp\r\n", "{}", 415, NULL);
    post_json(type, "{\"a\":\n 1,}", 400, "line 2, column");
    post_json(type, "", 400, "malformed_json");
    post_json(type, "[1]", 400, "one JSON object");
    post_json(type, "{\"a\":{\"b\":{\"c\":{}}}}", 400, "more than 3 levels deep");
}

/* ---- the protocol -------------------------------------------------------------------------------------- */

static void an_empty_answer_is_a_status_and_a_length(void **state)
{
    (void)state;
    int fd = ask(
        "POST /empty HTTP/1.1\r\nHost: ::1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    struct wire_answer answer = wire_read(fd, false);
    assert_int_equal(strncmp(answer.head, "HTTP/1.1 200 OK\r\n", 17), 0);
    assert_non_null(strstr(answer.head, "\r\nContent-Length: 0\r\n"));
    int lines = 0;
    for (const char *c = answer.head; (c = strstr(c, "\r\n")) != NULL; c += 2) {
        lines++;
    }
    assert_int_equal(lines,
                     4); /* the status, Date (RFC 9110, section 6.6.1), Content-Length, the empty line */
    assert_non_null(strstr(answer.head, "\r\nDate: "));
    free(answer.body);
    wire_expect_silence(fd, 50);
    close(fd);
}

static void a_connection_carries_many_requests(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 20; i++) {
        wire_put(fd, "POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        wire_expect(fd, 200, NULL, NULL);
        wire_put(fd, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n");
        wire_expect(fd, 200, "Content-Type: text/plain; charset=utf-8\r\n", "hello\n");
    }
    expect_metric("coinslot_http_connections 1\n");
    close(fd);
    expect_metric("coinslot_http_connections 0\n");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    start_answering();
    int fd = dial();
    char batch[4000] = "";
    for (int i = 0; i < 10; i++) {
        size_t at = strlen(batch);
        snprintf(batch + at, sizeof(batch) - at,
                 "POST /echo/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                 "GET /later HTTP/1.1\r\nHost: x\r\n\r\n",
                 i);
    }
    wire_put(fd, batch);
    for (int i = 0; i < 10; i++) {
        char id[20];
        snprintf(id, sizeof(id), "\"id\":\"%d\"", i);
        wire_expect(fd, 201, NULL, id);
        wire_expect(fd, 200, NULL, NULL);
    }
    close(fd);
    stop_answering();
}

static void a_request_may_come_byte_by_byte(void **state)
{
    (void)state;
    const char request[] = "POST /echo/slow?colour=red HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    int fd = dial();
    for (const char *c = request; *c != '\0'; c++) {
        char one[2] = {*c, '\0'};
        wire_put(fd, one);
        wire_pause_ms(1);
    }
    wire_expect(fd, 201, NULL, "\"body\":\"hello\"");
    close(fd);
}

static void head_is_get_without_the_body(void **state)
{
    (void)state;
    int fd = ask("HEAD /text HTTP/1.1\r\nHost: x\r\n\r\n");
    struct wire_answer answer = wire_read(fd, true);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.head, "Content-Length: 6\r\n"));
    free(answer.body);
    wire_put(fd, "GET /text HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_expect(fd, 200, NULL, "hello");
    close(fd);
}

static void http_1_0_is_answered_and_closed(void **state)
{
    (void)state;
    int fd = ask("GET /text HTTP/1.0\r\n\r\n");
    wire_expect(fd, 200, NULL, "hello");
    wire_expect_end(fd);
    fd = ask("GET /text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wire_expect(fd, 200, "Connection: Keep-Alive\r\n", "hello");
    wire_put(fd, "GET /text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    wire_expect(fd, 200, "Connection: close\r\n", "hello");
    wire_expect_end(fd);
}

static void headers_beyond_the_limit_are_431(void **state)
{
    (void)state;
    char request[20000];
    snprintf(request, sizeof(request), "GET /text HTTP/1.1\r\nHost: x\r\nX-Long: %012000d\r\n\r\n", 0);
    ask_once(request, 200, NULL, NULL);
    snprintf(request, sizeof(request), "GET /text HTTP/1.1\r\nHost: x\r\nX-Long: %017000d\r\n\r\n", 0);
    ask_once(request, 431, NULL, NULL);
}

static void a_large_answer_arrives_whole(void **state)
{
    (void)state;
    int fd = ask("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    struct wire_answer answer = wire_read(fd, false);
    assert_int_equal(answer.size, 3000000);
    assert_int_equal(strspn(answer.body, "x"), 3000000);
    free(answer.body);
    close(fd);
}

/* ---- answers from elsewhere ---------------------------------------------------------------------------- */

static void a_deferred_request_is_answered_from_another_thread(void **state)
{
    (void)state;
    int first = ask("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    struct http_request *request = unpark(1);
    wire_expect_silence(first, 50);
    ask_once("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL, NULL); /* nobody waits for it */
    http_answer_json(request, 202, json_pack("{s:i}", "a", 1));
    wire_expect(first, 202, NULL, "{\"a\":1}");
    wire_put(first, "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_expect(first, 200, NULL, NULL);
    close(first);
}

static void an_answer_may_come_before_the_handler_returns(void **state)
{
    (void)state;
    start_answering();
    int fd = dial();
    for (int i = 0; i < 10; i++) {
        wire_put(fd, "GET /late-return HTTP/1.1\r\nHost: x\r\n\r\n");
        wire_expect(fd, 200, NULL, NULL);
    }
    close(fd);
    stop_answering();
    ask_once("GET /defer-and-answer HTTP/1.1\r\nHost: x\r\n\r\n", 503, "Retry-After: 1\r\n",
             "\"code\":\"busy\"");
}

static void *hammer(void *count)
{
    int fd = dial();
    for (int i = 0; i < *(int *)count; i++) {
        wire_put(fd, "POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        wire_expect(fd, 200, NULL, NULL);
        if (i % 50 == 49) {
            close(fd);
            fd = dial();
        }
    }
    close(fd);
    return NULL;
}

static void many_clients_are_answered_from_another_thread(void **state)
{
    (void)state;
    start_answering();
    int count = 300;
    pthread_t threads[6];
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &count), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
    }
    stop_answering();
    assert_int_equal(atomic_load(&handled), 1800);
    expect_metric("coinslot_http_requests_total{status=\"2xx\"} 1800\n");
}

static void a_client_that_hangs_up_costs_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        int fd = ask("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        struct http_request *request = unpark(1);
        struct linger abort = {.l_onoff = 1};
        if (i % 2 == 0) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
        }
        close(fd);
        wire_pause_ms(2);
        http_answer_problem(request, 503, "busy", NULL, NULL, "no room");
    }
    expect_metric("coinslot_http_connections 0\n");
    ask_once("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL, NULL);
    int half = ask("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nab");
    close(half);
    expect_metric("coinslot_http_connections 0\n");
    assert_int_equal(atomic_load(&handled), 11);
}

/* ---- limits, start and stop ---------------------------------------------------------------------------- */

static void connections_beyond_the_limit_are_closed(void **state)
{
    (void)state;
    start_server("127.0.0.1", 3, 30); /* one per address, but loopback is not limited */
    int fds[3];
    for (size_t i = 0; i < 3; i++) {
        fds[i] = ask("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
        wire_expect(fds[i], 200, NULL, NULL);
    }
    char byte;
    int fourth = dial();
    assert_true(wire_get(fourth, &byte, 1, WIRE_WAIT_MS) <= 0);
    close(fourth);
    expect_metric("coinslot_http_connections_refused_total{limit=\"total\"} 1\n");
    expect_metric("coinslot_http_connections 3\n");
    close(fds[0]);
    expect_metric("coinslot_http_connections 2\n");
    ask_once("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL, NULL);
    close(fds[1]);
    close(fds[2]);
    stop_server();
}

static void peer_at(struct sockaddr_storage *address, const char *text)
{
    memset(address, 0, sizeof(*address));
    struct sockaddr_in *in = (struct sockaddr_in *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        address->ss_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
        address->ss_family = AF_INET6;
    }
}

static enum clients_verdict knock(struct clients *clients, const char *text, struct client **client)
{
    struct sockaddr_storage address;
    peer_at(&address, text);
    return clients_enter(clients, (struct sockaddr *)&address, client);
}

/* Whether there is room: comes, and goes again. */
static enum clients_verdict judge(struct clients *clients, const char *text)
{
    struct client *client = NULL;
    enum clients_verdict verdict = knock(clients, text, &client);
    if (verdict == CLIENTS_WELCOME) {
        clients_leave(clients, client);
    }
    return verdict;
}

static struct client *enter(struct clients *clients, const char *text)
{
    struct client *client = NULL;
    assert_int_equal(knock(clients, text, &client), CLIENTS_WELCOME);
    return client;
}

static void addresses_are_limited_each_but_loopback_is_not(void **state)
{
    (void)state;
    struct clients *clients = clients_open(6, 0, 2);
    struct client *a = enter(clients, "192.0.2.1"), *b = enter(clients, "192.0.2.1");
    assert_int_equal(judge(clients, "192.0.2.1"), CLIENTS_TOO_MANY_PER_IP);
    assert_int_equal(judge(clients, "::ffff:192.0.2.1"),
                     CLIENTS_TOO_MANY_PER_IP); /* the same one through an IPv6 socket */
    assert_int_equal(judge(clients, "192.0.2.2"), CLIENTS_WELCOME);
    struct client *c = enter(clients, "2001:db8::1"), *d = enter(clients, "2001:db8::2");
    assert_int_equal(judge(clients, "2001:db8::3"), CLIENTS_TOO_MANY_PER_IP); /* one /64 is one holder */
    assert_int_equal(judge(clients, "2001:db8:0:1::1"), CLIENTS_WELCOME);
    clients_leave(clients, a);
    assert_int_equal(judge(clients, "192.0.2.1"), CLIENTS_WELCOME);
    struct client *e = enter(clients, "127.0.0.1"), *f = enter(clients, "127.0.0.1");
    assert_int_equal(judge(clients, "127.0.0.1"), CLIENTS_WELCOME);
    struct client *g = enter(clients, "::1");
    assert_int_equal(judge(clients, "127.0.0.1"), CLIENTS_TOO_MANY);
    struct client *all[] = {b, c, d, e, f, g};
    for (size_t i = 0; i < 6; i++) {
        clients_leave(clients, all[i]);
    }
    assert_int_equal(clients_count(clients), 0);
    clients_close(clients);
}

static void loopback_finds_a_connection_when_others_have_taken_all_of_theirs(void **state)
{
    (void)state;
    struct clients *clients = clients_open(2, 1, 0);
    struct client *all[] = {enter(clients, "192.0.2.1"), enter(clients, "192.0.2.2"), NULL};
    assert_int_equal(judge(clients, "192.0.2.3"), CLIENTS_TOO_MANY);
    assert_int_equal(judge(clients, "::1"), CLIENTS_WELCOME);
    all[2] = enter(clients, "127.0.0.1");
    assert_int_equal(judge(clients, "127.0.0.1"), CLIENTS_TOO_MANY);
    clients_leave(clients, all[0]);
    assert_int_equal(judge(clients, "192.0.2.3"), CLIENTS_TOO_MANY);
    assert_int_equal(judge(clients, "127.0.0.1"), CLIENTS_WELCOME);
    clients_leave(clients, all[1]);
    clients_leave(clients, all[2]);
    clients_close(clients);
}

static void what_is_loopback_is_known_in_every_form(void **state)
{
    (void)state;
    const char *const yes[] = {"127.0.0.1", "127.200.0.9", "::1", "::ffff:127.0.0.1"};
    const char *const no[] = {"128.0.0.1", "10.0.0.1", "::2", "::", "::ffff:10.0.0.1", "fe80::1", "::7f00:1"};
    struct sockaddr_storage address;
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        peer_at(&address, yes[i]);
        assert_true(clients_is_loopback((struct sockaddr *)&address));
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        peer_at(&address, no[i]);
        assert_false(clients_is_loopback((struct sockaddr *)&address));
    }
    char text[INET6_ADDRSTRLEN];
    peer_at(&address, "::ffff:127.0.0.1");
    clients_format((struct sockaddr *)&address, text);
    assert_string_equal(text, "127.0.0.1");
}

static void an_idle_connection_is_closed(void **state)
{
    (void)state;
    start_server("127.0.0.1", 10, 1);
    int fd = ask("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n"), half = ask("POST /empty HT");
    wire_expect(fd, 200, NULL, NULL);
    wire_expect_end(fd);
    wire_expect_end(half);
    stop_server();
}

/* True when the server ends the connection although a byte comes every 50 ms. */
static bool is_cut_while_it_drips(int fd, const char *drop, int within_ms)
{
    char byte;
    for (int waited = 0; waited < within_ms; waited += 50) {
        if (send(fd, drop, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, MSG_DONTWAIT) == 0) {
            return true;
        }
        wire_pause_ms(50);
    }
    return false;
}

static void a_request_that_drips_in_is_cut(void **state)
{
    (void)state;
    start_server_with("127.0.0.1", 10, 0, 30, 1);
    const char *const begun[] = {"GET /emp", "GET /empty HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                                 "POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n",
                                 "GET /empty HTTP/1.1\r\nHost: x\r\n\r\nGET /aga"};
    for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
        int fd = ask(begun[i]);
        if (i == 3) {
            wire_expect(fd, 200, NULL, NULL);
        }
        assert_true(is_cut_while_it_drips(fd, "a", WIRE_WAIT_MS));
        close(fd);
    }
    expect_metric("coinslot_http_connections_cut_total 4\n");
    expect_metric("coinslot_http_connections 0\n");
    stop_server();
}

static void time_is_for_what_is_sent_not_for_the_answer_and_progress_earns_more(void **state)
{
    (void)state;
    start_server_with("127.0.0.1", 10, 0, 30, 1);
    int waits = ask("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    struct http_request *request = unpark(1);
    int slow = ask("GET /emp");
    wire_pause_ms(700);
    wire_put(slow, "ty HTTP/1.1\r\n");
    wire_pause_ms(700);
    wire_put(slow, "Host: x\r\n\r\n");
    wire_expect(slow, 200, NULL, NULL);
    close(slow);
    int large = ask("POST /empty HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    char *part = cs_alloc(100001);
    memset(part, 'a', 100000);
    wire_pause_ms(600);
    wire_put(large, part);
    wire_pause_ms(600);
    wire_put(large, part);
    wire_expect(large, 413, NULL, NULL);
    free(part);
    http_answer_empty(request, 200);
    wire_expect(waits, 200, NULL, NULL);
    close(waits);
    close(large);
    expect_metric("coinslot_http_connections_cut_total 0\n");
    stop_server();
}

static void ipv6_works_like_ipv4(void **state)
{
    (void)state;
    start_server("::1", 10, 30);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_port = htons(http_port(server)), .sin6_addr = in6addr_loopback};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    wire_put(fd, "GET /echo/six HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    wire_expect(fd, 201, NULL, "\"peer\":\"::1\",\"loopback\":true");
    close(fd);
    stop_server();
}

static void an_address_that_cannot_be_had_is_named(void **state)
{
    (void)state;
    struct metrics *more = metrics_open();
    struct http_options options = {
        .host = "127.0.0.1", .port = http_port(server), .threads = 2, .connections_most = 9, .metrics = more};
    struct http *second = http_open(&options);
    char error[HTTP_ERROR_SIZE];
    assert_int_equal(http_start(second, error), CS_EIO);
    assert_non_null(strstr(error, "127.0.0.1 port "));
    assert_non_null(strstr(error, "another program listens there"));
    http_close(second);
    options.host = "192.0.2.1";
    second = http_open(&options);
    assert_int_equal(http_start(second, error), CS_EIO);
    assert_non_null(strstr(error, "no such address"));
    http_close(second);
    options.host = "no host";
    second = http_open(&options);
    assert_int_equal(http_start(second, error), CS_EIO);
    assert_non_null(strstr(error, "'no host'"));
    http_close(second);
    metrics_close(more);
}

static void a_stop_lets_deferred_requests_have_their_answer(void **state)
{
    (void)state;
    start_server("127.0.0.1", 100, 30);
    int fds[8], idle = ask("GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_expect(idle, 200, NULL, NULL);
    for (size_t i = 0; i < 8; i++) {
        fds[i] = ask("POST /later HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    }
    struct http_request *one = unpark(8);
    http_quiesce(server);
    int refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_port(server))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(refused, (struct sockaddr *)&address, sizeof(address)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(refused);
    wire_put(idle, "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    wire_expect(idle, 200, "Connection: close\r\n", NULL);
    wire_expect_end(idle);

    start_answering(); /* while http_close runs */
    http_answer_empty(one, 200);
    http_close(server);
    stop_answering();
    for (size_t i = 0; i < 8; i++) {
        wire_expect(fds[i], 200, "Connection: close\r\n", NULL);
        wire_expect_end(fds[i]);
    }
    metrics_close(metrics);
}

static void one_thread_is_enough(void **state)
{
    (void)state;
    metrics = metrics_open();
    struct http_options options = {
        .host = "127.0.0.1", .threads = 1, .connections_most = 9, .metrics = metrics};
    server = http_open(&options);
    http_add_routes(server, ROUTES, sizeof(ROUTES) / sizeof(ROUTES[0]), context);
    char error[HTTP_ERROR_SIZE];
    assert_int_equal(http_start(server, error), CS_OK);
    start_answering();
    ask_once("GET /later HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL, NULL);
    stop_answering();
    stop_server();
}

/* ---- uploads ------------------------------------------------------------------------------------------- */

static void put_many(int fd, size_t size, int byte)
{
    char block[10000];
    memset(block, byte, sizeof(block));
    for (size_t sent = 0; sent < size;) {
        size_t more = size - sent < sizeof(block) ? size - sent : sizeof(block);
        ssize_t put = send(fd, block, more, MSG_NOSIGNAL);
        if (put <= 0) {
            return; /* the server has closed it: what the test is about */
        }
        sent += (size_t)put;
    }
}

static void wait_until_dropped(void)
{
    for (int waited = 0; waited < WIRE_WAIT_MS && atomic_load(&uploads) != 0; waited += 5) {
        wire_pause_ms(5);
    }
    assert_int_equal(atomic_load(&uploads), 0);
}

static void an_upload_comes_in_parts_and_is_answered_from_a_file(void **state)
{
    (void)state;
    int fd = ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
    put_many(fd, 900000, 'a');
    struct wire_answer answer = wire_read(fd, false);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.head, "Content-Type: text/plain\r\n"));
    assert_non_null(strstr(answer.head, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(answer.body, "900000 bytes 87300000\n"));
    assert_true(answer.size > 10 * strlen("part\n")); /* never whole in memory */
    free(answer.body);
    /* The connection goes on, with an upload of nothing. */
    wire_put(fd, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    wire_expect(fd, 200, NULL, "0 bytes 0\n");
    wire_put(
        fd,
        "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    wire_expect(fd, 200, NULL, "4 bytes 394\n");
    close(fd);
    wait_until_dropped();
}

static void an_upload_may_be_refused_before_its_body(void **state)
{
    (void)state;
    int fd = ask(
        "POST /upload?no=1 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 900000\r\n\r\n");
    wire_expect(fd, 403, NULL, "not_you");
    wire_expect_end(fd);
    fd = ask("POST /upload?no=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
    put_many(fd, 900000, 'a');
    wire_expect(fd, 403, NULL, "not_you");
    close(fd);
    ask_once("POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000001\r\n\r\n",
             413, NULL, "body_too_large");
    assert_int_equal(atomic_load(&uploads), 0);
}

static void an_upload_that_breaks_off_leaves_nothing_behind(void **state)
{
    (void)state;
    int fd = ask("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n");
    put_many(fd, 300000, 'a');
    for (int waited = 0; waited < WIRE_WAIT_MS && atomic_load(&uploads) == 0; waited += 5) {
        wire_pause_ms(5);
    }
    assert_int_equal(atomic_load(&uploads), 1);
    close(fd);
    wait_until_dropped();
    /* Nor does one that the server cuts off, for it has no end. */
    fd = ask("POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000000\r\n");
    put_many(fd, 16 << 20, 'a');
    wait_until_dropped();
    close(fd);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_handler_gets_what_was_asked),
        WITH_SERVER(what_nobody_serves_is_404_as_problem_json),
        WITH_SERVER(a_wrong_method_is_405_with_allow),
        WITH_SERVER(a_malformed_url_is_400),
        WITH_SERVER(a_problem_names_field_and_hint_and_stays_json),
        WITH_SERVER(a_body_up_to_the_limit_is_taken_and_beyond_is_413),
        WITH_SERVER(a_client_that_sends_far_too_much_still_gets_its_answer),
        WITH_SERVER(a_body_without_end_is_cut_off),
        WITH_SERVER(a_chunked_body_is_put_together_and_bounded),
        WITH_SERVER(a_client_that_expects_continue_is_told_before_it_sends),
        WITH_SERVER(a_request_whose_end_is_in_doubt_is_refused),
        WITH_SERVER(a_json_body_is_checked),
        WITH_SERVER(an_empty_answer_is_a_status_and_a_length),
        WITH_SERVER(a_connection_carries_many_requests),
        WITH_SERVER(pipelined_requests_are_answered_in_order),
        WITH_SERVER(a_request_may_come_byte_by_byte),
        WITH_SERVER(head_is_get_without_the_body),
        WITH_SERVER(http_1_0_is_answered_and_closed),
        WITH_SERVER(headers_beyond_the_limit_are_431),
        WITH_SERVER(a_large_answer_arrives_whole),
        WITH_SERVER(a_deferred_request_is_answered_from_another_thread),
        WITH_SERVER(an_answer_may_come_before_the_handler_returns),
        WITH_SERVER(many_clients_are_answered_from_another_thread),
        WITH_SERVER(a_client_that_hangs_up_costs_nothing),
        WITH_SERVER(an_upload_comes_in_parts_and_is_answered_from_a_file),
        WITH_SERVER(an_upload_may_be_refused_before_its_body),
        WITH_SERVER(an_upload_that_breaks_off_leaves_nothing_behind),
        WITH_SERVER(an_address_that_cannot_be_had_is_named),
        cmocka_unit_test(connections_beyond_the_limit_are_closed),
        cmocka_unit_test(addresses_are_limited_each_but_loopback_is_not),
        cmocka_unit_test(what_is_loopback_is_known_in_every_form),
        cmocka_unit_test(an_idle_connection_is_closed),
        cmocka_unit_test(a_request_that_drips_in_is_cut),
        cmocka_unit_test(time_is_for_what_is_sent_not_for_the_answer_and_progress_earns_more),
        cmocka_unit_test(loopback_finds_a_connection_when_others_have_taken_all_of_theirs),
        cmocka_unit_test(ipv6_works_like_ipv4),
        cmocka_unit_test(a_stop_lets_deferred_requests_have_their_answer),
        cmocka_unit_test(one_thread_is_enough),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
