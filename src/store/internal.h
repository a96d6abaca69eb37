/*
 * internal: what the files of store/ share, and nobody else sees.
 *
 * Threads: the writer owns `db`, every statement but the replayer's and readers', and every device's cursor. The directory changes only on
 * the writer's thread, under the write lock; others look into it under the read lock.
 */
#ifndef COINSLOT_STORE_INTERNAL_H
#define COINSLOT_STORE_INTERNAL_H

#include <pthread.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/inbox.h"
#include "base/lookup.h"
#include "delivery/cursor.h"
#include "store/sql.h"
#include "store/store.h"

/* ---- the directory: devices, addresses and API tokens, in memory (directory.c) --------------------------------- */

#define FLAP_FENCES    4            /* so many sessions thrown out … */
#define FLAP_WINDOW_NS 60000000000u /* … within a minute: two machines with one credential */
#define FLAP_SHOWN_MS  600000       /* and so long it is shown */

struct device {
    char id[STORE_ID_SIZE];
    int64_t num;
    enum device_state state;
    enum device_auth auth;
    uint8_t credential[STORE_HASH_SIZE];
    int64_t expire_after_ms;
    struct address_entry **places; /* that it subscribes to: `subscriptions` of them */
    uint32_t subscriptions, place_slots;
    uint64_t config_version; /* 0: none yet */
    struct store_status status;
    int64_t last_seen_ms;

    /* When sessions were fenced of late, to notice a credential that two machines have. */
    uint64_t fenced_ns[FLAP_FENCES];
    uint32_t fenced_next;

    /* The writer's alone. */
    struct cursor cursor;
    struct store_session session; /* the live one; cursor.generation says whether there is one */
    bool dirty;                   /* cursor has moved in this batch; `saved` is what it was */
    struct cursor saved;
    struct store_session saved_session;
    struct device *next_dirty;

    /* For whoever asks. */
    _Atomic bool proof;   /* its config says so */
    _Atomic int64_t held; /* deliveries that wait for their proof */
    _Atomic bool connected, rolled_back;
    _Atomic int64_t flapped_at_ms; /* 0: never */
};

struct address_entry;

struct subscriber {
    struct device *device;
    struct amount minimum;
    int64_t subscription; /* its num */
    int64_t created_at_ms;
    int64_t baseline_at_ms;   /* when its baseline was taken; 0: not yet */
    uint64_t baseline_height; /* what was received up to here was there before it */
    bool baseline_hashes;     /* there are rows for it in baseline_hash */
};

struct address_entry {
    struct address address;
    int64_t num;
    struct subscriber *subscribers;
    size_t count, capacity;
    size_t listeners;               /* sessions that hear of it without being its device */
    _Atomic int64_t complete_at_ms; /* everything up to then is in the store; 0: not known since the start */
};

struct api_token {
    uint8_t hash[STORE_HASH_SIZE]; /* first: the tree compares it */
    struct store_api_token token;
};

struct directory {
    pthread_rwlock_t lock;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct lookup device_by_id, address_by_bytes;
    struct lookup device_by_credential; /* without the retired ones */
    void *token_by_hash;                /* a tsearch(3) tree: there are few */
    struct device **devices;            /* by num; NULL where there is none; they own */
    struct address_entry **addresses;   /* by num, likewise */
    size_t device_slots, address_slots;
    size_t expiring; /* devices with a limit */
    const struct store_events *events;
};

/* `events` is borrowed; it is told of addresses without the lock. */
void directory_init(struct directory *directory, const struct store_events *events);
void directory_fini(struct directory *directory);
/* Everything as it is in the file (directory_load.c). Before the threads start, as these that it is made of; they take no lock. */
enum cs_err directory_load(struct directory *directory, sqlite3 *db);
void directory_take_device(struct directory *directory, struct device *device /* taken */);
/* The one with that number, made when it is new. */
struct address_entry *directory_take_address(struct directory *directory, const struct address *address,
                                             int64_t address_num);
void directory_take_subscriber(struct address_entry *entry, const struct subscriber *subscriber);
void directory_take_token(struct directory *directory, const uint8_t hash[STORE_HASH_SIZE],
                          const struct store_api_token *token);

struct device *directory_find_device(const struct directory *directory, const char *id);
/* One that is not retired. */
struct device *directory_find_credential(const struct directory *directory,
                                         const uint8_t credential[STORE_HASH_SIZE]);
struct address_entry *directory_find_address(const struct directory *directory,
                                             const struct address *address);
const struct api_token *directory_find_token(const struct directory *directory,
                                             const uint8_t hash[STORE_HASH_SIZE]);
/* The writer's: these take the write lock themselves. */
void directory_add_device(struct directory *directory, struct device *device /* taken */);
void directory_set_device_state(struct directory *directory, struct device *device, enum device_state state);
/* Ends its subscriptions too. */
void directory_retire_device(struct directory *directory, struct device *device);
void directory_add_subscription(struct directory *directory, const struct address *address,
                                int64_t address_num, const struct subscriber *subscriber);
void directory_listen(struct directory *directory, const struct address *address, int64_t address_num,
                      int change);
void directory_remove_subscription(struct directory *directory, int64_t address_num, int64_t subscription);
void directory_set_baseline(struct directory *directory, int64_t address_num, int64_t subscription,
                            uint64_t height, bool hashes, int64_t at_ms);
void directory_add_token(struct directory *directory, const uint8_t hash[STORE_HASH_SIZE],
                         const struct store_api_token *token);
void directory_revoke_token(struct directory *directory, const char *id, int64_t revoked_at_ms);

/* ---- commands (writer.c) --------------------------------------------------------------------------------------- */

struct command;

/* What a kind of command does. All of it runs on the writer's thread. */
struct command_kind {
    const char *name;
    bool ends_batch; /* it changes the directory: what comes after it must see that */
    bool can_linger; /* nobody waits for it: it may wait some milliseconds for others to be committed with */
    /* Inside the transaction. An error must come before the first write: the rest of the batch is committed all the same. */
    enum cs_err (*apply)(struct store *store, struct command *command);
    /* After the commit, when apply returned CS_OK; commands are called in their order. */
    void (*committed)(struct store *store, struct command *command);
    /* Last, always: tells whoever waits, and frees the command. err is final: CS_EFULL when the commit found no room. */
    void (*finish)(struct store *store, struct command *command);
};

struct command {
    struct inbox_node node; /* first */
    const struct command_kind *kind;
    uint64_t submitted_ns; /* of the news of a payment; else 0 */
    enum cs_err err;
};

enum cs_err writer_submit(struct store *store, struct command *command);
/* Submits and waits; the command stays the caller's. finish must be writer_wake. Not on the writer's thread. */
struct waiting_command {
    struct command command; /* first */
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool finished;
};
enum cs_err writer_submit_and_wait(struct store *store, struct waiting_command *waiting);
void writer_wake(struct store *store, struct command *command);

/* One transaction. Commit: CS_OK: all that was run is on the disk; CS_EFULL: nothing is; anything else ends the process. */
void writer_begin(struct store *store);
enum cs_err writer_commit(struct store *store);
/* Runs a statement of the batch. A full disk fails the batch; any other error ends the process. */
enum cs_err writer_run(struct store *store, sqlite3_stmt *statement);
/* One step of a read inside the batch: true when a row is there, for the caller to reset. Errors as in writer_run. */
bool writer_find(struct store *store, sqlite3_stmt *find, enum cs_err *err);
/* The cursor is about to move: remembers what it was, for a batch that fails, and writes it at the end of one that does not. */
void writer_touch(struct store *store, struct device *device);

void *writer_main(void *context); /* the store */
bool writer_step(struct store *store, int wait_ms);

/* ---- the batch's bookkeeping ------------------------------------------------------------------------------------ */

/* (device, seq) → rowid of recent deliveries: outcomes come seconds after acks, when the row has left delivery_due. */
#define RECENT_SLOTS 65536
struct recent_delivery {
    int64_t device, num;
    uint64_t seq;
};

struct batch {
    int64_t now_ms; /* one time for the whole batch */
    uint64_t began_ns, written_ns, committed_ns;
    int64_t changes; /* sqlite3_total_changes64 when it began */
    bool failed;
    struct device *dirty;
    int64_t first_payment, last_payment, first_delivery, last_delivery; /* 0: none */
    uint64_t acks, outcomes, contradictions, below_minimum, expired;    /* counted once they are committed */
    int64_t unconfirmed;                                                /* more of them than before it */
};

struct store {
    struct store_options options;
    struct store_events events;
    char *path;
    int lock_fd;
    bool by_hand;
    char epoch[STORE_EPOCH_TEXT];
    uint8_t relay_key[32]; /* DIR/relay.key, from which all others are derived */
    uint8_t token_key[32];
    pthread_mutex_t key_lock;
    uint32_t key_number;                    /* which relay key is in use; one higher with each roll */
    uint8_t public_key[32], secret_key[64]; /* that key: a device that connects waits for it */

    struct directory directory;
    struct inbox *inbox;
    sqlite3 *db; /* the only one that writes */
    sqlite3_stmt **batch_sql, **payment_sql, **session_sql, **device_sql, **subscription_sql, **token_sql,
        **search_sql, **config_sql, **unconfirmed_sql, **reconcile_sql, **proof_sql;
    struct batch batch;
    struct recent_delivery *recent;
    uint64_t generation; /* of the newest session */
    int64_t delivery_indexed, payment_indexed, last_delivery, last_payment;
    uint64_t last_fill_ns, last_expiry_ns;
    bool filling;                    /* the search tables took rows in just now: perhaps there are more */
    _Atomic int64_t unconfirmed;     /* rows that wait for their confirmation */
    _Atomic int64_t held;            /* deliveries that wait for their proof */
    _Atomic bool provable;           /* proofs can be had now */
    _Atomic int64_t incident_at_ms;  /* what was complete before then is not proven any more */
    const char *_Atomic incident;    /* why */
    const char *_Atomic not_payable; /* NULL: machines may take money */
    _Atomic uint64_t completed;      /* one higher whenever any of these three or any completeness changes */

    struct inbox *replay_inbox;
    sqlite3 *replay_db;
    sqlite3_stmt **replay_sql;

    struct reader_pool *readers;
    struct checkpointer *checkpointer;
    struct soundness *soundness;
    pthread_t writer, replayer;

    _Atomic bool running;   /* until store_stop: the threads go on */
    _Atomic int sound;      /* enum soundness_state */
    _Atomic bool disk_low;  /* statvfs says so */
    _Atomic bool disk_full; /* a commit said so; cleared by the next one that works */
    _Atomic int64_t search_lag, wal_bytes;
    _Atomic bool
        wal_nearly_done; /* little of the WAL is left to checkpoint, and it is long enough to begin anew */

    struct metrics_histogram *stages[STORE_STAGES];
    metrics_count *batches, *commands, *payments[STORE_PAYMENT_OUTCOMES], *below_minimum, *acks, *outcomes,
        *contradictions, *expired, *full_commits, *pages, *checkpoints, *payment_refusals, *rollbacks, *flaps;
};

/* The statements of each file, prepared at open, finalized at close. */
void payment_sql_open(struct store *store);
void payment_sql_close(struct store *store);
void session_sql_open(struct store *store);
void session_sql_close(struct store *store);
void device_sql_open(struct store *store);
void device_sql_close(struct store *store);
void subscription_sql_open(struct store *store);
void subscription_sql_close(struct store *store);
void token_sql_open(struct store *store);
void token_sql_close(struct store *store);
/* From now on the relay key with this number is in use. */
void relay_key_use(struct store *store, uint32_t number);
void config_sql_open(struct store *store);
void config_sql_close(struct store *store);
void unconfirmed_sql_open(struct store *store);
void unconfirmed_sql_close(struct store *store);
void reconcile_sql_open(struct store *store);
void reconcile_sql_close(struct store *store);
void proof_sql_open(struct store *store);
void proof_sql_close(struct store *store);
void search_sql_open(struct store *store);
void search_sql_close(struct store *store);
void batch_sql_open(struct store *store);
void batch_sql_close(struct store *store);

/* ---- shared by several files ------------------------------------------------------------------------------------ */

/* Rows written in this batch, for stored_hour and the recent table (writer.c). */
void writer_note_payment(struct store *store, int64_t payment);
void writer_note_delivery(struct store *store, int64_t device, uint64_t seq, int64_t delivery);
/* The rowid of a delivery; 0 when there is none. Search only what is not in memory: the rows without an index yet are scanned. */
int64_t writer_recent_delivery(struct store *store, int64_t device,
                               uint64_t seq); /* from memory; may be stale after a failed batch */
enum cs_err search_find_delivery(struct store *store, int64_t device, uint64_t seq, int64_t *num);
/* One sorted slice into the search tables, when it is time, after a batch of so many commands; true when rows were moved. */
bool search_fill(struct store *store, size_t commands);
/* What was sent of from…to is acked: its rows, inside the batch (store_session.c). */
void session_mark_acked(struct store *store, const struct device *device, uint64_t from, uint64_t to);
/* Deliveries that have waited longer than their operator allows. */
void session_expire(struct store *store);

/* Makes the next version of a device's config inside the batch; `settings` NULL: as they are (store_config.c). */
struct config_change {
    struct device *device; /* NULL: none was made */
    uint64_t version;
    bool proof; /* it says so */
    char *body; /* owned: free() */
};
enum cs_err config_write(struct store *store, struct device *device, const char *settings,
                         struct config_change *change);
/* After the commit: the version is in effect, a live session is told; frees the body. */
void config_post(struct store *store, struct config_change *change);
/* The current body, owned; NULL when there is none. */
char *config_read(struct store *store, const struct device *device);
/* One payment on its way into the store (store_payment.c). */
struct payment_post { /* what one session is told of it, as decided inside the transaction */
    struct store_session session;
    enum cursor_post kind;
    uint64_t seq, config_version;
    struct device *held; /* not NULL: a delivery more, or less, that this one waits for, and nothing else */
    int held_more;       /* 1 or -1 */
};
struct payment_work {
    struct payment payment;
    uint64_t receive_height; /* of the block that received it; 0: none has, or it is not known */
    bool found;              /* by looking for it, not heard of */
    int64_t heard_at_ms;     /* that it waited for its confirmation since; 0: it did not wait */
    const uint8_t *proof;    /* borrowed, as the notice */
    const char *notice;
    size_t proof_size, notice_size;
    const struct store_proof *delivered_proof; /* what the deliveries carry; NULL: none */
    enum store_payment_outcome outcome;
    int64_t stored_at_ms;
    struct payment_post one, *posts; /* `posts` is &one until there are more */
    size_t post_count, post_capacity;
    bool listened; /* somebody listens to its address */
};
void payment_work_init(struct payment_work *work /* zeroed */);
void payment_work_fini(struct payment_work *work);
void payment_add_post(struct payment_work *work, const struct payment_post *post);
/* Numbers a delivery and writes it, inside the batch. */
enum cs_err payment_deliver(struct store *store, struct payment_work *work, int64_t payment,
                            struct device *device, uint64_t config_version);
/* Matches, numbers and writes it, inside the batch. */
enum cs_err payment_store(struct store *store, struct payment_work *work);
/* After the commit: the sessions and listeners hear of it. */
void payment_tell(struct store *store, const struct payment_work *work);
void payment_count(struct store *store, enum store_payment_outcome outcome);
/* A command that brings news of a payment: refused, counted as such, and freed, when the disk is nearly full, the file damaged, or the inbox full. */
enum cs_err payment_submit(struct store *store, struct command *command);
enum cs_err payment_is_known(struct store *store, const struct payment *payment, bool *known);
/* It is stored: nothing has to wait for its confirmation any more (store_unconfirmed.c). */
enum cs_err unconfirmed_forget(struct store *store, const struct payment *payment);

/* Deliveries that wait for their proof (store_proof.c). */
bool proof_is_wanted(const struct device *device);
/* Its next config says so, or not; inside the batch, and after the commit. */
enum cs_err proof_want(struct store *store, const struct device *device, bool proof);
void proof_set_wanted(struct store *store, struct device *device, bool proof);
/* Whether the delivery of this payment has to wait; and that it does. */
bool proof_holds(const struct payment_work *work, const struct device *device);
enum cs_err proof_hold(struct store *store, struct payment_work *work, int64_t payment,
                       struct device *device);
/* After the commit. */
void proof_note_held(struct store *store, const struct payment_post *post);
void proof_tell_held(struct store *store);
/* All that is held for a device gets its seqs: it is about to be retired. */
enum cs_err proof_release_device(struct store *store, struct payment_work *work, const struct device *device);

/* The rows of a subscription and, when it is new, of its address (store_subscription.c). */
enum cs_err subscription_take_address(struct store *store, const struct address *address, int64_t *num);
enum cs_err subscription_insert(struct store *store, struct store_subscription *subscription, int64_t device,
                                int64_t *num, int64_t *address_num);

/* "dev_" and 16 random characters. */
void store_make_id(const char *prefix, char id[STORE_ID_SIZE]);
bool store_name_valid(const char *name);

/* One payment's columns, in the order of PAYMENT_COLUMNS, from column `first` on. */
#define PAYMENT_COLUMNS                                                                                      \
    "p.hash, p.output, a.chain, a.bytes, p.asset, p.sender, p.amount, p.source, p.node_time"
#define PAYMENT_COLUMN_COUNT 9
void store_read_payment(sqlite3_stmt *statement, int first, struct payment *payment);

/* replay.c */
struct replay_request {
    struct inbox_node node; /* first */
    struct store_session session;
    uint64_t from, to, head, config_version;
    bool proof; /* payments come with their proof */
};
void replay_ask(struct store *store, const struct replay_request *asked);
void replay_open(struct store *store);
void replay_close(struct store *store);
void *replay_main(void *context); /* the store */
bool replay_step(struct store *store, int wait_ms);

/* checkpoint.c */
struct checkpointer *checkpoint_open(struct store *store);
void checkpoint_start(struct checkpointer *checkpointer);
void checkpoint_stop(struct checkpointer *checkpointer);
void checkpoint_close(struct checkpointer *checkpointer);
/* The writer's share, between two batches: finishes what the thread's passes cannot, once little is left of the WAL, or it is too long. */
void checkpoint_by_writer(struct store *store);

/* soundness.c */
enum soundness_state { STORE_DAMAGED = -1, STORE_NOT_LOOKED_AT, STORE_SOUND }; /* as /metrics shows it */
struct soundness *soundness_open(struct store *store);
void soundness_start(struct soundness *soundness);
void soundness_stop(struct soundness *soundness);
void soundness_close(struct soundness *soundness);
/* Its read transaction holds up the WAL: it lets go, and tries again later. Any thread. */
void soundness_give_way(struct soundness *soundness);

/* reader.c */
struct reader_pool *reader_pool_open(struct store *store);
void reader_pool_close(struct reader_pool *pool);

/* file.c: the data folder */
int file_lock_dir(const char *dir, bool make, char error[STORE_ERROR_SIZE]);
enum cs_err file_read_key(const char *dir, bool store_exists, uint8_t key[32], char error[STORE_ERROR_SIZE]);
char *file_path(const char *dir, const char *name);
/* CS_EINVAL, with the reason, when the write-ahead log beside `path` belongs to another store. Before `path` is opened. */
enum cs_err file_check_wal(const char *path, char error[STORE_ERROR_SIZE]);
/* CS_EINVAL, with the reason: `db`, opened from `path`, is not ours, is of a newer version, or cannot be read. `version` 0: it is empty. */
enum cs_err file_read_version(sqlite3 *db, const char *path, int *version, char error[STORE_ERROR_SIZE]);
/* The migrations that are missing, after file_read_version, each in a transaction; `ran` is called with each name. */
enum cs_err file_migrate(sqlite3 *db, int version, void (*ran)(void *context, const char *name),
                         void *context, char error[STORE_ERROR_SIZE]);
/* A number in meta, 0 when it is not there. */
int64_t file_read_number(sqlite3 *db, const char *name);
enum cs_err file_read_epoch(sqlite3 *db, char epoch[STORE_EPOCH_TEXT]);

#endif
