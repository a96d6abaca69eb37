/* block_info, blocks_info, block_confirm (nano-node V27.1, nano/node/json_handler.cpp). */
#include <stdlib.h>

#include "simulate/mimic_call.h"

#define NOT_FOUND "Block not found"

static const char *subtype_of(const struct ledger_block *block)
{
    switch (block->move) {
    case LEDGER_SEND:
        return "send";
    case LEDGER_RECEIVE:
        return "receive";
    case LEDGER_CHANGE:
        return "change";
    }
    return "?";
}

static void put_block(const struct mimic_call *call, json_t *object, const struct ledger_block *block)
{
    mimic_put_account(object, "block_account", ledger_account(call->ledger, block->account)->key);
    mimic_put_amount(object, "amount", block->amount);
    mimic_put_amount(object, "balance", block->balance);
    mimic_put_number(object, "height", block->height);
    mimic_put_number(object, "local_timestamp", (uint64_t)block->local_s);
    mimic_put_block(call->ledger, object, "successor", block->successor);
    tree_put(object, "confirmed", block->confirmed ? "true" : "false");
    json_t *contents = block_to_json(&block->block);
    if (tree_flag(call->request, "json_block", false)) {
        json_object_set_new(object, "contents", contents);
    } else {
        char *text = tree_print(contents);
        tree_put(object, "contents", text);
        free(text);
    }
    if (block->block.type == BLOCK_STATE) {
        tree_put(object, "subtype", subtype_of(block));
    }
}

static void put_receivable(const struct mimic_call *call, json_t *object, const struct ledger_block *block)
{
    bool flag = tree_flag(call->request, "receivable", tree_flag(call->request, "pending", false));
    bool waits = block->move == LEDGER_SEND && block->received_by == LEDGER_NONE;
    if (flag) {
        tree_put(object, "pending", waits ? "1" : "0");
        tree_put(object, "receivable", waits ? "1" : "0");
    }
    if (tree_flag(call->request, "receive_hash", false)) {
        mimic_put_block(call->ledger, object, "receive_hash", block->received_by);
    }
}

static void put_source(const struct mimic_call *call, json_t *object, const struct ledger_block *block)
{
    if (!tree_flag(call->request, "source", false)) {
        return;
    }
    if (block->source == LEDGER_NONE) {
        tree_put(object, "source_account", "0");
        return;
    }
    const struct ledger_block *send = ledger_block(call->ledger, block->source);
    mimic_put_account(object, "source_account", ledger_account(call->ledger, send->account)->key);
}

/* LEDGER_NONE: it failed. */
static uint32_t need_block(struct mimic_call *call)
{
    const char *text = mimic_need(call, "hash");
    uint8_t hash[32];
    if (text == NULL) {
        return LEDGER_NONE;
    }
    if (!mimic_read_hash(text, hash)) {
        mimic_fail(call, "Invalid block hash");
        return LEDGER_NONE;
    }
    uint32_t number = ledger_find_block(call->ledger, hash);
    if (number == LEDGER_NONE) {
        mimic_fail(call, NOT_FOUND);
    }
    return number;
}

void mimic_block_info(struct mimic_call *call)
{
    uint32_t number = need_block(call);
    if (number != LEDGER_NONE) {
        put_block(call, call->answer, ledger_block(call->ledger, number));
    }
}

void mimic_block_confirm(struct mimic_call *call)
{
    uint32_t number = need_block(call);
    if (number != LEDGER_NONE) {
        tree_put(call->answer, "started", "1");
        call->options->confirm(call->options->context, ledger_block(call->ledger, number)->hash);
    }
}

void mimic_blocks_info(struct mimic_call *call)
{
    bool include_not_found = tree_flag(call->request, "include_not_found", false);
    const json_t *list = mimic_need_list(call, "hashes");
    json_t *blocks = json_object(), *not_found = json_array();
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && call->error == NULL; i++) {
        const char *text = tree_data(json_array_get(list, i));
        uint8_t hash[32];
        if (!mimic_read_hash(text, hash)) {
            mimic_fail(call, "Bad hash number");
            break;
        }
        uint32_t number = ledger_find_block(call->ledger, hash);
        if (number != LEDGER_NONE) {
            const struct ledger_block *block = ledger_block(call->ledger, number);
            json_t *entry = json_object();
            put_block(call, entry, block);
            put_receivable(call, entry, block);
            put_source(call, entry, block);
            json_object_set_new(blocks, text, entry);
        } else if (include_not_found) {
            json_array_append_new(not_found, json_string(text));
        } else {
            mimic_fail(call, NOT_FOUND);
        }
    }
    tree_put_collection(call->answer, "blocks", blocks);
    if (include_not_found) {
        tree_put_collection(call->answer, "blocks_not_found", not_found);
    } else {
        json_decref(not_found);
    }
}
