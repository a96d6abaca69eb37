#include "base/inbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct inbox_node *first, *last;
    size_t count, capacity;
    bool shut, waiting;
};

struct inbox *inbox_open(size_t capacity)
{
    struct inbox *inbox = cs_alloc(sizeof(*inbox));
    inbox->capacity = capacity;
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

enum cs_err inbox_push(struct inbox *inbox, struct inbox_node *node)
{
    enum cs_err err = CS_OK;
    pthread_mutex_lock(&inbox->lock);
    if (inbox->shut) {
        err = CS_ECLOSED;
    } else if (inbox->count == inbox->capacity) {
        err = CS_EBUSY;
    } else {
        node->next = NULL;
        if (inbox->last != NULL) {
            inbox->last->next = node;
        } else {
            inbox->first = node;
        }
        inbox->last = node;
        inbox->count++;
        if (inbox->waiting) {
            inbox->waiting = false;
            pthread_cond_signal(&inbox->filled);
        }
    }
    pthread_mutex_unlock(&inbox->lock);
    return err;
}

/* Waits, with the lock held, until there is something to take, or it is time. */
static void wait_filled(struct inbox *inbox, int wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    int timed_out = 0;
    while (inbox->count == 0 && !inbox->shut && timed_out == 0) {
        inbox->waiting = true;
        timed_out = pthread_cond_timedwait(&inbox->filled, &inbox->lock, &until);
    }
    inbox->waiting = false;
}

struct inbox_node *inbox_take(struct inbox *inbox, size_t most, int wait_ms)
{
    pthread_mutex_lock(&inbox->lock);
    if (inbox->count == 0 && wait_ms > 0) {
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
        if (inbox->first == NULL) {
            inbox->last = NULL;
        }
        inbox->count -= taken;
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
