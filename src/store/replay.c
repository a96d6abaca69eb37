/* The replayer: reads pages of what a session has missed, over its own connection, after the writer has marked them as sent. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

#define REPLAY_WAIT_MS 1000

enum { READ_PAGE, REPLAY_SQL_COUNT };
static const char *const REPLAY_SQL[] = {
    [READ_PAGE] = "SELECT d.seq, d.state, d.reason, p.stored_at, coalesce(d.config_version, 0), "
                  "CASE WHEN d.config_version < ? THEN (SELECT f.body FROM device_config f "
                  "WHERE f.device = d.device AND f.version = d.config_version) END, "
                  "CASE WHEN ? THEN (SELECT b.block FROM payment_previous b WHERE b.payment = p.num) END, "
                  "CASE WHEN ? THEN (SELECT q.block FROM payment_proof q WHERE q.payment = p.num) "
                  "END, " PAYMENT_COLUMNS " FROM delivery d INDEXED BY delivery_due "
                  "JOIN payment p ON p.num = d.payment JOIN address a ON a.num = p.address "
                  "WHERE d.device = ? AND d.seq BETWEEN ? AND ? AND d.acked_at IS NULL "
                  "ORDER BY d.seq",
};

void replay_open(struct store *store)
{
    store->replay_inbox = inbox_open(SIZE_MAX); /* bounded by its users: one page a session at a time */
    store->replay_db = sql_open(store->path, SQL_READ_ONLY);
    if (store->replay_db == NULL) {
        log_die(LOG_MODULE, "cannot open %s a second time", store->path);
    }
    store->replay_sql = sql_prepare(store->replay_db, REPLAY_SQL, REPLAY_SQL_COUNT);
}

void replay_close(struct store *store)
{
    struct inbox_node *next;
    for (struct inbox_node *node = inbox_take(store->replay_inbox, SIZE_MAX, 0); node != NULL; node = next) {
        next = node->next;
        free(node);
    }
    inbox_close(store->replay_inbox);
    sql_finalize(store->replay_sql, REPLAY_SQL_COUNT);
    sqlite3_close(store->replay_db);
}

void replay_ask(struct store *store, const struct replay_request *asked)
{
    struct replay_request *request = cs_alloc(sizeof(*request));
    *request = *asked;
    if (inbox_push(store->replay_inbox, &request->node) != CS_OK) {
        free(request); /* shutting down: the session's next one reads it */
    }
}

/* Both blocks; owned. NULL: they are not there, or not wanted. */
static struct store_proof *read_proof(sqlite3_stmt *read)
{
    int previous_size = sqlite3_column_bytes(read, 6), block_size = sqlite3_column_bytes(read, 7);
    if (previous_size == 0 || previous_size > STORE_PROOF_MAX || block_size == 0 ||
        block_size > STORE_PROOF_MAX) {
        return NULL;
    }
    struct store_proof *proof = cs_alloc(sizeof(*proof));
    proof->previous_size = (size_t)previous_size;
    proof->block_size = (size_t)block_size;
    memcpy(proof->previous, sqlite3_column_blob(read, 6), proof->previous_size);
    memcpy(proof->block, sqlite3_column_blob(read, 7), proof->block_size);
    return proof;
}

static size_t read_page(struct store *store, const struct replay_request *request,
                        struct store_delivery *deliveries, size_t most)
{
    sqlite3_stmt *read = store->replay_sql[READ_PAGE];
    sql_bind(read, "iiiiii", (int64_t)request->config_version, (int64_t)request->proof,
             (int64_t)request->proof, request->session.device, (int64_t)request->from, (int64_t)request->to);
    size_t count = 0;
    enum cs_err err;
    while (sql_step(read, &err)) {
        assert(count < most);
        struct store_delivery *delivery = &deliveries[count++];
        delivery->seq = (uint64_t)sqlite3_column_int64(read, 0);
        bool known = delivery_state_parse((const char *)sqlite3_column_text(read, 1), &delivery->state);
        assert(known);
        sql_copy_text(read, 2, delivery->reason, sizeof(delivery->reason));
        delivery->stored_at_ms = sqlite3_column_int64(read, 3);
        delivery->config_version = (uint64_t)sqlite3_column_int64(read, 4);
        if (sqlite3_column_type(read, 5) == SQLITE_TEXT) {
            delivery->config = cs_strdup((const char *)sqlite3_column_text(read, 5));
        }
        delivery->proof = read_proof(read);
        store_read_payment(read, 8, &delivery->payment);
    }
    if (err != CS_OK) {
        log_die(LOG_MODULE, "cannot read %s: %s", store->path, sqlite3_errmsg(store->replay_db));
    }
    return count;
}

bool replay_step(struct store *store, int wait_ms)
{
    struct replay_request *request = (struct replay_request *)inbox_take(store->replay_inbox, 1, wait_ms);
    if (request == NULL) {
        return false;
    }
    size_t most = request->to >= request->from ? (size_t)(request->to - request->from + 1) : 0;
    struct store_delivery *deliveries = most > 0 ? cs_alloc(most * sizeof(*deliveries)) : NULL;
    size_t count = most > 0 ? read_page(store, request, deliveries, most) : 0;
    store->events.page(store->events.context, &request->session, request->from, request->to, request->head,
                       deliveries, count);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)deliveries[i].config); /* const for those who are told */
        free((void *)(uintptr_t)deliveries[i].proof);
    }
    free(deliveries);
    free(request);
    return true;
}

void *replay_main(void *context)
{
    struct store *store = context;
    while (atomic_load(&store->running)) {
        replay_step(store, REPLAY_WAIT_MS);
    }
    return NULL;
}
