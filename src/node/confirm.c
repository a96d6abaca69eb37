#include "node/confirm.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/wheel.h"
#include "node/refusals.h"
#include "node/rpc_answers.h"
#include "store/reconcile.h"

#define LOG_MODULE "confirm"

#define TICK_MS         50
#define BATCH_MOST      64  /* hashes in one question */
#define ASKED_MOST      4   /* questions at a time */
#define AGAIN_MS        250 /* the first time; twice as long each time after that … */
#define AGAIN_MOST_MS   30000
#define UNKNOWN_TRIES   5 /* the node has to deny a block so often before it is dropped */
#define REFUSALS_LOGGED 10

enum finding { FOUND_CONFIRMED, FOUND_UNKNOWN, FOUND_CONTRADICTED, FOUND_GAVE_UP };
#define FINDING_COUNT 4
static const char *const FINDING_CODES[FINDING_COUNT] = {"confirmed", "unknown", "contradicted", "gave_up"};
static const char *const FINDING_LABELS[FINDING_COUNT] = {
    "result=\"confirmed\"",
    "result=\"unknown\"",
    "result=\"contradicted\"",
    "result=\"gave_up\"",
};

/* One that waits. It is in `added`, in the wheel, in `ready`, in a question, or with the writer. */
struct waiting {
    struct wheel_timer timer; /* first */
    struct confirm *confirm;
    struct waiting *next;
    int64_t num, received_at_ms;
    struct payment payment;
    uint32_t tries, denials; /* how often it was put off; how often the node did not know it */
    bool confirmed;          /* what the writer is told */
    uint64_t receive_height;
    uint8_t receive_hash[32];
};

struct queue {
    struct waiting *first, **last;
};

struct confirm {
    struct confirm_options options;
    struct refusals *refusals;
    metrics_count *findings[FINDING_COUNT];
    uv_timer_t timer;
    struct wheel wheel;
    struct queue ready;
    uint32_t asked;

    pthread_mutex_t lock; /* of what other threads hand over */
    struct queue added;
    bool posted;
};

/* A question under way: about the payments' blocks, or about the blocks that received them. */
struct question {
    struct confirm *confirm;
    bool of_receives;
    size_t count;
    struct waiting *waiting[BATCH_MOST];
    uint8_t hashes[BATCH_MOST][32];
};

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_put(struct queue *queue, struct waiting *waiting)
{
    waiting->next = NULL;
    *queue->last = waiting;
    queue->last = &waiting->next;
}

static struct waiting *queue_take(struct queue *queue)
{
    struct waiting *waiting = queue->first;
    if (waiting != NULL) {
        queue->first = waiting->next;
        queue->last = queue->first == NULL ? &queue->first : queue->last;
    }
    return waiting;
}

static void pump(struct confirm *confirm);

/* ---- later --------------------------------------------------------------------------------------------------------- */

static void on_due(struct wheel_timer *timer)
{
    struct waiting *waiting = (struct waiting *)timer;
    queue_put(&waiting->confirm->ready, waiting);
}

static void try_later(struct waiting *waiting)
{
    uint32_t doublings = waiting->tries < 8 ? waiting->tries : 8;
    uint64_t after_ms = (uint64_t)AGAIN_MS << doublings;
    after_ms = after_ms < AGAIN_MOST_MS ? after_ms : AGAIN_MOST_MS;
    waiting->tries++;
    wheel_set(&waiting->confirm->wheel, &waiting->timer, after_ms / TICK_MS, on_due);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------------ */

static void hand_over(struct waiting *waiting);

/* On the writer's thread. */
static void on_verdict(void *context, enum cs_err err, enum store_payment_outcome outcome)
{
    struct waiting *waiting = context;
    struct confirm *confirm = waiting->confirm;
    if (err == CS_EFULL) {
        waiting->tries++; /* not at once: the disk stays full for a while */
        hand_over(waiting);
        return;
    }
    bool stored = outcome == STORE_PAYMENT_STORED;
    if (waiting->confirmed && (stored || outcome == STORE_PAYMENT_DUPLICATE)) {
        confirm->options.confirmed(confirm->options.context, &waiting->payment, stored,
                                   waiting->received_at_ms);
    }
    free(waiting);
}

static void give_verdict(struct waiting *waiting)
{
    enum cs_err err = store_submit_verdict(waiting->confirm->options.store, waiting->num, waiting->confirmed,
                                           waiting->receive_height, on_verdict, waiting);
    if (err == CS_ECLOSED) {
        free(waiting); /* the store has it, for the next start */
    } else if (err != CS_OK) {
        try_later(waiting);
    }
}

static void deny(struct waiting *waiting, enum finding finding, const char *why)
{
    char hash[PAYMENT_HASH_TEXT];
    hex_encode_upper(waiting->payment.hash, PAYMENT_HASH_SIZE, hash);
    metrics_add(waiting->confirm->findings[finding], 1);
    refusals_log(waiting->confirm->refusals, FINDING_CODES[finding], hash, why);
    waiting->confirmed = false;
    give_verdict(waiting);
}

/* What the node says of the block that a payment is said to be. False: nothing yet, or `ask` about its receive first. */
static void judge(struct waiting *waiting, const struct rpc_block *block, struct question *receives)
{
    const struct payment *payment = &waiting->payment;
    int64_t age_ms = clock_wall_ms() - waiting->received_at_ms;
    if (!block->found) {
        waiting->denials++;
        if (age_ms >= CONFIRM_UNKNOWN_MS && waiting->denials >= UNKNOWN_TRIES) {
            deny(waiting, FOUND_UNKNOWN, "the node does not know this block");
        } else {
            try_later(waiting);
        }
        return;
    }
    if (!block->confirmed) {
        if (age_ms >= CONFIRM_GIVE_UP_MS) {
            deny(waiting, FOUND_GAVE_UP, "the node has not confirmed this block in an hour");
        } else {
            try_later(waiting);
        }
        return;
    }
    if (block->kind == RPC_KIND_SEND && !block->has_amount && age_ms < CONFIRM_GIVE_UP_MS) {
        try_later(waiting); /* what it has pruned away another node may know */
        return;
    }
    struct address to = address_from_nano_key(block->block.link);
    bool true_word = block->kind == RPC_KIND_SEND && block->has_amount &&
                     amount_compare(block->amount, payment->amount) == 0 &&
                     address_equal(&to, &payment->to) &&
                     (payment->from.length == 0 || address_equal(&block->account, &payment->from));
    if (!true_word) {
        waiting->confirm->options.contradicted(waiting->confirm->options.context, &payment->to);
        deny(waiting, FOUND_CONTRADICTED, "the block is confirmed, and not what the callback said of it");
        return;
    }
    metrics_add(waiting->confirm->findings[FOUND_CONFIRMED], 1);
    waiting->confirmed = true;
    if (block->has_receive) {
        memcpy(receives->hashes[receives->count], block->receive_hash, 32);
        receives->waiting[receives->count++] = waiting;
    } else {
        give_verdict(waiting);
    }
}

/* ---- asking ------------------------------------------------------------------------------------------------------------ */

static bool is_asked(const struct question *question, const uint8_t hash[32])
{
    for (size_t i = 0; i < question->count; i++) {
        if (memcmp(question->hashes[i], hash, 32) == 0) {
            return true;
        }
    }
    return false;
}

static void on_answer(void *context, enum rpc_result result, const json_t *answer, const char *why);

static void ask(struct question *question)
{
    struct confirm *confirm = question->confirm;
    json_t *request =
        rpc_ask_blocks((const uint8_t(*)[32])question->hashes, question->count, !question->of_receives);
    enum cs_err err = rpc_call(confirm->options.rpc, RPC_LIVE, request, on_answer, question);
    if (err == CS_OK) {
        confirm->asked++;
        return;
    }
    for (size_t i = 0; i < question->count; i++) {
        try_later(question->waiting[i]);
    }
    free(question);
}

static struct question *new_question(struct confirm *confirm, bool of_receives)
{
    struct question *question = cs_alloc(sizeof(*question));
    question->confirm = confirm;
    question->of_receives = of_receives;
    return question;
}

static void read_answer(struct question *question, const struct rpc_block *blocks)
{
    if (question->of_receives) {
        for (size_t i = 0; i < question->count; i++) {
            question->waiting[i]->receive_height = blocks[i].found ? blocks[i].height : 0;
            give_verdict(question->waiting[i]);
        }
        return;
    }
    struct question *receives = new_question(question->confirm, true);
    for (size_t i = 0; i < question->count; i++) {
        judge(question->waiting[i], &blocks[i], receives);
    }
    if (receives->count > 0) {
        ask(receives);
    } else {
        free(receives);
    }
}

static void on_answer(void *context, enum rpc_result result, const json_t *answer, const char *why)
{
    struct question *question = context;
    struct confirm *confirm = question->confirm;
    struct rpc_block *blocks = NULL;
    char error[RPC_ANSWER_ERROR_SIZE] = "";
    enum cs_err err = result != RPC_OK ? CS_EIO
                                       : rpc_read_blocks(answer, (const uint8_t(*)[32])question->hashes,
                                                         question->count, &blocks, error);
    confirm->asked--;
    if (err == CS_OK) {
        read_answer(question, blocks);
        free(blocks);
    } else {
        refusals_log(confirm->refusals, "no_answer", rpc_result_text(result), result != RPC_OK ? why : error);
        for (size_t i = 0; i < question->count; i++) {
            try_later(question->waiting[i]);
        }
    }
    free(question);
    if (result != RPC_CLOSED) {
        pump(confirm);
    }
}

/* What another source has brought meanwhile is not asked about. */
static void leave_out_stored(struct question *question)
{
    int64_t nums[BATCH_MOST];
    bool waits[BATCH_MOST];
    size_t kept = 0;
    for (size_t i = 0; i < question->count; i++) {
        nums[i] = question->waiting[i]->num;
    }
    if (reader_find_waiting(question->confirm->options.store, nums, question->count, waits) != CS_OK) {
        return; /* then all are asked about */
    }
    for (size_t i = 0; i < question->count; i++) {
        struct waiting *waiting = question->waiting[i];
        if (waits[i]) {
            memmove(question->hashes[kept], question->hashes[i], 32);
            question->waiting[kept++] = waiting;
        } else {
            waiting->confirmed = true; /* by whoever brought it; the writer says that it is there */
            give_verdict(waiting);
        }
    }
    question->count = kept;
}

/* Asks about what is ready. Two claims about one block go into two questions. */
static void pump(struct confirm *confirm)
{
    while (confirm->ready.first != NULL && confirm->asked < ASKED_MOST) {
        struct question *question = new_question(confirm, false);
        struct queue doubles;
        queue_init(&doubles);
        for (struct waiting *waiting;
             question->count < BATCH_MOST && (waiting = queue_take(&confirm->ready)) != NULL;) {
            if (is_asked(question, waiting->payment.hash)) {
                queue_put(&doubles, waiting);
            } else {
                memcpy(question->hashes[question->count], waiting->payment.hash, 32);
                question->waiting[question->count++] = waiting;
            }
        }
        for (struct waiting *waiting; (waiting = queue_take(&doubles)) != NULL;) {
            queue_put(&confirm->ready, waiting);
        }
        leave_out_stored(question);
        if (question->count > 0) {
            ask(question);
        } else {
            free(question);
        }
    }
}

/* ---- what other threads hand over --------------------------------------------------------------------------------------- */

static void take_added(struct confirm *confirm)
{
    struct waiting *waiting;
    pthread_mutex_lock(&confirm->lock);
    confirm->posted = false;
    while ((waiting = queue_take(&confirm->added)) != NULL) {
        if (waiting->tries > 0) {
            try_later(waiting);
        } else if (!confirm->options.others) {
            queue_put(&confirm->ready, waiting);
        } else {
            /* A moment, in which a trusted source may bring it: then nobody has to be asked. */
            wheel_set(&confirm->wheel, &waiting->timer, 1, on_due);
        }
    }
    pthread_mutex_unlock(&confirm->lock);
    pump(confirm);
}

static void on_post(void *context)
{
    take_added(context);
}

static void hand_over(struct waiting *waiting)
{
    struct confirm *confirm = waiting->confirm;
    pthread_mutex_lock(&confirm->lock);
    queue_put(&confirm->added, waiting);
    bool post = !confirm->posted;
    confirm->posted = true;
    pthread_mutex_unlock(&confirm->lock);
    /* Where it cannot be posted the timer takes it. */
    if (post && node_loop_post(confirm->options.loop, on_post, confirm) != CS_OK) {
        pthread_mutex_lock(&confirm->lock);
        confirm->posted = false;
        pthread_mutex_unlock(&confirm->lock);
    }
}

static struct waiting *new_waiting(struct confirm *confirm, int64_t num, const struct payment *payment,
                                   int64_t received_at_ms)
{
    struct waiting *waiting = cs_alloc(sizeof(*waiting));
    waiting->confirm = confirm;
    waiting->num = num;
    waiting->payment = *payment;
    waiting->received_at_ms = received_at_ms;
    return waiting;
}

void confirm_add(struct confirm *confirm, int64_t num, const struct payment *payment)
{
    hand_over(new_waiting(confirm, num, payment, clock_wall_ms()));
}

static void on_timer(uv_timer_t *timer)
{
    struct confirm *confirm = timer->data;
    uint64_t now = clock_monotonic_ns() / (TICK_MS * 1000000u);
    for (struct wheel_timer *due; (due = wheel_take(&confirm->wheel, now)) != NULL;) {
        due->run(due);
    }
    take_added(confirm);
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static void take_up(void *context, int64_t num, const struct payment *payment, int64_t received_at_ms)
{
    struct confirm *confirm = context;
    queue_put(&confirm->ready, new_waiting(confirm, num, payment, received_at_ms));
}

struct confirm *confirm_open(const struct confirm_options *options)
{
    struct confirm *confirm = cs_alloc(sizeof(*confirm));
    confirm->options = *options;
    confirm->refusals =
        refusals_open("a payment that a callback told", "coinslot_confirm_total", REFUSALS_LOGGED);
    for (size_t i = 0; i < FINDING_COUNT; i++) {
        confirm->findings[i] =
            metrics_add_counter(options->metrics, "coinslot_confirm_total", FINDING_LABELS[i],
                                "Payments told by callbacks, by what the node said of them.");
    }
    pthread_mutex_init(&confirm->lock, NULL);
    queue_init(&confirm->ready);
    queue_init(&confirm->added);
    wheel_init(&confirm->wheel, clock_monotonic_ns() / (TICK_MS * 1000000u));
    store_each_unconfirmed(options->store, take_up, confirm);
    uv_timer_init(node_loop_uv(options->loop), &confirm->timer);
    confirm->timer.data = confirm;
    uv_timer_start(&confirm->timer, on_timer, TICK_MS, TICK_MS);
    return confirm;
}

static void free_queue(struct queue *queue)
{
    for (struct waiting *waiting; (waiting = queue_take(queue)) != NULL;) {
        free(waiting);
    }
}

void confirm_stop(struct confirm *confirm)
{
    assert(confirm->asked == 0);
    uv_timer_stop(&confirm->timer);
    uv_close((uv_handle_t *)&confirm->timer, NULL);
    for (uint64_t tick = 0; tick <= AGAIN_MOST_MS / TICK_MS + 1; tick++) {
        for (struct wheel_timer *timer;
             (timer = wheel_take(&confirm->wheel, confirm->wheel.now + 1)) != NULL;) {
            timer->run(timer);
        }
    }
    free_queue(&confirm->ready);
    free_queue(&confirm->added);
}

void confirm_close(struct confirm *confirm)
{
    refusals_close(confirm->refusals);
    pthread_mutex_destroy(&confirm->lock);
    free(confirm);
}
