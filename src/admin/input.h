/*
 * input: reads what people and scripts send, from bodies and query strings, into the domain's types.
 * Pure: any thread. False with the problem filled in when something is wrong with it; what is unknown is
 * wrong, too.
 */
#ifndef COINSLOT_ADMIN_INPUT_H
#define COINSLOT_ADMIN_INPUT_H

#include <jansson.h>

#include "admin/problem.h"
#include "store/reader.h"
#include "store/store.h"

#define INPUT_LIMIT_DEFAULT 100

#define INPUT_TOKEN_LEAST 32
#define INPUT_TOKEN_MOST  128 /* what a hello may hold */

/* What a caller says of a new device, and of its credential, which else the relay makes. */
struct input_device {
    struct store_device device;
    bool has_public_key;
    uint8_t public_key[32];
    char token[INPUT_TOKEN_MOST + 1]; /* "": none */
};

/* One line of an import. */
struct input_import {
    struct input_device input;
    struct store_subscription *subscriptions; /* owned by the caller: free() */
    size_t subscription_count;
};

/* Of an object from outside: the fields that a caller gives; the rest is left zero. */
bool input_device(json_t *body, struct input_device *input, struct problem *problem);
bool input_import(json_t *body, struct input_import *import, struct problem *problem);
bool input_device_change(json_t *body, enum device_state *state, struct problem *problem);
/* A device's config, as store_set_config wants it: in one form, whatever the blanks and the order of the fields. */
bool input_config(json_t *body, char settings[STORE_SETTINGS_MOST + 1], struct problem *problem);
bool input_subscription(json_t *body, struct store_subscription *subscription, struct problem *problem);
bool input_api_token(json_t *body, struct store_api_token *token, struct problem *problem);

/* Of a query string: `text` is NULL where the parameter is missing. Then the limit is the default one, the
 * time 0. */
bool input_limit(const char *text, uint32_t *limit, struct problem *problem);
bool input_hash(const char *text, uint8_t hash[PAYMENT_HASH_SIZE], struct problem *problem);
bool input_address(const char *text, struct address *address, struct problem *problem);
bool input_delivery_state(const char *text, enum delivery_state *state, struct problem *problem);
/* 0: the current one. */
bool input_version(const char *text, uint64_t *version, struct problem *problem);
bool input_device_state(const char *text, enum device_state *state, struct problem *problem);
/* [from, to): RFC 3339 or milliseconds. */
bool input_range(const char *from, const char *to, int64_t *from_ms, int64_t *to_ms, struct problem *problem);

#endif
