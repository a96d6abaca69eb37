/*
 * fake_rpc: an HTTP server that answers as badly as a test wants, over raw sockets. What it does is in the request's `action`:
 *
 *   echo          the request itself, then closes, as the node does      keep    the same, and the connection stays
 *   wait (ms)     the same as echo, later                                hang    nothing, until fake_rpc_close
 *   error         {"error":"Account not found"}                          odd     {"error":{"code":1}}
 *   status (code) that, with the body {"message":"no"}                   moved   302, to /elsewhere of this server
 *   drip          a byte of its body every 20 ms, without an end         half    half a body, then closes
 *   big (bytes)   a body of that size, announced                         flood   the same, not announced
 *   drop          closes                                                 noise   something that is no HTTP
 *   text          a body that is no JSON                                 array   a body that is no object
 */
#ifndef COINSLOT_TESTS_FAKE_RPC_H
#define COINSLOT_TESTS_FAKE_RPC_H

#include <stddef.h>
#include <stdint.h>

struct fake_rpc;

struct fake_heard {
    uint64_t at_ns; /* when the whole request was there, monotonic */
    int number;     /* its `n` */
};

struct fake_rpc *fake_rpc_open(void);
/*
 * One that answers what `told` says to the request's body; owned. NULL: closes instead. On a thread of the connection, several at a time.
 * Connections stay, and what was heard is not kept.
 */
struct fake_rpc *fake_rpc_open_with(char *(*told)(void *context, const char *body), void *context);
uint16_t fake_rpc_port(const struct fake_rpc *fake);
void fake_rpc_close(struct fake_rpc *fake);

/* Requests so far, in the order of coming, up to `most` of them; returns how many there were. */
size_t fake_rpc_heard(struct fake_rpc *fake, struct fake_heard *heard, size_t most);
size_t fake_rpc_connections(struct fake_rpc *fake); /* ever made */
size_t fake_rpc_peak(struct fake_rpc *fake); /* requests that were being answered at the same time, at most */
void fake_rpc_head(struct fake_rpc *fake, char head[2048]); /* of the last request */

#endif
