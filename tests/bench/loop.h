/*
 * loop: the load generator's one epoll loop, and its TCP connections on loopback. Owns sockets and their buffers; one thread.
 * What is written goes out at the end of the turn, all that has gathered for a connection at once. Nothing survives a crash.
 */
#ifndef COINSLOT_BENCH_LOOP_H
#define COINSLOT_BENCH_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct link;

struct link_calls {
    void (*opened)(struct link *link); /* connected; may be NULL */
    /* How many of the bytes are done with; the others come again, with more behind them. */
    size_t (*heard)(struct link *link, const uint8_t *bytes, size_t length);
    /* It is closed already, and may be dialled again. After the other end closed it, or an error. */
    void (*closed)(struct link *link, const char *why);
};

struct link_bytes {
    uint8_t *at;
    size_t length, room;
};

/* One connection; part of its owner's struct, zeroed before its first dial. */
struct link {
    struct loop *loop;
    const struct link_calls *calls;
    void *owner;
    int fd; /* valid while `open` */
    bool open, connected, dirty, blocked;
    struct link_bytes in, out; /* what was heard in part; what has not gone out */
};

struct loop *loop_open(void);
void loop_close(struct loop *loop);

int64_t loop_now_ns(void); /* CLOCK_MONOTONIC */

/* One round: what is ready is done, what was written goes out. Waits until `until_ns` at most. */
void loop_turn(struct loop *loop, int64_t until_ns);

/* Source addresses go round through 127.0.0.0/24, so that ports do not run out. */
void link_dial(struct loop *loop, struct link *link, uint16_t port, const struct link_calls *calls,
               void *owner);
void link_write(struct link *link, const void *bytes, size_t length);
void link_print(struct link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Without a word to `closed`; its memory is freed. Fine on one that is closed. */
void link_drop(struct link *link);

/* Listens on 127.0.0.1; `accept` gives the link for the next connection, or NULL to refuse it. */
void loop_listen(struct loop *loop, uint16_t port, struct link *(*accept)(void *context), void *context);

/* The run is over: a line on stderr, exit code 1. */
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
