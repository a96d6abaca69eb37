#include "node/rpc_answers.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "node/rpc_fields.h"

#define VERSION_END 10000 /* no node's version is as high as that */

/* ---- version, block_count ------------------------------------------------------------------------------------------------ */

/* "Nano V27.1", "Nano 20.0", "RaiBlocks 18.0": the first number that a space, or a V after it, comes before. */
static void read_vendor(const char *vendor, struct rpc_version *version)
{
    const char *number = strchr(vendor, ' ');
    if (number == NULL) {
        return;
    }
    number += number[1] == 'V' || number[1] == 'v' ? 2 : 1;
    char *end;
    unsigned long major = isdigit((unsigned char)*number) ? strtoul(number, &end, 10) : 0;
    if (major > 0 && major < VERSION_END) {
        bool has_minor = *end == '.' && isdigit((unsigned char)end[1]);
        unsigned long minor = has_minor ? strtoul(end + 1, NULL, 10) : 0;
        version->major = (uint32_t)major;
        version->minor = minor < VERSION_END ? (uint32_t)minor : 0;
    }
}

enum cs_err rpc_read_version(const json_t *answer, struct rpc_version *version,
                             char error[RPC_ANSWER_ERROR_SIZE])
{
    *version = (struct rpc_version){0};
    if (rpc_check_answer(answer, error) != CS_OK) {
        return CS_EINVAL;
    }
    const char *vendor = json_text(answer, "node_vendor"), *network = json_text(answer, "network");
    if (vendor == NULL) {
        return rpc_refuse(error, "`node_vendor` is missing, or no text");
    }
    snprintf(version->vendor, sizeof(version->vendor), "%s", vendor);
    snprintf(version->network, sizeof(version->network), "%s", network != NULL ? network : "");
    read_vendor(version->vendor, version);
    return CS_OK;
}

enum cs_err rpc_read_block_count(const json_t *answer, struct rpc_block_count *count,
                                 char error[RPC_ANSWER_ERROR_SIZE])
{
    *count = (struct rpc_block_count){0};
    if (rpc_check_answer(answer, error) != CS_OK || !rpc_need_u64(answer, "count", &count->count, error)) {
        return CS_EINVAL;
    }
    count->has_cemented = json_object_get(answer, "cemented") != NULL;
    if (count->has_cemented && !rpc_need_u64(answer, "cemented", &count->cemented, error)) {
        return CS_EINVAL;
    }
    return CS_OK;
}

enum cs_err rpc_read_telemetry(const json_t *answer, struct rpc_block_count *network,
                               char error[RPC_ANSWER_ERROR_SIZE])
{
    *network = (struct rpc_block_count){.has_cemented = true};
    return rpc_check_answer(answer, error) == CS_OK &&
                   rpc_need_u64(answer, "block_count", &network->count, error) &&
                   rpc_need_u64(answer, "cemented_count", &network->cemented, error)
               ? CS_OK
               : CS_EINVAL;
}

/* ---- several accounts ------------------------------------------------------------------------------------------------------ */

/* What an answer says of each account, under `key`, and under `errors`. */
struct said {
    const json_t *values, *errors;
    size_t values_taken, errors_taken;
};

static enum cs_err read_said(const json_t *answer, const char *key, struct said *said, char *error)
{
    *said = (struct said){0};
    if (rpc_check_answer(answer, error) != CS_OK) {
        return CS_EINVAL;
    }
    if (!rpc_take_object(answer, key, &said->values, error) ||
        !rpc_take_object(answer, "errors", &said->errors, error)) {
        return CS_EINVAL;
    }
    return CS_OK;
}

/* The value to be read, when the account's standing is `said`. */
static enum cs_err read_standing(struct said *said, const struct address *account,
                                 enum rpc_standing *standing, const json_t **value, char *error)
{
    *value = rpc_of_account(said->values, account);
    const json_t *wrong = rpc_of_account(said->errors, account);
    said->values_taken += *value != NULL;
    said->errors_taken += wrong != NULL;
    if (*value != NULL && wrong != NULL) {
        return rpc_refuse(error, "of one account there is both a value and an error");
    }
    const char *text = json_string_value(*value);
    bool error_inside = text != NULL && strncmp(text, "error", 5) == 0; /* V24: in the value's place */
    const char *said_wrong = error_inside ? text : json_string_value(wrong);
    if (*value == NULL && wrong == NULL) {
        *standing = RPC_ACCOUNT_UNSAID;
    } else if (*value != NULL && !error_inside) {
        *standing = RPC_ACCOUNT_SAID;
    } else {
        *standing = said_wrong != NULL && rpc_text_says_unopened(said_wrong) ? RPC_ACCOUNT_UNOPENED
                                                                             : RPC_ACCOUNT_REFUSED;
    }
    return CS_OK;
}

static enum cs_err check_all_taken(const struct said *said, char *error)
{
    if (said->values_taken != rpc_size_of(said->values) || said->errors_taken != rpc_size_of(said->errors)) {
        return rpc_refuse(error, "it speaks of an account that nobody asked about");
    }
    return CS_OK;
}

static enum cs_err read_frontier(struct said *said, const struct address *account,
                                 struct rpc_frontier *frontier, char *error)
{
    const json_t *value;
    if (read_standing(said, account, &frontier->standing, &value, error) != CS_OK) {
        return CS_EINVAL;
    }
    if (frontier->standing != RPC_ACCOUNT_SAID) {
        return CS_OK;
    }
    const char *text = json_string_value(value);
    if (text != NULL && *text == '\0') { /* V24: not opened */
        frontier->standing = RPC_ACCOUNT_UNOPENED;
        return CS_OK;
    }
    if (!rpc_parse_hash(value, frontier->hash)) {
        return rpc_refuse(error, "an account's frontier is no hash of 64 hexadecimal digits");
    }
    if (sodium_is_zero(frontier->hash, 32)) {
        frontier->standing = RPC_ACCOUNT_UNOPENED;
    }
    return CS_OK;
}

enum cs_err rpc_read_frontiers(const json_t *answer, const struct address *accounts, size_t count,
                               struct rpc_frontier **frontiers, char error[RPC_ANSWER_ERROR_SIZE])
{
    struct said said;
    *frontiers = NULL;
    if (read_said(answer, "frontiers", &said, error) != CS_OK) {
        return CS_EINVAL;
    }
    struct rpc_frontier *read = cs_alloc(count * sizeof(*read));
    enum cs_err err = CS_OK;
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        err = read_frontier(&said, &accounts[i], &read[i], error);
    }
    err = err != CS_OK ? err : check_all_taken(&said, error);
    if (err != CS_OK) {
        free(read);
        return err;
    }
    *frontiers = read;
    return CS_OK;
}

static enum cs_err read_balance(struct said *said, const struct address *account, struct rpc_balance *balance,
                                char *error)
{
    const json_t *value;
    if (read_standing(said, account, &balance->standing, &value, error) != CS_OK) {
        return CS_EINVAL;
    }
    if (balance->standing != RPC_ACCOUNT_SAID) {
        return CS_OK;
    }
    if (json_is_object(value) && json_object_get(value, "error") != NULL) {
        balance->standing = RPC_ACCOUNT_REFUSED;
        return CS_OK;
    }
    const char *receivable = json_object_get(value, "receivable") != NULL ? "receivable" : "pending";
    if (!rpc_need_amount(value, "balance", &balance->balance, error) ||
        !rpc_need_amount(value, receivable, &balance->receivable, error)) {
        return CS_EINVAL;
    }
    return CS_OK;
}

enum cs_err rpc_read_balances(const json_t *answer, const struct address *accounts, size_t count,
                              struct rpc_balance **balances, char error[RPC_ANSWER_ERROR_SIZE])
{
    struct said said;
    *balances = NULL;
    if (read_said(answer, "balances", &said, error) != CS_OK) {
        return CS_EINVAL;
    }
    struct rpc_balance *read = cs_alloc(count * sizeof(*read));
    enum cs_err err = CS_OK;
    for (size_t i = 0; i < count && err == CS_OK; i++) {
        err = read_balance(&said, &accounts[i], &read[i], error);
    }
    err = err != CS_OK ? err : check_all_taken(&said, error);
    if (err != CS_OK) {
        free(read);
        return err;
    }
    *balances = read;
    return CS_OK;
}

/* ---- account_info ------------------------------------------------------------------------------------------------------------ */

/* With include_confirmed the node speaks of confirmed_…; without it, and in older versions, of confirmation_height…. */
static bool read_confirmed(const json_t *answer, struct rpc_account_info *info, char *error)
{
    bool newer = json_object_get(answer, "confirmed_height") != NULL;
    return rpc_need_u64(answer, newer ? "confirmed_height" : "confirmation_height", &info->confirmed_height,
                        error) &&
           rpc_need_hash(answer, newer ? "confirmed_frontier" : "confirmation_height_frontier",
                         info->confirmed_frontier, error);
}

enum cs_err rpc_read_account_info(const json_t *answer, struct rpc_account_info *info,
                                  char error[RPC_ANSWER_ERROR_SIZE])
{
    *info = (struct rpc_account_info){0};
    if (rpc_is_unopened(answer)) {
        return CS_OK;
    }
    struct rpc_account_info read = {.opened = true};
    if (rpc_check_answer(answer, error) != CS_OK ||
        !rpc_need_hash(answer, "frontier", read.frontier, error) ||
        !rpc_need_u64(answer, "block_count", &read.height, error) ||
        !rpc_need_amount(answer, "balance", &read.balance, error) || !read_confirmed(answer, &read, error)) {
        return CS_EINVAL;
    }
    if (read.height == 0 || read.confirmed_height > read.height) {
        return rpc_refuse(error, "the confirmed height is above the account's last block");
    }
    if ((read.confirmed_height == 0) != (sodium_is_zero(read.confirmed_frontier, 32) != 0)) {
        return rpc_refuse(error, "the confirmed height and the confirmed frontier contradict each other");
    }
    *info = read;
    return CS_OK;
}
