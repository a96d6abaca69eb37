/*
 * fake_node: a node's RPC on loopback, before a ledger that the test fills, answering as simulate/mimic_rpc does; and one that changes, or
 * answers something else, in the middle of whatever it is asked.
 * The test's thread and those of the connections: all is under one lock, which the hook is called with.
 */
#ifndef COINSLOT_TESTS_FAKE_NODE_H
#define COINSLOT_TESTS_FAKE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payment/address.h"
#include "simulate/ledger.h"

struct fake_node;

/* The accounts 1 and 2 are opened, and have money to pay with; the others are not opened. */
struct fake_node *fake_node_open(size_t accounts);
void fake_node_close(struct fake_node *node);
uint16_t fake_node_port(const struct fake_node *node);
struct address fake_node_account(struct fake_node *node, size_t account);

/* When the node gets to know of what comes from now on: seconds since 1970. */
void fake_node_set_clock(struct fake_node *node, int64_t now_s);

/* Blocks, by their numbers in the ledger. Confirming one confirms what it stands on. */
uint32_t fake_node_pay(struct fake_node *node, size_t from, size_t to, uint64_t raw, bool confirmed);
uint32_t fake_node_pocket(struct fake_node *node, size_t to, uint32_t send, bool confirmed);
void fake_node_confirm(struct fake_node *node, uint32_t block);
void fake_node_hash(struct fake_node *node, uint32_t block, uint8_t hash[32]);

/*
 * Called before each answer. What it returns is answered in place of the ledger's answer (owned); NULL: the ledger's. FAKE_NODE_DROP: the
 * connection is closed.
 */
extern char FAKE_NODE_DROP[];
typedef char *fake_node_hook(void *context, struct fake_node *node, const char *action, const char *body);
void fake_node_set_hook(struct fake_node *node, fake_node_hook *hook, void *context);

/* What the ledger answers now; owned. For a hook, to keep for later: the answer of a node that lags. */
char *fake_node_answer(struct fake_node *node, const char *body);

/* How often an action was asked for; "": calls in all. */
size_t fake_node_asked(struct fake_node *node, const char *action);
void fake_node_forget_asked(struct fake_node *node);

#endif
