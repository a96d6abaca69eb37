/* wire: a plain HTTP client over raw sockets. Each call ends the test that it is part of when something goes
 * wrong. */
#ifndef COINSLOT_TESTS_WIRE_H
#define COINSLOT_TESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_WAIT_MS 5000

struct wire_answer {
    int status;
    char head[2048]; /* the status line and the headers, with the empty line */
    char *body;      /* free() */
    size_t size;
};

int wire_dial(uint16_t port); /* 127.0.0.1 */
void wire_put(int fd, const char *text);

/* Reads up to `most` bytes within the time; 0 at the end, -1 when nothing came or the connection broke. */
ssize_t wire_get(int fd, char *to, size_t most, int wait_ms);

/* Exactly one answer, and not a byte beyond it. */
struct wire_answer wire_read(int fd, bool to_head);

/* The parts that head and body have to hold may be NULL. */
void wire_expect(int fd, int status, const char *in_head, const char *in_body);
void wire_expect_end(int fd); /* closes */
void wire_expect_silence(int fd, int ms);

/* One request on a connection of its own. */
void wire_ask(uint16_t port, const char *request, int status, const char *in_head, const char *in_body);

void wire_pause_ms(int ms);

#endif
