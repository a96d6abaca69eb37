/* Reconciliation: a real store, and a node that the test makes say what it wants. Of which the whole is tried in tests/flow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "lib/reconciler.h"
#include "lib/wire.h"

#define ACCOUNTS 12
#define METER    3 /* the first account that is nobody's yet */

static int open_all(void **state)
{
    struct reconciler *all = calloc(1, sizeof(*all));
    reconciler_open(all, ACCOUNTS);
    *state = all;
    return 0;
}

static int close_all(void **state)
{
    reconciler_close(*state);
    free(*state);
    return 0;
}

/* A device whose baseline is taken. */
static struct store_device begin(struct reconciler *all, size_t account)
{
    struct store_device device = reconciler_device(all, account, 0);
    assert_true(reconciler_sweep(all));
    assert_true(reconciler_completeness(all, account).proven);
    fake_node_set_clock(all->node, clock_wall_ms() / 1000);
    return device;
}

static bool is_proven(struct reconciler *all, size_t account)
{
    return reconciler_completeness(all, account).proven;
}

/* ---- what there is to find ------------------------------------------------------------------------------------------- */

static void what_has_not_changed_costs_two_questions_a_page(void **state)
{
    struct reconciler *all = *state;
    for (size_t i = 0; i < 8; i++) {
        (void)reconciler_device(all, METER + i, 0);
    }
    assert_true(reconciler_sweep(all));
    fake_node_forget_asked(all->node);
    assert_true(reconciler_sweep(all));
    assert_int_equal(fake_node_asked(all->node, "accounts_frontiers"), 1);
    assert_int_equal(fake_node_asked(all->node, "accounts_balances"), 1);
    assert_int_equal(fake_node_asked(all->node, ""), 2);
    assert_int_equal(all->found, 0);
    for (size_t i = 0; i < 8; i++) {
        assert_true(is_proven(all, METER + i));
    }
}

static void what_waits_to_be_received_is_found_and_delivered_once(void **state)
{
    struct reconciler *all = *state;
    struct store_device device = begin(all, METER);
    fake_node_pay(all->node, 1, METER, 5, true);
    fake_node_pay(all->node, 1, METER, 5, true);
    fake_node_pay(all->node, 2, METER, 7, false); /* not confirmed: not yet */
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 2);
    assert_int_equal(all->found_first, 2);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 2);
}

static void what_was_received_already_is_found_too(void **state)
{
    struct reconciler *all = *state;
    struct store_device device = begin(all, METER);
    for (size_t i = 0; i < 3; i++) {
        fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 5, true), true);
    }
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 2, METER, 5, true), false);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 4);
    assert_true(is_proven(all, METER));
}

static void a_send_that_is_confirmed_later_than_its_receive_was_seen_is_found_then(void **state)
{
    struct reconciler *all = *state;
    struct store_device device = begin(all, METER);
    uint32_t send = fake_node_pay(all->node, 1, METER, 5, false);
    uint32_t receive = fake_node_pocket(all->node, METER, send, false);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 0);
    fake_node_confirm(all->node, send);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 1);
    fake_node_confirm(all->node, receive);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 1);
}

static void long_chains_are_read_to_where_they_are_known(void **state)
{
    struct reconciler *all = *state;
    struct store_device device = begin(all, METER);
    for (size_t i = 0; i < 620; i++) { /* more than one question's worth, and than one chunk's */
        fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 1 + i, true), true);
    }
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 620);
    fake_node_forget_asked(all->node);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 1, true), true);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 621);
    assert_int_equal(fake_node_asked(all->node, "account_history"), 1);
}

/* ---- what changes while it is asked ---------------------------------------------------------------------------------- */

/* Does something, once, when an action is asked for. */
struct once {
    const char *action;
    void (*run)(struct once *once, struct fake_node *node);
    size_t account;
    uint32_t block;
    bool done;
};

static char *run_once(void *context, struct fake_node *node, const char *action, const char *body)
{
    struct once *once = context;
    (void)body;
    if (!once->done && strcmp(action, once->action) == 0) {
        once->done = true;
        once->run(once, node);
    }
    return NULL;
}

static void pocket_and_pay_the_same(struct once *once, struct fake_node *node)
{
    fake_node_pocket(node, once->account, once->block, true);
    fake_node_pay(node, 1, once->account, 5, true);
}

/* One price, so that all amounts are alike: what comes and what goes leaves the sum as it was. */
static void equal_amounts_that_come_and_go_between_the_questions_hide_nothing(void **state)
{
    struct reconciler *all = *state;
    static const char *const ACTIONS[] = {"accounts_balances", "accounts_frontiers", "receivable",
                                          "account_history", "blocks_info"};
    struct store_device device = begin(all, METER);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 5, true), true);
    int64_t paid = 1;
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
        uint32_t waiting = fake_node_pay(all->node, 1, METER, 5, true);
        struct once once = {ACTIONS[i], pocket_and_pay_the_same, METER, waiting, false};
        fake_node_set_hook(all->node, run_once, &once);
        (void)reconciler_sweep(all);
        fake_node_set_hook(all->node, NULL, NULL);
        assert_true(once.done);
        paid += 2;
        assert_true(reconciler_sweep(all));
        assert_int_equal(reconciler_deliveries(all, &device), paid);
        assert_true(reconciler_sweep(all));
        assert_int_equal(reconciler_deliveries(all, &device), paid);
    }
}

static void pocket_it(struct once *once, struct fake_node *node)
{
    fake_node_pocket(node, once->account, once->block, true);
}

static void an_account_that_opens_between_the_questions_is_not_called_complete_without_a_look(void **state)
{
    struct reconciler *all = *state;
    static const char *const ACTIONS[] = {"accounts_balances", "accounts_frontiers"};
    for (size_t i = 0; i < 2; i++) {
        struct store_device device = begin(all, METER + i);
        struct once once = {ACTIONS[i], pocket_it, METER + i, fake_node_pay(all->node, 1, METER + i, 5, true),
                            false};
        fake_node_set_hook(all->node, run_once, &once);
        (void)reconciler_sweep(all);
        fake_node_set_hook(all->node, NULL, NULL);
        assert_int_equal(reconciler_deliveries(all, &device), 1); /* confirmed before the first question */
    }
}

/* ---- several nodes behind one address, nodes that are behind, rubbish ------------------------------------------------- */

/* None of the blocks that are asked for is known. */
static char *deny_blocks(void *context, struct fake_node *node, const char *action, const char *body)
{
    (void)context;
    (void)node;
    if (strcmp(action, "blocks_info") != 0) {
        return NULL;
    }
    json_t *request = json_loads(body, 0, NULL);
    json_t *answer =
        json_pack("{s:s, s:O}", "blocks", "", "blocks_not_found", json_object_get(request, "hashes"));
    char *text = json_dumps(answer, 0);
    json_decref(answer);
    json_decref(request);
    return text;
}

static void a_send_that_another_node_does_not_know_yet_is_not_taken_for_done(void **state)
{
    struct reconciler *all = *state;
    struct store_device device = begin(all, METER);
    struct store_device other = begin(all, METER + 1);
    fake_node_pay(all->node, 1, METER, 5, true);
    fake_node_pocket(all->node, METER + 1, fake_node_pay(all->node, 1, METER + 1, 5, true), true);
    fake_node_set_hook(all->node, deny_blocks, NULL);
    store_note_incident(all->fixture.store, "a test wants it");
    assert_false(reconciler_sweep(all));
    assert_false(is_proven(all, METER));
    assert_false(is_proven(all, METER + 1));
    fake_node_set_hook(all->node, NULL, NULL);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 1);
    assert_int_equal(reconciler_deliveries(all, &other), 1);
    assert_true(is_proven(all, METER));
}

/* One action is answered as it was some time ago, to whatever request. */
struct stale {
    const char *action;
    char *answer;
};

static char *answer_stale(void *context, struct fake_node *node, const char *action, const char *body)
{
    struct stale *stale = context;
    if (strcmp(action, stale->action) != 0) {
        return NULL;
    }
    if (stale->answer == NULL) {
        stale->answer = fake_node_answer(node, body);
    }
    return strdup(stale->answer);
}

static void a_history_that_goes_in_circles_ends_the_walk(void **state)
{
    struct reconciler *all = *state;
    (void)begin(all, METER);
    for (size_t i = 0; i < 510; i++) {
        fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 1, true), true);
    }
    struct stale first_page = {"account_history", NULL};
    fake_node_set_hook(all->node, answer_stale, &first_page);
    assert_false(reconciler_sweep(all));
    fake_node_set_hook(all->node, NULL, NULL);
    free(first_page.answer);
    assert_int_equal(all->found_first, 500);
    assert_true(reconciler_sweep(all));
    assert_int_equal(all->found_first, 510);
}

/* Leaves out the entry before the last, or all but the first. */
static char *cut_history(void *context, struct fake_node *node, const char *action, const char *body)
{
    const bool *hole = context;
    if (strcmp(action, "account_history") != 0) {
        return NULL;
    }
    char *whole = fake_node_answer(node, body);
    json_t *answer = json_loads(whole, 0, NULL), *history = json_object_get(answer, "history");
    free(whole);
    for (size_t left = json_array_size(history); left > 1; left--) {
        if (!*hole || left == 2) {
            json_array_remove(history, 1);
        }
    }
    char *text = json_dumps(answer, 0);
    json_decref(answer);
    return text;
}

static void a_history_with_a_hole_or_without_an_end_proves_nothing(void **state)
{
    struct reconciler *all = *state;
    for (size_t i = 0; i < 2; i++) {
        bool hole = i == 0;
        (void)begin(all, METER + i);
        for (size_t j = 0; j < 3; j++) {
            fake_node_pocket(all->node, METER + i, fake_node_pay(all->node, 1, METER + i, 1, true), true);
        }
        fake_node_set_hook(all->node, cut_history, &hole);
        store_note_incident(all->fixture.store, "a test wants it");
        assert_false(reconciler_sweep(all));
        assert_false(is_proven(all, METER + i));
        fake_node_set_hook(all->node, NULL, NULL);
        assert_true(reconciler_sweep(all));
        assert_int_equal(all->found_first, (i + 1) * 3);
    }
}

struct behind {
    struct stale stale[2];
};

static char *answer_behind(void *context, struct fake_node *node, const char *action, const char *body)
{
    struct behind *behind = context;
    char *text = answer_stale(&behind->stale[0], node, action, body);
    return text != NULL ? text : answer_stale(&behind->stale[1], node, action, body);
}

static void a_node_that_knows_less_than_before_proves_nothing_and_sets_no_mark_back(void **state)
{
    struct reconciler *all = *state;
    struct behind behind = {.stale = {{"accounts_frontiers", NULL}, {"account_history", NULL}}};
    (void)begin(all, METER);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 5, true), true);
    fake_node_set_hook(all->node, answer_behind, &behind);
    assert_true(reconciler_sweep(all));
    fake_node_set_hook(all->node, NULL, NULL);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 5, true), true);
    assert_true(reconciler_sweep(all));
    assert_int_equal(all->found_first, 2);
    store_note_incident(all->fixture.store, "a test wants it");
    fake_node_set_hook(all->node, answer_behind, &behind);
    assert_false(reconciler_sweep(all));
    assert_false(is_proven(all, METER));
    assert_int_equal(store_fixture_number(&all->fixture, "SELECT height FROM reconciled"), 2);
    /* What it does not know yet would later pass for new. */
    struct store_device late = reconciler_device(all, METER, 0);
    store_fixture_exec(&all->fixture, "UPDATE subscription SET created_at = created_at - 100000");
    assert_false(reconciler_sweep(all));
    fake_node_set_hook(all->node, NULL, NULL);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &late), 0);
    assert_int_equal(store_fixture_number(&all->fixture, "SELECT max(height) FROM baseline"), 2);
    free(behind.stale[0].answer);
    free(behind.stale[1].answer);
}

static char *answer_as_then(void *context, struct fake_node *node, const char *action, const char *body)
{
    struct stale *stale = context;
    char *text = NULL;
    for (size_t i = 0; i < 4 && text == NULL; i++) {
        text = answer_stale(&stale[i], node, action, body);
    }
    return text;
}

static void
what_was_received_before_a_subscription_does_not_come_back_when_the_node_is_made_anew(void **state)
{
    struct reconciler *all = *state;
    struct stale then[] = {{"accounts_frontiers", NULL},
                           {"accounts_balances", NULL},
                           {"receivable", NULL},
                           {"account_history", NULL}};
    char account[ADDRESS_TEXT_SIZE], body[256];
    struct address address = fake_node_account(all->node, METER);
    address_format(&address, account);
    uint32_t old = fake_node_pay(all->node, 1, METER, 5, true);
    for (size_t i = 0; i < 4; i++) {
        snprintf(
            body, sizeof(body),
            "{\"action\":\"%s\",\"account\":\"%s\",\"accounts\":[\"%s\"],\"raw\":\"true\",\"count\":\"9\","
            "\"threshold\":\"0\"}",
            then[i].action, account, account);
        then[i].answer = fake_node_answer(all->node, body);
    }
    fake_node_pocket(all->node, METER, old, true);
    struct store_device device = begin(all, METER);
    /* It has bootstrapped as far as the send, and not yet to the block that received it. */
    fake_node_set_hook(all->node, answer_as_then, then);
    assert_false(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 0);
    fake_node_set_hook(all->node, NULL, NULL);
    fake_node_pay(all->node, 1, METER, 6, true);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 1);
    for (size_t i = 0; i < 4; i++) {
        free(then[i].answer);
    }
}

/* ---- when a question fails --------------------------------------------------------------------------------------------- */

struct failing {
    const char *action, *answer; /* NULL: none */
};

static char *fail_action(void *context, struct fake_node *node, const char *action, const char *body)
{
    const struct failing *failing = context;
    (void)node;
    (void)body;
    if (strcmp(action, failing->action) != 0) {
        return NULL;
    }
    return failing->answer == NULL ? FAKE_NODE_DROP : strdup(failing->answer);
}

static void a_question_that_fails_proves_nothing_and_is_asked_again(void **state)
{
    static const char *const ACTIONS[] = {"receivable", "account_history", "blocks_info"};
    static const char *const ANSWERS[] = {NULL, "{\"error\":\"busy\"}", "{\"blocks\":7,\"history\":7}", "[]"};
    struct reconciler *all = *state;
    struct store_device device = begin(all, METER);
    int64_t paid = 0;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 4; j++) {
            fake_node_pay(all->node, 1, METER, 5, true);
            fake_node_pocket(all->node, METER, fake_node_pay(all->node, 2, METER, 5, true), true);
            struct failing failing = {ACTIONS[i], ANSWERS[j]};
            fake_node_set_hook(all->node, fail_action, &failing);
            store_note_incident(all->fixture.store, "a test wants it");
            assert_false(reconciler_sweep(all));
            assert_false(is_proven(all, METER));
            fake_node_set_hook(all->node, NULL, NULL);
            assert_true(reconciler_sweep(all));
            assert_true(is_proven(all, METER));
            paid += 2;
            assert_int_equal(reconciler_deliveries(all, &device), paid);
        }
    }
}

/* The node has nothing to say about a page in which this address is. */
static char *choke(void *context, struct fake_node *node, const char *action, const char *body)
{
    (void)node;
    return strcmp(action, "accounts_balances") == 0 && strstr(body, context) != NULL
               ? strdup("{\"error\":\"too much\"}")
               : NULL;
}

static void one_address_that_the_node_chokes_on_keeps_it_from_no_other(void **state)
{
    struct reconciler *all = *state;
    char poison[ADDRESS_TEXT_SIZE];
    struct address address = fake_node_account(all->node, METER + 1);
    address_format(&address, poison);
    for (size_t i = 0; i < 4; i++) {
        (void)reconciler_device(all, METER + i, 0);
    }
    fake_node_set_hook(all->node, choke, poison);
    assert_false(reconciler_sweep(all));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(is_proven(all, METER + i), i != 1);
    }
    fake_node_set_hook(all->node, NULL, NULL);
    /* What was asked again before that, and is answered after, may still fail the first. */
    assert_true(reconciler_sweep(all) || reconciler_sweep(all));
    assert_true(is_proven(all, METER + 1));
}

static void a_node_that_is_behind_gives_no_baseline_and_proves_nothing(void **state)
{
    struct reconciler *all = *state;
    struct store_device first = begin(all, METER);
    (void)reconciler_device(all, METER + 1, 0);
    fake_node_pay(all->node, 1, METER, 5, true);
    store_note_incident(all->fixture.store, "a test wants it");
    backfill_set_behind(all->backfill, true);
    assert_false(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &first), 1); /* what is confirmed is */
    assert_false(is_proven(all, METER));
    assert_int_equal(store_fixture_number(&all->fixture, "SELECT count(*) FROM baseline"), 1);
    backfill_set_behind(all->backfill, false);
    assert_true(reconciler_sweep(all));
    assert_true(is_proven(all, METER));
    assert_true(is_proven(all, METER + 1));
}

/* ---- baselines ----------------------------------------------------------------------------------------------------------- */

static void what_was_there_before_a_subscription_is_not_delivered_and_what_came_after_it_is(void **state)
{
    struct reconciler *all = *state;
    fake_node_pay(all->node, 1, METER, 5, true);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 6, true), true);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 7, true), false);
    struct store_device device = reconciler_device(all, METER, 0);
    fake_node_set_clock(all->node, clock_wall_ms() / 1000 + 1);
    fake_node_pay(all->node, 1, METER, 8,
                  true); /* nobody has told of it, and the baseline is not taken yet */
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 1);
    assert_int_equal(store_fixture_number(&all->fixture, "SELECT sum(hashes) FROM baseline"), 2);
}

static void a_late_baseline_takes_in_everything(void **state)
{
    struct reconciler *all = *state;
    fake_node_pay(all->node, 1, METER, 5, true);
    struct store_device device = reconciler_device(all, METER, 0);
    store_fixture_exec(&all->fixture, "UPDATE subscription SET created_at = created_at - 100000");
    fake_node_set_clock(all->node, clock_wall_ms() / 1000);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 8, true), true);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 0);
    fake_node_pay(all->node, 1, METER, 9, true);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 1);
}

static void since_brings_what_was_there_from_then_on(void **state)
{
    struct reconciler *all = *state;
    int64_t now_s = clock_wall_ms() / 1000;
    for (size_t i = 0; i < 6; i++) {
        fake_node_set_clock(all->node, now_s - 1000 + 100 * (int64_t)i);
        uint32_t send = fake_node_pay(all->node, 1, METER, 5, true);
        if (i % 2 == 0) {
            fake_node_pocket(all->node, METER, send, true);
        }
    }
    struct store_device device = reconciler_device(all, METER, (now_s - 750) * 1000);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &device), 3);
}

static void each_subscriber_gets_what_came_after_it_subscribed(void **state)
{
    struct reconciler *all = *state;
    struct store_device first = begin(all, METER);
    fake_node_pay(all->node, 1, METER, 5, true);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 6, true), true);
    store_fixture_exec(&all->fixture, "UPDATE subscription SET created_at = created_at - 5000");
    wire_pause_ms(2100); /* a node counts in seconds */
    struct store_device second = reconciler_device(all, METER, 0);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &first), 2);
    assert_int_equal(reconciler_deliveries(all, &second), 0);
    fake_node_set_clock(all->node, clock_wall_ms() / 1000);
    fake_node_pay(all->node, 1, METER, 7, true);
    assert_true(reconciler_sweep(all));
    assert_int_equal(reconciler_deliveries(all, &first), 3);
    assert_int_equal(reconciler_deliveries(all, &second), 1);
}

/* Somebody subscribes in the middle of a walk. */
struct joining {
    struct reconciler *all;
    const char *action;
    struct store_device device;
    _Atomic bool asked, joined;
};

static char *wait_for_join(void *context, struct fake_node *node, const char *action, const char *body)
{
    struct joining *joining = context;
    (void)node;
    (void)body;
    if (strcmp(action, joining->action) == 0) {
        joining->asked = true;
        while (!joining->joined) {
            wire_pause_ms(1);
        }
    }
    return NULL;
}

static void who_subscribes_during_a_walk_gets_nothing_that_was_there(void **state)
{
    struct reconciler *all = *state;
    static const char *const ACTIONS[] = {"accounts_frontiers", "receivable", "account_history",
                                          "blocks_info"};
    for (size_t i = 0; i < 4; i++) {
        size_t meter = METER + i;
        fake_node_set_clock(all->node, clock_wall_ms() / 1000 - 3600);
        fake_node_pay(all->node, 1, meter, 5, true); /* in the first one's baseline */
        struct store_device first = begin(all, meter);
        fake_node_set_clock(all->node, clock_wall_ms() / 1000 - 10);
        fake_node_pay(all->node, 1, meter, 6, true); /* a new one, for the first */
        struct joining joining = {.all = all, .action = ACTIONS[i]};
        fake_node_set_hook(all->node, wait_for_join, &joining);
        int swept = all->swept;
        backfill_sweep(all->backfill, "a test wants it");
        while (!joining.asked) {
            reconciler_step(all);
        }
        joining.device = reconciler_device(all, meter, 0);
        joining.joined = true;
        while (all->swept == swept) {
            reconciler_step(all);
        }
        fake_node_set_hook(all->node, NULL, NULL);
        assert_true(reconciler_sweep(all));
        assert_int_equal(reconciler_deliveries(all, &first), 1);
        assert_int_equal(reconciler_deliveries(all, &joining.device), 0);
        assert_true(is_proven(all, meter));
    }
}

/* ---- a full inbox, and the end ------------------------------------------------------------------------------------------- */

static void on_noted(void *context, enum cs_err err)
{
    (void)err;
    ++*(int *)context;
}

/* As many as find a place: marks that say nothing of any address. */
static void fill_inbox(struct reconciler *all, int64_t address, int *noted)
{
    static const struct store_mark mark = {.moved = true};
    enum cs_err err;
    do {
        err = store_submit_mark(all->fixture.store, address, &mark, on_noted, noted);
    } while (err == CS_OK);
    assert_int_equal(err, CS_EBUSY);
}

static void a_full_inbox_is_waited_for_wherever_it_is_met(void **state)
{
    struct reconciler *all = *state;
    struct store_device spare = reconciler_device(all, METER + 8, 0);
    (void)spare;
    int64_t other = store_fixture_number(&all->fixture, "SELECT max(num) FROM address");
    struct store_device device = reconciler_device(all, METER, 1000);
    fake_node_pay(all->node, 1, METER, 5, true);
    fake_node_pocket(all->node, METER, fake_node_pay(all->node, 1, METER, 6, true), true);
    int noted = 0, swept = all->swept;
    all->writer_rests = true;
    fill_inbox(all, other, &noted);
    backfill_sweep(all->backfill, "a test wants it");
    for (size_t i = 0; all->swept == swept; i++) {
        assert_true(i < 20000);
        reconciler_step(all);
        if (i % 200 == 100) { /* there is room for a while */
            store_fixture_settle(&all->fixture);
        } else if (i % 200 == 199) {
            store_fixture_settle(&all->fixture);
            fill_inbox(all, other, &noted);
        }
    }
    all->writer_rests = false;
    store_fixture_settle(&all->fixture);
    assert_true(is_proven(all, METER));
    assert_int_equal(reconciler_deliveries(all, &device), 2);
}

/* The relay stops while the node is asked this, or while the writer has what was found. */
static void it_stops_in_the_middle_of_anything_and_the_next_start_finds_it_all(void **state)
{
    (void)state;
    static const char *const ACTIONS[] = {"accounts_balances", "accounts_frontiers", "receivable",
                                          "account_history",   "blocks_info",        ""};
    for (size_t i = 0; i < 6; i++) {
        struct reconciler all;
        reconciler_open(&all, ACCOUNTS);
        struct store_device devices[8];
        for (size_t j = 0; j < 8; j++) {
            devices[j] = reconciler_device(&all, METER + j, 1000);
            fake_node_pay(all.node, 1, METER + j, 5, true);
            fake_node_pocket(all.node, METER + j, fake_node_pay(all.node, 1, METER + j, 6, true), true);
        }
        struct joining holding = {.all = &all, .action = ACTIONS[i]};
        fake_node_set_hook(all.node, wait_for_join, &holding);
        backfill_sweep(all.backfill, "a test wants it");
        struct address address = fake_node_account(all.node, METER);
        backfill_ask(all.backfill, &address);
        all.writer_rests = *ACTIONS[i] == '\0';
        for (size_t j = 0; all.writer_rests ? j < 200 : !holding.asked; j++) {
            reconciler_step(&all);
        }
        reconciler_stop(&all);
        holding.joined = true;
        reconciler_start(&all);
        fake_node_set_hook(all.node, NULL, NULL);
        assert_true(reconciler_sweep(&all));
        for (size_t j = 0; j < 8; j++) {
            assert_int_equal(reconciler_deliveries(&all, &devices[j]), 2);
        }
        reconciler_close(&all);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(what_has_not_changed_costs_two_questions_a_page),
        TEST(what_waits_to_be_received_is_found_and_delivered_once),
        TEST(what_was_received_already_is_found_too),
        TEST(a_send_that_is_confirmed_later_than_its_receive_was_seen_is_found_then),
        TEST(long_chains_are_read_to_where_they_are_known),
        TEST(equal_amounts_that_come_and_go_between_the_questions_hide_nothing),
        TEST(a_send_that_another_node_does_not_know_yet_is_not_taken_for_done),
        TEST(a_history_that_goes_in_circles_ends_the_walk),
        TEST(a_history_with_a_hole_or_without_an_end_proves_nothing),
        TEST(a_node_that_knows_less_than_before_proves_nothing_and_sets_no_mark_back),
        TEST(what_was_received_before_a_subscription_does_not_come_back_when_the_node_is_made_anew),
        TEST(a_question_that_fails_proves_nothing_and_is_asked_again),
        TEST(one_address_that_the_node_chokes_on_keeps_it_from_no_other),
        TEST(a_node_that_is_behind_gives_no_baseline_and_proves_nothing),
        TEST(what_was_there_before_a_subscription_is_not_delivered_and_what_came_after_it_is),
        TEST(a_late_baseline_takes_in_everything),
        TEST(since_brings_what_was_there_from_then_on),
        TEST(each_subscriber_gets_what_came_after_it_subscribed),
        TEST(who_subscribes_during_a_walk_gets_nothing_that_was_there),
        TEST(a_full_inbox_is_waited_for_wherever_it_is_met),
        TEST(it_stops_in_the_middle_of_anything_and_the_next_start_finds_it_all),
        TEST(an_account_that_opens_between_the_questions_is_not_called_complete_without_a_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
