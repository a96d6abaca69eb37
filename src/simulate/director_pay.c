/* Payments, at once or one after another. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "payment/payment.h"
#include "simulate/director_parts.h"

#define COUNT_MOST   1000000
#define AT_ONCE_MOST 10000
#define TURN_MOST    256 /* payments, before the sockets have their turn */
#define RATE_MOST    100000
#define PAGE_MOST    10000

/* Payments that are made one after another. */
struct director_job {
    struct director_job *next;
    struct director_order order;
    uint64_t left, at;
    uint64_t due_ns, interval_ns;
};

static void drop_job(struct director_job **place)
{
    struct director_job *job = *place;
    *place = job->next;
    director_order_fini(&job->order);
    free(job);
}

static const char *pay_error(enum cs_err err)
{
    return err == CS_ENOTFOUND ? "the key of `from` is not known: take an account of `accounts`"
                               : "`from` has not so much, or writes no legacy blocks any more";
}

static void note_payment(struct director *director, uint32_t block)
{
    if (director->paid_count == director->paid_room) {
        director->paid_room = director->paid_room == 0 ? 64 : 2 * director->paid_room;
        director->paid = cs_realloc(director->paid, director->paid_room * sizeof(director->paid[0]));
    }
    director->paid[director->paid_count++] = block;
}

static enum cs_err pay_next(struct director *director, const struct director_order *order, uint64_t at,
                            uint32_t *block)
{
    enum cs_err err =
        world_pay(director->world, order->has_from ? order->from : NULL, order->style,
                  order->accounts[at % order->account_count], order->amount, &order->order, block);
    if (err == CS_OK) {
        note_payment(director, *block);
    }
    return err;
}

json_t *director_pay(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    uint64_t count = director_number(request, "count", 1, COUNT_MOST, error);
    uint64_t rate = director_number(request, "rate", 0, RATE_MOST, error);
    if (*error != NULL || !director_order_read(&order, request, "to", error)) {
        return NULL;
    }
    json_t *answer = json_object();
    if (rate > 0 || count > AT_ONCE_MOST) {
        struct director_job *job = cs_alloc(sizeof(*job));
        *job = (struct director_job){.order = order,
                                     .left = count,
                                     .due_ns = clock_monotonic_ns(),
                                     .interval_ns = rate > 0 ? 1000000000 / rate : 0};
        job->next = director->jobs;
        director->jobs = job;
        tree_put(answer, "started", "1");
        return answer;
    }
    json_t *hashes = json_array();
    for (uint64_t i = 0; i < count && *error == NULL; i++) {
        uint32_t block;
        enum cs_err err = pay_next(director, &order, i, &block);
        if (err != CS_OK) {
            *error = pay_error(err);
        } else {
            director_add_hash(director, hashes, block);
        }
    }
    director_order_fini(&order);
    tree_put_collection(answer, "hashes", hashes);
    return answer;
}

static bool job_is_due(const struct director_job *job, uint64_t now_ns)
{
    return job->interval_ns == 0 || now_ns >= job->due_ns;
}

unsigned director_turn(struct director *director, unsigned most_ms)
{
    uint64_t now_ns = clock_monotonic_ns();
    for (struct director_job **place = &director->jobs; *place != NULL;) {
        struct director_job *job = *place;
        bool failed = false;
        for (unsigned i = 0; i < TURN_MOST && job->left > 0 && !failed && job_is_due(job, now_ns); i++) {
            uint32_t block;
            failed = pay_next(director, &job->order, job->at++, &block) != CS_OK;
            job->left--;
            job->due_ns += job->interval_ns;
        }
        if (failed || job->left == 0) {
            drop_job(place);
            continue;
        }
        uint64_t left_ms = job_is_due(job, now_ns) ? 0 : (job->due_ns - now_ns) / 1000000 + 1;
        most_ms = left_ms < most_ms ? (unsigned)left_ms : most_ms;
        place = &job->next;
    }
    return most_ms;
}

void director_drop_jobs(struct director *director)
{
    while (director->jobs != NULL) {
        drop_job(&director->jobs);
    }
}

uint64_t director_payments_left(const struct director *director)
{
    uint64_t left = 0;
    for (const struct director_job *job = director->jobs; job != NULL; job = job->next) {
        left += job->left;
    }
    return left;
}

json_t *director_payments(struct director *director, const json_t *request, const char **error)
{
    uint64_t offset = director_number(request, "offset", 0, UINT32_MAX, error);
    uint64_t count = director_number(request, "count", PAGE_MOST, PAGE_MOST, error);
    if (*error != NULL) {
        return NULL;
    }
    const struct ledger *ledger = world_ledger(director->world);
    json_t *payments = json_array();
    for (size_t i = (size_t)offset; i < director->paid_count && i - offset < count; i++) {
        const struct ledger_block *block = ledger_block(ledger, director->paid[i]);
        unsigned told = director->hooks.told(director->hooks.context, director->paid[i]);
        json_t *payment = json_object();
        mimic_put_hash(payment, "hash", block->hash);
        mimic_put_account(payment, "from", ledger_account(ledger, block->account)->key);
        mimic_put_account(payment, "to", ledger_destination(block));
        mimic_put_amount(payment, "amount", block->amount);
        tree_put(payment, "type", block_type_text(block->block.type));
        tree_put(payment, "confirmed", block->confirmed ? "true" : "false");
        tree_put(payment, "callback", (told & WORLD_CALLBACK) != 0 ? "true" : "false");
        tree_put(payment, "ws", (told & WORLD_WS) != 0 ? "true" : "false");
        tree_put(payment, "received", block->received_by != LEDGER_NONE ? "true" : "false");
        json_array_append_new(payments, payment);
    }
    json_t *answer = json_object();
    mimic_put_number(answer, "total", director->paid_count);
    tree_put_collection(answer, "payments", payments);
    return answer;
}
