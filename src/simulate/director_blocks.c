/* Accounts, and what becomes of blocks. */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "payment/payment.h"
#include "simulate/director_parts.h"

#define POCKET_MOST   1000000
#define ACCOUNTS_MOST 200000

void director_add_hash(const struct director *director, json_t *hashes, uint32_t block)
{
    char hash[PAYMENT_HASH_TEXT];
    hex_encode_upper(ledger_block(world_ledger(director->world), block)->hash, 32, hash);
    json_array_append_new(hashes, json_string(hash));
}

json_t *director_accounts(struct director *director, const json_t *request, const char **error)
{
    uint64_t count = director_number(request, "count", 1, ACCOUNTS_MOST, error);
    if (*error != NULL) {
        return NULL;
    }
    json_t *accounts = json_array();
    for (uint64_t i = 0; i < count; i++) {
        char text[ADDRESS_TEXT_SIZE];
        mimic_account_text(world_make_account(director->world), text);
        json_array_append_new(accounts, json_string(text));
    }
    json_t *answer = json_object();
    tree_put_collection(answer, "accounts", accounts);
    return answer;
}

json_t *director_adopt(struct director *director, const json_t *request, const char **error)
{
    const char *text = tree_text(request, "key");
    uint8_t private_key[32];
    if (text == NULL || !hex_decode(text, private_key, sizeof(private_key))) {
        *error = "`key` takes a private key, as 64 hex digits";
        return NULL;
    }
    struct sign_key key;
    sign_expand_key(private_key, &key);
    world_adopt_key(director->world, &key);
    json_t *answer = json_object();
    mimic_put_account(answer, "account", key.public_key);
    return answer;
}

json_t *director_auto_receive(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    if (!director_order_read(&order, request, "account", error)) {
        return NULL;
    }
    for (size_t i = 0; i < order.account_count && *error == NULL; i++) {
        if (world_set_auto_receive(director->world, order.accounts[i], tree_flag(request, "on", true)) !=
            CS_OK) {
            *error = "the account's key is not known: take an account of `accounts`, or `adopt` its key";
        }
    }
    director_order_fini(&order);
    return json_object();
}

/* LEDGER_NONE: there is none, and `error` says so. */
static uint32_t find_block(const struct director *director, const char *text, const char **error)
{
    uint8_t hash[32];
    uint32_t block = LEDGER_NONE;
    if (text != NULL && mimic_read_hash(text, hash)) {
        block = ledger_find_block(world_ledger(director->world), hash);
    }
    if (block == LEDGER_NONE) {
        *error = "Block not found";
    }
    return block;
}

json_t *director_pocket(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    uint64_t count = director_number(request, "count", POCKET_MOST, POCKET_MOST, error);
    if (*error != NULL || !director_order_read(&order, request, "account", error)) {
        return NULL;
    }
    struct world_waiting waiting = {.send = LEDGER_NONE,
                                    .only_confirmed = tree_flag(request, "include_only_confirmed", true)};
    if (tree_text(request, "hash") != NULL) {
        waiting.send = find_block(director, tree_text(request, "hash"), error);
    }
    json_t *hashes = json_array();
    for (size_t i = 0; i < order.account_count && *error == NULL; i++) {
        if (!world_knows_key(director->world, order.accounts[i])) {
            *error = "the account's key is not known: take an account of `accounts`, or `adopt` its key";
            break;
        }
        uint32_t block;
        for (uint64_t done = 0; done < count && world_pocket(director->world, order.accounts[i], order.style,
                                                             &waiting, &order.order, &block) == CS_OK;
             done++) {
            director_add_hash(director, hashes, block);
        }
    }
    director_order_fini(&order);
    json_t *answer = json_object();
    tree_put_collection(answer, "hashes", hashes);
    return answer;
}

json_t *director_change(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    if (!director_order_read(&order, request, "account", error)) {
        return NULL;
    }
    struct address representative =
        address_from_nano_key(ledger_account(world_ledger(director->world), 0)->key);
    const char *text = tree_text(request, "representative");
    json_t *answer = json_object();
    uint32_t block;
    if (text != NULL && !address_parse(CHAIN_NANO, text, &representative)) {
        *error = "`representative` is no account";
    } else if (world_change(director->world, order.accounts[0], order.style, representative.bytes,
                            &order.order, &block) != CS_OK) {
        *error = "the account is not open, its key is not known, or it writes no legacy blocks any more";
    } else {
        mimic_put_block(world_ledger(director->world), answer, "hash", block);
    }
    director_order_fini(&order);
    return answer;
}

/* Both `confirm` and `announce`; `hash` or `hashes`. */
static json_t *for_hashes(struct director *director, const json_t *request, const char **error,
                          void (*act)(struct world *world, uint32_t block, enum world_why why,
                                      unsigned channels),
                          enum world_why usual)
{
    struct world_order order = {.why = usual};
    if (!director_read_announce(&order, request, error)) {
        return NULL;
    }
    const json_t *listed = json_object_get(request, "hashes");
    size_t count = listed != NULL ? json_array_size(listed) : 1;
    for (size_t i = 0; i < count; i++) {
        const char *text = listed != NULL ? tree_data(json_array_get(listed, i)) : tree_text(request, "hash");
        uint32_t block = find_block(director, text, error);
        if (block == LEDGER_NONE) {
            return NULL;
        }
        act(director->world, block, order.why, order.channels);
    }
    return json_object();
}

json_t *director_confirm(struct director *director, const json_t *request, const char **error)
{
    return for_hashes(director, request, error, world_confirm, WORLD_QUORUM);
}

json_t *director_announce(struct director *director, const json_t *request, const char **error)
{
    return for_hashes(director, request, error, world_announce, WORLD_HEIGHT);
}

/* Names that are no fault's: the action itself and its parts. */
