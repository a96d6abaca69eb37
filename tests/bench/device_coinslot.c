/* Devices of `coinslot.v1` (docs/device-protocol.md): by token, or by key with a MAC on every frame. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "bench/bench.h"
#include "bench/ws.h"
#include "push/device_proof.h"

#define ID_SIZE      32
#define MESSAGE_MOST 4096

enum stage { STAGE_UPGRADE, STAGE_CHALLENGE, STAGE_WELCOME, STAGE_LIVE };

struct device {
    struct link link;
    struct fleet *fleet;
    uint32_t number;
    enum stage stage;
    char id[ID_SIZE];
    uint64_t seq, acked;           /* had; told */
    struct proof_channel *channel; /* of a session by key */
};

struct fleet {
    struct bench *bench;
    struct device *devices;
    uint8_t exchange_public[PROOF_EXCHANGE_SIZE], exchange_secret[PROOF_EXCHANGE_SIZE];
};

static void send_frame(struct device *device, const char *text, size_t length)
{
    char sealed[MESSAGE_MOST];
    if (device->channel == NULL) {
        ws_send(&device->link, true, WS_TEXT, text, length);
        return;
    }
    memcpy(sealed, text, length);
    proof_seal(device->channel, text, length, sealed + length - 1);
    ws_send(&device->link, true, WS_TEXT, sealed, strlen(sealed));
}

/* The digits after `key`; 0 when it is not there. */
static uint64_t read_number(const uint8_t *text, size_t length, const char *key)
{
    uint64_t number = 0;
    const uint8_t *at = memmem(text, length, key, strlen(key)), *end = text + length;
    for (at = at != NULL ? at + strlen(key) : end; at < end && *at >= '0' && *at <= '9'; at++) {
        number = 10 * number + (uint64_t)(*at - '0');
    }
    return number;
}

/* ---- the beginning --------------------------------------------------------------------------------- */

static void read_key(const char *text, const char *name, uint8_t key[32])
{
    char digits[65];
    const char *at = strstr(text, name);
    if (at == NULL || snprintf(digits, sizeof(digits), "%.64s", at + strlen(name)) != 64 ||
        !hex_decode(digits, key, 32)) {
        bench_die("the challenge has no %s: %s", name, text);
    }
}

static void greet_by_key(struct device *device, const char *challenge, size_t challenge_length)
{
    struct fleet *fleet = device->fleet;
    uint8_t relay[32], exchange[32], seed[32], public_key[32], secret[64], signature[64];
    char hello[512], own[65];
    payments_seed(device->number, seed);
    crypto_sign_seed_keypair(public_key, secret, seed);
    read_key(challenge, "\"relay\":\"", relay);
    read_key(challenge, "\"key\":\"", exchange);
    hex_encode_lower(fleet->exchange_public, 32, own);
    int length = snprintf(hello, sizeof(hello) - PROOF_SIG_TAIL_SIZE,
                          "{\"type\":\"hello\",\"device\":\"%s\",\"key\":\"%s\",\"resume\":%" PRIu64 "}",
                          device->id, own, device->seq);
    const struct proof_transcript transcript = {.relay_key = relay,
                                                .device_key = public_key,
                                                .device = device->id,
                                                .challenge = challenge,
                                                .challenge_length = challenge_length,
                                                .hello = hello,
                                                .hello_length = (size_t)length - 1};
    proof_sign_hello(&transcript, secret, signature);
    proof_write_sig(signature, hello + length - 1);
    ws_send(&device->link, true, WS_TEXT, hello, strlen(hello));
    free(device->channel);
    device->channel = cs_alloc(sizeof(*device->channel));
    if (!proof_agree_as_device(device->channel, fleet->exchange_public, fleet->exchange_secret, exchange)) {
        bench_die("the relay's key is no key");
    }
}

static void greet(struct device *device, const char *challenge, size_t length)
{
    char token[PAYMENTS_TOKEN_SIZE], hello[256];
    if (strstr(challenge, "\"type\":\"challenge\"") == NULL) {
        bench_die("device %u got this for a challenge: %s", device->number, challenge);
    }
    if (device->fleet->bench->options.keyed) {
        greet_by_key(device, challenge, length);
        return;
    }
    payments_token(device->number, token);
    int size = snprintf(hello, sizeof(hello),
                        "{\"type\":\"hello\",\"device\":\"%s\",\"token\":\"%s\",\"resume\":%" PRIu64 "}",
                        device->id, token, device->seq);
    ws_send(&device->link, true, WS_TEXT, hello, (size_t)size);
}

static void begin(struct device *device, const char *welcome)
{
    if (strstr(welcome, "\"type\":\"welcome\"") == NULL) {
        bench_die("device %u got this for a welcome: %s", device->number, welcome);
    }
    device->seq = device->acked = read_number((const uint8_t *)welcome, strlen(welcome), "\"last_acked\":");
    bench_ready(device->fleet->bench, device->number);
}

/* ---- what comes ------------------------------------------------------------------------------------ */

static void take_payment(struct device *device, const uint8_t *text, size_t length)
{
    struct bench *bench = device->fleet->bench;
    uint64_t seq = read_number(text, length, "\"seq\":");
    uint32_t payment = payments_find_in(bench->payments, text, length);
    if (seq != device->seq + 1) {
        fprintf(stderr, "device %u: seq %" PRIu64 " after %" PRIu64 "\n", device->number, seq, device->seq);
        tally_out_of_order(bench->tally);
    }
    device->seq = seq;
    bench_received(bench, payment, device->number);
}

static void take_frame(struct device *device, const uint8_t *text, size_t length)
{
    static const char payment[] = "{\"type\":\"payment\"", state[] = "{\"type\":\"state\"";
    if (device->channel != NULL && !proof_open(device->channel, (const char *)text, length)) {
        bench_die("device %u got a frame with a wrong MAC", device->number);
    }
    if (length >= sizeof(payment) && memcmp(text, payment, sizeof(payment) - 1) == 0) {
        take_payment(device, text, length);
    } else if (length < sizeof(state) || memcmp(text, state, sizeof(state) - 1) != 0) {
        bench_die("device %u got this: %.*s", device->number, (int)length, (const char *)text);
    }
}

static void take_text(struct device *device, const uint8_t *text, size_t length)
{
    char copy[MESSAGE_MOST];
    if (device->stage == STAGE_LIVE) {
        take_frame(device, text, length);
        return;
    }
    snprintf(copy, sizeof(copy), "%.*s", (int)length, (const char *)text);
    if (device->stage == STAGE_CHALLENGE) {
        device->stage = STAGE_WELCOME;
        greet(device, copy, length);
    } else {
        device->stage = STAGE_LIVE;
        begin(device, copy);
    }
}

static size_t take_upgrade(struct device *device, const uint8_t *bytes, size_t length)
{
    size_t head = ws_head_length(bytes, length);
    if (head > 0 && memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
        bench_die("device %u was refused: %.*s", device->number, (int)head, (const char *)bytes);
    }
    device->stage = head > 0 ? STAGE_CHALLENGE : STAGE_UPGRADE;
    return head;
}

static void ack(struct device *device)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "{\"type\":\"ack\",\"seq\":%" PRIu64 "}", device->seq);
    send_frame(device, text, (size_t)length);
    device->acked = device->seq;
}

static size_t heard(struct link *link, const uint8_t *bytes, size_t length)
{
    struct device *device = link->owner;
    struct ws_frame frame;
    size_t used = device->stage == STAGE_UPGRADE ? take_upgrade(device, bytes, length) : 0, size;
    while (device->stage != STAGE_UPGRADE &&
           (size = ws_take((uint8_t *)(uintptr_t)bytes + used, length - used, &frame)) > 0) {
        used += size;
        if (frame.opcode == WS_TEXT) {
            take_text(device, frame.payload, frame.length);
        } else if (frame.opcode == WS_PING) {
            ws_send(link, true, WS_PONG, frame.payload, frame.length);
        } else if (frame.opcode == WS_CLOSE) {
            bench_die("device %u: the relay has ended its session", device->number);
        }
    }
    if (device->seq > device->acked) {
        ack(device);
    }
    return used;
}

/* ---- the fleet ------------------------------------------------------------------------------------- */

static void opened(struct link *link)
{
    ws_ask_upgrade(link, "/device", "coinslot.v1");
}

static void closed(struct link *link, const char *why)
{
    struct device *device = link->owner;
    if (!device->fleet->bench->patient) {
        bench_die("device %u lost its connection: %s", device->number, why);
    }
    device->fleet->bench->turned_away = device->number;
}

static const struct link_calls CALLS = {.opened = opened, .heard = heard, .closed = closed};

static void *fleet_open(struct bench *bench)
{
    struct fleet *fleet = cs_alloc(sizeof(*fleet));
    fleet->bench = bench;
    fleet->devices = cs_alloc(bench->options.devices * sizeof(struct device));
    crypto_kx_keypair(fleet->exchange_public, fleet->exchange_secret);
    FILE *credentials = fopen(bench->options.credentials != NULL ? bench->options.credentials : "", "r");
    for (uint32_t i = 0; i < bench->options.devices; i++) {
        struct device *device = &fleet->devices[i];
        device->fleet = fleet;
        device->number = i;
        if (credentials == NULL || fscanf(credentials, "%31s", device->id) != 1) {
            bench_die("--credentials: a file with the id of each device, one a line");
        }
    }
    fclose(credentials);
    return fleet;
}

static void fleet_connect(void *devices, uint32_t number)
{
    struct fleet *fleet = devices;
    struct device *device = &fleet->devices[number];
    device->stage = STAGE_UPGRADE;
    link_dial(fleet->bench->loop, &device->link, fleet->bench->options.device_port, &CALLS, device);
}

const struct device_kind DEVICE_COINSLOT = {.open = fleet_open, .connect = fleet_connect};
