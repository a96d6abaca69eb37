/*
 * ws: the WebSocket to the relay, one connection at a time. A task of its own does whatever can block; what comes in goes to the inbox.
 * For each ws_connect there is one INBOX_DISCONNECTED, sooner or later.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_WS_H
#define COINSLOT_FIRMWARE_ESP32_WS_H

#include <stdbool.h>
#include <stddef.h>

/* `relay`: ws://HOST:PORT or wss://. `ca`: whom to trust, as PEM; "": the certificates that ESP-IDF brings. Both are borrowed for ever. */
void ws_open(const char *relay, const char *ca);

/* As core_port has them. Main task. */
void ws_connect(void *context);
bool ws_send(void *context, const char *text, size_t length);
void ws_close(void *context, unsigned code, const char *reason);

#endif
