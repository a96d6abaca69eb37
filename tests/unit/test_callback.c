/* The callback's routes on a real server, over a store that is made up here: what reaches the writer, and what the node is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/log.h"
#include "lib/wire.h"
#include "node/callback.h"
#include "node/refusals.h"
#include "verify/block.h"

#define RECORDED_SIZE 8192
#define SECRET        "s3cret-and-long"

/* ---- the make-believe store -------------------------------------------------------------------------------------- */

static struct {
    atomic_bool knows_all;
    enum cs_err submit_err; /* what store_submit_payment returns … */
    enum cs_err done_err;   /* … and what the writer says later */
    enum store_payment_outcome outcome;
    bool hold; /* the writer waits for `commit` */
    atomic_bool commit;
    atomic_int submitted;
    struct payment payment;
    uint8_t proof[STORE_PROOF_MAX];
    size_t proof_size;
    store_payment_done done;
    store_unconfirmed_done waiting; /* instead, when it is to wait for its confirmation */
    void *context;
} fake;

static struct store *const STORE = (struct store *)(void *)&fake;

uint64_t store_observe_stage(struct store *store, enum store_stage stage, uint64_t since_ns)
{
    (void)store;
    assert_int_equal(stage, STORE_STAGE_CHECK);
    assert_true(since_ns > 0);
    return since_ns;
}

bool store_knows_address(struct store *store, const struct address *address)
{
    assert_ptr_equal(store, STORE);
    assert_int_equal(address->chain, CHAIN_NANO);
    return atomic_load(&fake.knows_all);
}

static void *write_payment(void *unused)
{
    (void)unused;
    while (fake.hold && !atomic_load(&fake.commit)) {
        wire_pause_ms(1);
    }
    if (fake.waiting != NULL) {
        fake.waiting(fake.context, fake.done_err, fake.outcome, 42);
    } else {
        fake.done(fake.context, fake.done_err, fake.outcome);
    }
    return NULL;
}

static enum cs_err take(struct store *store, const struct payment *payment, const uint8_t *proof,
                        size_t proof_size, const char *notice, size_t notice_size, void *context)
{
    assert_ptr_equal(store, STORE);
    assert_non_null(notice);
    assert_true(notice_size > 0);
    assert_true(proof_size <= sizeof(fake.proof));
    atomic_fetch_add(&fake.submitted, 1);
    fake.payment = *payment;
    memcpy(fake.proof, proof, proof_size);
    fake.proof_size = proof_size;
    if (fake.submit_err != CS_OK) {
        return fake.submit_err;
    }
    fake.context = context;
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_payment, NULL), 0);
    pthread_detach(writer);
    return CS_OK;
}

enum cs_err store_submit_payment(struct store *store, const struct payment *payment, const uint8_t *proof,
                                 size_t proof_size, const char *notice, size_t notice_size,
                                 store_payment_done done, void *context)
{
    fake.done = done;
    return take(store, payment, proof, proof_size, notice, notice_size, context);
}

enum cs_err store_submit_unconfirmed(struct store *store, const struct payment *payment, const uint8_t *proof,
                                     size_t proof_size, const char *notice, size_t notice_size,
                                     store_unconfirmed_done done, void *context)
{
    fake.waiting = done;
    return take(store, payment, proof, proof_size, notice, notice_size, context);
}

/* What the callback told of it. */
static struct {
    bool confirm; /* by a node */
    atomic_int alive, heard, refused;
    atomic_llong waits;
    const char *_Atomic why;
} told;

static void on_alive(void *context)
{
    assert_ptr_equal(context, &told);
    atomic_fetch_add(&told.alive, 1);
}

static void on_heard(void *context, const struct payment *payment, bool stored, int64_t heard_at_ms)
{
    assert_int_equal(stored, fake.outcome == STORE_PAYMENT_STORED);
    assert_ptr_equal(context, &told);
    assert_int_equal(payment->source, SOURCE_CALLBACK);
    assert_true(heard_at_ms > 1700000000000);
    atomic_fetch_add(&told.heard, 1);
}

static void on_waits(void *context, int64_t num, const struct payment *payment)
{
    assert_ptr_equal(context, &told);
    assert_memory_equal(payment, &fake.payment, sizeof(*payment));
    atomic_store(&told.waits, num);
}

static void on_refused(void *context, const char *why)
{
    assert_ptr_equal(context, &told);
    atomic_store(&told.why, why);
    atomic_fetch_add(&told.refused, 1);
}

/* ---- the relay, and the node --------------------------------------------------------------------------------------- */

static struct metrics *metrics;
static struct http *http;
static struct callback *callback;
static int real_stderr;

static void start(const char *secret, enum callback_signature signature)
{
    memset(&fake, 0, sizeof(fake));
    atomic_store(&fake.knows_all, true);
    metrics = metrics_open();
    struct http_options options = {
        .host = "127.0.0.1", .threads = 2, .connections_most = 100, .metrics = metrics};
    http = http_open(&options);
    const struct callback_options callback_options = {
        .secret = secret,
        .signature = signature,
        .sink = {&told, on_alive, on_heard, told.confirm ? on_waits : NULL, on_refused},
        .metrics = metrics,
    };
    callback = callback_open(&callback_options, STORE, http);
    char error[HTTP_ERROR_SIZE];
    assert_int_equal(http_start(http, error), CS_OK);
}

static int set_up(void **state)
{
    (void)state;
    memset(&told, 0, sizeof(told));
    start("", SIGNATURE_AUTO);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_quiesce(http);
    http_close(http);
    callback_close(callback);
    metrics_close(metrics);
    return 0;
}

static void restart(const char *secret, enum callback_signature signature)
{
    tear_down(NULL);
    start(secret, signature);
}

/* What a real node sent, headers and all. */
static void read_recorded(int number, char text[RECORDED_SIZE])
{
    char path[500];
    snprintf(path, sizeof(path), SOURCE_DIR "/tests/data/nano-v27.1/callback-%03d.raw", number);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    text[fread(text, 1, RECORDED_SIZE - 1, file)] = '\0';
    fclose(file);
}

/* Changes text of the same length, so that Content-Length stays right. */
static void replace(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    while (*to != '\0') {
        *at++ = *to++;
    }
}

static void ask(const char *request, int status, const char *in_head, const char *in_body)
{
    wire_ask(http_port(http), request, status, in_head, in_body);
}

static void ask_recorded(int number, int status)
{
    char text[RECORDED_SIZE];
    read_recorded(number, text);
    ask(text, status, status == 200 ? "\r\nContent-Length: 0\r\n" : NULL, NULL);
}

static void expect_count(const char *result, int count)
{
    char line[100];
    snprintf(line, sizeof(line), "coinslot_callback_total{result=\"%s\"} %d\n", result, count);
    char *text = metrics_print(metrics);
    if (strstr(text, line) == NULL) {
        print_error("%s", text);
    }
    assert_non_null(strstr(text, line));
    free(text);
}

/* The same notice under other headers or to another path. */
static void ask_with(const char *path, const char *headers, int status, const char *in_body)
{
    char text[RECORDED_SIZE], request[RECORDED_SIZE + 500];
    read_recorded(2, text);
    const char *body = strstr(text, "\r\n\r\n") + 4;
    snprintf(request, sizeof(request), "POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s", path,
             headers, strlen(body), body);
    ask(request, status, NULL, in_body);
}

static void ask_body(const char *body, int status, const char *in_body)
{
    char *request = cs_alloc(strlen(body) + 200);
    sprintf(request,
            "POST /callback/ HTTP/1.1\r\nHost: ::1\r\nContent-Type: application/json\r\nContent-Length: "
            "%zu\r\n\r\n%s",
            strlen(body), body);
    ask(request, status, status == 413 ? NULL : "application/problem+json", in_body);
    free(request);
}

/* ---- payments -------------------------------------------------------------------------------------------------------- */

static void a_recorded_send_is_submitted_and_answered_after_its_commit(void **state)
{
    (void)state;
    fake.hold = true;
    char text[RECORDED_SIZE];
    read_recorded(2, text);
    int fd = wire_dial(http_port(http));
    wire_put(fd, text);
    wire_expect_silence(fd, 100);
    assert_int_equal(atomic_load(&fake.submitted), 1);
    expect_count("stored", 0);
    atomic_store(&fake.commit, true);
    struct wire_answer answer = wire_read(fd, false);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.head, "\r\nContent-Length: 0\r\n"));
    free(answer.body);
    close(fd);
    expect_count("stored", 1);

    char hash[PAYMENT_HASH_TEXT], amount[AMOUNT_RAW_SIZE], in_text[100];
    hex_encode_upper(fake.payment.hash, 32, hash);
    snprintf(in_text, sizeof(in_text), "\"hash\": \"%s\"", hash);
    assert_non_null(strstr(text, in_text));
    amount_format_raw(fake.payment.amount, amount);
    assert_string_equal(amount, "1000000000000000000000000000000");
    char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE];
    address_format(&fake.payment.from, from);
    address_format(&fake.payment.to, to);
    snprintf(in_text, sizeof(in_text), "\"account\": \"%s\"", from);
    assert_non_null(strstr(text, in_text));
    snprintf(in_text, sizeof(in_text), "\\\"link_as_account\\\": \\\"%s\\\"", to);
    assert_non_null(strstr(text, in_text));
    assert_int_equal(fake.payment.source, SOURCE_CALLBACK);
    assert_int_equal(fake.payment.node_time_ms, 0);
    assert_int_equal(fake.payment.output, 0);

    struct block block;
    uint8_t block_bytes[32];
    assert_int_equal(fake.proof_size, BLOCK_PACKED_SIZE);
    assert_int_equal(block_unpack(fake.proof, &block), CS_OK);
    block_hash(&block, block_bytes);
    assert_memory_equal(block_bytes, fake.payment.hash, 32);
}

static void a_legacy_send_is_a_payment_too(void **state)
{
    (void)state;
    ask_recorded(1, 200);
    assert_int_equal(atomic_load(&fake.submitted), 1);
    expect_count("stored", 1);
}

static void a_duplicate_and_a_late_mismatch_are_200(void **state)
{
    (void)state;
    fake.outcome = STORE_PAYMENT_DUPLICATE;
    ask_recorded(2, 200);
    fake.outcome = STORE_PAYMENT_UNMATCHED;
    ask_recorded(2, 200);
    expect_count("duplicate", 1);
    expect_count("unmatched", 1);
    expect_count("stored", 0);
}

static void with_confirm_node_a_payment_waits_for_it_and_is_answered_when_that_is_committed(void **state)
{
    (void)state;
    told.confirm = true;
    restart("", SIGNATURE_AUTO);
    fake.outcome = STORE_PAYMENT_WAITING;
    ask_recorded(2, 200);
    expect_count("waiting", 1);
    assert_int_equal(atomic_load(&told.waits), 42);
    assert_int_equal(atomic_load(&told.heard), 0);
    assert_int_equal(atomic_load(&told.alive), 1);
    fake.outcome = STORE_PAYMENT_DUPLICATE;
    ask_recorded(2, 200);
    assert_int_equal(atomic_load(&told.heard), 1); /* another source had brought it, or this one */
    fake.done_err = CS_EBUSY;                      /* too many wait */
    ask_recorded(2, 503);
    assert_int_equal(atomic_load(&told.refused), 1);
    assert_string_equal(atomic_load(&told.why), "busy");
}

static void what_was_stored_or_refused_is_told(void **state)
{
    (void)state;
    ask_recorded(2, 200);
    assert_int_equal(atomic_load(&told.heard), 1);
    fake.submit_err = CS_EFULL;
    ask_recorded(2, 503);
    assert_string_equal(atomic_load(&told.why), "disk_full");
    fake.submit_err = CS_ECLOSED; /* at the next start everything is reconciled anyway */
    ask_recorded(2, 503);
    assert_int_equal(atomic_load(&told.refused), 1);
}

static void what_is_no_send_is_200_and_pays_nobody(void **state)
{
    (void)state;
    ask_recorded(5, 200);
    ask_recorded(15, 200);
    expect_count("not_a_send", 2);
    assert_int_equal(atomic_load(&fake.submitted), 0);
}

static void every_recorded_callback_is_200_and_none_is_submitted_for_nobody(void **state)
{
    (void)state;
    atomic_store(&fake.knows_all, false);
    for (int number = 1; number <= 23; number++) {
        ask_recorded(number, 200);
    }
    assert_int_equal(atomic_load(&fake.submitted), 0);
}

static void a_connection_can_carry_many_callbacks(void **state)
{
    (void)state;
    int fd = wire_dial(http_port(http));
    for (int number = 1; number <= 23; number++) {
        char text[RECORDED_SIZE];
        read_recorded(number, text);
        wire_put(fd, text);
        wire_expect(fd, 200, "Content-Length: 0\r\n", NULL);
    }
    close(fd);
}

/* ---- what cannot be true --------------------------------------------------------------------------------------------- */

/* The last digits of a signature are its highest, and a changed one cannot fit the block. */
static void read_forged(char text[RECORDED_SIZE])
{
    read_recorded(2, text);
    char *digit = strstr(text, "\\\"signature\\\": \\\"") + strlen("\\\"signature\\\": \\\"");
    *digit = *digit == '0' ? '1' : '0';
}

static void a_wrong_signature_is_422_and_never_submitted(void **state)
{
    (void)state;
    char text[RECORDED_SIZE];
    read_forged(text);
    ask(text, 422, "application/problem+json", "\"code\":\"wrong_signature\"");
    expect_count("wrong_signature", 1);
    restart("", SIGNATURE_ALWAYS);
    ask(text, 422, NULL, "wrong_signature");
    assert_int_equal(atomic_load(&fake.submitted), 0);
}

static void the_signature_is_not_looked_at_for_nobody_or_when_told_not_to(void **state)
{
    (void)state;
    char text[RECORDED_SIZE];
    read_forged(text);
    atomic_store(&fake.knows_all, false);
    ask(text, 200, NULL, NULL);
    expect_count("unmatched", 1);
    assert_int_equal(atomic_load(&fake.submitted), 0);
    restart("", SIGNATURE_NEVER);
    ask(text, 200, NULL, NULL);
    assert_int_equal(atomic_load(&fake.submitted), 1);
}

static void a_wrong_hash_is_422_even_when_signatures_are_not_checked(void **state)
{
    (void)state;
    restart("", SIGNATURE_NEVER);
    char text[RECORDED_SIZE];
    read_recorded(2, text);
    char *digit = strstr(text, "\"hash\": \"") + strlen("\"hash\": \"");
    *digit = *digit == '0' ? '1' : '0';
    ask(text, 422, NULL, "\"code\":\"wrong_hash\"");
    expect_count("wrong_hash", 1);
    assert_int_equal(atomic_load(&fake.submitted), 0);
}

static void fields_that_contradict_each_other_are_422(void **state)
{
    (void)state;
    char text[RECORDED_SIZE];
    read_recorded(2, text);
    replace(text, "\"subtype\": \"send\"", "\"subtype\": \"open\"");
    ask(text, 422, NULL, "\"code\":\"contradiction\"");
    expect_count("contradiction", 1);
    assert_int_equal(atomic_load(&fake.submitted), 0);
}

static void what_cannot_be_read_is_400_with_the_reason(void **state)
{
    (void)state;
    ask_body("{\"account\": ", 400, "line 1, column");
    ask_body("", 400, "\"code\":\"malformed\"");
    ask_body("[]", 400, "\"code\":\"malformed\"");
    ask_body("{}", 400, "account");
    ask_body("{\"account\": 7, \"hash\": [], \"block\": null, \"amount\": 1}", 400, "\"code\":\"malformed\"");
    ask_body("[[[[[[[[[1]]]]]]]]]", 400, "more than 8 levels deep");
    expect_count("malformed", 6);
    char *large = cs_alloc((64u << 10) + 2);
    memset(large, ' ', (64u << 10) + 1);
    ask_body(large, 413, "body_too_large");
    large[64u << 10] = '\0';
    ask_body(large, 400, "\"code\":\"malformed\"");
    free(large);
    assert_int_equal(atomic_load(&fake.submitted), 0);
}

/* ---- where it may come from -------------------------------------------------------------------------------------------- */

static void without_the_secret_what_may_not_be_the_node_is_403(void **state)
{
    (void)state;
    const char *const suspect[] = {
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json\r\nOrigin: http://127.0.0.1:7090\r\n",
        "Content-Type: application/json\r\nOrigin: null\r\n",
        "Content-Type: application/json\r\norigin:\r\n",
        "Content-Type: application/json\r\nForwarded: for=192.0.2.1\r\n",
        "Content-Type: application/json\r\nX-Forwarded-For: 127.0.0.1\r\n",
        "Content-Type: application/json\r\nVia: 1.1 proxy\r\n",
    };
    const int count = (int)(sizeof(suspect) / sizeof(suspect[0]));
    restart(SECRET, SIGNATURE_AUTO);
    for (int i = 0; i < count; i++) {
        ask_with("/callback/", suspect[i], 403, "/callback/<secret>");
    }
    expect_count("forbidden", count);
    assert_int_equal(atomic_load(&fake.submitted), 0);
    ask_with("/callback/", "Content-Type: application/json\r\n", 200, NULL);
    ask_with("/callback", "Content-Type: application/json; charset=utf-8\r\n", 200, NULL);
    assert_int_equal(atomic_load(&fake.submitted), 2);
}

static void with_the_secret_it_may_come_through_a_proxy(void **state)
{
    (void)state;
    restart(SECRET, SIGNATURE_AUTO);
    ask_with("/callback/" SECRET,
             "Content-Type: application/json\r\nX-Forwarded-For: 192.0.2.1\r\nVia: 1.1 p\r\n", 200, NULL);
    ask_with("/callback/s3cret%2Dand-long", "Content-Type: application/json\r\n", 200, NULL);
    expect_count("stored", 2);
}

static void a_wrong_secret_is_403_and_never_said(void **state)
{
    (void)state;
    restart(SECRET, SIGNATURE_AUTO);
    const char *const wrong[] = {"/callback/s3cret", "/callback/" SECRET "x", "/callback/S3CRET-AND-LONG",
                                 "/callback/%20"};
    for (size_t i = 0; i < 4; i++) {
        char request[200];
        snprintf(
            request, sizeof(request),
            "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            wrong[i]);
        int fd = wire_dial(http_port(http));
        wire_put(fd, request);
        struct wire_answer answer = wire_read(fd, false);
        assert_int_equal(answer.status, 403);
        assert_null(strstr(answer.body, SECRET));
        free(answer.body);
        close(fd);
    }
    expect_count("forbidden", 4);
}

static void without_a_secret_in_the_config_its_path_is_404(void **state)
{
    (void)state;
    ask_with("/callback/anything", "Content-Type: application/json\r\n", 404, "[callback] secret");
    ask_with("/callback/%20", "Content-Type: application/json\r\n", 404, NULL);
    assert_int_equal(atomic_load(&fake.submitted), 0);
    ask("GET /callback/ HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Allow: POST\r\n", NULL);
}

/* ---- when the store does not take it --------------------------------------------------------------------------------- */

static void a_store_that_refuses_is_503_with_a_time_to_come_back(void **state)
{
    (void)state;
    char text[RECORDED_SIZE];
    read_recorded(2, text);
    fake.submit_err = CS_EBUSY;
    ask(text, 503, "Retry-After: 1\r\n", "\"code\":\"busy\"");
    fake.submit_err = CS_ECLOSED;
    ask(text, 503, "Retry-After: 1\r\n", "shutting down");
    fake.submit_err = CS_EFULL;
    ask(text, 503, "Retry-After: 30\r\n", "\"code\":\"disk_full\"");
    fake.submit_err = CS_OK;
    fake.done_err = CS_EFULL; /* the disk filled up under way */
    ask(text, 503, "Retry-After: 30\r\n", "\"code\":\"disk_full\"");
    expect_count("busy", 1);
    expect_count("closed", 1);
    expect_count("full", 2);
    expect_count("stored", 0);
}

/* ---- the log ----------------------------------------------------------------------------------------------------------- */

static FILE *catch_log(void)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    real_stderr = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    return file;
}

static size_t release_log(FILE *file, char *text, size_t size)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
    size_t lines = 0;
    for (const char *c = text; (c = strchr(c, '\n')) != NULL; c++) {
        lines++;
    }
    return lines;
}

static void a_flood_of_forgeries_does_not_fill_the_log(void **state)
{
    (void)state;
    char text[16384];
    FILE *file = catch_log();
    struct refusals *refusals = refusals_open("a callback", "coinslot_callback_total", 10);
    for (int i = 0; i < 5000; i++) {
        refusals_log(refusals, "wrong_signature", "127.0.0.1", "a reason");
    }
    refusals_close(refusals);
    size_t lines = release_log(file, text, sizeof(text));
    assert_in_range(lines, 11, 22); /* two, if a second turned in between */
    assert_non_null(strstr(text, "refused a callback code=wrong_signature peer=127.0.0.1 why=a reason"));
    assert_non_null(strstr(text, "a callback was refused "));
}

static void a_refusal_is_logged_once_without_the_secret(void **state)
{
    (void)state;
    char text[4096], forged[RECORDED_SIZE];
    read_forged(forged);
    restart(SECRET, SIGNATURE_AUTO);
    FILE *file = catch_log();
    ask(forged, 422, NULL, NULL);
    ask("POST /callback/" SECRET "x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 403, NULL, NULL);
    ask_with("/callback/" SECRET, "", 200, NULL);
    assert_int_equal(release_log(file, text, sizeof(text)), 2);
    assert_non_null(strstr(text, "code=wrong_signature"));
    assert_non_null(strstr(text, "code=forbidden"));
    assert_null(strstr(text, SECRET));
}

#define WITH_RELAY(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RELAY(a_recorded_send_is_submitted_and_answered_after_its_commit),
        WITH_RELAY(a_legacy_send_is_a_payment_too),
        WITH_RELAY(a_duplicate_and_a_late_mismatch_are_200),
        WITH_RELAY(with_confirm_node_a_payment_waits_for_it_and_is_answered_when_that_is_committed),
        WITH_RELAY(what_was_stored_or_refused_is_told),
        WITH_RELAY(what_is_no_send_is_200_and_pays_nobody),
        WITH_RELAY(every_recorded_callback_is_200_and_none_is_submitted_for_nobody),
        WITH_RELAY(a_connection_can_carry_many_callbacks),
        WITH_RELAY(a_wrong_signature_is_422_and_never_submitted),
        WITH_RELAY(the_signature_is_not_looked_at_for_nobody_or_when_told_not_to),
        WITH_RELAY(a_wrong_hash_is_422_even_when_signatures_are_not_checked),
        WITH_RELAY(fields_that_contradict_each_other_are_422),
        WITH_RELAY(what_cannot_be_read_is_400_with_the_reason),
        WITH_RELAY(without_the_secret_what_may_not_be_the_node_is_403),
        WITH_RELAY(with_the_secret_it_may_come_through_a_proxy),
        WITH_RELAY(a_wrong_secret_is_403_and_never_said),
        WITH_RELAY(without_a_secret_in_the_config_its_path_is_404),
        WITH_RELAY(a_store_that_refuses_is_503_with_a_time_to_come_back),
        cmocka_unit_test(a_flood_of_forgeries_does_not_fill_the_log),
        WITH_RELAY(a_refusal_is_logged_once_without_the_secret),
    };
    return cmocka_run_group_tests_name("callback", tests, NULL, NULL);
}
