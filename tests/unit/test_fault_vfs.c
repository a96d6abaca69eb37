/* The shim by itself, with SQLite alone above it: what a cut keeps and loses, and that it tells good settings
 * from bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fault_random.h"
#include "lib/fault_vfs.h"

#define CUTS 200
#define ROWS 150

struct place {
    char dir[64], file[96];
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    snprintf(place->dir, sizeof(place->dir), "/tmp/coinslot_fault_XXXXXX");
    if (place == NULL || mkdtemp(place->dir) == NULL) {
        return -1;
    }
    snprintf(place->file, sizeof(place->file), "%s/test.db", place->dir);
    *state = place;
    return 0;
}

static void empty(const struct place *place)
{
    DIR *dir = opendir(place->dir);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", place->dir, entry->d_name);
        unlink(path);
    }
    closedir(dir);
}

static int drop_place(void **state)
{
    struct place *place = *state;
    empty(place);
    rmdir(place->dir);
    free(place);
    return 0;
}

/* ---- the disk alone -------------------------------------------------------------------------------- */

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

/* The file's content, or "-" when there is none. */
static const char *get_file(const char *path, char text[64])
{
    memset(text, 0, 64);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return "-";
    }
    size_t size = fread(text, 1, 63, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void what_was_synced_survives_every_cut(void **state)
{
    struct place *place = *state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        put_file(place->file, "old ");
        struct fault_disk *disk = fault_disk_open();
        struct fault_node *node = fault_disk_open_file(disk, place->file);
        fault_disk_write(disk, node, "kept", 4, 4);
        fault_disk_sync(disk, node);
        struct fault_cut cut;
        fault_disk_cut(disk, seed, &cut);
        char text[64];
        assert_string_equal(get_file(place->file, text), "old kept");
        fault_disk_close_file(disk, node);
        fault_disk_close(disk);
    }
}

static void what_was_not_synced_is_kept_by_some_cuts_and_lost_by_others(void **state)
{
    struct place *place = *state;
    int kept = 0, lost = 0, neither = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        put_file(place->file, "aaaaaaaa");
        struct fault_disk *disk = fault_disk_open();
        struct fault_node *node = fault_disk_open_file(disk, place->file);
        fault_disk_write(disk, node, "bbbb", 4, 2);
        struct fault_cut cut;
        fault_disk_cut(disk, seed, &cut);
        char text[64];
        get_file(place->file, text);
        kept += strcmp(text, "aabbbbaa") == 0;
        lost += strcmp(text, "aaaaaaaa") == 0;
        neither += strcmp(text, "aabbbbaa") != 0 && strcmp(text, "aaaaaaaa") != 0;
        assert_memory_equal(text, "aa", 2); /* nobody wrote there */
        assert_string_equal(text + 6, "aa");
        fault_disk_close_file(disk, node);
        fault_disk_close(disk);
    }
    assert_true(kept > 20 && lost > 20 && neither > 0);
}

static void a_later_write_can_survive_an_earlier_one(void **state)
{
    struct place *place = *state;
    int reordered = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        put_file(place->file, "....");
        struct fault_disk *disk = fault_disk_open();
        struct fault_node *node = fault_disk_open_file(disk, place->file);
        fault_disk_write(disk, node, "1", 1, 0);
        fault_disk_write(disk, node, "2", 1, 1);
        struct fault_cut cut;
        fault_disk_cut(disk, seed, &cut);
        char text[64];
        reordered += strcmp(get_file(place->file, text), ".2..") == 0;
        fault_disk_close_file(disk, node);
        fault_disk_close(disk);
    }
    assert_true(reordered > 5);
}

static void a_failed_sync_is_not_healed_by_the_next_one(void **state)
{
    struct place *place = *state;
    int lost = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        put_file(place->file, "....");
        struct fault_disk *disk = fault_disk_open();
        struct fault_node *node = fault_disk_open_file(disk, place->file);
        fault_disk_write(disk, node, "1", 1, 0);
        fault_disk_fail_sync(disk, node, seed);
        fault_disk_sync(disk, node);
        struct fault_cut cut;
        fault_disk_cut(disk, seed, &cut);
        char text[64];
        lost += strcmp(get_file(place->file, text), "....") == 0;
        fault_disk_close_file(disk, node);
        fault_disk_close(disk);
    }
    assert_true(lost > 5 && lost < 45);
}

static void a_name_is_sure_only_once_its_directory_is_synced(void **state)
{
    struct place *place = *state;
    for (int synced = 0; synced <= 1; synced++) {
        int missing = 0, resurrected = 0;
        for (uint64_t seed = 0; seed < 100; seed++) {
            char old[128], text[64];
            snprintf(old, sizeof(old), "%s/old", place->dir);
            put_file(old, "old");
            unlink(place->file);
            struct fault_disk *disk = fault_disk_open();
            struct fault_node *node = fault_disk_open_file(disk, place->file);
            put_file(place->file, "new");
            fault_disk_write(disk, node, "new", 3, 0);
            fault_disk_sync(disk, node);
            fault_disk_delete(disk, old);
            unlink(old);
            if (synced) {
                fault_disk_sync_directory(disk, place->file);
            }
            struct fault_cut cut;
            fault_disk_cut(disk, seed, &cut);
            missing += strcmp(get_file(place->file, text), "-") == 0;
            resurrected += strcmp(get_file(old, text), "old") == 0;
            fault_disk_close_file(disk, node);
            fault_disk_close(disk);
        }
        assert_true(synced ? missing == 0 && resurrected == 0 : missing > 20 && resurrected > 20);
    }
}

static void the_same_seed_gives_the_same_image(void **state)
{
    struct place *place = *state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        char images[2][64];
        for (int run = 0; run < 2; run++) {
            put_file(place->file, "........................");
            struct fault_disk *disk = fault_disk_open();
            struct fault_node *node = fault_disk_open_file(disk, place->file);
            for (uint64_t i = 0; i < 20; i++) {
                fault_disk_write(disk, node, "xyz", 3, i);
            }
            struct fault_cut cut;
            fault_disk_cut(disk, seed, &cut);
            get_file(place->file, images[run]);
            fault_disk_close_file(disk, node);
            fault_disk_close(disk);
        }
        assert_memory_equal(images[0], images[1], 64);
    }
}

/* ---- SQLite above it ------------------------------------------------------------------------------- */

static bool run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static sqlite3 *open_database(const char *file, const char *synchronous)
{
    sqlite3 *db = NULL;
    char pragma[64];
    snprintf(pragma, sizeof(pragma), "PRAGMA synchronous=%s", synchronous);
    bool fine = sqlite3_open(file, &db) == SQLITE_OK && run(db, "PRAGMA journal_mode=WAL") &&
                run(db, pragma) && run(db, "PRAGMA wal_autocheckpoint=20") &&
                run(db, "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filler BLOB) STRICT");
    if (!fine) {
        sqlite3_close(db);
        return NULL;
    }
    return db;
}

/* Inserts 1, 2, 3 … one by one until the power goes; how many were committed. */
static int load_until_cut(sqlite3 *db)
{
    int committed = 0;
    for (int n = 1; n <= ROWS; n++) {
        char sql[96];
        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, randomblob(%d))", n, n % 7 == 0 ? 9000 : 40);
        if (!run(db, sql)) {
            break;
        }
        committed = n;
    }
    return committed;
}

/* The one number that `sql` asks for; -1 when the file is too damaged to tell. */
static int count_rows(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
        return -1;
    }
    int count = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
    sqlite3_finalize(statement);
    return count;
}

/* True when all that was committed is there after a cut at a seeded place. */
static bool survives_a_cut(const struct place *place, const char *synchronous, uint64_t seed)
{
    empty(place);
    uint64_t random = seed;
    struct fault_vfs *vfs = fault_vfs_open(&(struct fault_vfs_options){0});
    struct fault_plan plan = {.action = fault_random_chance(&random, 50) ? FAULT_CUT_AFTER : FAULT_CUT_BEFORE,
                              .calls = FAULT_WRITE | FAULT_SYNC | FAULT_TRUNCATE | FAULT_OPEN | FAULT_DELETE,
                              .files = FAULT_EVERY_FILE,
                              .at = 1 + fault_random_below(&random, 400),
                              .seed = seed};
    fault_vfs_set_plan(vfs, &plan);
    sqlite3 *db = open_database(place->file, synchronous);
    int committed = db == NULL ? 0 : load_until_cut(db);
    fault_vfs_cut(vfs, seed);
    sqlite3_close(db);
    fault_vfs_close(vfs);

    assert_int_equal(sqlite3_open(place->file, &db), SQLITE_OK);
    bool whole = count_rows(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1;
    bool there = committed == 0 || count_rows(db, "SELECT count(*) FROM sqlite_schema") == 1;
    if (whole && there && committed > 0) {
        int rows = count_rows(db, "SELECT count(*) FROM t");
        there = rows >= committed && rows == count_rows(db, "SELECT max(n) FROM t");
    }
    sqlite3_close(db);
    return whole && there;
}

static void sqlite_with_full_sync_survives_every_cut(void **state)
{
    for (uint64_t seed = 1; seed <= CUTS; seed++) {
        if (!survives_a_cut(*state, "FULL", seed)) {
            fail_msg("seed %llu lost something", (unsigned long long)seed);
        }
    }
}

static void sqlite_without_sync_is_found_out(void **state)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= CUTS; seed++) {
        lost += !survives_a_cut(*state, "OFF", seed);
    }
    assert_true(lost > CUTS / 4);
}

/* With NORMAL, a WAL is synced at checkpoints only: what was committed since may go, but the file stays
 * whole. */
static void sqlite_with_normal_sync_is_found_out(void **state)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= CUTS; seed++) {
        lost += !survives_a_cut(*state, "NORMAL", seed);
    }
    assert_true(lost > CUTS / 8);
}

/* ---- faults ---------------------------------------------------------------------------------------- */

static void every_call_can_fail_once_and_nothing_committed_is_lost(void **state)
{
    struct place *place = *state;
    static const enum fault_action ACTIONS[] = {FAULT_FULL, FAULT_IO_ERROR, FAULT_SHORT_WRITE};
    for (size_t kind = 0; kind < sizeof(ACTIONS) / sizeof(ACTIONS[0]); kind++) {
        for (uint64_t at = 1;; at += 1 + at / 16) {
            empty(place);
            struct fault_vfs *vfs = fault_vfs_open(&(struct fault_vfs_options){0});
            struct fault_plan plan = {.action = ACTIONS[kind],
                                      .calls = FAULT_EVERY_CALL,
                                      .files = FAULT_EVERY_FILE,
                                      .at = at,
                                      .seed = at};
            fault_vfs_set_plan(vfs, &plan);
            sqlite3 *db = open_database(place->file, "FULL");
            int committed = db == NULL ? 0 : load_until_cut(db);
            bool hit = fault_vfs_count(vfs) >= at;
            sqlite3_close(db);
            fault_vfs_close(vfs);
            if (!hit) {
                assert_int_equal(committed, ROWS);
                assert_true(at > 500);
                break;
            }
            assert_int_equal(sqlite3_open(place->file, &db), SQLITE_OK);
            assert_int_equal(count_rows(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
            if (committed > 0) {
                assert_true(count_rows(db, "SELECT count(*) FROM t") >= committed);
            }
            sqlite3_close(db);
        }
    }
}

static void a_disk_that_is_full_until_told_otherwise_takes_rows_again_afterwards(void **state)
{
    struct place *place = *state;
    struct fault_vfs *vfs = fault_vfs_open(&(struct fault_vfs_options){0});
    sqlite3 *db = open_database(place->file, "FULL");
    assert_non_null(db);
    assert_true(run(db, "INSERT INTO t VALUES (1, NULL)"));
    struct fault_plan plan;
    char error[FAULT_PLAN_ERROR_SIZE];
    assert_true(fault_plan_parse("action=full calls=write,truncate at=1 lasting=1", &plan, error));
    fault_vfs_set_plan(vfs, &plan);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES (2, NULL)", NULL, NULL, NULL), SQLITE_FULL);
    }
    assert_int_equal(count_rows(db, "SELECT count(*) FROM t"), 1);
    assert_true(fault_plan_parse("action=none", &plan, error));
    fault_vfs_set_plan(vfs, &plan);
    assert_true(run(db, "INSERT INTO t VALUES (2, NULL)"));
    sqlite3_close(db);
    fault_vfs_close(vfs);
}

static void a_plan_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct fault_plan plan;
    char error[FAULT_PLAN_ERROR_SIZE];
    assert_true(fault_plan_parse(
        "action=cut_after calls=sync,write files=wal,database at=17 lasting=1 seed=4\n", &plan, error));
    assert_int_equal(plan.action, FAULT_CUT_AFTER);
    assert_int_equal(plan.calls, FAULT_SYNC | FAULT_WRITE);
    assert_int_equal(plan.files, FAULT_WAL | FAULT_DATABASE);
    assert_int_equal(plan.at, 17);
    assert_true(plan.lasting);
    assert_int_equal(plan.seed, 4);
    static const char *const BAD[] = {"action=explode", "action",    "calls=sync,nap", "at=-1",
                                      "at=x",           "lasting=2", "depth=3"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_false(fault_plan_parse(BAD[i], &plan, error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_synced_survives_every_cut, make_place, drop_place),
        cmocka_unit_test_setup_teardown(what_was_not_synced_is_kept_by_some_cuts_and_lost_by_others,
                                        make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_later_write_can_survive_an_earlier_one, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_failed_sync_is_not_healed_by_the_next_one, make_place, drop_place),
        cmocka_unit_test_setup_teardown(a_name_is_sure_only_once_its_directory_is_synced, make_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(the_same_seed_gives_the_same_image, make_place, drop_place),
        cmocka_unit_test_setup_teardown(sqlite_with_full_sync_survives_every_cut, make_place, drop_place),
        cmocka_unit_test_setup_teardown(sqlite_without_sync_is_found_out, make_place, drop_place),
        cmocka_unit_test_setup_teardown(sqlite_with_normal_sync_is_found_out, make_place, drop_place),
        cmocka_unit_test_setup_teardown(every_call_can_fail_once_and_nothing_committed_is_lost, make_place,
                                        drop_place),
        cmocka_unit_test_setup_teardown(a_disk_that_is_full_until_told_otherwise_takes_rows_again_afterwards,
                                        make_place, drop_place),
        cmocka_unit_test(a_plan_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
