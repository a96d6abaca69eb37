#include "firmware/rig.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "firmware/blake2b.h"
#include "firmware/toy_crypto.h"

/* ---- the power ---------------------------------------------------------------------------------------------------------- */

/* True: the power goes in this callback. */
static bool is_cut(struct rig *rig)
{
    assert(!rig->powered_off);
    return ++rig->callbacks == rig->cut_at && rig->cut != NULL;
}

static void cut(struct rig *rig)
{
    rig->powered_off = true;
    rig->on = rig->open = rig->connecting = false;
    longjmp(*rig->cut, 1);
}

static void may_cut(struct rig *rig)
{
    if (is_cut(rig)) {
        cut(rig);
    }
}

static uint64_t next_random(struct rig *rig)
{
    uint64_t z = (rig->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- the port -------------------------------------------------------------------------------------------------------------- */

static size_t port_load(void *context, enum core_slot slot, uint8_t *bytes, size_t size)
{
    struct rig *rig = context;
    may_cut(rig);
    const struct rig_slot *from = &rig->slots[slot];
    if (rig->load_fails || from->length > size) {
        return 0;
    }
    memcpy(bytes, from->bytes, from->length);
    return from->length;
}

static bool port_save(void *context, enum core_slot slot, const uint8_t *bytes, size_t length)
{
    struct rig *rig = context;
    struct rig_slot *to = &rig->slots[slot];
    bool goes = is_cut(rig);
    assert(length <= CORE_RECORD_SIZE);
    rig->writes[slot]++;
    if (goes && rig->cut_how == RIG_CUT_BEFORE) {
        cut(rig);
    }
    if (!rig->save_fails || rig->fails_but_writes) {
        bool torn = goes && rig->cut_how == RIG_CUT_TORN;
        size_t written = torn ? next_random(rig) % (length + 1) : length;
        memcpy(to->bytes, bytes, written);
        to->length = torn && next_random(rig) % 2 == 0 ? to->length : written;
    }
    if (goes) {
        cut(rig);
    }
    return !rig->save_fails;
}

static void port_actuate(void *context, bool on)
{
    struct rig *rig = context;
    may_cut(rig);
    rig->switches += on != rig->on;
    rig->sent_at_switch = rig->sent_count;
    rig->on = on;
}

static void port_display(void *context, const struct core_screen *screen)
{
    struct rig *rig = context;
    may_cut(rig);
    assert(rig->displayed == 0 || memcmp(&rig->screen, screen, sizeof(*screen)) != 0);
    rig->screen = *screen;
    rig->displayed++;
}

static void port_connect(void *context)
{
    struct rig *rig = context;
    may_cut(rig);
    assert(!rig->connecting && !rig->open);
    rig->connecting = true;
    rig->connects++;
}

static bool mac_is_right(struct rig *rig, const char *text, size_t length);

static bool port_send(void *context, const char *text, size_t length)
{
    struct rig *rig = context;
    may_cut(rig);
    assert(rig->open && length < CORE_FRAME_SIZE && text[length] == '\0');
    if (rig->room == 0) {
        return false;
    }
    rig->room--;
    assert(!rig->sealed || mac_is_right(rig, text, length));
    assert(rig->sent_count < RIG_SENT_MOST);
    memcpy(rig->sent[rig->sent_count++], text, length + 1);
    if (!rig->sealed) {
        memcpy(rig->hello, text, length + 1);
    }
    return true;
}

static void port_close(void *context, unsigned code, const char *reason)
{
    struct rig *rig = context;
    may_cut(rig);
    assert(rig->open && strlen(reason) < sizeof(rig->close_reason));
    rig->close_code = code;
    strcpy(rig->close_reason, reason);
}

static void port_random(void *context, uint8_t *bytes, size_t count)
{
    struct rig *rig = context;
    may_cut(rig);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)next_random(rig);
    }
    bytes[0] |= 1; /* odd, as toy keys have to be */
}

static bool port_rssi(void *context, int *dbm)
{
    struct rig *rig = context;
    *dbm = rig->dbm;
    return rig->has_rssi;
}

/* ---- the meter ------------------------------------------------------------------------------------------------------------- */

void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    rig->port = (struct core_port){rig,          port_load, port_save,  port_actuate, port_display,
                                   port_connect, port_send, port_close, port_random,  port_rssi};
    rig->crypto = TOY_CRYPTO;
    rig->crypto.context = rig->identity.device_key;
    rig->room = UINT32_MAX;
    rig->step_ms = 250;
    rig->has_rssi = true;
    rig->dbm = -70;
    struct core_identity *identity = &rig->identity;
    strcpy(identity->device, RIG_DEVICE);
    strcpy(identity->firmware, "1.2.0");
    memset(identity->device_key, 0xdd, 32);
    memset(rig->relay_key, 0xee, 32);
    memset(identity->relay_keys[0], 0xaa, 32);
    memcpy(identity->relay_keys[1], rig->relay_key, 32);
    identity->relay_key_count = 2;
    identity->tariff = (struct core_tariff){
        .steps = {{{54210108, 11515845246265065472u}, 6}}, /* 10^27 raw, 0.001 nano: six seconds */
        .count = 1,
        .cap_s = CORE_SECONDS_MOST,
        .late_after_s = -1};
}

void rig_by_token(struct rig *rig)
{
    strcpy(rig->identity.token, "a-token");
    rig->identity.relay_key_count = 0;
}

void rig_power_on(struct rig *rig)
{
    rig->powered_off = rig->on = rig->open = rig->connecting = rig->sealed = false;
    rig->displayed = 0;
    bool good = core_init(&rig->core, &rig->port, &rig->crypto, &rig->identity, rig->now_ms);
    assert(good);
    (void)good;
}

void rig_run(struct rig *rig, uint32_t ms)
{
    for (uint32_t left_ms = ms; left_ms > 0;) {
        uint32_t step_ms = left_ms < rig->step_ms ? left_ms : rig->step_ms;
        left_ms -= step_ms;
        rig->now_ms += step_ms;
        rig->ran_ms += rig->on ? step_ms : 0;
        core_on_tick(&rig->core, rig->now_ms);
    }
}

void rig_connect(struct rig *rig)
{
    for (int i = 0; i < 1000 && !rig->connecting; i++) {
        rig_run(rig, 250);
    }
    assert(rig->connecting);
    rig->connecting = false;
    rig->open = true;
    rig->sealed = false;
    rig->close_code = 0;
    core_on_connect(&rig->core);
}

void rig_disconnect(struct rig *rig, unsigned code)
{
    rig->open = rig->connecting = rig->sealed = false;
    core_on_disconnect(&rig->core, code);
}

/* ---- the relay ------------------------------------------------------------------------------------------------------------- */

static bool by_key(const struct rig *rig)
{
    return rig->identity.token[0] == '\0';
}

static void add_hex(char *text, const uint8_t *bytes, size_t count)
{
    text += strlen(text);
    for (size_t i = 0; i < count; i++) {
        sprintf(text + 2 * i, "%02x", bytes[i]);
    }
}

static void mac_of(const uint8_t key[32], uint64_t number, const char *text, size_t length, uint8_t mac[16])
{
    struct blake2b state;
    uint8_t counter[8];
    for (int i = 0; i < 8; i++) {
        counter[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    blake2b_init(&state, key, 32, 16);
    blake2b_add(&state, counter, 8);
    blake2b_add(&state, text, length);
    blake2b_end(&state, mac);
}

static bool mac_is_right(struct rig *rig, const char *text, size_t length)
{
    char expected[64] = ",\"mac\":\"";
    uint8_t mac[16];
    if (length < 43) {
        return false;
    }
    mac_of(rig->to_relay, rig->relay_received++, text, length - 42, mac);
    add_hex(expected, mac, sizeof(mac));
    strcat(expected, "\"}");
    return strcmp(text + length - 42, expected) == 0;
}

void rig_say(struct rig *rig, const char *text)
{
    core_on_message(&rig->core, text, strlen(text));
}

void rig_say_challenge(struct rig *rig, const char *epoch)
{
    uint8_t nonce[32];
    for (int i = 0; i < 32; i++) {
        nonce[i] = (uint8_t)next_random(rig);
        rig->relay_secret[i] = (uint8_t)next_random(rig);
    }
    rig->relay_secret[0] |= 1;
    toy_public(rig->relay_secret, rig->relay_public);
    rig->relay_sent = rig->relay_received = 0;
    strcpy(rig->challenge, "{\"type\":\"challenge\",\"nonce\":\"");
    add_hex(rig->challenge, nonce, 32);
    strcat(rig->challenge, "\",\"key\":\"");
    add_hex(rig->challenge, rig->relay_public, 32);
    strcat(rig->challenge, "\",\"relay\":\"");
    add_hex(rig->challenge, rig->relay_key, 32);
    strcat(rig->challenge, "\",\"epoch\":\"");
    strcat(rig->challenge, epoch);
    strcat(rig->challenge, "\"}");
    rig_say(rig, rig->challenge);
}

static size_t put_long(uint8_t *at, const void *bytes, size_t length)
{
    const uint8_t prefix[4] = {0, 0, (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(at, prefix, 4);
    memcpy(at + 4, bytes, length);
    return 4 + length;
}

/* The bytes that are signed, as docs/device-protocol.md has them. */
static void sign_welcome(struct rig *rig, uint8_t signature[64])
{
    static uint8_t bytes[8192];
    const char *hello = rig->hello;
    size_t at = 18, name = strlen(RIG_DEVICE);
    memcpy(bytes, "coinslot.v1 relay", 18);
    memcpy(bytes + at, rig->relay_key, 32);
    at += 32;
    bytes[at++] = 0;
    bytes[at++] = (uint8_t)name;
    memcpy(bytes + at, RIG_DEVICE, name);
    at += name;
    memcpy(bytes + at, rig->identity.device_key, 32);
    at += 32;
    at += put_long(bytes + at, rig->challenge, strlen(rig->challenge));
    at += put_long(bytes + at, hello, strlen(hello) - 138);
    at += put_long(bytes + at, rig->frame, strlen(rig->frame));
    toy_sign(rig->relay_key, bytes, at, signature);
}

static void agree(struct rig *rig)
{
    const char *key = strstr(rig->hello, "\"key\":\"") + 7;
    uint8_t device[32], shared[32], keys[64];
    struct blake2b state;
    for (int i = 0; i < 32; i++) {
        unsigned value;
        sscanf(key + 2 * i, "%2x", &value);
        device[i] = (uint8_t)value;
    }
    toy_shared(rig->relay_secret, device, shared);
    blake2b_init(&state, NULL, 0, 64);
    blake2b_add(&state, shared, 32);
    blake2b_add(&state, device, 32);
    blake2b_add(&state, rig->relay_public, 32);
    blake2b_end(&state, keys);
    memcpy(rig->to_device, keys, 32);
    memcpy(rig->to_relay, keys + 32, 32);
}

void rig_say_welcome(struct rig *rig, uint64_t last_acked, uint64_t version, const char *config)
{
    uint8_t signature[64];
    snprintf(rig->frame, sizeof(rig->frame),
             "{\"type\":\"welcome\",\"time\":\"2026-11-20T17:03:00.123Z\",\"last_acked\":%llu,\"pending\":0,"
             "\"config_version\":%llu,\"config\":%s",
             (unsigned long long)last_acked, (unsigned long long)version, config == NULL ? "null" : config);
    if (by_key(rig)) {
        sign_welcome(rig, signature);
        agree(rig);
        strcat(rig->frame, ",\"sig\":\"");
        add_hex(rig->frame, signature, 64);
        strcat(rig->frame, "\"");
        rig->sealed = true;
    }
    strcat(rig->frame, "}");
    rig_say(rig, rig->frame);
}

void rig_seal(struct rig *rig, const char *text)
{
    uint8_t mac[16];
    size_t length = strlen(text);
    assert(length + 64 < sizeof(rig->frame));
    memmove(rig->frame, text, length + 1);
    if (by_key(rig)) {
        mac_of(rig->to_device, rig->relay_sent++, rig->frame, length - 1, mac);
        strcpy(rig->frame + length - 1, ",\"mac\":\"");
        add_hex(rig->frame, mac, sizeof(mac));
        strcat(rig->frame, "\"}");
    }
}

void rig_say_sealed(struct rig *rig, const char *text)
{
    rig_seal(rig, text);
    rig_say(rig, rig->frame);
}

void rig_say_payment(struct rig *rig, uint64_t seq, uint64_t version, unsigned number, const char *raw,
                     unsigned age_s)
{
    char text[768];
    snprintf(text, sizeof(text),
             "{\"type\":\"payment\",\"seq\":%llu,\"config_version\":%llu,\"payment\":{\"chain\":\"nano\","
             "\"hash\":\"%064X\",\"output\":0,\"to\":\"" RIG_ACCOUNT "\",\"amount\":\"%s\","
             "\"stored_at\":\"2026-11-20T17:02:58.001Z\",\"age_s\":%u}}",
             (unsigned long long)seq, (unsigned long long)version, number, raw, age_s);
    rig_say_sealed(rig, text);
}

void rig_say_state(struct rig *rig, bool payable)
{
    rig_say_sealed(
        rig, payable
                 ? "{\"type\":\"state\",\"caught_up\":true,\"payable\":true,\"reason\":\"ok\"}"
                 : "{\"type\":\"state\",\"caught_up\":false,\"payable\":false,\"reason\":\"node_lagging\"}");
}

void rig_open_session(struct rig *rig, uint64_t last_acked)
{
    rig_connect(rig);
    rig_say_challenge(rig, RIG_EPOCH);
    rig_say_welcome(rig, last_acked, 1, RIG_CONFIG);
    rig_say_state(rig, true);
}

/* ---- what came of it ------------------------------------------------------------------------------------------------------- */

const char *rig_last(const struct rig *rig)
{
    return rig->sent_count == 0 ? "" : rig->sent[rig->sent_count - 1];
}

unsigned rig_count_sent(const struct rig *rig, const char *begins)
{
    unsigned count = 0;
    for (unsigned i = 0; i < rig->sent_count; i++) {
        count += strncmp(rig->sent[i], begins, strlen(begins)) == 0;
    }
    return count;
}

bool rig_has_sent(const struct rig *rig, const char *begins)
{
    return rig_count_sent(rig, begins) > 0;
}

void rig_forget_sent(struct rig *rig)
{
    rig->sent_count = 0;
}

const char *rig_screen(const struct rig *rig)
{
    static const char *const KINDS[CORE_SCREEN_KINDS] = {"starting", "prices",  "paid",     "not enough",
                                                         "too late", "refused", "dont pay", "out of service"};
    static char text[512];
    const struct core_screen *screen = &rig->screen;
    strcpy(text, KINDS[screen->kind]);
    strcat(text, ": ");
    for (unsigned i = 0; i < screen->line_count; i++) {
        strcat(text, i > 0 ? " / " : "");
        strcat(text, screen->lines[i]);
    }
    strcat(text, screen->qr[0] != '\0' ? " [qr]" : "");
    return text;
}
