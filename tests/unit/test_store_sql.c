/* What SQLite makes of our tables and statements: rows of older versions, indexes used, nothing built for each payment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/store_fixture.h"
#include "store/internal.h" /* for the statements that it has prepared */
#include "store/maintain.h"
#include "store/migrations.h"

static int open_fixture(void **state)
{
    struct store_fixture *fixture = calloc(1, sizeof(*fixture));
    store_fixture_open(fixture, 256, 4, 3);
    *state = fixture;
    return 0;
}

static int close_fixture(void **state)
{
    store_fixture_close(*state);
    free(*state);
    return 0;
}

/* All rows of a query, a line each; owned. */
static char *dump(sqlite3 *db, const char *query)
{
    sqlite3_stmt *statement;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *value = (const char *)sqlite3_column_text(statement, i);
            fprintf(out, "%s|", value != NULL ? value : "NULL");
        }
        fputc('\n', out);
    }
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    fclose(out);
    return text;
}

/* ---- migrations --------------------------------------------------------------------------------------------------- */

/* A delivery in each state, as version 3 wrote them; the first device has acked 4 of its 6. */
static const char ROWS_OF_VERSION_3[] =
    "INSERT INTO device (id, name, auth, credential, state, created_at) VALUES "
    "('dev_a', 'A', 'token', zeroblob(32), 'active', 1), ('dev_b', 'B', 'key', zeroblob(32), 'active', 1);"
    "INSERT INTO device_cursor VALUES (1, 6, 5, 4), (2, 1, 0, 0);"
    "INSERT INTO address (chain, bytes) VALUES ('nano', zeroblob(32));"
    "INSERT INTO device_config VALUES (1, 1, '{}', '{}', 1);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) "
    "INSERT INTO payment (hash, output, address, sender, amount, source, node_time, stored_at) "
    "SELECT CAST(printf('%032d', i) AS BLOB), i % 2, 1, iif(i = 3, NULL, zeroblob(32)), zeroblob(16), "
    "iif(i % 2, 'callback', 'backfill'), iif(i = 4, NULL, 100 + i), 200 + i FROM n;"
    "UPDATE payment SET asset = 'X', reversed_at = 900 WHERE num = 5;"
    "INSERT INTO payment_proof SELECT num, zeroblob(216) FROM payment WHERE num <> 2;"
    "INSERT INTO delivery (device, seq, payment, state, attempts, stored_at, sent_at, acked_at, final_at, seconds, reason, config_version) "
    "VALUES (1, 1, 1, 'actuated', 2, 201, 301, 401, 501, 60, NULL, 1),"
    "(1, 2, 2, 'refused', 1, 202, 302, 402, 502, NULL, 'too_late', 1),"
    "(1, 3, 3, 'expired', 0, 203, NULL, NULL, 503, NULL, 'expired', NULL),"
    "(1, 4, 4, 'acked', 1, 204, 304, 404, NULL, NULL, NULL, 1),"
    "(1, 5, 5, 'sent', 3, 205, 305, NULL, NULL, NULL, NULL, 1),"
    "(1, 6, 6, 'stored', 0, 206, NULL, NULL, NULL, NULL, NULL, 1),"
    "(2, 1, 7, 'stored', 0, 207, NULL, NULL, NULL, NULL, NULL, NULL)";

static const char *const TABLES[] = {
    "SELECT num, hex(hash), output, address, asset, hex(sender), hex(amount), source, node_time, stored_at, "
    "reversed_at FROM payment ORDER BY num",
    "SELECT num, device, seq, payment, config_version, state, attempts, stored_at, sent_at, acked_at, "
    "final_at, seconds, reason FROM delivery ORDER BY num",
    "SELECT payment, length(block) FROM payment_proof ORDER BY payment",
};
#define TABLE_COUNT (sizeof(TABLES) / sizeof(TABLES[0]))

/* The fixture's folder with a store of version 3, closed. */
static void make_version_3(struct store_fixture *fixture, char path[128])
{
    char wal[140];
    store_fixture_shut(fixture);
    snprintf(path, 128, "%s/coinslot.db", fixture->dir);
    snprintf(wal, sizeof(wal), "%s-wal", path);
    assert_int_equal(remove(path), 0);
    (void)remove(wal);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sqlite3_exec(db, MIGRATIONS[i].sql, NULL, NULL, NULL), SQLITE_OK);
    }
    assert_int_equal(sqlite3_exec(db, ROWS_OF_VERSION_3, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA user_version = 3; PRAGMA application_id = 0x43534c54", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

static void dump_tables(const char *path, char *dumps[TABLE_COUNT])
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        dumps[i] = dump(db, TABLES[i]);
    }
    sqlite3_close(db);
}

static void migrate(const struct store_fixture *fixture, const char *path, char *expected[TABLE_COUNT])
{
    char error[STORE_ERROR_SIZE] = "", text[512] = "", *made[TABLE_COUNT];
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_int_equal(maintain_migrate(fixture->dir, out, error), CS_OK);
    fclose(out);
    assert_non_null(strstr(text, "0004"));
    assert_int_equal(maintain_check(fixture->dir, true, stderr, error), CS_OK);
    dump_tables(path, made);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        assert_string_equal(made[i], expected[i]);
        free(made[i]);
        free(expected[i]);
    }
}

static void a_store_with_rows_in_every_state_is_the_same_after_its_migration(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128], *before[TABLE_COUNT];
    make_version_3(fixture, path);
    dump_tables(path, before);
    assert_non_null(strstr(before[1], "refused|1|202|302|402|502|NULL|too_late|"));
    migrate(fixture, path, before);
    store_fixture_reopen(fixture, 256, 4, 3);
    struct store_session session = store_fixture_session(fixture, "dev_a", 1, 4);
    assert_int_equal(store_submit_page(fixture->store, &session, 5, 3), CS_OK);
    store_fixture_settle(fixture);
    struct posted *page = store_fixture_next(fixture, POSTED_PAGE);
    assert_int_equal(page->count, 2);
    assert_int_equal(page->deliveries[0].seq, 5);
    assert_int_equal(page->deliveries[1].payment.node_time_ms, 106);
    store_fixture_drop(page);
}

/* Killed once the tables are rebuilt, before the commit; with so small a cache that most of it stands in the log by then. */
static void a_migration_that_is_killed_leaves_the_store_as_it_was(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128], *before[TABLE_COUNT];
    make_version_3(fixture, path);
    dump_tables(path, before);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sqlite3 *db;
        bool done =
            sqlite3_open(path, &db) == SQLITE_OK &&
            sqlite3_exec(db, "PRAGMA cache_size = 1; BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
            sqlite3_exec(db, MIGRATIONS[3].sql, NULL, NULL, NULL) == SQLITE_OK;
        _exit(done ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(store_fixture_number(fixture, "PRAGMA user_version"), 3);
    migrate(fixture, path, before);
    store_fixture_reopen(fixture, 256, 4, 3);
}

static void a_migration_is_refused_where_rows_break_their_foreign_keys(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128], error[STORE_ERROR_SIZE] = "";
    make_version_3(fixture, path);
    store_fixture_exec(fixture, "DELETE FROM payment WHERE num = 3");
    assert_int_not_equal(maintain_migrate(fixture->dir, stderr, error), CS_OK);
    assert_non_null(strstr(error, "foreign keys"));
    assert_int_equal(store_fixture_number(fixture, "PRAGMA user_version"), 3);
    store_fixture_exec(fixture, "INSERT INTO payment (num, hash, output, address, amount, source, stored_at) "
                                "VALUES (3, zeroblob(32), 0, 1, zeroblob(16), 'callback', 1)");
    store_fixture_reopen(fixture, 256, 4, 3);
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

/*
 * Operators are rare; so is a roll-back. An ack of several rows takes them out of the index that it finds them by, so SQLite lists them first:
 * one table for all of them.
 */
static bool may_build(const char *sql)
{
    static const char *const MAY[] = {"UPDATE device SET", "UPDATE subscription SET", "INTO device (",
                                      "INTO api_token",    "SET seq = seq + ?",       "SET state = 'acked'"};
    for (size_t i = 0; i < sizeof(MAY) / sizeof(MAY[0]); i++) {
        if (strstr(sql, MAY[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void explain(sqlite3 *db, const char *prefix, const char *sql, const char *unwanted)
{
    size_t size = strlen(prefix) + strlen(sql) + 1;
    char *query = malloc(size);
    snprintf(query, size, "%s%s", prefix, sql);
    char *plan = dump(db, query);
    if (strstr(plan, unwanted) != NULL) {
        fail_msg("«%s» has %s in:\n%s", sql, unwanted, plan);
    }
    free(plan);
    free(query);
}

/* A temporary b-tree costs more than all else that a statement does here: one for each IN of more than two constants, for example. */
static void no_statement_of_the_writer_builds_a_temporary_table(void **state)
{
    struct store_fixture *fixture = *state;
    sqlite3 *db = fixture->store->db;
    size_t looked_at = 0;
    for (sqlite3_stmt *next = sqlite3_next_stmt(db, NULL); next != NULL; next = sqlite3_next_stmt(db, next)) {
        const char *sql = sqlite3_sql(next);
        if (!may_build(sql)) {
            explain(db, "EXPLAIN ", sql, "OpenEphemeral");
            looked_at++;
        }
    }
    assert_in_range(looked_at, 30, 100);
}

static void the_replayer_reads_a_page_through_the_index_of_what_is_due(void **state)
{
    struct store_fixture *fixture = *state;
    sqlite3 *db = fixture->store->replay_db;
    sqlite3_stmt *read = sqlite3_next_stmt(db, NULL);
    assert_non_null(read);
    assert_null(sqlite3_next_stmt(db, read));
    explain(db, "EXPLAIN QUERY PLAN ", sqlite3_sql(read), "SCAN");
    explain(db, "EXPLAIN QUERY PLAN ", sqlite3_sql(read), "TEMP B-TREE");
    explain(db, "EXPLAIN ", sqlite3_sql(read), "OpenEphemeral");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_with_rows_in_every_state_is_the_same_after_its_migration,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_migration_that_is_killed_leaves_the_store_as_it_was, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_migration_is_refused_where_rows_break_their_foreign_keys,
                                        open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(no_statement_of_the_writer_builds_a_temporary_table, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(the_replayer_reads_a_page_through_the_index_of_what_is_due,
                                        open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
