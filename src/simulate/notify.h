/*
 * notify: tells a callback of confirmed blocks as a Nano node (V27.1, recorded) does: a connection for each,
 * one whole response read, what fails is said and forgotten. Owns its sockets; one thread, which is never
 * blocked but in notify_turn. Nothing survives a crash, as with the node.
 */
#ifndef COINSLOT_SIMULATE_NOTIFY_H
#define COINSLOT_SIMULATE_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "verify/notice.h"

#define NOTIFY_ERROR_SIZE 200

/* ---- what is said ---------------------------------------------------------------------------------- */

/*
 * The whole request, head and body, byte for byte as the node prints it; `host` goes without port and
 * brackets. Owned by the caller. `shown_link` takes the place of the link in a state block's link_as_account:
 * a forgery; NULL for the truth.
 */
char *notify_print(const char *host, const char *target, const struct notice *notice,
                   const uint8_t *shown_link, size_t *size);

/* ---- where to -------------------------------------------------------------------------------------- */

struct notify_url {
    char host[256]; /* without brackets */
    char port[6];
    char target[512];
};

/* http://host[:port][/target]. False: `error` says what to write instead. */
bool notify_parse_url(const char *text, struct notify_url *url, char error[NOTIFY_ERROR_SIZE]);

/* ---- how ------------------------------------------------------------------------------------------- */

struct notify_options {
    const struct notify_url *url; /* borrowed until notify_close */
    size_t connections;           /* how many callbacks may be under way at once */
    bool keep_alive;              /* use a connection again; the node never does */
    bool retry;                   /* until it is answered with less than 500; the node never does */
    unsigned timeout_ms;          /* for one answer; the node would wait for ever */
};

struct notify_result {
    int status;        /* 0: no answer */
    const char *error; /* without an answer: why, in the node's words where it has some; "" otherwise */
    const char *body;  /* the beginning of the answer's body */
    unsigned tries;
    uint64_t duration_ns; /* from the post to the end of the answer */
};

/* Called once for each post, within notify_post, notify_turn or notify_close; what it is told is gone
 * afterwards. */
typedef void (*notify_done)(void *context, void *tag, const struct notify_result *result);

struct notify;

/* CS_ENOTFOUND: the host has no address; `error` says which. */
CS_MUST_CHECK enum cs_err notify_open(const struct notify_options *options, notify_done done, void *context,
                                      struct notify **notify, char error[NOTIFY_ERROR_SIZE]);
/* What is still under way ends unanswered. */
void notify_close(struct notify *notify);

bool notify_has_room(const struct notify *notify);
size_t notify_in_flight(const struct notify *notify);

/* `request` is taken (malloc'd). There must be room. */
void notify_post(struct notify *notify, char *request, size_t size, void *tag);

/* Turns end early when this can be read; -1: nothing. */
void notify_watch(struct notify *notify, int fd);

/* Waits up to `wait_ms` for something to happen, and does it. Returns early when a signal comes. */
void notify_turn(struct notify *notify, unsigned wait_ms);

#endif
