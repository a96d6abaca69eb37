#include "admin/change.h"

#include <string.h>

#include "admin/input.h"
#include "admin/shape.h"
#include "base/token.h"

bool change_create_device(struct store *store, json_t *body, json_t **result, struct problem *problem)
{
    struct store_device device;
    if (!input_device(body, &device, problem)) {
        return false;
    }
    char token[TOKEN_TEXT_SIZE];
    uint8_t credential[STORE_HASH_SIZE];
    token_make(token);
    store_hash_token(store, token, credential);
    enum cs_err err = store_create_device(store, &device, credential);
    if (err == CS_EINVAL) {
        problem_set(problem, 422, "invalid_field", "name", "send 1 to 128 bytes of text",
                    "the name cannot be stored");
        return false;
    }
    if (err != CS_OK) {
        problem_from_store(problem, err);
        return false;
    }
    *result = shape_device(&device);
    shape_put(*result, "token", json_string(token));
    return true;
}

bool change_create_subscription(struct store *store, const char *device_id, json_t *body, json_t **result,
                                struct problem *problem)
{
    struct store_subscription subscription;
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
        *result = shape_subscription(&subscription);
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
        problem_set(problem, 409, "device_retired", "device", "register a new device: a retired one stays so",
                    "the device is retired");
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
