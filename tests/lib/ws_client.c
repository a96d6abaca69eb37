#include "lib/ws_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

struct ws_client {
    int fd;
    bool ignore_pings;
    uint32_t pings, pongs;
    size_t filled, used; /* of `bytes`: received, and parsed */
    unsigned char bytes[65536];
    char text[65536];
};

static bool send_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* 1: something came; 0: the end; -1: nothing in time. */
static int fill(struct ws_client *client, int64_t until_ms)
{
    memmove(client->bytes, client->bytes + client->used, client->filled - client->used);
    client->filled -= client->used;
    client->used = 0;
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    int64_t left = until_ms - (int64_t)(clock_monotonic_ns() / 1000000);
    if (poll(&poll_fd, 1, left > 0 ? (int)left : 0) <= 0) {
        return -1;
    }
    ssize_t got = recv(client->fd, client->bytes + client->filled, sizeof(client->bytes) - client->filled, 0);
    if (got <= 0) {
        return 0;
    }
    client->filled += (size_t)got;
    return 1;
}

static int shake_hands(struct ws_client *client, uint16_t port, const char *path, const char *subprotocol)
{
    char request[512];
    int length =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s\r\n",
                 path, port, subprotocol != NULL ? "Sec-WebSocket-Protocol: " : "",
                 subprotocol != NULL ? subprotocol : "", subprotocol != NULL ? "\r\n" : "");
    if (!send_all(client->fd, request, (size_t)length)) {
        return 0;
    }
    int64_t until_ms = (int64_t)(clock_monotonic_ns() / 1000000) + WS_CLIENT_WAIT_MS;
    for (;;) {
        const char *end = memmem(client->bytes, client->filled, "\r\n\r\n", 4);
        if (end != NULL) {
            client->used = (size_t)(end - (const char *)client->bytes) + 4;
            int status = 0;
            return sscanf((const char *)client->bytes, "HTTP/1.%*d %d", &status) == 1 ? status : 0;
        }
        if (fill(client, until_ms) <= 0) {
            return 0;
        }
    }
}

struct ws_client *ws_client_open(uint16_t port, const char *path, const char *subprotocol, int *status)
{
    struct ws_client *client = cs_alloc(sizeof(*client));
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *status = 0;
    if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        int on = 1;
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        *status = shake_hands(client, port, path, subprotocol);
    }
    if (*status != 101) {
        ws_client_close(client);
        return NULL;
    }
    return client;
}

void ws_client_close(struct ws_client *client)
{
    if (client != NULL) {
        close(client->fd);
        free(client);
    }
}

void ws_client_send_frame(struct ws_client *client, uint8_t first_byte, const void *bytes, size_t length)
{
    static const unsigned char mask[4] = {0x11, 0x22, 0x33, 0x44};
    unsigned char *frame = cs_alloc(length + 14);
    size_t at = 0;
    frame[at++] = first_byte;
    if (length < 126) {
        frame[at++] = (unsigned char)(0x80 | length);
    } else {
        frame[at++] = 0x80 | 126;
        frame[at++] = (unsigned char)(length >> 8);
        frame[at++] = (unsigned char)length;
    }
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < length; i++) {
        frame[at++] = (unsigned char)(((const unsigned char *)bytes)[i] ^ mask[i & 3]);
    }
    (void)send_all(client->fd, frame, at); /* what went wrong is seen when receiving */
    free(frame);
}

void ws_client_send(struct ws_client *client, const char *text)
{
    ws_client_send_frame(client, 0x81, text, strlen(text));
}

/* The whole frame at the front of the buffer; false when it is not all there. */
static bool next_frame(struct ws_client *client, uint8_t *opcode, const unsigned char **payload,
                       size_t *length)
{
    const unsigned char *at = client->bytes + client->used;
    size_t there = client->filled - client->used;
    if (there < 2) {
        return false;
    }
    size_t header = 2;
    *length = at[1] & 0x7f;
    if (*length == 126) {
        if (there < 4) {
            return false;
        }
        *length = (size_t)at[2] << 8 | at[3];
        header = 4;
    }
    if (there < header + *length) {
        return false;
    }
    *opcode = at[0] & 0x0f;
    *payload = at + header;
    client->used += header + *length;
    return true;
}

const char *ws_client_receive(struct ws_client *client, int wait_ms, uint16_t *code)
{
    int64_t until_ms = (int64_t)(clock_monotonic_ns() / 1000000) + wait_ms;
    for (;;) {
        uint8_t opcode;
        const unsigned char *payload;
        size_t length;
        if (!next_frame(client, &opcode, &payload, &length)) {
            int got = fill(client, until_ms);
            if (got <= 0) {
                *code = got == 0 ? 0 : 1;
                return NULL;
            }
            continue;
        }
        if (opcode == 0x1) {
            memcpy(client->text, payload, length);
            client->text[length] = '\0';
            return client->text;
        }
        if (opcode == 0x8) {
            *code = (uint16_t)(length >= 2 ? payload[0] << 8 | payload[1] : 1005);
            ws_client_send_frame(client, 0x88, payload, length);
            return NULL;
        }
        if (opcode == 0x9) {
            client->pings++;
            if (!client->ignore_pings) {
                ws_client_send_frame(client, 0x8a, payload, length);
            }
        } else if (opcode == 0xa) {
            client->pongs++;
        }
    }
}

void ws_client_ignore_pings(struct ws_client *client)
{
    client->ignore_pings = true;
}

uint32_t ws_client_pings(const struct ws_client *client)
{
    return client->pings;
}

uint32_t ws_client_pongs(const struct ws_client *client)
{
    return client->pongs;
}
