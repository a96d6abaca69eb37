/* Devices: rare changes, each the last command of its batch, so that what follows sees them. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

enum {
    INSERT_DEVICE,
    INSERT_CURSOR,
    SET_STATE,
    RETIRE_DEVICE,
    END_SUBSCRIPTIONS,
    EXPIRE_STORED,
    DEVICE_SQL_COUNT
};
static const char *const DEVICE_SQL[] = {
    [INSERT_DEVICE] = "INSERT INTO device (id, name, auth, credential, state, expire_after_ms, created_at) "
                      "VALUES (?, ?, ?, ?, 'active', ?, ?)",
    [INSERT_CURSOR] = "INSERT INTO device_cursor (device, head, sent, acked) VALUES (?, 0, 0, 0)",
    [SET_STATE] = "UPDATE device SET state = ? WHERE num = ?",
    [RETIRE_DEVICE] = "UPDATE device SET state = 'retired', retired_at = ? WHERE num = ?",
    [END_SUBSCRIPTIONS] = "UPDATE subscription SET removed_at = ? WHERE device = ? AND removed_at IS NULL",
    [EXPIRE_STORED] =
        "UPDATE delivery INDEXED BY delivery_due SET state = 'expired', final_at = ?, reason = 'retired' "
        "WHERE device = ? AND acked_at IS NULL AND state = 'stored'",
};

void device_sql_open(struct store *store)
{
    store->device_sql = sql_prepare(store->db, DEVICE_SQL, DEVICE_SQL_COUNT);
}

void device_sql_close(struct store *store)
{
    sql_finalize(store->device_sql, DEVICE_SQL_COUNT);
}

const char *device_state_text(enum device_state state)
{
    switch (state) {
    case DEVICE_ACTIVE:
        return "active";
    case DEVICE_DISABLED:
        return "disabled";
    case DEVICE_RETIRED:
        return "retired";
    }
    return "?";
}

const char *device_auth_text(enum device_auth auth)
{
    switch (auth) {
    case DEVICE_AUTH_TOKEN:
        return "token";
    case DEVICE_AUTH_KEY:
        return "key";
    }
    return "?";
}

void store_make_id(const char *prefix, char id[STORE_ID_SIZE])
{
    static const char ALPHABET[] =
        "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 base32, lower case: 5 bits each */
    uint8_t random[16];
    size_t length = strlen(prefix);
    assert(length + sizeof(random) < STORE_ID_SIZE);
    randombytes_buf(random, sizeof(random));
    memcpy(id, prefix, length);
    for (size_t i = 0; i < sizeof(random); i++) {
        id[length + i] = ALPHABET[random[i] & 31];
    }
    id[length + sizeof(random)] = '\0';
}

/* How many bytes the UTF-8 character at `at` has (RFC 3629); 0 when it is none, or a control character. */
static size_t character_size(const unsigned char *at)
{
    if (*at < 0x80) {
        return *at >= 0x20 && *at != 0x7f ? 1 : 0;
    }
    size_t size = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (*at < 0xc2 || *at > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool too_long = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xf0 && at[1] < 0x90);
    bool surrogate = *at == 0xed && at[1] > 0x9f;
    bool beyond = *at == 0xf4 && at[1] > 0x8f;
    bool c1_control = *at == 0xc2 && at[1] < 0xa0;
    return too_long || surrogate || beyond || c1_control ? 0 : size;
}

bool store_name_valid(const char *name)
{
    size_t length = strnlen(name, STORE_NAME_SIZE);
    if (length == 0 || length == STORE_NAME_SIZE) {
        return false;
    }
    for (size_t at = 0; at < length;) {
        size_t size = character_size((const unsigned char *)name + at);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

bool store_find_device(struct store *store, const char *id, struct store_device_key *found)
{
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct device *device = directory_find_device(&store->directory, id);
    if (device != NULL) {
        *found =
            (struct store_device_key){.device = device->num, .state = device->state, .auth = device->auth};
        memcpy(found->credential, device->credential, sizeof(found->credential));
    }
    pthread_rwlock_unlock(&store->directory.lock);
    return device != NULL;
}

/* ---- create devices ------------------------------------------------------------------------------------------------ */

/* One device or many, each with its subscriptions, in one transaction. */
struct import_command {
    struct waiting_command waiting; /* first */
    struct store_import *imports;
    size_t count;
    struct import_made {
        struct device *device; /* NULL: it was refused */
        int64_t *subscriptions, *addresses;
        struct config_change change;
    } * made;
};

static enum cs_err judge_import(const struct store *store, const struct store_import *import)
{
    if (!store_name_valid(import->device.name) || import->device.expire_after_ms < 0) {
        return CS_EINVAL;
    }
    if (import->subscription_count > store->options.subscriptions_most) {
        return CS_EBUSY;
    }
    for (size_t i = 0; i < import->subscription_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (address_equal(&import->subscriptions[i].address, &import->subscriptions[j].address)) {
                return CS_ECONFLICT;
            }
        }
    }
    return CS_OK;
}

static enum cs_err insert_device(struct store *store, struct store_import *import, struct device *made)
{
    struct store_device *device = &import->device;
    device->created_at_ms = store->batch.now_ms;
    sqlite3_stmt *insert = store->device_sql[INSERT_DEVICE];
    sql_bind(insert, "tttboi", device->id, device->name, device_auth_text(device->auth), import->credential,
             (size_t)STORE_HASH_SIZE, device->expire_after_ms, device->created_at_ms);
    enum cs_err err = writer_run(store, insert);
    if (err != CS_OK) {
        return err;
    }
    made->num = sqlite3_last_insert_rowid(store->db);
    sql_bind(store->device_sql[INSERT_CURSOR], "i", made->num);
    return writer_run(store, store->device_sql[INSERT_CURSOR]);
}

static enum cs_err import_one(struct store *store, struct store_import *import, struct import_made *made)
{
    struct device *device = cs_alloc(sizeof(*device));
    memcpy(device->id, import->device.id, sizeof(device->id));
    device->state = DEVICE_ACTIVE;
    device->auth = import->device.auth;
    device->expire_after_ms = import->device.expire_after_ms;
    memcpy(device->credential, import->credential, sizeof(device->credential));
    made->device = device;
    size_t count = import->subscription_count;
    made->subscriptions = cs_alloc((count + 1) * sizeof(int64_t));
    made->addresses = cs_alloc((count + 1) * sizeof(int64_t));
    enum cs_err err = insert_device(store, import, device);
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        err = subscription_insert(store, &import->subscriptions[i], device->num, &made->subscriptions[i],
                                  &made->addresses[i]);
    }
    return err != CS_OK || count == 0 ? err : config_write(store, device, NULL, &made->change);
}

/* Among the devices that are there, and those that come before it in the same import. */
static bool has_double(const struct store *store, const struct import_command *command, size_t at)
{
    const uint8_t *credential = command->imports[at].credential;
    bool found = directory_find_credential(&store->directory, credential) != NULL;
    for (size_t i = 0; i < at && !found; i++) {
        const struct store_import *other = &command->imports[i];
        found = other->err == CS_OK && memcmp(other->credential, credential, STORE_HASH_SIZE) == 0;
    }
    return found;
}

static enum cs_err import_apply(struct store *store, struct command *base)
{
    struct import_command *command = (struct import_command *)base;
    enum cs_err err = CS_OK;
    for (size_t i = 0; i < command->count && err == CS_OK; i++) {
        struct store_import *import = &command->imports[i];
        if (import->err == CS_OK && import->unique && has_double(store, command, i)) {
            import->err = CS_EDENIED;
        }
        if (import->err == CS_OK) {
            err = import_one(store, import, &command->made[i]);
        }
    }
    return err;
}

static void import_committed(struct store *store, struct command *base)
{
    struct import_command *command = (struct import_command *)base;
    for (size_t i = 0; i < command->count; i++) {
        struct import_made *made = &command->made[i];
        if (made->device == NULL) {
            continue;
        }
        const struct store_import *import = &command->imports[i];
        struct device *device = made->device;
        made->device = NULL; /* the directory's from now on */
        directory_add_device(&store->directory, device);
        for (size_t j = 0; j < import->subscription_count; j++) {
            struct subscriber subscriber = {.device = device,
                                            .minimum = import->subscriptions[j].minimum,
                                            .subscription = made->subscriptions[j],
                                            .created_at_ms = import->subscriptions[j].created_at_ms};
            directory_add_subscription(&store->directory, &import->subscriptions[j].address,
                                       made->addresses[j], &subscriber);
        }
        if (made->change.device != NULL) {
            config_post(store, &made->change);
        }
    }
}

static const struct command_kind IMPORT_KIND = {"import_devices", true,       false, import_apply,
                                                import_committed, writer_wake};

static void prepare_import(const struct store *store, struct store_import *import)
{
    struct store_device *device = &import->device;
    import->err = judge_import(store, import);
    store_make_id("dev_", device->id);
    device->state = DEVICE_ACTIVE;
    device->retired_at_ms = 0;
    device->head_seq = device->sent_seq = device->acked_seq = 0;
    device->config_version = import->subscription_count > 0 ? 1 : 0;
    device->connected = device->duplicate_credential = device->rolled_back = false;
    for (size_t i = 0; i < import->subscription_count; i++) {
        store_make_id("sub_", import->subscriptions[i].id);
        memcpy(import->subscriptions[i].device, device->id, sizeof(device->id));
    }
}

enum cs_err store_import_devices(struct store *store, struct store_import *imports, size_t count)
{
    assert(count <= STORE_IMPORT_MOST);
    for (size_t i = 0; i < count; i++) {
        prepare_import(store, &imports[i]);
    }
    struct import_command command = {.waiting.command.kind = &IMPORT_KIND,
                                     .imports = imports,
                                     .count = count,
                                     .made = cs_alloc((count + 1) * sizeof(struct import_made))};
    enum cs_err err = writer_submit_and_wait(store, &command.waiting);
    for (size_t i = 0; i < count; i++) {
        free(command.made[i].device);
        free(command.made[i].subscriptions);
        free(command.made[i].addresses);
        free(command.made[i].change.body);
    }
    free(command.made);
    return err;
}

enum cs_err store_create_device(struct store *store, struct store_device *device,
                                const uint8_t credential[STORE_HASH_SIZE])
{
    struct store_import import = {.device = *device, .unique = device->auth == DEVICE_AUTH_KEY};
    memcpy(import.credential, credential, STORE_HASH_SIZE);
    enum cs_err err = store_import_devices(store, &import, 1);
    *device = import.device;
    return import.err != CS_OK ? import.err : err;
}

/* ---- retire a device ------------------------------------------------------------------------------------------- */

struct retire_command {
    struct waiting_command waiting; /* first */
    const char *id;
    struct device *device; /* NULL: it was retired before */
    struct payment_work released;
    struct store_session ended;
};

static enum cs_err retire_apply(struct store *store, struct command *base)
{
    struct retire_command *retire = (struct retire_command *)base;
    struct device *device = directory_find_device(&store->directory, retire->id);
    if (device == NULL) {
        return CS_ENOTFOUND;
    }
    if (device->state == DEVICE_RETIRED) {
        return CS_OK;
    }
    int64_t now_ms = store->batch.now_ms;
    writer_touch(store, device);
    if (device->cursor.generation != 0) {
        retire->ended = device->session;
        cursor_end_session(&device->cursor);
    }
    /* What waits for its proof expires with the rest. */
    enum cs_err err = proof_release_device(store, &retire->released, device);
    sql_bind(store->device_sql[RETIRE_DEVICE], "ii", now_ms, device->num);
    sql_bind(store->device_sql[END_SUBSCRIPTIONS], "ii", now_ms, device->num);
    sql_bind(store->device_sql[EXPIRE_STORED], "ii", now_ms, device->num);
    err = err != CS_OK ? err : writer_run(store, store->device_sql[RETIRE_DEVICE]);
    err = err != CS_OK ? err : writer_run(store, store->device_sql[END_SUBSCRIPTIONS]);
    err = err != CS_OK ? err : writer_run(store, store->device_sql[EXPIRE_STORED]);
    if (err == CS_OK) {
        store->batch.expired += (uint64_t)sqlite3_changes(store->db);
        retire->device = device;
    }
    return err;
}

static void retire_committed(struct store *store, struct command *base)
{
    const struct retire_command *retire = (const struct retire_command *)base;
    if (retire->device != NULL) {
        directory_retire_device(&store->directory, retire->device);
        payment_tell(store, &retire->released);
    }
    if (retire->ended.generation != 0) {
        store->events.ended(store->events.context, &retire->ended, "retired");
    }
}

static const struct command_kind RETIRE_KIND = {"retire_device",  true,       false, retire_apply,
                                                retire_committed, writer_wake};

enum cs_err store_retire_device(struct store *store, const char *id)
{
    struct retire_command retire = {
        .waiting.command.kind = &RETIRE_KIND, .id = id, .released.outcome = STORE_PAYMENT_DUPLICATE};
    payment_work_init(&retire.released);
    enum cs_err err = writer_submit_and_wait(store, &retire.waiting);
    payment_work_fini(&retire.released);
    return err;
}

/* ---- disable a device, and enable it again ------------------------------------------------------------------------- */

struct state_command {
    struct waiting_command waiting; /* first */
    const char *id;
    enum device_state state;
    struct device *device;
    struct store_session ended;
};

static enum cs_err state_apply(struct store *store, struct command *base)
{
    struct state_command *change = (struct state_command *)base;
    struct device *device = directory_find_device(&store->directory, change->id);
    if (device == NULL) {
        return CS_ENOTFOUND;
    }
    if (device->state == DEVICE_RETIRED) {
        return CS_EDENIED;
    }
    change->device = device;
    if (change->state == DEVICE_DISABLED && device->cursor.generation != 0) {
        writer_touch(store, device);
        change->ended = device->session;
        cursor_end_session(&device->cursor);
    }
    sql_bind(store->device_sql[SET_STATE], "ti", device_state_text(change->state), device->num);
    return writer_run(store, store->device_sql[SET_STATE]);
}

static void state_committed(struct store *store, struct command *base)
{
    const struct state_command *change = (const struct state_command *)base;
    directory_set_device_state(&store->directory, change->device, change->state);
    if (change->ended.generation != 0) {
        store->events.ended(store->events.context, &change->ended, "disabled");
    }
}

static const struct command_kind STATE_KIND = {"set_device_state", true,       false, state_apply,
                                               state_committed,    writer_wake};

enum cs_err store_set_device_state(struct store *store, const char *id, enum device_state state)
{
    assert(state == DEVICE_ACTIVE || state == DEVICE_DISABLED);
    struct state_command change = {.waiting.command.kind = &STATE_KIND, .id = id, .state = state};
    return writer_submit_and_wait(store, &change.waiting);
}

void store_note_status(struct store *store, int64_t device, const struct store_status *status)
{
    struct directory *directory = &store->directory;
    pthread_rwlock_wrlock(&directory->lock);
    assert(device > 0 && (size_t)device < directory->device_slots);
    directory->devices[device]->status = *status;
    directory->devices[device]->last_seen_ms = status->at_ms;
    pthread_rwlock_unlock(&directory->lock);
}
