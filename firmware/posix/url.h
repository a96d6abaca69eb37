/* url: where the relay is: ws://HOST[:PORT][/PATH], or wss://. Pure. */
#ifndef COINSLOT_FIRMWARE_POSIX_URL_H
#define COINSLOT_FIRMWARE_POSIX_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define URL_HOST_SIZE      101 /* libwebsockets cuts a longer `Host:` line off */
#define URL_AUTHORITY_SIZE 110
#define URL_PATH_SIZE      256
#define URL_ERROR_SIZE     160

struct url {
    bool secure;
    uint16_t port;                      /* 80 or 443 when it is not said, as RFC 6455 has it */
    char host[URL_HOST_SIZE];           /* without brackets */
    char authority[URL_AUTHORITY_SIZE]; /* for the Host header */
    char path[URL_PATH_SIZE];           /* ends with /device */
};

/* CS_EINVAL: `error` says what is wrong with it, and what to do. */
CS_MUST_CHECK enum cs_err url_parse(const char *text, struct url *url, char error[URL_ERROR_SIZE]);
/* Whether what goes there stays on this machine. */
bool url_is_loopback(const struct url *url);

#endif
