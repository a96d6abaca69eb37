#include "lib/fake_rpc.h"

#include <arpa/inet.h>
#include <assert.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lib/wire.h"

#define CONNECTIONS_MOST 4096
#define HEARD_MOST       4096
#define REQUEST_MOST     (1u << 20)

struct connection {
    struct fake_rpc *fake;
    int fd;
    pthread_t thread;
    size_t size;  /* of what is in bytes */
    char bytes[]; /* REQUEST_MOST, and a NUL */
};

struct fake_rpc {
    int fd;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock;
    struct connection *connections[CONNECTIONS_MOST];
    size_t connection_count, heard_count, now, peak;
    struct fake_heard heard[HEARD_MOST];
    char head[2048];
    char *(*answer)(void *context, const char *body); /* NULL: as the header says */
    void *context;
};

/* ---- one request -------------------------------------------------------------------------------------------------------- */

/* Where the body begins, NULL: the peer has closed, or sent what is none. */
static char *read_request(struct connection *connection, size_t *length)
{
    for (;;) {
        connection->bytes[connection->size] = '\0';
        char *end = strstr(connection->bytes, "\r\n\r\n");
        if (end != NULL) {
            const char *announced = strstr(connection->bytes, "Content-Length: ");
            *length = announced != NULL ? strtoul(announced + 16, NULL, 10) : 0;
            if (connection->size >= (size_t)(end + 4 - connection->bytes) + *length) {
                return end + 4;
            }
        }
        ssize_t got =
            recv(connection->fd, connection->bytes + connection->size, REQUEST_MOST - connection->size, 0);
        if (got <= 0) {
            return NULL;
        }
        connection->size += (size_t)got;
    }
}

static void note(struct fake_rpc *fake, const char *bytes, const char *body, const json_t *request)
{
    pthread_mutex_lock(&fake->lock);
    assert(fake->heard_count < HEARD_MOST);
    fake->heard[fake->heard_count++] =
        (struct fake_heard){clock_monotonic_ns(), (int)json_integer_value(json_object_get(request, "n"))};
    fake->now++;
    fake->peak = fake->now > fake->peak ? fake->now : fake->peak;
    snprintf(fake->head, sizeof(fake->head), "%.*s", (int)(body - bytes), bytes);
    pthread_mutex_unlock(&fake->lock);
}

static bool put(int fd, const char *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size; /* it blocks until all is taken */
}

/* A body whose length is not `announced` breaks off; -1: none is announced. */
static void answer(int fd, int status, const char *headers, const char *body, long announced)
{
    char head[512], length[64] = "";
    if (announced >= 0) {
        snprintf(length, sizeof(length), "Content-Length: %ld\r\n", announced);
    }
    snprintf(head, sizeof(head), "HTTP/1.1 %d Words\r\nContent-Type: application/json\r\n%s%s\r\n", status,
             headers, length);
    if (put(fd, head, strlen(head))) {
        put(fd, body, strlen(body));
    }
}

static void answer_whole(int fd, int status, const char *headers, const char *body)
{
    answer(fd, status, headers, body, (long)strlen(body));
}

static void drip(int fd)
{
    answer(fd, 200, "", "{", 1000000);
    while (put(fd, " ", 1)) {
        wire_pause_ms(20);
    }
}

static void hang(int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

static void answer_big(int fd, size_t bytes, bool announced)
{
    char *body = cs_alloc(bytes + 1);
    memset(body, ' ', bytes);
    body[0] = '{';
    body[bytes - 1] = '}';
    answer(fd, 200, "Connection: close\r\n", body, announced ? (long)bytes : -1);
    free(body);
}

/* True: the connection stays. */
static bool serve(struct connection *connection, const json_t *request, const char *body)
{
    static const char closes[] = "Connection: close\r\n";
    int fd = connection->fd;
    const char *action = json_string_value(json_object_get(request, "action"));
    long number = (long)json_integer_value(json_object_get(request, "number"));
    char text[64];
    if (strcmp(action, "keep") == 0) {
        answer_whole(fd, 200, "", body);
        return true;
    }
    if (strcmp(action, "echo") == 0) {
        answer_whole(fd, 200, closes, body);
    } else if (strcmp(action, "wait") == 0) {
        wire_pause_ms((int)number);
        answer_whole(fd, 200, closes, body);
    } else if (strcmp(action, "hang") == 0) {
        hang(fd);
    } else if (strcmp(action, "error") == 0) {
        answer_whole(fd, 200, closes, "{\"error\":\"Account not found\"}");
    } else if (strcmp(action, "odd") == 0) {
        answer_whole(fd, 200, closes, "{\"error\":{\"code\":1}}");
    } else if (strcmp(action, "status") == 0) {
        answer_whole(fd, (int)number, closes, "{\"message\":\"no\"}\n");
    } else if (strcmp(action, "moved") == 0) {
        snprintf(text, sizeof(text), "Location: http://127.0.0.1:%u/elsewhere\r\n", connection->fake->port);
        answer_whole(fd, 302, text, "");
    } else if (strcmp(action, "drip") == 0) {
        drip(fd);
    } else if (strcmp(action, "half") == 0) {
        answer(fd, 200, closes, "{\"action\":", 100);
    } else if (strcmp(action, "big") == 0 || strcmp(action, "flood") == 0) {
        answer_big(fd, (size_t)number, action[0] == 'b');
    } else if (strcmp(action, "noise") == 0) {
        put(fd, "SSH-2.0-OpenSSH\r\n", 17);
    } else if (strcmp(action, "text") == 0) {
        answer_whole(fd, 200, closes, "<html>welcome</html>");
    } else if (strcmp(action, "array") == 0) {
        answer_whole(fd, 200, closes, "[]");
    } else {
        assert(strcmp(action, "drop") == 0);
    }
    return false;
}

static void serve_as_told(struct connection *connection)
{
    const struct fake_rpc *fake = connection->fake;
    size_t length;
    for (char *body; (body = read_request(connection, &length)) != NULL;) {
        body[length] = '\0'; /* nobody sends the next request before this answer */
        char *text = fake->answer(fake->context, body);
        connection->size = 0;
        if (text == NULL) {
            break;
        }
        answer_whole(connection->fd, 200, "", text);
        free(text);
    }
    shutdown(connection->fd, SHUT_RDWR);
}

static void *connection_run(void *context)
{
    struct connection *connection = context;
    size_t length;
    if (connection->fake->answer != NULL) {
        serve_as_told(connection);
        return NULL;
    }
    for (char *body; (body = read_request(connection, &length)) != NULL;) {
        char *text = strndup(body, length);
        json_t *request = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert(request != NULL);
        note(connection->fake, connection->bytes, body, request);
        connection->size = 0;
        bool stays = serve(connection, request, text);
        pthread_mutex_lock(&connection->fake->lock);
        connection->fake->now--;
        pthread_mutex_unlock(&connection->fake->lock);
        json_decref(request);
        free(text);
        if (!stays) {
            break;
        }
    }
    shutdown(connection->fd, SHUT_RDWR);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static void *fake_run(void *context)
{
    struct fake_rpc *fake = context;
    for (int fd; (fd = accept(fake->fd, NULL, NULL)) >= 0;) {
        struct connection *connection = cs_alloc(sizeof(*connection) + REQUEST_MOST + 1);
        connection->fake = fake;
        connection->fd = fd;
        pthread_mutex_lock(&fake->lock);
        assert(fake->connection_count < CONNECTIONS_MOST);
        fake->connections[fake->connection_count++] = connection;
        pthread_mutex_unlock(&fake->lock);
        int failed = pthread_create(&connection->thread, NULL, connection_run, connection);
        assert(failed == 0);
        (void)failed;
    }
    return NULL;
}

struct fake_rpc *fake_rpc_open(void)
{
    return fake_rpc_open_with(NULL, NULL);
}

struct fake_rpc *fake_rpc_open_with(char *(*told)(void *context, const char *body), void *context)
{
    struct fake_rpc *fake = cs_alloc(sizeof(*fake));
    fake->answer = told;
    fake->context = context;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    fake->fd = socket(AF_INET, SOCK_STREAM, 0);
    bool listening = fake->fd >= 0 && bind(fake->fd, (struct sockaddr *)&address, size) == 0 &&
                     listen(fake->fd, 128) == 0 &&
                     getsockname(fake->fd, (struct sockaddr *)&address, &size) == 0;
    assert(listening);
    (void)listening;
    fake->port = ntohs(address.sin_port);
    pthread_mutex_init(&fake->lock, NULL);
    int failed = pthread_create(&fake->thread, NULL, fake_run, fake);
    assert(failed == 0);
    (void)failed;
    return fake;
}

uint16_t fake_rpc_port(const struct fake_rpc *fake)
{
    return fake->port;
}

void fake_rpc_close(struct fake_rpc *fake)
{
    shutdown(fake->fd, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->fd);
    for (size_t i = 0; i < fake->connection_count; i++) {
        shutdown(fake->connections[i]->fd, SHUT_RDWR);
        pthread_join(fake->connections[i]->thread, NULL);
        close(fake->connections[i]->fd);
        free(fake->connections[i]);
    }
    pthread_mutex_destroy(&fake->lock);
    free(fake);
}

size_t fake_rpc_heard(struct fake_rpc *fake, struct fake_heard *heard, size_t most)
{
    pthread_mutex_lock(&fake->lock);
    size_t count = fake->heard_count;
    for (size_t i = 0; i < count && i < most; i++) {
        heard[i] = fake->heard[i];
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}

static size_t read_locked(struct fake_rpc *fake, const size_t *number)
{
    pthread_mutex_lock(&fake->lock);
    size_t value = *number;
    pthread_mutex_unlock(&fake->lock);
    return value;
}

size_t fake_rpc_connections(struct fake_rpc *fake)
{
    return read_locked(fake, &fake->connection_count);
}

size_t fake_rpc_peak(struct fake_rpc *fake)
{
    return read_locked(fake, &fake->peak);
}

void fake_rpc_head(struct fake_rpc *fake, char head[2048])
{
    pthread_mutex_lock(&fake->lock);
    memcpy(head, fake->head, 2048);
    pthread_mutex_unlock(&fake->lock);
}
