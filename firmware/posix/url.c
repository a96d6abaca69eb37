#include "posix/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum cs_err refuse(char error[URL_ERROR_SIZE], const char *why)
{
    snprintf(error, URL_ERROR_SIZE, "%s", why);
    return CS_EINVAL;
}

static bool parse_port(const char *text, size_t length, uint16_t *port)
{
    char digits[6] = "";
    if (length == 0 || length >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, text, length);
    unsigned long number = strspn(digits, "0123456789") == length ? strtoul(digits, NULL, 10) : 0;
    *port = (uint16_t)number;
    return number > 0 && number <= UINT16_MAX;
}

/* HOST, [HOST], and either with :PORT. */
static enum cs_err read_authority(const char *text, size_t length, struct url *url,
                                  char error[URL_ERROR_SIZE])
{
    const char *end = text + length, *host = text;
    bool bracketed = length > 0 && *text == '[';
    host += bracketed ? 1 : 0;
    const char *after = memchr(host, bracketed ? ']' : ':', (size_t)(end - host));
    if (after == NULL && bracketed) {
        return refuse(error, "the address in brackets has no end; write ws://[::1]:7091");
    }
    after = after != NULL ? after : end;
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

static enum cs_err read_path(const char *path, struct url *url, char error[URL_ERROR_SIZE])
{
    static const char END[] = "/device";
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/') {
        length--;
    }
    if (length + sizeof(END) > sizeof(url->path)) {
        return refuse(error, "its path is longer than 240 characters");
    }
    bool complete = length >= strlen(END) && memcmp(path + length - strlen(END), END, strlen(END)) == 0;
    snprintf(url->path, sizeof(url->path), "%.*s%s", (int)length, path, complete ? "" : END);
    return CS_OK;
}

enum cs_err url_parse(const char *text, struct url *url, char error[URL_ERROR_SIZE])
{
    *url = (struct url){0};
    error[0] = '\0';
    if (strncmp(text, "ws://", 5) != 0 && strncmp(text, "wss://", 6) != 0) {
        return refuse(error, "it begins with neither ws:// nor wss://");
    }
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '#' || *c == '@' || *c == '?') {
            return refuse(error, "it holds a space, a `#`, `@` or `?`, or a character that is not ASCII");
        }
    }
    url->secure = text[2] == 's';
    url->port = url->secure ? 443 : 80;
    const char *authority = strstr(text, "//") + 2;
    size_t length = strcspn(authority, "/");
    enum cs_err err = read_authority(authority, length, url, error);
    return err != CS_OK ? err : read_path(authority + length, url, error);
}

bool url_is_loopback(const struct url *url)
{
    struct in_addr address;
    bool is_ipv4 = inet_pton(AF_INET, url->host, &address) == 1;
    return strcmp(url->host, "localhost") == 0 || strcmp(url->host, "::1") == 0 ||
           (is_ipv4 && ntohl(address.s_addr) >> 24 == 127);
}
