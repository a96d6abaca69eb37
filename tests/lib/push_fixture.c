#include "lib/push_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "push_fixture: %s\n", what);
        abort();
    }
}

int64_t push_fixture_now_ms(void)
{
    return (int64_t)(clock_monotonic_ns() / 1000000);
}

static void open_store(struct push_fixture *fixture)
{
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/coinslot-test-XXXXXX");
    must(mkdtemp(fixture->dir) != NULL, "no folder");
    const struct store_options options = {
        .dir = fixture->dir,
        .inbox_capacity = PUSH_FIXTURE_INBOX,
        .batch_most = 1,
        .window = 4,
        .page_size = 4,
        .readers = 1,
        .subscriptions_most = 3,
        .unconfirmed_most = 100,
        .wal_most_bytes = 1 << 20,
        .synchronous = "OFF",
        .metrics = fixture->metrics,
    };
    char error[STORE_ERROR_SIZE];
    must(store_open(&options, &fixture->store, error) == CS_OK, "the store does not open");
}

void push_fixture_open(struct push_fixture *fixture, void (*change)(struct push_options *options))
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->metrics = metrics_open();
    open_store(fixture);
    struct push_options options = {.host = "127.0.0.1",
                                   .sessions_most = 50,
                                   .waiting_most = 64,
                                   .frame_most = 4096,
                                   .hello_timeout_s = 5,
                                   .ping_interval_s = 30,
                                   .ping_timeout_s = 10,
                                   .page_size = 4,
                                   .legacy = POLICY_OPEN,
                                   .legacy_addresses_most = 20,
                                   .legacy_silence_s = 60,
                                   .nano_api = POLICY_OPEN,
                                   .nano_accounts_most = 20,
                                   .metrics = fixture->metrics};
    if (change != NULL) {
        change(&options);
    }
    fixture->push = push_open(&options, fixture->store);
    const struct store_events events = {.context = fixture->push,
                                        .live = push_post_live,
                                        .raised = push_post_raised,
                                        .ended = push_post_ended,
                                        .page = push_post_page,
                                        .config = push_post_config,
                                        .heard = push_post_heard};
    store_start_by_hand(fixture->store, &events);
}

void push_fixture_start(struct push_fixture *fixture)
{
    char error[PUSH_ERROR_SIZE];
    must(push_start(fixture->push, error) == CS_OK, "push does not start");
    fixture->port = push_port(fixture->push);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

void push_fixture_close(struct push_fixture *fixture)
{
    push_stop(fixture->push);
    store_stop(fixture->store);
    push_close(fixture->push);
    store_close(fixture->store);
    metrics_close(fixture->metrics);
    nftw(fixture->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void push_fixture_step(struct push_fixture *fixture)
{
    while (store_step_writer(fixture->store)) {
    }
}

bool push_fixture_metric_is(struct push_fixture *fixture, const char *line)
{
    char *text = metrics_print(fixture->metrics), wanted[128];
    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    bool is = strstr(text, wanted) != NULL;
    free(text);
    return is;
}

void push_fixture_await_metric(struct push_fixture *fixture, const char *line, bool stepping)
{
    for (int64_t until = push_fixture_now_ms() + PUSH_FIXTURE_WAIT_MS; !push_fixture_metric_is(fixture, line);
         usleep(1000)) {
        if (stepping) {
            push_fixture_step(fixture);
        }
        if (push_fixture_now_ms() > until) {
            char *text = metrics_print(fixture->metrics);
            fprintf(stderr, "there is\n%s", text);
            must(false, line);
        }
    }
}

void push_fixture_await_inbox(struct push_fixture *fixture, int64_t count)
{
    for (int64_t until = push_fixture_now_ms() + PUSH_FIXTURE_WAIT_MS;
         store_inbox_count(fixture->store) != count; usleep(1000)) {
        must(push_fixture_now_ms() < until, "the inbox did not fill");
    }
}

struct address push_fixture_account(uint8_t number)
{
    return address_from_nano_key((const uint8_t[32]){number, 7});
}

struct payment push_fixture_payment_to(struct push_fixture *fixture, uint8_t number)
{
    struct payment payment = {.source = SOURCE_CALLBACK,
                              .to = push_fixture_account(number),
                              .from = push_fixture_account(200),
                              .amount = {0, 5}};
    uint64_t made = ++fixture->payments_made;
    memcpy(payment.hash + 8, &made, sizeof(made));
    return payment;
}

static void on_stored(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    must(err == CS_OK, "a payment was not taken");
    *(enum store_payment_outcome *)context = outcome;
}

enum store_payment_outcome push_fixture_pay(struct push_fixture *fixture, const struct payment *payment,
                                            const uint8_t *proof, size_t proof_size, const char *notice)
{
    enum store_payment_outcome outcome = STORE_PAYMENT_UNMATCHED;
    enum cs_err err = CS_EBUSY;
    while (err == CS_EBUSY) { /* sessions fill the inbox too */
        push_fixture_step(fixture);
        err = store_submit_payment(fixture->store, payment, proof, proof_size, notice,
                                   notice != NULL ? strlen(notice) : 0, on_stored, &outcome);
    }
    must(err == CS_OK, "a payment was refused");
    push_fixture_step(fixture);
    return outcome;
}

struct store_api_token push_fixture_make_token(struct push_fixture *fixture, const char *secret,
                                               enum store_role role)
{
    struct store_api_token token = {.name = "a program", .role = role};
    uint8_t hash[STORE_HASH_SIZE];
    store_hash_token(fixture->store, secret, hash);
    must(store_create_api_token(fixture->store, &token, hash) == CS_OK, "no token was made");
    return token;
}
