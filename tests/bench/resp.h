/* resp: Redis' protocol, version 2 (redis.io, "Redis serialization protocol"), as far as the generator needs it. Pure but for what is written to a link. */
#ifndef COINSLOT_BENCH_RESP_H
#define COINSLOT_BENCH_RESP_H

#include "bench/loop.h"

/* The bytes of the first reply, 0 when it is not whole yet. */
size_t resp_length(const uint8_t *bytes, size_t length);

/* Goes through a whole reply, value by value; an array's elements follow it. */
struct resp {
    const uint8_t *at, *end;
};
struct resp_value {
    char type;         /* + - : $ * */
    const uint8_t *at; /* of + - $ */
    int64_t number;    /* of : its value; of $ and * how many, -1: nil; of + and - how many bytes */
};
/* False at the end. */
bool resp_next(struct resp *resp, struct resp_value *value);

/* One argument of a command, after link_print(link, "*%d\r\n", …). */
void resp_argument(struct link *link, const void *bytes, size_t length);

#endif
