#include "lib/fake_node.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "lib/fake_rpc.h"
#include "simulate/mimic_rpc.h"
#include "simulate/network.h"
#include "simulate/tree.h"

#define ACTIONS_MOST 16
#define FUNDS        1000000000u

char FAKE_NODE_DROP[] = "";

struct fake_node {
    struct fake_rpc *rpc;
    pthread_mutex_t lock; /* recursive: the hook pays and pockets, too */
    struct ledger *ledger;
    struct network *network;
    int64_t now_s;
    uint32_t last; /* the newest block */
    fake_node_hook *hook;
    void *context;
    struct {
        char name[MIMIC_ACTION_SIZE];
        size_t count;
    } asked[ACTIONS_MOST];
};

/* ---- the ledger ---------------------------------------------------------------------------------------------------- */

static void record(void *context, const struct notice *notice)
{
    struct fake_node *node = context;
    enum cs_err err = ledger_add(node->ledger, notice, node->now_s, &node->last);
    assert(err == CS_OK);
    (void)err;
}

void fake_node_confirm(struct fake_node *node, uint32_t block)
{
    struct ledger_list newly = {NULL, 0, 0};
    pthread_mutex_lock(&node->lock);
    ledger_confirm(node->ledger, block, &newly);
    pthread_mutex_unlock(&node->lock);
    ledger_list_fini(&newly);
}

static uint32_t made(struct fake_node *node, enum cs_err err, bool confirmed)
{
    uint32_t block = node->last;
    assert(err == CS_OK);
    (void)err;
    if (confirmed) {
        fake_node_confirm(node, block);
    }
    pthread_mutex_unlock(&node->lock);
    return block;
}

uint32_t fake_node_pay(struct fake_node *node, size_t from, size_t to, uint64_t raw, bool confirmed)
{
    struct notice notice;
    pthread_mutex_lock(&node->lock);
    return made(node,
                network_send(node->network, from, NETWORK_STATE, network_key(node->network, to),
                             (struct amount){0, raw}, &notice),
                confirmed);
}

uint32_t fake_node_pocket(struct fake_node *node, size_t to, uint32_t send, bool confirmed)
{
    struct notice notice;
    pthread_mutex_lock(&node->lock);
    const struct ledger_block *block = ledger_block(node->ledger, send);
    return made(node,
                network_receive_from(node->network, to, NETWORK_STATE, block->hash, block->amount, &notice),
                confirmed);
}

void fake_node_hash(struct fake_node *node, uint32_t block, uint8_t hash[32])
{
    pthread_mutex_lock(&node->lock);
    memcpy(hash, ledger_block(node->ledger, block)->hash, 32);
    pthread_mutex_unlock(&node->lock);
}

struct address fake_node_account(struct fake_node *node, size_t account)
{
    return address_from_nano_key(network_key(node->network, account));
}

void fake_node_set_clock(struct fake_node *node, int64_t now_s)
{
    pthread_mutex_lock(&node->lock);
    node->now_s = now_s;
    pthread_mutex_unlock(&node->lock);
}

/* ---- answers -------------------------------------------------------------------------------------------------------- */

static const struct ledger *ledger_of(void *context)
{
    return ((struct fake_node *)context)->ledger;
}

static int64_t zero(void *context)
{
    (void)context;
    return 0;
}

static void ignore(void *context, const uint8_t hash[32])
{
    (void)context;
    (void)hash;
}

static char *answer_from_ledger(struct fake_node *node, const char *body, char action[MIMIC_ACTION_SIZE])
{
    const struct mimic_options options = {.node_vendor = "Nano V27.1",
                                          .context = node,
                                          .ledger = ledger_of,
                                          .uptime_s = zero,
                                          .now_ms = zero,
                                          .confirm = ignore};
    return mimic_answer(&options, body, strlen(body), action);
}

char *fake_node_answer(struct fake_node *node, const char *body)
{
    char action[MIMIC_ACTION_SIZE];
    pthread_mutex_lock(&node->lock);
    char *text = answer_from_ledger(node, body, action);
    pthread_mutex_unlock(&node->lock);
    return text;
}

static void note_asked(struct fake_node *node, const char *action)
{
    size_t i = 0;
    while (node->asked[i].name[0] != '\0' && strcmp(node->asked[i].name, action) != 0) {
        i++;
        assert(i < ACTIONS_MOST);
    }
    strncpy(node->asked[i].name, action, MIMIC_ACTION_SIZE - 1);
    node->asked[i].count++;
}

static char *on_request(void *context, const char *body)
{
    struct fake_node *node = context;
    json_t *request = tree_read(body, strlen(body));
    const char *name = tree_text(request, "action");
    char action[MIMIC_ACTION_SIZE];
    pthread_mutex_lock(&node->lock);
    note_asked(node, name);
    char *text = node->hook != NULL ? node->hook(node->context, node, name, body) : NULL;
    text = text != NULL ? text : answer_from_ledger(node, body, action);
    pthread_mutex_unlock(&node->lock);
    json_decref(request);
    return text == FAKE_NODE_DROP ? NULL : text;
}

void fake_node_set_hook(struct fake_node *node, fake_node_hook *hook, void *context)
{
    pthread_mutex_lock(&node->lock);
    node->hook = hook;
    node->context = context;
    pthread_mutex_unlock(&node->lock);
}

size_t fake_node_asked(struct fake_node *node, const char *action)
{
    size_t count = 0;
    pthread_mutex_lock(&node->lock);
    for (size_t i = 0; i < ACTIONS_MOST; i++) {
        count += *action == '\0' || strcmp(node->asked[i].name, action) == 0 ? node->asked[i].count : 0;
    }
    pthread_mutex_unlock(&node->lock);
    return count;
}

void fake_node_forget_asked(struct fake_node *node)
{
    pthread_mutex_lock(&node->lock);
    memset(node->asked, 0, sizeof(node->asked));
    pthread_mutex_unlock(&node->lock);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

struct fake_node *fake_node_open(size_t accounts)
{
    static const uint8_t seed[32] = {7};
    struct fake_node *node = cs_alloc(sizeof(*node));
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&node->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    node->now_s = clock_wall_ms() / 1000 - 3600; /* what a test begins with is an hour old */
    node->ledger = ledger_open();
    node->network = network_open(seed, accounts);
    network_watch(node->network, record, node);
    for (size_t payer = 1; payer <= 2; payer++) {
        fake_node_pocket(node, payer, fake_node_pay(node, 0, payer, FUNDS, true), true);
    }
    node->rpc = fake_rpc_open_with(on_request, node);
    return node;
}

void fake_node_close(struct fake_node *node)
{
    fake_rpc_close(node->rpc);
    network_close(node->network);
    ledger_close(node->ledger);
    pthread_mutex_destroy(&node->lock);
    free(node);
}

uint16_t fake_node_port(const struct fake_node *node)
{
    return fake_rpc_port(node->rpc);
}
