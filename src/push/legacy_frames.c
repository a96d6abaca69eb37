#include "push/legacy_frames.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/hex.h"
#include "base/json.h"

#define SEND_THIS "send {\"address\":\"nano_...\",\"api_key\":\"...\"}"

/* Quoted only when it is short and printable: it goes back to whoever sent it. */
static void describe_address(const char *text, char error[LEGACY_ERROR_SIZE])
{
    size_t length = strlen(text);
    bool quotable = length <= 80;
    for (size_t i = 0; i < length && quotable; i++) {
        quotable = text[i] >= ' ' && text[i] <= '~';
    }
    snprintf(error, LEGACY_ERROR_SIZE, "\"address\"%s%s is no Nano address; " SEND_THIS, quotable ? " " : "",
             quotable ? text : "");
}

static void read_request(const json_t *object, struct legacy_request *request, char error[LEGACY_ERROR_SIZE])
{
    const char *key = json_text(object, "api_key"), *address = json_text(object, "address");
    if (key != NULL && strlen(key) < LEGACY_KEY_SIZE) {
        snprintf(request->api_key, LEGACY_KEY_SIZE, "%s", key);
    }
    if (address == NULL) {
        snprintf(error, LEGACY_ERROR_SIZE, "\"address\" is missing, or no text; " SEND_THIS);
    } else if (!address_parse(CHAIN_NANO, address, &request->address)) {
        describe_address(address, error);
    } else {
        request->has_address = true;
    }
}

enum legacy_message legacy_read(const char *text, size_t length, struct legacy_request *request,
                                char error[LEGACY_ERROR_SIZE])
{
    static const char greeting[] = "Connected";
    memset(request, 0, sizeof(*request));
    error[0] = '\0';
    if (length == strlen(greeting) && memcmp(text, greeting, length) == 0) {
        return LEGACY_NOTHING;
    }
    char why[JSON_ERROR_SIZE];
    json_t *value = json_read(text, length, LEGACY_DEPTH_MOST, why);
    if (!json_is_object(value)) {
        snprintf(error, LEGACY_ERROR_SIZE, "that is no JSON object, or one nested too deep; " SEND_THIS);
        json_decref(value);
        return LEGACY_MALFORMED;
    }
    read_request(value, request, error);
    json_decref(value);
    return LEGACY_REQUEST;
}

/* Takes `value` over. */
static char *print(json_t *value, size_t flags)
{
    char *text = value != NULL ? json_dumps(value, flags) : NULL;
    assert(text != NULL); /* what we build is valid; jansson has no other reason but memory */
    json_decref(value);
    return text;
}

char *legacy_print_error(const char *error)
{
    return print(json_pack("{s:s}", "error", error), JSON_COMPACT);
}

/* Of the block only what is known; clients look into it for whom it pays. */
static char *print_block(const struct payment *payment, const char *from, const char *to)
{
    char link[2 * ADDRESS_BYTES_MAX + 1];
    hex_encode_upper(payment->to.bytes, payment->to.length, link);
    return print(json_pack("{s:s, s:s*, s:s, s:s}", "type", "state", "account", from, "link", link,
                           "link_as_account", to),
                 JSON_INDENT(4));
}

char *legacy_print_payment(const struct payment *payment)
{
    assert(payment->to.chain == CHAIN_NANO);
    char hash[PAYMENT_HASH_TEXT], amount[AMOUNT_RAW_SIZE], from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE];
    hex_encode_upper(payment->hash, PAYMENT_HASH_SIZE, hash);
    amount_format_raw(payment->amount, amount);
    address_format(&payment->to, to);
    bool has_from = payment->from.length > 0;
    if (has_from) {
        address_format(&payment->from, from);
    }
    char *block = print_block(payment, has_from ? from : NULL, to);
    char *text =
        print(json_pack("{s:s*, s:s, s:s, s:s, s:s, s:s}", "account", has_from ? from : NULL, "hash", hash,
                        "block", block, "amount", amount, "is_send", "true", "subtype", "send"),
              JSON_INDENT(4));
    free(block);
    return text;
}

bool legacy_is_local_origin(const char *origin)
{
    if (strcmp(origin, "file://") == 0) {
        return true;
    }
    static const char *const schemes[] = {"http://", "https://"};
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t skip = strlen(schemes[i]);
        if (strncasecmp(origin, schemes[i], skip) != 0) {
            continue;
        }
        for (size_t j = 0; j < sizeof(hosts) / sizeof(hosts[0]); j++) {
            size_t length = strlen(hosts[j]);
            const char *rest = origin + skip + length;
            if (strncasecmp(origin + skip, hosts[j], length) == 0 && (*rest == '\0' || *rest == ':')) {
                return true;
            }
        }
    }
    return false;
}
