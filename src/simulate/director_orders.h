/*
 * control_orders: what the words of `simulate` have in common: to whom, how, and who hears of it. Internal to director*.c.
 */
#ifndef COINSLOT_SIMULATE_DIRECTOR_ORDERS_H
#define COINSLOT_SIMULATE_DIRECTOR_ORDERS_H

#include <jansson.h>
#include <stdbool.h>

#include "simulate/world.h"

struct director_order {
    uint8_t (*accounts)[32]; /* at least one */
    size_t account_count;
    bool has_from;
    uint8_t from[32];
    struct amount amount; /* of a payment */
    enum network_style style;
    struct world_order order;
};

/* `key` names the field with one account or a list of them. False: `error` says what is wrong; nothing is to be freed. */
bool director_order_read(struct director_order *order, const json_t *request, const char *key,
                         const char **error);
void director_order_fini(struct director_order *order);

/* `announce` and `why` alone. */
bool director_read_announce(struct world_order *order, const json_t *request, const char **error);

/* `fallback` where it is missing. */
uint64_t director_number(const json_t *request, const char *key, uint64_t fallback, uint64_t most,
                         const char **error);

#endif
