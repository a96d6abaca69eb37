/*
 * mimic_call: what the actions of the make-believe RPC share. Internal to mimic_*.c.
 */
#ifndef COINSLOT_SIMULATE_MIMIC_CALL_H
#define COINSLOT_SIMULATE_MIMIC_CALL_H

#include "payment/address.h"
#include "simulate/mimic_rpc.h"
#include "simulate/tree.h"

#define MIMIC_UNPARSABLE "Unable to parse JSON" /* also for a field that is missing */

struct mimic_call {
    const struct mimic_options *options;
    const struct ledger *ledger;
    const json_t *request;
    json_t *answer;
    const char *error; /* NULL: none so far; the first one counts */
};

void mimic_fail(struct mimic_call *call, const char *error);

/* A field that has to be there. NULL: it failed. */
const char *mimic_need(struct mimic_call *call, const char *key);
/* The elements of a list that has to be there; an empty array where it is a scalar. Borrowed; NULL: it failed. */
const json_t *mimic_need_list(struct mimic_call *call, const char *key);

/* `text` "": the request's own field `account`. False: it failed. */
bool mimic_read_account(struct mimic_call *call, const char *text, uint8_t key[32]);
bool mimic_read_hash(const char *text, uint8_t hash[32]);
/* Unsigned, as std::stoull takes it: -1 is the most there is. False: no number. */
bool mimic_read_unsigned(const char *text, uint64_t *number);
/* `fallback` where the field is missing. */
uint64_t mimic_optional_number(struct mimic_call *call, const char *key, uint64_t fallback,
                               const char *error);
struct amount mimic_optional_threshold(struct mimic_call *call);

void mimic_account_text(const uint8_t key[32], char text[ADDRESS_TEXT_SIZE]);
void mimic_put_account(json_t *object, const char *name, const uint8_t key[32]);
void mimic_put_hash(json_t *object, const char *name, const uint8_t hash[32]);
/* LEDGER_NONE: zeros. */
void mimic_put_block(const struct ledger *ledger, json_t *object, const char *name, uint32_t block);
void mimic_put_amount(json_t *object, const char *name, struct amount amount);
void mimic_put_number(json_t *object, const char *name, uint64_t number);

/* What waits for an account, of confirmed sends only or of all. */
struct amount mimic_receivable_sum(const struct ledger *ledger, const struct ledger_account *account,
                                   bool only_confirmed);

/* mimic_accounts.c */
void mimic_account_balance(struct mimic_call *call);
void mimic_accounts_balances(struct mimic_call *call);
void mimic_account_info(struct mimic_call *call);
void mimic_accounts_frontiers(struct mimic_call *call);
/* mimic_receivable.c */
void mimic_receivable(struct mimic_call *call);
void mimic_pending(struct mimic_call *call);
void mimic_accounts_receivable(struct mimic_call *call);
void mimic_accounts_pending(struct mimic_call *call);
/* mimic_blocks.c */
void mimic_block_info(struct mimic_call *call);
void mimic_blocks_info(struct mimic_call *call);
void mimic_block_confirm(struct mimic_call *call);
/* mimic_history.c */
void mimic_account_history(struct mimic_call *call);

#endif
