/* The write-ahead log in few writes: what is committed is in the file, for others and after a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/gather.h"
#include "store/sql.h"

struct fixture {
    char folder[64], path[96], copy[96];
    sqlite3 *db, *other;
};

static void run(sqlite3 *db, const char *sql)
{
    if (sql_exec(db, sql) != CS_OK) {
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    }
}

static int64_t number(sqlite3 *db, const char *query)
{
    int64_t value = -1;
    assert_int_equal(sql_number(db, query, &value), CS_OK);
    return value;
}

static int open_all(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/coinslot-gather-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/a.db", fixture->folder);
    snprintf(fixture->copy, sizeof(fixture->copy), "%s/b.db", fixture->folder);
    fixture->db = sql_open(fixture->path, SQL_GATHERED);
    run(fixture->db,
        "PRAGMA journal_mode = wal; PRAGMA synchronous = FULL; CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)");
    fixture->other = sql_open(fixture->path, SQL_READ_ONLY);
    *state = fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    char command[96];
    sqlite3_close(fixture->other);
    sqlite3_close(fixture->db);
    snprintf(command, sizeof(command), "rm -r %s", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static off_t size_of(const char *path, const char *suffix)
{
    char name[128];
    struct stat status;
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return stat(name, &status) == 0 ? status.st_size : -1;
}

static void what_is_committed_others_see_at_once(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 1; i <= 50; i++) {
        run(fixture->db, "INSERT INTO t (b) VALUES (randomblob(3000))");
        assert_int_equal(number(fixture->other, "SELECT count(*) FROM t"), i);
        assert_int_equal(number(fixture->other, "SELECT sum(length(b)) FROM t"), 3000 * i);
    }
}

static void a_transaction_may_be_longer_than_what_is_gathered(void **state)
{
    struct fixture *fixture = *state;
    for (int kb = 1; kb < 2000; kb = kb * 3 + 1) {
        char sql[96];
        snprintf(sql, sizeof(sql), "DELETE FROM t; INSERT INTO t (b) VALUES (randomblob(%d))", kb * 1024);
        run(fixture->db, sql);
        assert_int_equal(number(fixture->other, "SELECT length(b) FROM t"), kb * 1024);
    }
    assert_int_equal(
        number(fixture->other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
        1);
}

/* Pages that do not fit into the cache are written before the commit, and may be read and written again. */
static void pages_that_are_written_early_are_read_and_written_again(void **state)
{
    struct fixture *fixture = *state;
    run(fixture->db, "PRAGMA cache_size = 10; BEGIN");
    run(fixture->db,
        "INSERT INTO t (b) SELECT zeroblob(2000) FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 300) SELECT n FROM s)");
    run(fixture->db, "UPDATE t SET b = randomblob(2000)");
    assert_int_equal(number(fixture->db, "SELECT sum(length(b)) FROM t"), 600000);
    assert_int_equal(number(fixture->other, "SELECT count(*) FROM t"), 0);
    run(fixture->db, "COMMIT");
    assert_int_equal(number(fixture->other, "SELECT sum(length(b)) FROM t"), 600000);
}

static void what_is_rolled_back_is_gone_and_the_next_commit_is_whole(void **state)
{
    struct fixture *fixture = *state;
    run(fixture->db, "PRAGMA cache_size = 10; BEGIN");
    run(fixture->db,
        "INSERT INTO t (b) SELECT randomblob(2000) FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 200) SELECT n FROM s)");
    run(fixture->db, "ROLLBACK; INSERT INTO t (b) VALUES (x'01')");
    assert_int_equal(number(fixture->other, "SELECT count(*) FROM t"), 1);
}

/* As a crash leaves it: the files as they are now, without anything that is still gathered. */
static void the_files_alone_have_all_that_is_committed(void **state)
{
    struct fixture *fixture = *state;
    char command[512];
    run(fixture->db,
        "INSERT INTO t (b) SELECT randomblob(2000) FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100) SELECT n FROM s)");
    snprintf(command, sizeof(command), "cp %s %s && cp %s-wal %s-wal", fixture->path, fixture->copy,
             fixture->path, fixture->copy);
    assert_int_equal(system(command), 0);
    sqlite3 *copy = sql_open(fixture->copy, SQL_READ_WRITE);
    assert_int_equal(number(copy, "SELECT count(*) FROM t"), 100);
    sqlite3_close(copy);
}

static void the_log_begins_anew_after_a_checkpoint(void **state)
{
    struct fixture *fixture = *state;
    run(fixture->db,
        "INSERT INTO t (b) SELECT randomblob(2000) FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100) SELECT n FROM s)");
    off_t before = size_of(fixture->path, "-wal");
    assert_int_equal(sqlite3_wal_checkpoint_v2(fixture->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL),
                     SQLITE_OK);
    for (int i = 0; i < 20; i++) {
        run(fixture->db, "INSERT INTO t (b) VALUES (x'02')");
    }
    assert_int_equal(size_of(fixture->path, "-wal"), before);
    assert_int_equal(number(fixture->other, "SELECT count(*) FROM t"), 120);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(what_is_committed_others_see_at_once),
        TEST(a_transaction_may_be_longer_than_what_is_gathered),
        TEST(pages_that_are_written_early_are_read_and_written_again),
        TEST(what_is_rolled_back_is_gone_and_the_next_commit_is_whole),
        TEST(the_files_alone_have_all_that_is_committed),
        TEST(the_log_begins_anew_after_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
