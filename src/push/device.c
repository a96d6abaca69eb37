#define LOG_MODULE "push"
#include "push/device.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "push/device_state.h"

/* ---- sending and ending -------------------------------------------------------------------------------- */

void device_send(struct device *device, enum sent_type type, const char *text, size_t length)
{
    metrics_add(device->push->counters.sent[type], 1);
    if (!device->sealed) {
        session_send(device->session, text, length);
        return;
    }
    char tail[PROOF_MAC_TAIL_SIZE];
    proof_seal(device->channel, text, length, tail);
    session_send_joined(device->session, text, length - 1, tail, PROOF_MAC_TAIL_SIZE - 1);
}

bool device_has_room(struct device *device)
{
    if (session_queued(device->session) <
        DEVICE_QUEUE_PAUSE + device->outbox.window + DEVICE_OUTCOMES_MOST + 4) {
        return true;
    }
    device_fail(device, DEVICE_CLOSE_SLOW, "frames were sent without reading the answers");
    return false;
}

/* The device counts what reaches it: the frame after those that never left goes by the first one's number. */
static void drop_queue(struct device *device)
{
    uint64_t queued = session_queued(device->session);
    session_drop_queue(device->session);
    if (device->sealed && queued > device->channel->sent) {
        device->sealed = false; /* the welcome itself was among them */
    } else if (device->sealed) {
        proof_unsend(device->channel, queued);
    }
}

/* From now on whatever the store posts to this session is dropped. */
void device_leave(struct device *device, bool tell_store)
{
    if (device->phase == DEVICE_LIVE) {
        device->status_noted_ns = 0;
        device_note_status(device);
        atomic_fetch_sub_explicit(&device->push->counters.sessions, 1, memory_order_relaxed);
        if (tell_store) {
            device_end_in_store(device->push, &device->store);
        }
    }
    device_unstall(device);
    device_forget_greeting(device);
    free(device->outcome_waiting);
    device->outcome_waiting = NULL;
    device->phase = DEVICE_OVER;
}

/* Ends the session with an error frame; what was queued is for the next one. */
void device_fail_with(struct device *device, enum device_close close, bool tell_store, const char *code,
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
    if (close == DEVICE_CLOSE_BAD_MAC) {
        metrics_add(device->push->counters.bad_macs, 1);
    }
    log_debug("session %" PRIu64 " ends: %s: %s", session_handle(device->session), code, message);
    device_leave(device, tell_store);
    drop_queue(device);
    if (close != DEVICE_CLOSE_GOING_AWAY) {
        char text[DEVICE_FRAME_SIZE];
        size_t length = device_frame_error(text, code, message);
        device_send(device, SENT_ERROR, text, length);
    }
    session_end(device->session, device_close_code(close), device_close_text(close));
}

void device_fail(struct device *device, enum device_close close, const char *message)
{
    device_fail_with(device, close, true, device_close_text(close), message);
}

void device_break_protocol(struct device *device, const char *code, const char *message)
{
    device_fail_with(device, DEVICE_CLOSE_PROTOCOL, true, code, message);
}

void device_refuse_begin(struct device *device, enum cs_err err)
{
    switch (err) {
    case CS_EDENIED:
        device_fail(device, DEVICE_CLOSE_UNAUTHORIZED, "the device was disabled or retired");
        return;
    case CS_EBUSY:
    case CS_EFULL:
        device_fail(device, DEVICE_CLOSE_BUSY, "the relay is too busy; connect again in a few seconds");
        return;
    case CS_ECLOSED:
        device_fail(device, DEVICE_CLOSE_GOING_AWAY, "the relay stops");
        return;
    case CS_OK:
    case CS_EINVAL:
    case CS_ENOTFOUND:
    case CS_ECONFLICT:
    case CS_EIO:
        break;
    }
    assert(false);
}

/* ---- the device speaks --------------------------------------------------------------------------------- */

/* False when that was never sent: the session ends. */
static bool take_ack(struct device *device, uint64_t seq)
{
    if (outbox_ack(&device->outbox, seq) != CS_OK) {
        device_break_protocol(device, "ack_ahead", "\"seq\" is above the highest that was sent");
        return false;
    }
    if (device->timed_seq != 0 && seq >= device->timed_seq) {
        (void)store_observe_stage(device->push->store, STORE_STAGE_ACK, device->timed_ns);
        device->timed_seq = 0;
    }
    return true;
}

static void on_ack(struct device *device, uint64_t seq)
{
    if (!take_ack(device, seq)) {
        return;
    }
    device_wait_ack(device, seq);
    device_advance(device);
}

static void on_outcome(struct device *device, const struct store_outcome *outcome)
{
    if (!take_ack(device, outcome->seq)) {
        return;
    }
    /* Reading stops while one waits, so there is none. Should one be there all the same, it is repeated by
     * the device. */
    if (device->outcome_waiting != NULL) {
        device_fail(device, DEVICE_CLOSE_BUSY, "the relay is too busy; connect again in a few seconds");
        return;
    }
    device->outcome_waiting = cs_alloc(sizeof(*outcome));
    *device->outcome_waiting = *outcome;
    device_advance(device);
}

static void device_message(void *state, const char *text, size_t length)
{
    struct device *device = state;
    if (device->phase == DEVICE_OVER) {
        return;
    }
    /* Before anything else: what was not said by the device, as the next thing, is not even read. */
    if (device->sealed && !proof_open(device->channel, text, length)) {
        device_fail(device, DEVICE_CLOSE_BAD_MAC, "the frame's mac is missing or wrong");
        return;
    }
    struct device_frame frame;
    struct device_problem problem;
    if (device_frame_read(text, length, &frame, &problem) != CS_OK) {
        device_break_protocol(device, problem.code, problem.message);
        return;
    }
    metrics_add(device->push->counters.received[frame.type], 1);
    if (frame.type != DEVICE_HELLO && device->phase != DEVICE_LIVE) {
        device_break_protocol(device, "unexpected", "say hello and wait for the welcome first");
        return;
    }
    switch (frame.type) {
    case DEVICE_HELLO:
        device_take_hello(device, &frame.hello, text);
        return;
    case DEVICE_ACK:
        on_ack(device, frame.outcome.seq);
        return;
    case DEVICE_ACTUATED:
    case DEVICE_REFUSED:
        on_outcome(device, &frame.outcome);
        return;
    case DEVICE_STATUS:
        device_take_status(device, &frame.status);
        return;
    }
}

/* ---- the connection ------------------------------------------------------------------------------------ */

static void *device_open(struct session *session)
{
    struct device *device = cs_alloc(sizeof(*device));
    device->session = session;
    device->push = session_push(session);
    session_set_timeout(session, device->push->options.hello_timeout_s);
    device_challenge(device);
    return device;
}

static void device_not_text(void *state)
{
    device_fail_with(state, DEVICE_CLOSE_FRAME, true, "not_text",
                     "binary messages are not spoken here; send JSON as text");
}

static void device_too_big(void *state)
{
    device_fail_with(state, DEVICE_CLOSE_FRAME, true, "too_big",
                     "the message is longer than the relay takes");
}

static void device_timeout(void *state)
{
    device_fail(state, DEVICE_CLOSE_HELLO_TIMEOUT, "no hello came in time");
}

static void device_drained(void *state)
{
    struct device *device = state;
    if (device->phase == DEVICE_LIVE) {
        device_tell_state(device, false);
        device_set_reading(device);
    }
}

static void device_second(void *state)
{
    struct device *device = state;
    if (device->phase == DEVICE_LIVE) {
        device_look_at_proof(device);
        device_tell_state(device, true);
        device_note_status(device);
    }
}

static void device_stop(void *state)
{
    device_fail(state, DEVICE_CLOSE_GOING_AWAY, "the relay stops");
}

static void device_close(void *state)
{
    struct device *device = state;
    device_leave(device, true);
    device_forget_channel(device);
    free(device);
}

const struct session_protocol DEVICE_PROTOCOL = {
    .subprotocol = DEVICE_SUBPROTOCOL,
    .path = DEVICE_PATH,
    .offer = "Offer the subprotocol coinslot.v1.",
    .open = device_open,
    .message = device_message,
    .not_text = device_not_text,
    .too_big = device_too_big,
    .timeout = device_timeout,
    .drained = device_drained,
    .second = device_second,
    .stop = device_stop,
    .close = device_close,
};
