#define LOG_MODULE "push"
#include "push/listener.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define ACCEPTS_AT_ONCE 64  /* then the sessions get their turn */
#define PAUSE_MS        200 /* when the process has no file descriptor left */

struct listener {
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    uint16_t port;
    int handles; /* still open in the loop */
    listener_accepted accepted;
    void *context;
};

static int bind_first(const struct addrinfo *candidates, int *why)
{
    *why = 0;
    for (const struct addrinfo *candidate = candidates; candidate != NULL; candidate = candidate->ai_next) {
        int fd = socket(candidate->ai_family, candidate->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                        candidate->ai_protocol);
        if (fd < 0) {
            *why = errno;
            continue;
        }
        int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, candidate->ai_addr, candidate->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) {
            return fd;
        }
        *why = errno;
        close(fd);
    }
    return -1;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    int failed = getsockname(fd, (struct sockaddr *)&address, &size);
    assert(failed == 0);
    if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &address, sizeof(in6));
        return ntohs(in6.sin6_port);
    }
    struct sockaddr_in in;
    memcpy(&in, &address, sizeof(in));
    return ntohs(in.sin_port);
}

static void on_resume(uv_timer_t *timer)
{
    listener_start(timer->data);
}

enum cs_err listener_open(uv_loop_t *loop, const char *host, uint16_t port, listener_accepted accepted,
                          void *context, struct listener **opened, char *error, size_t error_size)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    struct addrinfo *candidates = NULL;
    int failed = getaddrinfo(host, service, &hints, &candidates);
    if (failed != 0) {
        snprintf(
            error, error_size,
            "the WebSocket address %s is not understood (%s): give one of this machine's, as 127.0.0.1:7091",
            host, gai_strerror(failed));
        return CS_EIO;
    }
    int why;
    int fd = bind_first(candidates, &why);
    freeaddrinfo(candidates);
    if (fd < 0) {
        snprintf(error, error_size,
                 "cannot listen for WebSockets on %s port %u (%s): choose another with --ws", host, port,
                 strerror(why));
        return CS_EIO;
    }
    struct listener *listener = cs_alloc(sizeof(*listener));
    listener->fd = fd;
    listener->port = port_of(fd);
    listener->accepted = accepted;
    listener->context = context;
    failed = uv_poll_init(loop, &listener->poll, fd);
    assert(failed == 0);
    failed = uv_timer_init(loop, &listener->pause);
    assert(failed == 0);
    listener->poll.data = listener->pause.data = listener;
    listener->handles = 2;
    *opened = listener;
    return CS_OK;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    if (status < 0 || (events & UV_READABLE) == 0) {
        return;
    }
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            listener->accepted(listener->context, fd);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays in the backlog: polling on would spin. */
            log_warn("cannot accept a connection (%s); trying again in %d ms", strerror(errno), PAUSE_MS);
            uv_poll_stop(&listener->poll);
            uv_timer_start(&listener->pause, on_resume, PAUSE_MS, 0);
            return;
        }
        /* Anything else is that one connection's own trouble (accept(2), "Error handling"). */
    }
}

void listener_start(struct listener *listener)
{
    int failed = uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    assert(failed == 0);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    if (--listener->handles == 0) {
        free(listener);
    }
}

void listener_close(struct listener *listener)
{
    uv_poll_stop(&listener->poll);
    uv_timer_stop(&listener->pause);
    close(listener->fd);
    uv_close((uv_handle_t *)&listener->poll, on_closed);
    uv_close((uv_handle_t *)&listener->pause, on_closed);
}
