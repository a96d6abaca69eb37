#include "bench/ws.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

size_t ws_take(uint8_t *bytes, size_t length, struct ws_frame *frame)
{
    if (length < 2) {
        return 0;
    }
    bool masked = bytes[1] & 0x80;
    size_t head = 2, size = bytes[1] & 0x7F;
    unsigned wide = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (length < head + wide) {
        return 0;
    }
    if (wide > 0) {
        size = 0;
        for (unsigned i = 0; i < wide; i++) {
            size = size << 8 | bytes[head++];
        }
    }
    const uint8_t *mask = bytes + head;
    head += masked ? 4 : 0;
    if (length < head + size) {
        return 0;
    }
    if (!(bytes[0] & 0x80)) {
        bench_die("a message came in fragments");
    }
    frame->opcode = bytes[0] & 0xF;
    frame->payload = bytes + head;
    frame->length = size;
    for (size_t i = 0; masked && i < size; i++) {
        frame->payload[i] ^= mask[i % 4];
    }
    return head + size;
}

void ws_send(struct link *link, bool client, unsigned opcode, const void *payload, size_t length)
{
    uint8_t head[8] = {(uint8_t)(0x80 | opcode)};
    size_t at = 2;
    if (length < 126) {
        head[1] = (uint8_t)length;
    } else if (length < 65536) {
        head[1] = 126;
        head[at++] = (uint8_t)(length >> 8);
        head[at++] = (uint8_t)length;
    } else {
        bench_die("a message of %zu bytes is too long", length);
    }
    if (client) {
        head[1] |= 0x80;
        at += 4; /* a mask of zeros */
    }
    link_write(link, head, at);
    link_write(link, payload, length);
}

void ws_ask_upgrade(struct link *link, const char *path, const char *subprotocol)
{
    link_print(link,
               "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n%s%s%s\r\n",
               path, subprotocol != NULL ? "Sec-WebSocket-Protocol: " : "",
               subprotocol != NULL ? subprotocol : "", subprotocol != NULL ? "\r\n" : "");
}

size_t ws_head_length(const uint8_t *bytes, size_t length)
{
    const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - bytes) + 4;
}

void ws_upgrade(struct link *link, const uint8_t *request, size_t length)
{
    static const char name[] = "Sec-WebSocket-Key: ";
    uint8_t digest[SHA_DIGEST_LENGTH];
    char key[25 + sizeof(GUID)],
        accept[sodium_base64_ENCODED_LEN(SHA_DIGEST_LENGTH, sodium_base64_VARIANT_ORIGINAL)];
    const uint8_t *at = memmem(request, length, name, sizeof(name) - 1);
    if (at == NULL) {
        bench_die("an upgrade without a Sec-WebSocket-Key");
    }
    snprintf(key, sizeof(key), "%.24s%s", (const char *)at + sizeof(name) - 1, GUID);
    SHA1((const unsigned char *)key, strlen(key), digest);
    sodium_bin2base64(accept, sizeof(accept), digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
    link_print(link,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\nServer: Boost.Beast/345\r\n\r\n",
               accept);
}
