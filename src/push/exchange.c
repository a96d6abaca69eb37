#include "push/exchange.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define STOCK   512
#define AT_ONCE (STOCK / 2)

struct exchange {
    uv_loop_t *loop;
    uv_work_t work;
    bool making, stopped;
    uint32_t count;
    struct exchange_pair pairs[STOCK];
    struct exchange_pair made[AT_ONCE]; /* the pool's while `making` */
};

/* On libuv's pool. */
static void make(uv_work_t *work)
{
    struct exchange *exchange = work->data;
    for (uint32_t i = 0; i < AT_ONCE; i++) {
        crypto_kx_keypair(exchange->made[i].public_key, exchange->made[i].secret_key);
    }
}

static void make_more(struct exchange *exchange);

static void on_made(uv_work_t *work, int status)
{
    struct exchange *exchange = work->data;
    exchange->making = false;
    if (status == 0) {
        memcpy(exchange->pairs + exchange->count, exchange->made, sizeof(exchange->made));
        exchange->count += AT_ONCE;
        sodium_memzero(exchange->made, sizeof(exchange->made));
    }
    make_more(exchange);
}

static void make_more(struct exchange *exchange)
{
    if (!exchange->making && !exchange->stopped && exchange->count <= STOCK - AT_ONCE) {
        exchange->making = uv_queue_work(exchange->loop, &exchange->work, make, on_made) == 0;
    }
}

struct exchange *exchange_open(uv_loop_t *loop)
{
    struct exchange *exchange = cs_alloc(sizeof(*exchange));
    exchange->loop = loop;
    exchange->work.data = exchange;
    make_more(exchange);
    return exchange;
}

void exchange_take(struct exchange *exchange, struct exchange_pair *pair)
{
    if (exchange->count == 0) {
        crypto_kx_keypair(pair->public_key, pair->secret_key);
    } else {
        struct exchange_pair *last = &exchange->pairs[--exchange->count];
        *pair = *last;
        sodium_memzero(last, sizeof(*last));
    }
    make_more(exchange);
}

void exchange_stop(struct exchange *exchange)
{
    exchange->stopped = true;
}

void exchange_close(struct exchange *exchange)
{
    assert(!exchange->making);
    sodium_memzero(exchange, sizeof(*exchange));
    free(exchange);
}
