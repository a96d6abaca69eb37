/*
 * tls: HTTPS. Owns the certificate that new connections are shown; GnuTLS is touched here alone.
 * Any thread; one lock, held while a handshake takes its copy, so that the certificate can be exchanged at any time.
 */
#ifndef COINSLOT_HTTP_TLS_H
#define COINSLOT_HTTP_TLS_H

#include <gnutls/abstract.h>

#include "http/http.h"

struct https;

/* What MHD is to allow. */
#define HTTPS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA"

struct https *https_open(void);
void https_close(struct https *https);
void https_use(struct https *https, struct http_certificate *certificate); /* taken */

/* What a handshake sends: a copy, which GnuTLS frees. 0. */
int https_copy(struct https *https, gnutls_pcert_st **chain, unsigned *chain_length, gnutls_privkey_t *key,
               unsigned *flags);

#endif
