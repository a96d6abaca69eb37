#include "admin/shape.h"

#include <sodium.h>
#include <string.h>

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

json_t *shape_amount(struct amount amount)
{
    char text[AMOUNT_RAW_SIZE];
    amount_format_raw(amount, text);
    return json_string(text);
}

static json_t *said(int64_t value)
{
    return value == INT64_MIN ? json_null() : json_integer(value);
}

/* A device says what it likes, and it was cut to fit: what is left of it that is UTF-8. */
static json_t *shape_firmware(const char *text)
{
    json_t *value = NULL;
    for (size_t length = strlen(text); length > 0 && value == NULL; length--) {
        value = json_stringn(text, length);
    }
    return value == NULL ? json_null() : value;
}

/* What a device last said of itself; null before it did. */
static json_t *shape_status(const struct store_status *status)
{
    if (status->at_ms == 0) {
        return json_null();
    }
    json_t *object = json_object();
    shape_put(object, "at", shape_time(status->at_ms));
    shape_put(object, "firmware", shape_firmware(status->firmware));
    shape_put(object, "uptime_s", said(status->uptime_s));
    shape_put(object, "rssi", said(status->rssi));
    shape_put(object, "relay_on", status->relay_on < 0 ? json_null() : json_boolean(status->relay_on));
    shape_put(object, "remaining_s", said(status->remaining_s));
    shape_put(object, "config_version", number(status->config_version));
    return object;
}

static json_t *shape_warnings(const struct store_device *device)
{
    json_t *warnings = json_array();
    if (device->duplicate_credential) {
        shape_append(warnings, json_string("duplicate_credential"));
    }
    if (device->rolled_back) {
        shape_append(warnings, json_string("store_rolled_back"));
    }
    return warnings;
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
    shape_put(object, "config_version", number(device->config_version));
    shape_put(object, "last_seen_at", shape_time(device->last_seen_ms));
    shape_put(object, "status", shape_status(&device->status));
    shape_put(object, "warnings", shape_warnings(device));
    shape_put(object, "created_at", shape_time(device->created_at_ms));
    shape_put(object, "retired_at", shape_time(device->retired_at_ms));
    return object;
}

json_t *shape_address(const struct address *address)
{
    if (address->length == 0) {
        return json_null();
    }
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    return json_string(text);
}

json_t *shape_completeness(const struct store_completeness *completeness)
{
    json_t *object = json_object();
    bool proven = completeness->proven;
    shape_put(object, "proven", json_boolean(proven));
    shape_put(object, "complete_as_of", shape_time(completeness->complete_at_ms));
    shape_put(object, "reason", proven ? json_null() : json_string(completeness->why));
    shape_put(object, "unproven_since", shape_time(proven ? 0 : completeness->since_ms));
    return object;
}

void shape_put_mark(json_t *completeness, const struct reader_watched *watched)
{
    bool opened = watched->has_mark && watched->mark.height > 0;
    char frontier[PAYMENT_HASH_TEXT];
    hex_encode_upper(watched->mark.frontier, sizeof watched->mark.frontier, frontier);
    shape_put(completeness, "frontier", opened ? json_string(frontier) : json_null());
    shape_put(completeness, "height",
              watched->has_mark ? json_integer((json_int_t)watched->mark.height) : json_null());
}

json_t *shape_subscription(const struct store_subscription *subscription,
                           const struct store_completeness *completeness)
{
    json_t *object = json_object();
    shape_put(object, "id", json_string(subscription->id));
    shape_put(object, "device", json_string(subscription->device));
    shape_put(object, "chain", json_string(chain_text((enum chain)subscription->address.chain)));
    shape_put(object, "address", shape_address(&subscription->address));
    shape_put(object, "minimum", shape_amount(subscription->minimum));
    shape_put(object, "created_at", shape_time(subscription->created_at_ms));
    shape_put(object, "since", shape_time(subscription->since_ms));
    shape_put(object, "completeness", shape_completeness(completeness));
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

json_t *shape_config(const struct reader_config *config)
{
    json_t *object = json_object(), *body = json_loads(config->body, 0, NULL);
    if (body == NULL) {
        log_die("admin", "a stored config is no JSON; run `coinslot check --full`");
    }
    shape_put(object, "version", number(config->version));
    shape_put(object, "config", body);
    shape_put(object, "created_at", shape_time(config->created_at_ms));
    return object;
}

json_t *shape_relay_keys(struct store *store)
{
    uint8_t now[32], next[32], again[32], secret[64];
    do { /* a roll in between would tear the pair apart */
        store_relay_key(store, 0, now, secret);
        store_relay_key(store, 1, next, secret);
        store_relay_key(store, 0, again, secret);
    } while (memcmp(now, again, sizeof now) != 0);
    sodium_memzero(secret, sizeof secret);
    char text[2 * sizeof now + 1];
    json_t *keys = json_array();
    hex_encode_lower(now, sizeof now, text);
    shape_append(keys, json_string(text));
    hex_encode_lower(next, sizeof next, text);
    shape_append(keys, json_string(text));
    return keys;
}

json_t *shape_relay(struct store *store)
{
    json_t *object = json_object();
    shape_put(object, "version", json_string(COINSLOT_VERSION));
    shape_put(object, "epoch", json_string(store_epoch(store)));
    shape_put(object, "relay_keys", shape_relay_keys(store));
    return object;
}

json_t *shape_page(json_t *items, const char *next)
{
    json_t *object = json_object();
    shape_put(object, "items", items);
    shape_put(object, "next", text_or_null(next));
    return object;
}
