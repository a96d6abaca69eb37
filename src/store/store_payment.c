/* Payments: from a source's word to rows, seqs and what the sessions are told. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

enum { FIND_PAYMENT, FIND_BASELINE, INSERT_PAYMENT, INSERT_PROOF, INSERT_DELIVERY, PAYMENT_SQL_COUNT };
static const char *const PAYMENT_SQL[] = {
    [FIND_PAYMENT] = "SELECT 1 FROM payment p INDEXED BY payment_hash JOIN address a ON a.num = p.address "
                     "WHERE substr(p.hash, 1, 8) = ? AND p.hash = ? AND p.output = ? AND a.chain = ?",
    [FIND_BASELINE] = "SELECT 1 FROM baseline_hash WHERE subscription = ? AND hash = ?",
    [INSERT_PAYMENT] =
        "INSERT INTO payment (hash, output, address, asset, sender, amount, source, node_time, stored_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [INSERT_PROOF] = "INSERT INTO payment_proof (payment, block) VALUES (?, ?)",
    [INSERT_DELIVERY] =
        "INSERT INTO delivery (device, seq, payment, state, attempts, stored_at, sent_at, config_version) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
};

void payment_sql_open(struct store *store)
{
    store->payment_sql = sql_prepare(store->db, PAYMENT_SQL, PAYMENT_SQL_COUNT);
}

void payment_sql_close(struct store *store)
{
    sql_finalize(store->payment_sql, PAYMENT_SQL_COUNT);
}

struct payment_command {
    struct command command; /* first */
    struct payment_work work;
    store_payment_done done;
    void *context;
    uint8_t bytes[]; /* the proof, then the notice */
};

void payment_work_init(struct payment_work *work)
{
    work->posts = &work->one;
    work->post_capacity = 1;
}

void payment_work_fini(struct payment_work *work)
{
    if (work->posts != &work->one) {
        free(work->posts);
    }
}

void payment_add_post(struct payment_work *work, const struct payment_post *post)
{
    if (work->post_count == work->post_capacity) {
        size_t capacity = work->post_capacity * 4;
        struct payment_post *posts = cs_alloc(capacity * sizeof(*posts));
        memcpy(posts, work->posts, work->post_count * sizeof(*posts));
        payment_work_fini(work);
        work->posts = posts;
        work->post_capacity = capacity;
    }
    work->posts[work->post_count++] = *post;
}

enum cs_err payment_is_known(struct store *store, const struct payment *payment, bool *known)
{
    sqlite3_stmt *find = store->payment_sql[FIND_PAYMENT];
    sql_bind(find, "bbit", payment->hash, (size_t)8, payment->hash, sizeof(payment->hash),
             (int64_t)payment->output, chain_text((enum chain)payment->to.chain));
    enum cs_err err;
    *known = writer_find(store, find, &err);
    if (*known) {
        sqlite3_reset(find);
    }
    return err;
}

static enum cs_err insert_payment(struct store *store, const struct payment_work *work, int64_t address,
                                  int64_t *num)
{
    const struct payment *payment = &work->payment;
    uint8_t amount[16];
    amount_to_bytes(payment->amount, amount);
    sqlite3_stmt *insert = store->payment_sql[INSERT_PAYMENT];
    sql_bind(insert, "biitbbtoi", payment->hash, sizeof(payment->hash), (int64_t)payment->output, address,
             payment->asset[0] != '\0' ? payment->asset : NULL,
             payment->from.length > 0 ? payment->from.bytes : NULL, (size_t)payment->from.length, amount,
             sizeof(amount), payment_source_text(payment->source), payment->node_time_ms,
             store->batch.now_ms);
    enum cs_err err = writer_run(store, insert);
    if (err != CS_OK) {
        return err;
    }
    *num = sqlite3_last_insert_rowid(store->db);
    writer_note_payment(store, *num);
    if (work->proof_size > 0) {
        sqlite3_stmt *proof = store->payment_sql[INSERT_PROOF];
        sql_bind(proof, "ib", *num, work->proof, work->proof_size);
        err = writer_run(store, proof);
    }
    return err;
}

enum cs_err payment_deliver(struct store *store, struct payment_work *work, int64_t payment,
                            struct device *device, uint64_t config_version)
{
    uint64_t seq;
    writer_touch(store, device);
    enum cursor_post post = cursor_take_payment(&device->cursor, &seq);
    bool live = post == CURSOR_POST_LIVE;
    enum delivery_state state = live ? DELIVERY_SENT : DELIVERY_STORED;
    int64_t now_ms = store->batch.now_ms;
    sqlite3_stmt *insert = store->payment_sql[INSERT_DELIVERY];
    sql_bind(insert, "iiitiioo", device->num, (int64_t)seq, payment, delivery_state_text(state),
             (int64_t)live, now_ms, live ? now_ms : 0, (int64_t)config_version);
    enum cs_err err = writer_run(store, insert);
    if (err != CS_OK) {
        return err;
    }
    writer_note_delivery(store, device->num, seq, sqlite3_last_insert_rowid(store->db));
    if (post != CURSOR_POST_NOTHING) {
        payment_add_post(work, &(struct payment_post){device->session, post, seq, config_version, NULL, 0});
    }
    return CS_OK;
}

/*
 * It was there before the subscription: its send is in the baseline, or what received it is on the chain below. What was heard of between the
 * two is new, as it would have been had it not had to wait for its confirmation: a baseline that is taken late takes in everything.
 */
static bool is_older(struct store *store, const struct payment_work *work,
                     const struct subscriber *subscriber, enum cs_err *err)
{
    if (work->heard_at_ms >= subscriber->created_at_ms && work->heard_at_ms < subscriber->baseline_at_ms) {
        return false;
    }
    if (work->receive_height != 0 && work->receive_height <= subscriber->baseline_height) {
        return true;
    }
    if (!subscriber->baseline_hashes) {
        return false;
    }
    sqlite3_stmt *find = store->payment_sql[FIND_BASELINE];
    sql_bind(find, "ib", subscriber->subscription, work->payment.hash, sizeof(work->payment.hash));
    bool found = writer_find(store, find, err);
    if (found) {
        sqlite3_reset(find);
    }
    return found;
}

/* Of what was only found, nobody can say yet whether it is new to a subscriber without a baseline. */
static bool lacks_baseline(const struct address_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++) {
        if (entry->subscribers[i].baseline_at_ms == 0) {
            return true;
        }
    }
    return false;
}

/* Whether it is new to anybody who subscribes or listens. */
static bool is_news(struct store *store, const struct payment_work *work, const struct address_entry *entry,
                    enum cs_err *err)
{
    bool news = entry->listeners > 0;
    for (size_t i = 0; i < entry->count && *err == CS_OK && !news; i++) {
        news = !is_older(store, work, &entry->subscribers[i], err);
    }
    return news;
}

static enum cs_err deliver(struct store *store, struct payment_work *work, const struct address_entry *entry,
                           int64_t payment)
{
    enum cs_err err = CS_OK;
    for (size_t i = 0; i < entry->count && err == CS_OK; i++) {
        const struct subscriber *subscriber = &entry->subscribers[i];
        if (amount_compare(work->payment.amount, subscriber->minimum) < 0) {
            store->batch.below_minimum++;
        } else if (!is_older(store, work, subscriber, &err) && err == CS_OK) {
            struct device *device = subscriber->device;
            err = proof_holds(work, device)
                      ? proof_hold(store, work, payment, device)
                      : payment_deliver(store, work, payment, device, device->config_version);
        }
    }
    return err;
}

enum cs_err payment_store(struct store *store, struct payment_work *work)
{
    const struct payment *payment = &work->payment;
    /* The writer alone changes the directory, so it may look without the lock. */
    const struct address_entry *entry = directory_find_address(&store->directory, &payment->to);
    if (entry == NULL || (entry->count == 0 && entry->listeners == 0)) {
        work->outcome = STORE_PAYMENT_UNMATCHED;
        return CS_OK;
    }
    bool known;
    enum cs_err err = payment_is_known(store, payment, &known);
    if (err != CS_OK || known) {
        work->outcome = STORE_PAYMENT_DUPLICATE;
        return err;
    }
    if (work->found && lacks_baseline(entry)) {
        return CS_ECONFLICT;
    }
    if (!is_news(store, work, entry, &err)) {
        work->outcome = STORE_PAYMENT_OLD;
        return err;
    }
    work->outcome = STORE_PAYMENT_STORED;
    work->stored_at_ms = store->batch.now_ms;
    work->listened = entry->listeners > 0;
    int64_t num = 0;
    err = insert_payment(store, work, entry->num, &num);
    err = err != CS_OK ? err : unconfirmed_forget(store, payment);
    return err != CS_OK ? err : deliver(store, work, entry, num);
}

void payment_tell(struct store *store, const struct payment_work *work)
{
    struct store_delivery delivery = {
        .state = DELIVERY_SENT,
        .stored_at_ms = work->stored_at_ms,
        .proof = work->delivered_proof,
        .payment = work->payment,
        .committed_ns = store->batch.committed_ns,
    };
    bool held = false;
    for (size_t i = 0; i < work->post_count; i++) {
        const struct payment_post *post = &work->posts[i];
        if (post->held != NULL) {
            proof_note_held(store, post);
            held |= post->held_more > 0;
            continue;
        }
        delivery.seq = post->seq;
        delivery.config_version = post->config_version;
        if (post->kind == CURSOR_POST_LIVE) {
            store->events.live(store->events.context, &post->session, &delivery);
        } else {
            store->events.raised(store->events.context, &post->session, post->seq);
        }
    }
    if (held) {
        proof_tell_held(store);
    }
    if (work->outcome == STORE_PAYMENT_STORED && store->events.heard != NULL) {
        const struct store_heard heard = {
            .payment = &work->payment,
            .listened = work->listened,
            .proof = work->proof,
            .proof_size = work->proof_size,
            .notice = work->notice,
            .notice_size = work->notice_size,
        };
        store->events.heard(store->events.context, &heard);
    }
}

void payment_count(struct store *store, enum store_payment_outcome outcome)
{
    metrics_add(store->payments[outcome], 1);
}

static enum cs_err payment_apply(struct store *store, struct command *base)
{
    return payment_store(store, &((struct payment_command *)base)->work);
}

static void payment_committed(struct store *store, struct command *base)
{
    payment_tell(store, &((struct payment_command *)base)->work);
}

static void payment_finish(struct store *store, struct command *base)
{
    struct payment_command *command = (struct payment_command *)base;
    if (base->err == CS_OK) {
        payment_count(store, command->work.outcome);
    }
    command->done(command->context, base->err, command->work.outcome);
    payment_work_fini(&command->work);
    free(command);
}

static const struct command_kind PAYMENT_KIND = {"payment",         false,         false, payment_apply,
                                                 payment_committed, payment_finish};

enum cs_err payment_submit(struct store *store, struct command *command)
{
    bool refused = atomic_load_explicit(&store->disk_low, memory_order_relaxed) ||
                   atomic_load_explicit(&store->sound, memory_order_relaxed) == STORE_DAMAGED;
    command->submitted_ns = clock_monotonic_ns();
    enum cs_err err = refused ? CS_EFULL : writer_submit(store, command);
    if (err != CS_OK) {
        metrics_add(store->payment_refusals, 1);
        free(command);
    }
    return err;
}

static enum cs_err submit(struct store *store, const struct payment *payment, bool found,
                          uint64_t receive_height, const uint8_t *proof, size_t proof_size,
                          const char *notice, size_t notice_size, store_payment_done done, void *context)
{
    assert(proof_size <= STORE_PROOF_MAX);
    struct payment_command *command = cs_alloc(sizeof(*command) + proof_size + notice_size);
    struct payment_work *work = &command->work;
    command->command.kind = &PAYMENT_KIND;
    command->done = done;
    command->context = context;
    payment_work_init(work);
    work->payment = *payment;
    work->found = found;
    work->receive_height = receive_height;
    if (proof_size > 0) {
        work->proof = memcpy(command->bytes, proof, proof_size);
        work->proof_size = proof_size;
    }
    if (notice_size > 0) {
        work->notice = memcpy(command->bytes + proof_size, notice, notice_size);
        work->notice_size = notice_size;
    }
    return payment_submit(store, &command->command);
}

enum cs_err store_submit_payment(struct store *store, const struct payment *payment, const uint8_t *proof,
                                 size_t proof_size, const char *notice, size_t notice_size,
                                 store_payment_done done, void *context)
{
    return submit(store, payment, false, 0, proof, proof_size, notice, notice_size, done, context);
}

enum cs_err store_submit_received(struct store *store, const struct payment *payment, uint64_t receive_height,
                                  const uint8_t *proof, size_t proof_size, store_payment_done done,
                                  void *context)
{
    return submit(store, payment, false, receive_height, proof, proof_size, NULL, 0, done, context);
}

enum cs_err store_submit_found(struct store *store, const struct payment *payment, uint64_t receive_height,
                               const uint8_t *proof, size_t proof_size, store_payment_done done,
                               void *context)
{
    return submit(store, payment, true, receive_height, proof, proof_size, NULL, 0, done, context);
}

void store_read_payment(sqlite3_stmt *statement, int first, struct payment *payment)
{
    memset(payment, 0, sizeof(*payment));
    uint8_t amount[16] = {0};
    enum chain chain = CHAIN_NANO;
    (void)sql_copy_blob(statement, first, payment->hash, sizeof(payment->hash));
    payment->output = (uint32_t)sqlite3_column_int64(statement, first + 1);
    (void)chain_parse((const char *)sqlite3_column_text(statement, first + 2), &chain);
    payment->to.chain = (uint8_t)chain;
    const struct {
        int column;
        struct address *address;
    } parties[] = {{first + 3, &payment->to}, {first + 5, &payment->from}};
    for (size_t i = 0; i < 2; i++) {
        int size = sqlite3_column_bytes(statement, parties[i].column);
        if (size > 0 && size <= ADDRESS_BYTES_MAX) {
            parties[i].address->chain = (uint8_t)chain;
            parties[i].address->length = (uint8_t)size;
            memcpy(parties[i].address->bytes, sqlite3_column_blob(statement, parties[i].column),
                   (size_t)size);
        }
    }
    sql_copy_text(statement, first + 4, payment->asset, sizeof(payment->asset));
    (void)sql_copy_blob(statement, first + 6, amount, sizeof(amount));
    payment->amount = amount_from_bytes(amount);
    const char *source = (const char *)sqlite3_column_text(statement, first + 7);
    for (int i = SOURCE_CALLBACK; i <= SOURCE_BACKFILL; i++) {
        if (source != NULL && strcmp(source, payment_source_text((enum payment_source)i)) == 0) {
            payment->source = (enum payment_source)i;
        }
    }
    payment->node_time_ms = sqlite3_column_int64(statement, first + 8);
}
