#define LOG_MODULE "tls"
#include "tls.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

const char *tls_check_config(const struct config *config)
{
    bool certificate = config->tls_certificate[0] != '\0', key = config->tls_key[0] != '\0';
    if (certificate != key) {
        return "[tls] certificate and key belong together: give both, or neither";
    }
    return NULL;
}

static bool is_on(const struct tls *tls)
{
    return tls->http != NULL || tls->push != NULL;
}

static int64_t now_ms(void)
{
    return (int64_t)(clock_monotonic_ns() / 1000000);
}

static void tell(int64_t expires_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format_ms(expires_ms, text);
    if (expires_ms < clock_wall_ms()) {
        log_warn(
            "the certificate ran out at %s: clients that check it will not connect; put a new one in its place",
            text);
    } else {
        log_info("the certificate is in use for new connections; it runs out at %s", text);
    }
}

/* Both ports take it, or neither. */
static enum cs_err use_files(struct tls *tls, char error[CERTIFICATE_ERROR_SIZE])
{
    const struct config *config = tls->config;
    struct certificate pem;
    struct http_certificate *http = NULL;
    struct push_certificate *push = NULL;
    char wrong[HTTP_ERROR_SIZE > PUSH_ERROR_SIZE ? HTTP_ERROR_SIZE : PUSH_ERROR_SIZE] = "";
    int64_t expires_ms = 0;
    certificate_look(config->tls_certificate, config->tls_key, &tls->look);
    if (certificate_read(config->tls_certificate, config->tls_key, &pem, error) != CS_OK) {
        return CS_EINVAL;
    }
    if (tls->http != NULL) {
        http = http_read_certificate(&pem, &expires_ms, wrong);
    }
    if (tls->push != NULL && wrong[0] == '\0') {
        push = push_read_certificate(&pem, &expires_ms, wrong);
    }
    certificate_fini(&pem);
    if (wrong[0] != '\0') {
        http_free_certificate(http);
        push_free_certificate(push);
        snprintf(error, CERTIFICATE_ERROR_SIZE, "[tls] certificate = %.130s, key = %.130s: %s",
                 config->tls_certificate, config->tls_key, wrong);
        return CS_EINVAL;
    }
    if (http != NULL) {
        http_use_certificate(tls->http, http);
    }
    if (push != NULL) {
        push_use_certificate(tls->push, push);
    }
    tell(expires_ms);
    return CS_OK;
}

enum cs_err tls_open(struct tls *tls, const struct config *config, struct http *http, struct push *push,
                     char error[CERTIFICATE_ERROR_SIZE])
{
    bool on = config->tls_certificate[0] != '\0';
    *tls = (struct tls){
        .config = config,
        .http = on && config->http_tls ? http : NULL,
        .push = on && config->ws_tls ? push : NULL,
        .looked_ms = now_ms(),
    };
    if (!is_on(tls)) {
        return CS_OK;
    }
    if (tls->http != NULL) {
        log_warn(
            "the HTTP port speaks https: a Nano node's callback, which is plain HTTP, does not get through; [http] tls = no "
            "keeps that port plain");
    }
    return use_files(tls, error);
}

void tls_reload(struct tls *tls)
{
    char error[CERTIFICATE_ERROR_SIZE];
    if (!is_on(tls)) {
        log_info("there is no certificate to be read again");
    } else if (use_files(tls, error) != CS_OK) {
        log_error("%s; the certificate from before stays in use", error);
    }
}

void tls_tick(struct tls *tls)
{
    if (tls_wait_ms(tls) != 0) {
        return;
    }
    struct certificate_look look;
    certificate_look(tls->config->tls_certificate, tls->config->tls_key, &look);
    tls->looked_ms = now_ms();
    if (!certificate_looks_same(&look, &tls->look)) {
        tls_reload(tls);
    }
}

int tls_wait_ms(const struct tls *tls)
{
    if (!is_on(tls) || tls->config->tls_check_s == 0) {
        return -1;
    }
    int64_t left = tls->looked_ms + tls->config->tls_check_s * 1000 - now_ms();
    return left > 0 ? (int)left : 0;
}
