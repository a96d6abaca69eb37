/*
 * world: the ledger of a make-believe node with those who make blocks: the scenario's network, a bank that pays whom it is told to, and
 * accounts whose keys are known here. Says what a node would announce of it. Pure but for what its owner does when told; one thread;
 * nothing is kept.
 */
#ifndef COINSLOT_SIMULATE_WORLD_H
#define COINSLOT_SIMULATE_WORLD_H

#include "simulate/ledger.h"
#include "simulate/network.h"
#include "simulate/sign.h"

struct world;

/* Who hears of a confirmed block. */
#define WORLD_CALLBACK 1u
#define WORLD_WS       2u

/* Why it is announced: the names are the WebSocket's confirmation_type. */
enum world_why {
    WORLD_QUORUM,   /* active_quorum: its own election was won */
    WORLD_HEIGHT,   /* active_confirmation_height: it had been confirmed before */
    WORLD_INACTIVE, /* inactive: confirmed with a block that stands on it; never told to a callback */
};

struct world_events {
    void *context;
    int64_t (*now_s)(void *context);
    /* A block came, unconfirmed. From within world_open, too. */
    void (*arrived)(void *context, uint32_t block);
    /* `again`: it has been announced before. */
    void (*announced)(void *context, uint32_t block, enum world_why why, unsigned channels, bool again);
    /* From within world_open, too. */
    void (*confirmed)(void *context, uint32_t block);
};

/* The network stays its owner's. What it makes by itself is confirmed at once, and told by whoever made it. */
struct world *world_open(const struct world_events *events, struct network *network);
void world_close(struct world *world);

struct ledger *world_ledger(struct world *world);

/* ---- accounts whose keys are known --------------------------------------------------------------------- */

/* A new one each time, the same ones in the same order in each network of the same seed. */
const uint8_t *world_make_account(struct world *world);
/* By a key from elsewhere, as long as its chain is known here from the beginning. Harmless when it is known already. */
void world_adopt_key(struct world *world, const struct sign_key *key);
bool world_knows_key(const struct world *world, const uint8_t account[32]);
/* From now on what is paid to the account is received as soon as it is confirmed. CS_ENOTFOUND: its key is not known. */
CS_MUST_CHECK enum cs_err world_set_auto_receive(struct world *world, const uint8_t account[32], bool on);

/* ---- what happens -------------------------------------------------------------------------------------- */

struct world_order {
    bool confirmed;     /* else the block stays unconfirmed, until world_confirm */
    enum world_why why; /* of the announcement, if it is confirmed */
    unsigned channels;  /* 0: nobody is told */
    bool active;        /* unconfirmed, and in an election */
};

/*
 * `from` NULL: a bank pays, which has more money than there is need for. CS_ENOTFOUND: the key of `from` is not known; CS_ECONFLICT: it
 * has not so much, or writes no legacy blocks any more.
 */
CS_MUST_CHECK enum cs_err world_pay(struct world *world, const uint8_t *from, enum network_style style,
                                    const uint8_t to[32], struct amount amount,
                                    const struct world_order *order, uint32_t *block);
/* What waits for an account, in the order of the hashes, or this one `send` alone (LEDGER_NONE: any). */
struct world_waiting {
    uint32_t send;
    bool only_confirmed;
};
/* The first of it. CS_ENOTFOUND: nothing waits, or the account's key is not known. */
CS_MUST_CHECK enum cs_err world_pocket(struct world *world, const uint8_t account[32],
                                       enum network_style style, const struct world_waiting *waiting,
                                       const struct world_order *order, uint32_t *block);
/* CS_ECONFLICT: it is not open, or writes no legacy blocks any more. */
CS_MUST_CHECK enum cs_err world_change(struct world *world, const uint8_t account[32],
                                       enum network_style style, const uint8_t representative[32],
                                       const struct world_order *order, uint32_t *block);
/* With all that it stands on, which is announced as inactive on the WebSocket if `channels` has it. */
void world_confirm(struct world *world, uint32_t block, enum world_why why, unsigned channels);
/* Again, or for the first time: what is confirmed already. */
void world_announce(struct world *world, uint32_t block, enum world_why why, unsigned channels);

#endif
