/*
 * rig: a meter on a bench: the core, a store of four slots, a machine that is on or off, a display, a radio; a relay that is written by the test,
 * frame for frame, and seals what it says by its own code; and a hand on the power switch.
 * Plain C without an operating system: it runs under qemu as rv32, too.
 */
#ifndef TESTS_FIRMWARE_RIG_H
#define TESTS_FIRMWARE_RIG_H

#include <setjmp.h>

#include "core/core_struct.h"

#define RIG_EPOCH     "0123456789abcdef0123456789abcdef"
#define RIG_NEW_EPOCH "fedcba9876543210fedcba9876543210"
#define RIG_DEVICE    "dev_abcdefghijklmnop"
#define RIG_ACCOUNT                                                                                          \
    "nano_1111111111111111111111111111111111111111111111111111hifc8npp" /* the key of 32 zeros */
/* 0.03 nano buys a minute, 0.1 ten, at most two hours. */
#define RIG_CONFIG                                                                                           \
    "{\"addresses\":[\"" RIG_ACCOUNT "\"],\"tariff\":{\"steps\":["                                           \
    "{\"amount\":\"30000000000000000000000000000\",\"seconds\":60},"                                         \
    "{\"amount\":\"100000000000000000000000000000\",\"seconds\":600}],\"cap_s\":7200},\"late_after_s\":900}"

#define RIG_SENT_MOST 256

struct rig_slot {
    uint8_t bytes[CORE_RECORD_SIZE];
    size_t length;
};

/* How the power goes in the middle of a write. */
enum rig_cut { RIG_CUT_BEFORE, RIG_CUT_TORN, RIG_CUT_AFTER, RIG_CUTS };

struct rig {
    struct core core;
    struct core_port port;
    struct core_crypto crypto;
    struct core_identity identity;
    uint32_t now_ms, step_ms; /* of rig_run: 250 */
    uint64_t random;

    struct rig_slot slots[CORE_SLOTS];
    unsigned writes[CORE_SLOTS];
    bool save_fails, fails_but_writes, load_fails;

    bool on;
    unsigned switches, sent_at_switch; /* how many frames had left when it switched last */
    uint64_t ran_ms;                   /* by the machine, ever */
    struct core_screen screen;
    unsigned displayed;
    int dbm;
    bool has_rssi;

    bool connecting, open;
    unsigned connects, close_code;
    char close_reason[101];
    char sent[RIG_SENT_MOST][CORE_FRAME_SIZE];
    unsigned sent_count;
    unsigned room; /* that `send` has still */

    jmp_buf *cut;       /* the power goes there */
    uint32_t cut_at;    /* in the callback of this number */
    uint32_t callbacks; /* so far */
    enum rig_cut cut_how;
    bool powered_off;

    uint8_t relay_key[32], relay_secret[32], relay_public[32];
    uint8_t to_device[32], to_relay[32];
    uint64_t relay_sent, relay_received;
    bool sealed;
    char challenge[CORE_CHALLENGE_SIZE], hello[CORE_FRAME_SIZE];
    char frame[CORE_MESSAGE_SIZE + 256];
};

void rig_init(struct rig *rig); /* a new meter, by key, before its power comes on */
void rig_by_token(struct rig *rig);
void rig_power_on(struct rig *rig);
void rig_run(struct rig *rig, uint32_t ms);
/* Runs until it connects; then the socket is open. */
void rig_connect(struct rig *rig);
void rig_disconnect(struct rig *rig, unsigned code);

void rig_say(struct rig *rig, const char *text); /* as it is */
void rig_say_challenge(struct rig *rig, const char *epoch);
/* The answer to the hello, signed; `config` NULL: none. */
void rig_say_welcome(struct rig *rig, uint64_t last_acked, uint64_t version, const char *config);
void rig_seal(struct rig *rig, const char *text); /* into rig->frame, as the relay's next one */
void rig_say_sealed(struct rig *rig, const char *text);
void rig_say_payment(struct rig *rig, uint64_t seq, uint64_t version, unsigned number, const char *raw,
                     unsigned age_s);
void rig_say_state(struct rig *rig, bool payable);
/* Connected, welcomed after what it has, with RIG_CONFIG as version 1, payable. */
void rig_open_session(struct rig *rig, uint64_t last_acked);

/* The newest frame that was sent without its mac, "" when there is none; and whether one that begins so was sent. */
const char *rig_last(const struct rig *rig);
bool rig_has_sent(const struct rig *rig, const char *begins);
unsigned rig_count_sent(const struct rig *rig, const char *begins);
void rig_forget_sent(struct rig *rig);

/* The screen as text: `KIND: line / line [qr]`. */
const char *rig_screen(const struct rig *rig);

#endif
