/* account_history, raw (nano-node, nano/node/json_handler.cpp, class history_visitor). */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "node/rpc_fields.h"

/* A state block's link; a legacy receive's or open's source; a legacy send's destination. */
static bool read_link(const json_t *object, bool is_state, const char *type, struct rpc_entry *entry,
                      char *error)
{
    if (is_state) {
        return rpc_need_hash(object, "link", entry->link, error);
    }
    if (entry->kind == RPC_KIND_RECEIVE) {
        return rpc_need_hash(object, "source", entry->link, error);
    }
    struct address destination;
    if (entry->kind == RPC_KIND_SEND) {
        if (!rpc_take_account(object, "destination", &destination, error)) {
            return false;
        }
        if (destination.length == 0) {
            rpc_refuse(error, "a block of type %.20s has no destination: the history is not raw", type);
            return false;
        }
        memcpy(entry->link, destination.bytes, 32);
    }
    return true;
}

/* An open block has none, and the raw form says nothing of it. */
static bool read_previous(const json_t *object, const char *type, struct rpc_entry *entry, char *error)
{
    return strcmp(type, "open") == 0 || rpc_need_hash(object, "previous", entry->previous, error);
}

static bool read_amount(const json_t *object, struct rpc_entry *entry, char *error)
{
    return json_object_get(object, "amount") == NULL ||
           rpc_need_amount(object, "amount", &entry->amount, error);
}

static bool read_confirmed(const json_t *object, struct rpc_entry *entry, char *error)
{
    const json_t *value = json_object_get(object, "confirmed");
    bool fits = value == NULL || rpc_parse_bool(value, &entry->confirmed);
    if (!fits) {
        rpc_refuse(error, "`confirmed` is neither true nor false");
    }
    return fits;
}

static enum cs_err read_entry(const json_t *object, struct rpc_entry *entry, char *error)
{
    const char *type = json_text(object, "type");
    if (type == NULL) {
        return rpc_refuse(error, "an entry of the history has no type");
    }
    bool is_state = strcmp(type, "state") == 0;
    entry->kind = rpc_kind_of(is_state ? json_text(object, "subtype") : type);
    bool good =
        rpc_need_hash(object, "hash", entry->hash, error) &&
        rpc_need_u64(object, "height", &entry->height, error) && read_confirmed(object, entry, error) &&
        rpc_take_time(object, "local_timestamp", &entry->node_time_ms, error) &&
        read_amount(object, entry, error) && rpc_take_account(object, "account", &entry->other, error);
    if (good && (is_state || entry->kind != RPC_KIND_UNKNOWN)) {
        good = read_link(object, is_state, type, entry, error) && read_previous(object, type, entry, error);
    }
    if (good && entry->height == 0) {
        return rpc_refuse(error, "a block of the history has the height 0");
    }
    return good ? CS_OK : CS_EINVAL;
}

static enum cs_err read_entries(const json_t *list, struct rpc_history *history, char *error)
{
    size_t count = list != NULL ? json_array_size(list) : 0;
    if (count == 0) {
        return CS_OK;
    }
    history->entries = cs_alloc(count * sizeof(*history->entries));
    for (; history->count < count; history->count++) {
        if (read_entry(json_array_get(list, history->count), &history->entries[history->count], error) !=
            CS_OK) {
            rpc_history_fini(history);
            return CS_EINVAL;
        }
    }
    return CS_OK;
}

enum cs_err rpc_read_history(const json_t *answer, const struct address *account, struct rpc_history *history,
                             char error[RPC_ANSWER_ERROR_SIZE])
{
    struct address owner;
    const json_t *list;
    *history = (struct rpc_history){0};
    if (rpc_is_unopened(answer)) {
        return CS_OK;
    }
    if (rpc_check_answer(answer, error) != CS_OK || !rpc_take_account(answer, "account", &owner, error) ||
        !rpc_take_array(answer, "history", &list, error)) {
        return CS_EINVAL;
    }
    if (owner.length > 0 ? !address_equal(&owner, account) : list != NULL) {
        return rpc_refuse(error,
                          owner.length > 0 ? "it is the history of another account" : "`account` is missing");
    }
    struct rpc_history read = {0};
    const char *on = json_object_get(answer, "previous") != NULL ? "previous" : "next";
    read.has_more = json_object_get(answer, on) != NULL;
    if (read.has_more && !rpc_need_hash(answer, on, read.more, error)) {
        return CS_EINVAL;
    }
    if (read.has_more && list == NULL) {
        return rpc_refuse(error, "the history is empty, and yet there should be more of it");
    }
    if (read_entries(list, &read, error) != CS_OK) {
        return CS_EINVAL;
    }
    *history = read;
    return CS_OK;
}

void rpc_history_fini(struct rpc_history *history)
{
    free(history->entries);
    *history = (struct rpc_history){0};
}
