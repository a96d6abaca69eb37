/*
 * legacy_frames: what Nano_Callback_System's clients send and are sent, as text; and which of them count as programs of this machine. Pure:
 * any thread, no I/O, nothing kept.
 */
#ifndef COINSLOT_PUSH_LEGACY_FRAMES_H
#define COINSLOT_PUSH_LEGACY_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "payment/payment.h"

#define LEGACY_SUBPROTOCOL                                                                                   \
    "arduino" /* what arduinoWebSockets offers unless told otherwise; the others offer none */
#define LEGACY_PATH       "/call"
#define LEGACY_DEPTH_MOST 4
#define LEGACY_KEY_SIZE   129 /* of an api_key: up to 128 bytes and a NUL */
#define LEGACY_ERROR_SIZE 256

enum legacy_message {
    LEGACY_NOTHING,   /* the bare text `Connected`, as the first clients sent it */
    LEGACY_MALFORMED, /* why is in `error` */
    LEGACY_REQUEST,
};

struct legacy_request {
    char api_key[LEGACY_KEY_SIZE]; /* "" when there is none that a token could be */
    bool has_address;              /* else why not is in `error` */
    struct address address;
};

/* `{"address":"nano_…","api_key":"…"}`; `text` need not end with a NUL. Other members are ignored. */
enum legacy_message legacy_read(const char *text, size_t length, struct legacy_request *request,
                                char error[LEGACY_ERROR_SIZE]);

/*
 * `{"error":"…"}`. The old server said nothing where something was wrong. The old clients read any object: the Python ones miss `amount` and
 * wait for the next; the sketch takes a missing amount for too little. Owned by the caller: free().
 */
char *legacy_print_error(const char *error);

/* The object of a node's callback, with what is known of the payment, for news that came by another way. free(). */
char *legacy_print_payment(const struct payment *payment);

/*
 * Whether an Origin may be that of a program on this machine: arduinoWebSockets sends file://, websocket-client the server's own address.
 * Any other is the mark of a web page, to which everything on the machine of its reader would look like loopback. Names that a page's
 * owner could point to 127.0.0.1 do not count.
 */
bool legacy_is_local_origin(const char *origin);

#endif
