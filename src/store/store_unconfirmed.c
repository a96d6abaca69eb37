/* News of sources that can be forged: it waits here, without seq or delivery, until a node has said whether it is true. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

enum { INSERT_UNCONFIRMED, READ_UNCONFIRMED, DROP_UNCONFIRMED, FORGET_UNCONFIRMED, UNCONFIRMED_SQL_COUNT };
static const char *const UNCONFIRMED_SQL[] = {
    [INSERT_UNCONFIRMED] = "INSERT INTO unconfirmed (hash, output, address, asset, sender, amount, source, "
                           "node_time, block, notice, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                           "ON CONFLICT DO NOTHING",
    [READ_UNCONFIRMED] = "SELECT " PAYMENT_COLUMNS ", p.block, p.notice, p.received_at FROM unconfirmed p "
                         "JOIN address a ON a.num = p.address WHERE p.num = ?",
    [DROP_UNCONFIRMED] = "DELETE FROM unconfirmed WHERE num = ?",
    [FORGET_UNCONFIRMED] = "DELETE FROM unconfirmed WHERE hash = ? AND output = ?",
};
static const char LOAD_UNCONFIRMED[] =
    "SELECT " PAYMENT_COLUMNS
    ", p.num, p.received_at FROM unconfirmed p JOIN address a ON a.num = p.address ORDER BY p.num";

void unconfirmed_sql_open(struct store *store)
{
    int64_t count = 0;
    store->unconfirmed_sql = sql_prepare(store->db, UNCONFIRMED_SQL, UNCONFIRMED_SQL_COUNT);
    if (sql_number(store->db, "SELECT count(*) FROM unconfirmed", &count) != CS_OK) {
        log_die("store", "cannot read what waits for its confirmation; run `coinslot check --full`");
    }
    atomic_store(&store->unconfirmed, count);
}

void unconfirmed_sql_close(struct store *store)
{
    sql_finalize(store->unconfirmed_sql, UNCONFIRMED_SQL_COUNT);
}

int64_t store_unconfirmed_count(struct store *store)
{
    return atomic_load_explicit(&store->unconfirmed, memory_order_relaxed);
}

static int64_t count_in_batch(struct store *store)
{
    return store_unconfirmed_count(store) + store->batch.unconfirmed;
}

enum cs_err unconfirmed_forget(struct store *store, const struct payment *payment)
{
    if (count_in_batch(store) == 0) {
        return CS_OK;
    }
    sqlite3_stmt *forget = store->unconfirmed_sql[FORGET_UNCONFIRMED];
    sql_bind(forget, "bi", payment->hash, sizeof(payment->hash), (int64_t)payment->output);
    enum cs_err err = writer_run(store, forget);
    if (err == CS_OK) {
        store->batch.unconfirmed -= sqlite3_changes(store->db);
    }
    return err;
}

/* ---- taking it in ------------------------------------------------------------------------------------------------ */

struct unconfirmed_command {
    struct command command; /* first */
    struct payment payment;
    store_unconfirmed_done done;
    void *context;
    enum store_payment_outcome outcome;
    int64_t num;
    size_t proof_size, notice_size;
    char bytes[]; /* the proof, then the notice and a NUL */
};

static enum cs_err insert_unconfirmed(struct store *store, struct unconfirmed_command *command,
                                      int64_t address)
{
    const struct payment *payment = &command->payment;
    uint8_t amount[16];
    amount_to_bytes(payment->amount, amount);
    sqlite3_stmt *insert = store->unconfirmed_sql[INSERT_UNCONFIRMED];
    sql_bind(insert, "biitbbtobti", payment->hash, sizeof(payment->hash), (int64_t)payment->output, address,
             payment->asset[0] != '\0' ? payment->asset : NULL,
             payment->from.length > 0 ? payment->from.bytes : NULL, (size_t)payment->from.length, amount,
             sizeof(amount), payment_source_text(payment->source), payment->node_time_ms,
             command->proof_size > 0 ? command->bytes : NULL, command->proof_size,
             command->notice_size > 0 ? command->bytes + command->proof_size : NULL, store->batch.now_ms);
    enum cs_err err = writer_run(store, insert);
    if (err == CS_OK && sqlite3_changes(store->db) > 0) {
        command->num = sqlite3_last_insert_rowid(store->db);
        command->outcome = STORE_PAYMENT_WAITING;
        store->batch.unconfirmed++;
    }
    return err;
}

static enum cs_err unconfirmed_apply(struct store *store, struct command *base)
{
    struct unconfirmed_command *command = (struct unconfirmed_command *)base;
    const struct address_entry *entry = directory_find_address(&store->directory, &command->payment.to);
    if (entry == NULL || (entry->count == 0 && entry->listeners == 0)) {
        command->outcome = STORE_PAYMENT_UNMATCHED;
        return CS_OK;
    }
    bool known;
    command->outcome = STORE_PAYMENT_DUPLICATE;
    enum cs_err err = payment_is_known(store, &command->payment, &known);
    if (err != CS_OK || known) {
        return err;
    }
    return count_in_batch(store) >= store->options.unconfirmed_most
               ? CS_EBUSY
               : insert_unconfirmed(store, command, entry->num);
}

static void unconfirmed_finish(struct store *store, struct command *base)
{
    struct unconfirmed_command *command = (struct unconfirmed_command *)base;
    if (base->err == CS_OK) {
        payment_count(store, command->outcome);
    } else {
        metrics_add(store->payment_refusals, 1);
    }
    command->done(command->context, base->err, command->outcome, command->num);
    free(command);
}

static const struct command_kind UNCONFIRMED_KIND = {"unconfirmed",     false, false,
                                                     unconfirmed_apply, NULL,  unconfirmed_finish};

enum cs_err store_submit_unconfirmed(struct store *store, const struct payment *payment, const uint8_t *proof,
                                     size_t proof_size, const char *notice, size_t notice_size,
                                     store_unconfirmed_done done, void *context)
{
    assert(proof_size <= STORE_PROOF_MAX);
    struct unconfirmed_command *command = cs_alloc(sizeof(*command) + proof_size + notice_size + 1);
    command->command.kind = &UNCONFIRMED_KIND;
    command->payment = *payment;
    command->done = done;
    command->context = context;
    command->proof_size = proof_size;
    command->notice_size = notice_size;
    if (proof_size > 0) {
        memcpy(command->bytes, proof, proof_size);
    }
    if (notice_size > 0) {
        memcpy(command->bytes + proof_size, notice, notice_size);
    }
    return payment_submit(store, &command->command);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------- */

struct verdict_command {
    struct command command; /* first */
    struct payment_work work;
    int64_t num;
    bool confirmed;
    store_payment_done done;
    void *context;
    uint8_t proof[STORE_PROOF_MAX];
    char *notice; /* owned */
};

static void read_row(struct verdict_command *verdict, sqlite3_stmt *row)
{
    struct payment_work *work = &verdict->work;
    store_read_payment(row, 0, &work->payment);
    int size = sqlite3_column_bytes(row, PAYMENT_COLUMN_COUNT);
    if (size > 0 && size <= STORE_PROOF_MAX) {
        work->proof = memcpy(verdict->proof, sqlite3_column_blob(row, PAYMENT_COLUMN_COUNT), (size_t)size);
        work->proof_size = (size_t)size;
    }
    work->heard_at_ms = sqlite3_column_int64(row, PAYMENT_COLUMN_COUNT + 2);
    const char *notice = (const char *)sqlite3_column_text(row, PAYMENT_COLUMN_COUNT + 1);
    if (notice != NULL) {
        verdict->notice = cs_strdup(notice);
        work->notice = verdict->notice;
        work->notice_size = strlen(notice);
    }
}

static enum cs_err verdict_apply(struct store *store, struct command *base)
{
    struct verdict_command *verdict = (struct verdict_command *)base;
    sqlite3_stmt *read = store->unconfirmed_sql[READ_UNCONFIRMED];
    enum cs_err err;
    verdict->work.outcome = STORE_PAYMENT_DUPLICATE;
    sql_bind(read, "i", verdict->num);
    if (!writer_find(store, read, &err)) {
        return err;
    }
    read_row(verdict, read);
    sqlite3_reset(read);
    sql_bind(store->unconfirmed_sql[DROP_UNCONFIRMED], "i", verdict->num);
    err = writer_run(store, store->unconfirmed_sql[DROP_UNCONFIRMED]);
    if (err != CS_OK) {
        return err;
    }
    store->batch.unconfirmed--;
    verdict->work.outcome = STORE_PAYMENT_DENIED;
    return verdict->confirmed ? payment_store(store, &verdict->work) : CS_OK;
}

static void verdict_committed(struct store *store, struct command *base)
{
    payment_tell(store, &((struct verdict_command *)base)->work);
}

static void verdict_finish(struct store *store, struct command *base)
{
    struct verdict_command *verdict = (struct verdict_command *)base;
    if (base->err == CS_OK) {
        payment_count(store, verdict->work.outcome);
    }
    verdict->done(verdict->context, base->err, verdict->work.outcome);
    payment_work_fini(&verdict->work);
    free(verdict->notice);
    free(verdict);
}

static const struct command_kind VERDICT_KIND = {"verdict",         false,         false, verdict_apply,
                                                 verdict_committed, verdict_finish};

enum cs_err store_submit_verdict(struct store *store, int64_t num, bool confirmed, uint64_t receive_height,
                                 store_payment_done done, void *context)
{
    struct verdict_command *verdict = cs_alloc(sizeof(*verdict));
    verdict->command.kind = &VERDICT_KIND;
    verdict->num = num;
    verdict->confirmed = confirmed;
    verdict->done = done;
    verdict->context = context;
    payment_work_init(&verdict->work);
    verdict->work.receive_height = receive_height;
    enum cs_err err = writer_submit(store, &verdict->command);
    if (err != CS_OK) {
        free(verdict);
    }
    return err;
}

void store_each_unconfirmed(struct store *store,
                            void (*each)(void *context, int64_t num, const struct payment *payment,
                                         int64_t received_at_ms),
                            void *context)
{
    const char *const queries[] = {LOAD_UNCONFIRMED};
    sqlite3_stmt **load = sql_prepare(store->db, queries, 1);
    struct payment payment;
    enum cs_err err = CS_OK;
    while (sql_step(load[0], &err)) {
        store_read_payment(load[0], 0, &payment);
        each(context, sqlite3_column_int64(load[0], PAYMENT_COLUMN_COUNT), &payment,
             sqlite3_column_int64(load[0], PAYMENT_COLUMN_COUNT + 1));
    }
    sql_finalize(load, 1);
    if (err != CS_OK) {
        log_die("store", "cannot read what waits for its confirmation; run `coinslot check --full`");
    }
}
