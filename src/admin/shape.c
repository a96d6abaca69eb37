#include "admin/shape.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

void shape_put(json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0) {
        log_die("admin", "out of memory, or %s is no valid UTF-8", name);
    }
}

void shape_append(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0) {
        log_die("admin", "out of memory, or a text is no valid UTF-8");
    }
}

static json_t *text_or_null(const char *text)
{
    return text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *shape_time(int64_t wall_ms)
{
    if (wall_ms == 0) {
        return json_null();
    }
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(wall_ms, text);
    return json_string(text);
}

json_t *shape_device(const struct store_device *device)
{
    json_t *object = json_object();
    shape_put(object, "id", json_string(device->id));
    shape_put(object, "name", json_string(device->name));
    shape_put(object, "auth", json_string(device_auth_text(device->auth)));
    shape_put(object, "state", json_string(device_state_text(device->state)));
    shape_put(object, "connected", json_boolean(device->connected));
    shape_put(object, "expire_after_s",
              device->expire_after_ms == 0 ? json_null() : json_integer(device->expire_after_ms / 1000));
    shape_put(object, "head_seq", number(device->head_seq));
    shape_put(object, "sent_seq", number(device->sent_seq));
    shape_put(object, "acked_seq", number(device->acked_seq));
    shape_put(object, "created_at", shape_time(device->created_at_ms));
    shape_put(object, "retired_at", shape_time(device->retired_at_ms));
    return object;
}

static json_t *shape_address(const struct address *address)
{
    if (address->length == 0) {
        return json_null();
    }
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    return json_string(text);
}

static json_t *shape_amount(struct amount amount)
{
    char text[AMOUNT_RAW_SIZE];
    amount_format_raw(amount, text);
    return json_string(text);
}

json_t *shape_subscription(const struct store_subscription *subscription)
{
    json_t *object = json_object();
    shape_put(object, "id", json_string(subscription->id));
    shape_put(object, "device", json_string(subscription->device));
    shape_put(object, "chain", json_string(chain_text((enum chain)subscription->address.chain)));
    shape_put(object, "address", shape_address(&subscription->address));
    shape_put(object, "minimum", shape_amount(subscription->minimum));
    shape_put(object, "created_at", shape_time(subscription->created_at_ms));
    return object;
}

json_t *shape_api_token(const struct store_api_token *token)
{
    json_t *object = json_object();
    shape_put(object, "id", json_string(token->id));
    shape_put(object, "name", json_string(token->name));
    shape_put(object, "role", json_string(store_role_text(token->role)));
    shape_put(object, "created_at", shape_time(token->created_at_ms));
    shape_put(object, "revoked_at", shape_time(token->revoked_at_ms));
    return object;
}

/* What the chain says of a payment: the same in a delivery and in a payment of its own. */
static json_t *shape_transfer(const struct payment *payment)
{
    char hash[PAYMENT_HASH_TEXT];
    hex_encode_upper(payment->hash, sizeof payment->hash, hash);
    json_t *object = json_object();
    shape_put(object, "chain", json_string(chain_text((enum chain)payment->to.chain)));
    shape_put(object, "hash", json_string(hash));
    shape_put(object, "output", number(payment->output));
    shape_put(object, "from", shape_address(&payment->from));
    shape_put(object, "to", shape_address(&payment->to));
    shape_put(object, "asset", text_or_null(payment->asset));
    shape_put(object, "amount", shape_amount(payment->amount));
    if (payment->to.chain == CHAIN_NANO) {
        char nano[AMOUNT_NANO_SIZE];
        amount_format_nano(payment->amount, nano);
        shape_put(object, "amount_nano", json_string(nano));
    }
    shape_put(object, "source", json_string(payment_source_text(payment->source)));
    shape_put(object, "node_time", shape_time(payment->node_time_ms));
    return object;
}

json_t *shape_delivery(const struct reader_delivery *row)
{
    const struct store_delivery *delivery = &row->delivery;
    enum delivery_state state = delivery->state;
    json_t *object = json_object();
    shape_put(object, "device", json_string(row->device));
    shape_put(object, "seq", number(delivery->seq));
    shape_put(object, "state", json_string(delivery_state_text(state)));
    shape_put(object, "payment", shape_transfer(&delivery->payment));
    shape_put(object, "stored_at", shape_time(delivery->stored_at_ms));
    shape_put(object, "sent_at", shape_time(row->sent_at_ms));
    shape_put(object, "acked_at", shape_time(row->acked_at_ms));
    shape_put(object, "actuated_at", shape_time(state == DELIVERY_ACTUATED ? row->final_at_ms : 0));
    shape_put(object, "refused_at", shape_time(state == DELIVERY_REFUSED ? row->final_at_ms : 0));
    shape_put(object, "expired_at", shape_time(state == DELIVERY_EXPIRED ? row->final_at_ms : 0));
    shape_put(object, "attempts", number(row->attempts));
    shape_put(object, "seconds", state == DELIVERY_ACTUATED ? number(row->seconds) : json_null());
    shape_put(object, "reason", text_or_null(delivery->reason));
    return object;
}

json_t *shape_payment(const struct reader_payment *row)
{
    json_t *object = shape_transfer(&row->payment);
    shape_put(object, "stored_at", shape_time(row->stored_at_ms));
    shape_put(object, "reversed_at", shape_time(row->reversed_at_ms));
    shape_put(object, "deliveries", number(row->deliveries));
    return object;
}

json_t *shape_page(json_t *items, const char *next)
{
    json_t *object = json_object();
    shape_put(object, "items", items);
    shape_put(object, "next", text_or_null(next));
    return object;
}
