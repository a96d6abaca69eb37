#define LOG_MODULE "push"
#include "push/upgrade.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/log.h"
#include "push/device.h"
#include "push/legacy.h"
#include "push/nano.h"
#include "push/tally.h"
#include "push/tls.h"
#include "push/waiting.h"

static const struct session_protocol *const SPOKEN[] = {&DEVICE_PROTOCOL, &LEGACY_PROTOCOL, &NANO_PROTOCOL};
#define HTTP_STATUS_UPGRADE_REQUIRED 426
#define SPOKEN_COUNT                 (sizeof(SPOKEN) / sizeof(SPOKEN[0]))

bool upgrade_peer(struct lws *wsi, struct sockaddr_storage *address)
{
    socklen_t size = sizeof(*address);
    memset(address, 0, sizeof(*address));
    return getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)address, &size) == 0;
}

/* The subprotocol that libwebsockets will settle on: the first of the offered ones that is spoken here. NULL: none is. */
static const char *first_offered(struct lws *wsi)
{
    char offered[128];
    if (lws_hdr_copy(wsi, offered, sizeof(offered), WSI_TOKEN_PROTOCOL) <= 0) {
        return NULL;
    }
    char *rest = NULL;
    for (char *one = strtok_r(offered, ", \t", &rest); one != NULL; one = strtok_r(NULL, ", \t", &rest)) {
        for (size_t i = 0; i < SPOKEN_COUNT; i++) {
            if (strcmp(one, SPOKEN[i]->subprotocol) == 0) {
                return SPOKEN[i]->subprotocol;
            }
        }
    }
    return NULL;
}

static bool offers(struct lws *wsi, const struct session_protocol *protocol)
{
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) == 0) {
        return protocol->subprotocol_optional;
    }
    const char *offered = first_offered(wsi);
    return offered != NULL && strcmp(offered, protocol->subprotocol) == 0;
}

const struct session_protocol *upgrade_protocol(struct lws *wsi)
{
    char path[64];
    if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) <= 0) {
        return NULL;
    }
    for (size_t i = 0; i < SPOKEN_COUNT; i++) {
        if (strcmp(path, SPOKEN[i]->path) == 0) {
            return SPOKEN[i];
        }
    }
    return NULL;
}

bool upgrade_is_for(struct lws *wsi, const char *subprotocol)
{
    const struct session_protocol *protocol = upgrade_protocol(wsi);
    return protocol != NULL && strcmp(protocol->subprotocol, subprotocol) == 0;
}

/*
 * 1: answered. libwebsockets' own helper answers HTTP/1.0 before an upgrade, which Python's `websockets` takes for no answer at all: then
 * nobody would read why. Any words may follow the status (RFC 9112, section 4).
 */
static int answer(struct lws *wsi, unsigned int status, const char *headers, const char *why)
{
    char bytes[LWS_PRE + 512];
    int length = snprintf(bytes + LWS_PRE, sizeof(bytes) - LWS_PRE,
                          "HTTP/1.1 %u Refused\r\nConnection: close\r\n%sContent-Type: text/plain\r\n"
                          "Content-Length: %zu\r\n\r\n%s\n",
                          status, headers, strlen(why) + 1, why);
    assert(length > 0 && (size_t)length < sizeof(bytes) - LWS_PRE);
    int written = lws_write(wsi, (unsigned char *)bytes + LWS_PRE, (size_t)length, LWS_WRITE_HTTP_HEADERS);
    return written == length ? 1 : -1;
}

/* While `on`, the kernel sends full packets only. */
static void set_cork(struct lws *wsi, int on)
{
    setsockopt(lws_get_socket_fd(wsi), IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

void upgrade_done(struct lws *wsi)
{
    set_cork(wsi, 0);
}

/* 0: go on with the upgrade; 1: answered. */
static int judge_upgrade(struct push *push, struct lws *wsi)
{
    const struct session_protocol *protocol = upgrade_protocol(wsi);
    unsigned int status;
    const char *why;
    struct sockaddr_storage address;
    if (push->listener == NULL) {
        status = HTTP_STATUS_SERVICE_UNAVAILABLE;
        why = "The relay stops.";
    } else if (protocol == NULL) {
        metrics_add(push->counters.refused_target, 1);
        status = HTTP_STATUS_NOT_FOUND;
        why = "Devices connect to /device.";
    } else if (!offers(wsi, protocol)) {
        metrics_add(push->counters.refused_target, 1);
        status = HTTP_STATUS_BAD_REQUEST;
        why = protocol->offer;
    } else if (protocol->judge != NULL && (status = protocol->judge(push, wsi, &why)) != 0) {
        log_debug("a client of %s is refused: %s", protocol->path, why);
    } else if (upgrade_peer(wsi, &address) && sessions_are_full(push, &address)) {
        metrics_add(push->counters.refused_full, 1);
        status = HTTP_STATUS_SERVICE_UNAVAILABLE;
        why = "Too many sessions. Try again later.";
    } else {
        set_cork(wsi, 1);
        return 0;
    }
    return answer(wsi, status, "", why);
}

int upgrade_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct push *push = lws_context_user(lws_get_context(wsi));
    switch ((int)reason) {
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        push_on_wake(push);
        return 0;
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        push_tls_set_up(push, user);
        return 0;
    case LWS_CALLBACK_WSI_CREATE:
        waiting_adopted(push);
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        waiting_leave(push, wsi);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        if (strcasecmp(in, "websocket") != 0) {
            return -1;
        }
        return judge_upgrade(push, wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return 1; /* this name is no subprotocol */
    case LWS_CALLBACK_HTTP:
        /* And that is the end: handshakes_per_s counts connections, so a connection has one request. (RFC 9110, section 15.5.22) */
        answer(wsi, HTTP_STATUS_UPGRADE_REQUIRED, "Upgrade: websocket\r\n", "This port speaks WebSocket.");
        return -1;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, length);
    }
}
