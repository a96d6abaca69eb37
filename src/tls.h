/*
 * tls: the certificate of both ports: read at start, and again on SIGHUP or when its files have changed. Main thread.
 * A certificate that is no good is told in the log and changes nothing; sessions that are open keep the one that they began with.
 */
#ifndef COINSLOT_TLS_H
#define COINSLOT_TLS_H

#include "config.h"
#include "http/http.h"
#include "push/push.h"

struct tls {
    const struct config *config;
    struct http *http; /* NULL: that port is plain */
    struct push *push; /* likewise */
    struct certificate_look look;
    int64_t looked_ms; /* on the monotonic clock */
};

/* NULL, or what is wrong with the settings. */
const char *tls_check_config(const struct config *config);

/* Before the ports are opened. CS_EINVAL: `error` says which file is wrong, and how. */
CS_MUST_CHECK enum cs_err tls_open(struct tls *tls, const struct config *config, struct http *http,
                                   struct push *push, char error[CERTIFICATE_ERROR_SIZE]);
/* Takes the files as they are now. */
void tls_reload(struct tls *tls);
/* Does so if they have changed. */
void tls_tick(struct tls *tls);
/* When tls_tick wants to be called at the latest, in ms; -1: never. */
int tls_wait_ms(const struct tls *tls);

#endif
