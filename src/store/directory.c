#include <assert.h>
#include <search.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

/* Of a secret key: addresses are chosen by whoever connects. */
static uint64_t hash_of(const struct directory *directory, const void *key, size_t size)
{
    uint8_t bytes[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(bytes, key, size, directory->hash_key);
    memcpy(&hash, bytes, sizeof(hash));
    return hash;
}

static uint64_t hash_address(const struct directory *directory, const struct address *address)
{
    return hash_of(directory, address, sizeof(*address));
}

static uint64_t hash_id(const struct directory *directory, const char *id)
{
    return hash_of(directory, id, strlen(id));
}

static uint64_t hash_credential(const struct directory *directory, const uint8_t credential[STORE_HASH_SIZE])
{
    return hash_of(directory, credential, STORE_HASH_SIZE);
}

static bool has_id(const void *device, const void *id)
{
    return strcmp(((const struct device *)device)->id, id) == 0;
}

static bool has_credential(const void *device, const void *credential)
{
    return memcmp(((const struct device *)device)->credential, credential, STORE_HASH_SIZE) == 0;
}

static bool is_address(const void *entry, const void *address)
{
    return address_equal(&((const struct address_entry *)entry)->address, address);
}

static int compare_hash(const void *a, const void *b)
{
    return memcmp(a, b, STORE_HASH_SIZE);
}

void directory_init(struct directory *directory, const struct store_events *events)
{
    memset(directory, 0, sizeof(*directory));
    directory->events = events;
    crypto_shorthash_keygen(directory->hash_key);
    pthread_rwlock_init(&directory->lock, NULL);
}

void directory_fini(struct directory *directory)
{
    for (size_t i = 0; i < directory->device_slots; i++) {
        if (directory->devices[i] != NULL) {
            free(directory->devices[i]->places);
            free(directory->devices[i]);
        }
    }
    for (size_t i = 0; i < directory->address_slots; i++) {
        if (directory->addresses[i] != NULL) {
            free(directory->addresses[i]->subscribers);
            free(directory->addresses[i]);
        }
    }
    lookup_fini(&directory->device_by_id);
    lookup_fini(&directory->device_by_credential);
    lookup_fini(&directory->address_by_bytes);
    tdestroy(directory->token_by_hash, free);
    free(directory->devices);
    free(directory->addresses);
    pthread_rwlock_destroy(&directory->lock);
}

struct device *directory_find_device(const struct directory *directory, const char *id)
{
    return lookup_find(&directory->device_by_id, hash_id(directory, id), has_id, id);
}

struct device *directory_find_credential(const struct directory *directory,
                                         const uint8_t credential[STORE_HASH_SIZE])
{
    return lookup_find(&directory->device_by_credential, hash_credential(directory, credential),
                       has_credential, credential);
}

struct address_entry *directory_find_address(const struct directory *directory, const struct address *address)
{
    return lookup_find(&directory->address_by_bytes, hash_address(directory, address), is_address, address);
}

const struct api_token *directory_find_token(const struct directory *directory,
                                             const uint8_t hash[STORE_HASH_SIZE])
{
    void **node = tfind(hash, &directory->token_by_hash, compare_hash);
    return node != NULL ? *node : NULL;
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

void directory_take_device(struct directory *directory, struct device *device)
{
    size_t slot = (size_t)device->num;
    directory->devices = grow(directory->devices, &directory->device_slots, slot);
    directory->devices[slot] = device;
    lookup_add(&directory->device_by_id, hash_id(directory, device->id), device);
    /* Of several with one credential the first is found: one is enough to refuse another. */
    if (device->state != DEVICE_RETIRED && directory_find_credential(directory, device->credential) == NULL) {
        lookup_add(&directory->device_by_credential, hash_credential(directory, device->credential), device);
    }
    directory->expiring += device->expire_after_ms > 0;
}

void directory_add_device(struct directory *directory, struct device *device)
{
    pthread_rwlock_wrlock(&directory->lock);
    directory_take_device(directory, device);
    pthread_rwlock_unlock(&directory->lock);
}

struct address_entry *directory_take_address(struct directory *directory, const struct address *address,
                                             int64_t address_num)
{
    size_t slot = (size_t)address_num;
    directory->addresses = grow(directory->addresses, &directory->address_slots, slot);
    struct address_entry *entry = directory->addresses[slot];
    if (entry == NULL) {
        entry = cs_alloc(sizeof(*entry));
        entry->address = *address;
        entry->num = address_num;
        lookup_add(&directory->address_by_bytes, hash_address(directory, address), entry);
        directory->addresses[slot] = entry;
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
    struct address_entry *entry = directory_find_address(directory, address); /* who ends brings no number */
    entry = entry != NULL ? entry : directory_take_address(directory, address, address_num);
    assert(change > 0 || entry->listeners > 0);
    entry->listeners = change > 0 ? entry->listeners + 1 : entry->listeners - 1;
    bool turned = entry->count == 0 && entry->listeners == (change > 0 ? 1 : 0);
    pthread_rwlock_unlock(&directory->lock);
    if (turned) {
        tell(directory, entry, change > 0 ? STORE_WATCH_BEGUN : STORE_WATCH_ENDED);
    }
}

void directory_take_subscriber(struct address_entry *entry, const struct subscriber *subscriber)
{
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
}

void directory_add_subscription(struct directory *directory, const struct address *address,
                                int64_t address_num, const struct subscriber *subscriber)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct address_entry *entry = directory_take_address(directory, address, address_num);
    directory_take_subscriber(entry, subscriber);
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
        lookup_remove(&directory->device_by_credential, hash_credential(directory, device->credential),
                      device);
    }
    pthread_rwlock_unlock(&directory->lock);
    while (device->subscriptions > 0) {
        const struct address_entry *ended = remove_last(directory, device);
        if (ended != NULL) {
            tell(directory, ended, STORE_WATCH_ENDED);
        }
    }
}

void directory_take_token(struct directory *directory, const uint8_t hash[STORE_HASH_SIZE],
                          const struct store_api_token *token)
{
    struct api_token *entry = cs_alloc(sizeof(*entry));
    memcpy(entry->hash, hash, STORE_HASH_SIZE);
    entry->token = *token;
    void **node = tsearch(entry, &directory->token_by_hash, compare_hash);
    if (node == NULL) {
        log_die(LOG_MODULE, "out of memory in the directory; start again, nothing committed is lost");
    }
    assert(*node == entry);
}

void directory_add_token(struct directory *directory, const uint8_t hash[STORE_HASH_SIZE],
                         const struct store_api_token *token)
{
    pthread_rwlock_wrlock(&directory->lock);
    directory_take_token(directory, hash, token);
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
