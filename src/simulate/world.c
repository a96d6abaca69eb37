#include "simulate/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "simulate/table.h"

#define ACCOUNT_KEYS_FROM 0x80000000u /* of the seed's keys; the network's own are counted from 0 */

struct world {
    struct world_events events;
    struct network *network;
    struct ledger *ledger;
    struct table keys; /* account → its number in the network */
    struct table auto_receive;
    uint32_t next_key;
    size_t bank, old_bank;
    bool ordered; /* what is made now was ordered here, and is confirmed or not as its order says */
    uint32_t made;
};

static void on_made(void *context, const struct notice *notice)
{
    struct world *world = context;
    enum cs_err err =
        ledger_add(world->ledger, notice, world->events.now_s(world->events.context), &world->made);
    assert(err == CS_OK); /* the network makes no block that does not follow */
    (void)err;
    world->events.arrived(world->events.context, world->made);
    if (!world->ordered) {
        world_confirm(world, world->made, WORLD_QUORUM, 0);
    }
}

static size_t add_account(struct world *world, const struct sign_key *key)
{
    size_t number = network_add_account(world->network, key);
    table_put(&world->keys, key->public_key, (uint32_t)number);
    return number;
}

static size_t add_numbered(struct world *world)
{
    struct sign_key key;
    network_derive_key(world->network, ACCOUNT_KEYS_FROM + world->next_key++, &key);
    return add_account(world, &key);
}

/* A bank gets a quarter of all there is. */
static size_t open_bank(struct world *world, enum network_style style)
{
    size_t bank = add_numbered(world);
    struct amount all = network_balance(world->network, NETWORK_GENESIS);
    struct amount quarter = {all.high >> 2, all.high << 62 | all.low >> 2};
    struct notice notice;
    enum cs_err err =
        network_transfer(world->network, NETWORK_GENESIS, NETWORK_STATE, bank, quarter, &notice);
    assert(err == CS_OK);
    err = network_receive(world->network, bank, style, &notice);
    assert(err == CS_OK);
    (void)err;
    return bank;
}

struct world *world_open(const struct world_events *events, struct network *network)
{
    struct world *world = cs_alloc(sizeof(*world));
    world->events = *events;
    world->network = network;
    world->ledger = ledger_open();
    table_init(&world->keys);
    table_init(&world->auto_receive);
    network_watch(network, on_made, world);
    table_put(&world->keys, network_key(network, NETWORK_GENESIS), NETWORK_GENESIS);
    world->bank = open_bank(world, NETWORK_STATE);
    world->old_bank = open_bank(world, NETWORK_LEGACY);
    return world;
}

void world_close(struct world *world)
{
    ledger_close(world->ledger);
    table_fini(&world->keys);
    table_fini(&world->auto_receive);
    free(world);
}

struct ledger *world_ledger(struct world *world)
{
    return world->ledger;
}

/* ---- accounts ------------------------------------------------------------------------------------------ */

const uint8_t *world_make_account(struct world *world)
{
    return network_key(world->network, add_numbered(world));
}

void world_adopt_key(struct world *world, const struct sign_key *key)
{
    if (!world_knows_key(world, key->public_key)) {
        add_account(world, key);
    }
}

bool world_knows_key(const struct world *world, const uint8_t account[32])
{
    return table_find(&world->keys, account) != TABLE_NONE;
}

enum cs_err world_set_auto_receive(struct world *world, const uint8_t account[32], bool on)
{
    if (!world_knows_key(world, account)) {
        return CS_ENOTFOUND;
    }
    if (on) {
        table_put(&world->auto_receive, account, 1);
    } else {
        table_remove(&world->auto_receive, account);
    }
    return CS_OK;
}

/* ---- what happens -------------------------------------------------------------------------------------- */

void world_announce(struct world *world, uint32_t block, enum world_why why, unsigned channels)
{
    if (channels != 0) {
        world->events.announced(world->events.context, block, why, channels, true);
    }
}

/* An auto-receiving wallet takes what has just been confirmed; its own blocks are confirmed as loudly. */
static void receive_confirmed(struct world *world, const struct ledger_list *newly, unsigned channels)
{
    const struct world_order order = {.confirmed = true, .why = WORLD_QUORUM, .channels = channels};
    for (size_t i = 0; i < newly->count; i++) {
        const struct ledger_block *block = ledger_block(world->ledger, newly->numbers[i]);
        if (block->move != LEDGER_SEND ||
            table_find(&world->auto_receive, ledger_destination(block)) == TABLE_NONE) {
            continue;
        }
        uint32_t receive;
        const struct world_waiting any = {.send = LEDGER_NONE, .only_confirmed = true};
        while (world_pocket(world, ledger_destination(block), NETWORK_STATE, &any, &order, &receive) ==
               CS_OK) {
        }
    }
}

void world_confirm(struct world *world, uint32_t block, enum world_why why, unsigned channels)
{
    struct ledger_list newly = {NULL, 0, 0};
    ledger_confirm(world->ledger, block, &newly);
    for (size_t i = 0; i < newly.count; i++) {
        world->events.confirmed(world->events.context, newly.numbers[i]);
        bool last = newly.numbers[i] == block;
        if (channels != 0) {
            world->events.announced(world->events.context, newly.numbers[i], last ? why : WORLD_INACTIVE,
                                    channels, false);
        }
    }
    receive_confirmed(world, &newly, channels);
    ledger_list_fini(&newly);
}

static void carry_out(struct world *world, const struct world_order *order, uint32_t *block)
{
    *block = world->made;
    ledger_set_active(world->ledger, *block, order->active);
    if (order->confirmed) {
        world_confirm(world, *block, order->why, order->channels);
    }
}

enum cs_err world_pay(struct world *world, const uint8_t *from, enum network_style style,
                      const uint8_t to[32], struct amount amount, const struct world_order *order,
                      uint32_t *block)
{
    uint32_t payer = style == NETWORK_STATE ? (uint32_t)world->bank : (uint32_t)world->old_bank;
    if (from != NULL) {
        payer = table_find(&world->keys, from);
    }
    if (payer == TABLE_NONE) {
        return CS_ENOTFOUND;
    }
    struct notice notice;
    world->ordered = true;
    enum cs_err err = network_send(world->network, payer, style, to, amount, &notice);
    world->ordered = false;
    if (err == CS_OK) {
        carry_out(world, order, block);
    }
    return err;
}

/* LEDGER_NONE: nothing waits. */
static uint32_t first_waiting(const struct world *world, const uint8_t account[32],
                              const struct world_waiting *waiting)
{
    uint32_t number = ledger_find_account(world->ledger, account);
    if (number == LEDGER_NONE) {
        return LEDGER_NONE;
    }
    const struct ledger_account *found = ledger_account(world->ledger, number);
    for (size_t i = 0; i < found->receivable_count; i++) {
        uint32_t send = found->receivable[i];
        bool counts = !waiting->only_confirmed || ledger_block(world->ledger, send)->confirmed;
        if (counts && (waiting->send == LEDGER_NONE || waiting->send == send)) {
            return send;
        }
    }
    return LEDGER_NONE;
}

enum cs_err world_pocket(struct world *world, const uint8_t account[32], enum network_style style,
                         const struct world_waiting *waiting, const struct world_order *order,
                         uint32_t *block)
{
    uint32_t whose = table_find(&world->keys, account);
    uint32_t first = first_waiting(world, account, waiting);
    if (whose == TABLE_NONE || first == LEDGER_NONE) {
        return CS_ENOTFOUND;
    }
    const struct ledger_block *send = ledger_block(world->ledger, first);
    struct notice notice;
    world->ordered = true;
    enum cs_err err = network_receive_from(world->network, whose, style, send->hash, send->amount, &notice);
    world->ordered = false;
    if (err == CS_OK) {
        carry_out(world, order, block);
    }
    return err;
}

enum cs_err world_change(struct world *world, const uint8_t account[32], enum network_style style,
                         const uint8_t representative[32], const struct world_order *order, uint32_t *block)
{
    uint32_t whose = table_find(&world->keys, account);
    if (whose == TABLE_NONE) {
        return CS_ENOTFOUND;
    }
    struct notice notice;
    world->ordered = true;
    enum cs_err err = network_change(world->network, whose, style, representative, &notice);
    world->ordered = false;
    if (err == CS_OK) {
        carry_out(world, order, block);
    }
    return err;
}
