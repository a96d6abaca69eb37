/*
 * internal: what the files of push/ share. Everything here belongs to the push thread, but for what is said
 * otherwise.
 */
#ifndef COINSLOT_PUSH_INTERNAL_H
#define COINSLOT_PUSH_INTERNAL_H

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/bucket.h"
#include "base/inbox.h"
#include "base/wheel.h"
#include "push/device_frames.h"
#include "push/push.h"

struct device;
struct exchange;
struct heard;
struct legacy_server;
struct listener;
struct nano_server;
struct push_tls;
struct session;
struct tally;
struct waiting;
struct sessions;

/* ---- the mailbox: what the writer and the replayer tell the push thread, in the order of their posting - */

enum post_kind { POST_BEGUN, POST_OUTCOME, POST_LIVE, POST_RAISED, POST_ENDED, POST_PAGE, POST_CONFIG };

struct post {
    struct inbox_node node;
    enum post_kind kind;
    enum cs_err err; /* of begun and outcome */
    uint64_t handle;
    uint64_t generation;
    union {
        struct store_begun begun;
        uint64_t seq;                   /* of outcome */
        uint64_t head;                  /* of raised */
        char reason[STORE_REASON_SIZE]; /* of ended */
        struct {
            uint64_t from, to, head;
        } page;
        uint64_t version; /* of config */
    };
    char *config; /* of config, and of begun where there is one */
    size_t count;
    struct store_delivery deliveries[]; /* of page; one of live; each owns its config and proof */
};

/* `post` is taken. Any thread. */
void push_post(struct push *push, struct post *post);
/* With all that it owns. */
void push_free_post(struct post *post);

/* ---- counters: any thread ------------------------------------------------------------------------------ */

enum sent_type {
    SENT_CHALLENGE,
    SENT_WELCOME,
    SENT_PAYMENT,
    SENT_GAP,
    SENT_NOTED,
    SENT_CONFIG,
    SENT_STATE,
    SENT_ERROR
};
#define SENT_TYPE_COUNT 8

struct push_counters {
    _Atomic int64_t sessions; /* live ones */
    _Atomic int64_t waiting;  /* connections that are no session yet */
    metrics_count *opened;
    metrics_count *refused[DEVICE_CLOSE_COUNT];
    metrics_count *refused_full;   /* sessions_most, or sessions_per_ip_most */
    metrics_count *refused_target; /* another path or subprotocol */
    metrics_count *refused_waiting, *refused_waiting_per_ip, *refused_rate; /* closed at once */
    metrics_count *sent[SENT_TYPE_COUNT];
    metrics_count *received[DEVICE_FRAME_TYPE_COUNT];
    metrics_count *protocol_errors;
    metrics_count *bad_macs;
};

void push_counters_open(struct push_counters *counters, struct metrics *metrics);

/* ---- the server ---------------------------------------------------------------------------------------- */

/* A session that has to be ended in the store, as soon as its inbox has room. */
struct ending {
    struct ending *next;
    struct store_session session;
};

struct push {
    struct push_options options;
    struct store *store;
    struct push_counters counters;
    struct inbox *mailbox; /* any thread */

    /* Any thread, under `gate`. */
    pthread_mutex_t gate;
    pthread_cond_t gate_opened;
    size_t pages_waiting;        /* in the mailbox */
    bool shut;                   /* posts are dropped */
    struct lws_context *context; /* to be woken; NULL outside of the thread's life */
    atomic_bool woken;           /* a wake is under way: wakes coalesce */
    atomic_bool stopping;

    pthread_t thread;
    bool started;
    uint16_t port;
    struct lws_context *library; /* libwebsockets sets it to NULL when it is wholly destroyed */
    uv_loop_t loop;
    uv_timer_t retry;    /* runs while something waits for room in the store's inbox */
    uv_timer_t deadline; /* of stopping */
    uv_timer_t second;   /* once a second, all sessions */
    uv_timer_t tick;     /* of the wheel */
    uv_prepare_t write;  /* before the loop waits */
    struct wheel
        wheel; /* the timers of connections: libwebsockets keeps its own in a sorted list, and walks it for each one */
    const char *
        not_payable; /* a code, of those that live for ever; NULL: machines may take money; asked once a second */
    struct lws_vhost *vhost;
    struct exchange *exchange;
    struct listener *listener; /* NULL once stopping */
    struct sessions *sessions;
    struct session *unwritten_first, *unwritten_last; /* those that have something to write */
    struct tally *tally;
    struct push_tls *tls; /* NULL: plain */
    struct tally *waiting_peers;
    struct waiting *adopting; /* handed to libwebsockets, which does not own it yet */
    struct bucket handshakes;
    struct heard *heard;
    struct legacy_server *legacy;
    struct nano_server *nano;
    struct device_body body; /* of the payment that was sent last: it may have others to go to */
    struct device *stalled_first, *stalled_last;
    struct ending *endings;
};

/* Has push_on_wake called soon, on the push thread. Any thread. */
void push_wake(struct push *push);
/* Drains the mailbox and tries again what the store had no room for. */
void push_on_wake(struct push *push);
/* Has it run after that time, or a little later; it may be set already. wheel_clear takes it back. */
void push_set_timer(struct push *push, struct wheel_timer *timer, uint64_t ms,
                    void (*run)(struct wheel_timer *timer));
/* Starts the timer that tries again. */
void push_retry_soon(struct push *push);

#endif
