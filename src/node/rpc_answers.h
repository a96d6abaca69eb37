/*
 * rpc_answers: what is asked of a Nano node's RPC, and what its answers say. Pure: any thread, no I/O, nothing kept.
 *
 * The readers take what versions since V19 and providers' proxies make of the same thing: collections that are "", [], {}, null or
 * absent; numbers and booleans as strings or as themselves; `pending` for `receivable`; accounts as nano_ or xrb_; hashes in either
 * case; errors of single accounts apart (V25) or in the answer's place (V24). What is malformed, contradicts itself, or speaks of what
 * nobody asked about is CS_EINVAL, with a sentence in `error`. All they allocate is bounded by the answer's size.
 *
 * Where accounts or hashes are asked for, each must be asked once, and results come in the order of asking.
 */
#ifndef COINSLOT_NODE_RPC_ANSWERS_H
#define COINSLOT_NODE_RPC_ANSWERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "payment/address.h"
#include "payment/amount.h"
#include "verify/block.h"

#define RPC_ANSWER_ERROR_SIZE 320

/* ---- version ------------------------------------------------------------------------------------------------------------ */

struct rpc_version {
    uint32_t major, minor; /* 27, 1; 0: not said in a way that we know */
    char vendor[48];       /* as said: "Nano V27.1" */
    char network[24];      /* "live", "dev"; "" when not said */
};

json_t *rpc_ask_version(void);
CS_MUST_CHECK enum cs_err rpc_read_version(const json_t *answer, struct rpc_version *version,
                                           char error[RPC_ANSWER_ERROR_SIZE]);

/* ---- block_count -------------------------------------------------------------------------------------------------------- */

struct rpc_block_count {
    uint64_t count, cemented;
    bool has_cemented;
};

json_t *rpc_ask_block_count(void);
CS_MUST_CHECK enum cs_err rpc_read_block_count(const json_t *answer, struct rpc_block_count *count,
                                               char error[RPC_ANSWER_ERROR_SIZE]);

/* What the network's other nodes say of themselves, put together by ours. */
json_t *rpc_ask_telemetry(void);
CS_MUST_CHECK enum cs_err rpc_read_telemetry(const json_t *answer, struct rpc_block_count *network,
                                             char error[RPC_ANSWER_ERROR_SIZE]);

/* ---- accounts_frontiers, accounts_balances -------------------------------------------------------------------------------- */

enum rpc_standing {
    RPC_ACCOUNT_SAID,     /* the answer has it */
    RPC_ACCOUNT_UNOPENED, /* it has no block yet */
    RPC_ACCOUNT_REFUSED,  /* an error of this account alone */
    RPC_ACCOUNT_UNSAID,   /* nothing was said of it: before V24 that meant unopened */
};

struct rpc_frontier {
    enum rpc_standing standing;
    uint8_t hash[32]; /* of the newest block, confirmed or not; zero unless said */
};

json_t *rpc_ask_frontiers(const struct address *accounts, size_t count);
/* `count` of them; free(). */
CS_MUST_CHECK enum cs_err rpc_read_frontiers(const json_t *answer, const struct address *accounts,
                                             size_t count, struct rpc_frontier **frontiers,
                                             char error[RPC_ANSWER_ERROR_SIZE]);

struct rpc_balance {
    enum rpc_standing standing; /* never unopened: the node then says two zeros */
    struct amount balance, receivable;
};

/* Of what is confirmed. */
json_t *rpc_ask_balances(const struct address *accounts, size_t count);
/* `count` of them; free(). */
CS_MUST_CHECK enum cs_err rpc_read_balances(const json_t *answer, const struct address *accounts,
                                            size_t count, struct rpc_balance **balances,
                                            char error[RPC_ANSWER_ERROR_SIZE]);

/* ---- receivable, accounts_receivable ---------------------------------------------------------------------------------------- */

struct rpc_receivable {
    uint8_t hash[32];      /* of the send */
    struct address source; /* who sent; length 0 when not said */
    struct amount amount;  /* zero when not said */
};

struct rpc_receivables {
    size_t count;
    struct rpc_receivable *items;
};

/*
 * Confirmed ones only, at most `most` an account: as many in the answer means that there may be more. Up to V22 (V23 for several
 * accounts) the action has its old name; `version` NULL, or one that is not known, is taken for a new one.
 */
json_t *rpc_ask_receivable(const struct rpc_version *version, const struct address *account, uint32_t most);
json_t *rpc_ask_receivables(const struct rpc_version *version, const struct address *accounts, size_t count,
                            uint32_t most);

CS_MUST_CHECK enum cs_err rpc_read_receivable(const json_t *answer, struct rpc_receivables *receivables,
                                              char error[RPC_ANSWER_ERROR_SIZE]);
void rpc_receivables_fini(struct rpc_receivables *receivables);

/* `count` of them, one an account; rpc_free_receivables. */
CS_MUST_CHECK enum cs_err rpc_read_all_receivable(const json_t *answer, const struct address *accounts,
                                                  size_t count, struct rpc_receivables **all,
                                                  char error[RPC_ANSWER_ERROR_SIZE]);
void rpc_free_receivables(struct rpc_receivables *all, size_t count);

/* ---- account_info ----------------------------------------------------------------------------------------------------------- */

struct rpc_account_info {
    bool opened; /* else all is zero: the node's error "Account not found" is an answer like any other */
    uint8_t frontier[32];
    uint64_t height;
    struct amount balance; /* after the frontier */
    uint64_t confirmed_height;
    uint8_t confirmed_frontier[32]; /* zero while nothing is confirmed */
};

json_t *rpc_ask_account_info(const struct address *account);
CS_MUST_CHECK enum cs_err rpc_read_account_info(const json_t *answer, struct rpc_account_info *info,
                                                char error[RPC_ANSWER_ERROR_SIZE]);

/* ---- account_history -------------------------------------------------------------------------------------------------------- */

enum rpc_kind {
    RPC_KIND_SEND,
    RPC_KIND_RECEIVE, /* opens too */
    RPC_KIND_CHANGE,
    RPC_KIND_EPOCH,
    RPC_KIND_UNKNOWN, /* the node cannot tell (a pruned one), or it is new to us */
};

struct rpc_entry {
    enum rpc_kind kind;
    uint8_t hash[32];
    uint8_t previous[32]; /* zero for an open block */
    uint8_t link
        [32]; /* receive: the hash of the send (the genesis block's is no hash); send: the destination's key; else as it is */
    struct address other; /* receive: who sent; send: to whom; length 0 when not said */
    struct amount amount; /* zero when not said, as for a change */
    uint64_t height;
    bool confirmed;       /* false too when not said */
    int64_t node_time_ms; /* when the node got to know the block; 0 when not said */
};

struct rpc_history {
    size_t count;
    struct rpc_entry *entries; /* newest first; oldest first where it was asked in reverse */
    bool has_more;
    uint8_t more[32]; /* where to go on: the next `head` */
};

/*
 * `raw`, unconfirmed blocks included. From `head` (inclusive), or NULL: from the newest block, with `reverse` from the oldest. An
 * account that is not opened has an empty history.
 */
json_t *rpc_ask_history(const struct address *account, const uint8_t *head, bool reverse, uint32_t most);
/* CS_EINVAL also when it is the history of another account: `head` overrides `account`, so that a wrong head would go unseen. */
CS_MUST_CHECK enum cs_err rpc_read_history(const json_t *answer, const struct address *account,
                                           struct rpc_history *history, char error[RPC_ANSWER_ERROR_SIZE]);
void rpc_history_fini(struct rpc_history *history);

/* ---- blocks_info ------------------------------------------------------------------------------------------------------------- */

struct rpc_block {
    bool found; /* else the node does not know it, and all else is zero */
    struct block block;
    enum rpc_kind kind;
    struct address account; /* whose chain it is on */
    struct amount amount;
    bool has_amount; /* not of a block whose previous one was pruned */
    uint64_t height;
    int64_t node_time_ms; /* when the node got to know it; 0 when not said */
    bool confirmed;
    bool has_receivable, receivable; /* whether a send has still to be received */
    bool has_receive;                /* whether the block that received a send is known: */
    uint8_t receive_hash[32];
};

/* `with_receive`: the hash of the block that received a send, for which the node walks back the receiver's chain (since V24). */
json_t *rpc_ask_blocks(const uint8_t (*hashes)[32], size_t count, bool with_receive);
/*
 * `count` of them; free(). Each block's hash is computed from its contents and compared with the one asked for, and its account with
 * the contents': an answer that lies about either is CS_EINVAL. The amount and `confirmed` are the node's word.
 */
CS_MUST_CHECK enum cs_err rpc_read_blocks(const json_t *answer, const uint8_t (*hashes)[32], size_t count,
                                          struct rpc_block **blocks, char error[RPC_ANSWER_ERROR_SIZE]);

#endif
