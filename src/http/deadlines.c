#include "http/deadlines.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

#define SECOND_NS UINT64_C(1000000000)

struct deadlines {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the first one, or `stop` */
    pthread_t thread;
    uint64_t timeout_ns;
    metrics_count *cut;
    struct deadline *first, *last; /* all have the same time, so the first set is the first due */
    bool stop;
};

/* With the lock held. */
static void unlink_deadline(struct deadlines *deadlines, struct deadline *deadline)
{
    *(deadline->before != NULL ? &deadline->before->after : &deadlines->first) = deadline->after;
    *(deadline->after != NULL ? &deadline->after->before : &deadlines->last) = deadline->before;
    deadline->before = deadline->after = NULL;
    deadline->set = false;
}

/* Its thread then reads the end of the stream and closes it as if the client had. */
static void cut(struct deadlines *deadlines, struct deadline *late)
{
    unlink_deadline(deadlines, late);
    metrics_add(deadlines->cut, 1);
    shutdown(late->fd, SHUT_RDWR);
}

static void *deadlines_run(void *context)
{
    struct deadlines *deadlines = context;
    pthread_mutex_lock(&deadlines->lock);
    while (!deadlines->stop) {
        struct deadline *first = deadlines->first;
        if (first == NULL) {
            pthread_cond_wait(&deadlines->changed, &deadlines->lock);
        } else if (first->due_ns <= clock_monotonic_ns()) {
            cut(deadlines, first);
        } else {
            struct timespec due = {.tv_sec = (time_t)(first->due_ns / SECOND_NS),
                                   .tv_nsec = (long)(first->due_ns % SECOND_NS)};
            pthread_cond_timedwait(&deadlines->changed, &deadlines->lock, &due);
        }
    }
    pthread_mutex_unlock(&deadlines->lock);
    return NULL;
}

struct deadlines *deadlines_open(uint32_t timeout_s, metrics_count *cut_count)
{
    struct deadlines *deadlines = cs_alloc(sizeof(*deadlines));
    deadlines->timeout_ns = timeout_s * SECOND_NS;
    deadlines->cut = cut_count;
    pthread_mutex_init(&deadlines->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&deadlines->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int refused = pthread_create(&deadlines->thread, NULL, deadlines_run, deadlines);
    assert(refused == 0);
    return deadlines;
}

void deadlines_close(struct deadlines *deadlines)
{
    pthread_mutex_lock(&deadlines->lock);
    assert(deadlines->first == NULL);
    deadlines->stop = true;
    pthread_cond_signal(&deadlines->changed);
    pthread_mutex_unlock(&deadlines->lock);
    pthread_join(deadlines->thread, NULL);
    pthread_cond_destroy(&deadlines->changed);
    pthread_mutex_destroy(&deadlines->lock);
    free(deadlines);
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, int fd)
{
    if (deadlines->timeout_ns == 0) {
        return;
    }
    pthread_mutex_lock(&deadlines->lock);
    if (deadline->set) {
        unlink_deadline(deadlines, deadline);
    }
    deadline->set = true;
    deadline->fd = fd;
    deadline->due_ns = clock_monotonic_ns() + deadlines->timeout_ns;
    deadline->before = deadlines->last;
    *(deadlines->last != NULL ? &deadlines->last->after : &deadlines->first) = deadline;
    deadlines->last = deadline;
    if (deadlines->first == deadline) {
        pthread_cond_signal(&deadlines->changed);
    }
    pthread_mutex_unlock(&deadlines->lock);
}

void deadline_clear(struct deadlines *deadlines, struct deadline *deadline)
{
    pthread_mutex_lock(&deadlines->lock);
    if (deadline->set) {
        unlink_deadline(deadlines, deadline);
    }
    pthread_mutex_unlock(&deadlines->lock);
}
