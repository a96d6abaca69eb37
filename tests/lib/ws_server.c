#include "lib/ws_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define BUFFER_SIZE (4u << 20)

struct ws_server {
    int fd;
    uint16_t port;
    SSL_CTX *tls; /* NULL: plain */
};

struct ws_peer {
    int fd;
    SSL *tls;
    size_t filled, used; /* of `bytes`: received, and parsed */
    char request[4096];
    char *bytes, *text;
};

static int64_t now_ms(void)
{
    return (int64_t)(clock_monotonic_ns() / 1000000);
}

/* ---- listening ----------------------------------------------------------------------------------------- */

struct ws_server *ws_server_open(const char *address)
{
    struct ws_server *server = cs_alloc(sizeof(*server));
    bool is_v6 = strchr(address, ':') != NULL;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    int read =
        inet_pton(is_v6 ? AF_INET6 : AF_INET, address, is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr);
    struct sockaddr *bound = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
    server->fd = socket(bound->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = read != 1 || bind(server->fd, bound, size) != 0 || listen(server->fd, 16) != 0 ||
                 getsockname(server->fd, bound, &size) != 0;
    assert(!failed);
    server->port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
    return server;
}

static X509 *make_certificate(EVP_PKEY *key, const char *name)
{
    char alternative[128];
    bool is_address = strspn(name, "0123456789.") == strlen(name);
    snprintf(alternative, sizeof(alternative), "%s:%s", is_address ? "IP" : "DNS", name);
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
    bool made = X509_set_version(certificate, 2) == 1 &&
                ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), -60) != NULL &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL &&
                X509_set_pubkey(certificate, key) == 1 &&
                X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"a test", -1,
                                           -1, 0) == 1 &&
                X509_set_issuer_name(certificate, subject) == 1 &&
                X509_add_ext(certificate, extension, -1) == 1 &&
                X509_sign(certificate, key, EVP_sha256()) != 0;
    assert(made);
    X509_EXTENSION_free(extension);
    return certificate;
}

struct ws_server *ws_server_open_tls(const char *address, const char *name, const char *path)
{
    struct ws_server *server = ws_server_open(address);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = make_certificate(key, name);
    server->tls = SSL_CTX_new(TLS_server_method());
    FILE *file = fopen(path, "w");
    bool made = file != NULL && PEM_write_X509(file, certificate) == 1 &&
                SSL_CTX_use_certificate(server->tls, certificate) == 1 &&
                SSL_CTX_use_PrivateKey(server->tls, key) == 1;
    assert(made);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return server;
}

void ws_server_close(struct ws_server *server)
{
    close(server->fd);
    SSL_CTX_free(server->tls);
    free(server);
}

uint16_t ws_server_port(const struct ws_server *server)
{
    return server->port;
}

/* ---- bytes --------------------------------------------------------------------------------------------- */

static bool wait_for(int fd, int64_t until_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int64_t left = until_ms - now_ms();
    return poll(&poll_fd, 1, left > 0 ? (int)left : 0) > 0;
}

static void put(struct ws_peer *peer, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        int sent = peer->tls != NULL ? SSL_write(peer->tls, at, (int)length)
                                     : (int)send(peer->fd, at, length, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* what went wrong is seen when receiving */
        }
        at += sent;
        length -= (size_t)sent;
    }
}

/* 1: something came; 0: the end; -1: nothing in time. */
static int fill(struct ws_peer *peer, int64_t until_ms)
{
    memmove(peer->bytes, peer->bytes + peer->used, peer->filled - peer->used);
    peer->filled -= peer->used;
    peer->used = 0;
    bool pending = peer->tls != NULL && SSL_pending(peer->tls) > 0;
    if (!pending && !wait_for(peer->fd, until_ms)) {
        return -1;
    }
    int room = (int)(BUFFER_SIZE - peer->filled - 1);
    assert(room > 0);
    int got = peer->tls != NULL ? SSL_read(peer->tls, peer->bytes + peer->filled, room)
                                : (int)recv(peer->fd, peer->bytes + peer->filled, (size_t)room, 0);
    if (got <= 0) {
        return 0;
    }
    peer->filled += (size_t)got;
    return 1;
}

/* ---- the upgrade --------------------------------------------------------------------------------------- */

int ws_server_accept_mute(struct ws_server *server, int wait_ms)
{
    if (!wait_for(server->fd, now_ms() + wait_ms)) {
        return -1;
    }
    int fd = accept(server->fd, NULL, NULL), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static struct ws_peer *take_peer(struct ws_server *server, int wait_ms)
{
    int fd = ws_server_accept_mute(server, wait_ms);
    if (fd < 0) {
        return NULL;
    }
    struct timeval limit = {.tv_sec = WS_SERVER_WAIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    struct ws_peer *peer = cs_alloc(sizeof(*peer));
    peer->fd = fd;
    peer->bytes = cs_alloc(BUFFER_SIZE);
    peer->text = cs_alloc(BUFFER_SIZE);
    if (server->tls != NULL) {
        peer->tls = SSL_new(server->tls);
        SSL_set_fd(peer->tls, fd);
        if (SSL_accept(peer->tls) != 1) {
            ws_peer_close(peer);
            return NULL;
        }
    }
    int64_t until_ms = now_ms() + wait_ms;
    const char *end;
    while ((end = memmem(peer->bytes, peer->filled, "\r\n\r\n", 4)) == NULL) {
        if (fill(peer, until_ms) <= 0) {
            ws_peer_close(peer);
            return NULL;
        }
    }
    peer->used = (size_t)(end - peer->bytes) + 4;
    assert(peer->used < sizeof(peer->request));
    memcpy(peer->request, peer->bytes, peer->used);
    return peer;
}

/* RFC 6455, section 4.2.2. */
static void put_accept(const char *request, char accept_key[32])
{
    char joined[128];
    unsigned char digest[SHA_DIGEST_LENGTH];
    const char *key = strcasestr(request, "\r\nsec-websocket-key: ");
    assert(key != NULL);
    key += strlen("\r\nsec-websocket-key: ");
    snprintf(joined, sizeof(joined), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r "),
             key);
    SHA1((const unsigned char *)joined, strlen(joined), digest);
    EVP_EncodeBlock((unsigned char *)accept_key, digest, sizeof(digest));
}

struct ws_peer *ws_server_accept(struct ws_server *server, int wait_ms)
{
    struct ws_peer *peer = take_peer(server, wait_ms);
    if (peer != NULL) {
        char answer[256], accept_key[32];
        put_accept(peer->request, accept_key);
        int length =
            snprintf(answer, sizeof(answer),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\nServer: Boost.Beast/345\r\n\r\n",
                     accept_key);
        put(peer, answer, (size_t)length);
    }
    return peer;
}

bool ws_server_accept_refusing(struct ws_server *server, const char *answer)
{
    struct ws_peer *peer = take_peer(server, WS_SERVER_WAIT_MS);
    if (peer == NULL) {
        return false;
    }
    put(peer, answer, strlen(answer));
    ws_peer_close(peer);
    return true;
}

const char *ws_peer_request(const struct ws_peer *peer)
{
    return peer->request;
}

void ws_peer_close(struct ws_peer *peer)
{
    SSL_free(peer->tls);
    close(peer->fd);
    free(peer->bytes);
    free(peer->text);
    free(peer);
}

/* ---- frames -------------------------------------------------------------------------------------------- */

void ws_peer_send_head(struct ws_peer *peer, uint8_t first_byte, uint64_t length)
{
    unsigned char head[10] = {first_byte};
    size_t size = 2;
    if (length < 126) {
        head[1] = (unsigned char)length;
    } else {
        int bytes = length < 65536 ? 2 : 8;
        head[1] = bytes == 2 ? 126 : 127;
        for (int i = bytes - 1; i >= 0; i--) {
            head[size++] = (unsigned char)(length >> (8 * i));
        }
    }
    put(peer, head, size);
}

void ws_peer_send_frame(struct ws_peer *peer, uint8_t first_byte, const void *bytes, size_t length)
{
    ws_peer_send_head(peer, first_byte, length);
    put(peer, bytes, length);
}

void ws_peer_send(struct ws_peer *peer, const char *text)
{
    ws_peer_send_frame(peer, 0x81, text, strlen(text));
}

/* The whole frame at the front of the buffer, into `text`; false when it is not all there. A client masks. */
static bool next_frame(struct ws_peer *peer, uint8_t *opcode, size_t *length)
{
    const unsigned char *at = (unsigned char *)peer->bytes + peer->used;
    size_t there = peer->filled - peer->used, head = 2;
    if (there < 14) {
        if (there < 6 || there < 6 + (size_t)(at[1] & 0x7f)) {
            return false;
        }
    }
    *length = at[1] & 0x7f;
    int bytes = *length == 126 ? 2 : *length == 127 ? 8 : 0;
    *length = bytes > 0 ? 0 : *length;
    for (int i = 0; i < bytes; i++) {
        *length = *length << 8 | at[head++];
    }
    assert((at[0] & 0x80) != 0 && (at[1] & 0x80) != 0 && *length < BUFFER_SIZE - 16);
    if (there < head + 4 + *length) {
        return false;
    }
    for (size_t i = 0; i < *length; i++) {
        peer->text[i] = (char)(at[head + 4 + i] ^ at[head + (i & 3)]);
    }
    peer->text[*length] = '\0';
    *opcode = at[0] & 0x0f;
    peer->used += head + 4 + *length;
    return true;
}

const char *ws_peer_receive(struct ws_peer *peer, int wait_ms, uint16_t *code)
{
    int64_t until_ms = now_ms() + wait_ms;
    uint8_t opcode;
    size_t length;
    for (;;) {
        while (!next_frame(peer, &opcode, &length)) {
            int filled = fill(peer, until_ms);
            if (filled <= 0) {
                *code = (uint16_t)(filled < 0);
                return NULL;
            }
        }
        if (opcode == 1) {
            return peer->text;
        }
        if (opcode == 8) {
            unsigned said = (unsigned)(uint8_t)peer->text[0] << 8 | (uint8_t)peer->text[1];
            *code = (uint16_t)(length >= 2 ? said : 1005);
            ws_peer_send_frame(peer, 0x88, peer->text, length < 2 ? 0 : 2);
            return NULL;
        }
        assert(opcode == 10 || opcode == 9); /* a pong for our ping */
    }
}
