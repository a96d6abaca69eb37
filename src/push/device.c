#define LOG_MODULE "push"
#include "push/device.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "delivery/outbox.h"

enum device_phase {
    DEVICE_GREETING,  /* challenged; its hello is awaited */
    DEVICE_BEGINNING, /* the store is asked to begin a session */
    DEVICE_LIVE,      /* welcomed */
    DEVICE_OVER,      /* an end is under way: whatever comes is dropped */
};

struct device {
    struct session *session;
    struct push *push;
    enum device_phase phase;
    bool stalled; /* in the list of those that wait for room in the store's inbox */
    struct device *stalled_before, *stalled_after;
    struct store_session store;
    struct outbox outbox;

    /* What the store is still to be told. */
    uint64_t ack_waiting; /* 0: none */
    uint64_t page_from;
    uint32_t page_most; /* 0: none */
    uint32_t outcomes_out;
    struct store_outcome *outcome_waiting;
};

/* ---- sending and ending
 * -------------------------------------------------------------------------------------------- */

static void count_sent(struct device *device, enum sent_type type)
{
    metrics_add(device->push->counters.sent[type], 1);
}

static void send_frame(struct device *device, enum sent_type type, const char *text, size_t length)
{
    count_sent(device, type);
    session_send(device->session, text, length);
}

static void unstall(struct device *device)
{
    if (!device->stalled) {
        return;
    }
    struct push *push = device->push;
    *(device->stalled_before != NULL ? &device->stalled_before->stalled_after : &push->stalled_first) =
        device->stalled_after;
    *(device->stalled_after != NULL ? &device->stalled_after->stalled_before : &push->stalled_last) =
        device->stalled_before;
    device->stalled_before = device->stalled_after = NULL;
    device->stalled = false;
}

static void stall(struct device *device)
{
    struct push *push = device->push;
    push_retry_soon(push);
    if (device->stalled) {
        return;
    }
    device->stalled_before = push->stalled_last;
    *(push->stalled_last != NULL ? &push->stalled_last->stalled_after : &push->stalled_first) = device;
    push->stalled_last = device;
    device->stalled = true;
}

/* Has the store end the session; when its inbox is full, later. */
static void end_in_store(struct push *push, const struct store_session *session)
{
    if (push->endings == NULL && store_submit_session_end(push->store, session) != CS_EBUSY) {
        return;
    }
    struct ending *ending = cs_alloc(sizeof(*ending));
    ending->session = *session;
    ending->next = push->endings;
    push->endings = ending;
    push_retry_soon(push);
}

/* From now on whatever the store posts to this session is dropped. */
static void leave(struct device *device, bool tell_store)
{
    if (device->phase == DEVICE_LIVE) {
        atomic_fetch_sub_explicit(&device->push->counters.sessions, 1, memory_order_relaxed);
        if (tell_store) {
            end_in_store(device->push, &device->store);
        }
    }
    unstall(device);
    free(device->outcome_waiting);
    device->outcome_waiting = NULL;
    device->phase = DEVICE_OVER;
}

/* Ends the session with an error frame; what was queued is for the next one. */
static void fail_with(struct device *device, enum device_close close, bool tell_store, const char *code,
                      const char *message)
{
    if (device->phase == DEVICE_OVER) {
        return;
    }
    if (device->phase != DEVICE_LIVE) {
        metrics_add(device->push->counters.refused[close], 1);
    }
    if (close == DEVICE_CLOSE_PROTOCOL || close == DEVICE_CLOSE_FRAME) {
        metrics_add(device->push->counters.protocol_errors, 1);
    }
    log_debug("session %" PRIu64 " ends: %s: %s", session_handle(device->session), code, message);
    leave(device, tell_store);
    session_drop_queue(device->session);
    if (close != DEVICE_CLOSE_GOING_AWAY) {
        char text[DEVICE_FRAME_SIZE];
        size_t length = device_frame_error(text, code, message);
        send_frame(device, SENT_ERROR, text, length);
    }
    session_end(device->session, device_close_code(close), device_close_text(close));
}

static void fail(struct device *device, enum device_close close, const char *message)
{
    fail_with(device, close, true, device_close_text(close), message);
}

static void break_protocol(struct device *device, const char *code, const char *message)
{
    fail_with(device, DEVICE_CLOSE_PROTOCOL, true, code, message);
}

/* ---- what the store has to be told
 * --------------------------------------------------------------------------------- */

static void on_outcome_done(void *context, uint64_t handle, enum cs_err err, uint64_t seq)
{
    struct post *post = cs_alloc(sizeof(*post));
    post->kind = POST_OUTCOME;
    post->handle = handle;
    post->err = err;
    post->seq = seq;
    push_post(context, post);
}

static void wait_ack(struct device *device, uint64_t seq)
{
    if (seq > device->ack_waiting) {
        device->ack_waiting = seq;
    }
}

/* False when the store has no room yet. A store that closes takes nothing more, and nothing more matters to
 * this session. */
static bool tell_ack(struct device *device)
{
    if (device->ack_waiting == 0) {
        return true;
    }
    enum cs_err err = store_submit_ack(device->push->store, &device->store, device->ack_waiting);
    if (err == CS_EBUSY || err == CS_EFULL) {
        return false;
    }
    device->ack_waiting = 0;
    return true;
}

static bool tell_outcome(struct device *device)
{
    struct store_outcome *outcome = device->outcome_waiting;
    if (outcome == NULL) {
        return true;
    }
    enum cs_err err =
        store_submit_outcome(device->push->store, &device->store, outcome, on_outcome_done, device->push);
    if (err == CS_EBUSY) {
        return false;
    }
    if (err == CS_OK) {
        device->outcomes_out++;
        device->ack_waiting =
            device->ack_waiting > outcome->seq ? device->ack_waiting : 0; /* it acks up to its seq */
    } else {
        wait_ack(device, outcome->seq); /* the device repeats the outcome, but not the ack in it */
    }
    device->outcome_waiting = NULL;
    free(outcome);
    return true;
}

static bool tell_page(struct device *device)
{
    if (device->page_most == 0) {
        return true;
    }
    enum cs_err err =
        store_submit_page(device->push->store, &device->store, device->page_from, device->page_most);
    if (err == CS_EBUSY || err == CS_EFULL) {
        return false;
    }
    device->page_most = 0;
    return true;
}

/* In this order: the writer's window has to have moved before it reads a page for us. */
static bool tell_store(struct device *device)
{
    return tell_outcome(device) && tell_ack(device) && tell_page(device);
}

static void set_reading(struct device *device)
{
    session_set_reading(device->session, device->outcome_waiting == NULL && device->page_most == 0 &&
                                             device->outcomes_out < DEVICE_OUTCOMES_MOST &&
                                             session_queued(device->session) < DEVICE_QUEUE_PAUSE);
}

/* After each event: asks for what is due, tells what can be told, and reads on if the device may go on. */
static void advance(struct device *device)
{
    if (device->phase != DEVICE_LIVE) {
        return;
    }
    uint64_t from;
    uint32_t most;
    if (outbox_wants_page(&device->outbox, device->push->options.page_size, &from, &most)) {
        device->page_from = from;
        device->page_most = most;
    }
    /* Behind the others that wait: the store's inbox is full for all alike. */
    if (device->stalled || !tell_store(device)) {
        stall(device);
    }
    set_reading(device);
}

bool device_retry_all(struct push *push)
{
    for (struct device *device = push->stalled_first; device != NULL; device = push->stalled_first) {
        if (!tell_store(device)) {
            break;
        }
        unstall(device);
        advance(device);
    }
    while (push->endings != NULL &&
           store_submit_session_end(push->store, &push->endings->session) != CS_EBUSY) {
        struct ending *ending = push->endings;
        push->endings = ending->next;
        free(ending);
    }
    return push->stalled_first == NULL && push->endings == NULL;
}

/* ---- the device speaks
 * --------------------------------------------------------------------------------------------- */

static void on_begun(void *context, uint64_t handle, enum cs_err err, const struct store_begun *begun)
{
    struct post *post = cs_alloc(sizeof(*post));
    post->kind = POST_BEGUN;
    post->handle = handle;
    post->err = err;
    if (err == CS_OK) {
        post->begun = *begun;
    }
    push_post(context, post);
}

static void refuse_begin(struct device *device, enum cs_err err)
{
    switch (err) {
    case CS_ECONFLICT:
        fail(device, DEVICE_CLOSE_ROLLED_BACK,
             "\"resume\" is above what this store ever sent: it was restored from an older backup; an "
             "operator has to look");
        return;
    case CS_EDENIED:
        fail(device, DEVICE_CLOSE_UNAUTHORIZED, "the device was disabled or retired");
        return;
    case CS_EBUSY:
    case CS_EFULL:
        fail(device, DEVICE_CLOSE_BUSY, "the relay is too busy; connect again in a few seconds");
        return;
    case CS_ECLOSED:
        fail(device, DEVICE_CLOSE_GOING_AWAY, "the relay stops");
        return;
    case CS_OK:
    case CS_EINVAL:
    case CS_ENOTFOUND:
    case CS_EIO:
        break;
    }
    assert(false);
}

/* Who it is: the same answer for an unknown device and a wrong token, after the same work. */
static bool check_token(struct push *push, const struct device_hello *hello, struct store_device_key *key)
{
    uint8_t hash[STORE_HASH_SIZE];
    store_hash_token(push->store, hello->token, hash);
    memset(key, 0, sizeof(*key));
    bool known = store_find_device(push->store, hello->device, key);
    bool same = sodium_memcmp(hash, key->credential, sizeof(hash)) == 0;
    return known && same && key->auth == DEVICE_AUTH_TOKEN;
}

static void on_hello(struct device *device, const struct device_hello *hello)
{
    struct push *push = device->push;
    if (device->phase != DEVICE_GREETING) {
        break_protocol(device, "unexpected", "hello was said already");
        return;
    }
    if (!push->options.allow_plain_tokens && !session_is_private(device->session)) {
        fail(device, DEVICE_CLOSE_INSECURE,
             "a token must not cross a network in the clear: use TLS, or set allow_plain_tokens");
        return;
    }
    struct store_device_key key;
    if (!check_token(push, hello, &key)) {
        fail(device, DEVICE_CLOSE_UNAUTHORIZED, "no device has this id and this token");
        return;
    }
    switch (key.state) {
    case DEVICE_ACTIVE:
        break;
    case DEVICE_DISABLED:
        fail(device, DEVICE_CLOSE_DISABLED, "an operator has disabled this device; its payments wait");
        return;
    case DEVICE_RETIRED:
        fail(device, DEVICE_CLOSE_RETIRED, "this device is retired for good");
        return;
    }
    if (hello->epoch[0] != '\0' && strcmp(hello->epoch, store_epoch(push->store)) != 0) {
        fail(device, DEVICE_CLOSE_ROLLED_BACK,
             "\"epoch\" is another store's: this one was restored; an operator has to look");
        return;
    }
    device->phase = DEVICE_BEGINNING;
    session_set_timeout(device->session, 0);
    enum cs_err err = store_submit_session(push->store, key.device, session_handle(device->session),
                                           hello->resume, on_begun, push);
    if (err != CS_OK) {
        refuse_begin(device, err);
        return;
    }
    log_debug("%s says hello: resume %" PRIu64 ", firmware %s", hello->device, hello->resume,
              hello->firmware[0] != '\0' ? hello->firmware : "not told");
}

static void on_ack(struct device *device, uint64_t seq)
{
    if (outbox_ack(&device->outbox, seq) != CS_OK) {
        break_protocol(device, "ack_ahead", "\"seq\" is above the highest that was sent");
        return;
    }
    wait_ack(device, seq);
    advance(device);
}

static void on_outcome(struct device *device, const struct store_outcome *outcome)
{
    if (outbox_ack(&device->outbox, outcome->seq) != CS_OK) {
        break_protocol(device, "ack_ahead", "\"seq\" is above the highest that was sent");
        return;
    }
    /* Reading stops while one waits, so there is none. Should one be there all the same, it is repeated by
     * the device. */
    if (device->outcome_waiting != NULL) {
        fail(device, DEVICE_CLOSE_BUSY, "the relay is too busy; connect again in a few seconds");
        return;
    }
    device->outcome_waiting = cs_alloc(sizeof(*outcome));
    *device->outcome_waiting = *outcome;
    advance(device);
}

static void device_message(void *state, const char *text, size_t length)
{
    struct device *device = state;
    if (device->phase == DEVICE_OVER) {
        return;
    }
    struct device_frame frame;
    struct device_problem problem;
    if (device_frame_read(text, length, &frame, &problem) != CS_OK) {
        break_protocol(device, problem.code, problem.message);
        return;
    }
    metrics_add(device->push->counters.received[frame.type], 1);
    if (frame.type != DEVICE_HELLO && device->phase != DEVICE_LIVE) {
        break_protocol(device, "unexpected", "say hello and wait for the welcome first");
        return;
    }
    switch (frame.type) {
    case DEVICE_HELLO:
        on_hello(device, &frame.hello);
        return;
    case DEVICE_ACK:
        on_ack(device, frame.outcome.seq);
        return;
    case DEVICE_ACTUATED:
    case DEVICE_REFUSED:
        on_outcome(device, &frame.outcome);
        return;
    case DEVICE_STATUS:
        return; /* counted */
    }
}

/* ---- the store speaks
 * ---------------------------------------------------------------------------------------------- */

/* Closes a device that does not read; see device.h for the bound. */
static bool has_room(struct device *device)
{
    if (session_queued(device->session) <
        DEVICE_QUEUE_PAUSE + device->outbox.window + DEVICE_OUTCOMES_MOST + 4) {
        return true;
    }
    fail(device, DEVICE_CLOSE_SLOW, "frames were sent without reading the answers");
    return false;
}

static void offer_payment(struct device *device, const struct store_delivery *delivery)
{
    if (!outbox_offer(&device->outbox, delivery->seq, delivery->seq) || !has_room(device)) {
        return;
    }
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_payment(text, delivery, clock_wall_ms());
    send_frame(device, SENT_PAYMENT, text, length);
}

struct gap {
    uint64_t from, to; /* from 0: none */
    char reason[STORE_REASON_SIZE];
};

static void offer_gap(struct device *device, struct gap *gap)
{
    if (gap->from == 0) {
        return;
    }
    /* What went out from memory meanwhile is no gap. */
    uint64_t from = gap->from > device->outbox.next_seq ? gap->from : device->outbox.next_seq;
    if (from <= gap->to && outbox_offer(&device->outbox, from, gap->to) && has_room(device)) {
        char text[DEVICE_FRAME_SIZE];
        size_t length = device_frame_gap(text, from, gap->to, gap->reason);
        send_frame(device, SENT_GAP, text, length);
    }
    gap->from = 0;
}

/* Joins from..to to the gap before it when their reason is the same, else sends that one first. */
static void widen_gap(struct device *device, struct gap *gap, uint64_t from, uint64_t to, const char *reason)
{
    if (gap->from != 0 && strcmp(gap->reason, reason) != 0) {
        offer_gap(device, gap);
    }
    if (gap->from == 0) {
        gap->from = from;
        snprintf(gap->reason, sizeof(gap->reason), "%s", reason);
    }
    gap->to = to;
}

static void take_page(struct device *device, const struct post *post)
{
    uint64_t next = post->page.from;
    struct gap gap = {0};
    for (size_t i = 0; i < post->count && device->phase == DEVICE_LIVE; i++) {
        const struct store_delivery *delivery = &post->deliveries[i];
        assert(delivery->seq >= next && delivery->seq <= post->page.to);
        if (delivery->seq > next) {
            widen_gap(device, &gap, next, delivery->seq - 1, "expired");
        }
        if (delivery->state == DELIVERY_EXPIRED) {
            widen_gap(device, &gap, delivery->seq, delivery->seq,
                      delivery->reason[0] != '\0' ? delivery->reason : "expired");
        } else {
            offer_gap(device, &gap);
            offer_payment(device, delivery);
        }
        next = delivery->seq + 1;
    }
    if (next <= post->page.to) {
        widen_gap(device, &gap, next, post->page.to, "expired");
    }
    if (device->phase == DEVICE_LIVE) {
        offer_gap(device, &gap);
    }
    outbox_page_done(&device->outbox, post->page.head);
    if (post->page.to < post->page.from && device->phase == DEVICE_LIVE) {
        /* The writer's window is behind ours, so an ack was lost to a full disk: say it again, after a pause.
         */
        wait_ack(device, device->outbox.acked);
        stall(device);
    }
    advance(device);
}

static void take_begun(struct push *push, struct device *device, const struct post *post)
{
    if (device == NULL || device->phase != DEVICE_BEGINNING) {
        if (post->err == CS_OK) {
            end_in_store(push, &post->begun.session); /* the connection went while the store was asked */
        }
        return;
    }
    if (post->err != CS_OK) {
        refuse_begin(device, post->err);
        return;
    }
    const struct store_begun *begun = &post->begun;
    device->store = begun->session;
    device->phase = DEVICE_LIVE;
    outbox_init(&device->outbox, begun->acked, begun->head, begun->window);
    metrics_add(push->counters.opened, 1);
    atomic_fetch_add_explicit(&push->counters.sessions, 1, memory_order_relaxed);
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_welcome(text, clock_wall_ms(), begun->acked, begun->head - begun->acked);
    send_frame(device, SENT_WELCOME, text, length);
    advance(device);
}

static void take_ended(struct device *device, const char *reason)
{
    if (strcmp(reason, "retired") == 0) {
        fail_with(device, DEVICE_CLOSE_RETIRED, false, "retired", "this device is retired for good");
    } else if (strcmp(reason, "disabled") == 0) {
        fail_with(device, DEVICE_CLOSE_DISABLED, false, "disabled",
                  "an operator has disabled this device; its payments wait");
    } else {
        fail_with(device, DEVICE_CLOSE_FENCED, false, "fenced", "a newer session of this device has begun");
    }
}

static void take_outcome(struct device *device, const struct post *post)
{
    device->outcomes_out--;
    if (post->err == CS_OK) {
        if (has_room(device)) {
            char text[DEVICE_FRAME_SIZE];
            size_t length = device_frame_noted(text, post->seq);
            send_frame(device, SENT_NOTED, text, length);
        }
    } else if (post->err == CS_ENOTFOUND) {
        break_protocol(device, "unknown_seq", "nothing was ever sent under this \"seq\"");
    } else {
        wait_ack(device,
                 post->seq); /* not committed: the device repeats the outcome, but not the ack in it */
    }
    advance(device);
}

void device_take_post(struct push *push, const struct post *post)
{
    struct device *device = session_find(push, post->handle);
    if (post->kind == POST_BEGUN) {
        take_begun(push, device, post);
        return;
    }
    if (device == NULL || device->phase != DEVICE_LIVE) {
        return;
    }
    /* An outcome's answer names no generation: a handle has one session in its life. */
    if (post->kind != POST_OUTCOME && post->generation != device->store.generation) {
        return;
    }
    switch (post->kind) {
    case POST_BEGUN:
        return;
    case POST_OUTCOME:
        take_outcome(device, post);
        return;
    case POST_LIVE:
        offer_payment(device, &post->deliveries[0]);
        advance(device);
        return;
    case POST_RAISED:
        outbox_raise(&device->outbox, post->head);
        advance(device);
        return;
    case POST_ENDED:
        take_ended(device, post->reason);
        return;
    case POST_PAGE:
        take_page(device, post);
        return;
    }
}

/* ---- the connection
 * ------------------------------------------------------------------------------------------------ */

static void *device_open(struct session *session)
{
    struct device *device = cs_alloc(sizeof(*device));
    device->session = session;
    device->push = session_push(session);
    session_set_timeout(session, device->push->options.hello_timeout_s);
    uint8_t nonce[DEVICE_NONCE_SIZE];
    randombytes_buf(nonce, sizeof(nonce));
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_challenge(text, nonce, store_epoch(device->push->store));
    send_frame(device, SENT_CHALLENGE, text, length);
    return device;
}

static void device_not_text(void *state)
{
    fail_with(state, DEVICE_CLOSE_FRAME, true, "not_text",
              "binary messages are not spoken here; send JSON as text");
}

static void device_too_big(void *state)
{
    fail_with(state, DEVICE_CLOSE_FRAME, true, "too_big", "the message is longer than the relay takes");
}

static void device_timeout(void *state)
{
    fail(state, DEVICE_CLOSE_HELLO_TIMEOUT, "no hello came in time");
}

static void device_drained(void *state)
{
    struct device *device = state;
    if (device->phase == DEVICE_LIVE) {
        set_reading(device);
    }
}

static void device_stop(void *state)
{
    fail(state, DEVICE_CLOSE_GOING_AWAY, "the relay stops");
}

static void device_close(void *state)
{
    struct device *device = state;
    leave(device, true);
    free(device);
}

const struct session_protocol DEVICE_PROTOCOL = {
    .subprotocol = DEVICE_SUBPROTOCOL,
    .path = DEVICE_PATH,
    .open = device_open,
    .message = device_message,
    .not_text = device_not_text,
    .too_big = device_too_big,
    .timeout = device_timeout,
    .drained = device_drained,
    .stop = device_stop,
    .close = device_close,
};
