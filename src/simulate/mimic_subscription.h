/*
 * mimic_subscription: what a session of the make-believe node's WebSocket asked to hear of confirmations, as a Nano V27.1 node
 * understands it (nano/node/websocket.cpp, confirmation_options). A value type; one thread at a time.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_SUBSCRIPTION_H
#define COINSLOT_SIMULATE_MIMIC_SUBSCRIPTION_H

#include <jansson.h>
#include <stdbool.h>

#include "simulate/ledger.h"
#include "simulate/table.h"
#include "simulate/world.h"

struct mimic_subscription {
    bool has_options; /* without them an `update` fails, and is not acked */
    bool include_block, include_election_info, include_votes, include_sideband_info;
    unsigned reasons; /* bits of enum world_why */
    bool filters;     /* by account; with none listed nothing passes */
    bool all_local;
    struct table accounts;
};

/* `options` NULL: there were none. */
void mimic_subscription_init(struct mimic_subscription *subscription, const json_t *options);
void mimic_subscription_fini(struct mimic_subscription *subscription);

/* False: there is nothing that could be changed. */
bool mimic_subscription_update(struct mimic_subscription *subscription, const json_t *options);

/*
 * Whether a message passes. Accounts are looked for in what the message shows: a legacy block has no link_as_account, and a message
 * without its block has none either, so that no filter ever passes them. `is_local`: the account is in one of the node's wallets.
 */
bool mimic_subscription_passes(const struct mimic_subscription *subscription,
                               const struct ledger_block *block, const uint8_t account[32],
                               enum world_why why, bool with_block,
                               bool (*is_local)(void *context, const uint8_t account[32]), void *context);

#endif
