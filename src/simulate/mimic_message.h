/*
 * mimic_message: what the make-believe node says on its WebSocket, as a Nano V27.1 node prints it (recorded). Pure: any thread.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_MESSAGE_H
#define COINSLOT_SIMULATE_MIMIC_MESSAGE_H

#include <stdint.h>

#include "simulate/ledger.h"
#include "simulate/mimic_subscription.h"
#include "simulate/world.h"

/* All texts are the caller's. */

/* `id` "": none. */
char *mimic_message_ack(const char *action, const char *id, int64_t now_ms);

/* With the parts that `shape` includes; its block is there or not as `with_block` says. */
char *mimic_message_confirmation(const struct ledger *ledger, const struct ledger_block *block,
                                 enum world_why why, const struct mimic_subscription *shape, bool with_block,
                                 int64_t now_ms);

char *mimic_message_unconfirmed(const struct ledger_block *block, int64_t now_ms);

#endif
