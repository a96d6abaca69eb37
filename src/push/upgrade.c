#define LOG_MODULE "push"
#include "push/upgrade.h"

#include <string.h>
#include <strings.h>

#include "push/device.h"
#include "push/tally.h"
#include "push/tls.h"
#include "push/waiting.h"

static const struct session_protocol *const SPOKEN[] = {&DEVICE_PROTOCOL};

bool upgrade_peer(struct lws *wsi, struct sockaddr_storage *address)
{
    socklen_t size = sizeof(*address);
    memset(address, 0, sizeof(*address));
    return getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)address, &size) == 0;
}

static bool offers_subprotocol(struct lws *wsi, const char *name)
{
    char offered[128];
    if (lws_hdr_copy(wsi, offered, sizeof(offered), WSI_TOKEN_PROTOCOL) <= 0) {
        return false;
    }
    char *rest = NULL;
    for (char *one = strtok_r(offered, ", \t", &rest); one != NULL; one = strtok_r(NULL, ", \t", &rest)) {
        if (strcmp(one, name) == 0) {
            return true;
        }
    }
    return false;
}

static const struct session_protocol *protocol_at(struct lws *wsi)
{
    char path[64];
    if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) <= 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(SPOKEN) / sizeof(SPOKEN[0]); i++) {
        if (strcmp(path, SPOKEN[i]->path) == 0) {
            return SPOKEN[i];
        }
    }
    return NULL;
}

static bool is_full(struct push *push, struct lws *wsi)
{
    if (sessions_count(push->sessions) >= push->options.sessions_most) {
        return true;
    }
    struct sockaddr_storage address;
    return push->options.sessions_per_ip_most != 0 && upgrade_peer(wsi, &address) &&
           !tally_is_loopback(&address) &&
           tally_count(push->tally, &address) >= push->options.sessions_per_ip_most;
}

/* 0: go on with the upgrade; 1: answered. */
static int judge_upgrade(struct push *push, struct lws *wsi)
{
    const struct session_protocol *protocol = protocol_at(wsi);
    unsigned int status;
    const char *why;
    if (push->listener == NULL) {
        status = HTTP_STATUS_SERVICE_UNAVAILABLE;
        why = "The relay stops.";
    } else if (protocol == NULL) {
        metrics_add(push->counters.refused_target, 1);
        status = HTTP_STATUS_NOT_FOUND;
        why = "Devices connect to /device.";
    } else if (!offers_subprotocol(wsi, protocol->subprotocol)) {
        metrics_add(push->counters.refused_target, 1);
        status = HTTP_STATUS_BAD_REQUEST;
        why = "Offer the subprotocol coinslot.v1.";
    } else if (is_full(push, wsi)) {
        metrics_add(push->counters.refused_full, 1);
        status = HTTP_STATUS_SERVICE_UNAVAILABLE;
        why = "Too many sessions. Try again later.";
    } else {
        return 0;
    }
    return lws_return_http_status(wsi, status, why) == 0 ? 1 : -1;
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
    case LWS_CALLBACK_WSI_DESTROY:
        waiting_leave(push, wsi);
        return 0;
    case LWS_CALLBACK_TIMER:
        waiting_time_out(push);
        return -1;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        if (strcasecmp(in, "websocket") != 0) {
            return -1;
        }
        return judge_upgrade(push, wsi);
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
        return 1; /* this name is no subprotocol */
    case LWS_CALLBACK_HTTP:
        if (lws_return_http_status(wsi, 426, "This port speaks WebSocket.") != 0) {
            return -1;
        }
        return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, length);
    }
}
