#include "simulate/director.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "payment/payment.h"
#include "simulate/director_orders.h"
#include "simulate/mimic_call.h"

#define COUNT_MOST    1000000
#define AT_ONCE_MOST  10000
#define TURN_MOST     256 /* payments, before the sockets have their turn */
#define RATE_MOST     100000
#define PAGE_MOST     10000
#define ACCOUNTS_MOST 200000

/* Payments that are made one after another. */
struct job {
    struct job *next;
    struct director_order order;
    uint64_t left, at;
    uint64_t due_ns, interval_ns;
};

struct director {
    struct world *world;
    struct faults *faults;
    struct director_hooks hooks;
    struct job *jobs;
    uint32_t *paid; /* every payment's block, in order */
    size_t paid_count, paid_room;
};

struct director *director_open(struct world *world, struct faults *faults, const struct director_hooks *hooks)
{
    struct director *director = cs_alloc(sizeof(*director));
    director->world = world;
    director->faults = faults;
    director->hooks = *hooks;
    return director;
}

static void drop_job(struct director *director, struct job **place)
{
    struct job *job = *place;
    (void)director;
    *place = job->next;
    director_order_fini(&job->order);
    free(job);
}

void director_close(struct director *director)
{
    while (director->jobs != NULL) {
        drop_job(director, &director->jobs);
    }
    free(director->paid);
    free(director);
}

/* ---- paying -------------------------------------------------------------------------------------------- */

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

static void add_hash(const struct director *director, json_t *hashes, uint32_t block)
{
    char hash[PAYMENT_HASH_TEXT];
    hex_encode_upper(ledger_block(world_ledger(director->world), block)->hash, 32, hash);
    json_array_append_new(hashes, json_string(hash));
}

static json_t *pay(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    uint64_t count = director_number(request, "count", 1, COUNT_MOST, error);
    uint64_t rate = director_number(request, "rate", 0, RATE_MOST, error);
    if (*error != NULL || !director_order_read(&order, request, "to", error)) {
        return NULL;
    }
    json_t *answer = json_object();
    if (rate > 0 || count > AT_ONCE_MOST) {
        struct job *job = cs_alloc(sizeof(*job));
        *job = (struct job){.order = order,
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
            add_hash(director, hashes, block);
        }
    }
    director_order_fini(&order);
    tree_put_collection(answer, "hashes", hashes);
    return answer;
}

static bool job_is_due(const struct job *job, uint64_t now_ns)
{
    return job->interval_ns == 0 || now_ns >= job->due_ns;
}

unsigned director_turn(struct director *director, unsigned most_ms)
{
    uint64_t now_ns = clock_monotonic_ns();
    for (struct job **place = &director->jobs; *place != NULL;) {
        struct job *job = *place;
        bool failed = false;
        for (unsigned i = 0; i < TURN_MOST && job->left > 0 && !failed && job_is_due(job, now_ns); i++) {
            uint32_t block;
            failed = pay_next(director, &job->order, job->at++, &block) != CS_OK;
            job->left--;
            job->due_ns += job->interval_ns;
        }
        if (failed || job->left == 0) {
            drop_job(director, place);
            continue;
        }
        uint64_t left_ms = job_is_due(job, now_ns) ? 0 : (job->due_ns - now_ns) / 1000000 + 1;
        most_ms = left_ms < most_ms ? (unsigned)left_ms : most_ms;
        place = &job->next;
    }
    return most_ms;
}

/* ---- the rest of the words ----------------------------------------------------------------------------- */

static json_t *make_accounts(struct director *director, const json_t *request, const char **error)
{
    uint64_t count = director_number(request, "count", 1, ACCOUNTS_MOST, error);
    if (*error != NULL) {
        return NULL;
    }
    json_t *accounts = json_array();
    for (uint64_t i = 0; i < count; i++) {
        char text[ADDRESS_TEXT_SIZE];
        mimic_account_text(world_make_account(director->world), text);
        json_array_append_new(accounts, json_string(text));
    }
    json_t *answer = json_object();
    tree_put_collection(answer, "accounts", accounts);
    return answer;
}

static json_t *adopt(struct director *director, const json_t *request, const char **error)
{
    const char *text = tree_text(request, "key");
    uint8_t private_key[32];
    if (text == NULL || !hex_decode(text, private_key, sizeof(private_key))) {
        *error = "`key` takes a private key, as 64 hex digits";
        return NULL;
    }
    struct sign_key key;
    sign_expand_key(private_key, &key);
    world_adopt_key(director->world, &key);
    json_t *answer = json_object();
    mimic_put_account(answer, "account", key.public_key);
    return answer;
}

static json_t *auto_receive(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    if (!director_order_read(&order, request, "account", error)) {
        return NULL;
    }
    for (size_t i = 0; i < order.account_count && *error == NULL; i++) {
        if (world_set_auto_receive(director->world, order.accounts[i], tree_flag(request, "on", true)) !=
            CS_OK) {
            *error = "the account's key is not known: take an account of `accounts`, or `adopt` its key";
        }
    }
    director_order_fini(&order);
    return json_object();
}

/* LEDGER_NONE: there is none, and `error` says so. */
static uint32_t find_block(const struct director *director, const char *text, const char **error)
{
    uint8_t hash[32];
    uint32_t block = LEDGER_NONE;
    if (text != NULL && mimic_read_hash(text, hash)) {
        block = ledger_find_block(world_ledger(director->world), hash);
    }
    if (block == LEDGER_NONE) {
        *error = "Block not found";
    }
    return block;
}

static json_t *pocket(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    uint64_t count = director_number(request, "count", COUNT_MOST, COUNT_MOST, error);
    if (*error != NULL || !director_order_read(&order, request, "account", error)) {
        return NULL;
    }
    struct world_waiting waiting = {.send = LEDGER_NONE,
                                    .only_confirmed = tree_flag(request, "include_only_confirmed", true)};
    if (tree_text(request, "hash") != NULL) {
        waiting.send = find_block(director, tree_text(request, "hash"), error);
    }
    json_t *hashes = json_array();
    for (size_t i = 0; i < order.account_count && *error == NULL; i++) {
        if (!world_knows_key(director->world, order.accounts[i])) {
            *error = "the account's key is not known: take an account of `accounts`, or `adopt` its key";
            break;
        }
        uint32_t block;
        for (uint64_t done = 0; done < count && world_pocket(director->world, order.accounts[i], order.style,
                                                             &waiting, &order.order, &block) == CS_OK;
             done++) {
            add_hash(director, hashes, block);
        }
    }
    director_order_fini(&order);
    json_t *answer = json_object();
    tree_put_collection(answer, "hashes", hashes);
    return answer;
}

static json_t *change(struct director *director, const json_t *request, const char **error)
{
    struct director_order order;
    if (!director_order_read(&order, request, "account", error)) {
        return NULL;
    }
    struct address representative =
        address_from_nano_key(ledger_account(world_ledger(director->world), 0)->key);
    const char *text = tree_text(request, "representative");
    json_t *answer = json_object();
    uint32_t block;
    if (text != NULL && !address_parse(CHAIN_NANO, text, &representative)) {
        *error = "`representative` is no account";
    } else if (world_change(director->world, order.accounts[0], order.style, representative.bytes,
                            &order.order, &block) != CS_OK) {
        *error = "the account is not open, its key is not known, or it writes no legacy blocks any more";
    } else {
        mimic_put_block(world_ledger(director->world), answer, "hash", block);
    }
    director_order_fini(&order);
    return answer;
}

/* Both `confirm` and `announce`; `hash` or `hashes`. */
static json_t *for_hashes(struct director *director, const json_t *request, const char **error,
                          void (*act)(struct world *world, uint32_t block, enum world_why why,
                                      unsigned channels),
                          enum world_why usual)
{
    struct world_order order = {.why = usual};
    if (!director_read_announce(&order, request, error)) {
        return NULL;
    }
    const json_t *listed = json_object_get(request, "hashes");
    size_t count = listed != NULL ? json_array_size(listed) : 1;
    for (size_t i = 0; i < count; i++) {
        const char *text = listed != NULL ? tree_data(json_array_get(listed, i)) : tree_text(request, "hash");
        uint32_t block = find_block(director, text, error);
        if (block == LEDGER_NONE) {
            return NULL;
        }
        act(director->world, block, order.why, order.channels);
    }
    return json_object();
}

static json_t *confirm(struct director *director, const json_t *request, const char **error)
{
    return for_hashes(director, request, error, world_confirm, WORLD_QUORUM);
}

static json_t *announce(struct director *director, const json_t *request, const char **error)
{
    return for_hashes(director, request, error, world_announce, WORLD_HEIGHT);
}

/* Names that are no fault's: the action itself and its parts. */
static bool is_word(const char *key)
{
    return strcmp(key, "action") == 0 || strcmp(key, "do") == 0 || strcmp(key, "for_ms") == 0;
}

static json_t *set_faults(struct director *director, const json_t *request, const char **error)
{
    uint64_t for_ms = director_number(request, "for_ms", 0, 86400000, error);
    uint64_t until_ns = for_ms == 0 ? 0 : clock_monotonic_ns() + for_ms * 1000000;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)request, key, value)
    {
        if (*error != NULL || is_word(key)) {
            continue;
        }
        enum cs_err err = faults_set(director->faults, key, tree_data(value), until_ns);
        if (err != CS_OK) {
            *error = err == CS_ENOTFOUND ? "there is no such fault" : "the fault does not take this value";
        }
    }
    return *error != NULL ? NULL : faults_print(director->faults);
}

static json_t *list_payments(struct director *director, const json_t *request, const char **error)
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

static json_t *print_status(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    json_t *status = json_object();
    uint64_t left = 0;
    for (const struct job *job = director->jobs; job != NULL; job = job->next) {
        left += job->left;
    }
    mimic_put_number(status, "payments", director->paid_count);
    mimic_put_number(status, "payments_left", left);
    director->hooks.put_status(director->hooks.context, status);
    json_object_set_new(status, "faults", faults_print(director->faults));
    return status;
}

static json_t *cut_ws(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    director->hooks.cut_ws(director->hooks.context);
    return json_object();
}

static json_t *close_ws(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    director->hooks.close_ws(director->hooks.context);
    return json_object();
}

static json_t *forget_callbacks(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    director->hooks.forget_callbacks(director->hooks.context);
    return json_object();
}

static json_t *restart(struct director *director, const json_t *request, const char **error)
{
    uint64_t down_ms = director_number(request, "down_ms", 0, 600000, error);
    if (*error != NULL) {
        return NULL;
    }
    director->hooks.restart(director->hooks.context, (unsigned)down_ms);
    return json_object();
}

static json_t *reset_times(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    ledger_set_times(world_ledger(director->world), clock_wall_ms() / 1000);
    return json_object();
}

static const struct {
    const char *name;
    json_t *(*run)(struct director *director, const json_t *request, const char **error);
} WORDS[] = {
    {"accounts", make_accounts},
    {"adopt", adopt},
    {"pay", pay},
    {"pocket", pocket},
    {"auto_receive", auto_receive},
    {"change", change},
    {"confirm", confirm},
    {"announce", announce},
    {"faults", set_faults},
    {"payments", list_payments},
    {"status", print_status},
    {"cut_ws", cut_ws},
    {"close_ws", close_ws},
    {"forget_callbacks", forget_callbacks},
    {"restart", restart},
    {"reset_times", reset_times},
};

json_t *director_answer(struct director *director, const json_t *request, const char **error)
{
    const char *word = tree_text(request, "do");
    *error = NULL;
    for (size_t i = 0; word != NULL && i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(WORDS[i].name, word) != 0) {
            continue;
        }
        json_t *answer = WORDS[i].run(director, request, error);
        if (*error != NULL) {
            json_decref(answer);
            return NULL;
        }
        if (json_object_size(answer) == 0) {
            tree_put(answer, "done", "1");
        }
        return answer;
    }
    *error = "`do` takes a word that docs/simulated-node.md has";
    return NULL;
}
