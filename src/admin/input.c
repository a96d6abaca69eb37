#include "admin/input.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "admin/fields.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"

/* ---- bodies ---------------------------------------------------------------------------------------- */

static bool take_public_key(const json_t *body, struct input_device *input, struct problem *problem)
{
    static const char HINT[] =
        "send the 64 hexadecimal digits of the device's Ed25519 public key, or leave it out: the relay then makes a pair";
    const char *text;
    if (!fields_take_text(body, "public_key", false, HINT, &text, problem)) {
        return false;
    }
    input->has_public_key = text != NULL;
    if (text == NULL) {
        return true;
    }
    if (input->device.auth != DEVICE_AUTH_KEY) {
        return fields_refuse(problem, "public_key", "send \"auth\":\"key\" with it",
                             "a device with a token has no public key");
    }
    if (!hex_decode(text, input->public_key, sizeof input->public_key)) {
        return fields_refuse(problem, "public_key", HINT, "these are not 64 hexadecimal digits");
    }
    /* Under a key of small order everybody can sign. */
    return crypto_core_ed25519_is_valid_point(input->public_key) != 0 ||
           fields_refuse(problem, "public_key", HINT, "this is no public key of Ed25519");
}

static bool take_token(const json_t *body, struct input_device *input, struct problem *problem)
{
    static const char HINT[] =
        "send 32 to 128 characters of printable ASCII without blanks, or leave it out: the relay then makes one";
    const char *text;
    if (!fields_take_text(body, "token", false, HINT, &text, problem)) {
        return false;
    }
    if (text == NULL) {
        return true;
    }
    if (input->device.auth != DEVICE_AUTH_TOKEN) {
        return fields_refuse(problem, "token", "send \"auth\":\"token\" with it",
                             "a device with a key has no token");
    }
    size_t length = strlen(text);
    if (length < INPUT_TOKEN_LEAST || length > INPUT_TOKEN_MOST) {
        return fields_refuse(problem, "token", HINT, "the token has %zu bytes", length);
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= 0x20 || *c >= 0x7f) {
            return fields_refuse(problem, "token", HINT, "there is a blank, or no ASCII, in the token");
        }
    }
    memcpy(input->token, text, length + 1);
    return true;
}

static bool take_auth(const json_t *body, struct store_device *device, struct problem *problem)
{
    static const char HINT[] = "send \"auth\":\"token\" or \"auth\":\"key\"";
    const char *auth;
    if (!fields_take_text(body, "auth", false, HINT, &auth, problem)) {
        return false;
    }
    bool key = auth != NULL && strcmp(auth, "key") == 0;
    device->auth = key ? DEVICE_AUTH_KEY : DEVICE_AUTH_TOKEN;
    return key || auth == NULL || strcmp(auth, "token") == 0 ||
           fields_refuse(problem, "auth", HINT, "there is no such way to prove who one is");
}

/* All but the token and the subscriptions, which only an import has. */
static bool take_device(const json_t *body, struct input_device *input, struct problem *problem)
{
    json_int_t expire_after_s;
    if (!fields_take_name(body, input->device.name, problem) || !take_auth(body, &input->device, problem) ||
        !take_public_key(body, input, problem) ||
        !fields_take_count(
            body, "expire_after_s", false, INT64_MAX / 1000,
            "send a whole number of seconds, 1 or more, or leave it out: then nothing ever expires",
            &expire_after_s, problem)) {
        return false;
    }
    input->device.expire_after_ms = expire_after_s * 1000;
    return true;
}

bool input_device(json_t *body, struct input_device *input, struct problem *problem)
{
    static const char *const FIELDS[] = {"name", "auth", "public_key", "expire_after_s", NULL};
    memset(input, 0, sizeof *input);
    return fields_only(body, FIELDS, problem) && take_device(body, input, problem);
}

static bool take_subscriptions(const json_t *body, struct input_import *import, struct problem *problem)
{
    json_t *list = json_object_get(body, "subscriptions");
    if (list != NULL && !json_is_array(list)) {
        return fields_refuse(problem, "subscriptions",
                             "send [{\"chain\":\"nano\",\"address\":\"nano_3…\"}, …]",
                             "subscriptions is no array");
    }
    size_t count = json_array_size(list);
    import->subscriptions = count == 0 ? NULL : cs_alloc(count * sizeof *import->subscriptions);
    for (size_t i = 0; i < count; i++) {
        json_t *one = json_array_get(list, i);
        if (!json_is_object(one)) {
            fields_refuse(problem, NULL, "send {\"chain\":\"nano\",\"address\":\"nano_3…\"}",
                          "this is no object");
        } else if (input_subscription(one, &import->subscriptions[i], problem)) {
            continue;
        }
        fields_inside(problem, "subscriptions[%zu]", i);
        free(import->subscriptions);
        import->subscriptions = NULL;
        return false;
    }
    import->subscription_count = count;
    return true;
}

bool input_import(json_t *body, struct input_import *import, struct problem *problem)
{
    static const char *const FIELDS[] = {"name",  "auth",          "public_key", "expire_after_s",
                                         "token", "subscriptions", NULL};
    memset(import, 0, sizeof *import);
    return fields_only(body, FIELDS, problem) && take_device(body, &import->input, problem) &&
           take_token(body, &import->input, problem) && take_subscriptions(body, import, problem);
}

bool input_subscription(json_t *body, struct store_subscription *subscription, struct problem *problem)
{
    static const char *const FIELDS[] = {"chain", "address", "minimum", "since", NULL};
    memset(subscription, 0, sizeof *subscription);
    const char *chain_name, *address;
    enum chain chain;
    if (!fields_only(body, FIELDS, problem) ||
        !fields_take_text(body, "chain", true, "send \"chain\":\"nano\"", &chain_name, problem) ||
        !fields_take_text(body, "address", true, "send the address to be paid to, like nano_3…", &address,
                          problem)) {
        return false;
    }
    if (!chain_parse(chain_name, &chain)) {
        return fields_refuse(problem, "chain", "send \"chain\":\"nano\"",
                             "this relay does not know such a chain");
    }
    if (!address_parse(chain, address, &subscription->address)) {
        return fields_refuse(
            problem, "address",
            "send nano_ and 60 characters, and compare with where it was copied from: its last 8 are "
            "a checksum",
            "this is no valid address of the chain %s", chain_text(chain));
    }
    return fields_take_amount(body, "minimum", false, &subscription->minimum, problem) &&
           fields_take_past(body, "since", &subscription->since_ms, problem);
}

bool input_api_token(json_t *body, struct store_api_token *token, struct problem *problem)
{
    static const char *const FIELDS[] = {"name", "role", NULL};
    static const char HINT[] = "send viewer, auditor, operator or admin";
    memset(token, 0, sizeof *token);
    const char *role;
    if (!fields_only(body, FIELDS, problem) || !fields_take_name(body, token->name, problem) ||
        !fields_take_text(body, "role", true, HINT, &role, problem)) {
        return false;
    }
    return store_role_parse(role, &token->role) ||
           fields_refuse(problem, "role", HINT, "there is no such role");
}

bool input_device_change(json_t *body, enum device_state *state, struct problem *problem)
{
    static const char *const FIELDS[] = {"state", NULL};
    static const char HINT[] = "send \"state\":\"disabled\" or \"state\":\"active\"";
    const char *text;
    if (!fields_only(body, FIELDS, problem) || !fields_take_text(body, "state", true, HINT, &text, problem)) {
        return false;
    }
    if (strcmp(text, "retired") == 0) {
        return fields_refuse(problem, "state", "DELETE the device: that is for good",
                             "a device is not retired in passing");
    }
    *state = strcmp(text, "disabled") == 0 ? DEVICE_DISABLED : DEVICE_ACTIVE;
    return *state == DEVICE_DISABLED || strcmp(text, "active") == 0 ||
           fields_refuse(problem, "state", HINT, "there is no such state");
}

/* ---- query strings --------------------------------------------------------------------------------- */

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

bool input_version(const char *text, uint64_t *version, struct problem *problem)
{
    *version = 0;
    if (text == NULL) {
        return true;
    }
    size_t length = strlen(text);
    if (length > 18 || length != strspn(text, "0123456789") || strtoull(text, NULL, 10) == 0) {
        return bad_parameter(problem, "version",
                             "send a whole number, 1 or more, or nothing: then it is the current one");
    }
    *version = strtoull(text, NULL, 10);
    return true;
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
