#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "http/http.h"
#include "lib/fake_rpc.h"
#include "lib/wire.h"
#include "node/rpc.h"

#define CALLS_MOST 512
#define WAIT_MS    30000

/* One call, and what came of it. */
struct outcome {
    int ended; /* how often it was called back */
    enum rpc_result result;
    json_t *answer;
    char why[RPC_WHY_SIZE];
    int order; /* of ending */
};

/* The test's own thread owns the loop: it is never started, and runs when the test waits. */
static struct fake_rpc *fake;
static struct node_loop *loop;
static struct metrics *metrics;
static struct rpc *rpc;
static struct outcome outcomes[CALLS_MOST];
static int asked, ended;

static const struct rpc_options USUAL = {
    .url = "",
    .ca_file = "",
    .connections = 4,
    .timeout_ms = 3000,
    .waiting_most = 100,
    .answer_bytes_most = 1u << 20,
};

static int open_all(void **state)
{
    (void)state;
    fake = fake_rpc_open();
    loop = node_loop_open(10);
    metrics = metrics_open();
    memset(outcomes, 0, sizeof(outcomes));
    asked = ended = 0;
    rpc = NULL;
    return 0;
}

static void open_at(const char *url, struct rpc_options options)
{
    char error[RPC_ERROR_SIZE] = "";
    options.url = url;
    options.metrics = metrics;
    assert_int_equal(rpc_open(&options, loop, &rpc, error), CS_OK);
}

static void open_client(struct rpc_options options)
{
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", fake_rpc_port(fake));
    open_at(url, options);
}

static int close_all(void **state)
{
    (void)state;
    if (rpc != NULL) {
        rpc_close(rpc);
    }
    node_loop_stop(loop);
    node_loop_close(loop);
    metrics_close(metrics);
    fake_rpc_close(fake);
    for (int i = 0; i < asked; i++) {
        assert_int_equal(outcomes[i].ended, 1);
        json_decref(outcomes[i].answer);
    }
    return 0;
}

static void on_done(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct outcome *outcome = context;
    assert_true(node_loop_is_mine(loop));
    assert_true((answer != NULL) == (result == RPC_OK || result == RPC_ERROR));
    assert_true((*why == '\0') == (result == RPC_OK));
    outcome->ended++;
    outcome->result = result;
    outcome->answer = json_deep_copy(answer);
    outcome->order = ended++;
    snprintf(outcome->why, sizeof(outcome->why), "%s", why);
}

static enum cs_err try_ask(enum rpc_priority priority, const char *action, long number)
{
    assert_true(asked < CALLS_MOST);
    json_t *request = json_pack("{s:s, s:i, s:i}", "action", action, "number", (int)number, "n", asked);
    enum cs_err err = rpc_call(rpc, priority, request, on_done, &outcomes[asked]);
    asked += err == CS_OK;
    return err;
}

static void ask(enum rpc_priority priority, const char *action, long number)
{
    assert_int_equal(try_ask(priority, action, number), CS_OK);
}

static void run_for(int ms)
{
    for (uint64_t until = clock_monotonic_ns() + (uint64_t)ms * 1000000u; clock_monotonic_ns() < until;) {
        uv_run(node_loop_uv(loop), UV_RUN_NOWAIT);
        wire_pause_ms(1);
    }
}

static void wait_ended(int count)
{
    for (uint64_t until = clock_monotonic_ns() + (uint64_t)WAIT_MS * 1000000u; ended < count;) {
        assert_true(clock_monotonic_ns() < until);
        uv_run(node_loop_uv(loop), UV_RUN_NOWAIT);
        wire_pause_ms(1);
    }
}

static void expect(const char *action, long number, enum rpc_result result, const char *in_why)
{
    int index = asked;
    ask(RPC_LIVE, action, number);
    assert_int_equal(outcomes[index].ended, 0); /* never from within the call */
    wait_ended(index + 1);
    assert_string_equal(rpc_result_text(outcomes[index].result), rpc_result_text(result));
    if (strstr(outcomes[index].why, in_why) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", action, outcomes[index].why, in_why);
    }
}

static void expect_metric(const char *line)
{
    char *printed = metrics_print(metrics);
    if (strstr(printed, line) == NULL) {
        fail_msg("no \"%s\" in\n%s", line, printed);
    }
    free(printed);
}

/* ---- what comes of a call ------------------------------------------------------------------------------------------- */

static void an_answer_comes_back_as_it_was_given(void **state)
{
    (void)state;
    static const char *const headers[] = {"Authorization: Bearer s3cret", "X-Odd:  two words"};
    struct rpc_options options = USUAL;
    options.headers = headers;
    options.header_count = 2;
    open_client(options);
    expect("echo", 42, RPC_OK, "");
    assert_int_equal(json_integer_value(json_object_get(outcomes[0].answer, "number")), 42);
    char head[2048];
    fake_rpc_head(fake, head);
    assert_ptr_equal(strstr(head, "POST / HTTP/1.1\r\n"), head);
    assert_non_null(strstr(head, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(head, "\r\nUser-Agent: coinslot/"));
    assert_non_null(strstr(head, "\r\nAuthorization: Bearer s3cret\r\n"));
    assert_non_null(strstr(head, "\r\nX-Odd:  two words\r\n"));
    assert_null(strstr(head, "Expect:"));
    expect_metric("coinslot_node_rpc_calls_total{result=\"ok\"} 1\n");
    expect_metric("coinslot_node_rpc_in_flight 0\n");
}

static void each_kind_of_bad_answer_has_its_name_and_its_reason(void **state)
{
    (void)state;
    open_client(USUAL);
    expect("error", 0, RPC_ERROR, "Account not found");
    assert_string_equal(json_text(outcomes[0].answer, "error"), "Account not found");
    expect("odd", 0, RPC_ERROR, "{\"code\":1}");
    expect("status", 429, RPC_STATUS, "HTTP status 429: {\"message\":\"no\"}");
    expect("status", 500, RPC_STATUS, "HTTP status 500");
    expect("moved", 0, RPC_STATUS, "HTTP status 302");
    expect("text", 0, RPC_MALFORMED, "not well-formed JSON");
    expect("array", 0, RPC_MALFORMED, "no JSON object");
    expect("half", 0, RPC_MALFORMED, "");
    expect("noise", 0, RPC_MALFORMED, "");
    expect("drop", 0, RPC_UNREACHABLE, "");
    expect_metric("coinslot_node_rpc_calls_total{result=\"malformed\"} 4\n");
    expect_metric("coinslot_node_rpc_calls_total{result=\"status\"} 3\n");
    assert_int_equal(fake_rpc_heard(fake, NULL, 0), asked); /* nothing was followed, and nothing repeated */
}

static void what_is_slow_or_silent_times_out(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.timeout_ms = 200;
    open_client(options);
    uint64_t began = clock_monotonic_ns();
    expect("hang", 0, RPC_TIMEOUT, "timed out");
    expect("drip", 0, RPC_TIMEOUT, "timed out");
    assert_in_range((clock_monotonic_ns() - began) / 1000000, 390, 5000);
    expect("echo", 0, RPC_OK, "");
}

static void what_is_too_big_is_cut_off_announced_or_not(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.answer_bytes_most = 100000;
    open_client(options);
    expect("big", 100000, RPC_OK, "");
    expect("flood", 100000, RPC_OK, "");
    expect("big", 100001, RPC_TOO_BIG, "");
    expect("flood", 100001, RPC_TOO_BIG, "");
    expect("flood", 20000000, RPC_TOO_BIG, "");
    struct rpc_state known;
    rpc_state(rpc, &known);
    assert_int_equal(known.reach, RPC_UP);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void nobody_there_is_unreachable(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", free_port());
    open_at(url, USUAL);
    expect("echo", 0, RPC_UNREACHABLE, "onnect");
}

static void a_host_may_have_a_name(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof(url), "http://localhost:%u", fake_rpc_port(fake));
    open_at(url, USUAL);
    expect("echo", 0, RPC_OK, "");
}

static void a_proxy_of_the_environment_is_not_asked_for_loopback(void **state)
{
    (void)state;
    char proxy[64];
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", free_port());
    assert_int_equal(setenv("http_proxy", proxy, 1), 0);
    open_client(USUAL);
    expect("echo", 0, RPC_OK, "");
    assert_int_equal(unsetenv("http_proxy"), 0);
}

static void a_connection_that_the_server_keeps_is_used_again(void **state)
{
    (void)state;
    open_client(USUAL);
    for (int i = 0; i < 5; i++) {
        expect("keep", 0, RPC_OK, "");
    }
    assert_int_equal(fake_rpc_connections(fake), 1);
    expect("echo", 0, RPC_OK, "");
    expect("echo", 0, RPC_OK, "");
    assert_int_equal(fake_rpc_connections(fake), 2);
}

static void a_wrong_config_is_refused_in_words(void **state)
{
    (void)state;
    static const char *const bad_urls[] = {"",        "7076",        "ftp://host/",   "file:///etc/passwd",
                                           "http://", "http://[::1", "ws://host:7078"};
    static const char *const bad_headers[] = {"",       "no colon",     "Empty:", ": value",
                                              "A b: c", "X: a\r\nY: b", "X: a\nb"};
    char error[RPC_ERROR_SIZE];
    struct rpc_options options = USUAL;
    options.metrics = metrics;
    for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
        options.url = bad_urls[i];
        assert_int_equal(rpc_open(&options, loop, &rpc, error), CS_EINVAL);
        assert_non_null(strstr(error, "URL"));
    }
    options.url = "http://[::1]:7076";
    options.header_count = 1;
    for (size_t i = 0; i < sizeof(bad_headers) / sizeof(bad_headers[0]); i++) {
        options.headers = &bad_headers[i];
        assert_int_equal(rpc_open(&options, loop, &rpc, error), CS_EINVAL);
        assert_non_null(strstr(error, "Name: value"));
    }
    assert_null(rpc);
}

/* ---- how many, how fast, in which order ------------------------------------------------------------------------------ */

static void no_more_are_under_way_than_there_are_connections(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.connections = 3;
    open_client(options);
    for (int i = 0; i < 12; i++) {
        ask(RPC_LIVE, "wait", 50);
    }
    wait_ended(12);
    assert_int_equal(fake_rpc_peak(fake), 3);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(outcomes[i].result, RPC_OK);
    }
}

static void a_live_call_waits_for_no_sweep(void **state)
{
    (void)state;
    open_client(USUAL);
    for (int i = 0; i < 4; i++) {
        ask(RPC_SWEEP, "wait", 1000);
    }
    while (fake_rpc_heard(fake, NULL, 0) < 3) {
        run_for(1);
    }
    run_for(100); /* one connection is kept free */
    assert_int_equal(fake_rpc_heard(fake, NULL, 0), 3);
    ask(RPC_LIVE, "echo", 0);
    wait_ended(1);
    assert_int_equal(outcomes[4].ended, 1);
    wait_ended(5);
}

static void with_one_connection_too_live_calls_are_next(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.connections = 1;
    open_client(options);
    for (int i = 0; i < 3; i++) {
        ask(RPC_SWEEP, "echo", 0);
    }
    for (int i = 0; i < 3; i++) {
        ask(RPC_LIVE, "echo", 0);
    }
    wait_ended(6);
    static const int order[] = {0, 4, 5,
                                1, 2, 3}; /* the first sweep was under way before there was a live call */
    for (int i = 0; i < 6; i++) {
        assert_int_equal(outcomes[i].order, order[i]);
    }
}

static void the_quota_is_kept_in_every_second_and_live_calls_go_first(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.calls_per_s = 40;
    options.waiting_most = 400;
    open_client(options);
    for (int i = 0; i < 60; i++) {
        ask(RPC_SWEEP, "echo", 0);
    }
    run_for(500);
    for (int i = 0; i < 30; i++) {
        ask(RPC_LIVE, "echo", 0);
    }
    wait_ended(90);
    struct fake_heard heard[90];
    assert_int_equal(fake_rpc_heard(fake, heard, 90), 90);
    size_t most = 0, sweeps_before_the_last_live = 0;
    for (size_t first = 0, last = 0; last < 90; last++) {
        while (heard[last].at_ns - heard[first].at_ns > 1000000000u) {
            first++;
        }
        most = last - first + 1 > most ? last - first + 1 : most;
    }
    assert_in_range(most, 20, 40);
    for (size_t i = 0, live = 0; live < 30; i++) {
        live += heard[i].number >= 60;
        sweeps_before_the_last_live += heard[i].number < 60;
    }
    assert_in_range(sweeps_before_the_last_live, 5,
                    30); /* half a second of them, though 60 were there first */
    assert_in_range((heard[89].at_ns - heard[0].at_ns) / 1000000, 2200, 6000);
}

static void a_sweep_ends_however_many_live_calls_there_are(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.connections = 1; /* of two, one may stand still for as long as a busy machine likes */
    open_client(options);
    for (int i = 0; i < 3; i++) {
        ask(RPC_SWEEP, "echo", 0);
    }
    for (int i = 0; i < 60; i++) {
        ask(RPC_LIVE, "echo", 0);
    }
    wait_ended(63);
    for (int i = 0; i < 3; i++) { /* the first was under way; then one in nine */
        assert_in_range(outcomes[i].order, 0, 1 + (RPC_LIVE_IN_A_ROW + 2) * i);
    }
    assert_in_range(outcomes[2].order, RPC_LIVE_IN_A_ROW, 62);
}

static void sweeps_are_refused_before_live_calls_are(void **state)
{
    (void)state;
    struct rpc_options options = USUAL;
    options.connections = 1;
    options.waiting_most = 10;
    open_client(options);
    ask(RPC_SWEEP, "wait", 300); /* under way: it does not wait */
    for (int i = 0; i < 5; i++) {
        ask(RPC_SWEEP, "echo", 0);
    }
    assert_int_equal(try_ask(RPC_SWEEP, "echo", 0), CS_EBUSY);
    for (int i = 0; i < 5; i++) {
        ask(RPC_LIVE, "echo", 0);
    }
    assert_int_equal(try_ask(RPC_LIVE, "echo", 0), CS_EBUSY);
    expect_metric("coinslot_node_rpc_waiting{priority=\"live\"} 5\n");
    expect_metric("coinslot_node_rpc_waiting{priority=\"sweep\"} 5\n");
    expect_metric("coinslot_node_rpc_refused_total{priority=\"live\"} 1\n");
    expect_metric("coinslot_node_rpc_refused_total{priority=\"sweep\"} 1\n");
    wait_ended(11);
    ask(RPC_SWEEP, "echo", 0);
    wait_ended(12);
}

static void on_done_ask_again(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    on_done(context, result, answer, why);
    if (asked < 5) {
        ask(RPC_LIVE, "keep", 0);
    }
}

static void a_call_may_be_made_from_within_what_ended_another(void **state)
{
    (void)state;
    open_client(USUAL);
    assert_int_equal(
        rpc_call(rpc, RPC_LIVE, json_pack("{s:s}", "action", "echo"), on_done_ask_again, &outcomes[asked++]),
        CS_OK);
    wait_ended(2);
    assert_int_equal(outcomes[1].result, RPC_OK);
}

/* ---- what is known of the endpoint, and the end ----------------------------------------------------------------------- */

static enum rpc_reach reach_now(char why[RPC_WHY_SIZE])
{
    struct rpc_state known;
    rpc_state(rpc, &known);
    assert_in_range(known.since_ms, clock_wall_ms() - 60000, clock_wall_ms());
    snprintf(why, RPC_WHY_SIZE, "%s", known.why);
    assert_true((*why != '\0') == (known.reach == RPC_DOWN));
    assert_true((known.heard_ms == 0) || known.reach != RPC_UNTRIED);
    return known.reach;
}

static void the_endpoint_is_up_or_down_and_why(void **state)
{
    (void)state;
    char why[RPC_WHY_SIZE];
    struct rpc_options options = USUAL;
    options.timeout_ms = 700;
    open_client(options);
    assert_int_equal(reach_now(why), RPC_UNTRIED);
    expect("error", 0, RPC_ERROR, "");
    assert_int_equal(reach_now(why), RPC_UP);
    expect("status", 401, RPC_STATUS, "");
    assert_int_equal(reach_now(why), RPC_DOWN);
    assert_non_null(strstr(why, "401"));
    expect("echo", 0, RPC_OK, "");
    assert_int_equal(reach_now(why), RPC_UP);
    /* One that times out, while a later one was answered, says nothing of the endpoint. */
    int hanging = asked;
    ask(RPC_LIVE, "hang", 0);
    ask(RPC_LIVE, "echo", 0);
    wait_ended(asked);
    assert_int_equal(outcomes[hanging].result, RPC_TIMEOUT);
    assert_int_equal(reach_now(why), RPC_UP);
    expect("hang", 0, RPC_TIMEOUT, "");
    assert_int_equal(reach_now(why), RPC_DOWN);
}

static void stopping_ends_all_that_waits_or_is_under_way(void **state)
{
    (void)state;
    open_client(USUAL);
    for (int i = 0; i < 10; i++) {
        ask(i % 2 == 0 ? RPC_LIVE : RPC_SWEEP, "hang", 0);
    }
    run_for(100);
    assert_int_equal(ended, 0);
    rpc_stop(rpc);
    assert_int_equal(ended, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(outcomes[i].result, RPC_CLOSED);
    }
    assert_int_equal(try_ask(RPC_LIVE, "echo", 0), CS_ECLOSED);
    rpc_stop(rpc);
    expect_metric("coinslot_node_rpc_calls_total{result=\"closed\"} 10\n");
    expect_metric("coinslot_node_rpc_in_flight 0\n");
}

static void stop_rpc(void *context)
{
    rpc_stop(context);
}

static void ask_from_the_loop(void *context)
{
    enum cs_err err = rpc_call(rpc, RPC_LIVE, json_pack("{s:s}", "action", "wait"), on_done, context);
    assert(err == CS_OK);
    (void)err;
}

static void the_state_and_the_metrics_may_be_read_from_another_thread(void **state)
{
    (void)state;
    open_client(USUAL);
    assert_int_equal(node_loop_start(loop), CS_OK);
    struct rpc_state known = {0};
    for (int i = 0; i < 50; i++) {
        while (node_loop_post(loop, ask_from_the_loop, &outcomes[asked]) != CS_OK) {
            wire_pause_ms(1);
        }
        asked++;
        rpc_state(rpc, &known);
        free(metrics_print(metrics));
    }
    for (int i = 0; known.reach != RPC_UP && i < WAIT_MS; i++) {
        wire_pause_ms(1);
        rpc_state(rpc, &known);
    }
    assert_int_equal(known.reach, RPC_UP);
    while (node_loop_post(loop, stop_rpc, rpc) != CS_OK) {
        wire_pause_ms(1);
    }
    node_loop_stop(loop);
    assert_int_equal(ended, 50);
}

/* ---- https ------------------------------------------------------------------------------------------------------------------ */

static void handle_echo(void *context, struct http_request *request)
{
    (void)context;
    size_t size;
    http_answer_text(request, 200, "application/json", strdup(http_request_body(request, &size)));
}

static const struct http_route ROUTES[] = {{"POST", "/rpc", handle_echo, 1000}};

static struct http *serve_tls(const char *folder, struct metrics *of)
{
    char command[512], chain[128], key[128], error[CERTIFICATE_ERROR_SIZE];
    snprintf(chain, sizeof(chain), "%s/chain.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(
        command, sizeof(command),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s -out %s -days 2 -subj /CN=Test "
        "-addext subjectAltName=IP:127.0.0.1 2>/dev/null",
        key, chain);
    assert_int_equal(system(command), 0);
    const struct http_options options = {
        .host = "127.0.0.1", .threads = 1, .connections_most = 10, .idle_timeout_s = 10, .metrics = of};
    struct http *http = http_open(&options);
    struct certificate pem;
    int64_t expires_ms;
    assert_int_equal(certificate_read(chain, key, &pem, error), CS_OK);
    http_use_certificate(http, http_read_certificate(&pem, &expires_ms, error));
    certificate_fini(&pem);
    http_add_routes(http, ROUTES, 1, NULL);
    assert_int_equal(http_start(http, error), CS_OK);
    return http;
}

static void https_is_spoken_with_whom_the_authority_vouches_for(void **state)
{
    (void)state;
    char folder[] = "/tmp/coinslot_rpc_XXXXXX", url[64], file[128];
    assert_non_null(mkdtemp(folder));
    struct metrics *of_http = metrics_open();
    struct http *http = serve_tls(folder, of_http);
    snprintf(file, sizeof(file), "%s/chain.pem", folder);
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/rpc", http_port(http));
    struct rpc_options options = USUAL;
    open_at(url, options);
    expect("echo", 0, RPC_UNREACHABLE, "certificate");
    rpc_close(rpc);
    options.ca_file = file;
    open_at(url, options);
    expect("echo", 0, RPC_OK, "");
    expect("echo", 0, RPC_OK, "");
    rpc_close(rpc);
    rpc = NULL;
    http_close(http);
    metrics_close(of_http);
    unlink(file);
    snprintf(file, sizeof(file), "%s/key.pem", folder);
    unlink(file);
    rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_back_as_it_was_given),
        TEST(each_kind_of_bad_answer_has_its_name_and_its_reason),
        TEST(what_is_slow_or_silent_times_out),
        TEST(what_is_too_big_is_cut_off_announced_or_not),
        TEST(nobody_there_is_unreachable),
        TEST(a_host_may_have_a_name),
        TEST(a_proxy_of_the_environment_is_not_asked_for_loopback),
        TEST(a_connection_that_the_server_keeps_is_used_again),
        TEST(a_wrong_config_is_refused_in_words),
        TEST(no_more_are_under_way_than_there_are_connections),
        TEST(a_live_call_waits_for_no_sweep),
        TEST(with_one_connection_too_live_calls_are_next),
        TEST(the_quota_is_kept_in_every_second_and_live_calls_go_first),
        TEST(a_sweep_ends_however_many_live_calls_there_are),
        TEST(sweeps_are_refused_before_live_calls_are),
        TEST(a_call_may_be_made_from_within_what_ended_another),
        TEST(the_endpoint_is_up_or_down_and_why),
        TEST(stopping_ends_all_that_waits_or_is_under_way),
        TEST(the_state_and_the_metrics_may_be_read_from_another_thread),
        TEST(https_is_spoken_with_whom_the_authority_vouches_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
