/*
 * store_load: one life of a store under load, in a process of its own: payments from several sides, and a
 * device that takes them. What must outlive the process, as the payer's and the device's own records do,
 * stands in memory shared with the parent.
 */
#ifndef TESTS_CRASH_STORE_LOAD_H
#define TESTS_CRASH_STORE_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/fault_plan.h"
#include "payment/payment.h"
#include "store/store.h"

#define LOAD_PAYMENTS 40000
#define LOAD_CUT_EXIT 77

enum load_phase { LOAD_OPENING, LOAD_SETTING_UP, LOAD_RUNNING, LOAD_STOPPING, LOAD_ENDED };

struct load_shared {
    /* the payers' */
    _Atomic uint32_t next; /* payments from this one on were never tried */
    _Atomic uint8_t answered[LOAD_PAYMENTS];
    _Atomic uint32_t refused, refused_in_outage; /* with CS_EFULL */

    /* the device's: what it persisted before it acked */
    char device[STORE_ID_SIZE];
    bool subscribed;
    _Atomic uint32_t persisted;
    _Atomic uint32_t record[LOAD_PAYMENTS + 1]; /* by seq: the payment's number */
    _Atomic uint8_t granted[LOAD_PAYMENTS];

    _Atomic int phase;
    _Atomic uint32_t cuts_at_end; /* before the plan came true */
    _Atomic uint64_t
        calls;           /* that matched the plan, in the last life that was stopped cleanly, or its outage */
    char violation[200]; /* a promise broken, as the device or a payer saw it; "" is good */
};

struct load_options {
    const char *dir;
    uint64_t seed;      /* of the payments' hashes: one for all lives of a folder */
    uint64_t life_seed; /* of this life's choices */
    uint32_t payments;  /* to be tried in this life */
    bool by_hand;       /* one thread, so that the seed gives the same run again */
    bool early;         /* the mistake on purpose: answered before the commit */
    bool cut_at_end;    /* the power goes when all were tried, if the plan has not come true before */
    bool
        outage; /* the plan holds for the middle third of the payments only, and the last third has to go through */
    int64_t wal_most_bytes;
    const char *synchronous;
    struct fault_plan plan;
};

/* Which payment has the number `number`. */
void load_payment(uint64_t seed, uint32_t number, struct payment *payment);

/* Lives, and ends the process: 0 stopped cleanly, 1 with a line on stderr, LOAD_CUT_EXIT. */
__attribute__((noreturn)) void load_live(const struct load_options *options, struct load_shared *shared);

/*
 * What a folder must hold after any end: the file is whole, all that was answered is there once, seqs have no
 * hole, and the device's record agrees with the store's. False, with what is wrong in `finding`. No fault is
 * on.
 */
#define LOAD_FINDING_SIZE 300
bool load_check(const char *dir, uint64_t seed, const struct load_shared *shared,
                char finding[LOAD_FINDING_SIZE]);

#endif
