#include "simulate/network.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "simulate/chance.h"
#include "simulate/sign.h"

struct receivable {
    uint8_t hash[32];
    struct amount amount;
};

struct account {
    struct sign_key key;
    uint8_t frontier[32]; /* zero while the chain is not open */
    uint8_t representative[32];
    struct amount balance;
    bool open;
    bool legacy; /* no state block yet */
    size_t receivable_count;
    struct receivable receivable[NETWORK_RECEIVABLE_MOST]; /* oldest first */
};

struct network {
    uint8_t seed[32];
    struct chance chance;
    size_t count, room;
    struct account *accounts;
    struct notice genesis;
    network_made made;
    void *context;
};

static struct account *at(struct network *network, size_t account)
{
    assert(account < network->count);
    return &network->accounts[account];
}

static const struct account *look(const struct network *network, size_t account)
{
    assert(account < network->count);
    return &network->accounts[account];
}

/* Work, hash and signature; and whose block this is, which a legacy block does not say. */
static void seal(struct network *network, const struct account *account, struct notice *notice)
{
    notice->block.work = chance_next(&network->chance);
    block_hash(&notice->block, notice->hash);
    sign_hash(&account->key, notice->hash, notice->block.signature);
    memcpy(notice->account, account->key.public_key, 32);
}

static void put_on_chain(struct network *network, struct account *account, const struct notice *notice,
                         struct amount balance)
{
    memcpy(account->frontier, notice->hash, 32);
    account->balance = balance;
    account->legacy = (account->legacy || !account->open) && notice->block.type != BLOCK_STATE;
    account->open = true;
    if (network->made != NULL) {
        network->made(network->context, notice);
    }
}

/* What every state block says: who, after which block, represented by whom, with what left. */
static void begin_state(const struct account *account, struct amount balance, struct block *block)
{
    block->type = BLOCK_STATE;
    memcpy(block->account, account->key.public_key, 32);
    memcpy(block->previous, account->frontier, 32);
    memcpy(block->representative, account->representative, 32);
    block->balance = balance;
}

/* The genesis block is a legacy open from nowhere, as on the main network. */
static void open_genesis(struct network *network)
{
    struct account *genesis = at(network, NETWORK_GENESIS);
    struct notice *notice = &network->genesis;
    notice->amount = (struct amount){UINT64_MAX, UINT64_MAX};
    notice->block.type = BLOCK_OPEN;
    memcpy(notice->block.account, genesis->key.public_key, 32);
    memcpy(notice->block.representative, genesis->key.public_key, 32);
    memcpy(notice->block.link, genesis->key.public_key, 32);
    seal(network, genesis, notice);
    put_on_chain(network, genesis, notice, notice->amount);
}

struct network *network_open(const uint8_t seed[32], size_t accounts)
{
    assert(accounts >= 1 && accounts <= UINT32_MAX);
    int failed = sodium_init(); /* 1 when another has done it */
    assert(failed >= 0);
    (void)failed;
    struct network *network = cs_alloc(sizeof(*network));
    memcpy(network->seed, seed, sizeof(network->seed));
    network->count = network->room = accounts;
    network->accounts = cs_alloc(accounts * sizeof(network->accounts[0]));
    for (int i = 0; i < 8; i++) {
        network->chance.state = network->chance.state << 8 | seed[i];
    }
    for (size_t i = 0; i < accounts; i++) {
        sign_derive_key(seed, (uint32_t)i, &network->accounts[i].key);
        memcpy(network->accounts[i].representative, network->accounts[0].key.public_key, 32);
    }
    open_genesis(network);
    return network;
}

void network_close(struct network *network)
{
    free(network->accounts);
    free(network);
}

void network_watch(struct network *network, network_made made, void *context)
{
    network->made = made;
    network->context = context;
    made(context, &network->genesis);
}

void network_derive_key(const struct network *network, uint32_t index, struct sign_key *key)
{
    sign_derive_key(network->seed, index, key);
}

size_t network_add_account(struct network *network, const struct sign_key *key)
{
    if (network->count == network->room) {
        network->room *= 2;
        network->accounts = cs_realloc(network->accounts, network->room * sizeof(network->accounts[0]));
    }
    struct account *account = &network->accounts[network->count];
    memset(account, 0, sizeof(*account));
    account->key = *key;
    memcpy(account->representative, network->accounts[NETWORK_GENESIS].key.public_key, 32);
    return network->count++;
}

const uint8_t *network_key(const struct network *network, size_t account)
{
    return look(network, account)->key.public_key;
}

struct amount network_balance(const struct network *network, size_t account)
{
    return look(network, account)->balance;
}

bool network_is_open(const struct network *network, size_t account)
{
    return look(network, account)->open;
}

size_t network_receivable_count(const struct network *network, size_t account)
{
    return look(network, account)->receivable_count;
}

static bool may_extend(const struct account *account, enum network_style style)
{
    return account->open && (style == NETWORK_STATE || account->legacy);
}

enum cs_err network_draft_send(struct network *network, size_t from, enum network_style style,
                               const uint8_t to[32], struct amount amount, struct notice *notice)
{
    const struct account *account = at(network, from);
    struct amount balance;
    if (!may_extend(account, style) || amount_is_zero(amount) ||
        !amount_subtract(account->balance, amount, &balance)) {
        return CS_ECONFLICT;
    }
    *notice = (struct notice){.amount = amount, .is_send = true};
    switch (style) {
    case NETWORK_STATE:
        begin_state(account, balance, &notice->block);
        break;
    case NETWORK_LEGACY:
        notice->block.type = BLOCK_SEND;
        memcpy(notice->block.previous, account->frontier, 32);
        notice->block.balance = balance;
        break;
    }
    memcpy(notice->block.link, to, 32);
    seal(network, account, notice);
    return CS_OK;
}

enum cs_err network_send(struct network *network, size_t from, enum network_style style, const uint8_t to[32],
                         struct amount amount, struct notice *notice)
{
    enum cs_err err = network_draft_send(network, from, style, to, amount, notice);
    if (err == CS_OK) {
        put_on_chain(network, at(network, from), notice, notice->block.balance);
    }
    return err;
}

enum cs_err network_transfer(struct network *network, size_t from, enum network_style style, size_t to,
                             struct amount amount, struct notice *notice)
{
    struct account *receiver = at(network, to);
    if (receiver->receivable_count == NETWORK_RECEIVABLE_MOST) {
        return CS_EBUSY;
    }
    enum cs_err err = network_send(network, from, style, receiver->key.public_key, amount, notice);
    if (err == CS_OK) {
        struct receivable *waiting = &receiver->receivable[receiver->receivable_count++];
        memcpy(waiting->hash, notice->hash, 32);
        waiting->amount = amount;
    }
    return err;
}

enum cs_err network_receive_from(struct network *network, size_t to, enum network_style style,
                                 const uint8_t source[32], struct amount amount, struct notice *notice)
{
    struct account *account = at(network, to);
    struct amount balance;
    if ((account->open && !may_extend(account, style)) || !amount_add(account->balance, amount, &balance)) {
        return CS_ECONFLICT;
    }
    *notice = (struct notice){.amount = amount};
    struct block *block = &notice->block;
    switch (style) {
    case NETWORK_STATE:
        begin_state(account, balance, block);
        break;
    case NETWORK_LEGACY:
        if (account->open) {
            block->type = BLOCK_RECEIVE;
            memcpy(block->previous, account->frontier, 32);
        } else {
            block->type = BLOCK_OPEN;
            memcpy(block->account, account->key.public_key, 32);
            memcpy(block->representative, account->representative, 32);
        }
        break;
    }
    memcpy(block->link, source, 32);
    seal(network, account, notice);
    put_on_chain(network, account, notice, balance);
    return CS_OK;
}

enum cs_err network_receive(struct network *network, size_t to, enum network_style style,
                            struct notice *notice)
{
    struct account *account = at(network, to);
    if (account->receivable_count == 0) {
        return CS_ENOTFOUND;
    }
    const struct receivable oldest = account->receivable[0];
    enum cs_err err = network_receive_from(network, to, style, oldest.hash, oldest.amount, notice);
    if (err == CS_OK) {
        account->receivable_count--;
        memmove(&account->receivable[0], &account->receivable[1],
                account->receivable_count * sizeof(account->receivable[0]));
    }
    return err;
}

enum cs_err network_change(struct network *network, size_t whose, enum network_style style,
                           const uint8_t representative[32], struct notice *notice)
{
    struct account *account = at(network, whose);
    if (!may_extend(account, style)) {
        return CS_ECONFLICT;
    }
    memcpy(account->representative, representative, 32);
    *notice = (struct notice){.is_send = false};
    switch (style) {
    case NETWORK_STATE:
        begin_state(account, account->balance, &notice->block);
        break;
    case NETWORK_LEGACY:
        notice->block.type = BLOCK_CHANGE;
        memcpy(notice->block.previous, account->frontier, 32);
        memcpy(notice->block.representative, representative, 32);
        break;
    }
    seal(network, account, notice);
    put_on_chain(network, account, notice, account->balance);
    return CS_OK;
}
