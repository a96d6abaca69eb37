#include "node/rpc_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/json.h"

enum cs_err rpc_refuse(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, RPC_ANSWER_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return CS_EINVAL;
}

bool rpc_text_says_unopened(const char *text)
{
    return strstr(text, "Account not found") != NULL; /* V24 puts "error: " before it */
}

bool rpc_is_unopened(const json_t *answer)
{
    const char *text = json_text(answer, "error");
    return text != NULL && rpc_text_says_unopened(text);
}

enum cs_err rpc_check_answer(const json_t *answer, char *error)
{
    if (!json_is_object(answer)) {
        return rpc_refuse(error, "the answer is no object");
    }
    if (json_object_get(answer, "error") != NULL) {
        const char *text = json_text(answer, "error");
        return rpc_refuse(error, "the node says: %.200s", text != NULL ? text : "an error that is no text");
    }
    return CS_OK;
}

/* ---- single values ------------------------------------------------------------------------------------------------------- */

bool rpc_parse_u64(const json_t *value, uint64_t *number)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *number = (uint64_t)json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL || *text == '\0') {
        return false;
    }
    uint64_t sum = 0;
    for (; *text != '\0'; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (digit > 9 || sum > (UINT64_MAX - digit) / 10) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

bool rpc_parse_amount(const json_t *value, struct amount *amount)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *amount = (struct amount){.low = (uint64_t)json_integer_value(value)};
        return true;
    }
    const char *text = json_string_value(value);
    return text != NULL && amount_parse_raw(text, amount);
}

bool rpc_parse_bool(const json_t *value, bool *truth)
{
    const char *text = json_string_value(value);
    if (text == NULL) {
        *truth = json_is_true(value);
        return json_is_boolean(value);
    }
    *truth = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *truth || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

bool rpc_parse_hash(const json_t *value, uint8_t hash[32])
{
    const char *text = json_string_value(value);
    return text != NULL && hex_decode(text, hash, 32);
}

bool rpc_parse_account(const json_t *value, struct address *account)
{
    const char *text = json_string_value(value);
    return text != NULL && address_parse(CHAIN_NANO, text, account);
}

/* ---- under a key ----------------------------------------------------------------------------------------------------------- */

static bool found_fit(bool fits, const json_t *value, const char *key, const char *what, char *error)
{
    if (!fits) {
        rpc_refuse(error, value == NULL ? "`%s` is missing" : "`%s` is no %s", key, what);
    }
    return fits;
}

bool rpc_need_u64(const json_t *object, const char *key, uint64_t *number, char *error)
{
    const json_t *value = json_object_get(object, key);
    return found_fit(rpc_parse_u64(value, number), value, key, "number", error);
}

bool rpc_need_amount(const json_t *object, const char *key, struct amount *amount, char *error)
{
    const json_t *value = json_object_get(object, key);
    return found_fit(rpc_parse_amount(value, amount), value, key, "amount of raw", error);
}

bool rpc_need_hash(const json_t *object, const char *key, uint8_t hash[32], char *error)
{
    const json_t *value = json_object_get(object, key);
    return found_fit(rpc_parse_hash(value, hash), value, key, "hash of 64 hexadecimal digits", error);
}

bool rpc_take_time(const json_t *object, const char *key, int64_t *time_ms, char *error)
{
    const json_t *value = json_object_get(object, key);
    uint64_t seconds = 0;
    bool fits = value == NULL || (rpc_parse_u64(value, &seconds) && seconds <= INT64_MAX / 1000);
    *time_ms = fits ? (int64_t)seconds * 1000 : 0;
    return found_fit(fits, value, key, "time", error);
}

bool rpc_take_account(const json_t *object, const char *key, struct address *account, char *error)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    *account = (struct address){0};
    bool unknown =
        value == NULL || json_is_null(value) || (text != NULL && (strcmp(text, "0") == 0 || *text == '\0'));
    return unknown || found_fit(rpc_parse_account(value, account), value, key, "account", error);
}

static bool take_collection(const json_t *answer, const char *key, bool object, bool array,
                            const json_t **found, char *error)
{
    const json_t *value = json_object_get(answer, key);
    const char *text = json_string_value(value);
    *found = NULL;
    bool empty = value == NULL || json_is_null(value) || (text != NULL && *text == '\0') ||
                 (json_is_object(value) && json_object_size(value) == 0) ||
                 (json_is_array(value) && json_array_size(value) == 0);
    if (empty) {
        return true;
    }
    bool fits = (object && json_is_object(value)) || (array && json_is_array(value));
    *found = fits ? value : NULL;
    return found_fit(fits, value, key, object && array ? "list" : object ? "object" : "array", error);
}

bool rpc_take_object(const json_t *answer, const char *key, const json_t **found, char *error)
{
    return take_collection(answer, key, true, false, found, error);
}

bool rpc_take_array(const json_t *answer, const char *key, const json_t **found, char *error)
{
    return take_collection(answer, key, false, true, found, error);
}

bool rpc_take_any(const json_t *answer, const char *key, const json_t **found, char *error)
{
    return take_collection(answer, key, true, true, found, error);
}

const json_t *rpc_of_account(const json_t *object, const struct address *account)
{
    char text[ADDRESS_TEXT_SIZE], old[ADDRESS_TEXT_SIZE];
    address_format(account, text);
    const json_t *value = json_object_get(object, text);
    if (value == NULL) {
        snprintf(old, sizeof(old), "xrb_%s", text + strlen("nano_"));
        value = json_object_get(object, old);
    }
    return value;
}

size_t rpc_size_of(const json_t *object)
{
    return object != NULL ? json_object_size(object) : 0;
}

enum rpc_kind rpc_kind_of(const char *text)
{
    static const struct {
        const char *text;
        enum rpc_kind kind;
    } kinds[] = {
        {"send", RPC_KIND_SEND},     {"receive", RPC_KIND_RECEIVE}, {"open", RPC_KIND_RECEIVE},
        {"change", RPC_KIND_CHANGE}, {"epoch", RPC_KIND_EPOCH},
    };
    for (size_t i = 0; text != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(text, kinds[i].text) == 0) {
            return kinds[i].kind;
        }
    }
    return RPC_KIND_UNKNOWN;
}
