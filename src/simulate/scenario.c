#include "simulate/scenario.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "simulate/chance.h"
#include "simulate/network.h"

#define STRANGERS   16 /* people who pay each other */
#define RECENT_MOST 64 /* payments of which a duplicate is chosen */
#define HELD_MOST   4
#define LATE_MOST   3 /* a payment that comes out of order comes after one to three later ones */
#define GRANT_TIMES                                                                                          \
    10 /* the genesis gives a driver 2^10 times what he is about to pay, as long as it can                   \
        */

struct held {
    unsigned payments_left;
    struct scenario_news news;
};

struct scenario {
    struct scenario_options options;
    struct chance chance;
    struct network *network;
    size_t first_old_driver; /* those who write legacy blocks */
    size_t first_stranger;

    size_t *round; /* the targets in the order of this round */
    size_t round_at;

    struct scenario_news *due; /* due_first … due_count - 1 */
    size_t due_first, due_count, due_room;
    struct held held[HELD_MOST];
    size_t held_count;
    struct notice recent[RECENT_MOST];
    size_t recent_count; /* of all time; the last RECENT_MOST are there */
};

/* ---- setting up ------------------------------------------------------------------------------------ */

void scenario_make_seed(uint64_t number, uint8_t seed[32])
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    static const uint8_t label[] = "coinslot simulate";
    crypto_generichash(seed, 32, bytes, sizeof(bytes), label, sizeof(label) - 1);
}

struct scenario *scenario_open(const struct scenario_options *options)
{
    assert(options->drivers >= 1 && options->drivers <= SCENARIO_DRIVERS_MOST && options->target_count >= 1);
    assert(options->noise_percent <= SCENARIO_NOISE_MOST && !amount_is_zero(options->amounts.low));
    struct scenario *scenario = cs_alloc(sizeof(*scenario));
    scenario->options = *options;
    uint8_t seed[32];
    scenario_make_seed(options->seed, seed);
    scenario->chance.state = options->seed;

    size_t old_drivers = options->legacy_percent > 0 ? options->drivers : 0;
    scenario->first_old_driver = NETWORK_GENESIS + 1 + options->drivers;
    scenario->first_stranger = scenario->first_old_driver + old_drivers;
    size_t strangers = options->noise_percent > 0 ? STRANGERS : 0;
    scenario->network = network_open(seed, scenario->first_stranger + strangers);

    scenario->round = cs_alloc(options->target_count * sizeof(scenario->round[0]));
    for (size_t i = 0; i < options->target_count; i++) {
        scenario->round[i] = i;
    }
    return scenario;
}

void scenario_close(struct scenario *scenario)
{
    network_close(scenario->network);
    free(scenario->round);
    free(scenario->due);
    free(scenario);
}

struct network *scenario_network(struct scenario *scenario)
{
    return scenario->network;
}

const char *scenario_kind_text(enum scenario_kind kind)
{
    switch (kind) {
    case SCENARIO_SEND:
        return "send";
    case SCENARIO_DUPLICATE:
        return "duplicate";
    case SCENARIO_FORGERY:
        return "forgery";
    case SCENARIO_NOISE:
        return "noise";
    }
    return "?";
}

/* ---- what is due ----------------------------------------------------------------------------------- */

static void make_due(struct scenario *scenario, const struct scenario_news *news)
{
    if (scenario->due_first == scenario->due_count) {
        scenario->due_first = scenario->due_count = 0;
    }
    if (scenario->due_count == scenario->due_room) {
        scenario->due_room = scenario->due_room == 0 ? 8 : 2 * scenario->due_room;
        scenario->due = cs_realloc(scenario->due, scenario->due_room * sizeof(scenario->due[0]));
    }
    scenario->due[scenario->due_count++] = *news;
    if (news->kind == SCENARIO_SEND) {
        scenario->recent[scenario->recent_count++ % RECENT_MOST] = news->notice;
    }
}

bool scenario_take(struct scenario *scenario, struct scenario_news *news)
{
    if (scenario->due_first == scenario->due_count) {
        return false;
    }
    *news = scenario->due[scenario->due_first++];
    return true;
}

static void release_held(struct scenario *scenario, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < scenario->held_count; i++) {
        struct held *held = &scenario->held[i];
        if (all || --held->payments_left == 0) {
            make_due(scenario, &held->news);
        } else {
            scenario->held[kept++] = *held;
        }
    }
    scenario->held_count = kept;
}

void scenario_release(struct scenario *scenario)
{
    release_held(scenario, true);
}

static void add_noise(struct scenario *scenario, const char *how, const struct notice *notice)
{
    make_due(scenario, &(struct scenario_news){.kind = SCENARIO_NOISE, .how = how, .notice = *notice});
}

/* ---- money ----------------------------------------------------------------------------------------- */

static struct amount draw_amount(struct scenario *scenario)
{
    const struct scenario_amounts *amounts = &scenario->options.amounts;
    struct amount drawn = chance_amount(&scenario->chance, amounts->low, amounts->high);
    for (unsigned i = 0; i < amounts->zeros; i++) {
        struct amount twice, five_times;
        bool fits = amount_add(drawn, drawn, &twice) && amount_add(twice, twice, &five_times) &&
                    amount_add(five_times, drawn, &five_times) && amount_add(five_times, five_times, &drawn);
        assert(fits); /* scenario_parse_amounts saw the highest of them fit */
    }
    return drawn;
}

/* 2^10 times `need` while the genesis has twice that; at the end, what is left. Zero: not even `need` is
 * there. */
static struct amount size_grant(const struct scenario *scenario, struct amount need)
{
    struct amount left = network_balance(scenario->network, NETWORK_GENESIS);
    struct amount half = {left.high >> 1, left.high << 63 | left.low >> 1};
    struct amount grant = need;
    for (int i = 0; i < GRANT_TIMES; i++) {
        struct amount more;
        if (!amount_add(grant, grant, &more) || amount_compare(more, half) > 0) {
            break;
        }
        grant = more;
    }
    return amount_compare(grant, left) <= 0 ? grant : (struct amount){0, 0};
}

/* Sees to it that the driver has `need`: the genesis sends, the driver receives. Told to nobody unless noise
 * was asked for. */
static enum cs_err fund(struct scenario *scenario, size_t driver, enum network_style style,
                        struct amount need)
{
    if (amount_compare(network_balance(scenario->network, driver), need) >= 0) {
        return CS_OK;
    }
    struct amount grant = size_grant(scenario, need);
    if (amount_is_zero(grant)) {
        return CS_EFULL;
    }
    struct notice notice;
    enum cs_err err =
        network_transfer(scenario->network, NETWORK_GENESIS, NETWORK_STATE, driver, grant, &notice);
    assert(err == CS_OK);
    if (scenario->options.noise_percent > 0) {
        add_noise(scenario, "funding", &notice);
    }
    err = network_receive(scenario->network, driver, style, &notice);
    assert(err == CS_OK);
    if (scenario->options.noise_percent > 0) {
        add_noise(scenario, "receive", &notice);
    }
    return CS_OK;
}

/* ---- forgeries ------------------------------------------------------------------------------------- */

enum forgery { FORGED_SIGNATURE, FORGED_HASH, FORGED_AMOUNT, FORGED_LINK, FORGED_ACCOUNT };
#define FORGERY_COUNT 5

/* More than there is: together with what the sender has left it is beyond 2^128 - 1. False where nothing is
 * left. */
static bool forge_amount(struct notice *notice)
{
    struct amount all = {UINT64_MAX, UINT64_MAX}, room, one = {0, 1};
    bool fits = amount_subtract(all, notice->block.balance, &room);
    assert(fits);
    return amount_add(room, one, &notice->amount);
}

static void forge(struct scenario *scenario, struct scenario_news *news)
{
    struct notice *notice = &news->notice;
    struct chance *chance = &scenario->chance;
    enum forgery forgery = (enum forgery)chance_below(chance, FORGERY_COUNT);
    if (forgery == FORGED_LINK && notice->block.type != BLOCK_STATE) {
        forgery = FORGED_SIGNATURE; /* a legacy send has no second way to say whom it pays */
    }
    if (forgery == FORGED_AMOUNT && !forge_amount(notice)) {
        forgery = FORGED_HASH;
    }
    const uint8_t bit = (uint8_t)(1u << chance_below(chance, 8));
    switch (forgery) {
    case FORGED_SIGNATURE:
        news->how = "wrong_signature";
        notice->block.signature[chance_below(chance, 32)] ^= bit;
        return;
    case FORGED_HASH:
        news->how = "wrong_hash";
        notice->hash[chance_below(chance, 32)] ^= bit;
        return;
    case FORGED_AMOUNT:
        news->how = "impossible_amount";
        return;
    case FORGED_LINK:
        news->how = "wrong_link_as_account";
        news->shows_link = true;
        memcpy(news->shown_link, notice->block.link, 32);
        news->shown_link[chance_below(chance, 32)] ^= bit;
        return;
    case FORGED_ACCOUNT:
        news->how = "wrong_account";
        memcpy(notice->account, network_key(scenario->network, NETWORK_GENESIS), 32);
        return;
    }
}

/* ---- strangers ------------------------------------------------------------------------------------- */

/* Blocks as the rest of the world makes them all day: sends to each other, receives, changes of
 * representative. */
static void make_noise(struct scenario *scenario)
{
    struct network *network = scenario->network;
    size_t who = scenario->first_stranger + chance_below(&scenario->chance, STRANGERS);
    size_t other = scenario->first_stranger + chance_below(&scenario->chance, STRANGERS);
    bool legacy = scenario->options.legacy_percent > 0 && (who - scenario->first_stranger) % 2 == 1;
    enum network_style style = legacy ? NETWORK_LEGACY : NETWORK_STATE;
    bool receives = chance_percent(&scenario->chance, 50);
    struct notice notice;
    if (receives && network_receive(network, who, style, &notice) == CS_OK) {
        add_noise(scenario, "receive", &notice);
        return;
    }
    struct amount amount = draw_amount(scenario);
    if (chance_percent(&scenario->chance, 75) &&
        network_transfer(network, who, style, other, amount, &notice) == CS_OK) {
        add_noise(scenario, "send", &notice);
        return;
    }
    if (!network_is_open(network, who) &&
        network_transfer(network, NETWORK_GENESIS, NETWORK_STATE, who, amount, &notice) == CS_OK) {
        add_noise(scenario, "send", &notice);
        return;
    }
    if (network_change(network, who, style, network_key(network, other), &notice) == CS_OK) {
        add_noise(scenario, "change", &notice);
        return;
    }
    /* A stranger who cannot even begin: the genesis is out of money, or the stranger has yet to receive. */
    if (network_receive(network, who, style, &notice) == CS_OK) {
        add_noise(scenario, "receive", &notice);
        return;
    }
    enum cs_err err =
        network_change(network, NETWORK_GENESIS, NETWORK_STATE, network_key(network, other), &notice);
    assert(err == CS_OK);
    add_noise(scenario, "change", &notice);
}

/* ---- payments -------------------------------------------------------------------------------------- */

static const uint8_t *next_target(struct scenario *scenario)
{
    size_t count = scenario->options.target_count;
    if (scenario->round_at == 0) {
        for (size_t i = count - 1; i > 0; i--) {
            size_t j = chance_below(&scenario->chance, i + 1);
            size_t swapped = scenario->round[i];
            scenario->round[i] = scenario->round[j];
            scenario->round[j] = swapped;
        }
    }
    const struct address *target = &scenario->options.targets[scenario->round[scenario->round_at]];
    scenario->round_at = (scenario->round_at + 1) % count;
    return target->bytes;
}

static void tell_payment(struct scenario *scenario, const struct notice *notice)
{
    struct scenario_news news = {.kind = SCENARIO_SEND, .how = "", .notice = *notice};
    if (chance_percent(&scenario->chance, scenario->options.reorder_percent) &&
        scenario->held_count < HELD_MOST) {
        news.how = "reordered";
        unsigned later = 1 + (unsigned)chance_below(&scenario->chance, LATE_MOST);
        release_held(scenario, false);
        scenario->held[scenario->held_count++] = (struct held){.payments_left = later, .news = news};
        return;
    }
    make_due(scenario, &news);
    release_held(scenario, false);
}

enum cs_err scenario_pay(struct scenario *scenario)
{
    const struct scenario_options *options = &scenario->options;
    struct chance *chance = &scenario->chance;
    size_t driver = chance_below(chance, options->drivers);
    bool legacy = chance_percent(chance, options->legacy_percent);
    enum network_style style = legacy ? NETWORK_LEGACY : NETWORK_STATE;
    driver += legacy ? scenario->first_old_driver : NETWORK_GENESIS + 1;
    struct amount amount = draw_amount(scenario);
    enum cs_err err = fund(scenario, driver, style, amount);
    if (err != CS_OK) {
        return err;
    }
    const uint8_t *target = next_target(scenario);

    /* What is forged is a block that the driver could make now, and does not. */
    if (chance_percent(chance, options->forgeries_percent)) {
        struct scenario_news news = {.kind = SCENARIO_FORGERY, .how = ""};
        err = network_draft_send(scenario->network, driver, style, target, amount, &news.notice);
        assert(err == CS_OK);
        forge(scenario, &news);
        make_due(scenario, &news);
    }

    struct notice notice;
    err = network_send(scenario->network, driver, style, target, amount, &notice);
    assert(err == CS_OK);
    tell_payment(scenario, &notice);

    if (chance_percent(chance, options->duplicates_percent) && scenario->recent_count > 0) {
        size_t known = scenario->recent_count < RECENT_MOST ? scenario->recent_count : RECENT_MOST;
        make_due(scenario, &(struct scenario_news){.kind = SCENARIO_DUPLICATE,
                                                   .how = "",
                                                   .notice = scenario->recent[chance_below(chance, known)]});
    }
    unsigned noise = options->noise_percent / 100;
    noise += chance_percent(chance, options->noise_percent % 100) ? 1 : 0;
    for (unsigned i = 0; i < noise; i++) {
        make_noise(scenario);
    }
    return CS_OK;
}
