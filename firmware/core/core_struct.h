/*
 * core_struct: the whole of a meter's memory. Only the files of core look into it; others need its size.
 */
#ifndef COINSLOT_FIRMWARE_CORE_STRUCT_H
#define COINSLOT_FIRMWARE_CORE_STRUCT_H

#include "core/core.h"
#include "core/json.h"
#include "verify/layout.h"

#define CORE_CHALLENGE_SIZE 512 /* the relay's has 286 bytes */
/* CORE_PAYMENT_KEY: bytes of a digest that stand for one payment: an equal one can only be made by who pays twice */
#define CORE_PAYMENT_KEY 8
#define CORE_WORD_SIZE   33 /* the relay's words: reasons and codes */

/* As the relay sent it. What it leaves open is the built-in tariff's. */
struct core_config {
    uint64_t version; /* 0: there is none */
    bool has_tariff;
    bool has_late; /* without a tariff: `tariff.late_after_s` alone was given */
    struct core_tariff tariff;
    uint8_t address_count;
    uint8_t addresses[CORE_ADDRESSES_MOST][CORE_KEY_SIZE];
};

/* What became of a payment, in 32 bits: seconds, or with the top bit an enum core_reason. */
#define CORE_VALUE_REFUSED 0x80000000u

struct core_outcome {
    uint64_t seq;
    uint32_t value;
};

struct core_known {
    uint8_t key[CORE_PAYMENT_KEY];
    uint32_t value;
};

/* The newest `count` of those that were put in; `next` is where the next one goes. */
struct core_ring {
    struct core_known *entries;
    uint16_t size, count, next;
};

/* What the record holds. */
struct core_memory {
    char epoch[CORE_EPOCH_SIZE]; /* "": none yet */
    uint64_t seq;
    uint64_t granted_s; /* ever */
    uint64_t stored_ms; /* of the credit: what a power cut leaves */
    uint16_t outcome_count;
    struct core_outcome outcomes[CORE_OUTCOMES_KEPT]; /* by rising seq */
    struct core_config current, before;
    struct core_ring granted, refused;
    struct core_known granted_entries[CORE_GRANTED_KEPT], refused_entries[CORE_REFUSED_KEPT];
};

/* Where the record lies, and its mark. */
struct core_store {
    uint32_t generation;   /* of the record in force; 0: none was ever written */
    uint8_t check[8];      /* its checksum, to which marks are bound */
    enum core_slot record; /* where it lies: the other one is written next */
    enum core_slot mark;   /* which one was written last */
    bool failing;          /* the last write failed */
    bool lost;             /* and then nothing could be read: no session until something can */
    uint32_t wait_ms;      /* until a mark that failed is tried again */
    uint32_t failures;
};

enum core_frame_type {
    CORE_FRAME_UNKNOWN, /* of a later version: ignored */
    CORE_FRAME_CHALLENGE,
    CORE_FRAME_WELCOME,
    CORE_FRAME_PAYMENT,
    CORE_FRAME_GAP,
    CORE_FRAME_NOTED,
    CORE_FRAME_CONFIG,
    CORE_FRAME_STATE,
    CORE_FRAME_ERROR,
};

struct core_payment {
    bool own_coin; /* Nano's, and nothing but it */
    bool has_from;
    uint8_t hash[CORE_HASH_SIZE], from[CORE_KEY_SIZE];
    uint32_t output;
    struct amount amount;
    uint64_t age_s;
    bool has_proof;
    uint8_t block[BLOCK_PACKED_SIZE], previous[BLOCK_PACKED_SIZE];
};

/* A frame, read: nothing in it points into its text. */
struct core_frame {
    enum core_frame_type type;
    uint64_t seq;  /* payment, noted */
    uint64_t from; /* gap */
    uint64_t to;
    uint64_t last_acked;     /* welcome */
    uint64_t config_version; /* payment */
    bool has_config;
    struct core_config config;
    struct core_payment payment;
    bool caught_up, payable;   /* state */
    char word[CORE_WORD_SIZE]; /* state: reason; error: code */
    bool has_keys;             /* challenge: the two that follow */
    uint8_t relay_key[CORE_KEY_SIZE], exchange_key[CORE_KEY_SIZE];
    char epoch[CORE_EPOCH_SIZE];
};

/* One connection. */
struct core_session {
    char epoch[CORE_EPOCH_SIZE]; /* the challenge's */
    uint8_t relay_key[CORE_KEY_SIZE], relay_exchange[CORE_KEY_SIZE];
    uint8_t secret[CORE_KEY_SIZE], exchange[CORE_KEY_SIZE]; /* made for this connection */
    uint8_t receive_key[CORE_KEY_SIZE], send_key[CORE_KEY_SIZE];
    uint64_t received, sent;
    char challenge[CORE_CHALLENGE_SIZE];
    char hello[CORE_FRAME_SIZE];
    uint16_t challenge_length, hello_length, hello_signed;
    bool ack_due, status_due, retired;
    uint64_t said;      /* outcomes up to this seq were said in this session */
    uint32_t since_ms;  /* since core_on_connect, or since the welcome */
    uint32_t status_ms; /* until the next status */
    uint32_t repeat_ms; /* until what was not noted is said again */
};

/* A refusal that is shown for a while. */
struct core_notice {
    uint32_t left_ms; /* 0: none */
    enum core_reason reason;
    struct amount missing, least; /* CORE_BELOW_MINIMUM */
};

struct core {
    const struct core_port *port;
    const struct core_crypto *crypto;
    struct core_identity identity;

    struct core_memory memory;
    struct core_store store;
    uint64_t remaining_ms; /* never below memory.stored_ms but by a store that fails */

    enum core_link link;
    struct core_session session;
    unsigned close_code; /* that `close` was called with */
    uint32_t failures;   /* sessions in a row that did not settle */
    uint32_t retry_ms;
    bool tried; /* a connection has failed since core_init */
    bool payable, caught_up;
    char state_reason[CORE_WORD_SIZE], last_error[CORE_WORD_SIZE];

    uint32_t now_ms, clock_jumps;
    uint64_t up_ms;
    bool on;
    struct core_notice notice;
    uint32_t added_s, added_ms; /* "+5:00", and for how long it is shown still */
    struct core_screen screen;

    struct core_frame frame;
    char out[CORE_FRAME_SIZE];
    union {
        jsmntok_t tokens[JSON_TOKENS_MOST];
        uint8_t bytes[CORE_RECORD_SIZE]; /* a record on its way in or out; what is signed */
    } scratch;                           /* between two steps it holds nothing */
};

#endif
