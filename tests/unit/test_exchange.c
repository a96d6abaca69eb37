#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "push/exchange.h"

#define TAKEN 2000 /* more than are ever at hand */

static void assert_is_pair(const struct exchange_pair *pair)
{
    uint8_t public_key[PROOF_EXCHANGE_SIZE];
    crypto_scalarmult_base(public_key, pair->secret_key);
    assert_memory_equal(public_key, pair->public_key, sizeof(public_key));
}

static int by_secret(const void *a, const void *b)
{
    return memcmp(((const struct exchange_pair *)a)->secret_key,
                  ((const struct exchange_pair *)b)->secret_key, PROOF_EXCHANGE_SIZE);
}

/* The loop turns now and then: some pairs are from the pool, some are made when they are taken. */
static void every_pair_is_one_and_none_is_given_twice(void **state)
{
    (void)state;
    static struct exchange_pair taken[TAKEN];
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct exchange *exchange = exchange_open(&loop);
    for (size_t i = 0; i < TAKEN; i++) {
        exchange_take(exchange, &taken[i]);
        assert_is_pair(&taken[i]);
        if (i % 500 == 0) {
            uv_run(&loop, UV_RUN_DEFAULT);
        } else if (i % 50 == 0) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
    }
    exchange_stop(exchange);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    exchange_close(exchange);
    qsort(taken, TAKEN, sizeof(taken[0]), by_secret);
    for (size_t i = 1; i < TAKEN; i++) {
        assert_true(by_secret(&taken[i - 1], &taken[i]) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_is_one_and_none_is_given_twice),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
