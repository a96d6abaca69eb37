/*
 * tls: TLS for WebSockets. Owns the certificate that new connections are shown; OpenSSL is touched here alone.
 * The push thread's, but for what push.h says of certificates.
 */
#ifndef COINSLOT_PUSH_TLS_H
#define COINSLOT_PUSH_TLS_H

#include "push/internal.h"

/* For lws_create_context; plain when no certificate was given. */
void push_tls_prepare(const struct push *push, struct lws_context_creation_info *info);
/* libwebsockets has made its SSL_CTX (LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS). */
void push_tls_set_up(struct push *push, void *ssl_ctx);
/* Takes over a certificate that was given since. */
void push_tls_refresh(struct push *push);
void push_tls_close(struct push *push);

#endif
