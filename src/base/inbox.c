#include "base/inbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

#define MS_NS     1000000u
#define SECOND_NS 1000000000u

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct inbox_node *first, *last;
    size_t count, capacity;
    bool shut;
    bool urgent;           /* something inside waits for nobody */
    uint64_t due_ns;       /* when the oldest of the others has lingered enough; UINT64_MAX: there is none */
    bool took;             /* something, the last time */
    uint64_t linger_ns;    /* how long the last one that may linger may do so */
    uint64_t sleeps_to_ns; /* until when the taker sleeps, if nobody wakes it; 0: it is awake */
};

struct inbox *inbox_open(size_t capacity)
{
    struct inbox *inbox = cs_alloc(sizeof(*inbox));
    inbox->capacity = capacity;
    inbox->due_ns = UINT64_MAX;
    pthread_mutex_init(&inbox->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&inbox->filled, &attributes);
    pthread_condattr_destroy(&attributes);
    return inbox;
}

void inbox_close(struct inbox *inbox)
{
    assert(inbox->count == 0);
    pthread_cond_destroy(&inbox->filled);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

/* With the lock held. */
static enum cs_err append(struct inbox *inbox, struct inbox_node *node)
{
    if (inbox->shut) {
        return CS_ECLOSED;
    }
    if (inbox->count == inbox->capacity) {
        return CS_EBUSY;
    }
    node->next = NULL;
    if (inbox->last != NULL) {
        inbox->last->next = node;
    } else {
        inbox->first = node;
    }
    inbox->last = node;
    inbox->count++;
    return CS_OK;
}

/* Lets go of the lock first, on which whoever is woken would wait at once. */
static void unlock(struct inbox *inbox, bool wake)
{
    wake = wake && inbox->sleeps_to_ns != 0;
    if (wake) {
        inbox->sleeps_to_ns = 0;
    }
    pthread_mutex_unlock(&inbox->lock);
    if (wake) {
        pthread_cond_signal(&inbox->filled);
    }
}

enum cs_err inbox_push(struct inbox *inbox, struct inbox_node *node)
{
    pthread_mutex_lock(&inbox->lock);
    enum cs_err err = append(inbox, node);
    inbox->urgent = inbox->urgent || err == CS_OK;
    unlock(inbox, err == CS_OK);
    return err;
}

enum cs_err inbox_push_lazy(struct inbox *inbox, struct inbox_node *node, uint32_t linger_ms)
{
    uint64_t linger_ns = (uint64_t)linger_ms * MS_NS, due_ns = clock_monotonic_ns() + linger_ns;
    bool wake = false;
    pthread_mutex_lock(&inbox->lock);
    enum cs_err err = append(inbox, node);
    if (err == CS_OK) {
        inbox->urgent = inbox->urgent || inbox->count > inbox->capacity / 2; /* others have to find room */
        inbox->linger_ns = linger_ns;
        inbox->due_ns = due_ns < inbox->due_ns ? due_ns : inbox->due_ns;
        wake = inbox->urgent ||
               inbox->due_ns < inbox->sleeps_to_ns; /* perhaps to sleep again, but not that long */
    }
    unlock(inbox, wake);
    return err;
}

/* Waits, with the lock held, until there is something to take that does not linger, or it is time. */
static void wait_filled(struct inbox *inbox, int wait_ms)
{
    uint64_t now_ns = clock_monotonic_ns(), until_ns = now_ns + (uint64_t)wait_ms * MS_NS;
    /* What lingers follows on what was just taken, most likely: this sleep ends when it is due, rather than that each one ends it. */
    uint64_t soon_ns = inbox->took ? now_ns + inbox->linger_ns : UINT64_MAX;
    inbox->took = false;
    for (;; now_ns = clock_monotonic_ns()) {
        uint64_t to_ns = inbox->due_ns < until_ns ? inbox->due_ns : until_ns;
        if (inbox->urgent || inbox->shut || now_ns >= to_ns) {
            break;
        }
        to_ns = now_ns < soon_ns && soon_ns < to_ns ? soon_ns : to_ns;
        const struct timespec to = {(time_t)(to_ns / SECOND_NS), (long)(to_ns % SECOND_NS)};
        inbox->sleeps_to_ns = to_ns;
        (void)pthread_cond_timedwait(&inbox->filled, &inbox->lock, &to);
    }
    inbox->sleeps_to_ns = 0;
}

struct inbox_node *inbox_take(struct inbox *inbox, size_t most, int wait_ms)
{
    pthread_mutex_lock(&inbox->lock);
    if (wait_ms > 0) {
        wait_filled(inbox, wait_ms);
    }
    struct inbox_node *first = inbox->first, *last = NULL;
    size_t taken = 0;
    for (struct inbox_node *node = first; node != NULL && taken < most; node = node->next) {
        last = node;
        taken++;
    }
    if (last != NULL) {
        inbox->first = last->next;
        last->next = NULL;
        inbox->count -= taken;
    }
    inbox->took = last != NULL;
    inbox->urgent = inbox->first != NULL; /* what is left over has waited enough */
    inbox->due_ns = UINT64_MAX;
    if (inbox->first == NULL) {
        inbox->last = NULL;
    }
    pthread_mutex_unlock(&inbox->lock);
    return first;
}

void inbox_shut(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->shut = true;
    pthread_cond_broadcast(&inbox->filled);
    pthread_mutex_unlock(&inbox->lock);
}

size_t inbox_count(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    size_t count = inbox->count;
    pthread_mutex_unlock(&inbox->lock);
    return count;
}
