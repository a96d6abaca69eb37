#include "simulate/director_orders.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "payment/address.h"
#include "simulate/mimic_call.h"

uint64_t director_number(const json_t *request, const char *key, uint64_t fallback, uint64_t most,
                         const char **error)
{
    const char *text = tree_text(request, key);
    uint64_t number = fallback;
    if (text != NULL && (!mimic_read_unsigned(text, &number) || number > most)) {
        *error = "a number is none, or too big";
    }
    return number;
}

static bool read_account(const char *text, uint8_t key[32])
{
    struct address address;
    if (!address_parse(CHAIN_NANO, text, &address)) {
        return false;
    }
    memcpy(key, address.bytes, 32);
    return true;
}

static bool read_accounts(struct director_order *order, const json_t *request, const char *key)
{
    const json_t *value = json_object_get(request, key);
    bool listed = json_is_array(value);
    order->account_count = listed ? json_array_size(value) : 1;
    if (value == NULL || order->account_count == 0) {
        return false;
    }
    order->accounts = cs_alloc(order->account_count * sizeof(order->accounts[0]));
    for (size_t i = 0; i < order->account_count; i++) {
        if (!read_account(tree_data(listed ? json_array_get(value, i) : value), order->accounts[i])) {
            return false;
        }
    }
    return true;
}

/* "callback", "ws", both with a comma between, or "none"; without it everybody hears. */
bool director_read_announce(struct world_order *order, const json_t *request, const char **error)
{
    const char *announce = tree_text(request, "announce"), *why = tree_text(request, "why");
    if (announce == NULL || strcmp(announce, "callback,ws") == 0 || strcmp(announce, "ws,callback") == 0) {
        order->channels = WORLD_CALLBACK | WORLD_WS;
    } else if (strcmp(announce, "callback") == 0) {
        order->channels = WORLD_CALLBACK;
    } else if (strcmp(announce, "ws") == 0) {
        order->channels = WORLD_WS;
    } else if (strcmp(announce, "none") == 0) {
        order->channels = 0;
    } else {
        *error = "`announce` takes callback, ws, callback,ws or none";
    }
    if (why != NULL && strcmp(why, "active_quorum") == 0) {
        order->why = WORLD_QUORUM;
    } else if (why != NULL && strcmp(why, "active_confirmation_height") == 0) {
        order->why = WORLD_HEIGHT;
    } else if (why != NULL && strcmp(why, "inactive") == 0) {
        order->why = WORLD_INACTIVE;
    } else if (why != NULL) {
        *error = "`why` takes active_quorum, active_confirmation_height or inactive";
    }
    return *error == NULL;
}

bool director_order_read(struct director_order *order, const json_t *request, const char *key,
                         const char **error)
{
    *order = (struct director_order){.style = NETWORK_STATE};
    const char *from = tree_text(request, "from"), *amount = tree_text(request, "amount");
    const char *style = tree_text(request, "style");
    order->order.confirmed = tree_flag(request, "confirmed", true);
    order->order.active = tree_flag(request, "active", true);
    order->amount = (struct amount){0, 1};
    if (!director_read_announce(&order->order, request, error)) {
        return false;
    }
    if (!read_accounts(order, request, key)) {
        *error = "an account is missing, or is none";
    } else if (from != NULL && !(order->has_from = read_account(from, order->from))) {
        *error = "`from` is no account";
    } else if (amount != NULL &&
               (!amount_parse_raw(amount, &order->amount) || amount_is_zero(order->amount))) {
        *error = "`amount` takes raw";
    } else if (style != NULL && strcmp(style, "state") != 0 && strcmp(style, "legacy") != 0) {
        *error = "`style` takes state or legacy";
    } else {
        order->style = style != NULL && strcmp(style, "legacy") == 0 ? NETWORK_LEGACY : NETWORK_STATE;
        return true;
    }
    director_order_fini(order);
    return false;
}

void director_order_fini(struct director_order *order)
{
    free(order->accounts);
    order->accounts = NULL;
}
