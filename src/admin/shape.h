/*
 * shape: the JSON in which things are shown, over HTTP and on the command line.
 * Any thread. What is returned is owned by the caller.
 */
#ifndef COINSLOT_ADMIN_SHAPE_H
#define COINSLOT_ADMIN_SHAPE_H

#include <jansson.h>

#include "store/reader.h"
#include "store/reconcile.h"
#include "store/store.h"

/* Takes `value`; ends the process when memory has run out, as cs_alloc does. */
void shape_put(json_t *object, const char *name, json_t *value);

void shape_append(json_t *array, json_t *value);

json_t *shape_time(int64_t wall_ms);        /* RFC 3339; null for 0 */
json_t *shape_amount(struct amount amount); /* raw */
json_t *shape_device(const struct store_device *device);
json_t *shape_subscription(const struct store_subscription *subscription,
                           const struct store_completeness *completeness);
json_t *shape_completeness(const struct store_completeness *completeness);
/* The last block on the account's chain up to which all that was received is in the store; null where nothing was asked yet, or received. */
void shape_put_mark(json_t *completeness, const struct reader_watched *watched);
json_t *shape_address(const struct address *address);
json_t *shape_api_token(const struct store_api_token *token);
json_t *shape_delivery(const struct reader_delivery *row);
json_t *shape_payment(const struct reader_payment *row);

json_t *shape_config(const struct reader_config *config);

/* [current, next]: what devices pin. */
json_t *shape_relay_keys(struct store *store);
/* {"version":…,"epoch":…,"relay_keys":…} */
json_t *shape_relay(struct store *store);

/* {"items": items, "next": cursor or null}; takes `items`. */
json_t *shape_page(json_t *items, const char *next);

#endif
