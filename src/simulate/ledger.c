#include "simulate/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "simulate/table.h"

/* Blocks and accounts lie in pieces that never move. */
#define PIECE_COUNT  4096
#define PIECES_FIRST 16

struct pieces {
    void **pieces;
    size_t count, room; /* of items; of pieces */
    size_t item_bytes;
};

struct ledger {
    struct pieces blocks, accounts;
    struct table by_hash, by_key;
    size_t confirmed_count, opened_count;
};

/* ---- pieces -------------------------------------------------------------------------------------------- */

static void *item_at(const struct pieces *pieces, size_t number)
{
    assert(number < pieces->count);
    return (char *)pieces->pieces[number / PIECE_COUNT] + number % PIECE_COUNT * pieces->item_bytes;
}

static void *add_item(struct pieces *pieces)
{
    size_t piece = pieces->count / PIECE_COUNT;
    if (piece == pieces->room) {
        pieces->room = pieces->room == 0 ? PIECES_FIRST : 2 * pieces->room;
        pieces->pieces = cs_realloc(pieces->pieces, pieces->room * sizeof(pieces->pieces[0]));
    }
    if (pieces->count % PIECE_COUNT == 0) {
        pieces->pieces[piece] = cs_alloc(PIECE_COUNT * pieces->item_bytes);
    }
    return item_at(pieces, pieces->count++);
}

static size_t count_pieces(const struct pieces *pieces)
{
    return (pieces->count + PIECE_COUNT - 1) / PIECE_COUNT;
}

static void free_pieces(struct pieces *pieces)
{
    for (size_t i = 0; i < count_pieces(pieces); i++) {
        free(pieces->pieces[i]);
    }
    free(pieces->pieces);
}

static void copy_pieces(struct pieces *copy, const struct pieces *pieces)
{
    *copy = *pieces;
    copy->pieces = cs_alloc(pieces->room * sizeof(pieces->pieces[0]));
    for (size_t i = 0; i < count_pieces(pieces); i++) {
        copy->pieces[i] = cs_alloc(PIECE_COUNT * pieces->item_bytes);
        memcpy(copy->pieces[i], pieces->pieces[i], PIECE_COUNT * pieces->item_bytes);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

struct ledger *ledger_open(void)
{
    struct ledger *ledger = cs_alloc(sizeof(*ledger));
    ledger->blocks.item_bytes = sizeof(struct ledger_block);
    ledger->accounts.item_bytes = sizeof(struct ledger_account);
    table_init(&ledger->by_hash);
    table_init(&ledger->by_key);
    return ledger;
}

static struct ledger_account *account_at(const struct ledger *ledger, uint32_t number)
{
    return item_at(&ledger->accounts, number);
}

static struct ledger_block *block_at(const struct ledger *ledger, uint32_t number)
{
    return item_at(&ledger->blocks, number);
}

void ledger_close(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->accounts.count; i++) {
        free(account_at(ledger, (uint32_t)i)->receivable);
    }
    free_pieces(&ledger->blocks);
    free_pieces(&ledger->accounts);
    table_fini(&ledger->by_hash);
    table_fini(&ledger->by_key);
    free(ledger);
}

struct ledger *ledger_copy(const struct ledger *ledger)
{
    struct ledger *copy = cs_alloc(sizeof(*copy));
    *copy = *ledger;
    copy_pieces(&copy->blocks, &ledger->blocks);
    copy_pieces(&copy->accounts, &ledger->accounts);
    table_copy(&copy->by_hash, &ledger->by_hash);
    table_copy(&copy->by_key, &ledger->by_key);
    for (size_t i = 0; i < copy->accounts.count; i++) {
        struct ledger_account *account = account_at(copy, (uint32_t)i);
        const uint32_t *waiting = account->receivable;
        if (waiting != NULL) {
            account->receivable = cs_alloc(account->receivable_room * sizeof(waiting[0]));
            memcpy(account->receivable, waiting, account->receivable_count * sizeof(waiting[0]));
        }
    }
    return copy;
}

void ledger_list_fini(struct ledger_list *list)
{
    free(list->numbers);
    *list = (struct ledger_list){NULL, 0, 0};
}

static void list_add(struct ledger_list *list, uint32_t number)
{
    if (list->count == list->room) {
        list->room = list->room == 0 ? 16 : 2 * list->room;
        list->numbers = cs_realloc(list->numbers, list->room * sizeof(list->numbers[0]));
    }
    list->numbers[list->count++] = number;
}

/* ---- looking ------------------------------------------------------------------------------------------- */

size_t ledger_block_count(const struct ledger *ledger)
{
    return ledger->blocks.count;
}

size_t ledger_confirmed_count(const struct ledger *ledger)
{
    return ledger->confirmed_count;
}

size_t ledger_opened_count(const struct ledger *ledger)
{
    return ledger->opened_count;
}

const struct ledger_block *ledger_block(const struct ledger *ledger, uint32_t number)
{
    return block_at(ledger, number);
}

const struct ledger_account *ledger_account(const struct ledger *ledger, uint32_t number)
{
    return account_at(ledger, number);
}

uint32_t ledger_find_block(const struct ledger *ledger, const uint8_t hash[32])
{
    return table_find(&ledger->by_hash, hash);
}

uint32_t ledger_find_account(const struct ledger *ledger, const uint8_t key[32])
{
    return table_find(&ledger->by_key, key);
}

const uint8_t *ledger_destination(const struct ledger_block *block)
{
    assert(block->move == LEDGER_SEND);
    return block->block.link;
}

void ledger_to_notice(const struct ledger *ledger, const struct ledger_block *block, struct notice *notice)
{
    *notice = (struct notice){
        .block = block->block, .amount = block->amount, .is_send = block->move == LEDGER_SEND};
    memcpy(notice->account, account_at(ledger, block->account)->key, 32);
    memcpy(notice->hash, block->hash, 32);
}

/* ---- what waits to be received ------------------------------------------------------------------------- */

/* The first that is not before `hash`. */
static size_t place_among(const struct ledger *ledger, const struct ledger_account *account,
                          const uint8_t hash[32])
{
    size_t low = 0, high = account->receivable_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(block_at(ledger, account->receivable[middle])->hash, hash, 32) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void add_receivable(struct ledger *ledger, struct ledger_account *account, uint32_t number)
{
    if (account->receivable_count == account->receivable_room) {
        account->receivable_room = account->receivable_room == 0 ? 4 : 2 * account->receivable_room;
        account->receivable =
            cs_realloc(account->receivable, account->receivable_room * sizeof(account->receivable[0]));
    }
    size_t place = place_among(ledger, account, block_at(ledger, number)->hash);
    memmove(&account->receivable[place + 1], &account->receivable[place],
            (account->receivable_count - place) * sizeof(account->receivable[0]));
    account->receivable[place] = number;
    account->receivable_count++;
}

static bool waits(const struct ledger *ledger, const struct ledger_account *account, uint32_t number)
{
    size_t place = place_among(ledger, account, block_at(ledger, number)->hash);
    return place < account->receivable_count && account->receivable[place] == number;
}

static void remove_receivable(struct ledger *ledger, struct ledger_account *account, uint32_t number)
{
    size_t place = place_among(ledger, account, block_at(ledger, number)->hash);
    account->receivable_count--;
    memmove(&account->receivable[place], &account->receivable[place + 1],
            (account->receivable_count - place) * sizeof(account->receivable[0]));
}

/* ---- adding -------------------------------------------------------------------------------------------- */

static uint32_t intern_account(struct ledger *ledger, const uint8_t key[32])
{
    uint32_t number = table_find(&ledger->by_key, key);
    if (number == TABLE_NONE) {
        number = (uint32_t)ledger->accounts.count;
        struct ledger_account *account = add_item(&ledger->accounts);
        memcpy(account->key, key, 32);
        account->open = account->head = account->confirmed = LEDGER_NONE;
        table_put(&ledger->by_key, key, number);
    }
    return number;
}

static enum ledger_move move_of(const struct notice *notice)
{
    static const uint8_t zero[32] = {0};
    if (notice->is_send) {
        return LEDGER_SEND;
    }
    return memcmp(notice->block.link, zero, sizeof(zero)) == 0 ? LEDGER_CHANGE : LEDGER_RECEIVE;
}

static bool follows(const struct ledger *ledger, const struct ledger_account *account,
                    const struct block *block)
{
    static const uint8_t zero[32] = {0};
    const uint8_t *head = account->head == LEDGER_NONE ? zero : block_at(ledger, account->head)->hash;
    return memcmp(head, block->previous, 32) == 0;
}

static struct amount balance_after(const struct ledger *ledger, const struct ledger_account *account,
                                   const struct notice *notice)
{
    if (notice->block.type == BLOCK_STATE || notice->block.type == BLOCK_SEND) {
        return notice->block.balance;
    }
    struct amount before = {0, 0}, after;
    if (account->head != LEDGER_NONE) {
        before = block_at(ledger, account->head)->balance;
    }
    bool fits = amount_add(before, notice->amount, &after); /* a change moves nothing */
    assert(fits);
    return after;
}

static bool names_representative(const struct block *block)
{
    return block->type == BLOCK_STATE || block->type == BLOCK_OPEN || block->type == BLOCK_CHANGE;
}

/* Wraps around where two genesis accounts would be more than there is; no answer depends on it. */
static void add_weight(struct amount *weight, struct amount more)
{
    uint64_t low = weight->low + more.low;
    weight->high += more.high + (low < more.low ? 1 : 0);
    weight->low = low;
}

static void take_weight(struct amount *weight, struct amount less)
{
    uint64_t borrow = weight->low < less.low ? 1 : 0;
    weight->low -= less.low;
    weight->high -= less.high + borrow;
}

static struct amount *weight_under(struct ledger *ledger, uint32_t representative)
{
    const struct ledger_block *names = block_at(ledger, representative);
    return &account_at(ledger, intern_account(ledger, names->block.representative))->weight;
}

static void put_on_chain(struct ledger *ledger, struct ledger_account *account, uint32_t number)
{
    struct ledger_block *block = block_at(ledger, number);
    block->representative = number;
    if (account->head == LEDGER_NONE) {
        account->open = number;
        ledger->opened_count++;
    } else {
        struct ledger_block *before = block_at(ledger, account->head);
        before->successor = number;
        block->representative = names_representative(&block->block) ? number : before->representative;
        take_weight(weight_under(ledger, before->representative), before->balance);
    }
    account->head = number;
    add_weight(weight_under(ledger, block->representative), block->balance);
}

enum cs_err ledger_add(struct ledger *ledger, const struct notice *notice, int64_t now_s, uint32_t *number)
{
    enum ledger_move move = move_of(notice);
    bool is_genesis = ledger->blocks.count == 0;
    uint32_t source = move == LEDGER_RECEIVE ? table_find(&ledger->by_hash, notice->block.link) : LEDGER_NONE;
    uint32_t whose = intern_account(ledger, notice->account);
    struct ledger_account *account = account_at(ledger, whose);
    if (!follows(ledger, account, &notice->block) || ledger_find_block(ledger, notice->hash) != LEDGER_NONE ||
        (move == LEDGER_RECEIVE && !is_genesis &&
         (source == LEDGER_NONE || !waits(ledger, account, source)))) {
        return CS_ECONFLICT;
    }
    *number = (uint32_t)ledger->blocks.count;
    struct ledger_block *block = add_item(&ledger->blocks);
    block->block = notice->block;
    memcpy(block->hash, notice->hash, 32);
    block->amount = notice->amount;
    block->balance = balance_after(ledger, account, notice);
    block->height = account->head == LEDGER_NONE ? 1 : block_at(ledger, account->head)->height + 1;
    block->local_s = now_s;
    block->account = whose;
    block->previous = account->head;
    block->successor = block->received_by = LEDGER_NONE;
    block->source = source;
    block->move = move;
    table_put(&ledger->by_hash, notice->hash, *number);
    put_on_chain(ledger, account, *number);
    if (source != LEDGER_NONE) {
        remove_receivable(ledger, account, source);
        block_at(ledger, source)->received_by = *number;
    }
    if (move == LEDGER_SEND) {
        uint32_t to = intern_account(ledger, ledger_destination(block));
        add_receivable(ledger, account_at(ledger, to), *number);
    }
    return CS_OK;
}

/* ---- confirming ---------------------------------------------------------------------------------------- */

/* What has to be confirmed before this block; LEDGER_NONE: nothing is left. */
static uint32_t awaited_by(const struct ledger *ledger, const struct ledger_block *block)
{
    if (block->previous != LEDGER_NONE && !block_at(ledger, block->previous)->confirmed) {
        return block->previous;
    }
    if (block->source != LEDGER_NONE && !block_at(ledger, block->source)->confirmed) {
        return block->source;
    }
    return LEDGER_NONE;
}

void ledger_confirm(struct ledger *ledger, uint32_t number, struct ledger_list *newly)
{
    struct ledger_list path = {NULL, 0, 0};
    if (!block_at(ledger, number)->confirmed) {
        list_add(&path, number);
    }
    while (path.count > 0) {
        uint32_t last = path.numbers[path.count - 1];
        struct ledger_block *block = block_at(ledger, last);
        uint32_t awaited = awaited_by(ledger, block);
        if (awaited != LEDGER_NONE) {
            list_add(&path, awaited);
            continue;
        }
        path.count--;
        block->confirmed = true;
        block->active = false;
        account_at(ledger, block->account)->confirmed = last;
        ledger->confirmed_count++;
        list_add(newly, last);
    }
    ledger_list_fini(&path);
}

void ledger_set_active(struct ledger *ledger, uint32_t number, bool active)
{
    struct ledger_block *block = block_at(ledger, number);
    block->active = active && !block->confirmed;
}

void ledger_set_times(struct ledger *ledger, int64_t now_s)
{
    for (size_t i = 0; i < ledger->blocks.count; i++) {
        block_at(ledger, (uint32_t)i)->local_s = now_s;
    }
}
