#include "lib/wire.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

int wire_dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void wire_put(int fd, const char *text)
{
    for (size_t at = 0, size = strlen(text); at < size;) {
        ssize_t sent = send(fd, text + at, size - at, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

ssize_t wire_get(int fd, char *to, size_t most, int wait_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    return poll(&ready, 1, wait_ms) == 1 ? recv(fd, to, most, 0) : -1;
}

struct wire_answer wire_read(int fd, bool to_head)
{
    struct wire_answer answer = {0};
    size_t at = 0;
    while (at < sizeof(answer.head) - 1 && strstr(answer.head, "\r\n\r\n") == NULL) {
        assert_int_equal(wire_get(fd, answer.head + at++, 1, WIRE_WAIT_MS), 1);
    }
    assert_int_equal(strncmp(answer.head, "HTTP/1.", 7), 0);
    answer.status = (int)strtol(answer.head + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strstr(answer.head, "Content-Length: ");
    answer.size = length != NULL && !to_head ? strtoul(length + 16, NULL, 10) : 0;
    answer.body = cs_alloc(answer.size + 1);
    for (at = 0; at < answer.size;) {
        ssize_t more = wire_get(fd, answer.body + at, answer.size - at, WIRE_WAIT_MS);
        assert_true(more > 0);
        at += (size_t)more;
    }
    return answer;
}

void wire_expect(int fd, int status, const char *in_head, const char *in_body)
{
    struct wire_answer answer = wire_read(fd, false);
    if (answer.status != status) {
        print_error("%s%s\n", answer.head, answer.body);
    }
    assert_int_equal(answer.status, status);
    if (in_head != NULL) {
        assert_non_null(strstr(answer.head, in_head));
    }
    if (in_body != NULL) {
        assert_non_null(strstr(answer.body, in_body));
    }
    free(answer.body);
}

void wire_expect_end(int fd)
{
    char byte;
    assert_int_equal(wire_get(fd, &byte, 1, WIRE_WAIT_MS), 0);
    close(fd);
}

void wire_expect_silence(int fd, int ms)
{
    char byte;
    assert_int_equal(wire_get(fd, &byte, 1, ms), -1);
}

void wire_ask(uint16_t port, const char *request, int status, const char *in_head, const char *in_body)
{
    int fd = wire_dial(port);
    wire_put(fd, request);
    wire_expect(fd, status, in_head, in_body);
    close(fd);
}

void wire_pause_ms(int ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}
