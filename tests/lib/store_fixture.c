#include "lib/store_fixture.h"

#include <assert.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static struct posted *post(struct store_fixture *fixture, enum posted_kind kind,
                           const struct store_session *session, size_t count)
{
    struct posted *posted = cs_alloc(sizeof(*posted) + count * sizeof(struct store_delivery));
    posted->kind = kind;
    posted->count = count;
    if (session != NULL) {
        posted->session = *session;
        posted->handle = session->handle;
    }
    if (fixture->last != NULL) {
        fixture->last->next = posted;
    } else {
        fixture->first = posted;
    }
    fixture->last = posted;
    return posted;
}

static void take_proof(struct posted *posted, struct store_delivery *delivery)
{
    if (delivery->proof != NULL) {
        posted->proofs++;
        posted->proof = *delivery->proof;
        delivery->proof = NULL;
    }
}

static void on_live(void *fixture, const struct store_session *session, const struct store_delivery *delivery)
{
    struct posted *posted = post(fixture, POSTED_LIVE, session, 1);
    posted->deliveries[0] = *delivery;
    take_proof(posted, &posted->deliveries[0]);
}

static void on_raised(void *fixture, const struct store_session *session, uint64_t head)
{
    post(fixture, POSTED_RAISED, session, 0)->head = head;
}

static void on_ended(void *fixture, const struct store_session *session, const char *reason)
{
    snprintf(post(fixture, POSTED_ENDED, session, 0)->reason, STORE_REASON_SIZE, "%s", reason);
}

static void on_page(void *fixture, const struct store_session *session, uint64_t from, uint64_t to,
                    uint64_t head, const struct store_delivery *deliveries, size_t count)
{
    struct posted *posted = post(fixture, POSTED_PAGE, session, count);
    posted->from = from;
    posted->to = to;
    posted->head = head;
    if (count > 0) {
        memcpy(posted->deliveries, deliveries, count * sizeof(*deliveries));
        for (size_t i = 0; i < count; i++) {
            if (i < sizeof(posted->deliveries_had_config)) {
                posted->deliveries_had_config[i] = deliveries[i].config != NULL;
            }
            posted->deliveries[i].config = NULL;
            take_proof(posted, &posted->deliveries[i]);
        }
    }
}

static void on_config(void *fixture, const struct store_session *session, uint64_t version, const char *body)
{
    struct posted *posted = post(fixture, POSTED_CONFIG, session, 0);
    posted->head = version;
    posted->config = cs_strdup(body);
}

static void on_heard(void *context, const struct store_heard *heard)
{
    struct store_fixture *fixture = context;
    fixture->told.count++;
    fixture->told.payment = *heard->payment;
    fixture->told.proof_size = heard->proof_size;
    if (heard->proof != NULL) {
        memcpy(fixture->told.proof, heard->proof, heard->proof_size);
    }
    if (!heard->listened) {
        return;
    }
    struct posted *posted = post(fixture, POSTED_HEARD, NULL, 1);
    posted->deliveries[0].payment = *heard->payment;
    posted->config = cs_alloc(heard->notice_size + 1);
    if (heard->notice != NULL) {
        memcpy(posted->config, heard->notice, heard->notice_size);
    }
    posted->to = heard->notice_size;
}

static void on_begun(void *fixture, uint64_t handle, enum cs_err err, const struct store_begun *begun)
{
    struct posted *posted = post(fixture, POSTED_BEGUN, err == CS_OK ? &begun->session : NULL, 0);
    posted->err = err;
    posted->handle = handle;
    if (err == CS_OK) {
        posted->begun = *begun;
        posted->begun.config = NULL;
        posted->config = begun->config != NULL ? cs_strdup(begun->config) : NULL;
    }
}

static void on_held(void *context)
{
    (void)context; /* the watcher's, of whom there is none */
}

static void on_noted(void *fixture, uint64_t handle, enum cs_err err, uint64_t seq)
{
    struct posted *posted = post(fixture, POSTED_NOTED, NULL, 0);
    posted->handle = handle;
    posted->err = err;
    posted->from = seq;
}

void store_fixture_reopen(struct store_fixture *fixture, uint32_t batch_most, uint32_t window,
                          uint32_t page_size)
{
    const struct store_events events = {fixture,   on_live,  on_raised, on_ended, on_page,
                                        on_config, on_heard, NULL,      NULL,     on_held};
    fixture->metrics = metrics_open();
    const struct store_options options = {
        .dir = fixture->dir,
        .inbox_capacity = 4096,
        .batch_most = batch_most,
        .window = window,
        .page_size = page_size,
        .readers = 1,
        .subscriptions_most = 3,
        .unconfirmed_most = 100,
        .can_prove = true,
        .wal_most_bytes = 1 << 20,
        .synchronous = "OFF", /* what a power cut does is another test's matter */
        .metrics = fixture->metrics,
    };
    char error[STORE_ERROR_SIZE];
    if (store_open(&options, &fixture->store, error) != CS_OK) {
        fprintf(stderr, "store_open: %s\n", error);
        abort();
    }
    store_start_by_hand(fixture->store, &events);
}

void store_fixture_open(struct store_fixture *fixture, uint32_t batch_most, uint32_t window,
                        uint32_t page_size)
{
    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/coinslot-test-XXXXXX");
    if (mkdtemp(fixture->dir) == NULL) {
        abort();
    }
    store_fixture_reopen(fixture, batch_most, window, page_size);
}

void store_fixture_drop(struct posted *posted)
{
    if (posted != NULL) {
        free(posted->config);
        free(posted);
    }
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void store_fixture_shut(struct store_fixture *fixture)
{
    if (fixture->store != NULL) {
        store_stop(fixture->store);
        store_close(fixture->store);
        metrics_close(fixture->metrics);
    }
    fixture->store = NULL;
    struct posted *posted;
    while ((posted = store_fixture_take(fixture)) != NULL) {
        store_fixture_drop(posted);
    }
}

void store_fixture_close(struct store_fixture *fixture)
{
    store_fixture_shut(fixture);
    nftw(fixture->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void store_fixture_settle(struct store_fixture *fixture)
{
    bool more = true;
    while (more) {
        more = store_step_writer(fixture->store);
        more = store_step_replayer(fixture->store) || more;
    }
}

struct posted *store_fixture_take(struct store_fixture *fixture)
{
    struct posted *posted = fixture->first;
    if (posted != NULL) {
        fixture->first = posted->next;
        fixture->last = fixture->first == NULL ? NULL : fixture->last;
    }
    return posted;
}

struct posted *store_fixture_next(struct store_fixture *fixture, enum posted_kind kind)
{
    struct posted *posted = store_fixture_take(fixture);
    while (posted != NULL && posted->kind == POSTED_CONFIG && kind != POSTED_CONFIG) {
        store_fixture_drop(posted); /* each change of a subscription makes one */
        posted = store_fixture_take(fixture);
    }
    if (posted == NULL || posted->kind != kind) {
        fprintf(stderr, "posted: %d, wanted: %d\n", posted == NULL ? -1 : (int)posted->kind, (int)kind);
        abort();
    }
    return posted;
}

struct store_session store_fixture_session(struct store_fixture *fixture, const char *device_id,
                                           uint64_t handle, uint64_t resume)
{
    enum cs_err err = store_fixture_begin(fixture, device_id, handle, resume);
    assert(err == CS_OK);
    store_fixture_settle(fixture);
    struct posted *posted = store_fixture_take(fixture);
    while (posted != NULL && posted->kind != POSTED_BEGUN) {
        store_fixture_drop(posted);
        posted = store_fixture_take(fixture);
    }
    assert(posted != NULL && posted->err == CS_OK);
    struct store_session session = posted->session;
    store_fixture_drop(posted);
    return session;
}

static sqlite3 *open_behind(const struct store_fixture *fixture)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/coinslot.db", fixture->dir);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        abort();
    }
    return db;
}

int64_t store_fixture_number(const struct store_fixture *fixture, const char *query)
{
    sqlite3 *db = open_behind(fixture);
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, query, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        fprintf(stderr, "%s: %s\n", query, sqlite3_errmsg(db));
        abort();
    }
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

void store_fixture_exec(const struct store_fixture *fixture, const char *sql)
{
    sqlite3 *db = open_behind(fixture);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
        abort();
    }
    sqlite3_close(db);
}

long long store_fixture_metric(const struct store_fixture *fixture, const char *name)
{
    char *text = metrics_print(fixture->metrics), line[160];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *found = strstr(text, line);
    long long value = found != NULL ? atoll(found + strlen(line)) : -1;
    free(text);
    return value;
}

struct store_device store_fixture_add_device(struct store_fixture *fixture, struct address *address,
                                             const char *minimum, int64_t expire_after_ms)
{
    struct store_device device = {
        .name = "Meter", .auth = DEVICE_AUTH_TOKEN, .expire_after_ms = expire_after_ms};
    uint8_t credential[STORE_HASH_SIZE] = {1};
    enum cs_err err = store_create_device(fixture->store, &device, credential);
    assert(err == CS_OK);
    uint8_t key[32] = {0};
    memcpy(key, device.id, strlen(device.id));
    *address = address_from_nano_key(key);
    struct store_subscription subscription = {.address = *address};
    memcpy(subscription.device, device.id, sizeof(device.id));
    bool parsed = amount_parse_raw(minimum, &subscription.minimum);
    assert(parsed);
    err = store_create_subscription(fixture->store, &subscription);
    assert(err == CS_OK);
    return device;
}

struct payment store_fixture_payment(struct store_fixture *fixture, const struct address *to, uint64_t raw)
{
    struct payment payment = {.source = SOURCE_CALLBACK, .to = *to, .amount = {0, raw}};
    uint64_t number = ++fixture->payments_made;
    memcpy(payment.hash + 20, &number,
           sizeof(number)); /* alike in their first eight bytes: the whole hash has to decide */
    payment.from = *to;
    return payment;
}

static void on_submitted(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct submitted *submitted = context;
    submitted->called++;
    submitted->err = err;
    submitted->outcome = outcome;
}

void store_fixture_submit(struct store_fixture *fixture, const struct payment *payment,
                          struct submitted *submitted)
{
    memset(submitted, 0, sizeof(*submitted));
    enum cs_err err =
        store_submit_payment(fixture->store, payment, NULL, 0, NULL, 0, on_submitted, submitted);
    assert(err == CS_OK);
}

enum cs_err store_fixture_begin(struct store_fixture *fixture, const char *device_id, uint64_t handle,
                                uint64_t resume)
{
    struct store_device_key key;
    bool found = store_find_device(fixture->store, device_id, &key);
    assert(found);
    const struct store_hello hello = {
        .device = key.device, .handle = handle, .resume = resume, .other_epoch = fixture->other_epoch};
    return store_submit_session(fixture->store, &hello, on_begun, fixture);
}

enum cs_err store_fixture_report(struct store_fixture *fixture, const struct store_session *session,
                                 uint64_t seq, enum delivery_state state)
{
    struct store_outcome outcome = {.seq = seq, .state = state, .seconds = 600};
    if (state == DELIVERY_REFUSED) {
        snprintf(outcome.reason, sizeof(outcome.reason), "too_late");
    }
    return store_submit_outcome(fixture->store, session, &outcome, on_noted, fixture);
}
