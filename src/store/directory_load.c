/* The directory as the file has it: each table is read once, in the order of its rows; there may be a million of them. */
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

enum {
    LOAD_DEVICES,
    LOAD_PROOFS,
    LOAD_HELD,
    LOAD_ADDRESSES,
    LOAD_SUBSCRIPTIONS,
    LOAD_BASELINES,
    LOAD_TOKENS,
    LOAD_COUNT
};
static const char *const LOAD_SQL[] = {
    [LOAD_DEVICES] = "SELECT num, id, auth, credential, state, expire_after_ms, head, sent, acked, "
                     "(SELECT coalesce(max(version), 0) FROM device_config f WHERE f.device = num) FROM "
                     "device JOIN device_cursor ON device = num ORDER BY num",
    [LOAD_PROOFS] = "SELECT device FROM device_proof",
    [LOAD_HELD] = "SELECT device, count(*) FROM delivery_held GROUP BY device",
    [LOAD_ADDRESSES] = "SELECT num, chain, bytes FROM address ORDER BY num",
    [LOAD_SUBSCRIPTIONS] = "SELECT num, device, address, minimum, created_at FROM subscription "
                           "WHERE removed_at IS NULL ORDER BY num",
    [LOAD_BASELINES] = "SELECT subscription, height, hashes, taken_at FROM baseline "
                       "WHERE taken_at IS NOT NULL ORDER BY subscription",
    [LOAD_TOKENS] = "SELECT hash, id, name, role, created_at, revoked_at FROM api_token",
};

static void load_device(struct directory *directory, sqlite3_stmt *row)
{
    struct device *device = cs_alloc(sizeof(*device));
    device->num = sqlite3_column_int64(row, 0);
    sql_copy_text(row, 1, device->id, sizeof(device->id));
    device->auth =
        strcmp((const char *)sqlite3_column_text(row, 2), "key") == 0 ? DEVICE_AUTH_KEY : DEVICE_AUTH_TOKEN;
    sql_copy_blob(row, 3, device->credential, sizeof(device->credential));
    const char *state = (const char *)sqlite3_column_text(row, 4);
    device->state = strcmp(state, "active") == 0     ? DEVICE_ACTIVE
                    : strcmp(state, "disabled") == 0 ? DEVICE_DISABLED
                                                     : DEVICE_RETIRED;
    device->expire_after_ms = sqlite3_column_int64(row, 5);
    device->cursor.head = (uint64_t)sqlite3_column_int64(row, 6);
    device->cursor.sent = (uint64_t)sqlite3_column_int64(row, 7);
    device->cursor.acked = (uint64_t)sqlite3_column_int64(row, 8);
    device->config_version = (uint64_t)sqlite3_column_int64(row, 9);
    directory_take_device(directory, device);
}

static enum cs_err load_address(struct directory *directory, sqlite3_stmt *row)
{
    struct address address = {0};
    enum chain chain;
    int length = sqlite3_column_bytes(row, 2);
    if (!chain_parse((const char *)sqlite3_column_text(row, 1), &chain) || length <= 0 ||
        length > ADDRESS_BYTES_MAX) {
        return CS_EINVAL;
    }
    address.chain = (uint8_t)chain;
    address.length = (uint8_t)length;
    memcpy(address.bytes, sqlite3_column_blob(row, 2), (size_t)length);
    (void)directory_take_address(directory, &address, sqlite3_column_int64(row, 0));
    return CS_OK;
}

/* The baselines come in the order of the subscriptions, though not for each: both are read side by side. */
struct baselines {
    sqlite3_stmt *row;
    bool there; /* `row` stands on one */
    enum cs_err err;
};

static void take_baseline(struct baselines *baselines, struct subscriber *subscriber)
{
    while (baselines->there && sqlite3_column_int64(baselines->row, 0) < subscriber->subscription) {
        baselines->there = sql_step(baselines->row, &baselines->err);
    }
    if (baselines->there && sqlite3_column_int64(baselines->row, 0) == subscriber->subscription) {
        subscriber->baseline_height = (uint64_t)sqlite3_column_int64(baselines->row, 1);
        subscriber->baseline_hashes = sqlite3_column_int64(baselines->row, 2) > 0;
        subscriber->baseline_at_ms = sqlite3_column_int64(baselines->row, 3);
    }
}

static enum cs_err load_subscription(struct directory *directory, sqlite3_stmt *row,
                                     struct baselines *baselines)
{
    struct subscriber subscriber = {.subscription = sqlite3_column_int64(row, 0),
                                    .created_at_ms = sqlite3_column_int64(row, 4)};
    size_t device = (size_t)sqlite3_column_int64(row, 1), address = (size_t)sqlite3_column_int64(row, 2);
    uint8_t minimum[16];
    if (device >= directory->device_slots || directory->devices[device] == NULL ||
        address >= directory->address_slots || directory->addresses[address] == NULL ||
        !sql_copy_blob(row, 3, minimum, sizeof(minimum))) {
        return CS_EINVAL;
    }
    subscriber.device = directory->devices[device];
    subscriber.minimum = amount_from_bytes(minimum);
    take_baseline(baselines, &subscriber);
    directory_take_subscriber(directory->addresses[address], &subscriber);
    return baselines->err;
}

static enum cs_err load_token(struct directory *directory, sqlite3_stmt *row)
{
    struct store_api_token token = {0};
    uint8_t hash[STORE_HASH_SIZE];
    if (!sql_copy_blob(row, 0, hash, sizeof(hash)) ||
        !store_role_parse((const char *)sqlite3_column_text(row, 3), &token.role)) {
        return CS_EINVAL;
    }
    sql_copy_text(row, 1, token.id, sizeof(token.id));
    sql_copy_text(row, 2, token.name, sizeof(token.name));
    token.created_at_ms = sqlite3_column_int64(row, 4);
    token.revoked_at_ms = sqlite3_column_int64(row, 5);
    directory_take_token(directory, hash, &token);
    return CS_OK;
}

static enum cs_err load_subscriptions(struct directory *directory, sqlite3_stmt **sql)
{
    struct baselines baselines = {.row = sql[LOAD_BASELINES]};
    baselines.there = sql_step(baselines.row, &baselines.err);
    enum cs_err err = baselines.err, bad = CS_OK;
    while (err == CS_OK && bad == CS_OK && sql_step(sql[LOAD_SUBSCRIPTIONS], &err)) {
        bad = load_subscription(directory, sql[LOAD_SUBSCRIPTIONS], &baselines);
    }
    return err != CS_OK ? err : bad;
}

static struct device *device_of(const struct directory *directory, int64_t num)
{
    return num > 0 && (size_t)num < directory->device_slots ? directory->devices[num] : NULL;
}

/* Who wants proofs, and how much waits for them. */
static enum cs_err load_proofs(struct directory *directory, sqlite3_stmt **sql)
{
    enum cs_err err, bad = CS_OK;
    while (sql_step(sql[LOAD_PROOFS], &err)) {
        struct device *device = device_of(directory, sqlite3_column_int64(sql[LOAD_PROOFS], 0));
        if (device != NULL) {
            atomic_store(&device->proof, true);
        }
        bad = device == NULL ? CS_EINVAL : bad;
    }
    while (err == CS_OK && sql_step(sql[LOAD_HELD], &err)) {
        struct device *device = device_of(directory, sqlite3_column_int64(sql[LOAD_HELD], 0));
        if (device != NULL) {
            atomic_store(&device->held, sqlite3_column_int64(sql[LOAD_HELD], 1));
        }
        bad = device == NULL ? CS_EINVAL : bad;
    }
    return err != CS_OK ? err : bad;
}

enum cs_err directory_load(struct directory *directory, sqlite3 *db)
{
    sqlite3_stmt **sql = sql_prepare(db, LOAD_SQL, LOAD_COUNT);
    enum cs_err err = CS_OK, bad = CS_OK;
    while (sql_step(sql[LOAD_DEVICES], &err)) {
        load_device(directory, sql[LOAD_DEVICES]);
    }
    err = err != CS_OK ? err : load_proofs(directory, sql);
    while (err == CS_OK && bad == CS_OK && sql_step(sql[LOAD_ADDRESSES], &err)) {
        bad = load_address(directory, sql[LOAD_ADDRESSES]);
    }
    err = err != CS_OK || bad != CS_OK ? err : load_subscriptions(directory, sql);
    while (err == CS_OK && bad == CS_OK && sql_step(sql[LOAD_TOKENS], &err)) {
        bad = load_token(directory, sql[LOAD_TOKENS]);
    }
    sql_finalize(sql, LOAD_COUNT);
    return err != CS_OK ? err : bad;
}
