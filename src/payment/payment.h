/*
 * payment: a confirmed transfer of an amount of an asset to an address.
 * A value type: any thread, no heap. Its identity is (chain, hash, output).
 */
#ifndef COINSLOT_PAYMENT_PAYMENT_H
#define COINSLOT_PAYMENT_PAYMENT_H

#include <stdint.h>

#include "payment/address.h"
#include "payment/amount.h"

enum payment_source { SOURCE_CALLBACK, SOURCE_NANO_WS, SOURCE_EVR_ZMQ, SOURCE_BACKFILL };

#define PAYMENT_HASH_SIZE  32
#define PAYMENT_HASH_TEXT  65 /* 64 hexadecimal digits, upper case, and a NUL */
#define PAYMENT_ASSET_SIZE 33 /* Evrmore's asset names have at most 32 characters */

struct payment {
    uint8_t hash[PAYMENT_HASH_SIZE];
    uint32_t output; /* 0 on Nano */
    enum payment_source source;
    struct address from; /* length 0 when the chain does not say */
    struct address to;   /* its chain is the payment's */
    struct amount amount;
    char asset[PAYMENT_ASSET_SIZE]; /* "" is the chain's own coin */
    int64_t node_time_ms;           /* 0 when the source gives none */
};

/* "callback", "nano_ws", … as in SQL and JSON. */
const char *payment_source_text(enum payment_source source);

#endif
