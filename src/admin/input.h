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

/* Of an object from outside: the fields that a caller gives; the rest is left zero. */
bool input_device(json_t *body, struct store_device *device, struct problem *problem);
bool input_subscription(json_t *body, struct store_subscription *subscription, struct problem *problem);
bool input_api_token(json_t *body, struct store_api_token *token, struct problem *problem);

/* Of a query string: `text` is NULL where the parameter is missing. Then the limit is the default one, the
 * time 0. */
bool input_limit(const char *text, uint32_t *limit, struct problem *problem);
bool input_hash(const char *text, uint8_t hash[PAYMENT_HASH_SIZE], struct problem *problem);
bool input_address(const char *text, struct address *address, struct problem *problem);
bool input_delivery_state(const char *text, enum delivery_state *state, struct problem *problem);
bool input_device_state(const char *text, enum device_state *state, struct problem *problem);
/* [from, to): RFC 3339 or milliseconds. */
bool input_range(const char *from, const char *to, int64_t *from_ms, int64_t *to_ms, struct problem *problem);

#endif
