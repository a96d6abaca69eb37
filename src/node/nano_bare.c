/*
 * Confirmations that came without their block: which fields a node sends depends on what its first client has asked for. The RPC is asked
 * what the block is; without an RPC they are counted, and no more can be done.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/nano_internal.h"

#define LOG_MODULE "nano"

#define ASK_AFTER_MS 50 /* some at once */

struct bare_question {
    struct nano *nano;
    size_t count;
    uint8_t hashes[NANO_BARE_MOST][32];
    size_t sources[NANO_BARE_MOST];
};

static void enter(struct nano *nano, size_t source, const struct rpc_block *block, const uint8_t hash[32])
{
    struct notice notice = {.block = block->block, .amount = block->amount, .is_send = true};
    memcpy(notice.account, block->account.bytes, sizeof(notice.account));
    memcpy(notice.hash, hash, sizeof(notice.hash));
    nano_source_take(nano->source, source, &notice, block->node_time_ms);
}

static void on_blocks(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct bare_question *question = context;
    struct nano *nano = question->nano;
    struct rpc_block *blocks = NULL;
    char error[RPC_ANSWER_ERROR_SIZE];
    (void)why;
    if (result == RPC_OK && rpc_read_blocks(answer, (const uint8_t(*)[32])question->hashes, question->count,
                                            &blocks, error) == CS_OK) {
        for (size_t i = 0; i < question->count; i++) {
            if (blocks[i].found && blocks[i].confirmed && blocks[i].kind == RPC_KIND_SEND &&
                blocks[i].has_amount) {
                enter(nano, question->sources[i], &blocks[i], question->hashes[i]);
            }
        }
        free(blocks);
    } else if (result != RPC_CLOSED) {
        atomic_store(&nano->lost, "node_unreachable"); /* reconciliation finds them */
    }
    free(question);
}

static void on_due(uv_timer_t *timer)
{
    struct nano *nano = timer->data;
    struct bare_question *question = cs_alloc(sizeof(*question));
    question->nano = nano;
    question->count = nano->bare_count;
    for (size_t i = 0; i < nano->bare_count; i++) {
        memcpy(question->hashes[i], nano->bare[i].hash, 32);
        question->sources[i] = nano->bare[i].source;
    }
    nano->bare_count = 0;
    if (rpc_call(nano->rpc, RPC_LIVE,
                 rpc_ask_blocks((const uint8_t(*)[32])question->hashes, question->count, false), on_blocks,
                 question) != CS_OK) {
        atomic_store(&nano->lost, "busy");
        free(question);
    }
}

void nano_bare_take(void *context, struct nano_ws *ws, const uint8_t hash[32])
{
    struct nano *nano = context;
    size_t source = nano_source_of(nano, ws);
    sources_note_message(nano->sources, source);
    if (nano->rpc == NULL) {
        return;
    }
    for (size_t i = 0; i < nano->bare_count; i++) {
        if (memcmp(nano->bare[i].hash, hash, 32) == 0) {
            return; /* several nodes tell the same */
        }
    }
    if (nano->bare_count == NANO_BARE_MOST) {
        atomic_store(&nano->lost, "busy");
        return;
    }
    if (nano->bare_count == 0) {
        uv_timer_start(&nano->bare_timer, on_due, ASK_AFTER_MS, 0);
    }
    memcpy(nano->bare[nano->bare_count].hash, hash, 32);
    nano->bare[nano->bare_count++].source = source;
}
