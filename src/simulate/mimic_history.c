/* account_history (nano-node V27.1, nano/node/json_handler.cpp: history_visitor, account_history). */
#include <string.h>

#include "base/hex.h"
#include "simulate/mimic_call.h"

/* Who is on the other side, and how much. */
static void put_transfer(const struct mimic_call *call, json_t *entry, const struct ledger_block *block)
{
    if (block->move == LEDGER_SEND) {
        mimic_put_account(entry, "account", ledger_destination(block));
    } else if (block->source != LEDGER_NONE) {
        const struct ledger_block *send = ledger_block(call->ledger, block->source);
        mimic_put_account(entry, "account", ledger_account(call->ledger, send->account)->key);
    } else {
        mimic_put_account(entry, "account", ledger_account(call->ledger, block->account)->key); /* genesis */
    }
    mimic_put_amount(entry, "amount", block->amount);
}

static void put_state(const struct mimic_call *call, json_t *entry, const struct ledger_block *block,
                      bool raw)
{
    static const char *const subtypes[] = {
        [LEDGER_SEND] = "send", [LEDGER_RECEIVE] = "receive", [LEDGER_CHANGE] = "change"};
    if (raw) {
        tree_put(entry, "type", "state");
        mimic_put_account(entry, "representative", block->block.representative);
        mimic_put_hash(entry, "link", block->block.link);
        mimic_put_amount(entry, "balance", block->block.balance);
        mimic_put_hash(entry, "previous", block->block.previous);
        tree_put(entry, "subtype", subtypes[block->move]);
    } else if (block->move != LEDGER_CHANGE) {
        tree_put(entry, "type", subtypes[block->move]);
    }
    if (block->move != LEDGER_CHANGE) {
        put_transfer(call, entry, block);
    }
}

static void put_open(const struct mimic_call *call, json_t *entry, const struct ledger_block *block, bool raw)
{
    tree_put(entry, "type", raw ? "open" : "receive");
    if (raw) {
        mimic_put_account(entry, "representative", block->block.representative);
        mimic_put_hash(entry, "source", block->block.link);
        mimic_put_account(entry, "opened", block->block.account);
    }
    put_transfer(call, entry, block);
}

/* Empty: the block is not shown. */
static json_t *print_entry(const struct mimic_call *call, const struct ledger_block *block, bool raw)
{
    json_t *entry = json_object();
    switch (block->block.type) {
    case BLOCK_STATE:
        put_state(call, entry, block, raw);
        break;
    case BLOCK_SEND:
        tree_put(entry, "type", "send");
        put_transfer(call, entry, block);
        if (raw) {
            mimic_put_account(entry, "destination", ledger_destination(block));
            mimic_put_amount(entry, "balance", block->balance);
            mimic_put_hash(entry, "previous", block->block.previous);
        }
        break;
    case BLOCK_RECEIVE:
        tree_put(entry, "type", "receive");
        put_transfer(call, entry, block);
        if (raw) {
            mimic_put_hash(entry, "source", block->block.link);
            mimic_put_hash(entry, "previous", block->block.previous);
        }
        break;
    case BLOCK_OPEN:
        put_open(call, entry, block, raw);
        break;
    case BLOCK_CHANGE:
        if (raw) {
            tree_put(entry, "type", "change");
            mimic_put_account(entry, "representative", block->block.representative);
            mimic_put_hash(entry, "previous", block->block.previous);
        }
        break;
    }
    return entry;
}

static void put_common(json_t *entry, const struct ledger_block *block, bool raw)
{
    mimic_put_number(entry, "local_timestamp", (uint64_t)block->local_s);
    mimic_put_number(entry, "height", block->height);
    mimic_put_hash(entry, "hash", block->hash);
    tree_put(entry, "confirmed", block->confirmed ? "true" : "false");
    if (raw) {
        char signature[129], work[17];
        uint8_t bytes[8];
        for (int i = 0; i < 8; i++) {
            bytes[i] = (uint8_t)(block->block.work >> (56 - 8 * i));
        }
        hex_encode_lower(bytes, sizeof(bytes), work);
        hex_encode_upper(block->block.signature, 64, signature);
        tree_put(entry, "work", work);
        tree_put(entry, "signature", signature);
    }
}

/* Where to begin: `head`, or an end of the account's chain. Whose chain it is comes first in the answer. */
static uint32_t find_start(struct mimic_call *call, bool reverse)
{
    const char *head = tree_text(call->request, "head");
    uint8_t bytes[32];
    if (head != NULL) {
        if (!mimic_read_hash(head, bytes)) {
            call->error = "Bad hash number"; /* in the place of what failed before */
            return LEDGER_NONE;
        }
        uint32_t block = ledger_find_block(call->ledger, bytes);
        if (block == LEDGER_NONE) {
            call->error = "Block not found";
            return LEDGER_NONE;
        }
        const struct ledger_block *start = ledger_block(call->ledger, block);
        if (call->error == NULL) {
            mimic_put_account(call->answer, "account", ledger_account(call->ledger, start->account)->key);
        }
        return block;
    }
    if (call->error != NULL || !mimic_read_account(call, "", bytes)) {
        return LEDGER_NONE;
    }
    uint32_t number = ledger_find_account(call->ledger, bytes);
    uint32_t block = LEDGER_NONE;
    if (number != LEDGER_NONE) {
        const struct ledger_account *account = ledger_account(call->ledger, number);
        block = reverse ? account->open : account->head;
    }
    if (reverse && block == LEDGER_NONE) {
        mimic_fail(call, "Account not found");
    }
    mimic_put_account(call->answer, "account", bytes);
    return block;
}

static uint64_t read_count(struct mimic_call *call)
{
    const char *text = mimic_need(call, "count");
    uint64_t count = 0;
    if (text != NULL && (!mimic_read_unsigned(text, &count) || count == 0)) {
        mimic_fail(call, "Invalid count");
    }
    return count;
}

void mimic_account_history(struct mimic_call *call)
{
    bool raw = tree_flag(call->request, "raw", false), reverse = tree_flag(call->request, "reverse", false);
    uint64_t count = read_count(call);
    uint64_t offset = mimic_optional_number(call, "offset", 0, "Invalid offset");
    uint32_t number = find_start(call, reverse);
    if (call->error != NULL) {
        return;
    }
    json_t *history = json_array();
    while (number != LEDGER_NONE && count > 0) {
        const struct ledger_block *block = ledger_block(call->ledger, number);
        if (offset > 0) {
            offset--;
        } else {
            json_t *entry = print_entry(call, block, raw);
            if (json_object_size(entry) > 0) {
                put_common(entry, block, raw);
                json_array_append(history, entry);
                count--;
            }
            json_decref(entry);
        }
        number = reverse ? block->successor : block->previous;
    }
    tree_put_collection(call->answer, "history", history);
    if (number != LEDGER_NONE) {
        mimic_put_block(call->ledger, call->answer, reverse ? "next" : "previous", number);
    }
}
