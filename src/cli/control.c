#include "cli/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/command.h"

#define LOG_MODULE "control"
#define NAME       "control.sock"

struct control {
    int dir_fd, socket_fd;
};

/* ---- addresses ------------------------------------------------------------------------------------- */

/* sun_path holds 107 bytes; a longer DIR is reached through its open descriptor. */
static enum cs_err make_address(const char *dir, int dir_fd, struct sockaddr_un *address,
                                char error[CONTROL_ERROR_SIZE])
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t size = sizeof address->sun_path;
    int length = snprintf(address->sun_path, size, "%s/" NAME, dir);
    if (length >= 0 && (size_t)length < size) {
        return CS_OK;
    }
    if (access("/proc/self/fd", X_OK) != 0) {
        snprintf(error, CONTROL_ERROR_SIZE,
                 "the data folder's path is too long for a socket: use a shorter one, or mount /proc");
        return CS_EIO;
    }
    snprintf(address->sun_path, size, "/proc/self/fd/%d/" NAME, dir_fd);
    return CS_OK;
}

static int open_dir(const char *dir)
{
    return open(dir, O_DIRECTORY | O_PATH | O_CLOEXEC);
}

/* ---- lines ----------------------------------------------------------------------------------------- */

/* Milliseconds until `deadline_ns`, at least 0. */
static int time_left_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_monotonic_ns();
    return now_ns >= deadline_ns ? 0 : (int)((deadline_ns - now_ns) / 1000000 + 1);
}

static uint64_t deadline_in_ms(int patience_ms)
{
    return clock_monotonic_ns() + (uint64_t)patience_ms * 1000000;
}

static enum cs_err wait_for(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        int left_ms = time_left_ms(deadline_ns);
        struct pollfd poller = {.fd = fd, .events = events};
        int ready = left_ms == 0 ? 0 : poll(&poller, 1, left_ms);
        if (ready > 0) {
            return CS_OK;
        }
        if (ready == 0 || errno != EINTR) {
            return CS_EIO;
        }
    }
}

/* One line without its end, owned by the caller: CS_EIO when none came in time, CS_EINVAL when it is longer
 * than `most`. */
static enum cs_err read_line(int fd, size_t most, int patience_ms, char **line, size_t *length)
{
    uint64_t deadline_ns = deadline_in_ms(patience_ms);
    size_t size = 4096;
    char *text = cs_alloc(size);
    *length = 0;
    enum cs_err err = CS_EIO;
    while ((err = wait_for(fd, POLLIN, deadline_ns)) == CS_OK) {
        ssize_t got = recv(fd, text + *length, size - *length, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got <= 0) {
            err = CS_EIO;
            break;
        }
        char *end = memchr(text + *length, '\n', (size_t)got);
        *length += (size_t)got;
        if (end != NULL) {
            *length = (size_t)(end - text);
        }
        if (*length > most) {
            err = CS_EINVAL;
            break;
        }
        if (end != NULL) {
            *line = text;
            return CS_OK;
        }
        if (*length == size) {
            size *= 2;
            text = cs_realloc(text, size);
        }
    }
    free(text);
    return err;
}

static enum cs_err write_line(int fd, const json_t *value, int patience_ms)
{
    char *text = json_dumps(value, JSON_COMPACT);
    if (text == NULL) {
        log_die(LOG_MODULE, "out of memory");
    }
    size_t length = strlen(text);
    text[length++] = '\n'; /* in the place of the NUL */
    uint64_t deadline_ns = deadline_in_ms(patience_ms);
    enum cs_err err = CS_OK;
    for (size_t done = 0; done < length && err == CS_OK;) {
        ssize_t sent = send(fd, text + done, length - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) {
            done += (size_t)sent;
        } else if (errno == EAGAIN) {
            err = wait_for(fd, POLLOUT, deadline_ns);
        } else if (errno != EINTR) {
            err = CS_EIO;
        }
    }
    free(text);
    return err;
}

/* ---- the relay's side ------------------------------------------------------------------------------ */

static enum cs_err listen_in(struct control *control, const char *dir, char error[CONTROL_ERROR_SIZE])
{
    struct sockaddr_un address;
    enum cs_err err = make_address(dir, control->dir_fd, &address, error);
    if (err != CS_OK) {
        return err;
    }
    control->socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Linux takes the file's mode from the socket, so that it is 0600 from its first moment on, whatever the
     * umask. */
    if (control->socket_fd < 0 || fchmod(control->socket_fd, 0600) != 0 ||
        (unlinkat(control->dir_fd, NAME, 0) != 0 && errno != ENOENT) ||
        bind(control->socket_fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(control->socket_fd, 16) != 0) {
        snprintf(error, CONTROL_ERROR_SIZE, "cannot make the control socket in %.80s: %s", dir,
                 strerror(errno));
        return CS_EIO;
    }
    return CS_OK;
}

enum cs_err control_open(const char *dir, struct control **control, char error[CONTROL_ERROR_SIZE])
{
    struct control *made = cs_alloc(sizeof *made);
    made->socket_fd = -1;
    made->dir_fd = open_dir(dir);
    enum cs_err err = CS_EIO;
    if (made->dir_fd < 0) {
        snprintf(error, CONTROL_ERROR_SIZE, "cannot open the data folder %.80s: %s", dir, strerror(errno));
    } else {
        err = listen_in(made, dir, error);
    }
    if (err == CS_OK) {
        *control = made;
        return CS_OK;
    }
    if (made->socket_fd >= 0) {
        close(made->socket_fd);
    }
    if (made->dir_fd >= 0) {
        close(made->dir_fd);
    }
    free(made);
    return err;
}

int control_fd(const struct control *control)
{
    return control->socket_fd;
}

static bool peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return false;
    }
    return peer.uid == 0 || peer.uid == geteuid();
}

static json_t *answer_line(const struct command_target *target, const char *line, size_t length)
{
    char why[JSON_ERROR_SIZE];
    json_t *request = json_read(line, length, COMMAND_JSON_DEPTH, why);
    if (request == NULL) {
        return command_error(why);
    }
    json_t *answer = command_run(target, request);
    json_decref(request);
    return answer;
}

void control_serve_one(struct control *control, const struct command_target *target)
{
    int fd = accept4(control->socket_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return; /* gone again, or a signal came; poll asks again */
    }
    json_t *answer;
    char *line;
    size_t length;
    if (!peer_allowed(fd)) {
        log_warn("a caller of another user was turned away");
        answer = command_error("the relay runs as another user: run this as that user, or as root");
    } else {
        enum cs_err err = read_line(fd, CONTROL_REQUEST_BYTES, CONTROL_PATIENCE_MS, &line, &length);
        if (err == CS_OK) {
            answer = answer_line(target, line, length);
            free(line);
        } else {
            answer = command_error(err == CS_EINVAL ? "the request is longer than 65536 bytes"
                                                    : "no whole line of request came within 2 s");
        }
    }
    if (write_line(fd, answer, CONTROL_PATIENCE_MS) != CS_OK) {
        log_warn("a caller went away before its answer");
    }
    json_decref(answer);
    close(fd);
}

void control_close(struct control *control)
{
    /* First the name, so that a new caller finds no relay rather than a silent one. */
    if (unlinkat(control->dir_fd, NAME, 0) != 0 && errno != ENOENT) {
        log_warn("cannot remove the control socket: %s", strerror(errno));
    }
    close(control->socket_fd);
    close(control->dir_fd);
    free(control);
}

/* ---- the command line's side ----------------------------------------------------------------------- */

static enum cs_err connect_to(const char *dir, int *fd, char error[CONTROL_ERROR_SIZE])
{
    int dir_fd = open_dir(dir);
    if (dir_fd < 0) {
        enum cs_err missing = errno == ENOENT ? CS_ENOTFOUND : CS_EDENIED;
        snprintf(error, CONTROL_ERROR_SIZE, "cannot open the data folder %.80s: %s", dir, strerror(errno));
        return missing;
    }
    struct sockaddr_un address;
    enum cs_err err = make_address(dir, dir_fd, &address, error);
    *fd = -1;
    if (err == CS_OK) {
        *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (*fd < 0 || connect(*fd, (const struct sockaddr *)&address, sizeof address) != 0) {
            /* ECONNREFUSED: the file of a relay that was killed. */
            err = errno == ENOENT || errno == ECONNREFUSED ? CS_ENOTFOUND
                  : errno == EACCES                        ? CS_EDENIED
                                                           : CS_EIO;
            snprintf(error, CONTROL_ERROR_SIZE, "cannot reach the relay in %.80s: %s", dir, strerror(errno));
        }
    }
    close(dir_fd);
    if (err != CS_OK && *fd >= 0) {
        close(*fd);
    }
    return err;
}

enum cs_err control_call(const char *dir, const json_t *request, json_t **answer,
                         char error[CONTROL_ERROR_SIZE])
{
    int fd;
    enum cs_err err = connect_to(dir, &fd, error);
    if (err != CS_OK) {
        return err;
    }
    char *line;
    size_t length;
    /* A relay that turns us away does not read the request: then the answer is there although the request did not get through. */
    enum cs_err sent = write_line(fd, request, CONTROL_PATIENCE_MS);
    int patience_ms = sent == CS_OK ? CONTROL_CLIENT_WAIT_MS : CONTROL_PATIENCE_MS;
    err = read_line(fd, CONTROL_ANSWER_BYTES, patience_ms, &line, &length);
    close(fd);
    if (err != CS_OK) {
        snprintf(
            error, CONTROL_ERROR_SIZE,
            "the relay in %.80s did not answer: see its log, and list what there is before you try again",
            dir);
        return CS_EIO;
    }
    char why[JSON_ERROR_SIZE];
    *answer = json_read(line, length, 8, why);
    free(line);
    if (*answer == NULL) {
        snprintf(error, CONTROL_ERROR_SIZE, "the relay's answer cannot be read: %.150s", why);
        return CS_EIO;
    }
    return CS_OK;
}
