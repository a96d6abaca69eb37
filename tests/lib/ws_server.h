/*
 * ws_server: a WebSocket server that does what a test wants, also what no good server would. Blocks, with a limit; any thread, one at a
 * time. Whatever goes wrong in it ends the test.
 */
#ifndef COINSLOT_TESTS_WS_SERVER_H
#define COINSLOT_TESTS_WS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_SERVER_WAIT_MS 5000

struct ws_server;
struct ws_peer;

/* Listens on a free port of "127.0.0.1" or "::1". */
struct ws_server *ws_server_open(const char *address);
/* The same, with a new certificate for that DNS name, or IP address, signed by itself. It is written to `path`. */
struct ws_server *ws_server_open_tls(const char *address, const char *name, const char *path);
void ws_server_close(struct ws_server *server);
uint16_t ws_server_port(const struct ws_server *server);

/* The next connection, upgraded; NULL when none came in time, or its TLS handshake failed. */
struct ws_peer *ws_server_accept(struct ws_server *server, int wait_ms);
/* The same, but nothing is answered: 0 or -1, else a socket that the caller closes. */
int ws_server_accept_mute(struct ws_server *server, int wait_ms);
/* The same, but `answer` is, whatever was asked. False: none came. */
bool ws_server_accept_refusing(struct ws_server *server, const char *answer);

const char *ws_peer_request(const struct ws_peer *peer); /* its upgrade, with headers */
void ws_peer_send(struct ws_peer *peer, const char *text);
void ws_peer_send_frame(struct ws_peer *peer, uint8_t first_byte, const void *bytes, size_t length);
/* The head of a frame that says to be `length` long, and nothing of it. */
void ws_peer_send_head(struct ws_peer *peer, uint8_t first_byte, uint64_t length);

/*
 * The next text message, owned by the peer until the next call. NULL: *code is 1 when nothing came in time, 0 when the connection broke,
 * else the code of a close frame, which is answered.
 */
const char *ws_peer_receive(struct ws_peer *peer, int wait_ms, uint16_t *code);
void ws_peer_close(struct ws_peer *peer); /* without a close frame, as when the plug is pulled */

#endif
