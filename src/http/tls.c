#include "http/tls.h"

#include <assert.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define KEY_ID_SIZE 64

struct http_certificate {
    gnutls_x509_crt_t *chain; /* GnuTLS's memory */
    unsigned chain_length;
    gnutls_x509_privkey_t key;
};

struct https {
    pthread_mutex_t lock;
    struct http_certificate *certificate;
};

/* ---- reading ------------------------------------------------------------------------------------------- */

void http_free_certificate(struct http_certificate *certificate)
{
    if (certificate == NULL) {
        return;
    }
    for (unsigned i = 0; i < certificate->chain_length; i++) {
        gnutls_x509_crt_deinit(certificate->chain[i]);
    }
    gnutls_free(certificate->chain);
    gnutls_x509_privkey_deinit(certificate->key);
    free(certificate);
}

static bool is_its_key(const struct http_certificate *certificate)
{
    unsigned char of_chain[KEY_ID_SIZE], of_key[KEY_ID_SIZE];
    size_t chain_size = sizeof(of_chain), key_size = sizeof(of_key);
    return gnutls_x509_crt_get_key_id(certificate->chain[0], GNUTLS_KEYID_USE_SHA256, of_chain,
                                      &chain_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(certificate->key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) >=
               0 &&
           chain_size == key_size && memcmp(of_chain, of_key, key_size) == 0;
}

static const char *read_parts(const struct certificate *pem, struct http_certificate *certificate)
{
    gnutls_datum_t chain = {(unsigned char *)pem->chain, (unsigned)pem->chain_size};
    gnutls_datum_t key = {(unsigned char *)pem->key, (unsigned)pem->key_size};
    if (gnutls_x509_crt_list_import2(&certificate->chain, &certificate->chain_length, &chain,
                                     GNUTLS_X509_FMT_PEM, 0) < 0) {
        return "the certificate file holds no certificate in PEM form";
    }
    if (gnutls_x509_privkey_init(&certificate->key) < 0) {
        log_die("http", "out of memory reading a certificate");
    }
    int failed = gnutls_x509_privkey_import2(certificate->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (failed == GNUTLS_E_DECRYPTION_FAILED) {
        return "the key has a passphrase: give one without";
    }
    if (failed < 0) {
        return "the key file holds no private key in PEM form";
    }
    if (!is_its_key(certificate)) {
        return "the key is not that of the certificate";
    }
    return NULL;
}

struct http_certificate *http_read_certificate(const struct certificate *pem, int64_t *expires_ms,
                                               char error[HTTP_ERROR_SIZE])
{
    struct http_certificate *certificate = cs_alloc(sizeof(*certificate));
    const char *wrong = read_parts(pem, certificate);
    if (wrong != NULL) {
        snprintf(error, HTTP_ERROR_SIZE, "%s", wrong);
        http_free_certificate(certificate);
        return NULL;
    }
    *expires_ms = (int64_t)gnutls_x509_crt_get_expiration_time(certificate->chain[0]) * 1000;
    return certificate;
}

/* ---- using --------------------------------------------------------------------------------------------- */

struct https *https_open(void)
{
    struct https *https = cs_alloc(sizeof(*https));
    pthread_mutex_init(&https->lock, NULL);
    return https;
}

void https_close(struct https *https)
{
    http_free_certificate(https->certificate);
    pthread_mutex_destroy(&https->lock);
    free(https);
}

void https_use(struct https *https, struct http_certificate *certificate)
{
    pthread_mutex_lock(&https->lock);
    struct http_certificate *before = https->certificate;
    https->certificate = certificate;
    pthread_mutex_unlock(&https->lock);
    http_free_certificate(before);
}

int https_copy(struct https *https, gnutls_pcert_st **chain, unsigned *chain_length, gnutls_privkey_t *key,
               unsigned *flags)
{
    pthread_mutex_lock(&https->lock);
    const struct http_certificate *from = https->certificate;
    unsigned length = from->chain_length;
    gnutls_pcert_st *certificates = gnutls_calloc(length, sizeof(*certificates));
    gnutls_privkey_t private = NULL;
    int failed = certificates == NULL ? GNUTLS_E_MEMORY_ERROR : gnutls_privkey_init(&private);
    failed = failed < 0 ? failed : gnutls_pcert_import_x509_list(certificates, from->chain, &length, 0);
    failed = failed < 0 ? failed : gnutls_privkey_import_x509(private, from->key, GNUTLS_PRIVKEY_IMPORT_COPY);
    pthread_mutex_unlock(&https->lock);
    if (failed < 0) {
        log_die("http", "cannot copy the certificate for a handshake: %s", gnutls_strerror(failed));
    }
    *chain = certificates;
    *chain_length = length;
    *key = private;
    *flags = GNUTLS_CERT_RETR_DEINIT_ALL;
    return 0;
}
