#define LOG_MODULE "push"
#include "push/device.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device_state.h"

/* ---- sending and ending -------------------------------------------------------------------------------- */

static void count_sent(struct device *device, enum sent_type type)
{
    metrics_add(device->push->counters.sent[type], 1);
}

void device_send(struct device *device, enum sent_type type, const char *text, size_t length)
{
    count_sent(device, type);
    session_send(device->session, text, length);
}

/* From now on whatever the store posts to this session is dropped. */
void device_leave(struct device *device, bool tell_store)
{
    if (device->phase == DEVICE_LIVE) {
        atomic_fetch_sub_explicit(&device->push->counters.sessions, 1, memory_order_relaxed);
        if (tell_store) {
            device_end_in_store(device->push, &device->store);
        }
    }
    device_unstall(device);
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
    log_debug("session %" PRIu64 " ends: %s: %s", session_handle(device->session), code, message);
    device_leave(device, tell_store);
    session_drop_queue(device->session);
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
    case CS_ECONFLICT:
        device_fail(device, DEVICE_CLOSE_ROLLED_BACK,
                    "\"resume\" is above what this store ever sent: it was restored from an older backup; an "
                    "operator has to look");
        return;
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
    case CS_EIO:
        break;
    }
    assert(false);
}

/* ---- the device speaks --------------------------------------------------------------------------------- */

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
        device_break_protocol(device, "unexpected", "hello was said already");
        return;
    }
    if (!push->options.allow_plain_tokens && !session_is_private(device->session)) {
        device_fail(device, DEVICE_CLOSE_INSECURE,
                    "a token must not cross a network in the clear: use TLS, or set allow_plain_tokens");
        return;
    }
    struct store_device_key key;
    if (!check_token(push, hello, &key)) {
        device_fail(device, DEVICE_CLOSE_UNAUTHORIZED, "no device has this id and this token");
        return;
    }
    switch (key.state) {
    case DEVICE_ACTIVE:
        break;
    case DEVICE_DISABLED:
        device_fail(device, DEVICE_CLOSE_DISABLED, "an operator has disabled this device; its payments wait");
        return;
    case DEVICE_RETIRED:
        device_fail(device, DEVICE_CLOSE_RETIRED, "this device is retired for good");
        return;
    }
    device->phase = DEVICE_BEGINNING;
    session_set_timeout(device->session, 0);
    const struct store_hello begin = {
        .device = key.device,
        .handle = session_handle(device->session),
        .resume = hello->resume,
        .other_epoch = hello->epoch[0] != '\0' && strcmp(hello->epoch, store_epoch(push->store)) != 0,
    };
    enum cs_err err = store_submit_session(push->store, &begin, on_begun, push);
    if (err != CS_OK) {
        device_refuse_begin(device, err);
        return;
    }
    log_debug("%s says hello: resume %" PRIu64 ", firmware %s", hello->device, hello->resume,
              hello->firmware[0] != '\0' ? hello->firmware : "not told");
}

static void on_ack(struct device *device, uint64_t seq)
{
    if (outbox_ack(&device->outbox, seq) != CS_OK) {
        device_break_protocol(device, "ack_ahead", "\"seq\" is above the highest that was sent");
        return;
    }
    device_wait_ack(device, seq);
    device_advance(device);
}

static void on_outcome(struct device *device, const struct store_outcome *outcome)
{
    if (outbox_ack(&device->outbox, outcome->seq) != CS_OK) {
        device_break_protocol(device, "ack_ahead", "\"seq\" is above the highest that was sent");
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

/* ---- the connection ------------------------------------------------------------------------------------ */

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
    device_send(device, SENT_CHALLENGE, text, length);
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
        device_set_reading(device);
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
