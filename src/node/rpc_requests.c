/* What is asked of a node: the requests of rpc_answers.h. All scalars are strings, as the node wants them. */
#include <assert.h>
#include <stdio.h>

#include "base/hex.h"
#include "node/rpc_answers.h"

static void put_text(json_t *request, const char *key, const char *text)
{
    int failed = json_object_set_new(request, key, json_string(text));
    assert(!failed);
    (void)failed;
}

static void put_number(json_t *request, const char *key, uint32_t number)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    put_text(request, key, text);
}

static json_t *text_of_account(const struct address *account)
{
    char text[ADDRESS_TEXT_SIZE];
    assert(account->chain == CHAIN_NANO);
    address_format(account, text);
    return json_string(text);
}

static json_t *text_of_hash(const uint8_t hash[32])
{
    char text[65];
    hex_encode_upper(hash, 32, text);
    return json_string(text);
}

static json_t *ask(const char *action)
{
    json_t *request = json_object();
    put_text(request, "action", action);
    return request;
}

static json_t *ask_of_account(const char *action, const struct address *account)
{
    json_t *request = ask(action);
    json_object_set_new(request, "account", text_of_account(account));
    return request;
}

static json_t *ask_of_accounts(const char *action, const struct address *accounts, size_t count)
{
    assert(count > 0); /* the node answers an empty list with an error */
    json_t *request = ask(action), *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, text_of_account(&accounts[i]));
    }
    json_object_set_new(request, "accounts", list);
    return request;
}

json_t *rpc_ask_version(void)
{
    return ask("version");
}

json_t *rpc_ask_block_count(void)
{
    return ask("block_count");
}

json_t *rpc_ask_telemetry(void)
{
    return ask("telemetry");
}

json_t *rpc_ask_frontiers(const struct address *accounts, size_t count)
{
    return ask_of_accounts("accounts_frontiers", accounts, count);
}

json_t *rpc_ask_balances(const struct address *accounts, size_t count)
{
    json_t *request = ask_of_accounts("accounts_balances", accounts, count);
    put_text(request, "include_only_confirmed", "true");
    return request;
}

/*
 * Confirmed only: by default since V22. With a threshold, be it the least there is, each comes with its amount; with its source, which nobody
 * here wants, an answer would be two and a half times as long, and the loop would read it three times as long.
 */
static json_t *narrow_receivable(json_t *request, uint32_t most)
{
    put_number(request, "count", most);
    put_text(request, "threshold", "1");
    put_text(request, "include_only_confirmed", "true");
    return request;
}

static bool is_before(const struct rpc_version *version, uint32_t major)
{
    return version != NULL && version->major > 0 && version->major < major;
}

json_t *rpc_ask_receivable(const struct rpc_version *version, const struct address *account, uint32_t most)
{
    return narrow_receivable(ask_of_account(is_before(version, 23) ? "pending" : "receivable", account),
                             most);
}

json_t *rpc_ask_receivables(const struct rpc_version *version, const struct address *accounts, size_t count,
                            uint32_t most)
{
    const char *action = is_before(version, 24) ? "accounts_pending" : "accounts_receivable";
    return narrow_receivable(ask_of_accounts(action, accounts, count), most);
}

json_t *rpc_ask_account_info(const struct address *account)
{
    json_t *request = ask_of_account("account_info", account);
    put_text(request, "include_confirmed", "true");
    return request;
}

json_t *rpc_ask_history(const struct address *account, const uint8_t *head, bool reverse, uint32_t most)
{
    assert(most > 0);
    json_t *request = ask_of_account("account_history", account);
    put_number(request, "count", most);
    put_text(request, "raw", "true");
    if (head != NULL) {
        json_object_set_new(request, "head", text_of_hash(head));
    }
    if (reverse) {
        put_text(request, "reverse", "true");
    }
    return request;
}

json_t *rpc_ask_blocks(const uint8_t (*hashes)[32], size_t count, bool with_receive)
{
    assert(count > 0);
    json_t *request = ask("blocks_info"), *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, text_of_hash(hashes[i]));
    }
    json_object_set_new(request, "hashes", list);
    put_text(request, "json_block", "true");
    put_text(request, "include_not_found", "true");
    put_text(request, "receivable", "true");
    put_text(request, "pending", "true"); /* its name before V23 */
    if (with_receive) {
        put_text(request, "receive_hash", "true");
    }
    return request;
}
