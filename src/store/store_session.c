/* Sessions of devices as the writer knows them: begin, page, ack, outcome, end; and what expires while there is none. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

/* delivery_due's condition has to stand in a query as it stands in the index, or the index is not used. */
#define DUE "state IN ('stored', 'sent', 'expired')"

enum { MARK_SENT, MARK_ACKED, READ_DELIVERY, SET_OUTCOME, EXPIRE, SESSION_SQL_COUNT };
static const char *const SESSION_SQL[] = {
    [MARK_SENT] = "UPDATE delivery INDEXED BY delivery_due SET state = 'sent', sent_at = coalesce(sent_at, "
                  "?), attempts = attempts + 1 "
                  "WHERE device = ? AND seq BETWEEN ? AND ? AND " DUE " AND state IN ('stored', 'sent')",
    [MARK_ACKED] = "UPDATE delivery INDEXED BY delivery_due SET state = 'acked', acked_at = ? "
                   "WHERE device = ? AND seq BETWEEN ? AND ? AND " DUE " AND state = 'sent'",
    [READ_DELIVERY] = "SELECT state FROM delivery WHERE num = ? AND device = ? AND seq = ?",
    [SET_OUTCOME] = "UPDATE delivery SET state = ?, acked_at = coalesce(acked_at, ?), final_at = ?, seconds "
                    "= ?, reason = ? "
                    "WHERE num = ?",
    [EXPIRE] =
        "UPDATE delivery INDEXED BY delivery_due SET state = 'expired', final_at = ?, reason = 'expired' "
        "WHERE device = ? AND seq > ? AND " DUE " AND state = 'stored' AND stored_at <= ?",
};

void session_sql_open(struct store *store)
{
    store->session_sql = sql_prepare(store->db, SESSION_SQL, SESSION_SQL_COUNT);
}

void session_sql_close(struct store *store)
{
    sql_finalize(store->session_sql, SESSION_SQL_COUNT);
}

/* The device of a session that is still its live one; NULL when it was fenced, or has ended. */
static struct device *live_device(struct store *store, const struct store_session *session)
{
    struct directory *directory = &store->directory;
    assert(session->device > 0 && (size_t)session->device < directory->device_slots);
    struct device *device = directory->devices[session->device];
    return cursor_is_live(&device->cursor, session->generation) ? device : NULL;
}

/* Moves acked up to `seq`, in memory and in the rows. */
static enum cs_err ack_up_to(struct store *store, struct device *device, uint64_t seq)
{
    uint64_t before = device->cursor.acked;
    bool moved;
    writer_touch(store, device);
    enum cs_err err = cursor_ack(&device->cursor, seq, &moved);
    if (err != CS_OK || !moved) {
        return err;
    }
    sqlite3_stmt *mark = store->session_sql[MARK_ACKED];
    sql_bind(mark, "iiii", store->batch.now_ms, device->num, (int64_t)before + 1, (int64_t)seq);
    err = writer_run(store, mark);
    store->batch.acks += err == CS_OK ? (uint64_t)sqlite3_changes(store->db) : 0;
    return err;
}

static void free_command(struct store *store, struct command *command)
{
    (void)store;
    free(command);
}

/* Submits, and frees the command when it did not go in. */
static enum cs_err submit(struct store *store, struct command *command)
{
    enum cs_err err = writer_submit(store, command);
    if (err != CS_OK) {
        free(command);
    }
    return err;
}

/* ---- begin ----------------------------------------------------------------------------------------------------- */

struct begin_command {
    struct command command; /* first */
    int64_t device;
    uint64_t handle, resume;
    store_session_done done;
    void *context;
    struct store_session fenced; /* generation 0: there was none */
    struct store_begun begun;
};

static enum cs_err begin_apply(struct store *store, struct command *base)
{
    struct begin_command *begin = (struct begin_command *)base;
    struct directory *directory = &store->directory;
    if ((size_t)begin->device >= directory->device_slots || directory->devices[begin->device] == NULL ||
        directory->devices[begin->device]->state != DEVICE_ACTIVE) {
        return CS_EDENIED;
    }
    struct device *device = directory->devices[begin->device];
    if (begin->resume > device->cursor.sent) {
        return CS_ECONFLICT;
    }
    writer_touch(store, device);
    if (device->cursor.generation != 0) {
        begin->fenced = device->session;
    }
    enum cs_err err = CS_OK;
    if (begin->resume > device->cursor.acked) {
        err = ack_up_to(store, device, begin->resume);
        if (err != CS_OK) {
            return err;
        }
    }
    err = cursor_begin_session(&device->cursor, ++store->generation, begin->resume, store->options.window);
    assert(err == CS_OK);
    device->session = (struct store_session){device->num, store->generation, begin->handle};
    begin->begun = (struct store_begun){
        .session = device->session,
        .acked = device->cursor.acked,
        .head = device->cursor.head,
        .window = device->cursor.window,
    };
    return CS_OK;
}

static void begin_committed(struct store *store, struct command *base)
{
    const struct begin_command *begin = (const struct begin_command *)base;
    if (begin->fenced.generation != 0) {
        store->events.ended(store->events.context, &begin->fenced, "fenced");
    }
}

static void begin_finish(struct store *store, struct command *base)
{
    struct begin_command *begin = (struct begin_command *)base;
    (void)store;
    begin->done(begin->context, begin->handle, base->err, &begin->begun);
    free(begin);
}

static const struct command_kind BEGIN_KIND = {"session", false, begin_apply, begin_committed, begin_finish};

enum cs_err store_submit_session(struct store *store, int64_t device, uint64_t handle, uint64_t resume,
                                 store_session_done done, void *context)
{
    struct begin_command *begin = cs_alloc(sizeof(*begin));
    begin->command.kind = &BEGIN_KIND;
    begin->device = device;
    begin->handle = handle;
    begin->resume = resume;
    begin->done = done;
    begin->context = context;
    return submit(store, &begin->command);
}

/* ---- end, ack -------------------------------------------------------------------------------------------------- */

struct session_command {
    struct command command; /* first */
    struct store_session session;
    uint64_t seq;
};

static enum cs_err submit_session_command(struct store *store, const struct command_kind *kind,
                                          const struct store_session *session, uint64_t seq)
{
    struct session_command *command = cs_alloc(sizeof(*command));
    command->command.kind = kind;
    command->session = *session;
    command->seq = seq;
    return submit(store, &command->command);
}

static enum cs_err end_apply(struct store *store, struct command *base)
{
    struct device *device = live_device(store, &((struct session_command *)base)->session);
    if (device != NULL) {
        writer_touch(store, device);
        cursor_end_session(&device->cursor);
    }
    return CS_OK;
}

static void end_finish(struct store *store, struct command *base)
{
    /* The session is gone whether or not the batch found room: it must not come back with the cursor that a failed batch restores. */
    struct device *device = live_device(store, &((struct session_command *)base)->session);
    if (device != NULL) {
        cursor_end_session(&device->cursor);
        atomic_store_explicit(&device->connected, false, memory_order_relaxed);
    }
    free(base);
}

static enum cs_err ack_apply(struct store *store, struct command *base)
{
    const struct session_command *ack = (const struct session_command *)base;
    struct device *device = live_device(store, &ack->session);
    if (device == NULL) {
        return CS_OK;
    }
    /* The push loop has refused an ack above what it sent, so this one cannot be. */
    return ack_up_to(store, device, ack->seq);
}

static const struct command_kind END_KIND = {"session_end", false, end_apply, NULL, end_finish};
static const struct command_kind ACK_KIND = {"ack", false, ack_apply, NULL, free_command};

enum cs_err store_submit_session_end(struct store *store, const struct store_session *session)
{
    return submit_session_command(store, &END_KIND, session, 0);
}

enum cs_err store_submit_ack(struct store *store, const struct store_session *session, uint64_t seq)
{
    return submit_session_command(store, &ACK_KIND, session, seq);
}

/* ---- page ------------------------------------------------------------------------------------------------------ */

struct page_command {
    struct command command; /* first */
    struct store_session session;
    uint64_t from, to, head;
    uint32_t most;
    bool live;
};

static enum cs_err page_apply(struct store *store, struct command *base)
{
    struct page_command *page = (struct page_command *)base;
    struct device *device = live_device(store, &page->session);
    page->live = device != NULL;
    if (!page->live) {
        return CS_OK;
    }
    uint64_t mark_from;
    writer_touch(store, device);
    cursor_mark_page(&device->cursor, page->from, page->most, &mark_from, &page->to);
    page->head = device->cursor.head;
    if (mark_from > page->to) {
        return CS_OK;
    }
    sqlite3_stmt *mark = store->session_sql[MARK_SENT];
    sql_bind(mark, "iiii", store->batch.now_ms, device->num, (int64_t)mark_from, (int64_t)page->to);
    return writer_run(store, mark);
}

static void page_finish(struct store *store, struct command *base)
{
    const struct page_command *page = (const struct page_command *)base;
    if (base->err != CS_OK) {
        /* Nothing was marked: an empty answer, and the session asks again after a while. */
        replay_ask(store, &page->session, page->from, page->from - 1, 0);
    } else if (page->live) {
        metrics_add(store->pages, 1);
        replay_ask(store, &page->session, page->from, page->to, page->head);
    }
    free(base);
}

static const struct command_kind PAGE_KIND = {"page", false, page_apply, NULL, page_finish};

enum cs_err store_submit_page(struct store *store, const struct store_session *session, uint64_t from,
                              uint32_t most)
{
    struct page_command *page = cs_alloc(sizeof(*page));
    page->command.kind = &PAGE_KIND;
    page->session = *session;
    page->from = from;
    page->most = most;
    return submit(store, &page->command);
}

/* ---- outcome --------------------------------------------------------------------------------------------------- */

struct outcome_command {
    struct command command; /* first */
    struct store_session session;
    struct store_outcome outcome;
    store_outcome_done done;
    void *context;
    bool live;
};

/* CS_ENOTFOUND: the row `num` is not that delivery. */
static enum cs_err read_delivery(struct store *store, int64_t num, int64_t device, uint64_t seq,
                                 enum delivery_state *state)
{
    sqlite3_stmt *read = store->session_sql[READ_DELIVERY];
    enum cs_err err;
    sql_bind(read, "iii", num, device, (int64_t)seq);
    if (!writer_find(store, read, &err)) {
        return err != CS_OK ? err : CS_ENOTFOUND;
    }
    bool known = delivery_state_parse((const char *)sqlite3_column_text(read, 0), state);
    assert(known);
    sqlite3_reset(read);
    return CS_OK;
}

/* The row of a delivery and its state. */
static enum cs_err find_delivery(struct store *store, int64_t device, uint64_t seq, int64_t *num,
                                 enum delivery_state *state)
{
    *num = writer_recent_delivery(store, device, seq);
    enum cs_err err = *num == 0 ? CS_ENOTFOUND : read_delivery(store, *num, device, seq, state);
    if (err == CS_ENOTFOUND) {
        err = search_find_delivery(store, device, seq, num);
        err = err == CS_OK && *num == 0 ? CS_ENOTFOUND : err;
        err = err != CS_OK ? err : read_delivery(store, *num, device, seq, state);
    }
    return err;
}

static enum cs_err outcome_apply(struct store *store, struct command *base)
{
    struct outcome_command *command = (struct outcome_command *)base;
    const struct store_outcome *outcome = &command->outcome;
    struct device *device = live_device(store, &command->session);
    command->live = device != NULL;
    if (!command->live) {
        return CS_OK;
    }
    if (outcome->seq == 0 || outcome->seq > device->cursor.sent) {
        return CS_ENOTFOUND;
    }
    int64_t num;
    enum delivery_state state;
    enum cs_err err = find_delivery(store, device->num, outcome->seq, &num, &state);
    err = err != CS_OK ? err : ack_up_to(store, device, outcome->seq);
    if (err != CS_OK || state == outcome->state) {
        return err;
    }
    if (!delivery_move_allowed(state, outcome->state)) {
        log_warn("device %s reports %s for seq %llu, which is %s already: the first report stands",
                 device->id, delivery_state_text(outcome->state), (unsigned long long)outcome->seq,
                 delivery_state_text(state));
        store->batch.contradictions++;
        return CS_OK;
    }
    int64_t now_ms = store->batch.now_ms;
    bool actuated = outcome->state == DELIVERY_ACTUATED;
    sqlite3_stmt *set = store->session_sql[SET_OUTCOME];
    sql_bind(set, "tiiiti", delivery_state_text(outcome->state), now_ms, now_ms, (int64_t)outcome->seconds,
             actuated ? NULL : outcome->reason, num);
    if (!actuated) {
        sqlite3_bind_null(set, 4);
    }
    store->batch.outcomes++;
    return writer_run(store, set);
}

static void outcome_finish(struct store *store, struct command *base)
{
    struct outcome_command *command = (struct outcome_command *)base;
    (void)store;
    if (command->live || base->err != CS_OK) {
        command->done(command->context, command->session.handle, base->err, command->outcome.seq);
    }
    free(command);
}

static const struct command_kind OUTCOME_KIND = {"outcome", false, outcome_apply, NULL, outcome_finish};

enum cs_err store_submit_outcome(struct store *store, const struct store_session *session,
                                 const struct store_outcome *outcome, store_outcome_done done, void *context)
{
    assert(outcome->state == DELIVERY_ACTUATED || outcome->state == DELIVERY_REFUSED);
    struct outcome_command *command = cs_alloc(sizeof(*command));
    command->command.kind = &OUTCOME_KIND;
    command->session = *session;
    command->outcome = *outcome;
    command->done = done;
    command->context = context;
    return submit(store, &command->command);
}

/* ---- expiry ---------------------------------------------------------------------------------------------------- */

void session_expire(struct store *store)
{
    struct directory *directory = &store->directory;
    for (size_t i = 0; i < directory->device_slots; i++) {
        const struct device *device = directory->devices[i];
        if (device == NULL || device->expire_after_ms == 0 || device->cursor.generation != 0 ||
            device->cursor.sent == device->cursor.head) {
            continue;
        }
        sqlite3_stmt *expire = store->session_sql[EXPIRE];
        sql_bind(expire, "iiii", store->batch.now_ms, device->num, (int64_t)device->cursor.sent,
                 store->batch.now_ms - device->expire_after_ms);
        if (writer_run(store, expire) != CS_OK) {
            return;
        }
        store->batch.expired += (uint64_t)sqlite3_changes(store->db);
    }
}
