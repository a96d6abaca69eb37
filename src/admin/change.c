#include "admin/change.h"

#include <stdlib.h>
#include <string.h>

#include "admin/credential.h"
#include "admin/input.h"
#include "admin/shape.h"
#include "base/token.h"

static void problem_retired(struct problem *problem)
{
    problem_set(problem, 409, "device_retired", "device", "register a new device: a retired one stays so",
                "the device is retired");
}

bool change_create_device(struct store *store, json_t *body, json_t **result, struct problem *problem)
{
    struct input_device input;
    if (!input_device(body, &input, problem)) {
        return false;
    }
    struct credential credential;
    credential_make(store, &input, &credential);
    enum cs_err err = store_create_device(store, &input.device, credential.stored);
    if (err == CS_OK) {
        *result = shape_device(&input.device);
        credential_show(&credential, *result);
        shape_put(*result, "relay_keys", shape_relay_keys(store));
        shape_put(*result, "epoch", json_string(store_epoch(store)));
    } else if (err == CS_EDENIED) {
        credential_problem_double(problem, input.device.auth);
    } else if (err == CS_EINVAL) {
        problem_set(problem, 422, "invalid_field", "name", "send 1 to 128 bytes of text",
                    "the name cannot be stored");
    } else {
        problem_from_store(problem, err);
    }
    credential_wipe(&credential);
    return err == CS_OK;
}

bool change_device(struct store *store, const char *id, json_t *body, json_t **result,
                   struct problem *problem)
{
    enum device_state state;
    if (!input_device_change(body, &state, problem)) {
        return false;
    }
    enum cs_err err = store_set_device_state(store, id, state);
    if (err == CS_EDENIED) {
        problem_retired(problem);
        return false;
    }
    struct store_device device;
    err = err != CS_OK ? err : reader_device(store, id, &device);
    if (err != CS_OK) {
        problem_from_page(problem, err);
        return false;
    }
    *result = shape_device(&device);
    return true;
}

bool change_set_config(struct store *store, const char *id, json_t *body, json_t **result,
                       struct problem *problem)
{
    char settings[STORE_SETTINGS_MOST + 1];
    uint64_t version;
    if (!input_config(body, settings, problem)) {
        return false;
    }
    enum cs_err err = store_set_config(store, id, settings, &version);
    if (err == CS_EDENIED) {
        problem_retired(problem);
        return false;
    }
    if (err == CS_ECONFLICT) {
        problem_set(
            problem, 409, "no_node", "proof",
            "write rpc = http://[::1]:7076 under [nano] in the config file and start the relay again, or "
            "leave `proof` out",
            "this relay has no node's RPC to ask for the blocks that prove a payment");
        return false;
    }
    struct reader_config config;
    err = err != CS_OK ? err : reader_config(store, id, version, &config);
    if (err != CS_OK) {
        problem_from_page(problem, err);
        return false;
    }
    *result = shape_config(&config);
    free(config.body);
    return true;
}

bool change_reconcile(const struct admin_upstream *upstream, json_t **result, struct problem *problem)
{
    if (upstream == NULL) {
        problem_set(problem, 409, "not_running", NULL, "start it: it reconciles all addresses then",
                    "no relay is running on this data folder");
        return false;
    }
    if (!upstream->reconcile(upstream->context, "an operator wants it")) {
        problem_set(problem, 409, "no_node", NULL,
                    "write rpc = http://[::1]:7076 under [nano] in the config file",
                    "this relay has no node's RPC to ask");
        return false;
    }
    *result = json_object();
    shape_put(*result, "status", json_string("asked"));
    return true;
}

bool change_roll_relay_key(struct store *store, json_t **result, struct problem *problem)
{
    enum cs_err err = store_roll_relay_key(store);
    if (err != CS_OK) {
        problem_from_store(problem, err);
        return false;
    }
    *result = shape_relay(store);
    return true;
}

bool change_create_subscription(struct store *store, const char *device_id, json_t *body, json_t **result,
                                struct problem *problem)
{
    struct store_subscription subscription;
    struct store_completeness completeness;
    if (!input_subscription(body, &subscription, problem)) {
        return false;
    }
    size_t length = strlen(device_id);
    if (length >= sizeof subscription.device) {
        problem_no_such_device(problem);
        return false;
    }
    memcpy(subscription.device, device_id, length + 1);
    enum cs_err err = store_create_subscription(store, &subscription);
    switch (err) {
    case CS_OK:
        store_find_completeness(store, &subscription.address, &completeness);
        *result = shape_subscription(&subscription, &completeness);
        shape_put_mark(json_object_get(*result, "completeness"), &(struct reader_watched){0});
        return true;
    case CS_ENOTFOUND:
        problem_no_such_device(problem);
        return false;
    case CS_ECONFLICT:
        problem_set(problem, 409, "subscription_exists", "address",
                    "to change its minimum, DELETE the subscription first (GET …/subscriptions lists it)",
                    "the device is subscribed to this address already");
        return false;
    case CS_EDENIED:
        problem_retired(problem);
        return false;
    case CS_EINVAL:
        problem_set(problem, 409, "too_many_subscriptions", NULL,
                    "DELETE what is no longer needed, or register another device",
                    "the device has as many subscriptions as one may have");
        return false;
    case CS_EBUSY:
    case CS_EFULL:
    case CS_ECLOSED:
    case CS_EIO:
        break;
    }
    problem_from_store(problem, err);
    return false;
}

bool change_create_api_token(struct store *store, json_t *body, json_t **result, struct problem *problem)
{
    struct store_api_token token;
    if (!input_api_token(body, &token, problem)) {
        return false;
    }
    char text[TOKEN_TEXT_SIZE];
    uint8_t hash[STORE_HASH_SIZE];
    token_make(text);
    store_hash_token(store, text, hash);
    enum cs_err err = store_create_api_token(store, &token, hash);
    if (err != CS_OK) {
        problem_from_store(problem, err);
        return false;
    }
    *result = shape_api_token(&token);
    shape_put(*result, "token", json_string(text));
    return true;
}

bool change_retire_device(struct store *store, const char *id, struct problem *problem)
{
    enum cs_err err = store_retire_device(store, id);
    if (err == CS_ENOTFOUND) {
        problem_no_such_device(problem);
    } else if (err != CS_OK) {
        problem_from_store(problem, err);
    }
    return err == CS_OK;
}

bool change_remove_subscription(struct store *store, const char *device_id, const char *id,
                                struct problem *problem)
{
    enum cs_err err = store_remove_subscription(store, device_id, id);
    if (err == CS_ENOTFOUND) {
        problem_set(problem, 404, "subscription_not_found", NULL,
                    "GET /api/v1/devices/{id}/subscriptions lists all that the device has",
                    "this device has no subscription with this id");
    } else if (err != CS_OK) {
        problem_from_store(problem, err);
    }
    return err == CS_OK;
}

bool change_revoke_api_token(struct store *store, const char *id, struct problem *problem)
{
    enum cs_err err = store_revoke_api_token(store, id);
    if (err == CS_ENOTFOUND) {
        problem_set(problem, 404, "token_not_found", NULL,
                    "GET /api/v1/tokens, or `coinslot token list`, shows all there are",
                    "there is no token with this id");
    } else if (err != CS_OK) {
        problem_from_store(problem, err);
    }
    return err == CS_OK;
}
