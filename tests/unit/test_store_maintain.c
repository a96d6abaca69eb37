/* The file itself: made, migrated, locked, refused, copied, checked; and who may speak to the admin API. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "lib/store_fixture.h"
#include "store/maintain.h"
#include "store/migrations.h"

#define PATIENCE_MS 10000

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

static void in_dir(const struct store_fixture *fixture, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", fixture->dir, name);
}

static bool exists(const struct store_fixture *fixture, const char *name)
{
    char path[128];
    struct stat status;
    in_dir(fixture, name, path);
    return stat(path, &status) == 0;
}

static void copy_file(const char *from, const char *to)
{
    uint8_t bytes[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t size; (size = fread(bytes, 1, sizeof(bytes), in)) > 0;) {
        assert_int_equal(fwrite(bytes, 1, size, out), size);
    }
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static void write_file(const struct store_fixture *fixture, const char *name, const char *text)
{
    char path[128];
    in_dir(fixture, name, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static enum cs_err open_with(const struct store_fixture *fixture, struct metrics *metrics,
                             struct store **store, char error[STORE_ERROR_SIZE])
{
    const struct store_options options = {.dir = fixture->dir,
                                          .inbox_capacity = 1,
                                          .batch_most = 1,
                                          .window = 1,
                                          .page_size = 1,
                                          .readers = 1,
                                          .subscriptions_most = 1,
                                          .unconfirmed_most = 100,
                                          .wal_most_bytes = 1 << 20,
                                          .synchronous = "OFF",
                                          .metrics = metrics};
    error[0] = '\0';
    return store_open(&options, store, error);
}

/* What store_open says to the fixture's folder, which must not work; the reason in `error`. */
static enum cs_err open_fails(struct store_fixture *fixture, char error[STORE_ERROR_SIZE])
{
    struct metrics *metrics = metrics_open();
    struct store *store;
    enum cs_err err = open_with(fixture, metrics, &store, error);
    assert_true(err != CS_OK);
    assert_true(error[0] != '\0');
    metrics_close(metrics);
    return err;
}

/* What check prints; its verdict must go with it. */
static const char *check(struct store_fixture *fixture)
{
    static char text[4096];
    char error[STORE_ERROR_SIZE] = "";
    FILE *out = tmpfile();
    enum cs_err err = maintain_check(fixture->dir, true, out, error);
    rewind(out);
    size_t size = fread(text, 1, sizeof(text) - 1, out);
    text[size] = '\0';
    fclose(out);
    assert_int_equal(err == CS_OK, size == 0);
    assert_int_equal(err == CS_OK, error[0] == '\0');
    return text;
}

/* Two devices, some payments in every state. */
static void fill(struct store_fixture *fixture)
{
    struct address address, other;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0);
    (void)store_fixture_add_device(fixture, &other, "0", 0);
    struct store_session session = store_fixture_session(fixture, device.id, 1, 0);
    struct submitted submitted;
    for (int i = 0; i < 6; i++) {
        struct payment payment = store_fixture_payment(fixture, i < 5 ? &address : &other, 1);
        store_fixture_submit(fixture, &payment, &submitted);
    }
    store_fixture_settle(fixture);
    assert_int_equal(store_fixture_report(fixture, &session, 1, DELIVERY_ACTUATED), CS_OK);
    assert_int_equal(store_submit_ack(fixture->store, &session, 2), CS_OK);
    store_fixture_settle(fixture);
}

/* ---- making and opening ------------------------------------------------------------------------------------------- */

/* Type, name and text of everything in the schema. */
static char *schema_of(sqlite3 *db)
{
    sqlite3_stmt *statement;
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT group_concat(line, char(10)) FROM (SELECT type || ' ' || name || ': ' || "
                           "coalesce(sql, '') AS line FROM sqlite_schema ORDER BY type, name)",
                           -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    return text;
}

static void the_migrations_make_exactly_schema_sql(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128], *sql = calloc(1, 65536);
    FILE *file = fopen(SOURCE_DIR "/schema/schema.sql", "rb");
    assert_non_null(file);
    assert_in_range(fread(sql, 1, 65535, file), 1000, 65534);
    fclose(file);
    sqlite3 *whole, *migrated;
    in_dir(fixture, "coinslot.db", path);
    assert_int_equal(sqlite3_open(":memory:", &whole), SQLITE_OK);
    assert_int_equal(sqlite3_open(path, &migrated), SQLITE_OK);
    assert_int_equal(sqlite3_exec(whole, sql, NULL, NULL, NULL), SQLITE_OK);
    char *expected = schema_of(whole), *made = schema_of(migrated);
    assert_string_equal(made, expected);
    free(made);
    free(expected);
    free(sql);
    sqlite3_close(migrated);
    sqlite3_close(whole);
    assert_int_equal(store_fixture_number(fixture, "PRAGMA user_version"), MIGRATION_COUNT);
    assert_int_equal(store_fixture_number(fixture, "PRAGMA application_id"), 0x43534c54);
}

static void an_older_store_is_sound_and_asks_to_be_migrated_first(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128], error[STORE_ERROR_SIZE], text[512] = "";
    store_stop(fixture->store);
    store_close(fixture->store);
    in_dir(fixture, "coinslot.db", path);
    assert_int_equal(remove(path), 0);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, MIGRATIONS[0].sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA user_version = 1; PRAGMA application_id = 0x43534c54", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_int_equal(maintain_check(fixture->dir, true, out, error), CS_OK);
    fclose(out);
    assert_non_null(strstr(text, "coinslot migrate"));
    out = fmemopen(text, sizeof(text), "w");
    assert_int_equal(maintain_migrate(fixture->dir, out, error), CS_OK);
    assert_int_equal(maintain_check(fixture->dir, true, stderr, error), CS_OK);
    fclose(out);
    metrics_close(fixture->metrics);
    store_fixture_reopen(fixture, 256, 2, 2);
}

static void everything_in_the_folder_is_private(void **state)
{
    struct store_fixture *fixture = *state;
    const char *const names[] = {"coinslot.db", "coinslot.db-wal", "coinslot.db-shm", "relay.key", "lock"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        struct stat status;
        in_dir(fixture, names[i], path);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
}

static void a_folder_is_locked_by_whoever_has_it_open(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE];
    assert_int_equal(open_fails(fixture, error), CS_EBUSY);
    assert_non_null(strstr(error, "in use"));
    assert_int_equal(maintain_migrate(fixture->dir, stdout, error), CS_EBUSY);
    store_fixture_shut(fixture);
    assert_int_equal(maintain_migrate(fixture->dir, stdout, error), CS_OK); /* nothing to do */
    store_fixture_reopen(fixture, 256, 4, 3);
}

static void a_foreign_file_is_refused_and_left_as_it_was(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE], path[128];
    store_fixture_shut(fixture);
    in_dir(fixture, "coinslot.db", path);
    unlink(path);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE recipe (name)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_non_null(strstr(error, "not a Coinslot store"));
    assert_int_equal(store_fixture_number(fixture, "SELECT journal_mode = 'delete' FROM pragma_journal_mode"),
                     1);
    FILE *out = tmpfile();
    assert_int_equal(maintain_check(fixture->dir, false, out, error), CS_EINVAL);
    assert_non_null(strstr(error, "not a Coinslot store"));
    fclose(out);
}

static void a_newer_file_is_refused_with_what_to_do(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE];
    store_fixture_shut(fixture);
    store_fixture_exec(fixture, "PRAGMA user_version = 99");
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_non_null(strstr(error, "version 99"));
    assert_non_null(strstr(error, "newer coinslot"));
    assert_int_equal(maintain_check(fixture->dir, true, stdout, error), CS_EINVAL);
    assert_non_null(strstr(error, "version 99"));
    assert_int_equal(maintain_migrate(fixture->dir, stdout, error), CS_EINVAL);
}

static void a_damaged_file_is_told_by_open_and_check_alike(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE], path[128];
    fill(fixture);
    store_fixture_shut(fixture);
    in_dir(fixture, "coinslot.db", path);
    FILE *file = fopen(path, "r+b"); /* the schema's page, behind the header */
    assert_non_null(file);
    fseek(file, 100, SEEK_SET);
    for (int i = 0; i < 3000; i++) {
        fputc(0xff, file);
    }
    fclose(file);
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_non_null(strstr(error, "restore the backup"));
    FILE *out = tmpfile();
    assert_int_equal(maintain_check(fixture->dir, true, out, error), CS_EINVAL);
    assert_true(error[0] != '\0');
    fclose(out);
    write_file(
        fixture, "coinslot.db",
        "this is not a database, it is only as long as one of them has to be: a hundred bytes and some");
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_int_equal(maintain_check(fixture->dir, false, stdout, error), CS_EINVAL);
}

/* Damage in a table does not keep the relay from starting: it is found behind the ports, and payments are refused from then on. */
static void what_is_damaged_inside_is_found_while_it_is_open(void **state)
{
    struct store_fixture *fixture = *state;
    char path[128], error[STORE_ERROR_SIZE];
    fill(fixture);
    store_fixture_shut(fixture);
    int64_t page =
        store_fixture_number(fixture, "SELECT rootpage FROM sqlite_schema WHERE name = 'payment_proof'");
    in_dir(fixture, "coinslot.db", path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (long)(page - 1) * 4096, SEEK_SET);
    for (int i = 0; i < 200; i++) {
        fputc(0xff, file);
    }
    fclose(file);
    struct metrics *metrics = metrics_open();
    struct store *store;
    assert_int_equal(open_with(fixture, metrics, &store, error), CS_OK);
    store_start(store, NULL);
    for (int i = 0; i < PATIENCE_MS && store_refusal(store) == NULL; i++) {
        usleep(1000);
    }
    assert_non_null(strstr(store_refusal(store), "damaged"));
    const struct payment payment = {.to = {.chain = CHAIN_NANO, .length = 32}};
    assert_int_equal(store_submit_payment(store, &payment, NULL, 0, NULL, 0, NULL, NULL), CS_EFULL);
    store_stop(store);
    store_close(store);
    metrics_close(metrics);
}

static void a_store_without_its_key_is_not_opened(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE], path[128];
    store_fixture_shut(fixture);
    in_dir(fixture, "relay.key", path);
    unlink(path);
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_non_null(strstr(error, "relay.key is missing"));
    write_file(fixture, "relay.key", "short");
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_non_null(strstr(error, "32 bytes"));
}

/* ---- backup --------------------------------------------------------------------------------------------------------- */

static void a_restored_backup_has_everything_and_another_epoch(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE] = "", epoch[STORE_EPOCH_TEXT], copy[128], key[128], db[128], relay_key[128];
    uint8_t before[STORE_HASH_SIZE], after[STORE_HASH_SIZE];
    fill(fixture);
    snprintf(epoch, sizeof(epoch), "%s", store_epoch(fixture->store));
    assert_int_equal(strspn(epoch, "0123456789abcdef"), STORE_EPOCH_TEXT - 1);
    store_hash_token(fixture->store, "a token", before);
    in_dir(fixture, "copy", copy);
    in_dir(fixture, "copy.key", key);
    in_dir(fixture, "coinslot.db", db);
    in_dir(fixture, "relay.key", relay_key);
    assert_int_equal(maintain_backup(fixture->dir, copy, error), CS_OK); /* beside the open store */
    assert_int_equal(maintain_backup(fixture->dir, copy, error), CS_ECONFLICT);
    assert_non_null(strstr(error, "never overwrites"));
    assert_true(exists(fixture, "copy") && exists(fixture, "copy.key"));
    assert_false(exists(fixture, "copy-wal") || exists(fixture, "copy-journal"));
    store_fixture_shut(fixture);
    copy_file(copy, db);
    copy_file(key, relay_key);
    assert_string_equal(check(fixture), "");
    store_fixture_reopen(fixture, 256, 4, 3);
    assert_string_not_equal(store_epoch(fixture->store), epoch);
    store_hash_token(fixture->store, "a token", after);
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(store_fixture_number(fixture, "SELECT count(*) FROM delivery"), 6);
    snprintf(epoch, sizeof(epoch), "%s", store_epoch(fixture->store));
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, 4, 3);
    assert_string_equal(store_epoch(fixture->store), epoch); /* new once, not at each start */
}

static void a_backup_whose_key_has_no_place_is_taken_back(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE] = "", copy[128];
    in_dir(fixture, "copy", copy);
    write_file(fixture, "copy.key", "precious");
    assert_int_equal(maintain_backup(fixture->dir, copy, error), CS_EIO);
    assert_non_null(strstr(error, "copy.key"));
    assert_false(exists(fixture, "copy"));
    assert_true(exists(fixture, "copy.key"));
    assert_int_equal(maintain_backup("/nonexistent", copy, error), CS_ENOTFOUND);
    assert_false(exists(fixture, "copy"));
}

static void a_backup_beside_the_log_of_a_crashed_store_is_refused(void **state)
{
    struct store_fixture *fixture = *state;
    char error[STORE_ERROR_SIZE] = "", copy[128], db[128], wal[128], kept[128];
    fill(fixture);
    in_dir(fixture, "copy", copy);
    in_dir(fixture, "kept-wal", kept);
    in_dir(fixture, "coinslot.db", db);
    in_dir(fixture, "coinslot.db-wal", wal);
    assert_int_equal(maintain_backup(fixture->dir, copy, error), CS_OK);
    copy_file(wal, kept);
    store_fixture_shut(fixture);
    assert_false(exists(fixture, "coinslot.db-wal"));
    copy_file(kept, wal); /* as a crash leaves it */
    copy_file(copy, db);
    assert_int_equal(open_fails(fixture, error), CS_EINVAL);
    assert_non_null(strstr(error, "move coinslot.db-wal"));
    assert_int_equal(maintain_check(fixture->dir, false, stdout, error), CS_EINVAL);
    assert_non_null(strstr(error, "move coinslot.db-wal"));
    unlink(wal);
    store_fixture_reopen(fixture, 256, 4, 3);
    assert_string_equal(check(fixture), "");
}

/* ---- check ------------------------------------------------------------------------------------------------------------ */

static void check_names_each_promise_that_is_broken(void **state)
{
    const struct {
        const char *damage, *says;
    } damages[] = {
        {"DELETE FROM delivery WHERE seq = 4", "so there is a hole"},
        {"UPDATE device_cursor SET head = 9 WHERE device = 1", "so there is a hole"},
        {"UPDATE delivery SET seq = 9 WHERE seq = 5", "so there is a hole"},
        {"DELETE FROM device_cursor WHERE device = 2", "has no cursor"},
        {"DELETE FROM payment WHERE num = 3", "delivery 3 has no payment 3"},
        {"DELETE FROM device WHERE num = 2", "delivery 6 has no device 2"},
        {"UPDATE payment SET hash = (SELECT hash FROM payment WHERE num = 1) WHERE num = 2",
         "is stored 2 times"},
        {"UPDATE delivery SET payment = 1 WHERE num = 2", "payment 1 was delivered to device 1 2 times"},
        {"UPDATE device_cursor SET acked = 3 WHERE device = 1",
         "device 1: seq 3 is sent although 3 was acked"},
        {"UPDATE device_cursor SET sent = 5 WHERE device = 1",
         "device 1: seq 5 is stored although 5 was sent"},
        {"UPDATE device_cursor SET sent = 3 WHERE device = 1",
         "device 1: seq 4 is sent although only 3 was sent"},
        {"UPDATE device_cursor SET acked = 1 WHERE device = 1",
         "seq 2 is acked although only 4 was sent and 1 acked"},
        {"UPDATE delivery SET sent_at = NULL WHERE num = 2", "delivery 2 is acked, but was never sent"},
        {"UPDATE delivery SET attempts = 0 WHERE num = 3", "delivery 3 is sent, but was never sent"},
        {"UPDATE delivery SET acked_at = NULL WHERE num = 1", "delivery 1 is actuated, but was never acked"},
        {"UPDATE delivery SET acked_at = 1 WHERE num = 3", "delivery 3 is sent, but has the time of an ack"},
        {"UPDATE delivery SET reason = 'late' WHERE num = 3", "delivery 3 is sent, but has a reason"},
        {"UPDATE delivery_by_device SET delivery = 5 WHERE seq = 1 AND device = 1",
         "the search index names delivery 5"},
        {"UPDATE subscription SET address = 77 WHERE num = 1",
         "subscription row 1 breaks its foreign key to address"},
    };
    struct store_fixture *fixture = *state;
    char db[128], sound[128];
    fill(fixture);
    /* A fill after the restart brings all into the index. */
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, 4, 3);
    store_fixture_settle(fixture);
    store_fixture_shut(fixture);
    in_dir(fixture, "coinslot.db", db);
    in_dir(fixture, "sound", sound);
    copy_file(db, sound);
    assert_string_equal(check(fixture), "");
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        copy_file(sound, db);
        store_fixture_exec(fixture, damages[i].damage);
        const char *found = check(fixture);
        if (strstr(found, damages[i].says) == NULL) {
            fail_msg("%s: no «%s» in:\n%s", damages[i].damage, damages[i].says, found);
        }
    }
    copy_file(sound, db);
}

/* ---- names, ids, tokens ------------------------------------------------------------------------------------------------ */

static void names_are_utf8_without_control_characters(void **state)
{
    struct store_fixture *fixture = *state;
    const uint8_t credential[STORE_HASH_SIZE] = {3};
    const char *const good[] = {"a",        "Meter 12",     "M\xc3\xbcnze \xe2\x82\xac \xf0\x9f\x85\xbf",
                                "\xc2\xa0", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
    const char *const bad[] = {"",
                               "a\nb",
                               "\x7f",
                               "\xc2\x85",             /* a C1 control */
                               "\xc3",                 /* cut short */
                               "\x80",                 /* a continuation alone */
                               "\xc0\xaf",             /* overlong */
                               "\xe0\x80\xaf",         /* overlong */
                               "\xf0\x80\x80\xaf",     /* overlong */
                               "\xed\xa0\x80",         /* a surrogate */
                               "\xf4\x90\x80\x80",     /* beyond Unicode */
                               "\xf8\x88\x80\x80\x80", /* five bytes */
                               "\xff"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct store_device device = {.auth = DEVICE_AUTH_TOKEN};
        snprintf(device.name, sizeof(device.name), "%s", good[i]);
        assert_int_equal(store_create_device(fixture->store, &device, credential), CS_OK);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct store_device device = {.auth = DEVICE_AUTH_TOKEN};
        struct store_api_token token = {.role = ROLE_ADMIN};
        snprintf(device.name, sizeof(device.name), "%s", bad[i]);
        snprintf(token.name, sizeof(token.name), "%s", bad[i]);
        assert_int_equal(store_create_device(fixture->store, &device, credential), CS_EINVAL);
        assert_int_equal(store_create_api_token(fixture->store, &token, credential), CS_EINVAL);
    }
    struct store_device longest = {.auth = DEVICE_AUTH_TOKEN}, unended = {.auth = DEVICE_AUTH_TOKEN};
    memset(longest.name, 'x', STORE_NAME_SIZE - 1);
    memset(unended.name, 'x', STORE_NAME_SIZE);
    assert_int_equal(store_create_device(fixture->store, &longest, credential), CS_OK);
    assert_int_equal(store_create_device(fixture->store, &unended, credential), CS_EINVAL);
    struct store_device negative = {.name = "x", .expire_after_ms = -1};
    assert_int_equal(store_create_device(fixture->store, &negative, credential), CS_EINVAL);
}

static void ids_say_what_they_are_of(void **state)
{
    struct store_fixture *fixture = *state;
    struct address address;
    struct store_device device = store_fixture_add_device(fixture, &address, "0", 0), again;
    struct store_subscription *rows;
    struct store_api_token token = {.name = "x", .role = ROLE_VIEWER};
    const uint8_t hash[STORE_HASH_SIZE] = {4};
    size_t count;
    assert_int_equal(reader_subscriptions(fixture->store, device.id, &rows, &count), CS_OK);
    assert_int_equal(store_create_api_token(fixture->store, &token, hash), CS_OK);
    const char *const ids[] = {device.id, rows[0].id, token.id}, *const prefixes[] = {"dev_", "sub_", "tok_"};
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(ids[i], prefixes[i], 4);
        assert_int_equal(strlen(ids[i]), 20);
        assert_int_equal(strspn(ids[i] + 4, "abcdefghijklmnopqrstuvwxyz234567"), 16);
    }
    free(rows);
    again = store_fixture_add_device(fixture, &address, "0", 0);
    assert_string_not_equal(again.id, device.id);
}

static void a_token_opens_until_it_is_revoked(void **state)
{
    struct store_fixture *fixture = *state;
    struct store_api_token token = {.name = "Script", .role = ROLE_OPERATOR}, found, *rows;
    uint8_t hash[STORE_HASH_SIZE], other[STORE_HASH_SIZE];
    size_t count;
    store_hash_token(fixture->store, "cst_secret", hash);
    store_hash_token(fixture->store, "cst_secres", other);
    assert_memory_not_equal(hash, other, sizeof(hash));
    assert_int_equal(store_create_api_token(fixture->store, &token, hash), CS_OK);
    assert_false(store_find_api_token(fixture->store, other, &found));
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, 4, 3);
    assert_true(store_find_api_token(fixture->store, hash, &found));
    assert_string_equal(found.id, token.id);
    assert_string_equal(found.name, "Script");
    assert_int_equal(found.role, ROLE_OPERATOR);
    assert_int_equal(store_revoke_api_token(fixture->store, "tok_nobody"), CS_ENOTFOUND);
    assert_int_equal(store_revoke_api_token(fixture->store, token.id), CS_OK);
    assert_false(store_find_api_token(fixture->store, hash, &found));
    assert_int_equal(reader_api_tokens(fixture->store, &rows, &count), CS_OK);
    assert_int_equal(count, 1);
    int64_t revoked_at_ms = rows[0].revoked_at_ms;
    assert_true(revoked_at_ms > 0);
    free(rows);
    usleep(2000);
    assert_int_equal(store_revoke_api_token(fixture->store, token.id),
                     CS_OK); /* again: the first time stands */
    assert_int_equal(store_fixture_number(fixture, "SELECT revoked_at FROM api_token"), revoked_at_ms);
    store_fixture_shut(fixture);
    store_fixture_reopen(fixture, 256, 4, 3);
    assert_false(store_find_api_token(fixture->store, hash, &found));
}

static void roles_go_by_their_names(void **state)
{
    (void)state;
    enum store_role role;
    for (int i = 0; i < STORE_ROLE_COUNT; i++) {
        assert_true(store_role_parse(store_role_text((enum store_role)i), &role));
        assert_int_equal(role, i);
    }
    assert_false(store_role_parse("root", &role));
    assert_false(store_role_parse(NULL, &role));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_migrations_make_exactly_schema_sql, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(an_older_store_is_sound_and_asks_to_be_migrated_first, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(everything_in_the_folder_is_private, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_folder_is_locked_by_whoever_has_it_open, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_foreign_file_is_refused_and_left_as_it_was, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_newer_file_is_refused_with_what_to_do, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(what_is_damaged_inside_is_found_while_it_is_open, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_told_by_open_and_check_alike, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_store_without_its_key_is_not_opened, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_restored_backup_has_everything_and_another_epoch, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_backup_whose_key_has_no_place_is_taken_back, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(a_backup_beside_the_log_of_a_crashed_store_is_refused, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(check_names_each_promise_that_is_broken, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(names_are_utf8_without_control_characters, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(ids_say_what_they_are_of, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(a_token_opens_until_it_is_revoked, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(roles_go_by_their_names, open_fixture, close_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
