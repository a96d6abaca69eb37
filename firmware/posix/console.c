#include "posix/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAREWELL_MS 500

/* Opened anew, so that O_NONBLOCK is ours alone: others may share what we were given. A socket can't be, and has flags for each call. */
void console_init(struct console *console)
{
    struct stat about;
    memset(console, 0, sizeof(*console));
    console->is_socket = fstat(STDOUT_FILENO, &about) == 0 && S_ISSOCK(about.st_mode);
    console->file = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY | O_CLOEXEC);
    console->is_own = console->file >= 0;
    if (!console->is_own) {
        console->file = STDOUT_FILENO;
    }
}

static ssize_t write_some(const struct console *console, const char *bytes, size_t length)
{
    if (console->is_socket) {
        return send(console->file, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    struct pollfd room = {.fd = console->file, .events = POLLOUT};
    if (!console->is_own && poll(&room, 1, 0) != 1) {
        return 0;
    }
    return write(console->file, bytes, length);
}

bool console_flush(struct console *console)
{
    while (console->length > 0) {
        ssize_t count = write_some(console, console->kept + console->first, console->length);
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            count =
                (ssize_t)console->length; /* nobody is there any more, which is no reason to stop a meter */
        }
        if (count <= 0) {
            return false;
        }
        console->first += (size_t)count;
        console->length -= (size_t)count;
    }
    console->first = 0;
    return true;
}

void console_put(struct console *console, const char *text, size_t length)
{
    if (console->first + console->length + length > sizeof(console->kept)) {
        memmove(console->kept, console->kept + console->first, console->length);
        console->first = 0;
    }
    if (console->length + length > sizeof(console->kept)) {
        console->dropped++;
    } else {
        memcpy(console->kept + console->first + console->length, text, length);
        console->length += length;
    }
    (void)console_flush(console);
}

void console_fini(struct console *console)
{
    struct pollfd room = {.fd = console->file, .events = POLLOUT};
    for (int waited = 0; !console_flush(console) && waited < FAREWELL_MS; waited += 50) {
        (void)poll(&room, 1, 50);
    }
    if (console->is_own) {
        close(console->file);
    }
}
