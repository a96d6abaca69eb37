/*
 * Confirmations that came without their block: which fields a node sends depends on what its first client has asked for. The RPC is asked
 * what the block is; without an RPC they are counted, and no more can be done.
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
    uint8_t hashes[UPSTREAM_BARE_MOST][32];
    size_t sources[UPSTREAM_BARE_MOST];
};

static void enter(struct upstream *upstream, size_t source, const struct rpc_block *block,
                  const uint8_t hash[32])
{
    struct notice notice = {.block = block->block, .amount = block->amount, .is_send = true};
    memcpy(notice.account, block->account.bytes, sizeof(notice.account));
    memcpy(notice.hash, hash, sizeof(notice.hash));
    nano_source_take(upstream->source, source, &notice, block->node_time_ms);
}

static void on_blocks(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct bare_question *question = context;
    struct upstream *upstream = question->upstream;
    struct rpc_block *blocks = NULL;
    char error[RPC_ANSWER_ERROR_SIZE];
    (void)why;
    if (result == RPC_OK && rpc_read_blocks(answer, (const uint8_t(*)[32])question->hashes, question->count,
                                            &blocks, error) == CS_OK) {
        for (size_t i = 0; i < question->count; i++) {
            bool is_send = blocks[i].kind == RPC_KIND_SEND;
            if (!blocks[i].found || !blocks[i].confirmed || (is_send && !blocks[i].has_amount)) {
                atomic_store(&upstream->lost,
                             "node_lagging"); /* one node has confirmed it, this one knows less */
            } else if (is_send) {
                enter(upstream, question->sources[i], &blocks[i], question->hashes[i]);
            }
        }
        free(blocks);
    } else if (result != RPC_CLOSED) {
        atomic_store(&upstream->lost, "node_unreachable"); /* reconciliation finds them */
    }
    free(question);
}

static void on_due(uv_timer_t *timer)
{
    struct upstream *upstream = timer->data;
    struct bare_question *question = cs_alloc(sizeof(*question));
    question->upstream = upstream;
    question->count = upstream->bare_count;
    for (size_t i = 0; i < upstream->bare_count; i++) {
        memcpy(question->hashes[i], upstream->bare[i].hash, 32);
        question->sources[i] = upstream->bare[i].source;
    }
    upstream->bare_count = 0;
    if (rpc_call(upstream->rpc, RPC_LIVE,
                 rpc_ask_blocks((const uint8_t(*)[32])question->hashes, question->count, false), on_blocks,
                 question) != CS_OK) {
        atomic_store(&upstream->lost, "busy");
        free(question);
    }
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
