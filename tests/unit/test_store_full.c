/* A disk that fills up under way: the batch leaves nothing behind, in the file or in memory, and is told so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fault_vfs.h"
#include "lib/store_fixture.h"
#include "store/maintain.h"
#include "store/proofs.h"

#define WINDOW    8
#define PAGE_SIZE 8

struct disk {
    struct store_fixture fixture;
    struct fault_vfs *vfs;
};

static int open_fixture(void **state)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    disk->vfs = fault_vfs_open(&(struct fault_vfs_options){0});
    store_fixture_open(&disk->fixture, 256, WINDOW, PAGE_SIZE);
    *state = disk;
    return 0;
}

static int close_fixture(void **state)
{
    struct disk *disk = *state;
    store_fixture_close(&disk->fixture);
    fault_vfs_close(disk->vfs);
    free(disk);
    return 0;
}

/* The WAL has no room from its n-th write on; 0: there is room. */
static void fill(struct disk *disk, uint64_t nth)
{
    const struct fault_plan plan = {.action = nth > 0 ? FAULT_FULL : FAULT_NONE,
                                    .calls = FAULT_WRITE | FAULT_TRUNCATE,
                                    .files = FAULT_WAL,
                                    .at = nth,
                                    .lasting = true,
                                    .seed = 1};
    fault_vfs_set_plan(disk->vfs, &plan);
}

/* One batch with a bit of everything. */
struct batch {
    struct store_device live, away, leaving, coming;
    struct address live_at, away_at, leaving_at, coming_at;
    struct store_session session, leaving_session;
    struct submitted submitted[3];
};

static void set_up(struct disk *disk, struct batch *batch)
{
    struct store_fixture *fixture = &disk->fixture;
    batch->live = store_fixture_add_device(fixture, &batch->live_at, "5", 0);
    batch->away = store_fixture_add_device(fixture, &batch->away_at, "0", 0);
    batch->leaving = store_fixture_add_device(fixture, &batch->leaving_at, "0", 0);
    batch->coming = store_fixture_add_device(fixture, &batch->coming_at, "0", 0);
    batch->session = store_fixture_session(fixture, batch->live.id, 1, 0);
    batch->leaving_session = store_fixture_session(fixture, batch->leaving.id, 2, 0);
    for (int i = 0; i < 2; i++) {
        struct payment payment = store_fixture_payment(fixture, &batch->live_at, 9);
        store_fixture_submit(fixture, &payment, &batch->submitted[0]);
    }
    store_fixture_settle(fixture);
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
}

static void submit_all(struct disk *disk, struct batch *batch)
{
    struct store_fixture *fixture = &disk->fixture;
    const struct address *to[] = {&batch->live_at, &batch->away_at, &batch->live_at};
    const uint64_t raw[] = {9, 9, 1};
    for (size_t i = 0; i < 3; i++) {
        struct payment payment = store_fixture_payment(fixture, to[i], raw[i]);
        store_fixture_submit(fixture, &payment, &batch->submitted[i]);
    }
    assert_int_equal(store_fixture_report(fixture, &batch->session, 1, DELIVERY_ACTUATED), CS_OK);
    assert_int_equal(store_submit_ack(fixture->store, &batch->session, 2), CS_OK);
    assert_int_equal(store_submit_page(fixture->store, &batch->session, 3, 1), CS_OK);
    assert_int_equal(store_submit_session_end(fixture->store, &batch->leaving_session), CS_OK);
    assert_int_equal(store_fixture_begin(fixture, batch->coming.id, 3, 0), CS_OK);
}

static void assert_cursor(struct disk *disk, const struct store_device *device, uint64_t head, uint64_t sent,
                          uint64_t acked, bool connected)
{
    struct store_device found;
    assert_int_equal(reader_device(disk->fixture.store, device->id, &found), CS_OK);
    assert_int_equal(found.head_seq, head);
    assert_int_equal(found.sent_seq, sent);
    assert_int_equal(found.acked_seq, acked);
    assert_int_equal(found.connected, connected);
}

static void assert_nothing_happened(struct disk *disk, struct batch *batch)
{
    struct store_fixture *fixture = &disk->fixture;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(batch->submitted[i].called, 1);
        assert_int_equal(batch->submitted[i].err, CS_EFULL);
    }
    /* No post of what is not there; the page is answered, empty; who asked is told. */
    struct posted *noted = store_fixture_next(fixture, POSTED_NOTED);
    assert_int_equal(noted->err, CS_EFULL);
    store_fixture_drop(noted);
    struct posted *begun = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(begun->err, CS_EFULL);
    store_fixture_drop(begun);
    struct posted *page = store_fixture_next(fixture, POSTED_PAGE);
    assert_int_equal(page->count, 0);
    assert_true(page->to < page->from);
    store_fixture_drop(page);
    assert_null(fixture->first);
    assert_cursor(disk, &batch->live, 2, 2, 0, true);
    assert_cursor(disk, &batch->away, 0, 0, 0, false);
    assert_cursor(disk, &batch->leaving, 0, 0, 0, false); /* its connection has gone all the same */
    assert_cursor(disk, &batch->coming, 0, 0, 0, false);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM payment"), 2);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery WHERE state = 'sent'"), 2);
    assert_non_null(strstr(store_refusal(fixture->store), "full"));
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_acked_total"), 0);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_outcome_total"), 0);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_below_minimum_total"), 0);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_payments_total{result=\"stored\"}"), 2);
}

static void assert_all_happened(struct disk *disk, struct batch *batch)
{
    struct store_fixture *fixture = &disk->fixture;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(batch->submitted[i].err, CS_OK);
        assert_int_equal(batch->submitted[i].outcome, STORE_PAYMENT_STORED);
    }
    struct posted *live = store_fixture_next(fixture, POSTED_LIVE); /* the next seq, without a hole */
    assert_int_equal(live->deliveries[0].seq, 3);
    store_fixture_drop(live);
    struct posted *noted = store_fixture_next(fixture, POSTED_NOTED);
    assert_int_equal(noted->err, CS_OK);
    store_fixture_drop(noted);
    struct posted *begun = store_fixture_next(fixture, POSTED_BEGUN);
    assert_int_equal(begun->err, CS_OK);
    store_fixture_drop(begun);
    store_fixture_drop(store_fixture_next(fixture, POSTED_PAGE));
    assert_null(fixture->first);
    assert_cursor(disk, &batch->live, 3, 3, 2, true);
    assert_cursor(disk, &batch->away, 1, 0, 0, false);
    assert_cursor(disk, &batch->coming, 0, 0, 0, true);
    assert_null(store_refusal(fixture->store));
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_acked_total"), 2);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_outcome_total"), 1);
    assert_int_equal(store_fixture_metric(fixture, "coinslot_deliveries_below_minimum_total"), 1);
}

static void assert_sound(struct disk *disk)
{
    char error[STORE_ERROR_SIZE] = "";
    FILE *out = tmpfile();
    enum cs_err err = maintain_check(disk->fixture.dir, true, out, error);
    fclose(out);
    assert_string_equal(error, "");
    assert_int_equal(err, CS_OK);
}

static void a_batch_that_finds_no_room_leaves_nothing_and_the_next_one_works(void **state)
{
    struct disk *disk = *state;
    struct batch batch;
    uint64_t writes = 0;
    for (uint64_t nth = 1;; nth++) {
        set_up(disk, &batch);
        submit_all(disk, &batch);
        fill(disk, nth);
        assert_true(store_step_writer(disk->fixture.store));
        writes = fault_vfs_count(disk->vfs);
        (void)store_step_replayer(disk->fixture.store);
        fill(disk, 0);
        if (batch.submitted[0].err == CS_OK) {
            break; /* it needs fewer writes than this */
        }
        assert_nothing_happened(disk, &batch);
        submit_all(disk, &batch);
        store_fixture_settle(&disk->fixture);
        assert_all_happened(disk, &batch);
        assert_sound(disk);
        close_fixture(state);
        open_fixture(state);
        disk = *state;
    }
    assert_true(writes > 4); /* else nothing was tried */
    print_message("a batch of %d writes, full at each of them\n", (int)writes);
}

static void a_change_that_finds_no_room_is_in_neither_file_nor_directory(void **state)
{
    struct disk *disk = *state;
    struct store_fixture *fixture = &disk->fixture;
    struct store *store = fixture->store;
    struct batch batch;
    set_up(disk, &batch);
    struct store_subscription subscription = {.address = batch.away_at}, *rows;
    struct store_device device = {.name = "More", .auth = DEVICE_AUTH_TOKEN};
    struct store_api_token token = {.name = "Script", .role = ROLE_VIEWER}, found;
    const uint8_t hash[STORE_HASH_SIZE] = {7};
    struct store_device_key key;
    size_t count;
    memcpy(subscription.device, batch.live.id, sizeof(subscription.device));
    fill(disk, 1);
    assert_int_equal(store_create_device(store, &device, hash), CS_EFULL);
    assert_false(store_find_device(store, device.id, &key));
    assert_int_equal(store_create_subscription(store, &subscription), CS_EFULL);
    assert_int_equal(store_create_api_token(store, &token, hash), CS_EFULL);
    assert_false(store_find_api_token(store, hash, &found));
    assert_int_equal(store_retire_device(store, batch.live.id), CS_EFULL);
    assert_null(fixture->first); /* its session was not told that it has ended */
    assert_cursor(disk, &batch.live, 2, 2, 0, true);
    assert_true(store_find_device(store, batch.live.id, &key));
    assert_int_equal(key.state, DEVICE_ACTIVE);
    assert_true(store_knows_address(store, &batch.live_at));
    assert_int_equal(reader_subscriptions(store, batch.live.id, &rows, &count), CS_OK); /* it can be read */
    assert_int_equal(count, 1);
    assert_int_equal(store_remove_subscription(store, batch.live.id, rows[0].id), CS_EFULL);
    assert_true(store_knows_address(store, &batch.live_at));
    free(rows);
    fill(disk, 0);
    assert_int_equal(store_create_subscription(store, &subscription), CS_OK);
    assert_int_equal(store_create_api_token(store, &token, hash), CS_OK);
    assert_int_equal(store_retire_device(store, batch.live.id), CS_OK);
    store_fixture_drop(store_fixture_next(fixture, POSTED_ENDED));
    assert_sound(disk);
}

/* The failed batch gave row numbers to deliveries that are not there; others get them. */
static void a_stale_place_of_a_delivery_is_not_believed(void **state)
{
    struct disk *disk = *state;
    struct store_fixture *fixture = &disk->fixture;
    struct batch batch;
    set_up(disk, &batch);
    struct submitted submitted;
    struct payment lost = store_fixture_payment(fixture, &batch.live_at, 9);
    struct payment other = store_fixture_payment(fixture, &batch.away_at, 9);
    store_fixture_submit(fixture, &lost, &submitted);
    fill(disk, 1);
    assert_true(store_step_writer(fixture->store));
    assert_int_equal(submitted.err, CS_EFULL);
    fill(disk, 0);
    store_fixture_submit(fixture, &other, &submitted); /* takes the row of seq 3 */
    store_fixture_submit(fixture, &lost, &submitted);
    store_fixture_settle(fixture);
    store_fixture_drop(store_fixture_next(fixture, POSTED_LIVE));
    assert_int_equal(store_fixture_report(fixture, &batch.session, 3, DELIVERY_ACTUATED), CS_OK);
    store_fixture_settle(fixture);
    struct posted *noted = store_fixture_next(fixture, POSTED_NOTED);
    assert_int_equal(noted->err, CS_OK);
    store_fixture_drop(noted);
    assert_int_equal(
        store_fixture_number(fixture, "SELECT count(*) FROM delivery WHERE state = 'actuated' AND seq = 3 "
                                      "AND payment = 4"),
        1);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery WHERE state = 'stored'"),
                     1);
    assert_sound(disk);
}

static void on_stored(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct submitted *submitted = context;
    submitted->err = err;
    submitted->outcome = outcome;
}

/* A payment is held, and then released, each with no room at its first write and again with room. */
static void what_waits_for_its_proof_waits_on_while_there_is_no_room(void **state)
{
    struct disk *disk = *state;
    struct store_fixture *fixture = &disk->fixture;
    const uint8_t block[2] = {1, 2}, previous[2] = {3, 4};
    struct batch batch;
    struct submitted submitted = {0};
    uint64_t version;
    set_up(disk, &batch);
    assert_int_equal(store_set_config(fixture->store, batch.live.id, "{\"proof\":true}", &version), CS_OK);
    store_fixture_drop(store_fixture_next(fixture, POSTED_CONFIG));
    struct payment payment = store_fixture_payment(fixture, &batch.live_at, 9);
    for (int room = 0; room < 2; room++) {
        assert_int_equal(store_submit_payment(fixture->store, &payment, block, sizeof(block), NULL, 0,
                                              on_stored, &submitted),
                         CS_OK);
        fill(disk, !room);
        assert_true(store_step_writer(fixture->store));
        fill(disk, 0);
        assert_int_equal(submitted.err, room ? CS_OK : CS_EFULL);
        assert_int_equal(store_held_count(fixture->store), room);
    }
    int64_t num = store_fixture_number(fixture, "SELECT payment FROM delivery_held");
    for (int room = 0; room < 2; room++) {
        assert_int_equal(store_submit_previous(fixture->store, num, previous, sizeof(previous)), CS_OK);
        fill(disk, !room);
        assert_true(store_step_writer(fixture->store));
        fill(disk, 0);
        assert_int_equal(store_held_count(fixture->store), !room);
        assert_cursor(disk, &batch.live, 2 + (uint64_t)room, 2 + (uint64_t)room, 0, true);
    }
    struct posted *posted = store_fixture_next(fixture, POSTED_LIVE);
    assert_int_equal(posted->deliveries[0].seq, 3);
    assert_int_equal(posted->proofs, 1);
    store_fixture_drop(posted);
    assert_null(fixture->first);
    assert_sound(disk);
}

/* It is held and its device retired in one transaction. */
static void what_is_held_in_the_batch_that_retires_its_device_expires_with_it(void **state)
{
    struct disk *disk = *state;
    struct store_fixture *fixture = &disk->fixture;
    const uint8_t block[2] = {1, 2};
    struct batch batch;
    struct submitted submitted = {0};
    uint64_t version;
    set_up(disk, &batch);
    assert_int_equal(store_set_config(fixture->store, batch.live.id, "{\"proof\":true}", &version), CS_OK);
    struct payment payment = store_fixture_payment(fixture, &batch.live_at, 9);
    assert_int_equal(
        store_submit_payment(fixture->store, &payment, block, sizeof(block), NULL, 0, on_stored, &submitted),
        CS_OK);
    assert_int_equal(store_retire_device(fixture->store, batch.live.id), CS_OK);
    assert_int_equal(submitted.outcome, STORE_PAYMENT_STORED);
    assert_int_equal(store_held_count(fixture->store), 0);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery_held"), 0);
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery WHERE seq = 3 AND state = "
                                                   "'expired' AND reason = 'retired'"),
                     1);
    assert_sound(disk);
}

static void a_backup_without_room_leaves_neither_file_nor_key(void **state)
{
    struct disk *disk = *state;
    struct batch batch;
    set_up(disk, &batch);
    char file[128], path[160], error[STORE_ERROR_SIZE];
    snprintf(file, sizeof(file), "%s/copy", disk->fixture.dir);
    for (uint64_t nth = 1; nth < 200; nth += 3) {
        const struct fault_plan plan = {.action = FAULT_FULL,
                                        .calls = FAULT_WRITE,
                                        .files = FAULT_DATABASE | FAULT_JOURNAL,
                                        .at = nth,
                                        .lasting = true,
                                        .seed = 1};
        fault_vfs_set_plan(disk->vfs, &plan);
        enum cs_err err = maintain_backup(disk->fixture.dir, file, error);
        fill(disk, 0);
        if (err == CS_OK) {
            assert_true(nth > 20);
            return;
        }
        const char *const names[] = {"", ".key", "-journal", "-wal", "-shm"};
        for (size_t i = 0; i < 5; i++) {
            snprintf(path, sizeof(path), "%s%s", file, names[i]);
            assert_null(fopen(path, "r"));
        }
    }
    fail_msg("the backup never had enough room");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_batch_that_finds_no_room_leaves_nothing_and_the_next_one_works,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_change_that_finds_no_room_is_in_neither_file_nor_directory,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_stale_place_of_a_delivery_is_not_believed, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(what_waits_for_its_proof_waits_on_while_there_is_no_room,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(what_is_held_in_the_batch_that_retires_its_device_expires_with_it,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_backup_without_room_leaves_neither_file_nor_key, open_fixture,
                                        close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
