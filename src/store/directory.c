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

void directory_init(struct directory *directory, const struct store_events *events)
{
    memset(directory, 0, sizeof(*directory));
    directory->events = events;
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

static void free_device(void *entry)
{
    free(((struct device *)entry)->places);
    free(entry);
}

void directory_fini(struct directory *directory)
{
    tdestroy(directory->device_by_credential, keep_entry);
    tdestroy(directory->device_by_id, free_device);
    tdestroy(directory->address_by_bytes, free_address);
    tdestroy(directory->token_by_hash, free);
    free(directory->devices);
    free(directory->addresses);
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

/* Room for a row's number in an array that is indexed by it. */
static void *grow(void *array, size_t *slots, size_t slot)
{
    if (slot >= *slots) {
        size_t more = (slot + 1) * 2;
        array = cs_realloc(array, more * sizeof(void *));
        memset((char *)array + *slots * sizeof(void *), 0, (more - *slots) * sizeof(void *));
        *slots = more;
    }
    return array;
}

static void add_device(struct directory *directory, struct device *device)
{
    size_t slot = (size_t)device->num;
    directory->devices = grow(directory->devices, &directory->device_slots, slot);
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
        directory->addresses = grow(directory->addresses, &directory->address_slots, (size_t)address_num);
        directory->addresses[address_num] = entry;
    }
    return entry;
}

static void tell(const struct directory *directory, const struct address_entry *entry, enum store_watch watch)
{
    if (directory->events->watched != NULL) {
        directory->events->watched(directory->events->watch_context, &entry->address, watch);
    }
}

void directory_listen(struct directory *directory, const struct address *address, int64_t address_num,
                      int change)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct address_entry *entry = take_entry(directory, address, address_num);
    assert(change > 0 || entry->listeners > 0);
    entry->listeners = change > 0 ? entry->listeners + 1 : entry->listeners - 1;
    bool turned = entry->count == 0 && entry->listeners == (change > 0 ? 1 : 0);
    pthread_rwlock_unlock(&directory->lock);
    if (turned) {
        tell(directory, entry, change > 0 ? STORE_WATCH_BEGUN : STORE_WATCH_ENDED);
    }
}

static struct address_entry *add_subscription(struct directory *directory, const struct address *address,
                                              int64_t address_num, const struct subscriber *subscriber)
{
    struct address_entry *entry = take_entry(directory, address, address_num);
    if (entry->count == entry->capacity) {
        entry->capacity = entry->capacity * 2 + 1;
        entry->subscribers = cs_realloc(entry->subscribers, entry->capacity * sizeof(struct subscriber));
    }
    entry->subscribers[entry->count++] = *subscriber;
    struct device *device = subscriber->device;
    if (device->subscriptions == device->place_slots) {
        device->place_slots = device->place_slots * 2 + 1;
        device->places = cs_realloc(device->places, device->place_slots * sizeof(struct address_entry *));
    }
    device->places[device->subscriptions++] = entry;
    return entry;
}

void directory_add_subscription(struct directory *directory, const struct address *address,
                                int64_t address_num, const struct subscriber *subscriber)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct address_entry *entry = add_subscription(directory, address, address_num, subscriber);
    atomic_store(&entry->complete_at_ms, 0); /* nothing is proven before the new baseline is taken */
    bool begun = entry->count == 1 && entry->listeners == 0;
    pthread_rwlock_unlock(&directory->lock);
    if (begun) {
        tell(directory, entry, STORE_WATCH_BEGUN);
    }
    tell(directory, entry, STORE_WATCH_SUBSCRIBED);
}

static void remove_place(struct device *device, const struct address_entry *entry)
{
    for (uint32_t i = 0; i < device->subscriptions; i++) {
        if (device->places[i] == entry) {
            device->places[i] = device->places[--device->subscriptions];
            return;
        }
    }
}

/* Under the write lock. True: nobody is left who subscribes or listens to it. */
static bool remove_subscriber(struct address_entry *entry, size_t at)
{
    remove_place(entry->subscribers[at].device, entry);
    memmove(entry->subscribers + at, entry->subscribers + at + 1,
            (entry->count - at - 1) * sizeof(struct subscriber));
    entry->count--;
    return entry->count == 0 && entry->listeners == 0;
}

void directory_remove_subscription(struct directory *directory, int64_t address_num, int64_t subscription)
{
    struct address_entry *entry = directory->addresses[address_num];
    bool ended = false;
    pthread_rwlock_wrlock(&directory->lock);
    for (size_t i = 0; i < entry->count; i++) {
        if (entry->subscribers[i].subscription == subscription) {
            ended = remove_subscriber(entry, i);
            break;
        }
    }
    pthread_rwlock_unlock(&directory->lock);
    if (ended) {
        tell(directory, entry, STORE_WATCH_ENDED);
    }
}

void directory_set_baseline(struct directory *directory, int64_t address_num, int64_t subscription,
                            uint64_t height, bool hashes, int64_t at_ms)
{
    struct address_entry *entry = directory->addresses[address_num];
    pthread_rwlock_wrlock(&directory->lock);
    for (size_t i = 0; i < entry->count; i++) {
        struct subscriber *subscriber = &entry->subscribers[i];
        if (subscriber->subscription == subscription) {
            subscriber->baseline_height = height;
            subscriber->baseline_hashes = hashes;
            subscriber->baseline_at_ms = at_ms;
        }
    }
    pthread_rwlock_unlock(&directory->lock);
}

void directory_set_device_state(struct directory *directory, struct device *device, enum device_state state)
{
    pthread_rwlock_wrlock(&directory->lock);
    device->state = state;
    pthread_rwlock_unlock(&directory->lock);
}

/* The last of a device's subscriptions ends. NULL: somebody else still wants its address. */
static struct address_entry *remove_last(struct directory *directory, struct device *device)
{
    struct address_entry *entry = device->places[device->subscriptions - 1];
    bool ended = false;
    pthread_rwlock_wrlock(&directory->lock);
    for (size_t i = 0; i < entry->count; i++) {
        if (entry->subscribers[i].device == device) {
            ended = remove_subscriber(entry, i);
            break;
        }
    }
    pthread_rwlock_unlock(&directory->lock);
    return ended ? entry : NULL;
}

void directory_retire_device(struct directory *directory, struct device *device)
{
    pthread_rwlock_wrlock(&directory->lock);
    device->state = DEVICE_RETIRED;
    if (directory_find_credential(directory, device->credential) == device) {
        tdelete(device, &directory->device_by_credential, compare_credential);
    }
    pthread_rwlock_unlock(&directory->lock);
    while (device->subscriptions > 0) {
        const struct address_entry *ended = remove_last(directory, device);
        if (ended != NULL) {
            tell(directory, ended, STORE_WATCH_ENDED);
        }
    }
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
        "SELECT s.num, s.device, s.minimum, a.num, a.chain, a.bytes, coalesce(b.height, 0), coalesce(b.hashes, 0), "
        "s.created_at, coalesce(b.taken_at, 0) "
        "FROM subscription s JOIN address a ON a.num = s.address LEFT JOIN baseline b ON b.subscription = s.num "
        "WHERE s.removed_at IS NULL ORDER BY s.num",
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
    struct subscriber subscriber = {.subscription = sqlite3_column_int64(row, 0),
                                    .baseline_height = (uint64_t)sqlite3_column_int64(row, 6),
                                    .baseline_hashes = sqlite3_column_int64(row, 7) > 0,
                                    .created_at_ms = sqlite3_column_int64(row, 8),
                                    .baseline_at_ms = sqlite3_column_int64(row, 9)};
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
    (void)add_subscription(directory, &address, sqlite3_column_int64(row, 3), &subscriber);
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
