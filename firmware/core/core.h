/*
 * core: a meter, without its hardware. It speaks `coinslot.v1` (docs/device-protocol.md), prices payments, counts down what was paid,
 * says what the machine does and what people see, and keeps one record that outlives a power cut.
 * One thread: no entry point may run while another does, nor be called from within a callback. No heap, no floats, no clock, no globals:
 * all memory is `struct core`, of constant size. The power may go inside any callback: docs/firmware.md says what that can cost.
 *
 * A port (firmware/posix, firmware/esp32) fills in `struct core_port`, `struct core_crypto` and `struct core_identity`, then calls
 *
 *     core_init            once, before all others: loads the record, switches off, shows the first screen
 *     core_on_tick         at least once a second, better four times, for ever, connected or not; and soon after it has room to send again
 *     core_on_connect      when a WebSocket with subprotocol `coinslot.v1` is open
 *     core_on_message      with each text message, whole
 *     core_on_disconnect   once for each `connect` that was asked for: it failed, or was open and is closed, whoever closed it
 *
 * | callback          | from which entry points                     | what it must do
 * | load              | core_init; any, after a save that failed    | read a slot
 * | save              | core_init, core_on_message, core_on_tick    | write a slot, synced, before it returns
 * | actuate           | core_init, core_on_message, core_on_tick    | switch. Safe to repeat. At power-up the pin is off by itself
 * | display           | all                                         | show. Called only when the screen is another one
 * | connect           | core_on_tick                                | begin to connect; returns at once
 * | send              | core_on_message, core_on_tick               | queue one text message; returns at once
 * | close             | core_on_message, core_on_tick               | close, and let core_on_disconnect follow, later
 * | random            | core_init, core_on_message, core_on_disconnect | fill with bytes fit for keys
 * | rssi              | core_on_message, core_on_tick               | may be NULL: this machine has no radio
 * | crypto.*          | core_init, core_on_message, core_on_tick    | pure
 *
 * A WebSocket's silence is the port's to find: it pings every 20 s, and when nothing comes back within 20 s it cuts the connection and calls
 * core_on_disconnect. TLS and the relay's address are the port's, too.
 */
#ifndef COINSLOT_FIRMWARE_CORE_CORE_H
#define COINSLOT_FIRMWARE_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payment/amount.h"

/* ---- sizes --------------------------------------------------------------------------------------------------------- */

/* CORE_MESSAGE_SIZE: the longest message that a port has to take: a config, a payment, its proof, 16 addresses */
#define CORE_MESSAGE_SIZE   5120
#define CORE_FRAME_SIZE     640 /* the longest text that `send` gets, with its NUL */
#define CORE_DEVICE_SIZE    64  /* a device's id, with its NUL */
#define CORE_TOKEN_SIZE     129 /* docs/device-protocol.md: at most 128 bytes */
#define CORE_FIRMWARE_SIZE  33  /* at most 32 bytes */
#define CORE_KEY_SIZE       32  /* Ed25519 (RFC 8032), X25519 (RFC 7748), public and secret; a Nano account */
#define CORE_SIGNATURE_SIZE 64
#define CORE_HASH_SIZE      32
#define CORE_EPOCH_SIZE     33 /* 32 digits, NUL */

#define CORE_STEPS_MOST     32   /* of a tariff; as many as the relay takes from an operator */
#define CORE_ADDRESSES_MOST 16   /* of a config; a meter has one */
#define CORE_GRANTED_KEPT   1024 /* payments that are known when they come again */
#define CORE_REFUSED_KEPT   128  /* apart from them: small change must not push granted ones out */
#define CORE_OUTCOMES_KEPT  128  /* not noted yet; twice the relay's window */

#define CORE_SECONDS_MOST 2147483647 /* of one payment: more has no place in an outcome */

/* ---- time ---------------------------------------------------------------------------------------------------------- */

/* CORE_SPAN_MS: of paid time are booked in the store before they run: what a power cut costs at most */
#define CORE_SPAN_MS 30000
/* CORE_TICK_MOST_MS: one tick counts at most this: a clock that jumps takes no more from a driver */
#define CORE_TICK_MOST_MS    5000
#define CORE_HANDSHAKE_MS    15000 /* from core_on_connect to the welcome */
#define CORE_SETTLED_MS      10000 /* a session that lasts this long ends the growing of the delays */
#define CORE_STATUS_MS       30000 /* between status frames; also one at each switching */
#define CORE_BACKOFF_MS      500   /* the first delay's ceiling; it doubles */
#define CORE_BACKOFF_MOST_MS 30000
#define CORE_NOTICE_MS       15000 /* how long a refusal is shown */
#define CORE_ADDED_MS        5000  /* how long "+5:00" is shown */
#define CORE_STARTING_MS     10000 /* how long "Please wait" may stand before it says not to pay */

/* ---- the store ----------------------------------------------------------------------------------------------------- */

/*
 * Four slots, each a short run of bytes under a name. The two of a pair are written in turn, and each carries a checksum: a write that
 * the power cuts short may leave its own slot in any state, but must leave the other three as they were. A port that replaces a slot
 * atomically (NVS; a file that is renamed) is better than it must be. What was saved under another device id is not taken.
 *
 * A record holds everything, and is written when a payment, a gap, a config or another epoch has come: before any of it is acked. A mark is
 * 24 bytes that belong to one record: how much of its credit is left. One is written for each 30 s that the machine runs.
 */
enum core_slot { CORE_SLOT_RECORD_A, CORE_SLOT_RECORD_B, CORE_SLOT_MARK_A, CORE_SLOT_MARK_B };

#define CORE_SLOTS 4
/* The most that a record slot holds; a meter with one address that knows 100 payments has about 1.5 kB. */
#define CORE_RECORD_SIZE 17920
#define CORE_MARK_SIZE   24

/* ---- what people see ----------------------------------------------------------------------------------------------- */

enum core_screen_kind {
    CORE_SCREEN_STARTING, /* no session yet, and it is too early to say that there is none */
    CORE_SCREEN_PRICES,   /* what it costs, and the QR code */
    CORE_SCREEN_PAID,     /* counting down; with the QR code where a top-up may be paid now */
    CORE_SCREEN_NOT_ENOUGH, /* a payment was refused: how much was missing, and the QR code with the right amount */
    CORE_SCREEN_TOO_LATE,       /* a payment was refused: it came too late */
    CORE_SCREEN_REFUSED,        /* a payment was refused for another reason */
    CORE_SCREEN_DONT_PAY,       /* relay or node out of reach, or the relay says so */
    CORE_SCREEN_OUT_OF_SERVICE, /* retired, or the store cannot be written */
};
#define CORE_SCREEN_KINDS 8

#define CORE_SCREEN_LINES   6
#define CORE_SCREEN_COLUMNS 21 /* of 6 pixels on 128 */
#define CORE_QR_SIZE        128

/*
 * Plain data, drawn by the port as it likes: all lines in order, or the kind's own layout. Lines are ASCII; the first is the title, and
 * in CORE_SCREEN_PAID the second is the time left ("10:00"). All wording is in screen.c.
 */
struct core_screen {
    enum core_screen_kind kind;
    uint32_t remaining_s; /* what is left, rounded up: 0 when the machine is off */
    uint8_t line_count;
    char lines[CORE_SCREEN_LINES][CORE_SCREEN_COLUMNS + 1];
    char qr[CORE_QR_SIZE]; /* `nano:nano_…?amount=<raw>`; "" where nobody is to pay */
};

/* ---- what the port gives ------------------------------------------------------------------------------------------- */

struct core_bytes {
    const void *bytes;
    size_t length;
};

/* libsodium's, in both ports. Each gets `context` first. */
struct core_crypto {
    void *context;

    /* BLAKE2b (RFC 7693) over the parts, one after the other; 1 to 64 bytes; a key of 0 to 64 (crypto_generichash_*). */
    void (*blake2b)(void *context, const struct core_bytes *parts, size_t count, const uint8_t *key,
                    size_t key_length, uint8_t *out, size_t out_length);

    /* Ed25519 with the device's own secret key, which the core never sees (crypto_sign_detached). Not called in sessions by token. */
    void (*sign)(void *context, const uint8_t *message, size_t length,
                 uint8_t signature[CORE_SIGNATURE_SIZE]);
    bool (*verify)(void *context, const uint8_t signature[CORE_SIGNATURE_SIZE], const uint8_t *message,
                   size_t length, const uint8_t key[CORE_KEY_SIZE]); /* crypto_sign_verify_detached */

    /* X25519: the public key of a secret; and the shared point, false when it is all zeros (crypto_scalarmult_base, crypto_scalarmult). */
    void (*exchange_public)(void *context, const uint8_t secret[CORE_KEY_SIZE],
                            uint8_t public_key[CORE_KEY_SIZE]);
    bool (*exchange)(void *context, const uint8_t secret[CORE_KEY_SIZE], const uint8_t other[CORE_KEY_SIZE],
                     uint8_t shared[CORE_KEY_SIZE]);

    /* A Nano signature, as nodes check it: block_signature_valid of src/verify/block.h. Called only where the identity asks for proofs. */
    bool (*nano_verify)(void *context, const uint8_t hash[CORE_HASH_SIZE],
                        const uint8_t signature[CORE_SIGNATURE_SIZE], const uint8_t account[CORE_KEY_SIZE]);
};

/* Each gets `context` first. None may call an entry point. */
struct core_port {
    void *context;

    /* The slot's bytes, as many as were saved; 0 when nothing was, or it can't be read. Never more than `size`. */
    size_t (*load)(void *context, enum core_slot slot, uint8_t *bytes, size_t size);
    /* True: they outlive a power cut from now on. False: they may or may not. */
    bool (*save)(void *context, enum core_slot slot, const uint8_t *bytes, size_t length);

    void (*actuate)(void *context, bool on);
    void (*display)(void *context, const struct core_screen *screen); /* borrowed until it returns */

    void (*connect)(void *context);
    /*
     * One text message, copied, all of it or nothing. False: no room now, or the connection has just gone; the core offers it again at a
     * later tick. A queue of two frames is enough, eight are good.
     */
    bool (*send)(void *context, const char *text, size_t length);
    void (*close)(void *context, unsigned code, const char *reason); /* reason: at most 100 bytes of ASCII */

    void (*random)(void *context, uint8_t *bytes, size_t count);
    bool (*rssi)(void *context, int *dbm); /* may be NULL; false: not known */
};

/* ---- who the meter is ---------------------------------------------------------------------------------------------- */

struct core_step {
    struct amount amount;
    uint32_t seconds;
};

/* docs/device-protocol.md, "config". 1 to CORE_STEPS_MOST steps; amounts rise, the first is above 0; no seconds are 0. */
struct core_tariff {
    struct core_step steps[CORE_STEPS_MOST];
    uint8_t count;
    struct amount minimum; /* 0: the first step */
    uint32_t cap_s;        /* 1 to CORE_SECONDS_MOST */
    int32_t late_after_s;  /* -1: nothing is too late */
};

/* Provisioned. Copied by core_init. */
struct core_identity {
    char device[CORE_DEVICE_SIZE];     /* "dev_…" */
    char firmware[CORE_FIRMWARE_SIZE]; /* "" is not told */

    char token
        [CORE_TOKEN_SIZE]; /* "": by key. A token needs TLS, and the server's certificate checked, by the port */
    uint8_t device_key[CORE_KEY_SIZE];
    uint8_t relay_keys[2][CORE_KEY_SIZE]; /* the present and the next one */
    uint8_t relay_key_count;              /* 1 or 2 by key, 0 by token */

    struct core_tariff tariff; /* built in: for payments under no config, and where a config has no tariff */
    bool own_tariff;           /* the built-in tariff always holds, whatever the relay says */

    bool proof; /* a payment counts only with its proof: docs/device-protocol.md, "Proof" */
    /* Where this machine is paid, as accounts' public keys. None: as the relay's config says, which whoever has the relay can change. */
    uint8_t addresses[CORE_ADDRESSES_MOST][CORE_KEY_SIZE];
    uint8_t address_count;
};

/* ---- reasons of refusals, as they stand in `refused` frames ----------------------------------------------------------- */

enum core_reason {
    CORE_GRANTED = 0,
    CORE_BELOW_MINIMUM, /* "below_minimum" */
    CORE_TOO_LATE,      /* "too_late" */
    CORE_UNKNOWN_ASSET, /* "unknown_asset": of another chain, or not the chain's own coin */
    CORE_NO_PROOF,      /* "no_proof": none came */
    CORE_UNPROVABLE,    /* "unprovable": the block before is a legacy one that does not name its balance */
    CORE_PROOF_WRONG, /* "proof_wrong": hash, signature, account, destination or amount are not what the payment says */
};

/* ---- entry points -------------------------------------------------------------------------------------------------- */

struct core; /* core_struct.h; callers need it for its size only, and touch nothing in it */

/*
 * `port` is borrowed for ever, `crypto` too. `now_ms` is any clock that only counts up, modulo 2^32: it may wrap, and where it jumps all the
 * same, a tick counts 0 (back) or CORE_TICK_MOST_MS (ahead). Fails when the identity can't be used: false, and no other entry point may be
 * called.
 */
bool core_init(struct core *core, const struct core_port *port, const struct core_crypto *crypto,
               const struct core_identity *identity, uint32_t now_ms) __attribute__((warn_unused_result));
void core_on_tick(struct core *core, uint32_t now_ms);
void core_on_connect(struct core *core);
/*
 * One whole text message, borrowed, without a NUL. What is no text, or longer than CORE_MESSAGE_SIZE, is told by `text` NULL: the session
 * ends.
 */
void core_on_message(struct core *core, const char *text, size_t length);
/* `code` as it came in the close frame; 0 where none came. */
void core_on_disconnect(struct core *core, unsigned code);

/* ---- for whoever looks after it: logs, the serial line, tests --------------------------------------------------------- */

enum core_link {
    CORE_LINK_DOWN,       /* waiting until it is time to connect */
    CORE_LINK_CONNECTING, /* `connect` was called */
    CORE_LINK_CHALLENGE,  /* open; the challenge has yet to come */
    CORE_LINK_HELLO,      /* the hello has yet to leave */
    CORE_LINK_WELCOME,    /* the welcome has yet to come */
    CORE_LINK_SESSION,    /* welcomed */
    CORE_LINK_CLOSING,    /* `close` was called */
    CORE_LINK_RETIRED,    /* for good; until the power comes again */
};

struct core_report {
    enum core_link link;
    uint64_t seq;            /* everything up to here is in the credit, refused, or announced as a gap */
    uint64_t granted_s;      /* ever */
    uint64_t remaining_ms;   /* that the machine will still run */
    uint64_t stored_ms;      /* of these, what a power cut now would leave */
    uint64_t config_version; /* 0: none */
    uint32_t outcome_count;  /* not noted yet */
    uint32_t retry_ms;       /* CORE_LINK_DOWN: until it connects */
    uint32_t clock_jumps;    /* since core_init */
    uint32_t store_failures; /* likewise */
    bool on, payable, caught_up;
    char epoch[CORE_EPOCH_SIZE]; /* "": none yet */
    char state_reason[33];       /* of the last `state` frame: "ok", "backlog", …; "" before */
    char last_error
        [33]; /* why the last session ended, in short: "bad_mac", "not_pinned", "fenced", …; "" before */
};

void core_report(const struct core *core, struct core_report *report);
const char *core_reason_text(enum core_reason reason); /* as in frames; "granted" for CORE_GRANTED */

#endif
