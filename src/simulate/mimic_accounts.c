/* Balances, frontiers, account_info (nano-node V27.1, nano/node/json_handler.cpp). */
#include <assert.h>
#include <string.h>

#include "simulate/mimic_call.h"

#define NOT_FOUND "Account not found"

/* NULL: nobody has heard of it. */
static const struct ledger_account *find(const struct mimic_call *call, const uint8_t key[32])
{
    uint32_t number = ledger_find_account(call->ledger, key);
    return number == LEDGER_NONE ? NULL : ledger_account(call->ledger, number);
}

static struct amount balance_at(const struct ledger *ledger, uint32_t block)
{
    return block == LEDGER_NONE ? (struct amount){0, 0} : ledger_block(ledger, block)->balance;
}

struct amount mimic_receivable_sum(const struct ledger *ledger, const struct ledger_account *account,
                                   bool only_confirmed)
{
    struct amount sum = {0, 0};
    for (size_t i = 0; i < account->receivable_count; i++) {
        const struct ledger_block *send = ledger_block(ledger, account->receivable[i]);
        if (send->confirmed || !only_confirmed) {
            bool fits = amount_add(sum, send->amount, &sum);
            assert(fits); /* there is no more money than the genesis had */
            (void)fits;
        }
    }
    return sum;
}

static void put_balance(const struct mimic_call *call, json_t *object, const uint8_t key[32])
{
    bool only_confirmed = tree_flag(call->request, "include_only_confirmed", true);
    const struct ledger_account *account = find(call, key);
    struct amount balance = {0, 0}, receivable = {0, 0};
    if (account != NULL) {
        balance = balance_at(call->ledger, only_confirmed ? account->confirmed : account->head);
        receivable = mimic_receivable_sum(call->ledger, account, only_confirmed);
    }
    mimic_put_amount(object, "balance", balance);
    mimic_put_amount(object, "pending", receivable);
    mimic_put_amount(object, "receivable", receivable);
}

void mimic_account_balance(struct mimic_call *call)
{
    uint8_t key[32];
    if (mimic_read_account(call, "", key)) {
        put_balance(call, call->answer, key);
    }
}

/* A part of the answer that is left out when it is empty. */
static void put_part(struct mimic_call *call, const char *name, json_t *part)
{
    if (json_object_size(part) > 0) {
        json_object_set(call->answer, name, part);
    }
    json_decref(part);
}

static void for_each_account(struct mimic_call *call, const char *part_name,
                             bool (*put)(struct mimic_call *call, json_t *part, const char *text,
                                         const uint8_t key[32]))
{
    const json_t *list = mimic_need_list(call, "accounts");
    json_t *part = json_object(), *errors = json_object();
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const char *text = tree_data(json_array_get(list, i));
        uint8_t key[32];
        bool good = mimic_read_account(call, text, key) && put(call, part, text, key);
        if (!good && strcmp(call->error, MIMIC_UNPARSABLE) == 0) {
            break;
        }
        if (!good) {
            tree_put(errors, text, call->error);
            call->error = NULL;
        }
    }
    put_part(call, part_name, part);
    put_part(call, "errors", errors);
}

static bool put_one_balance(struct mimic_call *call, json_t *part, const char *text, const uint8_t key[32])
{
    json_t *entry = json_object();
    put_balance(call, entry, key);
    json_object_set_new(part, text, entry);
    return true;
}

void mimic_accounts_balances(struct mimic_call *call)
{
    for_each_account(call, "balances", put_one_balance);
}

static bool put_one_frontier(struct mimic_call *call, json_t *part, const char *text, const uint8_t key[32])
{
    (void)text;
    const struct ledger_account *account = find(call, key);
    if (account == NULL || account->head == LEDGER_NONE) {
        mimic_fail(call, NOT_FOUND);
        return false;
    }
    char name[ADDRESS_TEXT_SIZE];
    mimic_account_text(key, name);
    mimic_put_block(call->ledger, part, name, account->head);
    return true;
}

void mimic_accounts_frontiers(struct mimic_call *call)
{
    for_each_account(call, "frontiers", put_one_frontier);
}

/* Whom a block, or the last one before it that says so, names as representative. */
static const uint8_t *representative_at(const struct ledger *ledger, uint32_t block)
{
    static const uint8_t nobody[32] = {0};
    if (block == LEDGER_NONE) {
        return nobody;
    }
    return ledger_block(ledger, ledger_block(ledger, block)->representative)->block.representative;
}

static void put_chain(const struct mimic_call *call, const struct ledger_account *account, bool confirmed)
{
    const struct ledger *ledger = call->ledger;
    const struct ledger_block *head = ledger_block(ledger, account->head);
    json_t *answer = call->answer;
    mimic_put_hash(answer, "frontier", head->hash);
    mimic_put_block(ledger, answer, "open_block", account->open);
    mimic_put_block(ledger, answer, "representative_block", head->representative);
    mimic_put_amount(answer, "balance", head->balance);
    if (confirmed) {
        mimic_put_amount(answer, "confirmed_balance", balance_at(ledger, account->confirmed));
    }
    mimic_put_number(answer, "modified_timestamp", (uint64_t)head->local_s);
    mimic_put_number(answer, "block_count", head->height);
    tree_put(answer, "account_version", "0");
    uint64_t height =
        account->confirmed == LEDGER_NONE ? 0 : ledger_block(ledger, account->confirmed)->height;
    mimic_put_number(answer, confirmed ? "confirmed_height" : "confirmation_height", height);
    mimic_put_block(ledger, answer, confirmed ? "confirmed_frontier" : "confirmation_height_frontier",
                    account->confirmed);
}

void mimic_account_info(struct mimic_call *call)
{
    uint8_t key[32];
    if (!mimic_read_account(call, "", key)) {
        return;
    }
    const struct ledger_account *account = find(call, key);
    if (account == NULL || account->head == LEDGER_NONE) {
        mimic_fail(call, NOT_FOUND);
        return;
    }
    const json_t *request = call->request;
    json_t *answer = call->answer;
    bool confirmed = tree_flag(request, "include_confirmed", false);
    put_chain(call, account, confirmed);
    if (tree_flag(request, "representative", false)) {
        mimic_put_account(answer, "representative", representative_at(call->ledger, account->head));
        if (confirmed) {
            mimic_put_account(answer, "confirmed_representative",
                              representative_at(call->ledger, account->confirmed));
        }
    }
    if (tree_flag(request, "weight", false)) {
        mimic_put_amount(answer, "weight", account->weight);
    }
    if (tree_flag(request, "receivable", tree_flag(request, "pending", false))) {
        struct amount all = mimic_receivable_sum(call->ledger, account, false);
        mimic_put_amount(answer, "pending", all);
        mimic_put_amount(answer, "receivable", all);
        if (confirmed) {
            struct amount sure = mimic_receivable_sum(call->ledger, account, true);
            mimic_put_amount(answer, "confirmed_pending", sure);
            mimic_put_amount(answer, "confirmed_receivable", sure);
        }
    }
}
