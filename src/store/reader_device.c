/* Pages of devices; a device's subscriptions and config; API tokens. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/reader_internal.h"

#define DEVICE_COLUMNS                                                                                       \
    "num, id, name, auth, state, expire_after_ms, created_at, retired_at, head, sent, acked, "               \
    "(SELECT coalesce(max(version), 0) FROM device_config f WHERE f.device = num) FROM device JOIN "         \
    "device_cursor ON device = num "

enum { FIND_DEVICE, DEVICES, DEVICE, SUBSCRIPTIONS, CONFIG, TOKENS, READER_DEVICE_SQL_COUNT };
static const char *const READER_DEVICE_SQL[] = {
    [FIND_DEVICE] = "SELECT num FROM device WHERE id = ?",
    [DEVICES] =
        "SELECT " DEVICE_COLUMNS "WHERE num < ? AND (?2 IS NULL OR state = ?2) ORDER BY num DESC LIMIT ?",
    [DEVICE] = "SELECT " DEVICE_COLUMNS "WHERE id = ?",
    [SUBSCRIPTIONS] =
        "SELECT s.id, v.id, a.chain, a.bytes, s.minimum, s.created_at, coalesce(b.since, 0) FROM subscription s "
        "JOIN device v ON v.num = s.device JOIN address a ON a.num = s.address "
        "LEFT JOIN baseline b ON b.subscription = s.num WHERE s.device = ? AND s.removed_at IS NULL ORDER BY s.num",
    [CONFIG] = "SELECT version, body, created_at FROM device_config WHERE device = ? AND (?2 = 0 OR version "
               "= ?2) ORDER BY version DESC LIMIT 1",
    [TOKENS] = "SELECT id, name, role, created_at, revoked_at FROM api_token ORDER BY num",
};

void reader_device_sql_open(struct reader *reader)
{
    reader->device_sql = sql_prepare(reader->db, READER_DEVICE_SQL, READER_DEVICE_SQL_COUNT);
}

void reader_device_sql_close(struct reader *reader)
{
    sql_finalize(reader->device_sql, READER_DEVICE_SQL_COUNT);
}

enum cs_err reader_find_device(struct reader *reader, const char *id, int64_t *num)
{
    sqlite3_stmt *find = reader->device_sql[FIND_DEVICE];
    sql_bind(find, "t", id);
    enum cs_err err = reader_find_num(find, num);
    return err == CS_OK && *num == 0 ? CS_ENOTFOUND : err;
}

static void read_device(struct store *store, sqlite3_stmt *query, struct store_device *device)
{
    memset(device, 0, sizeof(*device));
    sql_copy_text(query, 1, device->id, sizeof(device->id));
    sql_copy_text(query, 2, device->name, sizeof(device->name));
    device->auth =
        strcmp((const char *)sqlite3_column_text(query, 3), "key") == 0 ? DEVICE_AUTH_KEY : DEVICE_AUTH_TOKEN;
    for (int i = DEVICE_ACTIVE; i <= DEVICE_RETIRED; i++) {
        if (strcmp((const char *)sqlite3_column_text(query, 4), device_state_text((enum device_state)i)) ==
            0) {
            device->state = (enum device_state)i;
        }
    }
    device->expire_after_ms = sqlite3_column_int64(query, 5);
    device->created_at_ms = sqlite3_column_int64(query, 6);
    device->retired_at_ms = sqlite3_column_int64(query, 7);
    device->head_seq = (uint64_t)sqlite3_column_int64(query, 8);
    device->sent_seq = (uint64_t)sqlite3_column_int64(query, 9);
    device->acked_seq = (uint64_t)sqlite3_column_int64(query, 10);
    device->config_version = (uint64_t)sqlite3_column_int64(query, 11);
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct device *live = directory_find_device(&store->directory, device->id);
    if (live != NULL) {
        device->connected = atomic_load_explicit(&live->connected, memory_order_relaxed);
        device->rolled_back = atomic_load_explicit(&live->rolled_back, memory_order_relaxed);
        int64_t flapped_at_ms = atomic_load_explicit(&live->flapped_at_ms, memory_order_relaxed);
        device->duplicate_credential = flapped_at_ms != 0 && clock_wall_ms() - flapped_at_ms < FLAP_SHOWN_MS;
        device->last_seen_ms = live->last_seen_ms;
        device->status = live->status;
    }
    pthread_rwlock_unlock(&store->directory.lock);
}

enum cs_err reader_page_devices(struct store *store, const struct reader_device_filter *filter,
                                struct store_device **rows, size_t *count, char next[READER_CURSOR_SIZE])
{
    assert(filter->limit >= 1 && filter->limit <= READER_PAGE_MOST);
    int64_t before, last = 0;
    next[0] = '\0';
    enum cs_err err = reader_read_cursor(filter->cursor, 'v', &before);
    if (err != CS_OK) {
        return err;
    }
    struct store_device *devices = cs_alloc((filter->limit + (size_t)1) * sizeof(*devices));
    size_t found = 0;
    struct reader *reader;
    err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->device_sql[DEVICES];
        sql_bind(query, "iti", before, filter->by_state ? device_state_text(filter->state) : NULL,
                 (int64_t)filter->limit + 1);
        while (sql_step(query, &err)) {
            last = found < filter->limit ? sqlite3_column_int64(query, 0) : last;
            read_device(store, query, &devices[found++]);
        }
    }
    reader_give_back(store, reader);
    if (err != CS_OK) {
        free(devices);
        return err;
    }
    if (found > filter->limit) {
        found = filter->limit;
        reader_write_cursor(next, 'v', last);
    }
    *rows = devices;
    *count = found;
    return CS_OK;
}

enum cs_err reader_device(struct store *store, const char *id, struct store_device *device)
{
    struct reader *reader;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->device_sql[DEVICE];
        sql_bind(query, "t", id);
        if (sql_step(query, &err)) {
            read_device(store, query, device);
            sqlite3_reset(query);
        } else {
            err = err != CS_OK ? err : CS_ENOTFOUND;
        }
    }
    reader_give_back(store, reader);
    return err;
}

static void read_subscription(sqlite3_stmt *query, struct store_subscription *subscription)
{
    memset(subscription, 0, sizeof(*subscription));
    sql_copy_text(query, 0, subscription->id, sizeof(subscription->id));
    sql_copy_text(query, 1, subscription->device, sizeof(subscription->device));
    enum chain chain = CHAIN_NANO;
    (void)chain_parse((const char *)sqlite3_column_text(query, 2), &chain);
    subscription->address.chain = (uint8_t)chain;
    int length = sqlite3_column_bytes(query, 3);
    if (length > 0 && length <= ADDRESS_BYTES_MAX) {
        subscription->address.length = (uint8_t)length;
        memcpy(subscription->address.bytes, sqlite3_column_blob(query, 3), (size_t)length);
    }
    uint8_t minimum[16] = {0};
    (void)sql_copy_blob(query, 4, minimum, sizeof(minimum));
    subscription->minimum = amount_from_bytes(minimum);
    subscription->created_at_ms = sqlite3_column_int64(query, 5);
    subscription->since_ms = sqlite3_column_int64(query, 6);
}

enum cs_err reader_subscriptions(struct store *store, const char *device_id, struct store_subscription **rows,
                                 size_t *count)
{
    struct store_subscription *found = NULL;
    size_t used = 0, capacity = 0;
    int64_t device = 0;
    struct reader *reader;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        err = reader_find_device(reader, device_id, &device);
    }
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->device_sql[SUBSCRIPTIONS];
        sql_bind(query, "i", device);
        while (sql_step(query, &err)) {
            if (used == capacity) {
                capacity = capacity * 2 + 8;
                found = cs_realloc(found, capacity * sizeof(*found));
            }
            read_subscription(query, &found[used++]);
        }
    }
    reader_give_back(store, reader);
    if (err != CS_OK) {
        free(found);
        return err;
    }
    *rows = found;
    *count = used;
    return CS_OK;
}

enum cs_err reader_api_tokens(struct store *store, struct store_api_token **rows, size_t *count)
{
    struct store_api_token *found = NULL;
    size_t used = 0, capacity = 0;
    struct reader *reader;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->device_sql[TOKENS];
        while (sql_step(query, &err)) {
            if (used == capacity) {
                capacity = capacity * 2 + 8;
                found = cs_realloc(found, capacity * sizeof(*found));
            }
            struct store_api_token *token = &found[used++];
            memset(token, 0, sizeof(*token));
            sql_copy_text(query, 0, token->id, sizeof(token->id));
            sql_copy_text(query, 1, token->name, sizeof(token->name));
            (void)store_role_parse((const char *)sqlite3_column_text(query, 2), &token->role);
            token->created_at_ms = sqlite3_column_int64(query, 3);
            token->revoked_at_ms = sqlite3_column_int64(query, 4);
        }
    }
    reader_give_back(store, reader);
    if (err != CS_OK) {
        free(found);
        return err;
    }
    *rows = found;
    *count = used;
    return CS_OK;
}

enum cs_err reader_config(struct store *store, const char *device_id, uint64_t version,
                          struct reader_config *config)
{
    int64_t device = 0;
    struct reader *reader;
    enum cs_err err = reader_take(store, &reader);
    if (err == CS_OK) {
        err = reader_find_device(reader, device_id, &device);
    }
    if (err == CS_OK) {
        sqlite3_stmt *query = reader->device_sql[CONFIG];
        sql_bind(query, "ii", device, (int64_t)version);
        if (sql_step(query, &err)) {
            config->version = (uint64_t)sqlite3_column_int64(query, 0);
            config->body = cs_strdup((const char *)sqlite3_column_text(query, 1));
            config->created_at_ms = sqlite3_column_int64(query, 2);
            sqlite3_reset(query);
        } else {
            err = err != CS_OK ? err : CS_ENOTFOUND;
        }
    }
    reader_give_back(store, reader);
    return err;
}
