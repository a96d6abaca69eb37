/* Clients of the original server: they name their address, and get what the node said, verbatim. Nothing is acked. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bench/bench.h"
#include "bench/ws.h"

struct client {
    struct link link;
    struct clients *clients;
    uint32_t number;
    bool upgraded;
};

struct clients {
    struct bench *bench;
    struct client *all;
};

/* The server says nothing to who registers; it has taken it once a ping that came after it is answered. */
static void register_address(struct client *client)
{
    char text[256], address[ADDRESS_TEXT_SIZE];
    struct address own = payments_address(client->number, client->clients->bench->options.everybody);
    address_format(&own, address);
    int length = snprintf(text, sizeof(text), "{\"address\":\"%s\",\"api_key\":\"0\"}", address);
    ws_send(&client->link, true, WS_TEXT, text, (size_t)length);
    ws_send(&client->link, true, WS_PING, "", 0);
}

static size_t heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct client *client = link->owner;
    struct bench *bench = client->clients->bench;
    struct ws_frame frame;
    size_t used = 0, size;
    if (!client->upgraded) {
        used = ws_head_length(bytes, length);
        if (used == 0) {
            return 0;
        }
        if (memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
            bench_die("client %u was refused: %.*s", client->number, (int)used, (const char *)bytes);
        }
        client->upgraded = true;
        register_address(client);
    }
    while ((size = ws_take((uint8_t *)(uintptr_t)bytes + used, length - used, &frame)) > 0) {
        used += size;
        if (frame.opcode == WS_TEXT) {
            bench_received(bench, payments_find_in(bench->payments, frame.payload, frame.length),
                           client->number);
        } else if (frame.opcode == WS_PONG) {
            bench_ready(bench, client->number);
        } else if (frame.opcode == WS_PING) {
            ws_send(link, true, WS_PONG, frame.payload, frame.length);
        }
    }
    return used;
}

static void opened(struct link *link)
{
    ws_ask_upgrade(link, "/call", NULL);
}

static void closed(struct link *link, const char *why)
{
    struct client *client = link->owner;
    bench_die("client %u lost its connection: %s", client->number, why);
}

static const struct link_calls CALLS = {.opened = opened, .heard = heard, .closed = closed};

static void *clients_open(struct bench *bench)
{
    struct clients *clients = cs_alloc(sizeof(*clients));
    clients->bench = bench;
    clients->all = cs_alloc(bench->options.devices * sizeof(struct client));
    for (uint32_t i = 0; i < bench->options.devices; i++) {
        clients->all[i].clients = clients;
        clients->all[i].number = i;
    }
    return clients;
}

static void client_connect(void *devices, uint32_t number)
{
    struct clients *clients = devices;
    struct client *client = &clients->all[number];
    link_dial(clients->bench->loop, &client->link, clients->bench->options.device_port, &CALLS, client);
}

const struct device_kind DEVICE_LEGACY = {.open = clients_open, .connect = client_connect};
