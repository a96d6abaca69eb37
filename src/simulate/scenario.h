/*
 * scenario: what happens on the make-believe network: drivers pay machines, and the node's news of it is as
 * bad as was asked for. Pure: no I/O, no clock; one thread. The same options give the same notices in the
 * same order, for ever.
 */
#ifndef COINSLOT_SIMULATE_SCENARIO_H
#define COINSLOT_SIMULATE_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "payment/address.h"
#include "payment/amount.h"
#include "simulate/network.h"
#include "verify/notice.h"

/* What a payment may be: a whole number from low to high of units of 10^zeros raw. */
struct scenario_amounts {
    struct amount low, high;
    unsigned zeros;
};

struct scenario_options {
    uint64_t seed;
    size_t drivers;                /* 1 … SCENARIO_DRIVERS_MOST */
    const struct address *targets; /* borrowed until scenario_close */
    size_t target_count;           /* at least 1 */
    struct scenario_amounts amounts;
    unsigned duplicates_percent, forgeries_percent, reorder_percent,
        legacy_percent;     /* of the payments; 0 … 100 */
    unsigned noise_percent; /* blocks that pay none of the targets, for each 100 payments; 0 …
                               SCENARIO_NOISE_MOST */
};

#define SCENARIO_DRIVERS_MOST 100000
#define SCENARIO_NOISE_MOST   10000

enum scenario_kind {
    SCENARIO_SEND,      /* a payment to a target, told for the first time */
    SCENARIO_DUPLICATE, /* one of the last payments, told again */
    SCENARIO_FORGERY,   /* never happened, and can be told from what is said */
    SCENARIO_NOISE,     /* true, and pays none of the targets */
};
#define SCENARIO_KIND_COUNT 4

struct scenario_news {
    enum scenario_kind kind;
    const char *how; /* "" or more of the kind: "reordered", "wrong_signature", "change" … */
    struct notice notice;
    bool shows_link; /* a forged link_as_account */
    uint8_t shown_link[32];
};

struct scenario;

/*
 * "500000" and "500000raw" are raw, "0.5" and "1nano" nano; "0.1-2.0" is a range, in steps of the finest
 * digit that is written. False: none of these, zero, or more than there is; then `amounts` is untouched.
 */
bool scenario_parse_amounts(const char *text, struct scenario_amounts *amounts);

/* "send", "duplicate", "forgery", "noise". */
const char *scenario_kind_text(enum scenario_kind kind);

/* The seed of the network that belongs to a number. */
void scenario_make_seed(uint64_t number, uint8_t seed[32]);

struct scenario *scenario_open(const struct scenario_options *options);
void scenario_close(struct scenario *scenario);

/* Where its drivers live; the scenario's own. Only the genesis is open before the first payment. */
struct network *scenario_network(struct scenario *scenario);

/*
 * One payment, and what comes with it. Targets are paid in turn, in an order that is dealt anew each round.
 * CS_EFULL: all the money of the make-believe network has been paid out.
 */
CS_MUST_CHECK enum cs_err scenario_pay(struct scenario *scenario);

/* The next news that is due. False: none; pay again, or release. */
bool scenario_take(struct scenario *scenario, struct scenario_news *news);

/* Makes due what is still held back to come out of order. */
void scenario_release(struct scenario *scenario);

#endif
