/* receivable and accounts_receivable, formerly pending and accounts_pending. */
#include <stdlib.h>

#include "base/hex.h"
#include "base/log.h"
#include "node/rpc_fields.h"

/* {amount, source} with `source`, the amount alone with a `threshold`. */
static bool read_item(const json_t *value, struct rpc_receivable *item, char *error)
{
    if (json_is_object(value)) {
        if (!rpc_need_amount(value, "amount", &item->amount, error) ||
            !rpc_take_account(value, "source", &item->source, error)) {
            return false;
        }
    } else if (!rpc_parse_amount(value, &item->amount)) {
        rpc_refuse(error, "what is receivable has no amount");
        return false;
    }
    if (amount_is_zero(item->amount)) {
        rpc_refuse(error, "what is receivable has an amount of 0");
        return false;
    }
    return true;
}

/* By hash, or a mere list of hashes. */
static enum cs_err read_blocks(const json_t *blocks, struct rpc_receivables *receivables, char *error)
{
    size_t most = json_is_array(blocks) ? json_array_size(blocks) : rpc_size_of(blocks);
    *receivables = (struct rpc_receivables){0};
    if (most == 0) {
        return CS_OK;
    }
    struct rpc_receivable *items = cs_alloc(most * sizeof(*items));
    size_t count = 0;
    bool good = true;
    if (json_is_array(blocks)) {
        for (; good && count < most; count += good) {
            good = rpc_parse_hash(json_array_get(blocks, count), items[count].hash);
        }
    } else {
        for (void *at = json_object_iter((json_t *)(uintptr_t)blocks); good && at != NULL;
             at = json_object_iter_next((json_t *)(uintptr_t)blocks, at)) {
            good = hex_decode(json_object_iter_key(at), items[count].hash, 32);
            if (good && !read_item(json_object_iter_value(at), &items[count], error)) {
                free(items);
                return CS_EINVAL;
            }
            count += good;
        }
    }
    if (!good) {
        free(items);
        return rpc_refuse(error, "what is receivable has no hash of 64 hexadecimal digits");
    }
    *receivables = (struct rpc_receivables){count, items};
    return CS_OK;
}

enum cs_err rpc_read_receivable(const json_t *answer, struct rpc_receivables *receivables,
                                char error[RPC_ANSWER_ERROR_SIZE])
{
    const json_t *blocks;
    *receivables = (struct rpc_receivables){0};
    if (rpc_check_answer(answer, error) != CS_OK || !rpc_take_any(answer, "blocks", &blocks, error)) {
        return CS_EINVAL;
    }
    return read_blocks(blocks, receivables, error);
}

void rpc_receivables_fini(struct rpc_receivables *receivables)
{
    free(receivables->items);
    *receivables = (struct rpc_receivables){0};
}

enum cs_err rpc_read_all_receivable(const json_t *answer, const struct address *accounts, size_t count,
                                    struct rpc_receivables **all, char error[RPC_ANSWER_ERROR_SIZE])
{
    const json_t *blocks;
    *all = NULL;
    if (rpc_check_answer(answer, error) != CS_OK || !rpc_take_object(answer, "blocks", &blocks, error)) {
        return CS_EINVAL;
    }
    struct rpc_receivables *read = cs_alloc(count * sizeof(*read));
    size_t taken = 0;
    enum cs_err err = CS_OK;
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        const json_t *value = rpc_of_account(blocks, &accounts[i]);
        taken += value != NULL;
        const char *text = json_string_value(value);
        if (value != NULL && !json_is_object(value) && !json_is_array(value) &&
            !(text != NULL && *text == '\0')) {
            err = rpc_refuse(error, "what an account can receive is no list");
        } else {
            err = read_blocks(text != NULL ? NULL : value, &read[i], error);
        }
    }
    if (err == CS_OK && taken != rpc_size_of(blocks)) {
        err = rpc_refuse(error, "it speaks of an account that nobody asked about");
    }
    if (err != CS_OK) {
        rpc_free_receivables(read, count);
        return err;
    }
    *all = read;
    return CS_OK;
}

void rpc_free_receivables(struct rpc_receivables *all, size_t count)
{
    for (size_t i = 0; all != NULL && i < count; i++) {
        rpc_receivables_fini(&all[i]);
    }
    free(all);
}
