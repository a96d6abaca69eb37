#include "admin/input.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"

/* ---- bodies
 * ---------------------------------------------------------------------------------------------------- */

static bool only_fields(json_t *body, const char *const *names, struct problem *problem)
{
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, key) != 0) {
            name++;
        }
        if (*name == NULL) {
            problem_set(problem, 422, "unknown_field", key,
                        "take it out, or look up its spelling in schema/openapi.yaml",
                        "there is no such field here");
            return false;
        }
    }
    return true;
}

/* A text that must be there, or may be missing (then *text is NULL). */
static bool take_text(const json_t *body, const char *name, bool needed, const char *hint, const char **text,
                      struct problem *problem)
{
    const json_t *value = json_object_get(body, name);
    *text = json_string_value(value);
    if (value == NULL && needed) {
        problem_set(problem, 422, "missing_field", name, hint, "%s is missing", name);
        return false;
    }
    if (value != NULL && *text == NULL) {
        problem_set(problem, 422, "invalid_field", name, hint, "%s is no string", name);
        return false;
    }
    return true;
}

/* Well-formed UTF-8 is the JSON reader's care; control characters (C0, DEL, C1) are ours. */
static bool has_control_character(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < 0x20 || *c == 0x7f || (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)) {
            return true;
        }
    }
    return false;
}

static bool take_name(const json_t *body, char name[STORE_NAME_SIZE], struct problem *problem)
{
    static const char HINT[] = "send 1 to 128 bytes of text without control characters";
    const char *text;
    if (!take_text(body, "name", true, HINT, &text, problem)) {
        return false;
    }
    size_t length = strlen(text);
    if (length == 0 || length >= STORE_NAME_SIZE) {
        problem_set(problem, 422, "invalid_field", "name", HINT, "the name has %zu bytes", length);
        return false;
    }
    if (has_control_character(text)) {
        problem_set(problem, 422, "invalid_field", "name", HINT, "there is a control character in the name");
        return false;
    }
    memcpy(name, text, length + 1);
    return true;
}

static bool take_device_auth(const json_t *body, struct store_device *device, struct problem *problem)
{
    static const char HINT[] = "send \"auth\":\"token\"";
    const char *auth;
    if (!take_text(body, "auth", false, HINT, &auth, problem)) {
        return false;
    }
    if (auth != NULL && strcmp(auth, "key") == 0) {
        problem_set(problem, 422, "not_supported_yet", "auth", HINT,
                    "devices with a key are not supported by this version: it offers tokens");
        return false;
    }
    if (auth != NULL && strcmp(auth, "token") != 0) {
        problem_set(problem, 422, "invalid_field", "auth", HINT, "there is no such way to prove who one is");
        return false;
    }
    device->auth = DEVICE_AUTH_TOKEN;
    return true;
}

bool input_device(json_t *body, struct store_device *device, struct problem *problem)
{
    static const char *const FIELDS[] = {"name", "auth", "expire_after_s", NULL};
    const json_int_t most_s = INT64_MAX / 1000;
    memset(device, 0, sizeof *device);
    if (!only_fields(body, FIELDS, problem) || !take_name(body, device->name, problem) ||
        !take_device_auth(body, device, problem)) {
        return false;
    }
    const json_t *expire = json_object_get(body, "expire_after_s");
    if (expire != NULL && !json_is_null(expire)) {
        json_int_t seconds = json_integer_value(expire);
        if (!json_is_integer(expire) || seconds < 1 || seconds > most_s) {
            problem_set(
                problem, 422, "invalid_field", "expire_after_s",
                "send a whole number of seconds, 1 or more, or leave it out: then nothing ever expires",
                "this is no time after which a payment could expire");
            return false;
        }
        device->expire_after_ms = seconds * 1000;
    }
    return true;
}

static bool take_minimum(const json_t *body, struct amount *minimum, struct problem *problem)
{
    static const char HINT[] = "send raw as a decimal string, like \"minimum\":\"1000000\"";
    const json_t *value = json_object_get(body, "minimum");
    if (value == NULL) {
        *minimum = (struct amount){0, 0};
        return true;
    }
    if (json_is_number(value)) {
        /* A JSON number has passed through somebody's double: raw does not fit there. */
        problem_set(problem, 422, "invalid_field", "minimum", HINT, "an amount is never a JSON number");
        return false;
    }
    const char *text = json_string_value(value);
    if (text == NULL || !amount_parse_raw(text, minimum)) {
        problem_set(problem, 422, "invalid_field", "minimum", HINT, "this is no amount of raw below 2^128");
        return false;
    }
    return true;
}

bool input_subscription(json_t *body, struct store_subscription *subscription, struct problem *problem)
{
    static const char *const FIELDS[] = {"chain", "address", "minimum", NULL};
    memset(subscription, 0, sizeof *subscription);
    const char *chain_name, *address;
    enum chain chain;
    if (!only_fields(body, FIELDS, problem) ||
        !take_text(body, "chain", true, "send \"chain\":\"nano\"", &chain_name, problem) ||
        !take_text(body, "address", true, "send the address to be paid to, like nano_3…", &address,
                   problem)) {
        return false;
    }
    if (!chain_parse(chain_name, &chain)) {
        problem_set(problem, 422, "invalid_field", "chain", "send \"chain\":\"nano\"",
                    "this relay does not know such a chain");
        return false;
    }
    if (!address_parse(chain, address, &subscription->address)) {
        problem_set(problem, 422, "invalid_field", "address",
                    "send nano_ and 60 characters, and compare with where it was copied from: its last 8 are "
                    "a checksum",
                    "this is no valid address of the chain %s", chain_text(chain));
        return false;
    }
    return take_minimum(body, &subscription->minimum, problem);
}

bool input_api_token(json_t *body, struct store_api_token *token, struct problem *problem)
{
    static const char *const FIELDS[] = {"name", "role", NULL};
    static const char HINT[] = "send viewer, auditor, operator or admin";
    memset(token, 0, sizeof *token);
    const char *role;
    if (!only_fields(body, FIELDS, problem) || !take_name(body, token->name, problem) ||
        !take_text(body, "role", true, HINT, &role, problem)) {
        return false;
    }
    if (!store_role_parse(role, &token->role)) {
        problem_set(problem, 422, "invalid_field", "role", HINT, "there is no such role");
        return false;
    }
    return true;
}

/* ---- query strings
 * --------------------------------------------------------------------------------------------- */

static bool bad_parameter(struct problem *problem, const char *name, const char *hint)
{
    problem_set(problem, 400, "invalid_parameter", name, hint, "the value of %s cannot be used", name);
    return false;
}

bool input_limit(const char *text, uint32_t *limit, struct problem *problem)
{
    *limit = INPUT_LIMIT_DEFAULT;
    if (text == NULL) {
        return true;
    }
    size_t length = strlen(text);
    unsigned long value = length <= 4 ? strtoul(text, NULL, 10) : 0;
    if (length != strspn(text, "0123456789") || value < 1 || value > READER_PAGE_MOST) {
        return bad_parameter(problem, "limit", "send a whole number from 1 to 1000");
    }
    *limit = (uint32_t)value;
    return true;
}

bool input_hash(const char *text, uint8_t hash[PAYMENT_HASH_SIZE], struct problem *problem)
{
    return hex_decode(text, hash, PAYMENT_HASH_SIZE) ||
           bad_parameter(problem, "hash", "send the 64 hexadecimal digits of the payment's hash");
}

bool input_address(const char *text, struct address *address, struct problem *problem)
{
    return address_parse(CHAIN_NANO, text, address) ||
           bad_parameter(problem, "address",
                         "send nano_ and 60 characters, and compare with where it was copied from: its last "
                         "8 are a checksum");
}

bool input_delivery_state(const char *text, enum delivery_state *state, struct problem *problem)
{
    return delivery_state_parse(text, state) ||
           bad_parameter(problem, "state", "send stored, sent, acked, actuated, refused or expired");
}

bool input_device_state(const char *text, enum device_state *state, struct problem *problem)
{
    static const enum device_state STATES[] = {DEVICE_ACTIVE, DEVICE_DISABLED, DEVICE_RETIRED};
    for (size_t i = 0; i < sizeof STATES / sizeof STATES[0]; i++) {
        if (strcmp(text, device_state_text(STATES[i])) == 0) {
            *state = STATES[i];
            return true;
        }
    }
    return bad_parameter(problem, "state", "send active, disabled or retired");
}

static bool take_time(const char *name, const char *text, int64_t *wall_ms, struct problem *problem)
{
    *wall_ms = 0;
    /* A `+` that was not escaped arrives as a blank: the likeliest mistake with an offset. */
    return text == NULL || (clock_parse_ms(text, wall_ms) == 0 && *wall_ms >= 0) ||
           bad_parameter(problem, name,
                         "send a time since 1970, like 2026-11-20T17:03:00Z (an offset's + is written %2B), "
                         "or milliseconds");
}

bool input_range(const char *from, const char *to, int64_t *from_ms, int64_t *to_ms, struct problem *problem)
{
    if (!take_time("from", from, from_ms, problem) || !take_time("to", to, to_ms, problem)) {
        return false;
    }
    return to == NULL || *to_ms > *from_ms ||
           bad_parameter(problem, "to",
                         "send a time later than from: what was stored at `to` is not in the answer");
}
