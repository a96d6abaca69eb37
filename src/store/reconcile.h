/*
 * reconcile: what the reconciliation with a node's RPC reads and writes: how far each address is known to be complete, and where it stood
 * when a subscription to it was made.
 * Baselines and marks are committed; since when something is complete is kept in memory, for after a restart nothing is proven.
 * Threads as in store.h: store_submit_… any, never blocks; reader_… any, may wait for a connection; the rest any, from memory.
 */
#ifndef COINSLOT_STORE_RECONCILE_H
#define COINSLOT_STORE_RECONCILE_H

#include "store/store.h"

/* ---- what is known of the chain ---------------------------------------------------------------------------------- */

/* Up to here everything that the node told of an address is in the store, or older than its subscriptions. */
struct store_mark {
    uint8_t frontier[32];     /* the last confirmed block on its chain; zero: not opened */
    uint64_t height;          /* the frontier's; 0: not opened */
    struct amount receivable; /* the sum of all confirmed sends that wait for it */
    bool moved; /* its chain went on while it was asked: the frontier and the sum are not of one moment */
};

struct reader_watched {
    int64_t num; /* the store's number for the address */
    struct address address;
    bool has_mark;
    struct store_mark mark;
    bool needs_baseline; /* it has a subscription whose baseline is not taken */
};
#define READER_WATCHED_MOST 1000
/* Addresses with a subscription, by number, after `after`. */
CS_MUST_CHECK enum cs_err reader_page_watched(struct store *store, int64_t after, uint32_t limit,
                                              struct reader_watched *rows, size_t *count);
/* CS_ENOTFOUND: nobody subscribes to it. */
CS_MUST_CHECK enum cs_err reader_watched(struct store *store, const struct address *address,
                                         struct reader_watched *row);

struct reader_baseline {
    int64_t subscription;
    int64_t created_at_ms;
    int64_t since_ms; /* 0: not asked for */
};
/* The subscriptions to an address whose baseline is not taken yet; owned by the caller. */
CS_MUST_CHECK enum cs_err reader_open_baselines(struct store *store, int64_t address,
                                                struct reader_baseline **rows, size_t *count);

/* waits[i]: the news with this number (store_submit_unconfirmed) still waits for its verdict. */
CS_MUST_CHECK enum cs_err reader_find_waiting(struct store *store, const int64_t *nums, size_t count,
                                              bool *waits);
/* unknown[i]: the send hashes[i] is neither a payment, nor in the baseline of everybody who subscribes to the address. */
CS_MUST_CHECK enum cs_err reader_find_unknown(struct store *store, int64_t address,
                                              const uint8_t (*hashes)[32], size_t count, bool *unknown);

/* The lowest of the baselines that are taken: what was received up to there is old for all. UINT64_MAX: none is taken. */
CS_MUST_CHECK enum cs_err reader_baseline_height(struct store *store, int64_t address, uint64_t *height);

typedef void (*store_reconcile_done)(void *context, enum cs_err err);
/* The hashes are copied. A baseline that is there already stays. */
CS_MUST_CHECK enum cs_err store_submit_baseline(struct store *store, int64_t address, int64_t subscription,
                                                uint64_t height, const uint8_t (*hashes)[32], size_t count,
                                                store_reconcile_done done, void *context);
CS_MUST_CHECK enum cs_err store_submit_mark(struct store *store, int64_t address,
                                            const struct store_mark *mark, store_reconcile_done done,
                                            void *context);

/* ---- completeness ------------------------------------------------------------------------------------------------- */

/*
 * Everything that was confirmed for these addresses up to `at_ms` is in the store. Not noted where somebody has subscribed since, or has no
 * baseline yet.
 */
void store_note_complete(struct store *store, const int64_t *addresses, size_t count, int64_t at_ms);
/* News may have been lost up to now: what was complete before is unproven. `why` is a code that lives for ever ("started", …). */
void store_note_incident(struct store *store, const char *why);
/* Whether machines may take money: NULL, or a code that lives for ever ("no_source", "node_lagging", …). */
void store_set_payable(struct store *store, const char *why_not);
const char *store_not_payable(struct store *store);

struct store_completeness {
    bool subscribed;        /* somebody does */
    bool connected;         /* a device that subscribes to it has a session */
    bool disabled;          /* all that subscribe to it are disabled */
    bool unprovable;        /* all others want proofs (proofs.h), and none can be had now */
    bool proven;            /* complete, as of complete_at_ms */
    int64_t complete_at_ms; /* 0: never since the start */
    const char *why;        /* of unproven: a code */
    int64_t since_ms;       /* of unproven: when it was lost */
};
void store_find_completeness(struct store *store, const struct address *address,
                             struct store_completeness *found);
/* NULL: all addresses of the device are proven; else why not, a code. */
const char *store_device_unproven(struct store *store, int64_t device_num);
/* Counts up whenever something that these answer may have changed. */
uint64_t store_completeness_version(struct store *store);
/* How many addresses have a subscription, and how many of them are proven, and the oldest complete_at_ms of those (0: none). */
struct store_coverage {
    size_t addresses, proven;
    int64_t oldest_ms;
};
void store_find_coverage(struct store *store, struct store_coverage *coverage);

/* Every address that somebody subscribes or listens to. Any thread; `each` must not call the store. */
void store_each_watched(struct store *store, void (*each)(void *context, const struct address *address),
                        void *context);

#endif
