#include "core/session.h"

#include <assert.h>
#include <string.h>

#include "core/text.h"

#define MAC_SIZE 16

static bool by_key(const struct core *core)
{
    return core->identity.token[0] == '\0';
}

/* Takes as long whatever is in them. */
static bool equal(const uint8_t *a, const uint8_t *b, size_t count)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < count; i++) {
        differs |= (uint8_t)(a[i] ^ b[i]);
    }
    return differs == 0;
}

/*
 * Whether the frame ends literally with `,"NAME":"` digits `"}`; `before` is the number of bytes before that. Two digits a byte, lower case.
 */
static bool split_tail(const char *text, size_t length, const char *head, uint8_t *value, size_t count,
                       size_t *before)
{
    size_t head_length = strlen(head), tail = head_length + 2 * count + 2;
    if (length < tail || memcmp(text + length - tail, head, head_length) != 0 ||
        memcmp(text + length - 2, "\"}", 2) != 0 ||
        !core_text_hex_decode(text + length - tail + head_length, 2 * count, true, value, count)) {
        return false;
    }
    *before = length - tail;
    return true;
}

/* ---- the transcript ------------------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t count)
{
    memcpy(at, bytes, count);
    return at + count;
}

static uint8_t *put_long(uint8_t *at, const char *text, size_t length)
{
    const uint8_t prefix[4] = {(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8),
                               (uint8_t)length};
    return put(put(at, prefix, sizeof(prefix)), text, length);
}

_Static_assert(CORE_RECORD_SIZE > 256 + CORE_CHALLENGE_SIZE + CORE_FRAME_SIZE + CORE_MESSAGE_SIZE,
               "scratch holds the longest transcript");

/* Into scratch, to the byte as docs/device-protocol.md has it; `welcome` NULL: the device's. */
static size_t write_transcript(struct core *core, const char *welcome, size_t welcome_length)
{
    const struct core_session *session = &core->session;
    const char *label = welcome == NULL ? "coinslot.v1 device" : "coinslot.v1 relay";
    size_t name_length = strlen(core->identity.device);
    const uint8_t name_prefix[2] = {(uint8_t)(name_length >> 8), (uint8_t)name_length};
    uint8_t *at = core->scratch.bytes;
    at = put(at, label, strlen(label) + 1);
    at = put(at, session->relay_key, CORE_KEY_SIZE);
    at = put(at, name_prefix, sizeof(name_prefix));
    at = put(at, core->identity.device, name_length);
    at = put(at, core->identity.device_key, CORE_KEY_SIZE);
    at = put_long(at, session->challenge, session->challenge_length);
    at = put_long(at, session->hello, session->hello_signed);
    if (welcome != NULL) {
        at = put_long(at, welcome, welcome_length);
    }
    return (size_t)(at - core->scratch.bytes);
}

/* ---- challenge and hello ---------------------------------------------------------------------------------------------- */

static bool is_pinned(const struct core *core, const uint8_t key[CORE_KEY_SIZE])
{
    for (unsigned i = 0; i < core->identity.relay_key_count; i++) {
        if (memcmp(core->identity.relay_keys[i], key, CORE_KEY_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void add_member(struct core_text *text, const char *name, const char *value)
{
    core_text_add(text, ",\"");
    core_text_add(text, name);
    core_text_add(text, "\":\"");
    core_text_add(text, value);
    core_text_add(text, "\"");
}

/* What the device has is told with the epoch that it has it from, whatever the challenge's is. */
static void write_hello(struct core *core, struct core_text *hello)
{
    const struct core_memory *memory = &core->memory;
    core_text_add(hello, "{\"type\":\"hello\"");
    add_member(hello, "device", core->identity.device);
    if (by_key(core)) {
        core_text_add(hello, ",\"key\":\"");
        core_text_add_hex(hello, core->session.exchange, CORE_KEY_SIZE);
        core_text_add(hello, "\"");
    } else {
        add_member(hello, "token", core->identity.token);
    }
    core_text_add(hello, ",\"resume\":");
    core_text_add_number(hello, memory->seq);
    if (memory->epoch[0] != '\0') {
        add_member(hello, "epoch", memory->epoch);
    }
    if (core->identity.firmware[0] != '\0') {
        add_member(hello, "firmware", core->identity.firmware);
    }
    if (memory->current.version > 0) {
        core_text_add(hello, ",\"config_version\":");
        core_text_add_number(hello, memory->current.version);
    }
}

static void sign_hello(struct core *core, struct core_text *hello)
{
    uint8_t signature[CORE_SIGNATURE_SIZE];
    core->session.hello_signed = (uint16_t)hello->length;
    size_t length = write_transcript(core, NULL, 0);
    core->crypto->sign(core->crypto->context, core->scratch.bytes, length, signature);
    core_text_add(hello, ",\"sig\":\"");
    core_text_add_hex(hello, signature, sizeof(signature));
    core_text_add(hello, "\"");
}

const char *core_session_take_challenge(struct core *core, const char *text, size_t length)
{
    struct core_session *session = &core->session;
    const struct core_frame *frame = &core->frame;
    struct core_text hello = core_text_in(session->hello, sizeof(session->hello));
    memcpy(session->epoch, frame->epoch, CORE_EPOCH_SIZE);
    if (by_key(core)) {
        if (!frame->has_keys || length > sizeof(session->challenge)) {
            return "no_keys";
        }
        if (!is_pinned(core, frame->relay_key)) {
            return "not_pinned";
        }
        memcpy(session->challenge, text, length);
        session->challenge_length = (uint16_t)length;
        memcpy(session->relay_key, frame->relay_key, CORE_KEY_SIZE);
        memcpy(session->relay_exchange, frame->exchange_key, CORE_KEY_SIZE);
        core->port->random(core->port->context, session->secret, CORE_KEY_SIZE);
        core->crypto->exchange_public(core->crypto->context, session->secret, session->exchange);
    }
    write_hello(core, &hello);
    if (by_key(core)) {
        sign_hello(core, &hello);
    }
    core_text_add(&hello, "}");
    session->hello_length = (uint16_t)hello.length;
    return NULL;
}

/* ---- welcome -------------------------------------------------------------------------------------------------------------- */

/* libsodium's crypto_kx_client_session_keys. */
static bool agree(struct core *core)
{
    struct core_session *session = &core->session;
    uint8_t shared[CORE_KEY_SIZE], keys[2 * CORE_KEY_SIZE];
    if (!core->crypto->exchange(core->crypto->context, session->secret, session->relay_exchange, shared)) {
        return false;
    }
    const struct core_bytes parts[] = {{shared, CORE_KEY_SIZE},
                                       {session->exchange, CORE_KEY_SIZE},
                                       {session->relay_exchange, CORE_KEY_SIZE}};
    core->crypto->blake2b(core->crypto->context, parts, 3, NULL, 0, keys, sizeof(keys));
    memcpy(session->receive_key, keys, CORE_KEY_SIZE);
    memcpy(session->send_key, keys + CORE_KEY_SIZE, CORE_KEY_SIZE);
    memset(session->secret, 0, CORE_KEY_SIZE); /* what was said can't be read later from what is in memory */
    return true;
}

const char *core_session_take_welcome(struct core *core, const char *text, size_t length)
{
    uint8_t signature[CORE_SIGNATURE_SIZE];
    size_t before;
    if (!by_key(core)) {
        return NULL;
    }
    if (!split_tail(text, length, ",\"sig\":\"", signature, sizeof(signature), &before)) {
        return "not_signed";
    }
    size_t signed_length = write_transcript(core, text, before);
    if (!core->crypto->verify(core->crypto->context, signature, core->scratch.bytes, signed_length,
                              core->session.relay_key)) {
        return "wrong_signature";
    }
    return agree(core) ? NULL : "weak_key";
}

/* ---- frames after the welcome -------------------------------------------------------------------------------------------- */

static void frame_mac(const struct core *core, const uint8_t key[CORE_KEY_SIZE], uint64_t number,
                      const char *text, size_t length, uint8_t mac[MAC_SIZE])
{
    uint8_t counter[8];
    for (unsigned i = 0; i < 8; i++) {
        counter[i] = (uint8_t)(number >> 8 * (7 - i));
    }
    const struct core_bytes parts[] = {{counter, sizeof(counter)}, {text, length}};
    core->crypto->blake2b(core->crypto->context, parts, 2, key, CORE_KEY_SIZE, mac, MAC_SIZE);
}

bool core_session_open(struct core *core, const char *text, size_t length)
{
    uint8_t mac[MAC_SIZE], expected[MAC_SIZE];
    size_t before;
    if (!by_key(core)) {
        return true;
    }
    if (!split_tail(text, length, ",\"mac\":\"", mac, sizeof(mac), &before)) {
        return false;
    }
    frame_mac(core, core->session.receive_key, core->session.received, text, before, expected);
    core->session.received++;
    return equal(mac, expected, sizeof(mac));
}

void core_session_seal(struct core *core, struct core_text *text)
{
    uint8_t mac[MAC_SIZE];
    if (!by_key(core)) {
        return;
    }
    assert(text->bytes[text->length - 1] == '}');
    text->bytes[--text->length] = '\0';
    frame_mac(core, core->session.send_key, core->session.sent, text->bytes, text->length, mac);
    core_text_add(text, ",\"mac\":\"");
    core_text_add_hex(text, mac, sizeof(mac));
    core_text_add(text, "\"}");
}

void core_session_sent(struct core *core)
{
    core->session.sent++;
}
