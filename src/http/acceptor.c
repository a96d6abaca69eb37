#include "http/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define LOG_MODULE "http"

#define PAUSE_MS 100 /* when the process has no file descriptor left */

/* A connection that was handed over, and that no thread serves yet. */
struct arrival {
    struct arrival *next;
    int fd;
    struct client *client;
};

struct acceptor {
    struct acceptor_options options;
    pthread_t thread;
    atomic_bool stopping;
    bool stopped;
    pthread_mutex_t lock;
    struct arrival *arrivals; /* under the lock */
};

/* NULL: there is none. */
static struct client *take_arrival(struct acceptor *acceptor, int fd)
{
    struct client *client = NULL;
    pthread_mutex_lock(&acceptor->lock);
    struct arrival **link = &acceptor->arrivals;
    while (*link != NULL && (*link)->fd != fd) {
        link = &(*link)->next;
    }
    struct arrival *arrival = *link;
    if (arrival != NULL) {
        *link = arrival->next;
        client = arrival->client;
        free(arrival);
    }
    pthread_mutex_unlock(&acceptor->lock);
    return client;
}

struct client *acceptor_claim(struct acceptor *acceptor, int fd)
{
    struct client *client = take_arrival(acceptor, fd);
    assert(client != NULL);
    return client;
}

static void add_arrival(struct acceptor *acceptor, int fd, struct client *client)
{
    struct arrival *arrival = cs_alloc(sizeof(*arrival));
    arrival->fd = fd;
    arrival->client = client;
    pthread_mutex_lock(&acceptor->lock);
    arrival->next = acceptor->arrivals;
    acceptor->arrivals = arrival;
    pthread_mutex_unlock(&acceptor->lock);
}

/* Its place is free again, if it has one that nobody has claimed. */
static void forget_arrival(struct acceptor *acceptor, int fd)
{
    struct client *client = take_arrival(acceptor, fd);
    if (client != NULL) {
        clients_leave(acceptor->options.clients, client);
    }
}

static void take(struct acceptor *acceptor, int fd, const struct sockaddr *address, socklen_t size)
{
    /* libmicrohttpd closes a socket without a word when memory is short: then its number comes again. */
    forget_arrival(acceptor, fd);
    struct client *client;
    switch (clients_enter(acceptor->options.clients, address, &client)) {
    case CLIENTS_WELCOME:
        add_arrival(acceptor, fd, client);
        if (!acceptor->options.hand_over(acceptor->options.context, fd, address, size)) {
            forget_arrival(acceptor, fd);
        }
        return;
    case CLIENTS_TOO_MANY:
        metrics_add(acceptor->options.refused_total, 1);
        break;
    case CLIENTS_TOO_MANY_PER_IP:
        metrics_add(acceptor->options.refused_per_ip, 1);
        break;
    }
    close(fd);
}

static void *acceptor_run(void *context)
{
    struct acceptor *acceptor = context;
    while (!atomic_load(&acceptor->stopping)) {
        struct sockaddr_storage address;
        socklen_t size = sizeof(address);
        memset(&address, 0, sizeof(address));
        int fd = accept4(acceptor->options.listening, (struct sockaddr *)&address, &size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(acceptor, fd, (struct sockaddr *)&address, size);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The connection stays in the backlog: to go on at once would be to spin. */
            log_warn("cannot accept a connection (%s); trying again in %d ms", strerror(errno), PAUSE_MS);
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        }
        /* Anything else is that one connection's own trouble (accept(2), "Error handling"), or the stop. */
    }
    return NULL;
}

struct acceptor *acceptor_open(const struct acceptor_options *options)
{
    struct acceptor *acceptor = cs_alloc(sizeof(*acceptor));
    acceptor->options = *options;
    pthread_mutex_init(&acceptor->lock, NULL);
    return acceptor;
}

void acceptor_start(struct acceptor *acceptor)
{
    int refused = pthread_create(&acceptor->thread, NULL, acceptor_run, acceptor);
    assert(refused == 0);
}

void acceptor_stop(struct acceptor *acceptor)
{
    if (acceptor->stopped) {
        return;
    }
    acceptor->stopped = true;
    atomic_store(&acceptor->stopping, true);
    shutdown(acceptor->options.listening, SHUT_RDWR); /* on Linux this ends an accept that waits, too */
    pthread_join(acceptor->thread, NULL);
    close(acceptor->options.listening);
}

void acceptor_close(struct acceptor *acceptor)
{
    assert(acceptor->stopped);
    while (acceptor->arrivals != NULL) { /* the stop was faster than the threads */
        forget_arrival(acceptor, acceptor->arrivals->fd);
    }
    pthread_mutex_destroy(&acceptor->lock);
    free(acceptor);
}
