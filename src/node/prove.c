#include "node/prove.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/refusals.h"
#include "node/rpc_answers.h"

#define AGAIN_MS        250 /* the first time; twice as long each time after that … */
#define AGAIN_MOST_MS   5000
#define REFUSALS_LOGGED 1

enum finding { FOUND_PROOF, FOUND_NONE, FOUND_NOT_WANTED };
#define FINDING_COUNT 3
static const char *const FINDING_LABELS[FINDING_COUNT] = {
    "result=\"found\"",
    "result=\"unknown\"",
    "result=\"not_wanted\"",
};

/*
 * It looks through all that is held, a page after the other, and asks about each page. What is left over then is looked at again from the
 * beginning after a while; what comes meanwhile stands behind, and is asked about at once, unless the node does not answer.
 */
struct prove {
    struct prove_options options;
    struct refusals *refusals;
    metrics_count *findings[FINDING_COUNT];
    uv_timer_t timer;
    int64_t after;     /* the last payment that was looked at */
    uint64_t again_ms; /* when this look is over, until the next one */
    bool asked;        /* about `rows`: one question at a time */
    bool left_over;    /* of this look something has still to be asked about */
    bool failing;      /* the last question was not answered: nothing is asked until the timer says so */
    bool behind;       /* the node is: what it does not know it may know later */
    _Atomic bool posted;

    size_t count;
    struct reader_held rows[READER_HELD_MOST];
    uint8_t hashes[READER_HELD_MOST][32];
};

static void look_on(struct prove *prove);

/* ---- what becomes of one ------------------------------------------------------------------------------------------- */

/* `previous` NULL: without a proof. What the store has no room for now is there at the next look. */
static void release(struct prove *prove, const struct reader_held *held, enum finding finding,
                    const struct block *previous)
{
    uint8_t packed[BLOCK_PACKED_SIZE] = {0};
    if (previous != NULL) {
        block_pack(previous, packed);
    }
    if (store_submit_previous(prove->options.store, held->payment, previous != NULL ? packed : NULL,
                              previous != NULL ? sizeof(packed) : 0) == CS_OK) {
        metrics_add(prove->findings[finding], 1);
    } else {
        prove->left_over = true;
    }
}

/* The node answers for blocks that it has: that one is missing may be because it is behind, or because it has pruned it away. */
static void judge(struct prove *prove, const struct reader_held *held, const struct rpc_block *previous)
{
    if (previous->found) {
        release(prove, held, FOUND_PROOF, &previous->block);
    } else if (!prove->behind && clock_wall_ms() - held->stored_at_ms >= PROVE_UNKNOWN_MS) {
        refusals_log(prove->refusals, "no_proof", "the node",
                     "it does not know the block before a payment's: the device gets the payment without "
                     "proof, and will refuse it");
        release(prove, held, FOUND_NONE, NULL);
    } else {
        prove->left_over = true;
    }
}

/* ---- asking ----------------------------------------------------------------------------------------------------------- */

static void on_answer(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct prove *prove = context;
    struct rpc_block *blocks = NULL;
    char error[RPC_ANSWER_ERROR_SIZE] = "";
    enum cs_err err = result != RPC_OK ? CS_EIO
                                       : rpc_read_blocks(answer, (const uint8_t(*)[32])prove->hashes,
                                                         prove->count, &blocks, error);
    prove->asked = false;
    prove->failing = err != CS_OK;
    if (err == CS_OK) {
        for (size_t i = 0; i < prove->count; i++) {
            judge(prove, &prove->rows[i], &blocks[i]);
        }
        free(blocks);
    } else {
        refusals_log(prove->refusals, "no_answer", rpc_result_text(result), result != RPC_OK ? why : error);
        prove->left_over = true;
    }
    if (result != RPC_CLOSED) {
        look_on(prove);
    }
}

static bool is_asked(const struct prove *prove, const uint8_t hash[32])
{
    for (size_t i = 0; i < prove->count; i++) {
        if (memcmp(prove->hashes[i], hash, 32) == 0) {
            return true;
        }
    }
    return false;
}

/* Keeps in `rows` what the node has to be asked about; two blocks after the same one, of which only one can be true, one at a time. */
static void choose(struct prove *prove, size_t read)
{
    prove->count = 0;
    for (size_t i = 0; i < read; i++) {
        struct reader_held *held = &prove->rows[i];
        struct block block;
        if (!held->wanted) {
            release(prove, held, FOUND_NOT_WANTED, NULL);
        } else if (held->block_size != BLOCK_PACKED_SIZE || block_unpack(held->block, &block) != CS_OK ||
                   sodium_is_zero(block.previous, sizeof(block.previous)) != 0) {
            release(prove, held, FOUND_NONE, NULL); /* no block of ours, or none that can send */
        } else if (prove->options.rpc == NULL || is_asked(prove, block.previous)) {
            prove->left_over = true;
        } else {
            memcpy(prove->hashes[prove->count], block.previous, 32);
            prove->rows[prove->count++] = *held;
        }
    }
}

static void ask(struct prove *prove)
{
    json_t *request = rpc_ask_blocks((const uint8_t(*)[32])prove->hashes, prove->count, false);
    prove->asked = rpc_call(prove->options.rpc, RPC_LIVE, request, on_answer, prove) == CS_OK;
    if (!prove->asked) {
        prove->left_over = prove->failing = true; /* too much waits */
    }
}

static void on_timer(uv_timer_t *timer);

/* The look is over. Also where nothing is left the writer may have had no room. */
static void rest(struct prove *prove)
{
    if (!prove->left_over) {
        prove->again_ms = AGAIN_MS;
    }
    if (store_held_count(prove->options.store) > 0 && !uv_is_active((uv_handle_t *)&prove->timer)) {
        uv_timer_start(&prove->timer, on_timer, prove->again_ms, 0);
        prove->again_ms = 2 * prove->again_ms < AGAIN_MOST_MS ? 2 * prove->again_ms : AGAIN_MOST_MS;
    }
}

static void look_on(struct prove *prove)
{
    size_t read;
    while (!prove->asked && !prove->failing) {
        if (reader_page_held(prove->options.store, prove->after, READER_HELD_MOST, prove->rows, &read) !=
            CS_OK) {
            prove->left_over = true;
            break;
        }
        if (read == 0) {
            break;
        }
        prove->after = prove->rows[read - 1].payment;
        choose(prove, read);
        if (prove->count > 0) {
            ask(prove);
        }
    }
    if (!prove->asked) {
        rest(prove);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct prove *prove = timer->data;
    if (prove->asked) {
        uv_timer_start(&prove->timer, on_timer, AGAIN_MS, 0);
        return;
    }
    prove->after = 0;
    prove->left_over = false;
    prove->failing = false;
    look_on(prove);
}

/* ---- what other threads tell -------------------------------------------------------------------------------------------- */

static void on_post(void *context)
{
    struct prove *prove = context;
    atomic_store(&prove->posted, false);
    if (!prove->asked) {
        look_on(prove);
    }
}

void prove_note_held(struct prove *prove)
{
    /* Where it cannot be posted prove_tick finds it. */
    if (!atomic_exchange(&prove->posted, true) &&
        node_loop_post(prove->options.loop, on_post, prove) != CS_OK) {
        atomic_store(&prove->posted, false);
    }
}

void prove_tick(struct prove *prove)
{
    if (!prove->asked && !uv_is_active((uv_handle_t *)&prove->timer) &&
        store_held_count(prove->options.store) > 0) {
        look_on(prove);
    }
}

void prove_set_behind(struct prove *prove, bool behind)
{
    prove->behind = behind;
}

bool prove_is_failing(const struct prove *prove)
{
    return prove->failing;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static int64_t read_held(void *context)
{
    return store_held_count(((struct prove *)context)->options.store);
}

struct prove *prove_open(const struct prove_options *options)
{
    struct prove *prove = cs_alloc(sizeof(*prove));
    prove->options = *options;
    prove->again_ms = AGAIN_MS;
    prove->refusals = refusals_open("the proof of a payment", "coinslot_proofs_total", REFUSALS_LOGGED);
    for (size_t i = 0; i < FINDING_COUNT; i++) {
        prove->findings[i] =
            metrics_add_counter(options->metrics, "coinslot_proofs_total", FINDING_LABELS[i],
                                "Payments to devices that want proofs, by what became of the proof.");
    }
    metrics_add_gauge(options->metrics, "coinslot_deliveries_held", "",
                      "Deliveries that wait for the block that proves their payment.", read_held, prove);
    uv_timer_init(node_loop_uv(options->loop), &prove->timer);
    prove->timer.data = prove;
    uv_timer_start(&prove->timer, on_timer, 0, 0);
    return prove;
}

void prove_stop(struct prove *prove)
{
    assert(!prove->asked);
    uv_timer_stop(&prove->timer);
    uv_close((uv_handle_t *)&prove->timer, NULL);
}

void prove_close(struct prove *prove)
{
    refusals_close(prove->refusals);
    free(prove);
}
