#include "http/target.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/log.h"

static enum cs_err refuse(char error[TARGET_ERROR_SIZE], const char *why)
{
    snprintf(error, TARGET_ERROR_SIZE, "%s", why);
    return CS_EINVAL;
}

/* Decodes in place. An encoded NUL would cut the string short behind everybody's back: refused. */
static enum cs_err decode(char *text, bool plus_is_space, char error[TARGET_ERROR_SIZE])
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '%') {
            char digits[3] = {from[1], from[1] != '\0' ? from[2] : '\0', '\0'};
            uint8_t byte;
            if (!hex_decode(digits, &byte, 1)) {
                return refuse(error,
                              "the URL has a % that two hexadecimal digits do not follow; write %25 for a %");
            }
            if (byte == 0) {
                return refuse(error, "the URL has an encoded NUL (%00)");
            }
            *to++ = (char)byte;
            from += 2;
        } else {
            *to++ = *from == '+' && plus_is_space ? ' ' : *from;
        }
    }
    *to = '\0';
    return CS_OK;
}

static enum cs_err split_path(struct target *target, char *path, char error[TARGET_ERROR_SIZE])
{
    if (*path != '/') {
        return refuse(error, "the URL's path has to begin with a slash");
    }
    char *rest = path + 1;
    while (rest != NULL) {
        char *segment = strsep(&rest, "/");
        if (target->segment_count == TARGET_SEGMENTS_MOST) {
            return refuse(error, "the URL's path has too many segments");
        }
        if (decode(segment, false, error) != CS_OK) {
            return CS_EINVAL;
        }
        target->segments[target->segment_count++] = segment;
    }
    return CS_OK;
}

static enum cs_err split_query(struct target *target, char *query, char error[TARGET_ERROR_SIZE])
{
    while (query != NULL) {
        char *value = strsep(&query, "&");
        if (*value == '\0') {
            continue;
        }
        char *name = strsep(&value, "=");
        if (decode(name, true, error) != CS_OK || (value != NULL && decode(value, true, error) != CS_OK)) {
            return CS_EINVAL;
        }
        if (target_query(target, name) != NULL) {
            return refuse(error, "the URL gives a query parameter twice; give it once");
        }
        if (target->query_count == TARGET_QUERY_MOST) {
            return refuse(error, "the URL has too many query parameters");
        }
        target->query[target->query_count++] = (struct target_pair){name, value != NULL ? value : ""};
    }
    return CS_OK;
}

/* Proxies send the absolute form, and servers must accept it (RFC 9112, section 3.2.2). */
static const char *skip_authority(const char *raw)
{
    if (strncasecmp(raw, "http://", 7) != 0 && strncasecmp(raw, "https://", 8) != 0) {
        return raw;
    }
    const char *authority = strchr(raw, ':') + 3;
    return authority + strcspn(authority, "/?");
}

enum cs_err target_init(struct target *target, const char *raw, char error[TARGET_ERROR_SIZE])
{
    memset(target, 0, sizeof(*target));
    const char *relative = skip_authority(raw);
    bool rootless = relative != raw && *relative != '/'; /* "http://host?x" means "/?x" */
    size_t size = strlen(relative) + 2;
    target->text = cs_alloc(size);
    snprintf(target->text, size, "%s%s", rootless ? "/" : "", relative);

    char *query = target->text;
    char *path = strsep(&query, "?");
    target->path = cs_strdup(path);
    if (split_path(target, path, error) != CS_OK) {
        return CS_EINVAL;
    }
    return split_query(target, query, error);
}

void target_fini(struct target *target)
{
    free(target->path);
    free(target->text);
}

const char *target_query(const struct target *target, const char *name)
{
    for (size_t i = 0; i < target->query_count; i++) {
        if (strcmp(target->query[i].name, name) == 0) {
            return target->query[i].value;
        }
    }
    return NULL;
}
