#include "node/nano_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cs_err refuse(char error[NANO_URL_ERROR_SIZE], const char *why)
{
    snprintf(error, NANO_URL_ERROR_SIZE, "%s", why);
    return CS_EINVAL;
}

static bool is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool parse_port(const char *text, size_t length, uint16_t *port)
{
    unsigned long number = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || i >= 5) {
            return false;
        }
        number = 10 * number + (unsigned long)(text[i] - '0');
    }
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

/* HOST, [HOST], and either with :PORT. */
static enum cs_err read_authority(const char *text, size_t length, struct nano_url *url,
                                  char error[NANO_URL_ERROR_SIZE])
{
    const char *end = text + length, *host = text, *after;
    bool bracketed = length > 0 && *text == '[';
    if (bracketed) {
        host++;
        after = memchr(host, ']', length - 1);
        if (after == NULL) {
            return refuse(error, "the address in brackets has no end; write ws://[::1]:7078");
        }
    } else {
        after = memchr(host, ':', length);
        after = after != NULL ? after : end;
    }
    size_t size = (size_t)(after - host);
    if (size == 0 || size >= sizeof(url->host)) {
        return refuse(error, "its host is missing, or longer than 100 characters");
    }
    memcpy(url->host, host, size);
    url->host[size] = '\0';
    after += bracketed ? 1 : 0;
    if (after < end && (*after != ':' || !parse_port(after + 1, (size_t)(end - after) - 1, &url->port))) {
        return refuse(error, "its port is no number from 1 to 65535; an IPv6 address goes into brackets");
    }
    if (bracketed && url->secure) {
        /* libwebsockets 4.1.6 cuts the name that it checks at the first colon. */
        return refuse(error,
                      "a certificate cannot be checked against an IPv6 address; name the host, or use ws://");
    }
    snprintf(url->authority, sizeof(url->authority), bracketed ? "[%s]:%u" : "%s:%u", url->host, url->port);
    return CS_OK;
}

enum cs_err nano_url_parse(const char *text, struct nano_url *url, char error[NANO_URL_ERROR_SIZE])
{
    *url = (struct nano_url){0};
    error[0] = '\0';
    if (strncmp(text, "ws://", 5) != 0 && strncmp(text, "wss://", 6) != 0) {
        return refuse(error, "it begins with neither ws:// nor wss://");
    }
    url->secure = text[2] == 's';
    url->port = url->secure ? 443 : 80;
    const char *authority = strstr(text, "//") + 2;
    size_t length = strcspn(authority, "/?#");
    const char *path = authority + length;
    if (!is_plain(authority, strlen(authority)) || strchr(authority, '#') != NULL) {
        return refuse(error, "it holds a space, a `#` or a character that is not ASCII");
    }
    if (memchr(authority, '@', length) != NULL) {
        return refuse(error, "it holds a user name; put credentials into ws_header");
    }
    if (strlen(path) + 1 >= sizeof(url->path)) {
        return refuse(error, "its path is longer than 511 characters");
    }
    snprintf(url->path, sizeof(url->path), "%s%s", *path == '/' ? "" : "/", path);
    enum cs_err err = read_authority(authority, length, url, error);
    if (err == CS_OK) {
        snprintf(url->shown, sizeof(url->shown), "%s%s", url->secure ? "wss://" : "ws://", url->authority);
    }
    return err;
}
