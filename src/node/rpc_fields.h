/*
 * rpc_fields: the values in a node's answers, each in all its spellings. Pure: any thread. What fails has said why in `error`.
 */
#ifndef COINSLOT_NODE_RPC_FIELDS_H
#define COINSLOT_NODE_RPC_FIELDS_H

#include "node/rpc_answers.h"

/* Writes the sentence, and returns CS_EINVAL. */
enum cs_err rpc_refuse(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The answer is a JSON object, and no {"error":…}. */
CS_MUST_CHECK enum cs_err rpc_check_answer(const json_t *answer, char *error);
/* It is {"error":"Account not found"}. */
bool rpc_is_unopened(const json_t *answer);
bool rpc_text_says_unopened(const char *text);

CS_MUST_CHECK bool rpc_parse_u64(const json_t *value, uint64_t *number);
CS_MUST_CHECK bool rpc_parse_amount(const json_t *value, struct amount *amount);
CS_MUST_CHECK bool rpc_parse_bool(const json_t *value, bool *truth);
CS_MUST_CHECK bool rpc_parse_hash(const json_t *value, uint8_t hash[32]);
CS_MUST_CHECK bool rpc_parse_account(const json_t *value, struct address *account);

/* False, and a sentence: it is missing or malformed. */
CS_MUST_CHECK bool rpc_need_u64(const json_t *object, const char *key, uint64_t *number, char *error);
CS_MUST_CHECK bool rpc_need_amount(const json_t *object, const char *key, struct amount *amount, char *error);
CS_MUST_CHECK bool rpc_need_hash(const json_t *object, const char *key, uint8_t hash[32], char *error);
/* False when it is there and malformed; what is missing is 0. Seconds become milliseconds. */
CS_MUST_CHECK bool rpc_take_time(const json_t *object, const char *key, int64_t *time_ms, char *error);
/* Likewise; what is missing has length 0, and so has "0", which the node says when it does not know. */
CS_MUST_CHECK bool rpc_take_account(const json_t *object, const char *key, struct address *account,
                                    char *error);

/*
 * An object or array (whichever is wanted, or both) under `key`, borrowed; NULL in `found` when it is empty: absent, null, "", [] or
 * {}. False when it is something else.
 */
CS_MUST_CHECK bool rpc_take_object(const json_t *answer, const char *key, const json_t **found, char *error);
CS_MUST_CHECK bool rpc_take_array(const json_t *answer, const char *key, const json_t **found, char *error);
CS_MUST_CHECK bool rpc_take_any(const json_t *answer, const char *key, const json_t **found, char *error);

/* What an object has under an account's address, in either of its spellings; NULL: nothing. `object` may be NULL. */
const json_t *rpc_of_account(const json_t *object, const struct address *account);
/* json_object_size, 0 for NULL. */
size_t rpc_size_of(const json_t *object);

enum rpc_kind rpc_kind_of(const char *text); /* a subtype, or a legacy block's type; NULL: unknown */

#endif
