/*
 * store_fixture: a real store in a folder of its own, driven by hand, and what a test needs to fill it.
 * One thread. The events go to a mailbox that the test empties when it wants to.
 */
#ifndef COINSLOT_TESTS_STORE_FIXTURE_H
#define COINSLOT_TESTS_STORE_FIXTURE_H

#include "store/reader.h"
#include "store/store.h"

enum posted_kind {
    POSTED_BEGUN,
    POSTED_LIVE,
    POSTED_RAISED,
    POSTED_ENDED,
    POSTED_PAGE,
    POSTED_NOTED,
    POSTED_CONFIG,
    POSTED_HEARD /* a payment to an address that is listened to */
};

/* What the store told the push server, in its order. */
struct posted {
    struct posted *next;
    enum posted_kind kind;
    struct store_session session;
    enum cs_err err;                /* begun, noted */
    struct store_begun begun;       /* begun */
    uint64_t handle;                /* begun, noted */
    uint64_t from, to, head;        /* page; raised: head; noted: from is the seq */
    char reason[STORE_REASON_SIZE]; /* ended */
    char *config;                   /* begun, config: the body; heard: the notice; or NULL */
    size_t count;
    bool deliveries_had_config[8];      /* of a page: the body itself was borrowed */
    size_t proofs;                      /* how many of them had one */
    struct store_proof proof;           /* the last of these; borrowed, so not in the delivery */
    struct store_delivery deliveries[]; /* live: one; page: count */
};

struct store_fixture {
    char dir[64];
    struct metrics *metrics;
    struct store *store;
    struct posted *first, *last;
    uint64_t payments_made;
    bool other_epoch; /* sessions begin as from another store */
    struct {
        uint64_t count;         /* of the payments that were told of at all */
        struct payment payment; /* the last of them */
        size_t proof_size;
        uint8_t proof[STORE_PROOF_MAX];
    } told;
};

/* batch_most 1 makes each command a transaction of its own. */
void store_fixture_open(struct store_fixture *fixture, uint32_t batch_most, uint32_t window,
                        uint32_t page_size);
void store_fixture_reopen(struct store_fixture *fixture, uint32_t batch_most, uint32_t window,
                          uint32_t page_size);
/* The store as it is at a clean stop; the folder stays, for store_fixture_reopen or store_fixture_exec. */
void store_fixture_shut(struct store_fixture *fixture);
void store_fixture_close(struct store_fixture *fixture); /* and removes the folder */

/* Steps writer and replayer until both have nothing to do. */
void store_fixture_settle(struct store_fixture *fixture);
/* The oldest post; give it back with store_fixture_drop. NULL: none. */
struct posted *store_fixture_take(struct store_fixture *fixture);
void store_fixture_drop(struct posted *posted);

/* The same, which must be of that kind. */
struct posted *store_fixture_next(struct store_fixture *fixture, enum posted_kind kind);
/* Begins a session, settles, and drops all posts up to its answer. */
struct store_session store_fixture_session(struct store_fixture *fixture, const char *device_id,
                                           uint64_t handle, uint64_t resume);

/* What a query of one number says, whether or not the store is open. */
int64_t store_fixture_number(const struct store_fixture *fixture, const char *query);
/* Changes the file behind the store's back. */
void store_fixture_exec(const struct store_fixture *fixture, const char *sql);
/* A metric, by its name and labels as printed. */
long long store_fixture_metric(const struct store_fixture *fixture, const char *name);

/* A device with one subscription to an address of its own. */
struct store_device store_fixture_add_device(struct store_fixture *fixture, struct address *address,
                                             const char *minimum, int64_t expire_after_ms);
/* A payment nobody has made before. */
struct payment store_fixture_payment(struct store_fixture *fixture, const struct address *to, uint64_t raw);

/* How the submission ended; `called` tells how often the callback came. */
struct submitted {
    int called;
    enum cs_err err;
    enum store_payment_outcome outcome;
};
void store_fixture_submit(struct store_fixture *fixture, const struct payment *payment,
                          struct submitted *submitted);
enum cs_err store_fixture_begin(struct store_fixture *fixture, const char *device_id, uint64_t handle,
                                uint64_t resume);
enum cs_err store_fixture_report(struct store_fixture *fixture, const struct store_session *session,
                                 uint64_t seq, enum delivery_state state);

#endif
