/* recorded_rpc: what a real Nano V27.1 node answered to RPC requests (tests/data/nano/rpc.txt). Ends the test when it cannot be read. */
#ifndef COINSLOT_TESTS_RECORDED_RPC_H
#define COINSLOT_TESTS_RECORDED_RPC_H

#include <jansson.h>
#include <stddef.h>

struct recorded_rpc {
    char title[128];
    json_t *request; /* NULL: one that is no JSON */
    json_t *answer;
};

#define RECORDED_RPC_MOST 256

/* In the order of recording; returns how many. */
size_t recorded_rpc_read(const char *source_dir, struct recorded_rpc recorded[RECORDED_RPC_MOST]);
void recorded_rpc_free(struct recorded_rpc *recorded, size_t count);

/* By its title, which must be there. */
const struct recorded_rpc *recorded_rpc_find(const struct recorded_rpc *recorded, size_t count,
                                             const char *title);

#endif
