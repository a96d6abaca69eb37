#include "bench/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define EVENTS_MOST   512
#define READ_SIZE     (256u << 10)
#define SOURCES       64   /* 127.0.0.1 and the next ones */
#define OUT_KEPT_MOST 4096 /* a larger buffer is given back once it is empty: there are thousands */

struct loop {
    int epoll;
    uint8_t *read;
    struct link **dirty;
    size_t dirty_count, dirty_room;
    unsigned dials;
    int listener;
    struct link *(*accept)(void *context);
    void *accept_context;
};

void bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("coinslot-bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

int64_t loop_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct loop *loop_open(void)
{
    struct loop *loop = cs_alloc(sizeof(*loop));
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->read = cs_alloc(READ_SIZE);
    loop->listener = -1;
    /* The default slack of 50 us would be added to each latency. */
    if (loop->epoll < 0 || prctl(PR_SET_TIMERSLACK, 1000ul) != 0) {
        bench_die("no epoll: %s", strerror(errno));
    }
    return loop;
}

void loop_close(struct loop *loop)
{
    if (loop->listener >= 0) {
        close(loop->listener);
    }
    close(loop->epoll);
    free(loop->dirty);
    free(loop->read);
    free(loop);
}

/* ---- one connection -------------------------------------------------------------------------------- */

static void bytes_add(struct link_bytes *bytes, const void *more, size_t length)
{
    if (bytes->length + length > bytes->room) {
        size_t room = bytes->room < 256 ? 256 : bytes->room;
        while (room < bytes->length + length) {
            room *= 2;
        }
        bytes->at = cs_realloc(bytes->at, room);
        bytes->room = room;
    }
    memcpy(bytes->at + bytes->length, more, length);
    bytes->length += length;
}

static void bytes_take(struct link_bytes *bytes, size_t length)
{
    bytes->length -= length;
    if (bytes->length > 0) {
        memmove(bytes->at, bytes->at + length, bytes->length);
    } else if (bytes->room > OUT_KEPT_MOST) {
        free(bytes->at);
        *bytes = (struct link_bytes){0};
    }
}

static void bytes_free(struct link_bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct link_bytes){0};
}

static void watch(struct link *link, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (link->blocked || !link->connected ? EPOLLOUT : 0u),
                                .data.ptr = link};
    if (epoll_ctl(link->loop->epoll, operation, link->fd, &event) != 0) {
        bench_die("epoll_ctl: %s", strerror(errno));
    }
}

static void forget_dirty(struct link *link)
{
    struct loop *loop = link->loop;
    for (size_t i = 0; link->dirty && i < loop->dirty_count; i++) {
        if (loop->dirty[i] == link) {
            loop->dirty[i] = NULL;
            link->dirty = false;
        }
    }
}

void link_drop(struct link *link)
{
    if (link->open) {
        forget_dirty(link);
        close(link->fd);
        link->open = link->connected = link->blocked = false;
    }
    bytes_free(&link->in);
    bytes_free(&link->out);
}

static void fail(struct link *link, const char *why)
{
    link_drop(link);
    link->calls->closed(link, why);
}

static void adopt(struct loop *loop, struct link *link, int fd, bool connected)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    link->loop = loop;
    link->fd = fd;
    link->open = true;
    link->connected = connected;
    link->dirty = link->blocked = false;
    watch(link, EPOLL_CTL_ADD);
}

void link_dial(struct loop *loop, struct link *link, uint16_t port, const struct link_calls *calls,
               void *owner)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        bench_die("socket: %s", strerror(errno));
    }
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + loop->dials++ % SOURCES)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    link->calls = calls;
    link->owner = owner;
    if (bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)) {
        const char *why = strerror(errno);
        close(fd);
        calls->closed(link, why);
        return;
    }
    adopt(loop, link, fd, false);
}

static void mark_dirty(struct link *link)
{
    struct loop *loop = link->loop;
    if (link->dirty || link->blocked || !link->connected) {
        return;
    }
    if (loop->dirty_count == loop->dirty_room) {
        loop->dirty_room = loop->dirty_room > 0 ? 2 * loop->dirty_room : 1024;
        loop->dirty = cs_realloc(loop->dirty, loop->dirty_room * sizeof(struct link *));
    }
    loop->dirty[loop->dirty_count++] = link;
    link->dirty = true;
}

void link_write(struct link *link, const void *bytes, size_t length)
{
    if (!link->open) {
        bench_die("written to a connection that is closed");
    }
    bytes_add(&link->out, bytes, length);
    mark_dirty(link);
}

void link_print(struct link *link, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof(text)) {
        bench_die("a message of %d bytes is too long", length);
    }
    link_write(link, text, (size_t)length);
}

static void flush(struct link *link)
{
    link->dirty = false;
    if (!link->open || link->out.length == 0) {
        return;
    }
    ssize_t sent = send(link->fd, link->out.at, link->out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
        fail(link, strerror(errno));
        return;
    }
    bytes_take(&link->out, sent > 0 ? (size_t)sent : 0);
    bool blocked = link->out.length > 0;
    if (blocked != link->blocked) {
        link->blocked = blocked;
        watch(link, EPOLL_CTL_MOD);
    }
}

static void become_connected(struct link *link)
{
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        fail(link, strerror(error));
        return;
    }
    link->connected = true;
    watch(link, EPOLL_CTL_MOD);
    if (link->calls->opened != NULL) {
        link->calls->opened(link);
    }
    if (link->open && link->out.length > 0) {
        mark_dirty(link);
    }
}

static void take(struct link *link, const uint8_t *bytes, size_t length)
{
    if (link->in.length > 0) {
        bytes_add(&link->in, bytes, length);
        size_t used = link->calls->heard(link, link->in.at, link->in.length);
        if (link->open) {
            bytes_take(&link->in, used);
        }
        return;
    }
    size_t used = link->calls->heard(link, bytes, length);
    if (link->open && used < length) {
        bytes_add(&link->in, bytes + used, length - used);
    }
}

static void hear(struct link *link)
{
    ssize_t got = recv(link->fd, link->loop->read, READ_SIZE, MSG_DONTWAIT);
    if (got > 0) {
        take(link, link->loop->read, (size_t)got);
    } else if (got == 0) {
        fail(link, "the other end has closed it");
    } else if (errno != EAGAIN) {
        fail(link, strerror(errno));
    }
}

/* ---- listening ------------------------------------------------------------------------------------- */

void loop_listen(struct loop *loop, uint16_t port, struct link *(*accept)(void *context), void *context)
{
    const int on = 1;
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    loop->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = loop};
    if (loop->listener < 0 || setsockopt(loop->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(loop->listener, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(loop->listener, 16) != 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->listener, &event) != 0) {
        bench_die("listening on port %u: %s", port, strerror(errno));
    }
    loop->accept = accept;
    loop->accept_context = context;
}

static void take_connection(struct loop *loop)
{
    int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct link *link = loop->accept(loop->accept_context);
    if (link == NULL) {
        close(fd);
        return;
    }
    adopt(loop, link, fd, true); /* with calls and owner that `accept` has set */
}

/* ---- the loop -------------------------------------------------------------------------------------- */

static void serve(struct loop *loop, const struct epoll_event *event)
{
    if (event->data.ptr == loop) {
        take_connection(loop);
        return;
    }
    struct link *link = event->data.ptr;
    if (!link->open) {
        return; /* dropped by what came before it in this turn */
    }
    if (!link->connected) {
        if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
            become_connected(link);
        }
        return;
    }
    if (event->events & EPOLLOUT) {
        flush(link);
    }
    if (link->open && event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        hear(link);
    }
}

static void flush_all(struct loop *loop)
{
    for (size_t i = 0; i < loop->dirty_count; i++) {
        if (loop->dirty[i] != NULL) {
            flush(loop->dirty[i]);
        }
    }
    loop->dirty_count = 0;
}

void loop_turn(struct loop *loop, int64_t until_ns)
{
    struct epoll_event events[EVENTS_MOST];
    flush_all(loop); /* what was written outside a turn */
    int64_t wait_ns = until_ns - loop_now_ns();
    struct timespec wait = {.tv_sec = wait_ns > 0 ? wait_ns / 1000000000 : 0,
                            .tv_nsec = wait_ns > 0 ? wait_ns % 1000000000 : 0};
    int count = epoll_pwait2(loop->epoll, events, EVENTS_MOST, &wait, NULL);
    if (count < 0 && errno != EINTR) {
        bench_die("epoll_pwait2: %s", strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        serve(loop, &events[i]);
    }
    flush_all(loop);
}
