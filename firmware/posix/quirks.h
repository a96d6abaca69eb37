/* quirks: what Debian's libwebsockets 4.1.6 leaves behind, and what it says, for people. On the loop's thread. */
#ifndef COINSLOT_FIRMWARE_POSIX_QUIRKS_H
#define COINSLOT_FIRMWARE_POSIX_QUIRKS_H

#include <libwebsockets.h>
#include <stddef.h>
#include <uv.h>

#define QUIRKS_TEXT_SIZE 120

/*
 * A connection that fails at once (no route to its address) leaves its uv_poll_t behind, stopped, for ever (lws_client_connect_3_connect,
 * "try_next_result_fds"): it knows whose it was. To be called when `wsi` is destroyed.
 */
void quirks_close_orphans(uv_loop_t *loop, const struct lws *wsi);

/* Why there is no connection; `why` as LWS_CALLBACK_CLIENT_CONNECTION_ERROR has it. */
void quirks_explain(struct lws *wsi, const char *why, size_t length, char text[QUIRKS_TEXT_SIZE]);

/* A close frame: two bytes of code, and maybe words, which go into `text`. 0: there is no code. */
unsigned quirks_read_close(const unsigned char *said, size_t length, char text[QUIRKS_TEXT_SIZE]);

#endif
