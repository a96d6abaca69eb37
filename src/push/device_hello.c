/* How a session begins: the challenge, who the device is, the welcome. */
#define LOG_MODULE "push"
#include "push/device.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device_state.h"

void device_challenge(struct device *device)
{
    struct device_challenge challenge = {.epoch = store_epoch(device->push->store)};
    struct device_greeting keys = {0};
    randombytes_buf(challenge.nonce, sizeof(challenge.nonce));
    exchange_take(device->push->exchange, &keys.exchange);
    store_relay_key(device->push->store, 0, keys.relay_public, keys.relay_secret);
    memcpy(challenge.key, keys.exchange.public_key, sizeof(challenge.key));
    memcpy(challenge.relay, keys.relay_public, sizeof(challenge.relay));
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_challenge(text, &challenge);
    device->greeting = cs_alloc(sizeof(*device->greeting) + length);
    *device->greeting = keys;
    device->greeting->challenge_length = length;
    memcpy(device->greeting->challenge, text, length);
    sodium_memzero(&keys, sizeof(keys));
    device_send(device, SENT_CHALLENGE, text, length);
}

void device_forget_greeting(struct device *device)
{
    if (device->greeting != NULL) {
        free(device->greeting->hello);
        sodium_memzero(device->greeting, sizeof(*device->greeting));
        free(device->greeting);
        device->greeting = NULL;
    }
}

void device_forget_channel(struct device *device)
{
    if (device->channel != NULL) {
        sodium_memzero(device->channel, sizeof(*device->channel));
        free(device->channel);
        device->channel = NULL;
    }
}

/* ---- who it is ----------------------------------------------------------------------------------------- */

/* The same answer for an unknown device, one with a key and a wrong token, after the same work. */
static bool check_token(struct push *push, const struct device_hello *hello, struct store_device_key *found)
{
    uint8_t hash[STORE_HASH_SIZE];
    store_hash_token(push->store, hello->token, hash);
    memset(found, 0, sizeof(*found));
    bool known = store_find_device(push->store, hello->device, found);
    bool same = sodium_memcmp(hash, found->credential, sizeof(hash)) == 0;
    return known && same && found->auth == DEVICE_AUTH_TOKEN;
}

static struct proof_transcript transcript_of(const struct device_greeting *greeting)
{
    return (struct proof_transcript){
        .relay_key = greeting->relay_public,
        .device_key = greeting->device_key,
        .device = greeting->device,
        .challenge = greeting->challenge,
        .challenge_length = greeting->challenge_length,
        .hello = greeting->hello,
        .hello_length = greeting->hello_length,
    };
}

/*
 * A signature is the dearest thing that a stranger can have us check: only a device that is there, and has a key, gets as far. That its
 * id exists can be told by the time; ids are no secret.
 */
static bool check_signature(struct device *device, const struct device_hello *hello, const char *text,
                            struct store_device_key *found)
{
    struct device_greeting *greeting = device->greeting;
    memset(found, 0, sizeof(*found));
    if (!store_find_device(device->push->store, hello->device, found) || found->auth != DEVICE_AUTH_KEY) {
        return false;
    }
    snprintf(greeting->device, sizeof(greeting->device), "%s", hello->device);
    memcpy(greeting->device_key, found->credential, sizeof(greeting->device_key));
    greeting->hello = cs_alloc(hello->signed_length);
    memcpy(greeting->hello, text, hello->signed_length);
    greeting->hello_length = hello->signed_length;
    const struct proof_transcript transcript = transcript_of(greeting);
    return proof_check_hello(&transcript, hello->signature);
}

/* Whether an active device has proved that it is this one; if not, it has been told. */
static bool let_in(struct device *device, const struct device_hello *hello, const char *text,
                   struct store_device_key *found)
{
    bool keyed = hello->signed_length > 0;
    if (!keyed && !device->push->options.allow_plain_tokens && !session_is_private(device->session)) {
        device_fail(device, DEVICE_CLOSE_INSECURE,
                    "a token must not cross a network in the clear: use TLS, or set allow_plain_tokens");
        return false;
    }
    bool proved =
        keyed ? check_signature(device, hello, text, found) : check_token(device->push, hello, found);
    if (!proved) {
        device_fail(device, DEVICE_CLOSE_UNAUTHORIZED, "no device has this id and this token or key");
        return false;
    }
    switch (found->state) {
    case DEVICE_ACTIVE:
        return true;
    case DEVICE_DISABLED:
        device_fail(device, DEVICE_CLOSE_DISABLED, "an operator has disabled this device; its payments wait");
        return false;
    case DEVICE_RETIRED:
        device_fail(device, DEVICE_CLOSE_RETIRED, "this device is retired for good");
        return false;
    }
    return false;
}

static bool agree(struct device *device, const struct device_hello *hello)
{
    const struct device_greeting *greeting = device->greeting;
    device->channel = cs_alloc(sizeof(*device->channel));
    if (!proof_agree_as_relay(device->channel, greeting->exchange.public_key, greeting->exchange.secret_key,
                              hello->key)) {
        device_break_protocol(device, "invalid",
                              "\"key\" is a point of low order: no secret can be made with it");
        return false;
    }
    return true;
}

static void on_begun(void *context, uint64_t handle, enum cs_err err, const struct store_begun *begun)
{
    struct post *post = cs_alloc(sizeof(*post));
    post->kind = POST_BEGUN;
    post->handle = handle;
    post->err = err;
    if (err == CS_OK) {
        post->begun = *begun;
        post->begun.config = NULL; /* borrowed for this call */
        post->config = begun->config != NULL ? cs_strdup(begun->config) : NULL;
    }
    push_post(context, post);
}

void device_take_hello(struct device *device, const struct device_hello *hello, const char *text)
{
    struct push *push = device->push;
    if (device->phase != DEVICE_GREETING) {
        device_break_protocol(device, "unexpected", "hello was said already");
        return;
    }
    struct store_device_key found;
    if (!let_in(device, hello, text, &found)) {
        return;
    }
    if (hello->signed_length == 0) {
        device_forget_greeting(device);
    } else if (!agree(device, hello)) {
        return;
    }
    if (!session_settle(device->session)) {
        device_fail(device, DEVICE_CLOSE_BUSY, "there are too many sessions; connect again later");
        return;
    }
    device->phase = DEVICE_BEGINNING;
    session_set_timeout(device->session, 0);
    device->status = (struct store_status){.uptime_s = INT64_MIN,
                                           .rssi = INT64_MIN,
                                           .remaining_s = INT64_MIN,
                                           .relay_on = -1,
                                           .config_version = hello->config_version};
    snprintf(device->status.firmware, sizeof(device->status.firmware), "%s", hello->firmware);
    device->status_waiting = true;
    const struct store_hello begin = {
        .device = found.device,
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

/* ---- the welcome --------------------------------------------------------------------------------------- */

static void send_signed(struct device *device, const char *text, size_t length)
{
    uint8_t signature[PROOF_SIGNATURE_SIZE];
    char tail[PROOF_SIG_TAIL_SIZE];
    const struct proof_transcript transcript = transcript_of(device->greeting);
    proof_sign_welcome(&transcript, text, length - 1, device->greeting->relay_secret, signature);
    proof_write_sig(signature, tail);
    metrics_add(device->push->counters.sent[SENT_WELCOME], 1);
    session_send_joined(device->session, text, length - 1, tail, PROOF_SIG_TAIL_SIZE - 1);
    device->sealed = true;
}

void device_welcome(struct device *device, const struct store_begun *begun, const char *config)
{
    const struct device_welcome welcome = {
        .now_ms = clock_wall_ms(),
        .last_acked = begun->acked,
        .pending = begun->head - begun->acked,
        .config_version = begun->config_version,
        .config = config,
    };
    device->config_version = begun->config_version;
    char *text = cs_alloc(device_frame_room(config));
    size_t length = device_frame_welcome(text, &welcome);
    if (device->channel != NULL) {
        send_signed(device, text, length);
    } else {
        device_send(device, SENT_WELCOME, text, length);
    }
    free(text);
    device_forget_greeting(device);
}
