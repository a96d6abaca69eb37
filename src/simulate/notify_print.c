#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "simulate/notify.h"

/* Pretty-printed with 4 spaces and a final newline (boost::property_tree::write_json); taken from `value`. */
static char *print_pretty(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(4));
    json_decref(value);
    if (text == NULL) {
        log_die("simulate", "out of memory printing a block");
    }
    size_t length = strlen(text);
    text = cs_realloc(text, length + 2);
    memcpy(text + length, "\n", 2);
    return text;
}

static char *print_block(const struct block *block, const uint8_t *shown_link)
{
    json_t *object = block_to_json(block);
    if (shown_link != NULL) {
        char text[ADDRESS_TEXT_SIZE];
        struct address address = address_from_nano_key(shown_link);
        address_format(&address, text);
        json_object_set_new(object, "link_as_account",
                            json_string(text)); /* keeps its place among the keys */
    }
    return print_pretty(object);
}

/* NULL for legacy blocks. An epoch block would be an `epoch`; the make-believe network has none. */
static const char *subtype_of(const struct notice *notice)
{
    if (notice->block.type != BLOCK_STATE) {
        return NULL;
    }
    if (notice->is_send) {
        return "send";
    }
    static const uint8_t zero[32] = {0};
    return memcmp(notice->block.link, zero, sizeof(zero)) == 0 ? "change" : "receive";
}

static char *print_body(const struct notice *notice, const uint8_t *shown_link)
{
    char account[ADDRESS_TEXT_SIZE], hash[PAYMENT_HASH_TEXT], amount[AMOUNT_RAW_SIZE];
    struct address address = address_from_nano_key(notice->account);
    address_format(&address, account);
    hex_encode_upper(notice->hash, sizeof(notice->hash), hash);
    amount_format_raw(notice->amount, amount);
    char *block = print_block(&notice->block, shown_link);

    json_t *object = json_object();
    json_object_set_new(object, "account", json_string(account));
    json_object_set_new(object, "hash", json_string(hash));
    json_object_set_new(object, "block", json_string(block));
    json_object_set_new(object, "amount", json_string(amount));
    free(block);
    const char *subtype = subtype_of(notice);
    if (subtype != NULL) {
        if (notice->is_send) {
            json_object_set_new(object, "is_send", json_string("true"));
        }
        json_object_set_new(object, "subtype", json_string(subtype));
    }
    return print_pretty(object);
}

char *notify_print(const char *host, const char *target, const struct notice *notice,
                   const uint8_t *shown_link, size_t *size)
{
    char *body = print_body(notice, shown_link);
    static const char format[] = "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                                 "Content-Length: %zu\r\n\r\n%s";
    size_t body_bytes = strlen(body);
    int length = snprintf(NULL, 0, format, target, host, body_bytes, body);
    assert(length > 0);
    char *request = cs_alloc((size_t)length + 1);
    snprintf(request, (size_t)length + 1, format, target, host, body_bytes, body);
    free(body);
    *size = (size_t)length;
    return request;
}
