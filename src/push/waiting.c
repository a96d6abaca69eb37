#define LOG_MODULE "push"
#include "push/waiting.h"

#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/tally.h"

struct waiting {
    /* Whose; an IPv4 address fits too. Kept, for a socket that was reset does not know its peer any more. */
    struct sockaddr_in6 peer;
    bool counted; /* among its peer's */
    struct push *push;
    struct lws *wsi;
    struct wheel_timer timer;
};

void waiting_open(struct push *push)
{
    assert(push->options.waiting_most > 0);
    push->waiting_peers = tally_open();
    bucket_init(&push->handshakes, push->options.handshakes_per_s, clock_monotonic_ns());
}

void waiting_close(struct push *push)
{
    tally_close(push->waiting_peers);
}

static int64_t waiting_count(const struct push *push)
{
    return atomic_load_explicit(&push->counters.waiting, memory_order_relaxed);
}

/* Those of one address are turned away first: they shall not use up what is there for all. */
static metrics_count *refuse(struct push *push, const struct sockaddr_storage *address, bool limited)
{
    if (limited && tally_count(push->waiting_peers, address) >= push->options.waiting_per_ip_most) {
        return push->counters.refused_waiting_per_ip;
    }
    if (waiting_count(push) >= (int64_t)push->options.waiting_most) {
        return push->counters.refused_waiting;
    }
    if (!bucket_take(&push->handshakes, clock_monotonic_ns())) {
        return push->counters.refused_rate;
    }
    return NULL;
}

static struct waiting *enter(struct push *push, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);
    memset(&address, 0, sizeof(address));
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0) {
        return NULL; /* gone again */
    }
    bool limited = push->options.waiting_per_ip_most != 0 && !tally_is_loopback(&address);
    metrics_count *refused = refuse(push, &address, limited);
    if (refused != NULL) {
        metrics_add(refused, 1);
        return NULL;
    }
    struct waiting *waiting = cs_alloc(sizeof(*waiting));
    memcpy(&waiting->peer, &address, sizeof(waiting->peer));
    waiting->counted = limited;
    waiting->push = push;
    if (limited) {
        tally_add(push->waiting_peers, &address);
    }
    atomic_fetch_add(&push->counters.waiting, 1);
    return waiting;
}

static void leave(struct push *push, struct waiting *waiting)
{
    if (waiting->counted) {
        struct sockaddr_storage address = {0};
        memcpy(&address, &waiting->peer, sizeof(waiting->peer));
        tally_remove(push->waiting_peers, &address);
    }
    atomic_fetch_sub(&push->counters.waiting, 1);
    wheel_clear(&waiting->timer);
    free(waiting);
}

static void on_timeout(struct wheel_timer *timer)
{
    struct waiting *waiting = (struct waiting *)((char *)timer - offsetof(struct waiting, timer));
    metrics_add(waiting->push->counters.refused[DEVICE_CLOSE_HELLO_TIMEOUT], 1);
    lws_set_timeout(waiting->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
}

void waiting_take(void *context, int fd)
{
    struct push *push = context;
    struct waiting *waiting = enter(push, fd);
    if (waiting == NULL) {
        close(fd);
        return;
    }
    push->adopting = waiting;
    const struct lws_adopt_desc adopted = {
        .vh = push->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd = {.sockfd = fd},
        .opaque = waiting,
    };
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&adopted);
    if (wsi != NULL) {
        /* One for all that comes before the session: libwebsockets' own begins anew with each step. */
        waiting->wsi = wsi;
        push_set_timer(push, &waiting->timer, (uint64_t)push->options.hello_timeout_s * 1000, on_timeout);
    } else if (push->adopting != NULL) {
        push->adopting = NULL;
        leave(push, waiting); /* the socket is closed by then */
    }
}

void waiting_adopted(struct push *push)
{
    push->adopting = NULL;
}

void waiting_upgraded(struct lws *wsi)
{
    struct waiting *waiting = lws_get_opaque_user_data(wsi);
    wheel_clear(&waiting->timer);
}

void waiting_leave(struct push *push, struct lws *wsi)
{
    struct waiting *waiting = lws_get_opaque_user_data(wsi);
    if (waiting == NULL) {
        return;
    }
    lws_set_opaque_user_data(wsi, NULL);
    leave(push, waiting);
}
