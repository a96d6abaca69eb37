/*
 * nano_ws_frames: what is said between us and a Nano node's WebSocket: requests printed, messages read.
 * Pure: any thread, no I/O. docs.nano.org, "WebSockets"; recordings of a node in tests/data/nano-v27.1/ws-*.txt.
 */
#ifndef COINSLOT_NODE_NANO_WS_FRAMES_H
#define COINSLOT_NODE_NANO_WS_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verify/notice.h"

/* Accounts in one request, so that it stays below 64 KB. */
#define NANO_WS_ACCOUNTS_MOST 900
/* Bytes of one message that we read: the longest with votes of 200 representatives has some 60,000. */
#define NANO_WS_MESSAGE_MOST (1u << 20)

enum nano_ws_action { NANO_WS_SUBSCRIBE, NANO_WS_UPDATE, NANO_WS_UNSUBSCRIBE, NANO_WS_PING };
#define NANO_WS_ACTION_COUNT 4

struct nano_ws_request {
    enum nano_ws_action action;
    uint64_t id;           /* comes back with the ack */
    bool filtered;         /* subscribe: only the accounts in `add`; else everything */
    uint8_t (*add)[32];    /* subscribe, update */
    uint8_t (*remove)[32]; /* update */
    size_t add_count, remove_count;
};

/* As a node takes it; owned by the caller: free(). */
char *nano_ws_print(const struct nano_ws_request *request, size_t *length);

enum nano_ws_kind {
    NANO_WS_ACK,
    NANO_WS_PONG,
    NANO_WS_CONFIRMED,
    /*
     * A confirmation without its block, or without something else that a notice needs: which fields come depends on what the first
     * client of the node has asked for. Only its hash is known: the RPC has to be asked.
     */
    NANO_WS_BARE,
    NANO_WS_CONTRADICTION, /* a confirmation that cannot be true */
    NANO_WS_WRONG_HASH,
    NANO_WS_OTHER,     /* JSON, but nothing that we asked for */
    NANO_WS_MALFORMED, /* no JSON object, or a confirmation without a hash */
};
#define NANO_WS_KIND_COUNT 8

enum nano_ws_confirmation {
    NANO_WS_CONFIRMATION_UNKNOWN, /* not said, or none of the others */
    NANO_WS_ACTIVE_QUORUM,
    NANO_WS_ACTIVE_CONFIRMATION_HEIGHT,
    NANO_WS_INACTIVE, /* cemented because a later block was; the callback never tells these */
};

struct nano_ws_message {
    enum nano_ws_kind kind;
    int64_t time_ms;                        /* when the node sent it; 0: not said */
    enum nano_ws_action action;             /* ack: of what */
    bool has_id;                            /* ack */
    uint64_t id;                            /* ack; 0 when it is none of ours */
    enum nano_ws_confirmation confirmation; /* confirmed, bare */
    uint8_t hash[32];                       /* confirmed, bare */
    struct notice notice;                   /* confirmed */
    bool has_block;                         /* bare: a block came, but could not be used */
};

#define NANO_WS_ERROR_SIZE NOTICE_ERROR_SIZE

/* `error` gets what was wrong: of the kinds bare, contradiction, wrong hash, malformed; else "". */
void nano_ws_read(const char *text, size_t length, struct nano_ws_message *message,
                  char error[NANO_WS_ERROR_SIZE]);

const char *nano_ws_action_text(enum nano_ws_action action);
const char *nano_ws_confirmation_text(enum nano_ws_confirmation confirmation);

#endif
