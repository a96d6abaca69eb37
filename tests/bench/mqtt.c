/* mosquitto: MQTT 3.1.1 (OASIS), QoS 1, persistent sessions; a topic for each device. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bench/bench.h"

enum packet { CONNECT = 1, CONNACK, PUBLISH, PUBACK, SUBSCRIBE = 8, SUBACK };

#define FLAG_QOS1 0x02
#define IDS       65536u

static void topic_name(const struct bench *bench, uint32_t device, char name[16])
{
    snprintf(name, 16, bench->options.everybody ? "all" : "d/%u", device);
}

/* ---- packets --------------------------------------------------------------------------------------- */

struct frame {
    unsigned type, flags;
    const uint8_t *body;
    size_t length;
};

/* The bytes that the first packet takes, 0 when it is not whole yet. */
static size_t take_packet(const uint8_t *bytes, size_t length, struct frame *frame)
{
    size_t size = 0, at = 1;
    for (unsigned shift = 0;; shift += 7) {
        if (at >= length || shift > 21) {
            return 0;
        }
        size |= (size_t)(bytes[at] & 0x7F) << shift;
        if (!(bytes[at++] & 0x80)) {
            break;
        }
    }
    if (length < at + size) {
        return 0;
    }
    *frame = (struct frame){bytes[0] >> 4, bytes[0] & 0xF, bytes + at, size};
    return at + size;
}

static void put_head(struct link *link, enum packet packet, unsigned flags, size_t length)
{
    uint8_t head[5] = {(uint8_t)((unsigned)packet << 4 | flags)};
    size_t at = 1;
    do {
        head[at] = (uint8_t)(length & 0x7F);
        length >>= 7;
        head[at++] |= length > 0 ? 0x80 : 0;
    } while (length > 0);
    link_write(link, head, at);
}

static void put_number(struct link *link, size_t number)
{
    link_write(link, (const uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

static void put_text(struct link *link, const char *text)
{
    put_number(link, strlen(text));
    link_write(link, text, strlen(text));
}

static void put_connect(struct link *link, const char *client, bool clean)
{
    put_head(link, CONNECT, 0, 10 + 2 + strlen(client));
    put_text(link, "MQTT");
    link_write(link, (const uint8_t[]){4, clean ? 2 : 0, 0, 0}, 4); /* level, flags, no keep-alive */
    put_text(link, client);
}

static uint16_t number_at(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void expect(const struct frame *frame, enum packet packet, size_t least)
{
    if (frame->type != (unsigned)packet || frame->length < least) {
        bench_die("mosquitto sent a packet of type %u for one of type %u", frame->type, (unsigned)packet);
    }
}

/* ---- who pays -------------------------------------------------------------------------------------- */

struct line {
    struct link link;
    struct mqtt_payer *payer;
    bool ready;
    uint32_t under_way, ids;
    uint32_t *payments; /* by packet id */
};

struct mqtt_payer {
    struct bench *bench;
    struct line *lines;
    uint32_t turn;
};

static size_t payer_heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct line *line = link->owner;
    struct frame frame;
    size_t used = 0, size;
    while ((size = take_packet(bytes + used, length - used, &frame)) > 0) {
        used += size;
        if (!line->ready) {
            expect(&frame, CONNACK, 2);
            line->ready = frame.body[1] == 0;
            continue;
        }
        expect(&frame, PUBACK, 2);
        uint32_t *payment = &line->payments[number_at(frame.body)], answered = *payment;
        *payment = PAYMENTS_NONE;
        line->under_way--;
        bench_answered(line->payer->bench, answered, true);
    }
    return used;
}

static void payer_opened(struct link *link)
{
    struct line *line = link->owner;
    char name[32];
    snprintf(name, sizeof(name), "payer%zu", (size_t)(line - line->payer->lines));
    put_connect(link, name, true);
}

static void payer_closed(struct link *link, const char *why)
{
    (void)link;
    bench_die("mosquitto has closed who pays: %s", why);
}

static const struct link_calls PAYER_CALLS = {
    .opened = payer_opened, .heard = payer_heard, .closed = payer_closed};

static void *payer_open(struct bench *bench)
{
    struct mqtt_payer *payer = cs_alloc(sizeof(*payer));
    payer->bench = bench;
    payer->lines = cs_alloc(bench->options.connections * sizeof(struct line));
    for (uint32_t i = 0; i < bench->options.connections; i++) {
        struct line *line = &payer->lines[i];
        line->payer = payer;
        line->payments = cs_alloc(IDS * sizeof(uint32_t));
        for (uint32_t id = 0; id < IDS; id++) {
            line->payments[id] = PAYMENTS_NONE;
        }
        link_dial(bench->loop, &line->link, bench->options.payer_port, &PAYER_CALLS, line);
    }
    return payer;
}

static bool payer_pay(void *context, uint32_t payment)
{
    struct mqtt_payer *payer = context;
    struct bench *bench = payer->bench;
    struct line *line = NULL;
    for (uint32_t i = 0; i < bench->options.connections && line == NULL; i++) {
        struct line *next = &payer->lines[payer->turn++ % bench->options.connections];
        line = next->ready && next->under_way < bench->options.depth ? next : NULL;
    }
    if (line == NULL) {
        return false;
    }
    do {
        line->ids = line->ids % (IDS - 1) + 1; /* 0 is no packet id */
    } while (line->payments[line->ids] != PAYMENTS_NONE);
    char topic[16];
    size_t length;
    const uint8_t *body = payments_body(bench->payments, payment, &length);
    topic_name(bench, payments_device(bench->payments, payment), topic);
    put_head(&line->link, PUBLISH, FLAG_QOS1, 2 + strlen(topic) + 2 + length);
    put_text(&line->link, topic);
    put_number(&line->link, line->ids);
    link_write(&line->link, body, length);
    line->payments[line->ids] = payment;
    line->under_way++;
    return true;
}

const struct payer_kind PAYER_MQTT = {.open = payer_open, .pay = payer_pay};

/* ---- the devices ----------------------------------------------------------------------------------- */

struct subscriber {
    struct link link;
    struct subscribers *subscribers;
    uint32_t number;
    bool connected;
};

struct subscribers {
    struct bench *bench;
    struct subscriber *all;
};

static void subscribe(struct subscriber *subscriber)
{
    char topic[16];
    topic_name(subscriber->subscribers->bench, subscriber->number, topic);
    put_head(&subscriber->link, SUBSCRIBE, 2, 2 + 2 + strlen(topic) + 1);
    put_number(&subscriber->link, 1);
    put_text(&subscriber->link, topic);
    link_write(&subscriber->link, (const uint8_t[]){1}, 1); /* QoS */
}

static void take_publish(struct subscriber *subscriber, const struct frame *frame)
{
    struct bench *bench = subscriber->subscribers->bench;
    size_t topic = frame->length >= 2 ? number_at(frame->body) : 0;
    if (frame->length < 2 + topic + 2 || (frame->flags & 0x6) != FLAG_QOS1) {
        bench_die("device %u got a message that is not of QoS 1", subscriber->number);
    }
    const uint8_t *id = frame->body + 2 + topic, *body = id + 2;
    put_head(&subscriber->link, PUBACK, 0, 2);
    link_write(&subscriber->link, id, 2);
    bench_received(bench,
                   payments_find_in(bench->payments, body, (size_t)(frame->body + frame->length - body)),
                   subscriber->number);
}

static void take(struct subscriber *subscriber, const struct frame *frame)
{
    if (frame->type == PUBLISH) { /* with a session that was there before, even before the SUBACK */
        take_publish(subscriber, frame);
    } else if (!subscriber->connected) {
        expect(frame, CONNACK, 2);
        subscriber->connected = true;
        if (frame->body[1] != 0) {
            bench_die("mosquitto has refused device %u: %u", subscriber->number, frame->body[1]);
        }
        if (frame->body[0] & 1) { /* its session is there, and its subscription in it */
            bench_ready(subscriber->subscribers->bench, subscriber->number);
        } else {
            subscribe(subscriber);
        }
    } else {
        expect(frame, SUBACK, 3);
        bench_ready(subscriber->subscribers->bench, subscriber->number);
    }
}

static size_t subscriber_heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct frame frame;
    size_t used = 0, size;
    while ((size = take_packet(bytes + used, length - used, &frame)) > 0) {
        used += size;
        take(link->owner, &frame);
    }
    return used;
}

static void subscriber_opened(struct link *link)
{
    struct subscriber *subscriber = link->owner;
    char name[32];
    snprintf(name, sizeof(name), "device%u", subscriber->number);
    put_connect(link, name, false);
}

static void subscriber_closed(struct link *link, const char *why)
{
    struct subscriber *subscriber = link->owner;
    bench_die("device %u lost its connection: %s", subscriber->number, why);
}

static const struct link_calls SUBSCRIBER_CALLS = {
    .opened = subscriber_opened, .heard = subscriber_heard, .closed = subscriber_closed};

static void *subscribers_open(struct bench *bench)
{
    struct subscribers *subscribers = cs_alloc(sizeof(*subscribers));
    subscribers->bench = bench;
    subscribers->all = cs_alloc(bench->options.devices * sizeof(struct subscriber));
    for (uint32_t i = 0; i < bench->options.devices; i++) {
        subscribers->all[i].subscribers = subscribers;
        subscribers->all[i].number = i;
    }
    return subscribers;
}

static void subscriber_connect(void *devices, uint32_t number)
{
    struct subscribers *subscribers = devices;
    struct subscriber *subscriber = &subscribers->all[number];
    subscriber->connected = false;
    link_dial(subscribers->bench->loop, &subscriber->link, subscribers->bench->options.device_port,
              &SUBSCRIBER_CALLS, subscriber);
}

static void subscriber_leave(void *devices, uint32_t number)
{
    /* Without a DISCONNECT the session stays just as well (3.1.2.4); a will it has none. */
    link_drop(&((struct subscribers *)devices)->all[number].link);
}

const struct device_kind DEVICE_MQTT = {
    .open = subscribers_open, .connect = subscriber_connect, .leave = subscriber_leave, .needs_visit = true};
