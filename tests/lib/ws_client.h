/*
 * ws_client: a WebSocket client small enough to send what no good client would: for tests. Blocks, with a
 * limit; any thread, one at a time.
 */
#ifndef COINSLOT_TESTS_WS_CLIENT_H
#define COINSLOT_TESTS_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_CLIENT_WAIT_MS 5000

struct ws_client;

/* NULL when the upgrade was refused; `status` is the answer's. */
struct ws_client *ws_client_open(uint16_t port, const char *path, const char *subprotocol, int *status);
void ws_client_close(struct ws_client *client); /* without a close frame, as when the plug is pulled */

void ws_client_send(struct ws_client *client, const char *text);
void ws_client_send_frame(struct ws_client *client, uint8_t first_byte, const void *bytes, size_t length);

/*
 * The next text message, owned by the client until the next call. NULL when the connection is closed: the
 * close code is then in *code (0: none came). Pings are answered unless told otherwise. Fails by NULL and
 * *code 1 when nothing came in time.
 */
const char *ws_client_receive(struct ws_client *client, int wait_ms, uint16_t *code);
void ws_client_ignore_pings(struct ws_client *client);
uint32_t ws_client_pings(const struct ws_client *client);
uint32_t ws_client_pongs(const struct ws_client *client);

#endif
