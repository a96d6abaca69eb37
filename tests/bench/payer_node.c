/*
 * Who pays is a Nano node on whose WebSocket the relay has subscribed: it answers subscribe, update and ping, and tells of confirmations.
 * Nobody answers those: each counts as answered once it is written, so that their order has to be kept.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "bench/bench.h"
#include "bench/ws.h"

#define UNSENT_MOST (1u << 20) /* bytes that may wait in our buffer: the rest waits with who pays */

struct node {
    struct bench *bench;
    struct link link;
    bool upgraded;
    uint32_t accounts; /* that were subscribed to */
};

static uint32_t count_accounts(const json_t *options)
{
    return (uint32_t)(json_array_size(json_object_get(options, "accounts")) +
                      json_array_size(json_object_get(options, "accounts_add")));
}

static void answer(struct node *node, const uint8_t *text, size_t length)
{
    char reply[256], why[JSON_ERROR_SIZE];
    json_t *request = json_read((const char *)text, length, 8, why);
    const char *action = json_text(request, "action"), *id = json_text(request, "id");
    if (action == NULL) {
        bench_die("the relay's request has no action: %.*s", (int)length, (const char *)text);
    }
    int size =
        snprintf(reply, sizeof(reply), "{\n    \"ack\": \"%s\",\n    \"time\": \"1795193429732\"%s%s%s\n}\n",
                 strcmp(action, "ping") == 0 ? "pong" : action, id != NULL ? ",\n    \"id\": \"" : "",
                 id != NULL ? id : "", id != NULL ? "\"" : "");
    ws_send(&node->link, false, WS_TEXT, reply, (size_t)size);
    node->accounts += count_accounts(json_object_get(request, "options"));
    json_decref(request);
}

static size_t heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct node *node = link->owner;
    size_t used = 0, size;
    if (!node->upgraded) {
        used = ws_head_length(bytes, length);
        if (used > 0) {
            ws_upgrade(link, bytes, used);
            node->upgraded = true;
        }
        return used;
    }
    struct ws_frame frame;
    while ((size = ws_take((uint8_t *)(uintptr_t)bytes + used, length - used, &frame)) > 0) {
        used += size;
        if (frame.opcode == WS_TEXT) {
            answer(node, frame.payload, frame.length);
        } else if (frame.opcode == WS_PING) {
            ws_send(link, false, WS_PONG, frame.payload, frame.length);
        }
    }
    return used;
}

static void closed(struct link *link, const char *why)
{
    (void)link;
    bench_die("the relay's connection to the node was lost: %s", why);
}

static const struct link_calls CALLS = {.heard = heard, .closed = closed};

static struct link *accept_relay(void *context)
{
    struct node *node = context;
    node->link.calls = &CALLS;
    node->link.owner = node;
    return node->link.open ? NULL : &node->link;
}

static void *node_open(struct bench *bench)
{
    struct node *node = cs_alloc(sizeof(*node));
    node->bench = bench;
    loop_listen(bench->loop, bench->options.payer_port, accept_relay, node);
    return node;
}

static bool node_pay(void *payer, uint32_t payment)
{
    struct node *node = payer;
    if (node->accounts < node->bench->options.devices || node->link.out.length > UNSENT_MOST) {
        return false;
    }
    size_t length;
    const uint8_t *body = payments_body(node->bench->payments, payment, &length);
    ws_send(&node->link, false, WS_TEXT, body, length);
    return true;
}

const struct payer_kind PAYER_NODE = {.open = node_open, .pay = node_pay, .unanswered = true};
