/* blocks_info. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "node/rpc_fields.h"

#define HASH_TEXT      65
#define CONTENTS_DEPTH 3

/* What an object has under a hash, in capitals as we asked, or in small letters; NULL: nothing. */
static const json_t *of_hash(const json_t *object, const uint8_t hash[32])
{
    char text[HASH_TEXT];
    hex_encode_upper(hash, 32, text);
    const json_t *value = json_object_get(object, text);
    if (value == NULL) {
        hex_encode_lower(hash, 32, text);
        value = json_object_get(object, text);
    }
    return value;
}

/* An object; a string that holds one where the node, or what stands before it, knows no json_block. */
static enum cs_err read_contents(const json_t *info, struct block *block, char *error)
{
    char why[BLOCK_ERROR_SIZE], json_why[JSON_ERROR_SIZE];
    const json_t *contents = json_object_get(info, "contents");
    const char *text = json_string_value(contents);
    json_t *parsed = NULL;
    if (text != NULL) {
        parsed = json_read(text, json_string_length(contents), CONTENTS_DEPTH, json_why);
        if (parsed == NULL) {
            return rpc_refuse(error, "`contents`: %s", json_why);
        }
        contents = parsed;
    }
    enum cs_err err = block_read(json_view_of_tree(contents), block, why) == CS_OK
                          ? CS_OK
                          : rpc_refuse(error, "`contents`: %s", why);
    json_decref(parsed);
    return err;
}

static enum cs_err check_against(const struct rpc_block *read, const uint8_t hash[32], char *error)
{
    uint8_t real[32];
    block_hash(&read->block, real);
    if (memcmp(real, hash, 32) != 0) {
        return rpc_refuse(error, "its contents have another hash");
    }
    bool named = read->block.type == BLOCK_STATE || read->block.type == BLOCK_OPEN;
    if (named && memcmp(read->account.bytes, read->block.account, 32) != 0) {
        return rpc_refuse(error, "`block_account` is not the account in its contents");
    }
    return CS_OK;
}

/* False when one is there and malformed. */
static bool read_flags(const json_t *info, struct rpc_block *read, char *error)
{
    const json_t *confirmed = json_object_get(info, "confirmed"),
                 *receivable = json_object_get(info, "receivable");
    receivable = receivable != NULL ? receivable : json_object_get(info, "pending");
    read->has_receivable = receivable != NULL;
    bool good = (confirmed == NULL || rpc_parse_bool(confirmed, &read->confirmed)) &&
                (receivable == NULL || rpc_parse_bool(receivable, &read->receivable));
    if (!good) {
        rpc_refuse(error, "`confirmed` or `receivable` is neither true nor false");
    }
    return good;
}

static bool read_receive(const json_t *info, struct rpc_block *read, char *error)
{
    if (json_object_get(info, "receive_hash") != NULL &&
        !rpc_need_hash(info, "receive_hash", read->receive_hash, error)) {
        return false;
    }
    read->has_receive = sodium_is_zero(read->receive_hash, 32) == 0;
    return true;
}

static enum cs_err read_info(const json_t *info, const uint8_t hash[32], struct rpc_block *read, char *error)
{
    if (!json_is_object(info)) {
        return rpc_refuse(error, "it is no object");
    }
    read->found = true;
    read->has_amount = json_object_get(info, "amount") != NULL;
    if (read_contents(info, &read->block, error) != CS_OK ||
        !rpc_take_account(info, "block_account", &read->account, error) ||
        (read->has_amount && !rpc_need_amount(info, "amount", &read->amount, error)) ||
        !rpc_need_u64(info, "height", &read->height, error) ||
        !rpc_take_time(info, "local_timestamp", &read->node_time_ms, error) ||
        !read_flags(info, read, error) || !read_receive(info, read, error)) {
        return CS_EINVAL;
    }
    if (read->account.length == 0 || read->height == 0) {
        return rpc_refuse(error, "it has no account, or no height");
    }
    bool is_state = read->block.type == BLOCK_STATE;
    read->kind = rpc_kind_of(is_state ? json_text(info, "subtype") : block_type_text(read->block.type));
    return check_against(read, hash, error);
}

/* By hash in capitals: an object, owned; NULL, and a sentence. */
static json_t *read_not_found(const json_t *answer, char *error)
{
    const json_t *list;
    if (!rpc_take_array(answer, "blocks_not_found", &list, error)) {
        return NULL;
    }
    json_t *missing = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint8_t hash[32];
        char text[HASH_TEXT];
        if (!rpc_parse_hash(json_array_get(list, i), hash)) {
            rpc_refuse(error, "`blocks_not_found` holds what is no hash");
            json_decref(missing);
            return NULL;
        }
        hex_encode_upper(hash, 32, text);
        json_object_set_new(missing, text, json_true());
    }
    return missing;
}

static enum cs_err read_each(const json_t *infos, const json_t *missing, const uint8_t (*hashes)[32],
                             size_t count, struct rpc_block *read, char *error)
{
    size_t found = 0, not_found = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *info = of_hash(infos, hashes[i]);
        bool is_missing = of_hash(missing, hashes[i]) != NULL;
        char why[RPC_ANSWER_ERROR_SIZE], text[HASH_TEXT];
        hex_encode_upper(hashes[i], 32, text);
        if ((info != NULL) == is_missing) {
            return rpc_refuse(
                error, is_missing ? "block %s is both found and not found" : "nothing is said of block %s",
                text);
        }
        found += info != NULL;
        not_found += is_missing;
        if (info != NULL && read_info(info, hashes[i], &read[i], why) != CS_OK) {
            return rpc_refuse(error, "block %s: %.200s", text, why);
        }
    }
    if (found != rpc_size_of(infos) || not_found != json_object_size(missing)) {
        return rpc_refuse(error, "it speaks of a block that nobody asked about");
    }
    return CS_OK;
}

enum cs_err rpc_read_blocks(const json_t *answer, const uint8_t (*hashes)[32], size_t count,
                            struct rpc_block **blocks, char error[RPC_ANSWER_ERROR_SIZE])
{
    const json_t *infos;
    *blocks = NULL;
    if (rpc_check_answer(answer, error) != CS_OK || !rpc_take_object(answer, "blocks", &infos, error)) {
        return CS_EINVAL;
    }
    json_t *missing = read_not_found(answer, error);
    if (missing == NULL) {
        return CS_EINVAL;
    }
    struct rpc_block *read = cs_alloc(count * sizeof(*read));
    enum cs_err err = read_each(infos, missing, hashes, count, read, error);
    json_decref(missing);
    if (err != CS_OK) {
        free(read);
        return err;
    }
    *blocks = read;
    return CS_OK;
}
