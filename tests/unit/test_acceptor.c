/* An acceptor on a real socket; the test stands for libmicrohttpd's threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/acceptor.h"

static struct metrics *metrics;
static struct clients *clients;
static struct acceptor *acceptor;
static metrics_count *total, *per_ip;
static uint16_t port;
static atomic_int handed, last;
static atomic_bool takes;

static bool hand_over(void *context, int fd, const struct sockaddr *address, socklen_t size)
{
    assert_null(context);
    assert_true(address->sa_family == AF_INET && size >= sizeof(struct sockaddr_in));
    if (!atomic_load(&takes)) {
        close(fd);
        return false;
    }
    atomic_store(&last, fd);
    atomic_fetch_add(&handed, 1);
    return true;
}

static int set_up(void **state)
{
    (void)state;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listening, 16), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    port = ntohs(address.sin_port);
    metrics = metrics_open();
    total = metrics_add_counter(metrics, "total", "", "");
    per_ip = metrics_add_counter(metrics, "per_ip", "", "");
    clients = clients_open(2, 0, 0);
    atomic_store(&handed, 0);
    atomic_store(&takes, true);
    const struct acceptor_options options = {
        .listening = listening,
        .clients = clients,
        .hand_over = hand_over,
        .refused_total = total,
        .refused_per_ip = per_ip,
    };
    acceptor = acceptor_open(&options);
    acceptor_start(acceptor);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    acceptor_stop(acceptor);
    acceptor_close(acceptor);
    clients_close(clients); /* asserts that nobody is counted any more */
    metrics_close(metrics);
    return 0;
}

static void knock(int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static int dial(void)
{
    /* Far up, so that the low numbers are the acceptor's. */
    int low = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = fcntl(low, F_DUPFD_CLOEXEC, 200);
    assert_true(fd >= 200);
    close(low);
    knock(fd);
    return fd;
}

static void expect_end(int fd)
{
    char byte;
    assert_true(read(fd, &byte, 1) <= 0);
    close(fd);
}

static int await_handed(int count)
{
    while (atomic_load(&handed) < count) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return atomic_load(&last);
}

static void a_connection_is_counted_before_anybody_serves_it(void **state)
{
    (void)state;
    int one = dial(), first = await_handed(1);
    int two = dial(), second = await_handed(2);
    expect_end(dial());
    expect_end(dial());
    assert_int_equal(clients_count(clients), 2);
    assert_int_equal(atomic_load(&handed), 2);
    struct client *client = acceptor_claim(acceptor, first);
    assert_ptr_equal(client, acceptor_claim(acceptor, second)); /* one address */
    clients_leave(clients, client);
    clients_leave(clients, client);
    int fds[] = {one, two, first, second};
    for (size_t i = 0; i < 4; i++) {
        close(fds[i]);
    }
    char *text = metrics_print(metrics);
    assert_non_null(strstr(text, "total 2"));
    assert_non_null(strstr(text, "per_ip 0"));
    free(text);
}

static void one_that_cannot_be_handed_over_leaves_its_place(void **state)
{
    (void)state;
    atomic_store(&takes, false);
    for (int i = 0; i < 5; i++) {
        expect_end(dial());
    }
    atomic_store(&takes, true);
    int fd = dial(), served = await_handed(1);
    clients_leave(clients, acceptor_claim(acceptor, served));
    close(served);
    close(fd);
}

/* As libmicrohttpd does when it has no memory for one. */
static void one_that_is_closed_without_a_word_leaves_its_place_when_its_number_comes_again(void **state)
{
    (void)state;
    int fd = dial(), lost = await_handed(1), served = -1, held[64], held_count = 0;
    close(lost);
    close(fd);
    /* Numbers below it may have come free: they are held until its turn comes. */
    for (int i = 2; served != lost; i++) {
        assert_in_range(i, 2, 60);
        fd = dial();
        served = await_handed(i);
        clients_leave(clients, acceptor_claim(acceptor, served));
        assert_int_equal(clients_count(clients), served == lost ? 0 : 1);
        held[held_count++] = served;
        close(fd);
    }
    while (held_count > 0) {
        close(held[--held_count]);
    }
}

static void a_stop_ends_the_waiting_and_what_nobody_served_is_forgotten(void **state)
{
    (void)state;
    int fd = dial(), handed_over = await_handed(1);
    acceptor_stop(acceptor);
    acceptor_stop(acceptor);
    close(handed_over);
    close(fd);
    assert_int_equal(clients_count(clients), 1); /* until the close, in tear_down */
}

int main(void)
{
#define WITH_ACCEPTOR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_ACCEPTOR(a_connection_is_counted_before_anybody_serves_it),
        WITH_ACCEPTOR(one_that_cannot_be_handed_over_leaves_its_place),
        WITH_ACCEPTOR(one_that_is_closed_without_a_word_leaves_its_place_when_its_number_comes_again),
        WITH_ACCEPTOR(a_stop_ends_the_waiting_and_what_nobody_served_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
