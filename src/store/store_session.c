/* Sessions of devices as the writer knows them: begin, page, ack, outcome, end; and what expires while there is none. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

/*
 * OR FAIL: or SQLite copies each page that a statement of several rows changes, to undo the statement alone. Here a row that breaks a
 * constraint ends the process, and a full disk the whole batch.
 */
enum {
    MARK_SENT,
    ACK_ROW,
    ACK_RANGE,
    READ_DELIVERY,
    SET_OUTCOME,
    EXPIRE,
    RENUMBER,
    RENUMBER_INDEX,
    INSERT_GAP,
    IN_GAP,
    SESSION_SQL_COUNT
};
static const char *const SESSION_SQL[] = {
    [MARK_SENT] =
        "UPDATE OR FAIL delivery INDEXED BY delivery_due SET state = 'sent', sent_at = coalesce(sent_at, "
        "?), attempts = attempts + 1 "
        "WHERE device = ? AND seq BETWEEN ? AND ? AND acked_at IS NULL AND state <> 'expired'",
    [ACK_ROW] = "UPDATE delivery SET state = 'acked', acked_at = ? "
                "WHERE num = ? AND device = ? AND seq = ? AND state = 'sent'",
    [ACK_RANGE] = "UPDATE OR FAIL delivery INDEXED BY delivery_due SET state = 'acked', acked_at = ? "
                  "WHERE device = ? AND seq BETWEEN ? AND ? AND acked_at IS NULL AND state = 'sent'",
    [READ_DELIVERY] = "SELECT state FROM delivery WHERE num = ? AND device = ? AND seq = ?",
    [SET_OUTCOME] = "UPDATE delivery SET state = ?, acked_at = coalesce(acked_at, ?), final_at = ?, seconds "
                    "= ?, reason = ? "
                    "WHERE num = ?",
    [EXPIRE] =
        "UPDATE delivery INDEXED BY delivery_due SET state = 'expired', final_at = ?, reason = 'expired' "
        "WHERE device = ? AND seq > ? AND acked_at IS NULL AND state = 'stored' AND stored_at <= ?",
    [RENUMBER] = "UPDATE delivery INDEXED BY delivery_due SET seq = seq + ? "
                 "WHERE device = ? AND seq > ? AND acked_at IS NULL",
    [RENUMBER_INDEX] = "UPDATE delivery_by_device SET seq = seq + ? WHERE device = ? AND seq > ?",
    [INSERT_GAP] = "INSERT INTO seq_gap (device, first, last, created_at) VALUES (?, ?, ?, ?)",
    [IN_GAP] = "SELECT 1 FROM seq_gap WHERE device = ? AND ? BETWEEN first AND last",
};

#define FAR_AWAY ((int64_t)1 << 60) /* above every seq */

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

/* One row after the other as long as memory knows where they are: a statement that finds them by delivery_due, which they leave by it, costs as much as two more rows. */
void session_mark_acked(struct store *store, const struct device *device, uint64_t from, uint64_t to)
{
    sqlite3_stmt *row = store->session_sql[ACK_ROW], *range = store->session_sql[ACK_RANGE];
    int64_t num;
    for (; from <= to && (num = writer_recent_delivery(store, device->num, from)) != 0; from++) {
        sql_bind(row, "iiii", store->batch.now_ms, num, device->num, (int64_t)from);
        if (writer_run(store, row) != CS_OK) {
            return;
        }
        if (sqlite3_changes(store->db) == 0) {
            break; /* memory is stale, or the row had its outcome in this batch */
        }
        store->batch.acks++;
    }
    if (from <= to) {
        sql_bind(range, "iiii", store->batch.now_ms, device->num, (int64_t)from, (int64_t)to);
        if (writer_run(store, range) == CS_OK) {
            store->batch.acks += (uint64_t)sqlite3_changes(store->db);
        }
    }
}

/* Moves acked up to `seq`. The rows follow at the end of the batch, with the cursor: once, however many acks it has. */
static enum cs_err ack_up_to(struct store *store, struct device *device, uint64_t seq)
{
    writer_touch(store, device);
    return cursor_ack(&device->cursor, seq);
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
    struct store_hello hello;
    store_session_done done;
    void *context;
    struct store_session fenced; /* generation 0: there was none */
    struct store_begun begun;
    char *config;
};

/* A session was thrown out by another of the same device: once is a reconnect, four times a minute are two machines. */
static void note_fence(struct store *store, struct device *device)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t *oldest = &device->fenced_ns[device->fenced_next++ % FLAP_FENCES];
    bool flaps = *oldest != 0 && now_ns - *oldest < FLAP_WINDOW_NS;
    *oldest = now_ns;
    if (flaps) {
        metrics_add(store->flaps, 1);
        if (store->batch.now_ms - atomic_exchange(&device->flapped_at_ms, store->batch.now_ms) >
            FLAP_SHOWN_MS) {
            log_warn("device %s: duplicate_credential: its sessions throw each other out; two machines seem "
                     "to have its credential",
                     device->id);
        }
    }
}

/* Everything that was not acked is numbered anew, above what the device has persisted from another life of this store. */
static enum cs_err roll_back(struct store *store, struct device *device, struct begin_command *begin)
{
    uint64_t acked = device->cursor.acked;
    uint64_t shift = cursor_roll_back(&device->cursor, begin->hello.resume);
    atomic_store(&device->rolled_back, true);
    metrics_add(store->rollbacks, 1);
    log_warn("device %s has persisted seq %llu, this store had acked %llu: the store was rolled back; "
             "deliveries are numbered anew",
             device->id, (unsigned long long)begin->hello.resume, (unsigned long long)acked);
    if (shift == 0) {
        return CS_OK;
    }
    begin->begun.gap_from = acked + 1;
    begin->begun.gap_to = acked + shift;
    /* Twice, far away and back, or a seq would meet one that has still to move. */
    const struct {
        int query;
        int64_t by, above;
    } moves[] = {
        {RENUMBER, FAR_AWAY, (int64_t)acked},
        {RENUMBER, (int64_t)shift - FAR_AWAY, FAR_AWAY},
        {RENUMBER_INDEX, FAR_AWAY, (int64_t)acked},
        {RENUMBER_INDEX, (int64_t)shift - FAR_AWAY, FAR_AWAY},
    };
    enum cs_err err = CS_OK;
    for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]) && err == CS_OK; i++) {
        sqlite3_stmt *renumber = store->session_sql[moves[i].query];
        sql_bind(renumber, "iii", moves[i].by, device->num, moves[i].above);
        err = writer_run(store, renumber);
    }
    sqlite3_stmt *gap = store->session_sql[INSERT_GAP];
    sql_bind(gap, "iiii", device->num, (int64_t)acked + 1, (int64_t)(acked + shift), store->batch.now_ms);
    return err != CS_OK ? err : writer_run(store, gap);
}

static enum cs_err begin_apply(struct store *store, struct command *base)
{
    struct begin_command *begin = (struct begin_command *)base;
    struct directory *directory = &store->directory;
    const struct store_hello *hello = &begin->hello;
    if ((size_t)hello->device >= directory->device_slots || directory->devices[hello->device] == NULL ||
        directory->devices[hello->device]->state != DEVICE_ACTIVE) {
        return CS_EDENIED;
    }
    struct device *device = directory->devices[hello->device];
    writer_touch(store, device);
    if (device->cursor.generation != 0) {
        begin->fenced = device->session;
    }
    enum cs_err err = CS_OK;
    if (hello->other_epoch || hello->resume > device->cursor.sent) {
        err = roll_back(store, device, begin);
    } else if (hello->resume > device->cursor.acked) {
        err = ack_up_to(store, device, hello->resume);
    }
    if (err != CS_OK) {
        return err;
    }
    err = cursor_begin_session(&device->cursor, ++store->generation, device->cursor.acked,
                               store->options.window);
    assert(err == CS_OK);
    device->session = (struct store_session){device->num, store->generation, hello->handle};
    begin->config = config_read(store, device);
    begin->begun.session = device->session;
    begin->begun.acked = device->cursor.acked;
    begin->begun.head = device->cursor.head;
    begin->begun.window = device->cursor.window;
    begin->begun.config_version = device->config_version;
    begin->begun.config = begin->config;
    return CS_OK;
}

static void begin_committed(struct store *store, struct command *base)
{
    const struct begin_command *begin = (const struct begin_command *)base;
    struct device *device = store->directory.devices[begin->hello.device];
    if (begin->fenced.generation != 0) {
        note_fence(store, device);
        store->events.ended(store->events.context, &begin->fenced, "fenced");
    }
}

static void begin_finish(struct store *store, struct command *base)
{
    struct begin_command *begin = (struct begin_command *)base;
    (void)store;
    begin->done(begin->context, begin->hello.handle, base->err, &begin->begun);
    free(begin->config);
    free(begin);
}

static const struct command_kind BEGIN_KIND = {"session",   false,           false,
                                               begin_apply, begin_committed, begin_finish};

enum cs_err store_submit_session(struct store *store, const struct store_hello *hello,
                                 store_session_done done, void *context)
{
    struct begin_command *begin = cs_alloc(sizeof(*begin));
    begin->command.kind = &BEGIN_KIND;
    begin->hello = *hello;
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

static const struct command_kind END_KIND = {"session_end", false, false, end_apply, NULL, end_finish};
static const struct command_kind ACK_KIND = {"ack", false, true, ack_apply, NULL, free_command};

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
    uint64_t from;
    uint32_t most;
    bool live;
    struct replay_request asked;
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
    uint64_t to;
    cursor_mark_page(&device->cursor, page->from, page->most, &mark_from, &to);
    page->asked = (struct replay_request){.session = page->session,
                                          .from = page->from,
                                          .to = to,
                                          .head = device->cursor.head,
                                          .config_version = device->config_version,
                                          .proof = proof_is_wanted(device)};
    if (mark_from > to) {
        return CS_OK;
    }
    sqlite3_stmt *mark = store->session_sql[MARK_SENT];
    sql_bind(mark, "iiii", store->batch.now_ms, device->num, (int64_t)mark_from, (int64_t)to);
    return writer_run(store, mark);
}

static void page_finish(struct store *store, struct command *base)
{
    const struct page_command *page = (const struct page_command *)base;
    if (base->err != CS_OK) {
        /* Nothing was marked: an empty answer, and the session asks again after a while. */
        replay_ask(store, &(struct replay_request){
                              .session = page->session, .from = page->from, .to = page->from - 1});
    } else if (page->live) {
        metrics_add(store->pages, 1);
        replay_ask(store, &page->asked);
    }
    free(base);
}

static const struct command_kind PAGE_KIND = {"page", false, false, page_apply, NULL, page_finish};

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

/*
 * A device that knew more than a restored store still repeats the outcomes of seqs that were lost with it. There is nothing to note them
 * on: its payments come again under other seqs. But they are noted, or it would repeat them for ever. CS_ENOTFOUND: no such seq.
 */
static enum cs_err find_in_gap(struct store *store, int64_t device, uint64_t seq)
{
    sqlite3_stmt *find = store->session_sql[IN_GAP];
    enum cs_err err;
    sql_bind(find, "ii", device, (int64_t)seq);
    if (!writer_find(store, find, &err)) {
        return err != CS_OK ? err : CS_ENOTFOUND;
    }
    sqlite3_reset(find);
    return CS_OK;
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
    if (err == CS_ENOTFOUND) {
        return find_in_gap(store, device->num, outcome->seq);
    }
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
    store->batch.acks += state == DELIVERY_SENT;
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

static const struct command_kind OUTCOME_KIND = {"outcome", false, true, outcome_apply, NULL, outcome_finish};

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
