/*
 * A block in the node's JSON form: read from outside, and printed as the node prints it.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "verify/block.h"

struct reading {
    struct json_view object;
    char *error;
};

__attribute__((format(printf, 3, 4))) static enum cs_err fail(const struct reading *from, enum cs_err err,
                                                              const char *form, ...)
{
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(from->error, BLOCK_ERROR_SIZE, form, arguments);
    va_end(arguments);
    return err;
}

static enum cs_err read_text(const struct reading *from, const char *key, const char **text)
{
    *text = json_view_text(from->object, key);
    if (*text != NULL) {
        return CS_OK;
    }
    return fail(from, CS_EINVAL,
                json_view_kind(from->object, key) == JSON_KIND_MISSING ? "the block's `%s` is missing"
                                                                       : "the block's `%s` is no string",
                key);
}

static enum cs_err read_hex(const struct reading *from, const char *key, uint8_t *bytes, size_t count)
{
    const char *text;
    enum cs_err err = read_text(from, key, &text);
    if (err == CS_OK && !hex_decode(text, bytes, count)) {
        return fail(from, CS_EINVAL, "the block's `%s` is not %zu hexadecimal digits", key, 2 * count);
    }
    return err;
}

static enum cs_err read_account(const struct reading *from, const char *key, uint8_t account[32])
{
    const char *text;
    struct address address;
    enum cs_err err = read_text(from, key, &text);
    if (err != CS_OK) {
        return err;
    }
    if (!address_parse(CHAIN_NANO, text, &address)) {
        return fail(from, CS_EINVAL, "the block's `%s` is no Nano address, or its checksum is wrong", key);
    }
    memcpy(account, address.bytes, 32);
    return CS_OK;
}

static enum cs_err read_link(const struct reading *from, uint8_t link[32])
{
    uint8_t account[32];
    enum cs_err err = read_hex(from, "link", link, 32);
    if (err != CS_OK || json_view_kind(from->object, "link_as_account") == JSON_KIND_MISSING) {
        return err;
    }
    err = read_account(from, "link_as_account", account);
    if (err == CS_OK && memcmp(account, link, 32) != 0) {
        return fail(from, CS_ECONFLICT, "the block's `link_as_account` is not the account of its `link`");
    }
    return err;
}

static enum cs_err read_decimal(const struct reading *from, const char *key, struct amount *amount)
{
    const char *text;
    enum cs_err err = read_text(from, key, &text);
    if (err == CS_OK && !amount_parse_raw(text, amount)) {
        return fail(from, CS_EINVAL, "the block's `%s` is no decimal number of raw from 0 to 2^128 - 1", key);
    }
    return err;
}

static enum cs_err read_state(const struct reading *from, struct block *block)
{
    enum cs_err err = read_account(from, "account", block->account);
    if (err == CS_OK) {
        err = read_hex(from, "previous", block->previous, 32);
    }
    if (err == CS_OK) {
        err = read_account(from, "representative", block->representative);
    }
    if (err == CS_OK) {
        err = read_decimal(from, "balance", &block->balance);
    }
    if (err == CS_OK) {
        err = read_link(from, block->link);
    }
    return err;
}

static enum cs_err read_send(const struct reading *from, struct block *block)
{
    uint8_t balance[16];
    enum cs_err err = read_hex(from, "previous", block->previous, 32);
    if (err == CS_OK) {
        err = read_account(from, "destination", block->link);
    }
    if (err == CS_OK) {
        err = read_hex(from, "balance", balance, sizeof(balance));
    }
    if (err == CS_OK) {
        block->balance = amount_from_bytes(balance);
    }
    return err;
}

static enum cs_err read_receive(const struct reading *from, struct block *block)
{
    enum cs_err err = read_hex(from, "previous", block->previous, 32);
    return err == CS_OK ? read_hex(from, "source", block->link, 32) : err;
}

static enum cs_err read_open(const struct reading *from, struct block *block)
{
    enum cs_err err = read_hex(from, "source", block->link, 32);
    if (err == CS_OK) {
        err = read_account(from, "representative", block->representative);
    }
    return err == CS_OK ? read_account(from, "account", block->account) : err;
}

static enum cs_err read_change(const struct reading *from, struct block *block)
{
    enum cs_err err = read_hex(from, "previous", block->previous, 32);
    return err == CS_OK ? read_account(from, "representative", block->representative) : err;
}

static enum cs_err read_signed(const struct reading *from, struct block *block)
{
    uint8_t work[8];
    enum cs_err err = read_hex(from, "signature", block->signature, 64);
    if (err == CS_OK) {
        err = read_hex(from, "work", work, sizeof(work));
    }
    for (size_t i = 0; err == CS_OK && i < sizeof(work); i++) {
        block->work = block->work << 8 | work[i];
    }
    return err;
}

enum cs_err block_read(struct json_view object, struct block *block, char error[BLOCK_ERROR_SIZE])
{
    static const struct {
        enum block_type type;
        enum cs_err (*read)(const struct reading *from, struct block *block);
    } TYPES[] = {
        {BLOCK_STATE, read_state}, {BLOCK_SEND, read_send},     {BLOCK_RECEIVE, read_receive},
        {BLOCK_OPEN, read_open},   {BLOCK_CHANGE, read_change},
    };
    const struct reading from = {object, error};
    const char *name;
    error[0] = '\0';
    if (!json_view_is_object(object)) {
        return fail(&from, CS_EINVAL, "the block is no JSON object");
    }
    enum cs_err err = read_text(&from, "type", &name);
    if (err != CS_OK) {
        return err;
    }
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (strcmp(name, block_type_text(TYPES[i].type)) == 0) {
            struct block found = {.type = TYPES[i].type};
            err = TYPES[i].read(&from, &found);
            if (err == CS_OK) {
                err = read_signed(&from, &found);
            }
            if (err == CS_OK) {
                *block = found;
            }
            return err;
        }
    }
    return fail(&from, CS_EINVAL, "the block's `type` is none of state, send, receive, open, change");
}

static void set_text(json_t *object, const char *key, const char *text)
{
    int failed = json_object_set_new(object, key, json_string(text));
    assert(!failed);
}

static void set_hex(json_t *object, const char *key, const uint8_t *bytes, size_t count)
{
    char text[2 * 64 + 1];
    assert(2 * count < sizeof(text));
    hex_encode_upper(bytes, count, text);
    set_text(object, key, text);
}

static void set_account(json_t *object, const char *key, const uint8_t account[32])
{
    char text[ADDRESS_TEXT_SIZE];
    struct address address = address_from_nano_key(account);
    address_format(&address, text);
    set_text(object, key, text);
}

static void set_work(json_t *object, uint64_t work)
{
    char text[17];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)work);
    set_text(object, "work", text);
}

static void set_state(json_t *object, const struct block *block)
{
    char balance[AMOUNT_RAW_SIZE];
    amount_format_raw(block->balance, balance);
    set_account(object, "account", block->account);
    set_hex(object, "previous", block->previous, 32);
    set_account(object, "representative", block->representative);
    set_text(object, "balance", balance);
    set_hex(object, "link", block->link, 32);
    set_account(object, "link_as_account", block->link);
    set_hex(object, "signature", block->signature, 64);
    set_work(object, block->work);
}

static void set_legacy(json_t *object, const struct block *block)
{
    if (block->type == BLOCK_OPEN) {
        set_hex(object, "source", block->link, 32);
        set_account(object, "representative", block->representative);
        set_account(object, "account", block->account);
    } else {
        set_hex(object, "previous", block->previous, 32);
    }
    if (block->type == BLOCK_SEND) {
        uint8_t balance[16];
        amount_to_bytes(block->balance, balance);
        set_account(object, "destination", block->link);
        set_hex(object, "balance", balance, sizeof(balance));
    } else if (block->type == BLOCK_RECEIVE) {
        set_hex(object, "source", block->link, 32);
    } else if (block->type == BLOCK_CHANGE) {
        set_account(object, "representative", block->representative);
    }
    set_work(object, block->work);
    set_hex(object, "signature", block->signature, 64);
}

json_t *block_to_json(const struct block *block)
{
    json_t *object = json_object();
    assert(object != NULL);
    set_text(object, "type", block_type_text(block->type));
    if (block->type == BLOCK_STATE) {
        set_state(object, block);
    } else {
        set_legacy(object, block);
    }
    return object;
}
