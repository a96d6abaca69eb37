#define LOG_MODULE "push"
#include "push/tls.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

/* Forward secrecy and authenticated encryption; TLS 1.3 has nothing else. */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct push_certificate {
    X509 *leaf;
    STACK_OF(X509) * chain; /* the others */
    EVP_PKEY *key;
};

struct push_tls {
    struct push_certificate *current;
    struct push_certificate *next; /* given, and not yet used; under the gate */
};

/* ---- reading: any thread ------------------------------------------------------------------------------- */

void push_free_certificate(struct push_certificate *certificate)
{
    if (certificate == NULL) {
        return;
    }
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->chain, X509_free);
    EVP_PKEY_free(certificate->key);
    free(certificate);
}

/* Without it OpenSSL would ask on the terminal. Its type is OpenSSL's pem_password_cb. */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static int has_passphrase(char *buffer, int size, int writing, void *asked)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static BIO *open_text(const char *text, size_t size)
{
    BIO *bio = BIO_new_mem_buf(text, (int)size);
    if (bio == NULL) {
        log_die(LOG_MODULE, "out of memory reading a certificate");
    }
    return bio;
}

static const char *read_chain(const struct certificate *pem, struct push_certificate *certificate)
{
    BIO *bio = open_text(pem->chain, pem->chain_size);
    bool asked = false;
    certificate->leaf = PEM_read_bio_X509(bio, NULL, has_passphrase, &asked);
    certificate->chain = sk_X509_new_null();
    if (certificate->chain == NULL) {
        log_die(LOG_MODULE, "out of memory reading a certificate");
    }
    for (X509 *one;
         certificate->leaf != NULL && (one = PEM_read_bio_X509(bio, NULL, has_passphrase, &asked)) != NULL;) {
        if (sk_X509_push(certificate->chain, one) == 0) {
            log_die(LOG_MODULE, "out of memory reading a certificate");
        }
    }
    BIO_free(bio);
    return certificate->leaf != NULL ? NULL : "the certificate file holds no certificate in PEM form";
}

static const char *read_key(const struct certificate *pem, struct push_certificate *certificate)
{
    BIO *bio = open_text(pem->key, pem->key_size);
    bool asked = false;
    certificate->key = PEM_read_bio_PrivateKey(bio, NULL, has_passphrase, &asked);
    BIO_free(bio);
    if (certificate->key != NULL) {
        return NULL;
    }
    return asked ? "the key has a passphrase: give one without"
                 : "the key file holds no private key in PEM form";
}

/* What OpenSSL thinks of it: a key that is too short, say. */
static const char *try(const struct push_certificate *certificate)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        log_die(LOG_MODULE, "out of memory reading a certificate");
    }
    ERR_clear_error();
    const char *wrong = NULL;
    if (SSL_CTX_use_cert_and_key(context, certificate->leaf, certificate->key, certificate->chain, 1) != 1) {
        wrong = ERR_reason_error_string(ERR_peek_error());
        wrong = wrong != NULL ? wrong : "OpenSSL does not take it";
    }
    SSL_CTX_free(context);
    return wrong;
}

static int64_t expiry_of(const X509 *leaf)
{
    struct tm tm;
    return ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

struct push_certificate *push_read_certificate(const struct certificate *pem, int64_t *expires_ms,
                                               char error[PUSH_ERROR_SIZE])
{
    struct push_certificate *certificate = cs_alloc(sizeof(*certificate));
    const char *wrong = read_chain(pem, certificate);
    wrong = wrong != NULL ? wrong : read_key(pem, certificate);
    if (wrong == NULL && X509_check_private_key(certificate->leaf, certificate->key) != 1) {
        wrong = "the key is not that of the certificate";
    }
    wrong = wrong != NULL ? wrong : try(certificate);
    ERR_clear_error();
    if (wrong != NULL) {
        snprintf(error, PUSH_ERROR_SIZE, "%s", wrong);
        push_free_certificate(certificate);
        return NULL;
    }
    *expires_ms = expiry_of(certificate->leaf);
    return certificate;
}

/* ---- using --------------------------------------------------------------------------------------------- */

void push_use_certificate(struct push *push, struct push_certificate *certificate)
{
    pthread_mutex_lock(&push->gate);
    assert(push->tls != NULL || push->context == NULL);
    if (push->tls == NULL) {
        push->tls = cs_alloc(sizeof(*push->tls));
    }
    struct push_certificate *unused = push->tls->next;
    push->tls->next = certificate;
    pthread_mutex_unlock(&push->gate);
    push_free_certificate(unused);
    push_wake(push);
}

void push_tls_prepare(const struct push *push, struct lws_context_creation_info *info)
{
    if (push->tls != NULL) {
        info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
        info->alpn = "http/1.1"; /* libwebsockets would rather speak HTTP/2 */
    }
}

/*
 * Each connection is given the certificate of the moment, to which it has its own references then. Not by way of the SSL_CTX: that keeps one
 * for each kind of key, so that an RSA certificate would not take the place of an EC one.
 */
static int on_certificate(SSL *ssl, void *context)
{
    const struct push_certificate *current = ((struct push *)context)->tls->current;
    SSL_certs_clear(ssl);
    return SSL_use_cert_and_key(ssl, current->leaf, current->key, current->chain, 1);
}

void push_tls_set_up(struct push *push, void *ssl_ctx)
{
    SSL_CTX *context = ssl_ctx;
    bool set = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
               SSL_CTX_set_cipher_list(context, TLS12_CIPHERS) == 1;
    assert(set);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets cost no memory here */
    SSL_CTX_set_cert_cb(context, on_certificate, push);
    push_tls_refresh(push);
}

void push_tls_refresh(struct push *push)
{
    if (push->tls == NULL) {
        return;
    }
    pthread_mutex_lock(&push->gate);
    struct push_certificate *next = push->tls->next;
    push->tls->next = NULL;
    pthread_mutex_unlock(&push->gate);
    if (next != NULL) {
        push_free_certificate(push->tls->current);
        push->tls->current = next;
    }
}

void push_tls_close(struct push *push)
{
    if (push->tls != NULL) {
        push_free_certificate(push->tls->current);
        push_free_certificate(push->tls->next);
        free(push->tls);
    }
}
