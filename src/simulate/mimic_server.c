#include "simulate/mimic_server.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "simulate/mimic_rpc.h"

#define READ_BYTES 65536

struct caller {
    struct mimic_server *server;
    struct caller *before, *after;
    uv_tcp_t tcp;
    uv_timer_t timer;
    int handles; /* still open in the loop */
    bool closing, held;
    bool whole; /* the request */
    char *request;
    size_t size, room;
    size_t head_bytes, body_bytes; /* head_bytes 0: it is not whole yet */
    unsigned status;
    char *answer;
    uv_write_t write;
    uv_buf_t chunks[2];
    char head[512];
};

struct mimic_server {
    uv_loop_t *loop;
    uv_tcp_t *listening; /* NULL: not */
    struct net_address address;
    void (*answer)(void *context, const char *body, size_t size, struct mimic_server_reply *reply);
    void *context;
    struct caller *first;
    char bytes[READ_BYTES];
};

/* ---- the end of a connection --------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct caller *caller = handle->data;
    if (--caller->handles == 0) {
        free(caller->request);
        free(caller->answer);
        free(caller);
    }
}

static void hang_up(struct caller *caller)
{
    if (caller->closing) {
        return;
    }
    caller->closing = true;
    if (caller->before != NULL) {
        caller->before->after = caller->after;
    } else {
        caller->server->first = caller->after;
    }
    if (caller->after != NULL) {
        caller->after->before = caller->before;
    }
    uv_close((uv_handle_t *)&caller->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&caller->timer, on_handle_closed);
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    hang_up(write->data);
}

static const char *phrase_of(unsigned status)
{
    return status == 200 ? "OK" : status == 429 ? "Too Many Requests" : "Error";
}

static void send_answer(struct caller *caller)
{
    char *body = caller->answer;
    bool old = memmem(caller->request, caller->head_bytes, " HTTP/1.0\r\n", 11) != NULL;
    int length = snprintf(caller->head, sizeof(caller->head),
                          "HTTP/1.%d %u %s\r\nAllow: POST, OPTIONS\r\nContent-Type: application/json\r\n"
                          "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: POST, OPTIONS\r\n"
                          "Access-Control-Allow-Headers: Accept, Accept-Language, Content-Language, "
                          "Content-Type\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                          old ? 0 : 1, caller->status, phrase_of(caller->status), strlen(body));
    assert(length > 0 && (size_t)length < sizeof(caller->head));
    caller->chunks[0] = uv_buf_init(caller->head, (unsigned)length);
    caller->chunks[1] = uv_buf_init(body, (unsigned)strlen(body));
    caller->write.data = caller;
    if (uv_write(&caller->write, (uv_stream_t *)&caller->tcp, caller->chunks, 2, on_written) != 0) {
        hang_up(caller);
    }
}

static void on_delay_over(uv_timer_t *timer)
{
    struct caller *caller = timer->data;
    send_answer(caller);
}

static void answer_post(struct caller *caller)
{
    struct mimic_server_reply reply = {.status = 200};
    struct mimic_server *server = caller->server;
    server->answer(server->context, caller->request + caller->head_bytes, caller->body_bytes, &reply);
    caller->held = reply.when == MIMIC_SERVER_HELD;
    switch (reply.when) {
    case MIMIC_SERVER_HELD:
        return;
    case MIMIC_SERVER_CUT:
        hang_up(caller);
        return;
    case MIMIC_SERVER_NOW:
        caller->status = reply.status;
        caller->answer = reply.body;
        uv_timer_start(&caller->timer, on_delay_over, reply.delay_ms, 0);
        return;
    }
}

/* What is no POST gets its answer here (nano/rpc/rpc_connection.cpp). */
static void answer_request(struct caller *caller)
{
    caller->whole = true;
    if (strncmp(caller->request, "POST ", 5) == 0) {
        answer_post(caller);
        return;
    }
    bool asks_options = strncmp(caller->request, "OPTIONS ", 8) == 0;
    caller->answer = asks_options ? cs_strdup("") : mimic_error("Can only POST requests");
    caller->status = 200;
    send_answer(caller);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* The value of a header, up to the line's end; NULL when it is missing. */
static const char *find_header(const struct caller *caller, const char *name)
{
    const char *line = memchr(caller->request, '\n', caller->head_bytes);
    const char *end = caller->request + caller->head_bytes;
    size_t length = strlen(name);
    while (line != NULL && ++line < end) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            return line + length + 1 + strspn(line + length + 1, " ");
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

/* False: there is nothing to be made of it. */
static bool read_head(struct caller *caller)
{
    const char *end = memmem(caller->request, caller->size, "\r\n\r\n", 4);
    if (end == NULL) {
        return caller->size <= MIMIC_SERVER_HEAD_MOST;
    }
    caller->head_bytes = (size_t)(end - caller->request) + 4;
    const char *length = find_header(caller, "Content-Length");
    caller->body_bytes = length != NULL ? strtoul(length, NULL, 10) : 0;
    if (find_header(caller, "Transfer-Encoding") != NULL || caller->body_bytes > MIMIC_SERVER_BODY_MOST) {
        return false;
    }
    const char *expect = find_header(caller, "Expect");
    if (expect != NULL && strncasecmp(expect, "100-continue", 12) == 0) {
        static char go_on[] = "HTTP/1.1 100 Continue\r\nServer: nano\r\n\r\n";
        uv_buf_t chunk = uv_buf_init(go_on, sizeof(go_on) - 1);
        return uv_try_write((uv_stream_t *)&caller->tcp, &chunk, 1) == (int)chunk.len;
    }
    return true;
}

static void take_bytes(struct caller *caller, const char *bytes, size_t count)
{
    if (caller->whole) {
        return;
    }
    if (caller->size + count + 1 > caller->room) {
        caller->room = 2 * (caller->size + count + 1);
        caller->request = cs_realloc(caller->request, caller->room);
    }
    memcpy(caller->request + caller->size, bytes, count);
    caller->size += count;
    caller->request[caller->size] = '\0';
    if (caller->head_bytes == 0 && !read_head(caller)) {
        hang_up(caller);
        return;
    }
    if (caller->head_bytes > 0 && caller->size >= caller->head_bytes + caller->body_bytes) {
        answer_request(caller);
    }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct caller *caller = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(caller->server->bytes, READ_BYTES);
}

static void on_bytes(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct caller *caller = stream->data;
    if (count > 0) {
        take_bytes(caller, buffer->base, (size_t)count);
    } else if (count < 0) {
        hang_up(caller);
    }
}

static void on_connection(uv_stream_t *listening, int status)
{
    struct mimic_server *server = listening->data;
    if (status != 0) {
        return;
    }
    struct caller *caller = cs_alloc(sizeof(*caller));
    caller->server = server;
    caller->tcp.data = caller->timer.data = caller;
    caller->handles = 2;
    uv_tcp_init(server->loop, &caller->tcp);
    uv_timer_init(server->loop, &caller->timer);
    caller->after = server->first;
    if (server->first != NULL) {
        server->first->before = caller;
    }
    server->first = caller;
    if (uv_accept(listening, (uv_stream_t *)&caller->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&caller->tcp, on_room, on_bytes) != 0) {
        hang_up(caller);
    }
}

/* ---- life ---------------------------------------------------------------------------------------------- */

struct mimic_server *mimic_server_open(uv_loop_t *loop, const struct net_address *address,
                                       void (*answer)(void *context, const char *body, size_t size,
                                                      struct mimic_server_reply *reply),
                                       void *context)
{
    struct mimic_server *server = cs_alloc(sizeof(*server));
    server->loop = loop;
    server->address = *address;
    server->answer = answer;
    server->context = context;
    return server;
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle);
}

static void stop_listening(struct mimic_server *server)
{
    if (server->listening != NULL) {
        uv_close((uv_handle_t *)server->listening, on_listener_closed);
        server->listening = NULL;
    }
}

enum cs_err mimic_server_listen(struct mimic_server *server, char error[NET_ERROR_SIZE])
{
    assert(server->listening == NULL);
    server->listening = cs_alloc(sizeof(*server->listening));
    enum cs_err err = net_listen(server->loop, server->listening, &server->address, on_connection, error);
    server->listening->data = server;
    if (err != CS_OK) {
        stop_listening(server);
    }
    return err;
}

void mimic_server_cut(struct mimic_server *server)
{
    stop_listening(server);
    while (server->first != NULL) {
        hang_up(server->first);
    }
}

void mimic_server_release(struct mimic_server *server)
{
    for (struct caller *caller = server->first, *next; caller != NULL; caller = next) {
        next = caller->after;
        if (caller->held) {
            answer_post(caller);
        }
    }
}

void mimic_server_close(struct mimic_server *server)
{
    mimic_server_cut(server);
    free(server);
}

const struct net_address *mimic_server_address(const struct mimic_server *server)
{
    return &server->address;
}
