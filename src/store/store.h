/*
 * store: everything that is remembered, in one SQLite file.
 *
 * Owns DIR (its lock, coinslot.db) and three threads: the writer, the checkpointer, the replayer. The writer owns the only
 * read-write connection; commands reach it through a bounded inbox and are called back after their commit.
 * After a crash: what was called back with CS_OK is there; what was not may be there or not.
 *
 * store_submit_… : any thread, never blocks; the callback runs on the writer thread, exactly once if CS_OK was returned, never
 *                  otherwise. It must not block and must not call the store.
 * store_find_… , store_knows_… : any thread, from memory, under a read lock.
 * the rest of the store_… calls that change something: any thread but the writer; they wait for the commit.
 * reader_… (reader.h): the pages that people look at.
 */
#ifndef COINSLOT_STORE_STORE_H
#define COINSLOT_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metrics.h"
#include "delivery/moves.h"
#include "payment/payment.h"

#define STORE_ID_SIZE     32  /* "dev_" and 16 characters of a-z2-7, NUL, with room */
#define STORE_NAME_SIZE   129 /* a device's or token's name: 1 to 128 bytes of UTF-8 */
#define STORE_REASON_SIZE 33  /* [a-z0-9_]{1,32} */
#define STORE_HASH_SIZE   32  /* of a credential */
#define STORE_PROOF_MAX   256 /* bytes of a packed block */
#define STORE_ERROR_SIZE  256
#define STORE_EPOCH_TEXT  33 /* 32 hexadecimal digits and a NUL */

struct store;

struct store_options {
    const char *dir;             /* made (0700) when missing */
    uint32_t inbox_capacity;     /* commands waiting for the writer */
    uint32_t batch_most;         /* commands in one transaction */
    uint32_t window;             /* unacked deliveries per session */
    uint32_t page_size;          /* deliveries in one replay page */
    uint32_t readers;            /* read-only connections, shared by all who page through the store */
    uint32_t subscriptions_most; /* per device */
    uint32_t unconfirmed_most;   /* payments that wait for their confirmation */
    bool can_prove;              /* there is a node to ask for the blocks that devices want as proof */
    int64_t min_free_bytes;      /* below this, payments are refused with CS_EFULL */
    int64_t
        wal_most_bytes; /* past a quarter of this the WAL begins anew when that is cheap, past this in any case */
    const char *synchronous; /* "FULL"; "OFF" only for the test that must fail with it */
    struct metrics *metrics; /* borrowed */
};

/* ---- what the store tells upward, on the writer's or the replayer's thread ------------------------------------- */

/* A payment's block and the one before it, packed (src/verify/block.h). */
struct store_proof {
    size_t block_size, previous_size;
    uint8_t block[STORE_PROOF_MAX], previous[STORE_PROOF_MAX];
};

/* One delivery, whole. */
struct store_delivery {
    uint64_t seq;
    enum delivery_state state;
    char reason[STORE_REASON_SIZE]; /* of expired and refused, else "" */
    int64_t stored_at_ms;
    uint64_t config_version; /* by which it is priced; 0: the device had no config */
    /*
     * That version's body, where it is older than the current: a device that was away during two changes has only the later one. Else NULL.
     * Borrowed while an event is told; whoever keeps the delivery copies it.
     */
    const char *config;
    const struct store_proof
        *proof; /* NULL: none is known, or the device does not want any; borrowed likewise */
    struct payment payment;
    uint64_t committed_ns; /* clock_monotonic_ns, while it is told live; else 0 */
};

/* What a payment goes through; coinslot_payment_stage_seconds says how long it took in each. */
enum store_stage {
    STORE_STAGE_CHECK,  /* from its news to the writer's inbox */
    STORE_STAGE_QUEUE,  /* in the inbox, until its transaction begins */
    STORE_STAGE_WRITE,  /* in the transaction, with all that share it, until the commit */
    STORE_STAGE_COMMIT, /* until it is on the disk */
    STORE_STAGE_PUSH,   /* until its frame is queued for its device's socket; where nothing older waits */
    STORE_STAGE_ACK,    /* until that device's ack is here; one payment of a session is timed at a time */
};
#define STORE_STAGES 6

/* A session of the push server as the store knows it. `handle` is the push server's own number for it. */
struct store_session {
    int64_t device;      /* the store's number for the device */
    uint64_t generation; /* one higher with each session */
    uint64_t handle;
};

enum store_watch { STORE_WATCH_BEGUN, STORE_WATCH_ENDED, STORE_WATCH_SUBSCRIBED };

/* A payment that was not there before. Borrowed while it is told. */
struct store_heard {
    const struct payment *payment;
    bool listened;        /* somebody listens to its address (store_submit_listen) */
    const uint8_t *proof; /* as they were submitted, or NULL and 0 */
    size_t proof_size;
    const char *notice;
    size_t notice_size;
};

/*
 * Everything for one device comes in the order of the commits. None of these may block, nor call the store.
 * Set before store_start; all of them must be set, but for `heard`, `watched` and `held`.
 */
struct store_events {
    void *context;
    /* writer: a payment that may go out from memory at once, if the session agrees (outbox_offer). */
    void (*live)(void *context, const struct store_session *session, const struct store_delivery *delivery);
    /* writer: seqs up to head exist; the session is to ask for a page. */
    void (*raised)(void *context, const struct store_session *session, uint64_t head);
    /* writer: a newer session has begun (reason "fenced"), or the device was "retired" or "disabled". */
    void (*ended)(void *context, const struct store_session *session, const char *reason);
    /*
     * replayer: the answer to store_submit_page. The deliveries with from <= seq <= to, in order; seqs between that are missing or
     * expired are gaps. `count` 0 and `to` < `from`: nothing there. `head` as of the marking.
     * May block for a moment, to slow the replayer down.
     */
    void (*page)(void *context, const struct store_session *session, uint64_t from, uint64_t to,
                 uint64_t head, const struct store_delivery *deliveries, size_t count);
    /* writer: an operator has changed what the device is told. `body` is JSON, borrowed. */
    void (*config)(void *context, const struct store_session *session, uint64_t version, const char *body);
    /* writer: every payment, once it is stored for the first time. */
    void (*heard)(void *context, const struct store_heard *heard);
    /* writer: an address has its first subscription or listener, or lost its last; or has a new subscription, whose baseline is to be taken. */
    void *watch_context; /* of this one alone: who watches the chain is not who serves sessions */
    void (*watched)(void *watch_context, const struct address *address, enum store_watch watch);
    /* writer: deliveries wait for a proof (proofs.h), or need not wait for it any more. May be NULL. */
    void (*held)(void *watch_context);
};

/* ---- life ------------------------------------------------------------------------------------------------------ */

/*
 * Locks DIR, opens or makes the file, runs the migrations (after a quick_check, when there are any), reads devices and addresses into memory.
 * CS_EBUSY: another process holds DIR. CS_EINVAL: not a Coinslot file, from a newer version, or damaged. Why, and what to do, in `error`.
 */
CS_MUST_CHECK enum cs_err store_open(const struct store_options *options, struct store **store,
                                     char error[STORE_ERROR_SIZE]);

/* Starts the four threads; the last one looks through the file and ends. `events` NULL: no session will begin and nobody will listen. */
void store_start(struct store *store, const struct store_events *events);

/* Refuses new commands, commits those that were accepted, calls them all back, ends the threads. */
void store_stop(struct store *store);
void store_close(struct store *store);

/* For tests that drive the threads one step at a time, instead of store_start. True when there was something to do. */
void store_start_by_hand(struct store *store, const struct store_events *events);
bool store_step_writer(struct store *store);
bool store_step_replayer(struct store *store);

/*
 * The relay's Ed25519 key (libsodium's forms). ahead 0: the one in use; 1: the one that the next roll brings, so that devices can pin both.
 * Any thread.
 */
void store_relay_key(struct store *store, uint32_t ahead, uint8_t public_key[32], uint8_t secret_key[64]);
/* The next key comes into use; waits for its commit. Sessions that are under way go on. */
CS_MUST_CHECK enum cs_err store_roll_relay_key(struct store *store);

/* Hash of a token under the relay's secret (DIR/relay.key): what is stored and compared, never the token itself. */
void store_hash_token(struct store *store, const char *token, uint8_t hash[STORE_HASH_SIZE]);

const char *store_epoch(const struct store *store); /* 32 hex digits, random, new after a restore */
int64_t store_inbox_count(struct store *store);
/* Any thread. It took from `since_ns` (clock_monotonic_ns) until now, which is returned. */
uint64_t store_observe_stage(struct store *store, enum store_stage stage, uint64_t since_ns);
/* NULL when payments are taken, else why they are not, in words. */
const char *store_refusal(struct store *store);

/* ---- payments -------------------------------------------------------------------------------------------------- */

enum store_payment_outcome {
    STORE_PAYMENT_STORED,
    STORE_PAYMENT_DUPLICATE, /* it was there; nothing has changed */
    STORE_PAYMENT_UNMATCHED, /* nobody subscribes to its address; counted, not stored */
    STORE_PAYMENT_OLD,       /* it was there before anybody subscribed to its address; counted, not stored */
    STORE_PAYMENT_WAITING,   /* committed, until store_submit_verdict */
    STORE_PAYMENT_DENIED,    /* dropped by a verdict */
};
#define STORE_PAYMENT_OUTCOMES 6

/* True when somebody subscribes to it. A look before the dear checks; the writer's match is final. */
bool store_knows_address(struct store *store, const struct address *address);
/* True when something had been received on its chain before somebody subscribed to it: only a receive's height tells that from what is new. */
bool store_has_past(struct store *store, const struct address *address);

typedef void (*store_payment_done)(void *context, enum cs_err err, enum store_payment_outcome outcome);

/*
 * `proof` (packed block, may be NULL) is kept beside the payment; `notice` (what the source sent, may be NULL) goes with
 * events.heard. CS_EBUSY: the inbox is full; CS_EFULL: the disk is, nearly;
 * CS_ECLOSED. The callback's err: CS_OK, or CS_EFULL when the disk filled up under way.
 */
CS_MUST_CHECK enum cs_err store_submit_payment(struct store *store, const struct payment *payment,
                                               const uint8_t *proof, size_t proof_size, const char *notice,
                                               size_t notice_size, store_payment_done done, void *context);

/* The same for one of which it is known that the block of this height on its address's chain has received it. */
CS_MUST_CHECK enum cs_err store_submit_received(struct store *store, const struct payment *payment,
                                                uint64_t receive_height, const uint8_t *proof,
                                                size_t proof_size, store_payment_done done, void *context);

/*
 * The same for one that reconciliation found: `receive_height` is that of the block that received it, 0 while it is receivable. The callback's
 * err may be CS_ECONFLICT: somebody subscribes to its address whose baseline is not taken; take that first.
 */
CS_MUST_CHECK enum cs_err store_submit_found(struct store *store, const struct payment *payment,
                                             uint64_t receive_height, const uint8_t *proof, size_t proof_size,
                                             store_payment_done done, void *context);

/*
 * News of a source that can be forged, until a node has said whether it is true: no seq, no delivery. At most
 * options.unconfirmed_most wait; beyond, err is CS_EBUSY. `num` names it (WAITING only). Waiting already: DUPLICATE.
 */
typedef void (*store_unconfirmed_done)(void *context, enum cs_err err, enum store_payment_outcome outcome,
                                       int64_t num);
CS_MUST_CHECK enum cs_err store_submit_unconfirmed(struct store *store, const struct payment *payment,
                                                   const uint8_t *proof, size_t proof_size,
                                                   const char *notice, size_t notice_size,
                                                   store_unconfirmed_done done, void *context);
/*
 * Confirmed: it goes the way of every payment, with the subscriptions of now. Denied: it is dropped. When it is not there any more, because
 * another source brought it: DUPLICATE.
 */
CS_MUST_CHECK enum cs_err store_submit_verdict(struct store *store, int64_t num, bool confirmed,
                                               uint64_t receive_height, store_payment_done done,
                                               void *context);
/* What waits, oldest first. Between store_open and store_start. */
void store_each_unconfirmed(struct store *store,
                            void (*each)(void *context, int64_t num, const struct payment *payment,
                                         int64_t received_at_ms),
                            void *context);
int64_t store_unconfirmed_count(struct store *store);

/*
 * Somebody listens to an address without being a device (the legacy protocol): it counts as subscribed, and its payments are stored
 * without a delivery and told by events.heard as listened to. Counted: each listen needs its unlisten. In effect once `done` was called.
 */
typedef void (*store_listen_done)(void *context, uint64_t handle, enum cs_err err);
CS_MUST_CHECK enum cs_err store_submit_listen(struct store *store, const struct address *address,
                                              uint64_t handle, store_listen_done done, void *context);
CS_MUST_CHECK enum cs_err store_submit_unlisten(struct store *store, const struct address *address);

/* ---- sessions -------------------------------------------------------------------------------------------------- */

enum device_state { DEVICE_ACTIVE, DEVICE_DISABLED, DEVICE_RETIRED };
enum device_auth { DEVICE_AUTH_TOKEN, DEVICE_AUTH_KEY };
const char *device_state_text(enum device_state state);
const char *device_auth_text(enum device_auth auth);

struct store_device_key {
    int64_t device;
    enum device_state state;
    enum device_auth auth;
    uint8_t credential[STORE_HASH_SIZE]; /* the token's hash, or the public key */
};

/* By id, from memory: what is needed to judge a hello. */
bool store_find_device(struct store *store, const char *id, struct store_device_key *found);

/* What a device that was let in says of itself. */
struct store_hello {
    int64_t device;
    uint64_t handle;  /* the push server's number for the session */
    uint64_t resume;  /* the last seq that the device has persisted */
    bool other_epoch; /* it took that seq from a store with another epoch */
};

struct store_begun {
    struct store_session session;
    uint64_t acked, head;
    uint32_t window;
    uint64_t config_version; /* 0: none */
    const char *config;      /* its body; borrowed while `done` runs; NULL: none */
    /* The store was rolled back: the seqs from … to are in the device, and not here. to 0: nothing of the kind. */
    uint64_t gap_from, gap_to;
};

/*
 * err: CS_OK; CS_EDENIED: disabled, retired, or not there; CS_EFULL. A resume above the highest seq ever sent, or from another epoch, means
 * that the store was rolled back: nothing is acked, what waits is numbered anew from resume + 1. On CS_OK everything for the device is posted to this session from that commit on.
 */
typedef void (*store_session_done)(void *context, uint64_t handle, enum cs_err err,
                                   const struct store_begun *begun);
CS_MUST_CHECK enum cs_err store_submit_session(struct store *store, const struct store_hello *hello,
                                               store_session_done done, void *context);

/* Commands of a session that is no longer the device's live one change nothing. CS_EBUSY: keep it and try again. */
CS_MUST_CHECK enum cs_err store_submit_session_end(struct store *store, const struct store_session *session);
CS_MUST_CHECK enum cs_err store_submit_ack(struct store *store, const struct store_session *session,
                                           uint64_t seq);
/* Answered by events.page, always, unless the session was fenced in between. */
CS_MUST_CHECK enum cs_err store_submit_page(struct store *store, const struct store_session *session,
                                            uint64_t from, uint32_t most);

struct store_outcome {
    uint64_t seq;
    enum delivery_state state;      /* DELIVERY_ACTUATED or DELIVERY_REFUSED */
    uint32_t seconds;               /* of actuated */
    char reason[STORE_REASON_SIZE]; /* of refused */
};
/*
 * Acks everything up to seq and makes the move. A repeat changes nothing and is CS_OK, so is an outcome that contradicts an earlier
 * one (the first stands, it is logged), so is one of a seq that was lost with a store that was rolled back. CS_ENOTFOUND: no such seq, or one
 * that was never sent. Not called back when fenced.
 */
typedef void (*store_outcome_done)(void *context, uint64_t handle, enum cs_err err, uint64_t seq);
CS_MUST_CHECK enum cs_err store_submit_outcome(struct store *store, const struct store_session *session,
                                               const struct store_outcome *outcome, store_outcome_done done,
                                               void *context);

/* ---- devices, subscriptions, API tokens: changes, each waits for its commit -------------------------------------- */

/* What a device last said of itself; kept in memory. */
struct store_status {
    int64_t at_ms; /* 0: nothing yet */
    char firmware[33];
    int64_t uptime_s, rssi, remaining_s; /* INT64_MIN: not said */
    int relay_on;                        /* 0, 1; -1: not said */
    uint64_t config_version;
};
/* Any thread. */
void store_note_status(struct store *store, int64_t device, const struct store_status *status);

struct store_device {
    char id[STORE_ID_SIZE];
    char name[STORE_NAME_SIZE];
    enum device_auth auth;
    enum device_state state;
    int64_t expire_after_ms; /* 0: never */
    int64_t created_at_ms;
    int64_t retired_at_ms; /* 0: not retired */
    uint64_t head_seq, sent_seq, acked_seq;
    uint64_t config_version; /* 0: none yet */
    bool connected;
    bool
        duplicate_credential; /* its sessions keep throwing each other out: two machines have one credential */
    bool rolled_back;         /* it knew more than this store, which was restored from a backup */
    int64_t last_seen_ms;     /* since the relay started; 0: not */
    struct store_status status;
};

/*
 * device: name, auth and expire_after_ms are given; the rest is filled in. CS_EINVAL: the name. CS_EDENIED: another device, not retired, has
 * this public key.
 */
CS_MUST_CHECK enum cs_err store_create_device(struct store *store, struct store_device *device,
                                              const uint8_t credential[STORE_HASH_SIZE]);
/* Its session ends, what was not sent expires with reason "retired", its subscriptions end. CS_ENOTFOUND. Again: CS_OK. */
CS_MUST_CHECK enum cs_err store_retire_device(struct store *store, const char *id);

/*
 * Disabled: its session ends, payments are stored and wait. Active again: it may connect. CS_ENOTFOUND; CS_EDENIED: it is retired.
 * state is DEVICE_ACTIVE or DEVICE_DISABLED.
 */
CS_MUST_CHECK enum cs_err store_set_device_state(struct store *store, const char *id,
                                                 enum device_state state);

/*
 * What an operator sets for a device: a JSON object without addresses, already checked by the caller. Makes a new version (so does every
 * change of its subscriptions), tells a live session. CS_ENOTFOUND; CS_EDENIED: retired; CS_EINVAL: longer than STORE_SETTINGS_MOST;
 * CS_ECONFLICT: it wants proofs ("proof":true), and there is nobody to have them from (options.can_prove).
 */
#define STORE_SETTINGS_MOST 2048
CS_MUST_CHECK enum cs_err store_set_config(struct store *store, const char *id, const char *settings,
                                           uint64_t *version);

struct store_subscription {
    char id[STORE_ID_SIZE];
    char device[STORE_ID_SIZE];
    struct address address;
    struct amount minimum;
    int64_t created_at_ms;
    int64_t since_ms; /* payments that were there already are wanted too, from then on; 0: they are not */
};

/* device, address, minimum and since_ms are given. CS_ENOTFOUND: the device; CS_ECONFLICT: subscribed already; CS_EDENIED: retired; CS_EINVAL: it has as many as one may have. */
CS_MUST_CHECK enum cs_err store_create_subscription(struct store *store,
                                                    struct store_subscription *subscription);
CS_MUST_CHECK enum cs_err store_remove_subscription(struct store *store, const char *device_id,
                                                    const char *id);

/* One device of an import, with its subscriptions. Results are filled in. */
struct store_import {
    struct store_device device; /* name, auth, expire_after_ms are given */
    uint8_t credential[STORE_HASH_SIZE];
    struct store_subscription *subscriptions; /* address, minimum and since_ms are given */
    size_t subscription_count;
    bool unique; /* refuse it when another device, not retired, has this credential */
    /* CS_OK; CS_EINVAL: the name; CS_EBUSY: too many subscriptions; CS_ECONFLICT: an address twice; CS_EDENIED: not unique */
    enum cs_err err;
};
#define STORE_IMPORT_MOST 256
/* All that are sound in one transaction. CS_EFULL, CS_EBUSY, CS_ECLOSED: none was made. */
CS_MUST_CHECK enum cs_err store_import_devices(struct store *store, struct store_import *devices,
                                               size_t count);

enum store_role { ROLE_VIEWER, ROLE_AUDITOR, ROLE_OPERATOR, ROLE_ADMIN };
#define STORE_ROLE_COUNT 4
const char *store_role_text(enum store_role role);
bool store_role_parse(const char *text, enum store_role *role);

struct store_api_token {
    char id[STORE_ID_SIZE];
    char name[STORE_NAME_SIZE];
    enum store_role role;
    int64_t created_at_ms;
    int64_t revoked_at_ms; /* 0: valid */
};

/* name and role are given. */
CS_MUST_CHECK enum cs_err store_create_api_token(struct store *store, struct store_api_token *token,
                                                 const uint8_t hash[STORE_HASH_SIZE]);
CS_MUST_CHECK enum cs_err store_revoke_api_token(struct store *store, const char *id);
/* By hash, from memory; false when unknown or revoked. */
bool store_find_api_token(struct store *store, const uint8_t hash[STORE_HASH_SIZE],
                          struct store_api_token *found);

#endif
