/* Redis Streams: who pays does XADD; each device has a stream and a group, waits in XREADGROUP, and does XACK. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bench/bench.h"
#include "bench/resp.h"

#define PAGE "64" /* entries in one XREADGROUP: as many as a session of coinslot.v1 may have out */

static void stream_name(const struct bench *bench, uint32_t device, char name[16])
{
    snprintf(name, 16, bench->options.everybody ? "all" : "d%u", device);
}

/* ---- who pays -------------------------------------------------------------------------------------- */

struct line {
    struct link link;
    struct redis_payer *payer;
    uint32_t *payments; /* under way, a ring */
    uint32_t first, count;
};

struct redis_payer {
    struct bench *bench;
    struct line *lines;
    uint32_t turn; /* which one is next */
};

static size_t payer_heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct line *line = link->owner;
    struct bench *bench = line->payer->bench;
    size_t used = 0, size;
    while ((size = resp_length(bytes + used, length - used)) > 0) {
        if (bytes[used] != '$') {
            bench_die("Redis has refused a payment: %.*s", (int)size, (const char *)bytes + used);
        }
        used += size;
        if (line->count == 0) {
            bench_die("Redis answered what nobody asked");
        }
        uint32_t payment = line->payments[line->first];
        line->first = (line->first + 1) % bench->options.depth;
        line->count--;
        bench_answered(bench, payment, true);
    }
    return used;
}

static void payer_closed(struct link *link, const char *why)
{
    (void)link;
    bench_die("Redis has closed who pays: %s", why);
}

static const struct link_calls PAYER_CALLS = {.heard = payer_heard, .closed = payer_closed};

static void *payer_open(struct bench *bench)
{
    struct redis_payer *payer = cs_alloc(sizeof(*payer));
    payer->bench = bench;
    payer->lines = cs_alloc(bench->options.connections * sizeof(struct line));
    for (uint32_t i = 0; i < bench->options.connections; i++) {
        struct line *line = &payer->lines[i];
        line->payer = payer;
        line->payments = cs_alloc(bench->options.depth * sizeof(uint32_t));
        link_dial(bench->loop, &line->link, bench->options.payer_port, &PAYER_CALLS, line);
    }
    return payer;
}

static bool payer_pay(void *context, uint32_t payment)
{
    struct redis_payer *payer = context;
    struct bench *bench = payer->bench;
    struct line *line = NULL;
    for (uint32_t i = 0; i < bench->options.connections && line == NULL; i++) {
        struct line *next = &payer->lines[payer->turn++ % bench->options.connections];
        line = next->count < bench->options.depth ? next : NULL;
    }
    if (line == NULL) {
        return false;
    }
    char name[16];
    size_t length;
    const uint8_t *body = payments_body(bench->payments, payment, &length);
    stream_name(bench, payments_device(bench->payments, payment), name);
    link_print(&line->link, "*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$1\r\nb\r\n$%zu\r\n", strlen(name),
               name, length);
    link_write(&line->link, body, length);
    link_write(&line->link, "\r\n", 2);
    line->payments[(line->first + line->count++) % bench->options.depth] = payment;
    return true;
}

const struct payer_kind PAYER_REDIS = {.open = payer_open, .pay = payer_pay};

/* ---- the devices ----------------------------------------------------------------------------------- */

struct reader {
    struct link link;
    struct readers *readers;
    uint32_t number;
    bool ready;
    char stream[16], group[16];
};

struct readers {
    struct bench *bench;
    struct reader *all;
};

static void wait_for_more(struct reader *reader)
{
    link_print(
        &reader->link,
        "*11\r\n$10\r\nXREADGROUP\r\n$5\r\nGROUP\r\n$%zu\r\n%s\r\n$1\r\nc\r\n$5\r\nCOUNT\r\n$2\r\n" PAGE
        "\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n$%zu\r\n%s\r\n$1\r\n>\r\n",
        strlen(reader->group), reader->group, strlen(reader->stream), reader->stream);
}

/* [[stream, [[id, ["b", body]], …]]] */
static void take_entries(struct reader *reader, const uint8_t *bytes, size_t length)
{
    struct bench *bench = reader->readers->bench;
    struct resp resp = {bytes, bytes + length};
    struct resp_value value, id;
    for (int i = 0; i < 4; i++) {
        (void)resp_next(&resp, &value);
    }
    int64_t count = value.number;
    link_print(&reader->link, "*%lld\r\n$4\r\nXACK\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", (long long)count + 3,
               strlen(reader->stream), reader->stream, strlen(reader->group), reader->group);
    for (int64_t i = 0; i < count; i++) {
        (void)resp_next(&resp, &value);
        (void)resp_next(&resp, &id);
        resp_argument(&reader->link, id.at, (size_t)id.number);
        for (int field = 0; field < 3; field++) {
            (void)resp_next(&resp, &value);
        }
        bench_received(bench, payments_find_in(bench->payments, value.at, (size_t)value.number),
                       reader->number);
    }
    bench->acks_wanted += (uint64_t)count;
    wait_for_more(reader);
}

/* What answers XGROUP: OK, or that the group is there already. */
static void become_ready(struct reader *reader, const uint8_t *bytes, size_t length)
{
    if (bytes[0] != '+' && strncmp((const char *)bytes, "-BUSYGROUP", 10) != 0) {
        bench_die("device %u: %.*s", reader->number, (int)length, (const char *)bytes);
    }
    reader->ready = true;
    bench_ready(reader->readers->bench, reader->number);
    wait_for_more(reader);
}

static size_t reader_heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct reader *reader = link->owner;
    size_t used = 0, size;
    while ((size = resp_length(bytes + used, length - used)) > 0) {
        const uint8_t *reply = bytes + used;
        used += size;
        if (!reader->ready) {
            become_ready(reader, reply, size);
        } else if (reply[0] == ':') {
            reader->readers->bench->acks_had += strtoull((const char *)reply + 1, NULL, 10);
        } else if (reply[0] == '*') {
            take_entries(reader, reply, size);
        } else {
            bench_die("device %u: %.*s", reader->number, (int)size, (const char *)reply);
        }
    }
    return used;
}

static void reader_opened(struct link *link)
{
    struct reader *reader = link->owner;
    link_print(
        link,
        "*6\r\n$6\r\nXGROUP\r\n$6\r\nCREATE\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$1\r\n0\r\n$8\r\nMKSTREAM\r\n",
        strlen(reader->stream), reader->stream, strlen(reader->group), reader->group);
}

static void reader_closed(struct link *link, const char *why)
{
    struct reader *reader = link->owner;
    bench_die("device %u lost its connection: %s", reader->number, why);
}

static const struct link_calls READER_CALLS = {
    .opened = reader_opened, .heard = reader_heard, .closed = reader_closed};

static void *readers_open(struct bench *bench)
{
    struct readers *readers = cs_alloc(sizeof(*readers));
    readers->bench = bench;
    readers->all = cs_alloc(bench->options.devices * sizeof(struct reader));
    for (uint32_t i = 0; i < bench->options.devices; i++) {
        struct reader *reader = &readers->all[i];
        reader->readers = readers;
        reader->number = i;
        stream_name(bench, i, reader->stream);
        snprintf(reader->group, sizeof(reader->group), "g%u", i);
    }
    return readers;
}

static void reader_connect(void *devices, uint32_t number)
{
    struct readers *readers = devices;
    struct reader *reader = &readers->all[number];
    reader->ready = false;
    link_dial(readers->bench->loop, &reader->link, readers->bench->options.device_port, &READER_CALLS,
              reader);
}

static void reader_leave(void *devices, uint32_t number)
{
    link_drop(&((struct readers *)devices)->all[number].link);
}

const struct device_kind DEVICE_REDIS = {
    .open = readers_open, .connect = reader_connect, .leave = reader_leave, .needs_visit = true};
