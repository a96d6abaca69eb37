#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "crash/store_load.h"
#include "store/maintain.h"

struct check {
    sqlite3 *db;
    char *finding;
};

__attribute__((format(printf, 2, 3))) static bool find(struct check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->finding, LOAD_FINDING_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

static int64_t ask_number(struct check *check, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int64_t number = -1;
    if (sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        number = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return number;
}

/* What must give 0, always: said in SQL by somebody who has not read the store's own check. */
static bool check_rows(struct check *check)
{
    static const char *const ZERO[] = {
        "SELECT integrity_check <> 'ok' FROM pragma_integrity_check",
        "SELECT count(*) FROM pragma_foreign_key_check",
        "SELECT count(*) - count(DISTINCT hex(hash) || output) FROM payment",
        "SELECT count(*) - count(DISTINCT device || ' ' || seq) FROM delivery",
        "SELECT count(*) - count(DISTINCT device || ' ' || payment) FROM delivery",
        "SELECT count(*) FROM (SELECT device, count(*) AS rows, min(seq) AS low, max(seq) AS high FROM "
        "delivery GROUP BY device) "
        "WHERE low <> 1 OR rows <> high",
        "SELECT count(*) FROM device_cursor c WHERE head <> (SELECT coalesce(max(seq), 0) FROM delivery d "
        "WHERE d.device = c.device)",
        "SELECT count(*) FROM payment WHERE num NOT IN (SELECT payment FROM delivery)",
        "SELECT count(*) FROM payment WHERE num NOT IN (SELECT payment FROM payment_proof)",
        "SELECT count(*) FROM delivery d JOIN device_cursor c USING (device) WHERE d.state = 'stored' AND "
        "d.seq <= c.acked",
        "SELECT count(*) FROM delivery d JOIN device_cursor c USING (device) WHERE d.state = 'acked' AND "
        "d.seq > c.acked",
    };
    for (size_t i = 0; i < sizeof(ZERO) / sizeof(ZERO[0]); i++) {
        int64_t number = ask_number(check, ZERO[i]);
        if (number != 0) {
            return find(check, "%s (%lld): %s", number < 0 ? "cannot be asked" : "is not 0",
                        (long long)number, ZERO[i]);
        }
    }
    return true;
}

/* By payment's number: the seq that it has in the store, 0 when it is not there. */
static bool read_seqs(struct check *check, uint64_t seed, uint32_t *seqs)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(
            check->db, "SELECT p.amount, p.hash, d.seq FROM payment p JOIN delivery d ON d.payment = p.num",
            -1, &statement, NULL) != SQLITE_OK) {
        return find(check, "the payments cannot be read: %s", sqlite3_errmsg(check->db));
    }
    bool fine = true;
    while (fine && sqlite3_step(statement) == SQLITE_ROW) {
        uint64_t number = amount_from_bytes(sqlite3_column_blob(statement, 0)).low - 1;
        struct payment payment;
        load_payment(seed, (uint32_t)number, &payment);
        if (number >= LOAD_PAYMENTS ||
            memcmp(payment.hash, sqlite3_column_blob(statement, 1), sizeof(payment.hash)) != 0) {
            fine = find(check, "payment %llu was never made like this", (unsigned long long)number);
        } else {
            seqs[number] = (uint32_t)sqlite3_column_int64(statement, 2);
        }
    }
    sqlite3_finalize(statement);
    return fine;
}

static bool check_records(struct check *check, const struct load_shared *shared, const uint32_t *seqs)
{
    uint32_t next = atomic_load(&shared->next), persisted = atomic_load(&shared->persisted);
    for (uint32_t i = 0; i < next; i++) {
        if (atomic_load(&shared->answered[i]) != 0 && seqs[i] == 0) {
            return find(check, "payment %u was answered 200 and is lost", i);
        }
    }
    for (uint32_t seq = 1; seq <= persisted; seq++) {
        uint32_t number = atomic_load(&shared->record[seq]);
        if (seqs[number] != seq) {
            return find(check, "the device was credited payment %u as seq %u, the store has it as %u", number,
                        seq, seqs[number]);
        }
    }
    int64_t sent = ask_number(check, "SELECT coalesce(max(sent), 0) FROM device_cursor");
    if (persisted > sent) {
        return find(check, "the device has seq %u, of which the store sent %lld at most", persisted,
                    (long long)sent);
    }
    return true;
}

static bool check_with_ours(struct check *check, const char *dir)
{
    char *text = NULL, error[STORE_ERROR_SIZE] = "";
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    enum cs_err err = maintain_check(dir, true, out, error);
    fclose(out);
    bool fine = err == CS_OK || find(check, "coinslot check --full: %s %s", error, text);
    free(text);
    return fine;
}

bool load_check(const char *dir, uint64_t seed, const struct load_shared *shared,
                char finding[LOAD_FINDING_SIZE])
{
    struct check check = {.finding = finding};
    if (shared->violation[0] != '\0') {
        return find(&check, "%s", shared->violation);
    }
    char path[200];
    snprintf(path, sizeof(path), "%s/coinslot.db", dir);
    if (access(path, F_OK) != 0) {
        return atomic_load(&shared->persisted) == 0 && shared->device[0] == '\0'
                   ? true
                   : find(&check, "the store is gone");
    }
    uint32_t *seqs = cs_alloc(LOAD_PAYMENTS * sizeof(*seqs));
    bool fine = sqlite3_open_v2(path, &check.db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK;
    if (!fine) {
        (void)find(&check, "the file cannot be opened: %s", sqlite3_errmsg(check.db));
    }
    bool empty = fine && ask_number(&check, "SELECT count(*) FROM sqlite_schema") == 0;
    if (empty && shared->device[0] != '\0') {
        fine = find(&check, "the store is empty");
    } else if (fine && !empty) {
        fine = check_rows(&check) && read_seqs(&check, seed, seqs) && check_records(&check, shared, seqs);
    }
    sqlite3_close(check.db);
    free(seqs);
    return fine && (empty || check_with_ours(&check, dir));
}
