/*
 * nano_url: where a node's WebSocket is: ws://HOST[:PORT][/PATH], or wss://. Pure.
 */
#ifndef COINSLOT_NODE_NANO_URL_H
#define COINSLOT_NODE_NANO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define NANO_URL_HOST_SIZE      101 /* libwebsockets cuts a longer `Host:` line off */
#define NANO_URL_PATH_SIZE      513
#define NANO_URL_AUTHORITY_SIZE 110
#define NANO_URL_SHOWN_SIZE     120
#define NANO_URL_ERROR_SIZE     200

struct nano_url {
    bool secure;
    uint16_t port;                           /* 80 or 443 when it is not said, as RFC 6455 has it */
    char host[NANO_URL_HOST_SIZE];           /* without brackets */
    char authority[NANO_URL_AUTHORITY_SIZE]; /* for the Host header */
    char path[NANO_URL_PATH_SIZE];           /* with the query; at least "/" */
    char shown[NANO_URL_SHOWN_SIZE];         /* for people: no path and no query, where providers have keys */
};

/* CS_EINVAL: what is wrong with it, and what to do, in `error`; the text is not repeated there. */
CS_MUST_CHECK enum cs_err nano_url_parse(const char *text, struct nano_url *url,
                                         char error[NANO_URL_ERROR_SIZE]);

#endif
