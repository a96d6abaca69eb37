#include "simulate/notify.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/response.h"

#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS  2000
#define READ_BYTES     16384

enum slot_state {
    SLOT_FREE, /* its connection may still be open, with keep-alive */
    SLOT_CONNECTING,
    SLOT_WRITING,
    SLOT_READING,
    SLOT_RESTING, /* until again_ns, when it is tried again */
};

struct slot {
    enum slot_state state;
    int fd;                         /* -1: none */
    const struct addrinfo *address; /* that is being tried */
    bool reused;                    /* the connection has carried an answer before */
    char *request;
    size_t size, sent;
    void *tag;
    struct response response;
    unsigned tries;
    uint64_t posted_ns, tried_ns, again_ns;
};

struct notify {
    struct notify_options options;
    notify_done done;
    void *context;
    struct addrinfo *addresses;
    struct slot *slots;
    size_t *free_slots; /* a stack: the connection used last is used next */
    size_t free_count;
    struct pollfd *polled; /* one more than there are slots: for watched_fd */
    size_t *polled_slots;
    int watched_fd;
};

enum cs_err notify_open(const struct notify_options *options, notify_done done, void *context,
                        struct notify **result, char error[NOTIFY_ERROR_SIZE])
{
    assert(options->connections >= 1);
    const struct notify_url *url = options->url;
    struct addrinfo *addresses = NULL;
    int failed =
        getaddrinfo(url->host, url->port, &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &addresses);
    if (failed != 0) {
        snprintf(error, NOTIFY_ERROR_SIZE, "the host %.100s has no address (%s): check --callback", url->host,
                 gai_strerror(failed));
        return CS_ENOTFOUND;
    }
    struct notify *notify = cs_alloc(sizeof(*notify));
    notify->options = *options;
    notify->done = done;
    notify->context = context;
    notify->addresses = addresses;
    notify->slots = cs_alloc(options->connections * sizeof(notify->slots[0]));
    notify->free_slots = cs_alloc(options->connections * sizeof(notify->free_slots[0]));
    notify->watched_fd = -1;
    notify->polled = cs_alloc((options->connections + 1) * sizeof(notify->polled[0]));
    notify->polled_slots = cs_alloc(options->connections * sizeof(notify->polled_slots[0]));
    for (size_t i = 0; i < options->connections; i++) {
        notify->slots[i].fd = -1;
        notify->free_slots[notify->free_count++] = i;
    }
    *result = notify;
    return CS_OK;
}

bool notify_has_room(const struct notify *notify)
{
    return notify->free_count > 0;
}

size_t notify_in_flight(const struct notify *notify)
{
    return notify->options.connections - notify->free_count;
}

static void drop_connection(struct slot *slot)
{
    if (slot->fd >= 0) {
        close(slot->fd);
        slot->fd = -1;
    }
}

/* The end of a post: frees the slot, then tells. */
static void finish(struct notify *notify, struct slot *slot, const char *error)
{
    if (slot->fd >= 0 &&
        (*error != '\0' || !notify->options.keep_alive || !response_keeps_alive(&slot->response))) {
        drop_connection(slot);
    }
    struct notify_result result = {.status = *error == '\0' ? slot->response.status : 0,
                                   .error = error,
                                   .body = slot->response.body,
                                   .tries = slot->tries,
                                   .duration_ns = clock_monotonic_ns() - slot->posted_ns};
    free(slot->request);
    slot->request = NULL;
    slot->state = SLOT_FREE;
    notify->free_slots[notify->free_count++] = (size_t)(slot - notify->slots);
    notify->done(notify->context, slot->tag, &result);
}

/* One try is over: with an answer, or without and `error` says why. */
static void end_try(struct notify *notify, struct slot *slot, const char *error)
{
    bool settled = *error == '\0' && slot->response.status < 500;
    if (!notify->options.retry || settled) {
        finish(notify, slot, error);
        return;
    }
    drop_connection(slot);
    uint64_t rest_ms = RETRY_FIRST_MS;
    for (unsigned i = 1; i < slot->tries && rest_ms < RETRY_LAST_MS; i++) {
        rest_ms *= 2;
    }
    rest_ms = rest_ms < RETRY_LAST_MS ? rest_ms : RETRY_LAST_MS;
    slot->state = SLOT_RESTING;
    slot->again_ns = clock_monotonic_ns() + rest_ms * 1000000;
}

/*
 * The server may close an idle connection at any time; that is no answer to what was sent afterwards. The next turn tries again on a
 * new connection, which does not count as another try.
 */
static bool begin_anew(struct slot *slot)
{
    if (!slot->reused || slot->response.head_bytes > 0) {
        return false;
    }
    drop_connection(slot);
    slot->tries--;
    slot->state = SLOT_RESTING;
    slot->again_ns = 0;
    return true;
}

static void write_request(struct notify *notify, struct slot *slot)
{
    while (slot->sent < slot->size) {
        ssize_t count = send(slot->fd, slot->request + slot->sent, slot->size - slot->sent, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EAGAIN || errno == EINTR) {
                return;
            }
            if (!begin_anew(slot)) {
                end_try(notify, slot, strerror(errno));
            }
            return;
        }
        slot->sent += (size_t)count;
    }
    slot->state = SLOT_READING;
}

static void begin_writing(struct notify *notify, struct slot *slot)
{
    slot->sent = 0;
    response_init(&slot->response);
    slot->state = SLOT_WRITING;
    write_request(notify, slot);
}

/* Tries slot->address and those after it. */
static void connect_next(struct notify *notify, struct slot *slot)
{
    int reason = EADDRNOTAVAIL;
    slot->reused = false;
    for (; slot->address != NULL; slot->address = slot->address->ai_next) {
        const struct addrinfo *address = slot->address;
        slot->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (slot->fd >= 0 && connect(slot->fd, address->ai_addr, address->ai_addrlen) == 0) {
            begin_writing(notify, slot);
            return;
        }
        reason = errno;
        if (slot->fd >= 0 && reason == EINPROGRESS) {
            slot->state = SLOT_CONNECTING;
            return;
        }
        drop_connection(slot);
    }
    end_try(notify, slot, strerror(reason));
}

static void begin_try(struct notify *notify, struct slot *slot)
{
    slot->tries++;
    slot->tried_ns = clock_monotonic_ns();
    response_init(&slot->response);
    if (slot->fd >= 0) {
        slot->reused = true;
        begin_writing(notify, slot);
        return;
    }
    slot->address = notify->addresses;
    connect_next(notify, slot);
}

void notify_post(struct notify *notify, char *request, size_t size, void *tag)
{
    assert(notify_has_room(notify));
    struct slot *slot = &notify->slots[notify->free_slots[--notify->free_count]];
    assert(slot->state == SLOT_FREE);
    slot->request = request;
    slot->size = size;
    slot->tag = tag;
    slot->tries = 0;
    slot->posted_ns = clock_monotonic_ns();
    begin_try(notify, slot);
}

static void end_connecting(struct notify *notify, struct slot *slot)
{
    int reason = 0;
    socklen_t size = sizeof(reason);
    if (getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &reason, &size) != 0) {
        reason = errno;
    }
    if (reason == 0) {
        begin_writing(notify, slot);
        return;
    }
    drop_connection(slot);
    slot->address = slot->address->ai_next;
    if (slot->address != NULL) {
        connect_next(notify, slot);
    } else {
        end_try(notify, slot, strerror(reason));
    }
}

static void read_answer(struct notify *notify, struct slot *slot)
{
    char bytes[READ_BYTES];
    const char *error = "";
    ssize_t count = recv(slot->fd, bytes, sizeof(bytes), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0 && begin_anew(slot)) {
        return;
    }
    if (count < 0) {
        end_try(notify, slot, strerror(errno));
        return;
    }
    enum response_progress progress = count == 0
                                          ? response_end(&slot->response, &error)
                                          : response_feed(&slot->response, bytes, (size_t)count, &error);
    switch (progress) {
    case RESPONSE_MORE:
        return;
    case RESPONSE_DONE:
        end_try(notify, slot, "");
        return;
    case RESPONSE_BAD:
        end_try(notify, slot, error);
        return;
    }
}

static void move_on(struct notify *notify, struct slot *slot)
{
    switch (slot->state) {
    case SLOT_CONNECTING:
        end_connecting(notify, slot);
        return;
    case SLOT_WRITING:
        write_request(notify, slot);
        return;
    case SLOT_READING:
        read_answer(notify, slot);
        return;
    case SLOT_FREE:
    case SLOT_RESTING:
        return;
    }
}

/* Lists what to wait for, and shortens the wait to the next thing that the clock decides. */
static size_t gather(struct notify *notify, unsigned *wait_ms)
{
    size_t count = 0;
    uint64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < notify->options.connections; i++) {
        const struct slot *slot = &notify->slots[i];
        if (slot->state == SLOT_FREE) {
            continue;
        }
        uint64_t due = slot->state == SLOT_RESTING
                           ? slot->again_ns
                           : slot->tried_ns + (uint64_t)notify->options.timeout_ms * 1000000;
        uint64_t left_ms = due > now ? (due - now) / 1000000 + 1 : 0;
        *wait_ms = left_ms < *wait_ms ? (unsigned)left_ms : *wait_ms;
        if (slot->state != SLOT_RESTING) {
            short events = slot->state == SLOT_READING ? POLLIN : POLLOUT;
            notify->polled[count] = (struct pollfd){.fd = slot->fd, .events = events};
            notify->polled_slots[count++] = i;
        }
    }
    return count;
}

static void act_on_time(struct notify *notify)
{
    uint64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < notify->options.connections; i++) {
        struct slot *slot = &notify->slots[i];
        if (slot->state == SLOT_RESTING) {
            if (now >= slot->again_ns) {
                begin_try(notify, slot);
            }
        } else if (slot->state != SLOT_FREE &&
                   now >= slot->tried_ns + (uint64_t)notify->options.timeout_ms * 1000000) {
            end_try(notify, slot, "no answer in time");
        }
    }
}

void notify_watch(struct notify *notify, int fd)
{
    notify->watched_fd = fd;
}

void notify_turn(struct notify *notify, unsigned wait_ms)
{
    size_t count = gather(notify, &wait_ms);
    notify->polled[count] = (struct pollfd){.fd = notify->watched_fd, .events = POLLIN}; /* poll skips -1 */
    int ready = poll(notify->polled, count + 1, (int)wait_ms);
    for (size_t i = 0; ready > 0 && i < count; i++) {
        if (notify->polled[i].revents != 0) {
            move_on(notify, &notify->slots[notify->polled_slots[i]]);
        }
    }
    act_on_time(notify);
}

void notify_close(struct notify *notify)
{
    for (size_t i = 0; i < notify->options.connections; i++) {
        struct slot *slot = &notify->slots[i];
        if (slot->state != SLOT_FREE) {
            finish(notify, slot, "stopped before an answer came");
        }
        drop_connection(slot);
    }
    freeaddrinfo(notify->addresses);
    free(notify->slots);
    free(notify->free_slots);
    free(notify->polled);
    free(notify->polled_slots);
    free(notify);
}
