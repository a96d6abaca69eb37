/* Who pays is a node that makes its callback: on connections that are kept, or with one for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "bench/bench.h"
#include "bench/ws.h"

#define REFUSALS_SHOWN 3

struct line {
    struct link link;
    struct http *http;
    uint32_t payment; /* PAYMENTS_NONE: idle */
};

struct http {
    struct bench *bench;
    struct line *lines, **idle;
    uint32_t idle_count, refusals;
    char head[256];
    size_t head_length;
};

static void become_idle(struct line *line)
{
    struct http *http = line->http;
    line->payment = PAYMENTS_NONE;
    http->idle[http->idle_count++] = line;
}

static size_t content_length(const uint8_t *head, size_t length)
{
    static const char name[] = "content-length:";
    for (size_t i = 0; i + sizeof(name) < length; i++) {
        if (head[i] == '\n' && strncasecmp((const char *)head + i + 1, name, sizeof(name) - 1) == 0) {
            return strtoul((const char *)head + i + sizeof(name), NULL, 10);
        }
    }
    bench_die("an answer without Content-Length");
}

static size_t heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct line *line = link->owner;
    struct http *http = line->http;
    size_t head = ws_head_length(bytes, length);
    size_t whole = head > 0 ? head + content_length(bytes, head) : 0;
    if (head == 0 || length < whole) {
        return 0;
    }
    if (line->payment == PAYMENTS_NONE || head < 12 || length != whole) {
        bench_die("an answer to nothing: %.*s", (int)length, (const char *)bytes);
    }
    uint32_t payment = line->payment;
    bool accepted = bytes[9] == '2';
    if (!accepted && http->refusals++ < REFUSALS_SHOWN) {
        fprintf(stderr, "refused: %.*s\n", (int)length, (const char *)bytes);
    }
    if (http->bench->options.per_payment) {
        link_drop(link);
    }
    become_idle(line);
    bench_answered(http->bench, payment, accepted);
    return whole;
}

static const struct link_calls CALLS;

static void closed(struct link *link, const char *why)
{
    struct line *line = link->owner;
    struct http *http = line->http;
    if (line->payment != PAYMENTS_NONE) {
        bench_die("the connection of a payment was lost: %s", why);
    }
    if (!http->bench->options.per_payment) { /* idle for too long */
        link_dial(http->bench->loop, link, http->bench->options.payer_port, &CALLS, line);
    }
}

static const struct link_calls CALLS = {.heard = heard, .closed = closed};

static void *http_open(struct bench *bench)
{
    struct http *http = cs_alloc(sizeof(*http));
    const struct bench_options *options = &bench->options;
    http->bench = bench;
    http->lines = cs_alloc(options->connections * sizeof(struct line));
    http->idle = cs_alloc(options->connections * sizeof(struct line *));
    int length = snprintf(
        http->head, sizeof(http->head),
        "POST /callback/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
        PAYMENTS_BODY_BYTES);
    http->head_length = (size_t)length;
    for (uint32_t i = 0; i < options->connections; i++) {
        struct line *line = &http->lines[i];
        line->http = http;
        become_idle(line);
        if (!options->per_payment) {
            link_dial(bench->loop, &line->link, options->payer_port, &CALLS, line);
        }
    }
    return http;
}

static bool http_pay(void *payer, uint32_t payment)
{
    struct http *http = payer;
    if (http->idle_count == 0) {
        return false;
    }
    struct line *line = http->idle[--http->idle_count];
    size_t length;
    const uint8_t *body = payments_body(http->bench->payments, payment, &length);
    line->payment = payment;
    if (http->bench->options.per_payment) {
        link_dial(http->bench->loop, &line->link, http->bench->options.payer_port, &CALLS, line);
    }
    link_write(&line->link, http->head, http->head_length);
    link_write(&line->link, body, length);
    return true;
}

const struct payer_kind PAYER_HTTP = {.open = http_open, .pay = http_pay};
