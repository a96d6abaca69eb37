#include "posix/quirks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct orphans {
    const struct lws *wsi;
};

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void close_orphan(uv_handle_t *handle, void *context)
{
    const struct orphans *orphans = context;
    if (handle->type == UV_POLL && handle->data == orphans->wsi && !uv_is_closing(handle)) {
        uv_close(handle, free_handle);
    }
}

void quirks_close_orphans(uv_loop_t *loop, const struct lws *wsi)
{
    struct orphans orphans = {wsi};
    uv_walk(loop, close_orphan, &orphans);
}

void quirks_explain(struct lws *wsi, const char *why, size_t length, char text[QUIRKS_TEXT_SIZE])
{
    size_t shown = why != NULL ? strnlen(why, length) : 0;
    unsigned status = shown >= 3 && memcmp(why, "HS:", 3) == 0 ? lws_http_client_http_response(wsi) : 0;
    if (status != 0 && status != 101) {
        snprintf(text, QUIRKS_TEXT_SIZE, "it answered HTTP status %u instead of upgrading", status);
    } else if (shown == 0 || strncmp(why, "closed before established", shown) == 0) {
        snprintf(text, QUIRKS_TEXT_SIZE,
                 "it cannot be reached"); /* a connection that was refused is told so */
    } else {
        snprintf(text, QUIRKS_TEXT_SIZE, "%.*s", (int)shown, why);
    }
}

unsigned quirks_read_close(const unsigned char *said, size_t length, char text[QUIRKS_TEXT_SIZE])
{
    size_t count = 0;
    for (size_t i = 2; i < length && count + 1 < QUIRKS_TEXT_SIZE; i++) {
        text[count++] = said[i] >= ' ' && said[i] <= '~' ? (char)said[i] : '?';
    }
    text[count] = '\0';
    if (count == 0) {
        snprintf(text, QUIRKS_TEXT_SIZE, "closed");
    }
    return length >= 2 ? (unsigned)said[0] << 8 | said[1] : 0;
}
