/* Addresses, who subscribes to them, and who only listens: rare changes, each the last command of its batch. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/internal.h"

enum {
    INSERT_ADDRESS,
    FIND_ADDRESS,
    INSERT_SUBSCRIPTION,
    INSERT_SINCE,
    FIND_SUBSCRIPTION,
    REMOVE_SUBSCRIPTION,
    SUBSCRIPTION_SQL_COUNT
};
static const char *const SUBSCRIPTION_SQL[] = {
    [INSERT_ADDRESS] = "INSERT INTO address (chain, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING",
    [FIND_ADDRESS] = "SELECT num FROM address WHERE chain = ? AND bytes = ?",
    [INSERT_SUBSCRIPTION] =
        "INSERT INTO subscription (id, device, address, minimum, created_at) VALUES (?, ?, ?, ?, ?)",
    [INSERT_SINCE] = "INSERT INTO baseline (subscription, since, hashes) VALUES (?, ?, 0)",
    [FIND_SUBSCRIPTION] =
        "SELECT num, address FROM subscription WHERE id = ? AND device = ? AND removed_at IS NULL",
    [REMOVE_SUBSCRIPTION] = "UPDATE subscription SET removed_at = ? WHERE num = ?",
};

void subscription_sql_open(struct store *store)
{
    store->subscription_sql = sql_prepare(store->db, SUBSCRIPTION_SQL, SUBSCRIPTION_SQL_COUNT);
}

void subscription_sql_close(struct store *store)
{
    sql_finalize(store->subscription_sql, SUBSCRIPTION_SQL_COUNT);
}

bool store_knows_address(struct store *store, const struct address *address)
{
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct address_entry *entry = directory_find_address(&store->directory, address);
    bool known = entry != NULL && (entry->count > 0 || entry->listeners > 0);
    pthread_rwlock_unlock(&store->directory.lock);
    return known;
}

bool store_has_past(struct store *store, const struct address *address)
{
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct address_entry *entry = directory_find_address(&store->directory, address);
    bool past = false;
    for (size_t i = 0; entry != NULL && i < entry->count && !past; i++) {
        past = entry->subscribers[i].baseline_height > 0;
    }
    pthread_rwlock_unlock(&store->directory.lock);
    return past;
}

enum cs_err subscription_take_address(struct store *store, const struct address *address, int64_t *num)
{
    const char *chain = chain_text((enum chain)address->chain);
    sqlite3_stmt *insert = store->subscription_sql[INSERT_ADDRESS],
                 *find = store->subscription_sql[FIND_ADDRESS];
    sql_bind(insert, "tb", chain, address->bytes, (size_t)address->length);
    enum cs_err err = writer_run(store, insert);
    if (err != CS_OK) {
        return err;
    }
    sql_bind(find, "tb", chain, address->bytes, (size_t)address->length);
    if (!writer_find(store, find, &err)) {
        assert(err != CS_OK); /* it was just written */
        return err;
    }
    *num = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    return CS_OK;
}

enum cs_err subscription_insert(struct store *store, struct store_subscription *subscription, int64_t device,
                                int64_t *num, int64_t *address_num)
{
    uint8_t minimum[16];
    amount_to_bytes(subscription->minimum, minimum);
    subscription->created_at_ms = store->batch.now_ms;
    enum cs_err err = subscription_take_address(store, &subscription->address, address_num);
    if (err != CS_OK) {
        return err;
    }
    sqlite3_stmt *insert = store->subscription_sql[INSERT_SUBSCRIPTION];
    sql_bind(insert, "tiibi", subscription->id, device, *address_num, minimum, sizeof(minimum),
             subscription->created_at_ms);
    err = writer_run(store, insert);
    *num = sqlite3_last_insert_rowid(store->db);
    if (err == CS_OK && subscription->since_ms != 0) {
        sql_bind(store->subscription_sql[INSERT_SINCE], "ii", *num, subscription->since_ms);
        err = writer_run(store, store->subscription_sql[INSERT_SINCE]);
    }
    return err;
}

struct subscribe_command {
    struct waiting_command waiting; /* first */
    struct store_subscription *subscription;
    struct device *device;
    int64_t num, address_num;
    struct config_change change;
};

static bool is_subscribed(struct store *store, const struct device *device, const struct address *address)
{
    const struct address_entry *entry = directory_find_address(&store->directory, address);
    for (size_t i = 0; entry != NULL && i < entry->count; i++) {
        if (entry->subscribers[i].device == device) {
            return true;
        }
    }
    return false;
}

static enum cs_err subscribe_apply(struct store *store, struct command *base)
{
    struct subscribe_command *subscribe = (struct subscribe_command *)base;
    struct store_subscription *subscription = subscribe->subscription;
    struct device *device = directory_find_device(&store->directory, subscription->device);
    if (device == NULL) {
        return CS_ENOTFOUND;
    }
    if (device->state == DEVICE_RETIRED) {
        return CS_EDENIED;
    }
    if (is_subscribed(store, device, &subscription->address)) {
        return CS_ECONFLICT;
    }
    if (device->subscriptions >= store->options.subscriptions_most) {
        return CS_EINVAL;
    }
    subscribe->device = device;
    enum cs_err err =
        subscription_insert(store, subscription, device->num, &subscribe->num, &subscribe->address_num);
    return err != CS_OK ? err : config_write(store, device, NULL, &subscribe->change);
}

static void subscribe_committed(struct store *store, struct command *base)
{
    struct subscribe_command *subscribe = (struct subscribe_command *)base;
    struct subscriber subscriber = {.device = subscribe->device,
                                    .minimum = subscribe->subscription->minimum,
                                    .subscription = subscribe->num,
                                    .created_at_ms = subscribe->subscription->created_at_ms};
    directory_add_subscription(&store->directory, &subscribe->subscription->address, subscribe->address_num,
                               &subscriber);
    config_post(store, &subscribe->change);
}

static const struct command_kind SUBSCRIBE_KIND = {"subscribe",         true,       false, subscribe_apply,
                                                   subscribe_committed, writer_wake};

enum cs_err store_create_subscription(struct store *store, struct store_subscription *subscription)
{
    store_make_id("sub_", subscription->id);
    struct subscribe_command subscribe = {.waiting.command.kind = &SUBSCRIBE_KIND,
                                          .subscription = subscription};
    enum cs_err err = writer_submit_and_wait(store, &subscribe.waiting);
    free(subscribe.change.body);
    return err;
}

struct unsubscribe_command {
    struct waiting_command waiting; /* first */
    const char *device_id, *id;
    int64_t num, address_num;
    struct config_change change;
};

static enum cs_err unsubscribe_apply(struct store *store, struct command *base)
{
    struct unsubscribe_command *unsubscribe = (struct unsubscribe_command *)base;
    struct device *device = directory_find_device(&store->directory, unsubscribe->device_id);
    if (device == NULL) {
        return CS_ENOTFOUND;
    }
    sqlite3_stmt *find = store->subscription_sql[FIND_SUBSCRIPTION];
    enum cs_err err;
    sql_bind(find, "ti", unsubscribe->id, device->num);
    if (!writer_find(store, find, &err)) {
        return err != CS_OK ? err : CS_ENOTFOUND;
    }
    unsubscribe->num = sqlite3_column_int64(find, 0);
    unsubscribe->address_num = sqlite3_column_int64(find, 1);
    sqlite3_reset(find);
    sql_bind(store->subscription_sql[REMOVE_SUBSCRIPTION], "ii", store->batch.now_ms, unsubscribe->num);
    err = writer_run(store, store->subscription_sql[REMOVE_SUBSCRIPTION]);
    return err != CS_OK ? err : config_write(store, device, NULL, &unsubscribe->change);
}

static void unsubscribe_committed(struct store *store, struct command *base)
{
    struct unsubscribe_command *unsubscribe = (struct unsubscribe_command *)base;
    directory_remove_subscription(&store->directory, unsubscribe->address_num, unsubscribe->num);
    config_post(store, &unsubscribe->change);
}

static const struct command_kind UNSUBSCRIBE_KIND = {
    "unsubscribe", true, false, unsubscribe_apply, unsubscribe_committed, writer_wake};

enum cs_err store_remove_subscription(struct store *store, const char *device_id, const char *id)
{
    struct unsubscribe_command unsubscribe = {
        .waiting.command.kind = &UNSUBSCRIBE_KIND, .device_id = device_id, .id = id};
    enum cs_err err = writer_submit_and_wait(store, &unsubscribe.waiting);
    free(unsubscribe.change.body);
    return err;
}

/* ---- listening without being a device ------------------------------------------------------------------------------ */

struct listen_command {
    struct command command; /* first */
    struct address address;
    int64_t address_num;
    int change; /* 1 or -1 */
    uint64_t handle;
    store_listen_done done; /* NULL: nobody waits */
    void *context;
};

static enum cs_err listen_apply(struct store *store, struct command *base)
{
    struct listen_command *listen = (struct listen_command *)base;
    return listen->change > 0 ? subscription_take_address(store, &listen->address, &listen->address_num)
                              : CS_OK;
}

static void listen_finish(struct store *store, struct command *base)
{
    struct listen_command *listen = (struct listen_command *)base;
    /* Who stops listening does so even when the batch found no room. */
    if (base->err == CS_OK || listen->change < 0) {
        directory_listen(&store->directory, &listen->address, listen->address_num, listen->change);
    }
    if (listen->done != NULL) {
        listen->done(listen->context, listen->handle, base->err);
    }
    free(listen);
}

static const struct command_kind LISTEN_KIND = {"listen", true, false, listen_apply, NULL, listen_finish};

static enum cs_err submit_listen(struct store *store, const struct address *address, int change,
                                 uint64_t handle, store_listen_done done, void *context)
{
    struct listen_command *listen = cs_alloc(sizeof(*listen));
    listen->command.kind = &LISTEN_KIND;
    listen->address = *address;
    listen->change = change;
    listen->handle = handle;
    listen->done = done;
    listen->context = context;
    enum cs_err err = writer_submit(store, &listen->command);
    if (err != CS_OK) {
        free(listen);
    }
    return err;
}

enum cs_err store_submit_listen(struct store *store, const struct address *address, uint64_t handle,
                                store_listen_done done, void *context)
{
    return submit_listen(store, address, 1, handle, done, context);
}

enum cs_err store_submit_unlisten(struct store *store, const struct address *address)
{
    return submit_listen(store, address, -1, 0, NULL, NULL);
}
