/* Sessions as the writer knows them: what they are told, acks, outcomes, fences, gaps, retirement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/store_fixture.h"
#include "store/maintain.h"

#define WINDOW    4
#define PAGE_SIZE 3

static int open_fixture(void **state)
{
    struct store_fixture *fixture = calloc(1, sizeof(*fixture));
    store_fixture_open(fixture, 256, WINDOW, PAGE_SIZE);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    store_fixture_close(*state);
    free(*state);
    return 0;
}

static void pay(struct store_fixture *fixture, const struct address *address, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct payment payment = store_fixture_payment(fixture, address, 1);
        struct submitted submitted;
        store_fixture_submit(fixture, &payment, &submitted);
        store_fixture_settle(fixture);
        assert_int_equal(submitted.err, CS_OK);
    }
}

/* Column `what` of a delivery. */
static int64_t row(struct store_fixture *fixture, const char *what, uint64_t seq)
{
    char query[160];
    snprintf(query, sizeof(query), "SELECT %s FROM delivery WHERE seq = %d ORDER BY device DESC LIMIT 1",
             what, (int)seq);
    return store_fixture_number(fixture, query);
}

static void assert_state(struct store_fixture *fixture, uint64_t seq, enum delivery_state state)
{
    char query[160];
    snprintf(query, sizeof(query), "state = '%s'", delivery_state_text(state));
    assert_int_equal(row(fixture, query, seq), 1);
}

/* One page, as far as the caller wants to look at it. */
static void assert_page(struct store_fixture *fixture, const struct store_session *session, uint64_t from,
                        uint32_t most, uint64_t to, uint64_t head)
{
    assert_int_equal(store_submit_page(fixture->store, session, from, most), CS_OK);
    store_fixture_settle(fixture);
    struct posted *posted = store_fixture_next(fixture, POSTED_PAGE);
    assert_int_equal(posted->from, from);
    assert_int_equal(posted->to, to);
    assert_int_equal(posted->head, head);
    assert_int_equal(posted->count, to + 1 - from);
    for (size_t i = 0; i < posted->count; i++) {
        assert_int_equal(posted->deliveries[i].seq, from + i);
    }
    store_fixture_drop(posted);
}

/* Reports and waits for the answer. */
static enum cs_err report(struct store_fixture *fixture, const struct store_session *session, uint64_t seq,
                          enum delivery_state state)
{
    assert_int_equal(store_fixture_report(fixture, session, seq, state), CS_OK);
    store_fixture_settle(fixture);
    struct posted *posted = store_fixture_next(fixture, POSTED_NOTED);
    enum cs_err err = posted->err;
    assert_int_equal(posted->from, seq);
    assert_int_equal(posted->handle, session->handle);
    store_fixture_drop(posted);
    return err;
}

static void a_window_goes_out_live_then_head_is_raised_once(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, WINDOW + 3);
    for (uint64_t seq = 1; seq <= WINDOW; seq++) {
        struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
        assert_int_equal(posted->deliveries[0].seq, seq);
        assert_int_equal(posted->deliveries[0].state, DELIVERY_SENT);
        store_fixture_drop(posted);
        assert_state(fixture, seq, DELIVERY_SENT); /* committed before it reaches a socket */
    }
    struct posted *raised = store_fixture_next(fixture, POSTED_RAISED);
    assert_int_equal(raised->head, WINDOW + 1);
    store_fixture_drop(raised);
    assert_null(fixture->first); /* it knows that it has to ask */
    assert_state(fixture, WINDOW + 1, DELIVERY_STORED);
    assert_page(fixture, &session, WINDOW + 1, PAGE_SIZE, WINDOW, WINDOW + 3); /* no room in the window */
    assert_int_equal(store_submit_ack(fixture->store, &session, WINDOW), CS_OK);
    assert_page(fixture, &session, WINDOW + 1, PAGE_SIZE, WINDOW + 3, WINDOW + 3);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_acked_total"), WINDOW);
    assert_int_equal(row(fixture, "attempts", WINDOW + 1), 1);
}

static void an_attempt_is_counted_once_a_session(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, 1);
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    assert_page(fixture, &session, 1, 1, 1, 1);
    assert_int_equal(row(fixture, "attempts", 1), 1);
    int64_t sent_at = row(fixture, "sent_at", 1);
    usleep(2000);
    session = store_fixture_session(fixture, device.id, 2, 0);
    assert_page(fixture, &session, 1, 1, 1, 1);
    assert_page(fixture, &session, 1, 1, 1, 1);
    assert_int_equal(row(fixture, "attempts", 1), 2);
    assert_int_equal(row(fixture, "sent_at", 1), sent_at); /* the first time */
}

static void a_resume_acks_what_was_sent(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    pay(fixture, &address, 3);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    assert_page(fixture, &session, 1, 2, 2, 3);
    assert_int_equal(store_fixture_begin(fixture, device.id, 3, 2), CS_OK);
    store_fixture_settle(fixture);
    store_fixture_drop(store_fixture_next(fixture, POSTED_ENDED));
    struct posted *posted = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(posted->begun.acked, 2);
    assert_int_equal(posted->begun.head, 3);
    assert_int_equal(posted->begun.window, WINDOW);
    store_fixture_drop(posted);
    assert_state(fixture, 1, DELIVERY_ACKED);
    assert_state(fixture, 2, DELIVERY_ACKED);
    assert_state(fixture, 3, DELIVERY_STORED);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_true(found.connected);
    assert_int_equal(found.acked_seq, 2);
}

static void a_resume_above_what_was_ever_sent_means_that_the_store_was_rolled_back(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    pay(fixture, &address, 3);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    assert_page(fixture, &session, 1, 2, 2, 3);
    assert_int_equal(store_submit_ack(fixture->store, &session, 1), CS_OK);
    assert_int_equal(store_fixture_begin(fixture, device.id, 2, 10), CS_OK);
    store_fixture_settle(fixture);
    store_fixture_drop(store_fixture_next(fixture, POSTED_ENDED));
    struct posted *posted = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(posted->err, CS_OK);
    assert_int_equal(posted->begun.acked, 10);
    assert_int_equal(posted->begun.head, 12);
    assert_int_equal(posted->begun.gap_from, 2);
    assert_int_equal(posted->begun.gap_to, 10);
    session = posted->session;
    store_fixture_drop(posted);
    assert_state(fixture, 1, DELIVERY_ACKED); /* the first; nothing else was acked by that resume */
    assert_state(fixture, 11, DELIVERY_SENT);
    assert_state(fixture, 12, DELIVERY_STORED);
    assert_page(fixture, &session, 11, 2, 12, 12);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_true(found.rolled_back);
    assert_int_equal(found.head_seq, 12);
    char error[STORE_ERROR_SIZE];
    assert_int_equal(maintain_check(fixture->dir, true, stderr, error), CS_OK); /* the gap is no hole */
}

static void acks_and_outcomes_of_one_batch_come_out_as_if_each_had_its_own(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, 4);
    assert_int_equal(store_submit_ack(fixture->store, &session, 1), CS_OK);
    assert_int_equal(store_fixture_report(fixture, &session, 2, DELIVERY_REFUSED), CS_OK);
    assert_int_equal(store_fixture_report(fixture, &session, 1, DELIVERY_ACTUATED), CS_OK);
    assert_int_equal(store_submit_ack(fixture->store, &session, 3), CS_OK);
    store_fixture_settle(fixture);
    assert_state(fixture, 1, DELIVERY_ACTUATED);
    assert_state(fixture, 2, DELIVERY_REFUSED);
    assert_state(fixture, 3, DELIVERY_ACKED);
    assert_state(fixture, 4, DELIVERY_SENT);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(acked_at) FROM delivery"), 3);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_acked_total"), 3);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_outcome_total"), 2);
    char error[STORE_ERROR_SIZE];
    assert_int_equal(maintain_check(fixture->dir, true, stderr, error), CS_OK);
}

/* Memory says where seqs 2 and 3 were; after the roll-back others have these numbers. */
static void an_ack_after_a_roll_back_finds_the_rows_by_their_new_numbers(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    pay(fixture, &address, 3);
    fixture->other_epoch = true;
    struct store_session session = store_fixture_session(fixture, device.id, 1, 1);
    assert_page(fixture, &session, 2, 3, 4, 4);
    assert_int_equal(store_submit_ack(fixture->store, &session, 3), CS_OK);
    store_fixture_settle(fixture);
    assert_state(fixture, 2, DELIVERY_ACKED);
    assert_state(fixture, 3, DELIVERY_ACKED);
    assert_state(fixture, 4, DELIVERY_SENT);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_acked_total"), 2);
}

static void another_epoch_is_a_roll_back_even_when_nothing_waits(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    struct store_device_key key;
    assert_true(store_find_device(fixture->store, device.id, &key));
    fixture->other_epoch = true;
    assert_int_equal(store_fixture_begin(fixture, device.id, 1, 7), CS_OK);
    store_fixture_settle(fixture);
    struct posted *posted = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(posted->begun.acked, 7);
    assert_int_equal(posted->begun.gap_to, 7);
    store_fixture_drop(posted);
    pay(fixture, &address, 1);
    posted = store_fixture_next(fixture, POSTED_LIVE);
    assert_int_equal(posted->deliveries[0].seq, 8);
    assert_int_equal(posted->deliveries[0].config_version, 1);
    store_fixture_drop(posted);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_int_equal(found.config_version, 1);
}

static void a_config_is_told_live_and_older_ones_come_with_the_payments_they_price(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    uint64_t version;
    pay(fixture, &address, 1); /* priced by version 1, of the subscription */
    assert_int_equal(store_set_config(fixture->store, device.id, "{\"late_after_s\":60}", &version), CS_OK);
    assert_int_equal(version, 2);
    pay(fixture, &address, 1);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    assert_int_equal(store_set_config(fixture->store, device.id, "{\"late_after_s\":90}", &version), CS_OK);
    struct posted *posted = store_fixture_next(fixture, POSTED_CONFIG);
    assert_int_equal(posted->head, 3);
    assert_non_null(strstr(posted->config, "\"late_after_s\":90"));
    assert_non_null(strstr(posted->config, "\"addresses\":[\"nano_"));
    store_fixture_drop(posted);
    assert_int_equal(store_submit_page(fixture->store, &session, 1, 2), CS_OK);
    store_fixture_settle(fixture);
    posted = store_fixture_next(fixture, POSTED_PAGE);
    assert_int_equal(posted->deliveries[0].config_version, 1);
    assert_true(posted->deliveries_had_config[0]); /* not the current one: the device may not have it */
    assert_int_equal(posted->deliveries[1].config_version, 2);
    assert_true(posted->deliveries_had_config[1]);
    store_fixture_drop(posted);
    assert_int_equal(store_set_config(fixture->store, "dev_none", "{}", &version), CS_ENOTFOUND);
}

static void a_disabled_device_loses_its_session_and_its_payments_wait(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    (void)store_fixture_session(fixture, device.id, 1, 0);
    assert_int_equal(store_set_device_state(fixture->store, device.id, DEVICE_DISABLED), CS_OK);
    struct posted *posted = store_fixture_next(fixture, POSTED_ENDED);
    assert_string_equal(posted->reason, "disabled");
    store_fixture_drop(posted);
    pay(fixture, &address, 1);
    assert_null(fixture->first);
    assert_int_equal(store_fixture_begin(fixture, device.id, 2, 0), CS_OK);
    store_fixture_settle(fixture);
    posted = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(posted->err, CS_EDENIED);
    store_fixture_drop(posted);
    assert_int_equal(store_set_device_state(fixture->store, device.id, DEVICE_ACTIVE), CS_OK);
    struct store_session session = store_fixture_session(fixture, device.id, 3, 0);
    assert_page(fixture, &session, 1, 2, 1, 1);
}

static void sessions_that_throw_each_other_out_are_named(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    for (uint64_t handle = 1; handle <= 6; handle++) {
        assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
        assert_int_equal(found.duplicate_credential, false);
        assert_int_equal(store_fixture_begin(fixture, device.id, handle, 0), CS_OK);
        store_fixture_settle(fixture);
    }
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_true(found.duplicate_credential);
}

static void a_fenced_session_is_told_and_can_change_nothing(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    struct store_session old = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, 2);
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    /* The old one's commands are under way in the batch that fences it. */
    assert_int_equal(store_fixture_begin(fixture, device.id, 2, 0), CS_OK);
    assert_int_equal(store_submit_ack(fixture->store, &old, 2), CS_OK);
    assert_int_equal(store_submit_page(fixture->store, &old, 1, 2), CS_OK);
    assert_int_equal(store_fixture_report(fixture, &old, 1, DELIVERY_ACTUATED), CS_OK);
    assert_int_equal(store_submit_session_end(fixture->store, &old), CS_OK);
    store_fixture_settle(fixture);
    struct posted *ended = store_fixture_next(fixture, POSTED_ENDED);
    assert_string_equal(ended->reason, "fenced");
    assert_int_equal(ended->handle, 1);
    assert_int_equal(ended->session.generation, old.generation);
    store_fixture_drop(ended);
    struct posted *begun = store_fixture_next(fixture, POSTED_BEGUN);
    assert_true(begun->begun.session.generation > old.generation);
    struct store_session young = begun->begun.session;
    store_fixture_drop(begun);
    assert_null(fixture->first); /* neither page nor noted */
    assert_state(fixture, 1, DELIVERY_SENT);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_true(found.connected);
    assert_int_equal(found.acked_seq, 0);
    assert_page(fixture, &young, 1, 2, 2, 2);
    assert_int_equal(store_submit_session_end(fixture->store, &young), CS_OK);
    store_fixture_settle(fixture);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_false(found.connected);
    pay(fixture, &address, 1);
    assert_null(fixture->first);
}

/* ---- outcomes ----------------------------------------------------------------------------------------------------- */

static void an_outcome_acks_everything_up_to_it_and_the_first_report_stands(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, 4);
    for (int i = 0; i < 4; i++) {
        store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    }
    assert_int_equal(report(fixture, &session, 3, DELIVERY_ACTUATED), CS_OK);
    assert_state(fixture, 1, DELIVERY_ACKED);
    assert_state(fixture, 2, DELIVERY_ACKED);
    assert_state(fixture, 3, DELIVERY_ACTUATED);
    assert_state(fixture, 4, DELIVERY_SENT);
    assert_int_equal(row(fixture, "seconds", 3), 600);
    assert_int_equal(row(fixture, "acked_at IS NOT NULL AND final_at IS NOT NULL AND reason IS NULL", 3), 1);
    int64_t final_at = row(fixture, "final_at", 3);
    usleep(2000);
    assert_int_equal(report(fixture, &session, 3, DELIVERY_ACTUATED), CS_OK); /* a repeat */
    assert_int_equal(report(fixture, &session, 3, DELIVERY_REFUSED), CS_OK);  /* a contradiction */
    assert_state(fixture, 3, DELIVERY_ACTUATED);
    assert_int_equal(row(fixture, "final_at", 3), final_at);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_contradicted_total"), 1);
    assert_int_equal(report(fixture, &session, 1, DELIVERY_REFUSED), CS_OK); /* acked before */
    assert_state(fixture, 1, DELIVERY_REFUSED);
    assert_int_equal(row(fixture, "reason = 'too_late' AND seconds IS NULL", 1), 1);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_outcome_total"), 2);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_acked_total"), 3);
}

static void an_outcome_of_a_seq_that_was_never_sent_is_not_found(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    pay(fixture, &address, 2);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    assert_page(fixture, &session, 1, 1, 1, 2);
    assert_int_equal(report(fixture, &session, 0, DELIVERY_ACTUATED), CS_ENOTFOUND);
    assert_int_equal(report(fixture, &session, 2, DELIVERY_ACTUATED), CS_ENOTFOUND); /* stored */
    assert_int_equal(report(fixture, &session, 3, DELIVERY_ACTUATED), CS_ENOTFOUND);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_int_equal(found.acked_seq, 0);
}

/* Acked rows have left delivery_due, and a restart has emptied the recent table. */
static void an_outcome_of_a_seq_that_a_roll_back_lost_is_noted_and_changes_nothing(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    pay(fixture, &address, 2);
    /* The device has 1 to 5 from another life of this store: what waits here becomes 6 and 7. */
    struct store_session session = store_fixture_session(fixture, device.id, 1, 5);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        assert_int_equal(report(fixture, &session, seq, DELIVERY_ACTUATED), CS_OK);
    }
    assert_int_equal(report(fixture, &session, 6, DELIVERY_ACTUATED), CS_ENOTFOUND); /* not sent yet */
    assert_state(fixture, 6, DELIVERY_STORED);
    assert_state(fixture, 7, DELIVERY_STORED);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery"), 2);
}

static void an_outcome_finds_its_row_by_the_index_and_in_the_tail(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, 4);
    assert_int_equal(store_submit_ack(fixture->store, &session, 4), CS_OK);
    store_fixture_settle(fixture);
    store_fixture_shut(fixture);
    /* The index has taken in two of them. */
    store_fixture_exec(fixture, "DELETE FROM delivery_by_device WHERE delivery > 2;"
                                "DELETE FROM delivery_by_payment WHERE delivery > 2;"
                                "INSERT OR IGNORE INTO delivery_by_device VALUES (1, 1, 1), (1, 2, 2);"
                                "INSERT OR IGNORE INTO delivery_by_payment VALUES (1, 1), (2, 2);"
                                "INSERT OR REPLACE INTO meta VALUES ('delivery_indexed', '2')");
    store_fixture_reopen(fixture, 256, WINDOW, PAGE_SIZE);
    /* In the session's own batch, before the index is filled: its generation is the first since the start. */
    session = (struct store_session){session.device, 1, 2};
    assert_int_equal(store_fixture_begin(fixture, device.id, 2, 0), CS_OK);
    assert_int_equal(store_fixture_report(fixture, &session, 2, DELIVERY_ACTUATED), CS_OK);
    assert_int_equal(store_fixture_report(fixture, &session, 4, DELIVERY_REFUSED), CS_OK);
    store_fixture_settle(fixture);
    store_fixture_drop(store_fixture_next(fixture, POSTED_BEGUN));
    for (int i = 0; i < 2; i++) {
        struct posted *noted = store_fixture_next(fixture, POSTED_NOTED);
        assert_int_equal(noted->err, CS_OK);
        store_fixture_drop(noted);
    }
    assert_state(fixture, 2, DELIVERY_ACTUATED);
    assert_state(fixture, 4, DELIVERY_REFUSED);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery_by_device"),
                     4); /* filled since */
}

/* ---- what will not come --------------------------------------------------------------------------------------------- */

static void only_what_waits_expires_and_only_without_a_session(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 1);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, 1);
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    assert_int_equal(store_submit_session_end(fixture->store, &session), CS_OK);
    pay(fixture, &address, 2);
    store_fixture_shut(fixture);
    usleep(5000);
    store_fixture_reopen(fixture, 256, WINDOW, PAGE_SIZE); /* expiry looks at once, then each second */
    session = store_fixture_session(fixture, device.id, 2, 0);
    assert_state(fixture, 2, DELIVERY_STORED); /* it is there, so it decides itself what is too late */
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, WINDOW, PAGE_SIZE);
    assert_false(store_step_writer(fixture->store));
    assert_state(fixture, 1, DELIVERY_SENT);
    assert_state(fixture, 2, DELIVERY_EXPIRED);
    assert_state(fixture, 3, DELIVERY_EXPIRED);
    assert_int_equal(row(fixture, "reason = 'expired' AND final_at IS NOT NULL", 3), 1);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_expired_total"), 2);
    pay(fixture, &address, 1);
    session = store_fixture_session(fixture, device.id, 3, 0);
    assert_int_equal(store_submit_page(fixture->store, &session, 1, 4), CS_OK);
    store_fixture_settle(fixture);
    struct posted *page = store_fixture_next(fixture, POSTED_PAGE);
    const enum delivery_state states[] = {DELIVERY_SENT, DELIVERY_EXPIRED, DELIVERY_EXPIRED, DELIVERY_SENT};
    assert_int_equal(page->count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(page->deliveries[i].seq, i + 1);
        assert_int_equal(page->deliveries[i].state, states[i]);
    }
    assert_string_equal(page->deliveries[1].reason, "expired");
    store_fixture_drop(page);
    assert_int_equal(row(fixture, "attempts", 2), 0);
    assert_int_equal(row(fixture, "attempts", 1), 2);
    /* An ack past the gap leaves it expired. */
    assert_int_equal(store_submit_ack(fixture->store, &session, 4), CS_OK);
    store_fixture_settle(fixture);
    assert_state(fixture, 1, DELIVERY_ACKED);
    assert_state(fixture, 3, DELIVERY_EXPIRED);
    assert_int_equal(report(fixture, &session, 3, DELIVERY_ACTUATED), CS_OK); /* contradicts */
    assert_state(fixture, 3, DELIVERY_EXPIRED);
}

static void retiring_ends_the_session_and_expires_what_was_not_sent(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), found;
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    pay(fixture, &address, WINDOW + 1);
    assert_int_equal(store_submit_ack(fixture->store, &session, 1), CS_OK);
    store_fixture_settle(fixture);
    for (int i = 0; i < WINDOW; i++) {
        store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    }
    store_fixture_drop(store_fixture_next(fixture, POSTED_RAISED));
    assert_int_equal(store_retire_device(fixture->store, "dev_unknown"), CS_ENOTFOUND);
    assert_int_equal(store_retire_device(fixture->store, device.id), CS_OK);
    struct posted *ended = store_fixture_next(fixture, POSTED_ENDED);
    assert_string_equal(ended->reason, "retired");
    assert_int_equal(ended->session.generation, session.generation);
    store_fixture_drop(ended);
    assert_state(fixture, 1, DELIVERY_ACKED);
    assert_state(fixture, 2, DELIVERY_SENT); /* the device may have it */
    assert_state(fixture, WINDOW + 1, DELIVERY_EXPIRED);
    assert_int_equal(row(fixture, "reason = 'retired'", WINDOW + 1), 1);
    assert_false(store_knows_address(fixture->store, &address));
    assert_int_equal(store_submit_ack(fixture->store, &session, 2), CS_OK);
    assert_int_equal(store_submit_page(fixture->store, &session, 5, 1), CS_OK);
    assert_int_equal(store_fixture_begin(fixture, device.id, 2, 0), CS_OK);
    store_fixture_settle(fixture);
    struct posted *begun = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(begun->err, CS_EDENIED);
    store_fixture_drop(begun);
    assert_null(fixture->first);
    assert_state(fixture, 2, DELIVERY_SENT);
    assert_int_equal(store_retire_device(fixture->store, device.id), CS_OK); /* again */
    assert_null(fixture->first);
    assert_int_equal(reader_device(fixture->store, device.id, &found), CS_OK);
    assert_int_equal(found.state, DEVICE_RETIRED);
    assert_true(found.retired_at_ms > 0);
    assert_false(found.connected);
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, WINDOW, PAGE_SIZE);
    struct store_device_key key;
    assert_true(store_find_device(fixture->store, device.id, &key));
    assert_int_equal(key.state, DEVICE_RETIRED);
    assert_false(store_knows_address(fixture->store, &address));
}

static void a_device_is_found_by_its_id_alone(void **state)
{
    struct store_fixture *fixture = *state;
    struct store_device_key key;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    assert_false(store_find_device(fixture->store, "dev_aaaaaaaaaaaaaaaa", &key));
    assert_true(store_find_device(fixture->store, device.id, &key));
    assert_int_equal(key.auth, DEVICE_AUTH_TOKEN);
    assert_int_equal(key.credential[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_window_goes_out_live_then_head_is_raised_once, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(an_attempt_is_counted_once_a_session, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_resume_acks_what_was_sent, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(
            a_resume_above_what_was_ever_sent_means_that_the_store_was_rolled_back, open_fixture,
            close_fixture),
        cmocka_unit_test_setup_teardown(acks_and_outcomes_of_one_batch_come_out_as_if_each_had_its_own,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(an_ack_after_a_roll_back_finds_the_rows_by_their_new_numbers,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(another_epoch_is_a_roll_back_even_when_nothing_waits, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(
            a_config_is_told_live_and_older_ones_come_with_the_payments_they_price, open_fixture,
            close_fixture),
        cmocka_unit_test_setup_teardown(a_disabled_device_loses_its_session_and_its_payments_wait,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(sessions_that_throw_each_other_out_are_named, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_fenced_session_is_told_and_can_change_nothing, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(an_outcome_acks_everything_up_to_it_and_the_first_report_stands,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(an_outcome_of_a_seq_that_was_never_sent_is_not_found, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(
            an_outcome_of_a_seq_that_a_roll_back_lost_is_noted_and_changes_nothing, open_fixture,
            close_fixture),
        cmocka_unit_test_setup_teardown(an_outcome_finds_its_row_by_the_index_and_in_the_tail, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(only_what_waits_expires_and_only_without_a_session, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(retiring_ends_the_session_and_expires_what_was_not_sent, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_device_is_found_by_its_id_alone, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
