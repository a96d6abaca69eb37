/*
 * device_frames: the frames of `coinslot.v1` as text: what is built, what is understood, and the codes that
 * sessions close with. Pure: any thread, no I/O, no clock, nothing kept. docs/device-protocol.md says the
 * same in words.
 */
#ifndef COINSLOT_PUSH_DEVICE_FRAMES_H
#define COINSLOT_PUSH_DEVICE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "push/device_proof.h"
#include "store/store.h"

#define DEVICE_SUBPROTOCOL   "coinslot.v1"
#define DEVICE_PATH          "/device"
#define DEVICE_NONCE_SIZE    32
#define DEVICE_TOKEN_SIZE    129 /* 1 to 128 bytes and a NUL */
#define DEVICE_FIRMWARE_SIZE 33
#define DEVICE_DEPTH_MOST    4
#define DEVICE_SECONDS_MOST  INT32_MAX
#define DEVICE_FRAME_SIZE                                                                                    \
    1024 /* every frame that the relay builds fits, NUL included, but for the config and the proof in it */
#define DEVICE_MESSAGE_SIZE 200

/* ---- how a session ends: the close code, the `code` of the error frame before it ----------------------- */

enum device_close {
    DEVICE_CLOSE_GOING_AWAY, /* the relay stops; no error frame */
    DEVICE_CLOSE_PROTOCOL,   /* the error frame's code says which rule was broken */
    DEVICE_CLOSE_FENCED,     /* a newer session of this device has begun */
    DEVICE_CLOSE_UNAUTHORIZED,
    DEVICE_CLOSE_HELLO_TIMEOUT,
    DEVICE_CLOSE_FRAME, /* too big, or not text */
    DEVICE_CLOSE_INSECURE,
    DEVICE_CLOSE_DISABLED,
    DEVICE_CLOSE_RETIRED,
    DEVICE_CLOSE_BUSY,    /* try again later */
    DEVICE_CLOSE_SLOW,    /* it sends without reading what it is sent */
    DEVICE_CLOSE_BAD_MAC, /* a frame that the device cannot have sent, or not as the next one */
};
#define DEVICE_CLOSE_COUNT 12

uint16_t device_close_code(enum device_close close);
/* "fenced", "unauthorized", …: the error frame's code, the close frame's reason and the metric's label. */
const char *device_close_text(enum device_close close);

/* ---- what a device sends ------------------------------------------------------------------------------- */

enum device_frame_type { DEVICE_HELLO, DEVICE_ACK, DEVICE_ACTUATED, DEVICE_REFUSED, DEVICE_STATUS };
#define DEVICE_FRAME_TYPE_COUNT 5

struct device_hello {
    char device[STORE_ID_SIZE];
    char token[DEVICE_TOKEN_SIZE]; /* "": it proves itself by a key */
    uint8_t key[PROOF_EXCHANGE_SIZE];
    uint8_t signature[PROOF_SIGNATURE_SIZE];
    size_t signed_length; /* of the frame's text, from its beginning */
    uint64_t resume;
    uint64_t config_version;             /* 0: none */
    char epoch[STORE_EPOCH_TEXT];        /* "" when it was not given */
    char firmware[DEVICE_FIRMWARE_SIZE]; /* likewise */
};

/* What a status says; see struct store_status for what was left out. */
struct device_status {
    int64_t uptime_s, rssi, remaining_s;
    int relay_on;
    bool has_config_version;
    uint64_t config_version;
};

struct device_frame {
    enum device_frame_type type;
    struct device_hello hello;
    struct store_outcome outcome; /* of actuated and refused; seq of ack too */
    struct device_status status;
};

/* Why a frame is not understood, in the words of an error frame. */
struct device_problem {
    const char *code; /* "malformed", "unknown_type" or "invalid" */
    char message[DEVICE_MESSAGE_SIZE];
};

const char *device_frame_text(enum device_frame_type type);

/* `text` need not end with a NUL. Unknown members are ignored. On CS_EINVAL `problem` is filled in. */
CS_MUST_CHECK enum cs_err device_frame_read(const char *text, size_t length, struct device_frame *frame,
                                            struct device_problem *problem);

/* ---- what the relay sends: each writes text and NUL, and returns the length ---------------------------- */

/* How much room the text needs with this config in it (NULL: none). */
size_t device_frame_room(const char *config);

struct device_challenge {
    uint8_t nonce[DEVICE_NONCE_SIZE];
    uint8_t key[PROOF_EXCHANGE_SIZE];
    uint8_t relay[PROOF_PUBLIC_SIZE];
    const char *epoch;
};

struct device_welcome {
    int64_t now_ms;
    uint64_t last_acked, pending;
    uint64_t config_version;
    const char *config; /* NULL: none */
};

size_t device_frame_challenge(char text[DEVICE_FRAME_SIZE], const struct device_challenge *challenge);
/* `text` has device_frame_room(welcome->config) bytes. */
size_t device_frame_welcome(char *text, const struct device_welcome *welcome);

/* What the frames of one payment have in common, whomever they are for: kept from one frame to the next. All zero: nothing yet. */
struct device_body {
    enum chain chain; /* of which payment; when it was stored, and how old it was */
    uint8_t hash[PAYMENT_HASH_SIZE];
    uint32_t output;
    int64_t stored_at_ms, age_s;
    size_t length;
    char text[DEVICE_FRAME_SIZE];
};

/* How much room a payment's text needs. */
size_t device_frame_payment_room(const struct store_delivery *delivery);
/* `text` has device_frame_payment_room(delivery) bytes. `body` is the one of the frame before, and then of this one. */
size_t device_frame_payment(char *text, const struct store_delivery *delivery, int64_t now_ms,
                            struct device_body *body);
size_t device_frame_gap(char text[DEVICE_FRAME_SIZE], uint64_t from, uint64_t to, const char *reason);
size_t device_frame_noted(char text[DEVICE_FRAME_SIZE], uint64_t seq);
/* `text` has device_frame_room(config) bytes. */
size_t device_frame_config(char *text, uint64_t version, const char *config);
size_t device_frame_state(char text[DEVICE_FRAME_SIZE], bool caught_up, bool payable, const char *reason);
/* A message that is too long is cut. */
size_t device_frame_error(char text[DEVICE_FRAME_SIZE], const char *code, const char *message);

#endif
