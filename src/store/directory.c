#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

static int compare_id(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int compare_address(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct address));
}

static int compare_credential(const void *a, const void *b)
{
    return memcmp(((const struct device *)a)->credential, ((const struct device *)b)->credential,
                  STORE_HASH_SIZE);
}

static int compare_hash(const void *a, const void *b)
{
    return memcmp(a, b, STORE_HASH_SIZE);
}

/* The entry with that key, or NULL. Every entry begins with its key. */
static void *find(void *const *tree, const void *key, int (*compare)(const void *, const void *))
{
    void **node = tfind(key, tree, compare);
    return node != NULL ? *node : NULL;
}

static void insert(void **tree, void *entry, int (*compare)(const void *, const void *))
{
    void **node = tsearch(entry, tree, compare);
    if (node == NULL) {
        log_die(LOG_MODULE, "out of memory in the directory; start again, nothing committed is lost");
    }
    assert(*node == entry);
}

void directory_init(struct directory *directory)
{
    memset(directory, 0, sizeof(*directory));
    pthread_rwlock_init(&directory->lock, NULL);
}

static void keep_entry(void *entry)
{
    (void)entry; /* another tree owns it */
}

static void free_address(void *entry)
{
    free(((struct address_entry *)entry)->subscribers);
    free(entry);
}

void directory_fini(struct directory *directory)
{
    tdestroy(directory->device_by_credential, keep_entry);
    tdestroy(directory->device_by_id, free);
    tdestroy(directory->address_by_bytes, free_address);
    tdestroy(directory->token_by_hash, free);
    free(directory->devices);
    pthread_rwlock_destroy(&directory->lock);
}

struct device *directory_find_device(const struct directory *directory, const char *id)
{
    return find(&directory->device_by_id, id, compare_id);
}

struct device *directory_find_credential(const struct directory *directory,
                                         const uint8_t credential[STORE_HASH_SIZE])
{
    struct device wanted;
    memcpy(wanted.credential, credential, STORE_HASH_SIZE);
    return find(&directory->device_by_credential, &wanted, compare_credential);
}

struct address_entry *directory_find_address(const struct directory *directory, const struct address *address)
{
    return find(&directory->address_by_bytes, address, compare_address);
}

const struct api_token *directory_find_token(const struct directory *directory,
                                             const uint8_t hash[STORE_HASH_SIZE])
{
    return find(&directory->token_by_hash, hash, compare_hash);
}

static void add_device(struct directory *directory, struct device *device)
{
    size_t slot = (size_t)device->num;
    if (slot >= directory->device_slots) {
        size_t slots = (slot + 1) * 2;
        directory->devices = cs_realloc(directory->devices, slots * sizeof(struct device *));
        memset(directory->devices + directory->device_slots, 0,
               (slots - directory->device_slots) * sizeof(struct device *));
        directory->device_slots = slots;
    }
    directory->devices[slot] = device;
    insert(&directory->device_by_id, device, compare_id);
    /* Of several with one credential the first is found: one is enough to refuse another. */
    if (device->state != DEVICE_RETIRED &&
        tsearch(device, &directory->device_by_credential, compare_credential) == NULL) {
        log_die(LOG_MODULE, "out of memory in the directory; start again, nothing committed is lost");
    }
    directory->expiring += device->expire_after_ms > 0;
}

void directory_add_device(struct directory *directory, struct device *device)
{
    pthread_rwlock_wrlock(&directory->lock);
    add_device(directory, device);
    pthread_rwlock_unlock(&directory->lock);
}

static struct address_entry *take_entry(struct directory *directory, const struct address *address,
                                        int64_t address_num)
{
    struct address_entry *entry = directory_find_address(directory, address);
    if (entry == NULL) {
        entry = cs_alloc(sizeof(*entry));
        entry->address = *address;
        entry->num = address_num;
        insert(&directory->address_by_bytes, entry, compare_address);
    }
    return entry;
}

void directory_listen(struct directory *directory, const struct address *address, int64_t address_num,
                      int change)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct address_entry *entry = take_entry(directory, address, address_num);
    assert(change > 0 || entry->listeners > 0);
    entry->listeners = change > 0 ? entry->listeners + 1 : entry->listeners - 1;
    pthread_rwlock_unlock(&directory->lock);
}

static void add_subscription(struct directory *directory, const struct address *address, int64_t address_num,
                             const struct subscriber *subscriber)
{
    struct address_entry *entry = take_entry(directory, address, address_num);
    if (entry->count == entry->capacity) {
        entry->capacity = entry->capacity * 2 + 1;
        entry->subscribers = cs_realloc(entry->subscribers, entry->capacity * sizeof(struct subscriber));
    }
    entry->subscribers[entry->count++] = *subscriber;
    subscriber->device->subscriptions++;
}

void directory_add_subscription(struct directory *directory, const struct address *address,
                                int64_t address_num, const struct subscriber *subscriber)
{
    pthread_rwlock_wrlock(&directory->lock);
    add_subscription(directory, address, address_num, subscriber);
    pthread_rwlock_unlock(&directory->lock);
}

/* Which subscribers to drop: one subscription, or all of a device. */
struct removal {
    const struct device *device; /* or NULL */
    int64_t subscription;
};

static void remove_from(const void *node, VISIT visit, void *context)
{
    if (visit != preorder && visit != leaf) {
        return;
    }
    struct address_entry *entry = *(struct address_entry *const *)node;
    const struct removal *removal = context;
    size_t kept = 0;
    for (size_t i = 0; i < entry->count; i++) {
        struct subscriber *subscriber = &entry->subscribers[i];
        bool goes = removal->device != NULL ? subscriber->device == removal->device
                                            : subscriber->subscription == removal->subscription;
        if (goes) {
            subscriber->device->subscriptions--;
        } else {
            entry->subscribers[kept++] = *subscriber;
        }
    }
    entry->count = kept;
}

void directory_remove_subscription(struct directory *directory, int64_t subscription)
{
    struct removal removal = {.subscription = subscription};
    pthread_rwlock_wrlock(&directory->lock);
    twalk_r(directory->address_by_bytes, remove_from, &removal);
    pthread_rwlock_unlock(&directory->lock);
}

void directory_set_device_state(struct directory *directory, struct device *device, enum device_state state)
{
    pthread_rwlock_wrlock(&directory->lock);
    device->state = state;
    pthread_rwlock_unlock(&directory->lock);
}

void directory_retire_device(struct directory *directory, struct device *device)
{
    struct removal removal = {.device = device};
    pthread_rwlock_wrlock(&directory->lock);
    device->state = DEVICE_RETIRED;
    if (directory_find_credential(directory, device->credential) == device) {
        tdelete(device, &directory->device_by_credential, compare_credential);
    }
    twalk_r(directory->address_by_bytes, remove_from, &removal);
    pthread_rwlock_unlock(&directory->lock);
}

static void add_token(struct directory *directory, const uint8_t hash[STORE_HASH_SIZE],
                      const struct store_api_token *token)
{
    struct api_token *entry = cs_alloc(sizeof(*entry));
    memcpy(entry->hash, hash, STORE_HASH_SIZE);
    entry->token = *token;
    insert(&directory->token_by_hash, entry, compare_hash);
}

void directory_add_token(struct directory *directory, const uint8_t hash[STORE_HASH_SIZE],
                         const struct store_api_token *token)
{
    pthread_rwlock_wrlock(&directory->lock);
    add_token(directory, hash, token);
    pthread_rwlock_unlock(&directory->lock);
}

struct revocation {
    const char *id;
    int64_t revoked_at_ms;
};

static void revoke_one(const void *node, VISIT visit, void *context)
{
    struct api_token *entry = *(struct api_token *const *)node;
    const struct revocation *revocation = context;
    if ((visit == preorder || visit == leaf) && strcmp(entry->token.id, revocation->id) == 0) {
        entry->token.revoked_at_ms = revocation->revoked_at_ms;
    }
}

void directory_revoke_token(struct directory *directory, const char *id, int64_t revoked_at_ms)
{
    struct revocation revocation = {id, revoked_at_ms};
    pthread_rwlock_wrlock(&directory->lock);
    twalk_r(directory->token_by_hash, revoke_one, &revocation);
    pthread_rwlock_unlock(&directory->lock);
}

/* ---- loading --------------------------------------------------------------------------------------------------- */

enum { LOAD_DEVICES, LOAD_SUBSCRIPTIONS, LOAD_TOKENS, LOAD_COUNT };
static const char *const LOAD_SQL[] = {
    [LOAD_DEVICES] = "SELECT num, id, auth, credential, state, expire_after_ms, head, sent, acked, "
                     "(SELECT coalesce(max(version), 0) FROM device_config f WHERE f.device = num) FROM "
                     "device JOIN device_cursor ON device = num ORDER BY num",
    [LOAD_SUBSCRIPTIONS] =
        "SELECT s.num, s.device, s.minimum, a.num, a.chain, a.bytes "
        "FROM subscription s JOIN address a ON a.num = s.address WHERE s.removed_at IS NULL ORDER BY s.num",
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
    add_device(directory, device);
}

static enum cs_err load_subscription(struct directory *directory, sqlite3_stmt *row)
{
    struct subscriber subscriber = {.subscription = sqlite3_column_int64(row, 0)};
    size_t slot = (size_t)sqlite3_column_int64(row, 1);
    uint8_t minimum[16];
    struct address address = {0};
    enum chain chain;
    int length = sqlite3_column_bytes(row, 5);
    if (slot >= directory->device_slots || directory->devices[slot] == NULL ||
        !sql_copy_blob(row, 2, minimum, 16) ||
        !chain_parse((const char *)sqlite3_column_text(row, 4), &chain) || length <= 0 ||
        length > ADDRESS_BYTES_MAX) {
        return CS_EINVAL;
    }
    subscriber.device = directory->devices[slot];
    subscriber.minimum = amount_from_bytes(minimum);
    address.chain = (uint8_t)chain;
    address.length = (uint8_t)length;
    memcpy(address.bytes, sqlite3_column_blob(row, 5), (size_t)length);
    add_subscription(directory, &address, sqlite3_column_int64(row, 3), &subscriber);
    return CS_OK;
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
    add_token(directory, hash, &token);
    return CS_OK;
}

enum cs_err directory_load(struct directory *directory, sqlite3 *db)
{
    sqlite3_stmt **sql = sql_prepare(db, LOAD_SQL, LOAD_COUNT);
    enum cs_err err = CS_OK;
    while (sql_step(sql[LOAD_DEVICES], &err)) {
        load_device(directory, sql[LOAD_DEVICES]);
    }
    enum cs_err bad = CS_OK;
    while (err == CS_OK && bad == CS_OK && sql_step(sql[LOAD_SUBSCRIPTIONS], &err)) {
        bad = load_subscription(directory, sql[LOAD_SUBSCRIPTIONS]);
    }
    while (err == CS_OK && bad == CS_OK && sql_step(sql[LOAD_TOKENS], &err)) {
        bad = load_token(directory, sql[LOAD_TOKENS]);
    }
    sql_finalize(sql, LOAD_COUNT);
    return err != CS_OK ? err : bad;
}
