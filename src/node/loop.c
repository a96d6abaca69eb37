#include "node/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/inbox.h"
#include "base/log.h"

#define LOG_MODULE "node"

#define WORK_AT_ONCE 64 /* between two looks at sockets and timers */

struct work {
    struct inbox_node node; /* first */
    void (*run)(void *context);
    void *context;
};

struct node_loop {
    uv_loop_t uv;
    uv_async_t wake;
    struct inbox *inbox; /* any thread */
    pthread_t thread;
    bool started, stopped; /* of whoever opens, starts and stops it */
    atomic_bool stopping;
    _Atomic pthread_t owner;
};

/* False: none is left. */
static bool run_some(struct node_loop *loop)
{
    struct inbox_node *node = inbox_take(loop->inbox, WORK_AT_ONCE, 0);
    while (node != NULL) {
        struct work work = *(struct work *)node;
        free(node);
        node = work.node.next;
        work.run(work.context);
    }
    return inbox_count(loop->inbox) > 0;
}

static void on_wake(uv_async_t *wake)
{
    struct node_loop *loop = wake->data;
    /* Looked at first: once the stop has begun nothing is accepted any more, so that none left means none for good. */
    bool stopping = atomic_load(&loop->stopping);
    if (run_some(loop)) {
        uv_async_send(wake);
    } else if (stopping) {
        uv_stop(&loop->uv);
    }
}

static void *loop_run(void *context)
{
    struct node_loop *loop = context;
    atomic_store(&loop->owner, pthread_self()); /* the starter does the same: neither knows who is first */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    return NULL;
}

struct node_loop *node_loop_open(size_t posts_most)
{
    assert(posts_most > 0);
    struct node_loop *loop = cs_alloc(sizeof(*loop));
    int failed = uv_loop_init(&loop->uv);
    failed = failed != 0 ? failed : uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (failed != 0) {
        log_die(LOG_MODULE, "cannot make an event loop: %s", uv_strerror(failed));
    }
    loop->wake.data = loop;
    loop->inbox = inbox_open(posts_most);
    atomic_store(&loop->owner, pthread_self());
    return loop;
}

enum cs_err node_loop_start(struct node_loop *loop)
{
    assert(!loop->started && !loop->stopped);
    int failed = pthread_create(&loop->thread, NULL, loop_run, loop);
    if (failed != 0) {
        log_error("cannot start the node thread: %s", strerror(failed));
        return CS_EIO;
    }
    atomic_store(&loop->owner, loop->thread);
    loop->started = true;
    return CS_OK;
}

enum cs_err node_loop_post(struct node_loop *loop, void (*run)(void *context), void *context)
{
    struct work *work = cs_alloc(sizeof(*work));
    *work = (struct work){.run = run, .context = context};
    enum cs_err err = inbox_push(loop->inbox, &work->node);
    if (err != CS_OK) {
        free(work);
        return err;
    }
    uv_async_send(&loop->wake);
    return CS_OK;
}

uv_loop_t *node_loop_uv(struct node_loop *loop)
{
    return &loop->uv;
}

bool node_loop_is_mine(const struct node_loop *loop)
{
    return pthread_equal(atomic_load(&loop->owner), pthread_self()) != 0;
}

void node_loop_stop(struct node_loop *loop)
{
    if (loop->stopped) {
        return;
    }
    loop->stopped = true;
    inbox_shut(loop->inbox);
    atomic_store(&loop->stopping, true);
    if (loop->started) {
        uv_async_send(&loop->wake);
        pthread_join(loop->thread, NULL);
        atomic_store(&loop->owner, pthread_self());
    }
    while (run_some(loop)) {
    }
}

struct tally {
    size_t open, closing;
};

static void count_handle(uv_handle_t *handle, void *context)
{
    struct tally *tally = context;
    if (uv_is_closing(handle)) {
        tally->closing++;
    } else {
        tally->open++;
    }
}

static struct tally count_handles(uv_loop_t *uv)
{
    struct tally tally = {0};
    uv_walk(uv, count_handle, &tally);
    return tally;
}

void node_loop_settle(struct node_loop *loop)
{
    assert(loop->stopped && node_loop_is_mine(loop));
    while (count_handles(&loop->uv).closing > 0) {
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
}

void node_loop_close(struct node_loop *loop)
{
    assert(loop->stopped && node_loop_is_mine(loop));
    uv_close((uv_handle_t *)&loop->wake, NULL);
    assert(count_handles(&loop->uv).open ==
           0); /* whose handle is that? The loop would wait for it for ever */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int busy = uv_loop_close(&loop->uv);
    assert(busy == 0);
    (void)busy;
    inbox_close(loop->inbox);
    free(loop);
}
