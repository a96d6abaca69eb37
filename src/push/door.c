#include "push/door.h"

#include <string.h>
#include <strings.h>

#include "push/legacy_frames.h"
#include "push/tally.h"
#include "push/upgrade.h"

/* Through a proxy, or from a web page, everything looks like a program on this machine. */
static bool is_of_this_machine(struct lws *wsi)
{
    static const enum lws_token_indexes traces[] = {WSI_TOKEN_X_FORWARDED_FOR, WSI_TOKEN_HTTP_X_REAL_IP,
                                                    WSI_TOKEN_HTTP_VIA};
    static const char forwarded[] =
        "forwarded:"; /* RFC 7239; libwebsockets knows it only as a custom header */
    struct sockaddr_storage address;
    if (!upgrade_peer(wsi, &address) || !tally_is_loopback(&address) ||
        lws_hdr_custom_length(wsi, forwarded, (int)strlen(forwarded)) >= 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        if (lws_hdr_total_length(wsi, traces[i]) > 0) {
            return false;
        }
    }
    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) == 0) {
        return true;
    }
    char origin[128];
    return lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN) > 0 && legacy_is_local_origin(origin);
}

static bool is_private(struct lws *wsi)
{
    struct sockaddr_storage address;
    return lws_is_ssl(wsi) || (upgrade_peer(wsi, &address) && tally_is_loopback(&address));
}

unsigned int door_judge(const struct push *push, struct lws *wsi, enum push_policy policy,
                        const struct door_words *words, const char **why)
{
    switch (policy) {
    case POLICY_OFF:
        *why = words->off;
        return HTTP_STATUS_NOT_FOUND;
    case POLICY_KEY:
        *why = words->in_the_clear;
        return push->options.allow_plain_tokens || is_private(wsi) ? 0 : HTTP_STATUS_FORBIDDEN;
    case POLICY_OPEN:
        *why = words->not_here;
        return is_of_this_machine(wsi) ? 0 : HTTP_STATUS_FORBIDDEN;
    }
    return HTTP_STATUS_FORBIDDEN;
}

bool door_knows(const struct push *push, const uint8_t token[STORE_HASH_SIZE])
{
    struct store_api_token found;
    return store_find_api_token(push->store, token, &found);
}

bool door_take_key(const struct push *push, const char *key, uint8_t token[STORE_HASH_SIZE])
{
    store_hash_token(push->store, key, token);
    return key[0] != '\0' && door_knows(push, token);
}

static bool read_bearer(struct lws *wsi, char key[DOOR_KEY_SIZE])
{
    static const char scheme[] = "Bearer ";
    char header[sizeof(scheme) + DOOR_KEY_SIZE];
    if (lws_hdr_copy(wsi, header, sizeof(header), WSI_TOKEN_HTTP_AUTHORIZATION) <= 0 ||
        strncasecmp(header, scheme, strlen(scheme)) != 0) {
        return false;
    }
    const char *token = header + strlen(scheme);
    token += strspn(token, " ");
    snprintf(key, DOOR_KEY_SIZE, "%.*s", DOOR_KEY_SIZE - 1, token);
    return true;
}

bool door_read_key(struct lws *wsi, char key[DOOR_KEY_SIZE])
{
    static const char name[] = "api_key=";
    char argument[sizeof(name) + DOOR_KEY_SIZE];
    if (read_bearer(wsi, key)) {
        return true;
    }
    const char *found = lws_get_urlarg_by_name(wsi, name, argument, (int)sizeof(argument));
    if (found == NULL) {
        return false;
    }
    snprintf(key, DOOR_KEY_SIZE, "%.*s", DOOR_KEY_SIZE - 1, found);
    return true;
}
