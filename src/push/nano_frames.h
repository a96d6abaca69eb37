/*
 * nano_frames: what programs written for a Nano node's WebSocket send, and what the node would print: docs/nano-websocket.md. Pure: any
 * thread, no I/O, nothing kept.
 *
 * Where the node reads leniently so does this, for the sake of programs that work with it; where it says nothing because something is wrong,
 * there is an error to send.
 */
#ifndef COINSLOT_PUSH_NANO_FRAMES_H
#define COINSLOT_PUSH_NANO_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define NANO_PATH       "/nano"
#define NANO_DEPTH_MOST 8
#define NANO_ERROR_SIZE 320

enum nano_action { NANO_SUBSCRIBE, NANO_UPDATE, NANO_UNSUBSCRIBE, NANO_PING };

/* The node's confirmation_type, as far as the relay knows it. */
enum nano_type { NANO_ACTIVE_QUORUM = 1, NANO_INACTIVE = 2 };

struct nano_accounts {
    struct address *list; /* sorted, each once */
    size_t count;
};

struct nano_options {
    bool given;    /* there were some; else the rest is the default */
    bool filtered; /* only what concerns an account of the filter, which may have none, goes through */
    bool include_block, include_linked_account;
    uint8_t types; /* of enum nano_type */
};

enum nano_verdict {
    NANO_MALFORMED, /* no JSON: why is in `error` */
    NANO_REFUSED,   /* it cannot be done: why is in `error` */
    NANO_REQUEST,   /* what was left out of it is in `error`, or "" */
};

struct nano_request {
    enum nano_action action;
    bool ack;
    char *id; /* NULL: none came */
    struct nano_options options;
    struct nano_accounts accounts; /* of subscribe; of update: those to add */
    struct nano_accounts removed;  /* of update */
    char error[NANO_ERROR_SIZE];
};

/* `text` need not end with a NUL. To be given back, whatever the verdict. */
enum nano_verdict nano_read(const char *text, size_t length, struct nano_request *request);
void nano_request_fini(struct nano_request *request);
bool nano_accounts_have(const struct nano_accounts *accounts, const struct address *address);

/* ---- what is sent: to the byte as the node prints it; free() ------------------------------------------------------- */

char *nano_print_ack(enum nano_action action, const char *id, int64_t now_ms);
/* `{"error":…,"id":…}`: neither `topic` nor `ack`, by which programs tell the node's messages. */
char *nano_print_error(const char *error, const char *id);

enum nano_form { NANO_WITHOUT_BLOCK, NANO_WITH_BLOCK, NANO_WITH_LINKED_ACCOUNT };
#define NANO_FORM_COUNT 3

enum nano_type nano_type_of(const struct payment *payment);
/* Of a payment on Nano. Without its packed block it has no `block`, whatever the form. */
char *nano_print_confirmation(const struct store_heard *heard, enum nano_form form, int64_t now_ms);

#endif
