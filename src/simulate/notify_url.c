#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulate/notify.h"

/* [from, to) of the text, when it fits and is not empty. */
static bool copy_part(const char *from, const char *to, char *part, size_t size)
{
    size_t length = (size_t)(to - from);
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(part, from, length);
    part[length] = '\0';
    return true;
}

static bool copy_port(const char *from, const char *to, char port[6])
{
    if (!copy_part(from, to, port, 6) || strspn(port, "0123456789") != strlen(port)) {
        return false;
    }
    long number = strtol(port, NULL, 10);
    return number >= 1 && number <= 65535;
}

bool notify_parse_url(const char *text, struct notify_url *url, char error[NOTIFY_ERROR_SIZE])
{
    static const char scheme[] = "http://";
    bool good = strncmp(text, scheme, sizeof(scheme) - 1) == 0 && strpbrk(text, " \t\r\n#@") == NULL;
    if (good) {
        const char *host = text + sizeof(scheme) - 1;
        const char *end = host + strcspn(host, "/?");
        const char *colon;
        if (*host == '[') {
            const char *bracket = memchr(host, ']', (size_t)(end - host));
            good = bracket != NULL && copy_part(host + 1, bracket, url->host, sizeof(url->host)) &&
                   (bracket + 1 == end || bracket[1] == ':');
            colon = good && bracket + 1 != end ? bracket + 1 : NULL;
        } else {
            colon = memchr(host, ':', (size_t)(end - host));
            good = copy_part(host, colon != NULL ? colon : end, url->host, sizeof(url->host));
        }
        memcpy(url->port, "80", sizeof("80"));
        good = good && (colon == NULL || copy_port(colon + 1, end, url->port));
        const char *target = *end == '\0' ? "/" : end;
        good = good && *target == '/' &&
               copy_part(target, target + strlen(target), url->target, sizeof(url->target));
    }
    if (!good) {
        snprintf(error, NOTIFY_ERROR_SIZE,
                 "'%.80s' is no callback's address: write it as http://HOST:PORT/callback/, an IPv6 host in "
                 "brackets",
                 text);
    }
    return good;
}
