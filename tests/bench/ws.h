/*
 * ws: WebSocket frames (RFC 6455), as far as the generator needs them: whole text messages below 64 KB out, whole frames in.
 * Pure but for what is written to a link.
 */
#ifndef COINSLOT_BENCH_WS_H
#define COINSLOT_BENCH_WS_H

#include "bench/loop.h"

#define WS_TEXT  0x1
#define WS_CLOSE 0x8
#define WS_PING  0x9
#define WS_PONG  0xA

struct ws_frame {
    unsigned opcode;
    uint8_t *payload;
    size_t length;
};

/* The bytes that the first frame takes, 0 when it is not whole yet. A masked one is unmasked where it stands. */
size_t ws_take(uint8_t *bytes, size_t length, struct ws_frame *frame);
/* As a client (masked, with a mask that changes nothing) or as a server. */
void ws_send(struct link *link, bool client, unsigned opcode, const void *payload, size_t length);

void ws_ask_upgrade(struct link *link, const char *path, const char *subprotocol);
/* The bytes of the head of an answer or a request, with its empty line; 0 when it is not whole yet. */
size_t ws_head_length(const uint8_t *bytes, size_t length);
/* The answer to an upgrade. */
void ws_upgrade(struct link *link, const uint8_t *request, size_t length);

#endif
