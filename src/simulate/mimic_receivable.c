/* receivable, accounts_receivable, and their older names (nano-node V27.1, nano/node/json_handler.cpp). */
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "payment/payment.h"
#include "simulate/mimic_call.h"

struct listing {
    uint64_t count, offset;
    struct amount threshold;
    bool source, min_version, include_active, only_confirmed, sorting;
    bool simple; /* hashes alone */
};

static void read_listing(struct mimic_call *call, struct listing *listing)
{
    const json_t *request = call->request;
    listing->count = mimic_optional_number(call, "count", UINT64_MAX, "Invalid count");
    listing->threshold = mimic_optional_threshold(call);
    listing->source = tree_flag(request, "source", false);
    listing->include_active = tree_flag(request, "include_active", false);
    listing->only_confirmed = tree_flag(request, "include_only_confirmed", true);
    listing->sorting = tree_flag(request, "sorting", false);
    listing->simple =
        amount_is_zero(listing->threshold) && !listing->source && !listing->min_version && !listing->sorting;
}

/* json_handler.cpp, block_confirmed: without include_active what is in an election stays hidden. */
static bool is_listed(const struct ledger_block *send, const struct listing *listing)
{
    if (send->confirmed) {
        return true;
    }
    return !listing->only_confirmed && (listing->include_active || !send->active);
}

static int compare_amounts(const void *a, const void *b)
{
    const struct ledger_block *left = *(const struct ledger_block *const *)a,
                              *right = *(const struct ledger_block *const *)b;
    int order = amount_compare(right->amount, left->amount);
    return order != 0 ? order : memcmp(left->hash, right->hash, 32); /* a stable sort of what came by hash */
}

/* Those that pass, in the order of their hashes; owned by the caller. `most`: no more than so many. */
static const struct ledger_block **pick(const struct mimic_call *call, const struct ledger_account *account,
                                        const struct listing *listing, uint64_t offset, uint64_t most,
                                        size_t *count)
{
    const struct ledger_block **picked =
        cs_alloc((account->receivable_count + 1) * sizeof(const struct ledger_block *));
    *count = 0;
    for (size_t i = 0; i < account->receivable_count && *count < most; i++) {
        const struct ledger_block *send = ledger_block(call->ledger, account->receivable[i]);
        if (!is_listed(send, listing)) {
            continue;
        }
        if (offset > 0) {
            offset--;
        } else if (listing->simple || amount_compare(send->amount, listing->threshold) >= 0) {
            picked[(*count)++] = send;
        }
    }
    return picked;
}

static json_t *print_simple(const struct ledger_block *const *sends, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        char hash[PAYMENT_HASH_TEXT];
        hex_encode_upper(sends[i]->hash, 32, hash);
        json_array_append_new(list, json_string(hash));
    }
    return list;
}

static json_t *print_full(const struct mimic_call *call, const struct listing *listing,
                          const struct ledger_block *const *sends, size_t count)
{
    json_t *list = json_object();
    for (size_t i = 0; i < count; i++) {
        const struct ledger_block *send = sends[i];
        char hash[PAYMENT_HASH_TEXT];
        hex_encode_upper(send->hash, 32, hash);
        if (!listing->source && !listing->min_version) {
            mimic_put_amount(list, hash, send->amount);
            continue;
        }
        json_t *entry = json_object();
        mimic_put_amount(entry, "amount", send->amount);
        if (listing->source) {
            mimic_put_account(entry, "source", ledger_account(call->ledger, send->account)->key);
        }
        if (listing->min_version) {
            tree_put(entry, "min_version", "0");
        }
        json_object_set_new(list, hash, entry);
    }
    return list;
}

void mimic_receivable(struct mimic_call *call)
{
    uint8_t key[32];
    bool good = mimic_read_account(call, "", key);
    struct listing listing = {.min_version = tree_flag(call->request, "min_version", false)};
    listing.offset = mimic_optional_number(call, "offset", 0, "Invalid offset");
    read_listing(call, &listing);
    if (!good || call->error != NULL) {
        return;
    }
    static const struct ledger_account nobody = {.receivable_count = 0};
    uint32_t number = ledger_find_account(call->ledger, key);
    const struct ledger_account *account =
        number == LEDGER_NONE ? &nobody : ledger_account(call->ledger, number);
    bool sorts = listing.sorting && !listing.simple;
    size_t count, first = 0;
    const struct ledger_block **sends =
        pick(call, account, &listing, sorts ? 0 : listing.offset, sorts ? UINT64_MAX : listing.count, &count);
    if (sorts) {
        qsort(sends, count, sizeof(const struct ledger_block *), compare_amounts);
        first = listing.offset < count ? (size_t)listing.offset : count;
        count = listing.count < count - first ? (size_t)listing.count : count - first;
    }
    tree_put_collection(call->answer, "blocks",
                        listing.simple ? print_simple(sends + first, count)
                                       : print_full(call, &listing, sends + first, count));
    free(sends);
}

void mimic_pending(struct mimic_call *call)
{
    tree_put(call->answer, "deprecated", "1");
    mimic_receivable(call);
}

static void put_account(const struct mimic_call *call, const struct listing *listing, const uint8_t key[32],
                        json_t *blocks)
{
    uint32_t number = ledger_find_account(call->ledger, key);
    if (number == LEDGER_NONE) {
        return;
    }
    size_t count;
    const struct ledger_block **sends =
        pick(call, ledger_account(call->ledger, number), listing, 0, listing->count, &count);
    if (count > 0) {
        if (listing->sorting && !listing->simple) {
            qsort(sends, count, sizeof(const struct ledger_block *),
                  compare_amounts); /* the first `count` by hash, then sorted */
        }
        char name[ADDRESS_TEXT_SIZE];
        mimic_account_text(key, name);
        json_object_set_new(blocks, name,
                            listing->simple ? print_simple(sends, count)
                                            : print_full(call, listing, sends, count));
    }
    free(sends);
}

void mimic_accounts_receivable(struct mimic_call *call)
{
    struct listing listing = {.min_version = false};
    read_listing(call, &listing);
    const json_t *list = mimic_need_list(call, "accounts");
    json_t *blocks = json_object();
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && call->error == NULL; i++) {
        uint8_t key[32];
        if (mimic_read_account(call, tree_data(json_array_get(list, i)), key)) {
            put_account(call, &listing, key, blocks);
        }
    }
    tree_put_collection(call->answer, "blocks", blocks);
}

void mimic_accounts_pending(struct mimic_call *call)
{
    tree_put(call->answer, "deprecated", "1");
    mimic_accounts_receivable(call);
}
