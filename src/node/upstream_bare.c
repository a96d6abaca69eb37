/*
 * Confirmations of which more has to be known than the node told: those without their block, for which fields a node sends depends on what
 * its first client has asked for, and those that may be old. The RPC is asked what the block is, and then, where it was received already,
 * at which height; without an RPC they are counted, and no more can be done.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/upstream_internal.h"

#define LOG_MODULE "upstream"

#define ASK_AFTER_MS 50 /* some at once */

struct bare_question {
    struct upstream *upstream;
    size_t count;
    uint8_t hashes[UPSTREAM_BARE_MOST][32]; /* that are asked for: of the sends, then of what received them */
    struct upstream_bare bare[UPSTREAM_BARE_MOST];
    struct rpc_block sends[UPSTREAM_BARE_MOST]; /* once they are known */
};

static void enter(struct upstream *upstream, const struct upstream_bare *bare, const struct rpc_block *block,
                  uint64_t receive_height)
{
    struct notice notice = {.block = block->block, .amount = block->amount, .is_send = true};
    memcpy(notice.account, block->account.bytes, sizeof(notice.account));
    memcpy(notice.hash, bare->hash, sizeof(notice.hash));
    nano_source_take(upstream->source, bare->source, &notice, block->node_time_ms, receive_height);
}

/* NULL: reconciliation has to find them. free(). */
static struct rpc_block *read_blocks(struct bare_question *question, enum rpc_result result,
                                     const json_t *answer)
{
    struct rpc_block *blocks = NULL;
    char error[RPC_ANSWER_ERROR_SIZE];
    if (result == RPC_OK && rpc_read_blocks(answer, (const uint8_t(*)[32])question->hashes, question->count,
                                            &blocks, error) == CS_OK) {
        return blocks;
    }
    if (result != RPC_CLOSED) {
        atomic_store(&question->upstream->lost, "node_unreachable");
    }
    return NULL;
}

static void on_receives(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct bare_question *question = context;
    struct rpc_block *receives = read_blocks(question, result, answer);
    (void)why;
    for (size_t i = 0; receives != NULL && i < question->count; i++) {
        uint64_t height = receives[i].found ? receives[i].height : 0;
        enter(question->upstream, &question->bare[i], &question->sends[i], height);
    }
    free(receives);
    free(question);
}

static void on_sends(void *context, enum rpc_result result, const json_t *answer, const char *why);

/* Frees it when it cannot be asked. */
static void ask(struct bare_question *question, bool of_receives)
{
    struct upstream *upstream = question->upstream;
    json_t *request = rpc_ask_blocks((const uint8_t(*)[32])question->hashes, question->count, !of_receives);
    if (rpc_call(upstream->rpc, RPC_LIVE, request, of_receives ? on_receives : on_sends, question) != CS_OK) {
        atomic_store(&upstream->lost, "busy");
        free(question);
    }
}

/* Those that were received already stay in the question, for the next one. */
static void take_sends(struct bare_question *question, const struct rpc_block *blocks)
{
    size_t received = 0;
    for (size_t i = 0; i < question->count; i++) {
        const struct rpc_block *block = &blocks[i];
        bool is_send = block->kind == RPC_KIND_SEND;
        if (!block->found || !block->confirmed || (is_send && !block->has_amount)) {
            /* One node has confirmed it, this one knows less. */
            atomic_store(&question->upstream->lost, "node_lagging");
        } else if (is_send && block->has_receive) {
            memcpy(question->hashes[received], block->receive_hash, 32);
            question->bare[received] = question->bare[i];
            question->sends[received++] = *block;
        } else if (is_send) {
            enter(question->upstream, &question->bare[i], block, 0);
        }
    }
    question->count = received;
}

static void on_sends(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct bare_question *question = context;
    struct rpc_block *blocks = read_blocks(question, result, answer);
    (void)why;
    if (blocks != NULL) {
        take_sends(question, blocks);
    }
    if (blocks != NULL && question->count > 0) {
        ask(question, true);
    } else {
        free(question);
    }
    free(blocks);
}

static void on_due(uv_timer_t *timer)
{
    struct upstream *upstream = timer->data;
    struct bare_question *question = cs_alloc(sizeof(*question));
    question->upstream = upstream;
    question->count = upstream->bare_count;
    for (size_t i = 0; i < upstream->bare_count; i++) {
        question->bare[i] = upstream->bare[i];
        memcpy(question->hashes[i], upstream->bare[i].hash, 32);
    }
    upstream->bare_count = 0;
    ask(question, false);
}

void upstream_bare_take(void *context, struct nano_ws *ws, const uint8_t hash[32])
{
    struct upstream *upstream = context;
    size_t source = upstream_source_of(upstream, ws);
    sources_note_message(upstream->sources, source);
    if (upstream->rpc == NULL) {
        return;
    }
    for (size_t i = 0; i < upstream->bare_count; i++) {
        if (memcmp(upstream->bare[i].hash, hash, 32) == 0) {
            return; /* several nodes tell the same */
        }
    }
    if (upstream->bare_count == UPSTREAM_BARE_MOST) {
        atomic_store(&upstream->lost, "busy");
        return;
    }
    if (upstream->bare_count == 0) {
        uv_timer_start(&upstream->bare_timer, on_due, ASK_AFTER_MS, 0);
    }
    memcpy(upstream->bare[upstream->bare_count].hash, hash, 32);
    upstream->bare[upstream->bare_count++].source = source;
}
