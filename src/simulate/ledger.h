/*
 * ledger: what a make-believe node knows, in memory: every block with its place on its chain, whether it is confirmed, what is
 * receivable, which receive took what. Found by hash and by account in constant time.
 * Pure: no I/O, no clock; one thread at a time; nothing is kept.
 */
#ifndef COINSLOT_SIMULATE_LEDGER_H
#define COINSLOT_SIMULATE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "payment/amount.h"
#include "verify/notice.h"

#define LEDGER_NONE UINT32_MAX /* no block, no account */

enum ledger_move { LEDGER_SEND, LEDGER_RECEIVE, LEDGER_CHANGE }; /* an open is a receive */

/* Blocks and accounts are known by their numbers, in the order in which they came; what is pointed to stays where it is. */
struct ledger_block {
    struct block block;
    uint8_t hash[32];
    struct amount amount;  /* that it moved */
    struct amount balance; /* that it left */
    uint64_t height;       /* from 1 */
    int64_t local_s;       /* when the node saw it */
    uint32_t account;
    uint32_t previous, successor;
    uint32_t source;         /* of a receive: the send; none of the genesis's open */
    uint32_t received_by;    /* of a send */
    uint32_t representative; /* this block, or the last one before it that names a representative */
    enum ledger_move move;
    bool confirmed;
    bool active; /* an election is under way */
};

struct ledger_account {
    uint8_t key[32];
    uint32_t open, head; /* none: not opened, somebody only sent to it, or is represented by it */
    uint32_t confirmed;  /* the frontier of what is confirmed */
    struct amount weight;
    uint32_t *receivable; /* sends that wait, in the order of their hashes */
    size_t receivable_count, receivable_room;
};

struct ledger;

struct ledger *ledger_open(void);
void ledger_close(struct ledger *ledger);
struct ledger *ledger_copy(const struct ledger *ledger);

/*
 * Puts a block on its account's chain, unconfirmed. CS_ECONFLICT: it does not follow the account's head, or receives what does not wait.
 * The first block of all is the genesis's open, which receives from nobody.
 */
CS_MUST_CHECK enum cs_err ledger_add(struct ledger *ledger, const struct notice *notice, int64_t now_s,
                                     uint32_t *number);

struct ledger_list {
    uint32_t *numbers;
    size_t count, room;
};
void ledger_list_fini(struct ledger_list *list);

/* Confirms the block with all that it stands on, and lists what was not confirmed before, in an order in which it can be. */
void ledger_confirm(struct ledger *ledger, uint32_t number, struct ledger_list *newly);

void ledger_set_active(struct ledger *ledger, uint32_t number, bool active);
/* As if all had come at this second: a node that bootstraps anew. */
void ledger_set_times(struct ledger *ledger, int64_t now_s);

size_t ledger_block_count(const struct ledger *ledger);
size_t ledger_confirmed_count(const struct ledger *ledger);
size_t ledger_opened_count(const struct ledger *ledger); /* accounts with a block */

const struct ledger_block *ledger_block(const struct ledger *ledger, uint32_t number);
const struct ledger_account *ledger_account(const struct ledger *ledger, uint32_t number);
/* LEDGER_NONE: it is not known. */
uint32_t ledger_find_block(const struct ledger *ledger, const uint8_t hash[32]);
uint32_t ledger_find_account(const struct ledger *ledger, const uint8_t key[32]);

/* Whom a send pays. */
const uint8_t *ledger_destination(const struct ledger_block *block);
/* What the block says of its account in a notice. */
void ledger_to_notice(const struct ledger *ledger, const struct ledger_block *block, struct notice *notice);

#endif
