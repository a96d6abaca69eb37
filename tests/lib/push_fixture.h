/*
 * push_fixture: a push server with real sockets on a real store whose writer the test steps by hand: so that an answer of the store comes
 * when the test wants it to, and its inbox (of eight places) is full when the test wants that. Ends the program when something goes wrong.
 * One thread, beside push's own.
 */
#ifndef COINSLOT_TESTS_PUSH_FIXTURE_H
#define COINSLOT_TESTS_PUSH_FIXTURE_H

#include "push/push.h"

#define PUSH_FIXTURE_INBOX   8
#define PUSH_FIXTURE_WAIT_MS 10000

struct push_fixture {
    char dir[64];
    struct metrics *metrics;
    struct store *store;
    struct push *push;
    uint16_t port;
    uint64_t payments_made;
};

/* With what most tests want; `change` may be NULL. The push thread does not run yet. */
void push_fixture_open(struct push_fixture *fixture, void (*change)(struct push_options *options));
void push_fixture_start(struct push_fixture *fixture);
void push_fixture_close(struct push_fixture *fixture);

/* Until the writer has nothing to do. */
void push_fixture_step(struct push_fixture *fixture);

/* A sample as /metrics shows it, name and value. */
bool push_fixture_metric_is(struct push_fixture *fixture, const char *line);
/* Until it is shown; the writer goes on meanwhile, or rests. */
void push_fixture_await_metric(struct push_fixture *fixture, const char *line, bool stepping);
void push_fixture_await_inbox(struct push_fixture *fixture, int64_t count);

int64_t push_fixture_now_ms(void);
struct address push_fixture_account(uint8_t number);
/* Of 5 raw, from account 200, which nobody has made before. */
struct payment push_fixture_payment_to(struct push_fixture *fixture, uint8_t number);
/* Once stored, and so as often as it is given: a node repeats itself. */
enum store_payment_outcome push_fixture_pay(struct push_fixture *fixture, const struct payment *payment,
                                            const uint8_t *proof, size_t proof_size, const char *notice);
struct store_api_token push_fixture_make_token(struct push_fixture *fixture, const char *secret,
                                               enum store_role role);

#endif
