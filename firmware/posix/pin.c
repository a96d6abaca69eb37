#include "posix/pin.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STARTED "ok" /* the guard's first word; anything else is what is wrong */

/* ---- the guard -------------------------------------------------------------------------------------------------------- */

/* It has nothing that is the meter's: no lock, no connection, no terminal. */
static void let_go(int meter)
{
    if (meter > 3) {
        (void)close_range(3, (unsigned)meter - 1, 0);
    }
    (void)close_range((unsigned)meter + 1, ~0u, 0);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0) {
        dup2(nothing, STDIN_FILENO);
        dup2(nothing, STDOUT_FILENO);
        close(nothing);
    }
    /* A terminal's Ctrl-C goes to all its processes; the guard ends after the meter, and by it. */
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        signal(ignored[i], SIG_IGN);
    }
    prctl(PR_SET_NAME, "coinslot-pin");
}

/* True: `*on` is what the meter wants now; false: the meter has ended. Silence is off. */
static bool hear(int meter, bool *on)
{
    struct pollfd wait = {.fd = meter, .events = POLLIN};
    char words[64];
    int ready = poll(&wait, 1, PIN_PATIENCE_MS);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
        *on = ready < 0 && *on;
        return true;
    }
    ssize_t count = read(meter, words, sizeof(words)); /* a packet a word, so one at a time */
    if (count <= 0) {
        return false;
    }
    *on = words[0] == '1';
    return true;
}

__attribute__((noreturn)) static void guard(int meter, const struct pin_output *output)
{
    char error[PIN_ERROR_SIZE] = "";
    bool was_on = false, on = false;
    let_go(meter);
    bool opened = output->open(output->context, error);
    const char *word = opened ? STARTED : error;
    (void)send(meter, word, strlen(word), MSG_NOSIGNAL);
    while (opened && hear(meter, &on)) {
        if (on != was_on && !output->set(output->context, on)) {
            break;
        }
        was_on = on;
    }
    if (opened) {
        (void)output->set(output->context, false);
        output->close(output->context);
    }
    _exit(0); /* what the meter has registered to do at its exit is not the guard's */
}

/* ---- the meter's end ---------------------------------------------------------------------------------------------------- */

enum cs_err pin_open(struct pin *pin, const struct pin_output *output, char error[PIN_ERROR_SIZE])
{
    int ends[2];
    char word[PIN_ERROR_SIZE];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        snprintf(error, PIN_ERROR_SIZE, "no socket for the pin's guard: %s", strerror(errno));
        return CS_EIO;
    }
    fflush(NULL);
    *pin = (struct pin){.guard = ends[0], .pid = fork()};
    if (pin->pid == 0) {
        close(ends[0]);
        guard(ends[1], output);
    }
    close(ends[1]);
    if (pin->pid < 0) {
        snprintf(error, PIN_ERROR_SIZE, "no process for the pin's guard: %s", strerror(errno));
        close(ends[0]);
        return CS_EIO;
    }
    ssize_t count = recv(pin->guard, word, sizeof(word) - 1, 0);
    word[count > 0 ? count : 0] = '\0';
    if (strcmp(word, STARTED) != 0) {
        snprintf(error, PIN_ERROR_SIZE, "%s", count > 0 ? word : "the pin's guard has ended");
        pin_close(pin);
        return CS_EIO;
    }
    return CS_OK;
}

bool pin_set(struct pin *pin, bool on)
{
    ssize_t count = send(pin->guard, on ? "1" : "0", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    return count == 1 || errno == EAGAIN || errno == EINTR; /* full: it has much to hear still */
}

void pin_close(struct pin *pin)
{
    close(pin->guard); /* which it takes as the meter's end */
    while (waitpid(pin->pid, NULL, 0) < 0 && errno == EINTR) {
    }
}
