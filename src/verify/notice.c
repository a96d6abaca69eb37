#include "verify/notice.h"

#include <assert.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/json_scan.h"

#define BLOCK_DEPTH 2 /* a block is flat; one level more, so that the complaint is about the field */

/* What a state block does is not written in it: the node says so beside it. */
enum subtype { SUBTYPE_NONE, SUBTYPE_SEND, SUBTYPE_RECEIVE, SUBTYPE_OPEN, SUBTYPE_CHANGE, SUBTYPE_EPOCH };

static const char *const SUBTYPES[] = {NULL, "send", "receive", "open", "change", "epoch"};
#define SUBTYPE_COUNT (sizeof(SUBTYPES) / sizeof(SUBTYPES[0]))

enum claim { CLAIM_NONE, CLAIM_TRUE, CLAIM_FALSE }; /* of is_send */

const char *notice_verdict_text(enum notice_verdict verdict)
{
    switch (verdict) {
    case NOTICE_VALID:
        return "valid";
    case NOTICE_MALFORMED:
        return "malformed";
    case NOTICE_CONTRADICTION:
        return "contradiction";
    case NOTICE_WRONG_HASH:
        return "wrong_hash";
    case NOTICE_WRONG_SIGNATURE:
        return "wrong_signature";
    }
    return "?";
}

__attribute__((format(printf, 3, 4))) static enum notice_verdict
refuse(char error[NOTICE_ERROR_SIZE], enum notice_verdict verdict, const char *form, ...)
{
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(error, NOTICE_ERROR_SIZE, form, arguments);
    va_end(arguments);
    return verdict;
}

/* Missing is as wrong as another type. */
static enum notice_verdict read_text(struct json_view object, const char *key, const char **text,
                                     char error[NOTICE_ERROR_SIZE])
{
    *text = json_view_text(object, key);
    return *text != NULL ? NOTICE_VALID
                         : refuse(error, NOTICE_MALFORMED, "`%s` is missing or no string", key);
}

static enum notice_verdict read_fields(struct json_view object, struct notice *notice,
                                       char error[NOTICE_ERROR_SIZE])
{
    const char *account, *hash, *amount;
    struct address address;
    if (read_text(object, "account", &account, error) || read_text(object, "hash", &hash, error) ||
        read_text(object, "amount", &amount, error)) {
        return NOTICE_MALFORMED;
    }
    if (!address_parse(CHAIN_NANO, account, &address)) {
        return refuse(error, NOTICE_MALFORMED, "`account` is no Nano address, or its checksum is wrong");
    }
    if (!hex_decode(hash, notice->hash, sizeof(notice->hash))) {
        return refuse(error, NOTICE_MALFORMED, "`hash` is not 64 hexadecimal digits");
    }
    if (!amount_parse_raw(amount, &notice->amount)) {
        return refuse(error, NOTICE_MALFORMED, "`amount` is no decimal number of raw from 0 to 2^128 - 1");
    }
    memcpy(notice->account, address.bytes, sizeof(notice->account));
    return NOTICE_VALID;
}

/* The callback holds the block as an escaped string, which is read into `inner`; the WebSocket as an object. */
static enum notice_verdict find_block(struct json_view object, struct json_scan *inner,
                                      struct json_view *block, char error[NOTICE_ERROR_SIZE])
{
    char why[JSON_ERROR_SIZE];
    const char *text = json_view_text(object, "block");
    if (text != NULL) {
        if (!json_scan_init(inner, text, strlen(text), BLOCK_DEPTH, why)) {
            return refuse(error, NOTICE_MALFORMED, "`block` cannot be read: %s", why);
        }
        *block = json_view_of_scan(inner);
        return NOTICE_VALID;
    }
    *block = json_view_inner(object, "block");
    return json_view_is_object(*block)
               ? NOTICE_VALID
               : refuse(error, NOTICE_MALFORMED, "`block` is missing, or neither a string nor an object");
}

static enum notice_verdict check_hash(const struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    uint8_t hash[32];
    char is[PAYMENT_HASH_TEXT], said[PAYMENT_HASH_TEXT];
    block_hash(&notice->block, hash);
    if (memcmp(hash, notice->hash, sizeof(hash)) == 0) {
        return NOTICE_VALID;
    }
    hex_encode_upper(hash, sizeof(hash), is);
    hex_encode_upper(notice->hash, sizeof(hash), said);
    return refuse(error, NOTICE_WRONG_HASH, "`hash` is %s, but the block's hash is %s", said, is);
}

static enum notice_verdict check_account(const struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    bool named = notice->block.type == BLOCK_STATE || notice->block.type == BLOCK_OPEN;
    if (!named || memcmp(notice->block.account, notice->account, sizeof(notice->account)) == 0) {
        return NOTICE_VALID;
    }
    char is[ADDRESS_TEXT_SIZE], said[ADDRESS_TEXT_SIZE];
    struct address block_account = address_from_nano_key(notice->block.account);
    struct address account = address_from_nano_key(notice->account);
    address_format(&block_account, is);
    address_format(&account, said);
    return refuse(error, NOTICE_CONTRADICTION, "`account` is %s, but the block is on the account %s", said,
                  is);
}

static enum notice_verdict read_subtype(struct json_view holder, enum subtype *subtype,
                                        char error[NOTICE_ERROR_SIZE])
{
    const char *text = json_view_text(holder, "subtype");
    *subtype = SUBTYPE_NONE;
    if (json_view_kind(holder, "subtype") == JSON_KIND_MISSING) {
        return NOTICE_VALID;
    }
    for (size_t i = 1; text != NULL && i < SUBTYPE_COUNT; i++) {
        if (strcmp(text, SUBTYPES[i]) == 0) {
            *subtype = (enum subtype)i;
            return NOTICE_VALID;
        }
    }
    return refuse(error, NOTICE_MALFORMED, "`subtype` is none of send, receive, open, change, epoch");
}

static enum notice_verdict read_claim(struct json_view object, enum claim *claim,
                                      char error[NOTICE_ERROR_SIZE])
{
    const char *text = json_view_text(object, "is_send");
    *claim = CLAIM_NONE;
    if (json_view_kind(object, "is_send") == JSON_KIND_MISSING) {
        return NOTICE_VALID;
    }
    if (text == NULL || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)) {
        return refuse(error, NOTICE_MALFORMED, "`is_send` is neither \"true\" nor \"false\"");
    }
    *claim = strcmp(text, "true") == 0 ? CLAIM_TRUE : CLAIM_FALSE;
    return NOTICE_VALID;
}

/* A legacy block's type says what it does; nodes add nothing, but what is added must agree. */
static enum notice_verdict check_legacy(const struct block *block, enum subtype subtype, enum claim claim,
                                        char error[NOTICE_ERROR_SIZE])
{
    const char *type = block_type_text(block->type);
    if (subtype != SUBTYPE_NONE && strcmp(SUBTYPES[subtype], type) != 0) {
        return refuse(error, NOTICE_CONTRADICTION, "`subtype` is \"%s\", but the block's type is \"%s\"",
                      SUBTYPES[subtype], type);
    }
    if (claim != CLAIM_NONE && (claim == CLAIM_TRUE) != (block->type == BLOCK_SEND)) {
        return refuse(error, NOTICE_CONTRADICTION, "`is_send` is \"%s\", but the block's type is \"%s\"",
                      claim == CLAIM_TRUE ? "true" : "false", type);
    }
    return NOTICE_VALID;
}

static enum notice_verdict check_state(const struct block *block, enum subtype subtype, enum claim claim,
                                       char error[NOTICE_ERROR_SIZE])
{
    bool has_link = !sodium_is_zero(block->link, sizeof(block->link));
    if (subtype == SUBTYPE_NONE) {
        return claim != CLAIM_NONE ? NOTICE_VALID
                                   : refuse(error, NOTICE_MALFORMED,
                                            "a state block needs `subtype`: its content does not tell a send "
                                            "from a receive");
    }
    if (claim != CLAIM_NONE && (claim == CLAIM_TRUE) != (subtype == SUBTYPE_SEND)) {
        return refuse(error, NOTICE_CONTRADICTION, "`subtype` is \"%s\", but `is_send` is \"%s\"",
                      SUBTYPES[subtype], claim == CLAIM_TRUE ? "true" : "false");
    }
    if (subtype == SUBTYPE_CHANGE && has_link) {
        return refuse(error, NOTICE_CONTRADICTION,
                      "`subtype` is \"change\", but the block's `link` is not zero");
    }
    if ((subtype == SUBTYPE_RECEIVE || subtype == SUBTYPE_OPEN) && !has_link) {
        return refuse(error, NOTICE_CONTRADICTION,
                      "`subtype` is \"%s\", but the block's `link` names no send", SUBTYPES[subtype]);
    }
    return NOTICE_VALID;
}

/* Decides whether it is a send, from everything that says so. */
static enum notice_verdict check_kind(struct json_view object, struct json_view block_object,
                                      struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    enum subtype subtype, inner;
    enum claim claim;
    if (read_subtype(object, &subtype, error) || read_subtype(block_object, &inner, error) ||
        read_claim(object, &claim, error)) {
        return NOTICE_MALFORMED;
    }
    if (subtype != SUBTYPE_NONE && inner != SUBTYPE_NONE && subtype != inner) {
        return refuse(error, NOTICE_CONTRADICTION, "`subtype` is \"%s\", but inside the block it is \"%s\"",
                      SUBTYPES[subtype], SUBTYPES[inner]);
    }
    subtype = subtype != SUBTYPE_NONE ? subtype : inner;
    if (notice->block.type == BLOCK_STATE) {
        notice->is_send = subtype == SUBTYPE_SEND || (subtype == SUBTYPE_NONE && claim == CLAIM_TRUE);
        return check_state(&notice->block, subtype, claim, error);
    }
    notice->is_send = notice->block.type == BLOCK_SEND;
    return check_legacy(&notice->block, subtype, claim, error);
}

static enum notice_verdict check_send(const struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    struct amount before;
    if (amount_is_zero(notice->amount)) {
        return refuse(error, NOTICE_CONTRADICTION, "`amount` is 0, but a send sends something");
    }
    if (!amount_add(notice->block.balance, notice->amount, &before)) {
        return refuse(
            error, NOTICE_CONTRADICTION,
            "`amount` and the block's `balance` together exceed 2^128 - 1: no account ever had as much");
    }
    if (sodium_is_zero(notice->block.previous, sizeof(notice->block.previous))) {
        return refuse(error, NOTICE_CONTRADICTION,
                      "the block's `previous` is zero, but an account's first block cannot be a send");
    }
    return NOTICE_VALID;
}

static enum notice_verdict read_block(struct json_view object, struct json_view block_object,
                                      struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    char why[BLOCK_ERROR_SIZE];
    enum cs_err err = block_read(block_object, &notice->block, why);
    if (err != CS_OK) {
        return refuse(error, err == CS_ECONFLICT ? NOTICE_CONTRADICTION : NOTICE_MALFORMED, "%s", why);
    }
    enum notice_verdict verdict = check_hash(notice, error);
    if (verdict == NOTICE_VALID) {
        verdict = check_account(notice, error);
    }
    if (verdict == NOTICE_VALID) {
        verdict = check_kind(object, block_object, notice, error);
    }
    if (verdict == NOTICE_VALID && notice->is_send) {
        verdict = check_send(notice, error);
    }
    return verdict;
}

enum notice_verdict notice_read(struct json_view object, struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    struct notice found = {0};
    struct json_scan inner;
    struct json_view block_object = json_view_of_tree(NULL);
    error[0] = '\0';
    if (!json_view_is_object(object)) {
        return refuse(error, NOTICE_MALFORMED, "the notice is no JSON object");
    }
    enum notice_verdict verdict = read_fields(object, &found, error);
    inner.tree = NULL;
    if (verdict == NOTICE_VALID) {
        verdict = find_block(object, &inner, &block_object, error);
    }
    if (verdict == NOTICE_VALID) {
        verdict = read_block(object, block_object, &found, error);
    }
    if (verdict == NOTICE_VALID) {
        *notice = found;
    }
    json_scan_fini(&inner);
    return verdict;
}

enum notice_verdict notice_check_signature(const struct notice *notice, char error[NOTICE_ERROR_SIZE])
{
    error[0] = '\0';
    if (!notice->is_send || block_signature_valid(notice->hash, notice->block.signature, notice->account)) {
        return NOTICE_VALID;
    }
    char account[ADDRESS_TEXT_SIZE];
    struct address address = address_from_nano_key(notice->account);
    address_format(&address, account);
    return refuse(error, NOTICE_WRONG_SIGNATURE, "the block's `signature` is not that of its account %s",
                  account);
}

void notice_to_payment(const struct notice *notice, struct payment *payment)
{
    assert(notice->is_send);
    memcpy(payment->hash, notice->hash, sizeof(payment->hash));
    payment->output = 0;
    payment->from = address_from_nano_key(notice->account);
    payment->to = address_from_nano_key(notice->block.link);
    payment->amount = notice->amount;
    memset(payment->asset, 0, sizeof(payment->asset));
}
