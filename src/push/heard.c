#include "push/heard.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "push/legacy.h"
#include "push/nano.h"
#include "push/places.h"

#define POSTS_AT_ONCE  256
#define POSTS_AT_RETRY 16 /* while a session sets the pace */

struct heard {
    struct push *push;
    struct inbox *mailbox; /* any thread */
    atomic_size_t bytes;   /* of the payments in it */
    uint64_t pace;         /* of the session that sets it; 0: none does */
    metrics_count *dropped;
};

enum heard_kind { HEARD_PAYMENT, HEARD_LISTEN_DONE };

struct heard_post {
    struct inbox_node node; /* first */
    enum heard_kind kind;
    enum cs_err err; /* of a listen */
    uint64_t handle;
    bool listened; /* of a payment, and what follows */
    struct payment payment;
    size_t proof_size, notice_size;
    char bytes[]; /* the proof, then the notice */
};

static void post(struct heard *heard, struct heard_post *post)
{
    if (inbox_push(heard->mailbox, &post->node) != CS_OK) {
        free(post); /* shut: the sessions are gone */
        return;
    }
    push_wake(heard->push);
}

void heard_listen_done(void *context, uint64_t handle, enum cs_err err)
{
    struct heard_post *answer = cs_alloc(sizeof(*answer));
    answer->kind = HEARD_LISTEN_DONE;
    answer->handle = handle;
    answer->err = err;
    post(context, answer);
}

static size_t size_of(size_t proof_size, size_t notice_size)
{
    return sizeof(struct heard_post) + proof_size + notice_size;
}

void push_post_heard(void *push, const struct store_heard *heard)
{
    const struct push *server = push;
    if (!heard->listened && !nano_wants_all(server->nano)) {
        return; /* what the writer does for most payments ends here */
    }
    struct heard *mail = server->heard;
    size_t size = size_of(heard->proof_size, heard->notice_size);
    if (atomic_fetch_add(&mail->bytes, size) + size > HEARD_BYTES) {
        atomic_fetch_sub(&mail->bytes, size);
        metrics_add(mail->dropped, 1);
        return;
    }
    struct heard_post *copy = cs_alloc(size);
    copy->kind = HEARD_PAYMENT;
    copy->listened = heard->listened;
    copy->payment = *heard->payment;
    copy->proof_size = heard->proof_size;
    copy->notice_size = heard->notice_size;
    if (heard->proof_size > 0) {
        memcpy(copy->bytes, heard->proof, heard->proof_size);
    }
    if (heard->notice_size > 0) {
        memcpy(copy->bytes + heard->proof_size, heard->notice, heard->notice_size);
    }
    post(mail, copy);
}

static void take_payment(struct heard *heard, const struct heard_post *taken)
{
    const struct store_heard told = {
        .payment = &taken->payment,
        .listened = taken->listened,
        .proof = taken->proof_size > 0 ? (const uint8_t *)taken->bytes : NULL,
        .proof_size = taken->proof_size,
        .notice = taken->notice_size > 0 ? taken->bytes + taken->proof_size : NULL,
        .notice_size = taken->notice_size,
    };
    atomic_fetch_sub(&heard->bytes, size_of(taken->proof_size, taken->notice_size));
    if (told.listened) {
        legacy_take_heard(heard->push->legacy, &told);
    }
    nano_take_heard(heard->push->nano, &told);
}

/* False when there is none. */
static bool take_one(struct heard *heard)
{
    struct heard_post *taken = (struct heard_post *)inbox_take(heard->mailbox, 1, 0);
    if (taken == NULL) {
        return false;
    }
    switch (taken->kind) {
    case HEARD_PAYMENT:
        take_payment(heard, taken);
        break;
    case HEARD_LISTEN_DONE:
        places_take_done(taken->handle, taken->err);
        break;
    }
    free(taken);
    return true;
}

bool heard_on_wake(struct heard *heard)
{
    for (int i = 0; i < POSTS_AT_ONCE && heard->pace == 0 && take_one(heard); i++) {
    }
    return heard->pace == 0 && inbox_count(heard->mailbox) > 0;
}

void heard_slow_down(struct heard *heard, const struct session *session)
{
    heard->pace = session_handle(session);
    push_retry_soon(heard->push);
}

/* Nobody sets the pace, unless the next does. */
static void go_on(struct heard *heard)
{
    heard->pace = 0;
    (void)take_one(heard);
    if (heard->pace == 0) {
        push_wake(heard->push);
    }
}

void heard_drained(struct heard *heard, const struct session *session)
{
    if (heard->pace == session_handle(session)) {
        go_on(heard);
    }
}

bool heard_retry(struct heard *heard)
{
    for (int i = 0; i < POSTS_AT_RETRY && heard->pace != 0; i++) {
        go_on(heard);
    }
    return heard->pace == 0;
}

uint64_t heard_dropped(const struct heard *heard)
{
    return atomic_load_explicit(heard->dropped, memory_order_relaxed);
}

struct heard *heard_open(struct push *push)
{
    struct heard *heard = cs_alloc(sizeof(*heard));
    heard->push = push;
    heard->mailbox = inbox_open(SIZE_MAX); /* bounded by `bytes`, and by the listens in the store's inbox */
    heard->dropped =
        metrics_add_counter(push->options.metrics, "coinslot_heard_dropped_total", "",
                            "Payments that nobody on /call and /nano was told of, because too many waited.");
    return heard;
}

void heard_shut(struct heard *heard)
{
    inbox_shut(heard->mailbox);
    for (struct inbox_node *node = inbox_take(heard->mailbox, SIZE_MAX, 0); node != NULL;) {
        struct heard_post *taken = (struct heard_post *)node;
        node = node->next;
        free(taken);
    }
}

void heard_close(struct heard *heard)
{
    inbox_close(heard->mailbox);
    free(heard);
}
