/* Configs: what a device is told of its addresses and tariff, in versions that stay, for a payment is priced by the version it names. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/internal.h"

#define LOG_MODULE "store"

enum { READ_SETTINGS, READ_BODY, READ_ADDRESSES, INSERT_CONFIG, CONFIG_SQL_COUNT };
static const char *const CONFIG_SQL[] = {
    [READ_SETTINGS] = "SELECT settings FROM device_config WHERE device = ? AND version = ?",
    [READ_BODY] = "SELECT body FROM device_config WHERE device = ? AND version = ?",
    [READ_ADDRESSES] = "SELECT a.chain, a.bytes FROM subscription s JOIN address a ON a.num = s.address "
                       "WHERE s.device = ? AND s.removed_at IS NULL ORDER BY s.num",
    [INSERT_CONFIG] =
        "INSERT INTO device_config (device, version, settings, body, created_at) VALUES (?, ?, ?, ?, ?)",
};

void config_sql_open(struct store *store)
{
    store->config_sql = sql_prepare(store->db, CONFIG_SQL, CONFIG_SQL_COUNT);
}

void config_sql_close(struct store *store)
{
    sql_finalize(store->config_sql, CONFIG_SQL_COUNT);
}

/* One text column of the device's current version; owned, NULL when there is none. */
static char *read_current(struct store *store, int query, const struct device *device)
{
    sqlite3_stmt *read = store->config_sql[query];
    enum cs_err err;
    char *text = NULL;
    sql_bind(read, "ii", device->num, (int64_t)device->config_version);
    if (sql_step(read, &err)) {
        text = cs_strdup((const char *)sqlite3_column_text(read, 0));
        sqlite3_reset(read);
    }
    return text;
}

char *config_read(struct store *store, const struct device *device)
{
    return device->config_version == 0 ? NULL : read_current(store, READ_BODY, device);
}

static json_t *read_addresses(struct store *store, const struct device *device)
{
    json_t *addresses = json_array();
    sqlite3_stmt *read = store->config_sql[READ_ADDRESSES];
    enum cs_err err;
    sql_bind(read, "i", device->num);
    while (sql_step(read, &err)) {
        struct address address = {0};
        enum chain chain;
        int length = sqlite3_column_bytes(read, 1);
        char text[ADDRESS_TEXT_SIZE];
        if (chain_parse((const char *)sqlite3_column_text(read, 0), &chain) && length > 0 &&
            length <= ADDRESS_BYTES_MAX) {
            address.chain = (uint8_t)chain;
            address.length = (uint8_t)length;
            memcpy(address.bytes, sqlite3_column_blob(read, 1), (size_t)length);
            address_format(&address, text);
            json_array_append_new(addresses, json_string(text));
        }
    }
    return addresses;
}

enum cs_err config_write(struct store *store, struct device *device, const char *settings,
                         struct config_change *change)
{
    char *current =
        settings == NULL && device->config_version > 0 ? read_current(store, READ_SETTINGS, device) : NULL;
    const char *text = settings != NULL ? settings : current != NULL ? current : "{}";
    json_t *body = json_pack("{s:o}", "addresses", read_addresses(store, device));
    json_t *given = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (body == NULL || given == NULL || json_object_update(body, given) != 0) {
        log_die(LOG_MODULE, "the settings of device %s are not a JSON object", device->id);
    }
    change->proof = json_is_true(json_object_get(given, "proof"));
    json_decref(given);
    change->device = device;
    change->version = device->config_version + 1;
    change->body = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    sqlite3_stmt *insert = store->config_sql[INSERT_CONFIG];
    sql_bind(insert, "iitti", device->num, (int64_t)change->version, text, change->body, store->batch.now_ms);
    enum cs_err err = writer_run(store, insert);
    free(current);
    return err != CS_OK ? err : proof_want(store, device, change->proof);
}

void config_post(struct store *store, struct config_change *change)
{
    struct device *device = change->device;
    device->config_version = change->version;
    proof_set_wanted(store, device, change->proof);
    if (device->cursor.generation != 0) {
        store->events.config(store->events.context, &device->session, change->version, change->body);
    }
}

/* ---- what an operator sets ----------------------------------------------------------------------------------------- */

struct set_command {
    struct waiting_command waiting; /* first */
    const char *id, *settings;
    struct config_change change;
};

static enum cs_err set_apply(struct store *store, struct command *base)
{
    struct set_command *set = (struct set_command *)base;
    struct device *device = directory_find_device(&store->directory, set->id);
    if (device == NULL) {
        return CS_ENOTFOUND;
    }
    return device->state == DEVICE_RETIRED ? CS_EDENIED
                                           : config_write(store, device, set->settings, &set->change);
}

static void set_committed(struct store *store, struct command *base)
{
    config_post(store, &((struct set_command *)base)->change);
}

static const struct command_kind SET_KIND = {"set_config", true,          false,
                                             set_apply,    set_committed, writer_wake};

static bool wants_proof(const char *settings)
{
    json_t *given = json_loads(settings, JSON_REJECT_DUPLICATES, NULL);
    bool proof = json_is_true(json_object_get(given, "proof"));
    json_decref(given);
    return proof;
}

enum cs_err store_set_config(struct store *store, const char *id, const char *settings, uint64_t *version)
{
    if (strlen(settings) > STORE_SETTINGS_MOST) {
        return CS_EINVAL;
    }
    if (!store->options.can_prove && wants_proof(settings)) {
        return CS_ECONFLICT;
    }
    struct set_command set = {.waiting.command.kind = &SET_KIND, .id = id, .settings = settings};
    enum cs_err err = writer_submit_and_wait(store, &set.waiting);
    *version = set.change.version;
    free(set.change.body);
    return err;
}
