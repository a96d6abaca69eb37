/* What the store is told, as soon as it has room for it. */
#define LOG_MODULE "push"
#include "push/device.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device_state.h"

void device_unstall(struct device *device)
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

void device_stall(struct device *device)
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
void device_end_in_store(struct push *push, const struct store_session *session)
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

static void on_outcome_done(void *context, uint64_t handle, enum cs_err err, uint64_t seq)
{
    struct post *post = cs_alloc(sizeof(*post));
    post->kind = POST_OUTCOME;
    post->handle = handle;
    post->err = err;
    post->seq = seq;
    push_post(context, post);
}

void device_wait_ack(struct device *device, uint64_t seq)
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
        device_wait_ack(device, outcome->seq); /* the device repeats the outcome, but not the ack in it */
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

void device_set_reading(struct device *device)
{
    session_set_reading(device->session, device->outcome_waiting == NULL && device->page_most == 0 &&
                                             device->outcomes_out < DEVICE_OUTCOMES_MOST &&
                                             session_queued(device->session) < DEVICE_QUEUE_PAUSE);
}

/* After each event: asks for what is due, tells what can be told, and reads on if the device may go on. */
void device_advance(struct device *device)
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
        device_stall(device);
    }
    device_tell_state(device, false);
    device_set_reading(device);
}

bool device_retry_all(struct push *push)
{
    for (struct device *device = push->stalled_first; device != NULL; device = push->stalled_first) {
        if (!tell_store(device)) {
            break;
        }
        device_unstall(device);
        device_advance(device);
    }
    while (push->endings != NULL &&
           store_submit_session_end(push->store, &push->endings->session) != CS_EBUSY) {
        struct ending *ending = push->endings;
        push->endings = ending->next;
        free(ending);
    }
    return push->stalled_first == NULL && push->endings == NULL;
}
