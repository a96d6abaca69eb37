/* A node's answer to one of our requests: the first byte says to which. What is read must hold together; what is not must say why. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"
#include "node/rpc_answers.h"

#define ASKED_MOST 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was asked for is taken from the answer: else hardly any would fit. */
struct asked {
    size_t accounts_count, hashes_count;
    struct address accounts[ASKED_MOST];
    uint8_t hashes[ASKED_MOST][32];
};

static void ask_for(struct asked *asked, const char *text)
{
    struct address account;
    uint8_t hash[32];
    if (text != NULL && address_parse(CHAIN_NANO, text, &account) && asked->accounts_count < ASKED_MOST) {
        for (size_t i = 0; i < asked->accounts_count; i++) {
            if (address_equal(&account, &asked->accounts[i])) {
                return;
            }
        }
        asked->accounts[asked->accounts_count++] = account;
    } else if (text != NULL && hex_decode(text, hash, 32) && asked->hashes_count < ASKED_MOST) {
        for (size_t i = 0; i < asked->hashes_count; i++) {
            if (memcmp(hash, asked->hashes[i], 32) == 0) {
                return;
            }
        }
        memcpy(asked->hashes[asked->hashes_count++], hash, 32);
    }
}

static void ask_for_all(struct asked *asked, json_t *answer)
{
    static const char *const keys[] = {"account", "frontiers", "balances",
                                       "errors",  "blocks",    "blocks_not_found"};
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        json_t *value = json_object_get(answer, keys[k]), *item;
        const char *key;
        size_t index;
        ask_for(asked, json_string_value(value));
        json_object_foreach(value, key, item)
        {
            ask_for(asked, key);
        }
        json_array_foreach(value, index, item)
        {
            ask_for(asked, json_string_value(item));
        }
    }
    if (asked->accounts_count == 0) {
        asked->accounts[asked->accounts_count++] = address_from_nano_key((const uint8_t[32]){1});
    }
    if (asked->hashes_count == 0) {
        asked->hashes_count = 1;
    }
}

static void check_receivables(const struct rpc_receivables *receivables)
{
    assert((receivables->count == 0) == (receivables->items == NULL));
    for (size_t i = 0; i < receivables->count; i++) {
        assert(receivables->items[i].source.length == 0 || receivables->items[i].source.length == 32);
    }
}

static enum cs_err read_accounts(char which, const json_t *answer, const struct asked *asked, char *error)
{
    struct rpc_frontier *frontiers = NULL;
    struct rpc_balance *balances = NULL;
    struct rpc_receivables *all = NULL;
    size_t count = asked->accounts_count;
    enum cs_err err;
    if (which == 'f') {
        err = rpc_read_frontiers(answer, asked->accounts, count, &frontiers, error);
        for (size_t i = 0; err == CS_OK && i < count; i++) {
            assert((frontiers[i].standing == RPC_ACCOUNT_SAID) ==
                   (sodium_is_zero(frontiers[i].hash, 32) == 0));
        }
    } else if (which == 'b') {
        err = rpc_read_balances(answer, asked->accounts, count, &balances, error);
        for (size_t i = 0; err == CS_OK && i < count; i++) {
            assert(balances[i].standing == RPC_ACCOUNT_SAID || amount_is_zero(balances[i].balance));
        }
    } else {
        err = rpc_read_all_receivable(answer, asked->accounts, count, &all, error);
        for (size_t i = 0; err == CS_OK && i < count; i++) {
            check_receivables(&all[i]);
        }
    }
    assert((frontiers != NULL || balances != NULL || all != NULL) == (err == CS_OK));
    free(frontiers);
    free(balances);
    rpc_free_receivables(all, count);
    return err;
}

static enum cs_err read_blocks(const json_t *answer, const struct asked *asked, char *error)
{
    struct rpc_block *blocks;
    enum cs_err err = rpc_read_blocks(answer, asked->hashes, asked->hashes_count, &blocks, error);
    for (size_t i = 0; err == CS_OK && i < asked->hashes_count; i++) {
        uint8_t hash[32];
        block_hash(&blocks[i].block, hash);
        assert(!blocks[i].found || memcmp(hash, asked->hashes[i], 32) == 0);
        assert(!blocks[i].found || (blocks[i].account.length == 32 && blocks[i].height > 0));
    }
    free(blocks);
    return err;
}

static enum cs_err read_history(const json_t *answer, const struct asked *asked, char *error)
{
    struct rpc_history history;
    enum cs_err err = rpc_read_history(answer, &asked->accounts[0], &history, error);
    assert(err == CS_OK || history.entries == NULL);
    assert(history.count > 0 || !history.has_more);
    for (size_t i = 0; i < history.count; i++) {
        assert(history.entries[i].height > 0 && history.entries[i].node_time_ms >= 0);
    }
    rpc_history_fini(&history);
    return err;
}

static enum cs_err read_one(char which, const json_t *answer, const struct asked *asked, char *error)
{
    struct rpc_version version;
    struct rpc_block_count block_count;
    struct rpc_account_info info;
    struct rpc_receivables receivables;
    enum cs_err err;
    switch (which) {
    case 'v':
        err = rpc_read_version(answer, &version, error);
        assert(err != CS_OK || memchr(version.vendor, '\0', sizeof(version.vendor)) != NULL);
        return err;
    case 'c':
        return rpc_read_block_count(answer, &block_count, error);
    case 'i':
        err = rpc_read_account_info(answer, &info, error);
        assert(info.confirmed_height <= info.height && (info.opened || info.height == 0));
        return err;
    case 'h':
        return read_history(answer, asked, error);
    case 'r':
        err = rpc_read_receivable(answer, &receivables, error);
        check_receivables(&receivables);
        rpc_receivables_fini(&receivables);
        return err;
    case 'B':
        return read_blocks(answer, asked, error);
    default:
        return read_accounts(which, answer, asked, error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[JSON_ERROR_SIZE], error[RPC_ANSWER_ERROR_SIZE] = "";
    json_t *answer = size < 2 ? NULL : json_read((const char *)data + 1, size - 1, 10, why);
    if (answer == NULL) {
        return 0;
    }
    struct asked asked = {0};
    ask_for_all(&asked, answer);
    enum cs_err err = read_one((char)data[0], answer, &asked, error);
    assert((err == CS_OK) == (error[0] == '\0') && memchr(error, '\0', sizeof(error)) != NULL);
    json_decref(answer);
    return 0;
}
