/* The answers. Each ends in `finish`, which hands the response to the connection's thread. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "http/request.h"

void http_request_defer(struct http_request *request)
{
    assert(!request->deferred && request->response == NULL && request->stage == REQUEST_RECEIVING);
    request->deferred = true;
    atomic_fetch_add(&request->http->deferred, 1);
    MHD_suspend_connection(request->connection);
}

void http_request_add_header(struct http_request *request, const char *name, const char *value)
{
    assert(request->response == NULL && request->header_count < REQUEST_HEADERS_MOST);
    request->headers[request->header_count++] = (struct request_header){cs_strdup(name), cs_strdup(value)};
}

static bool has_header(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcasecmp(request->headers[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void set_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES) {
        log_die("http", "cannot set the header %s: out of memory, or a line break in its value", name);
    }
}

/*
 * From another thread the request is gone once MHD_resume_connection is called: the connection's thread may
 * have sent the answer and freed everything. `deferred` goes down last, for http_close waits for it.
 */
static void finish(struct http_request *request, unsigned status, struct MHD_Response *response)
{
    struct http *http = request->http;
    assert(request->response == NULL && request->stage == REQUEST_RECEIVING && status >= 200 &&
           status <= 599);
    if (response == NULL) {
        log_die("http", "out of memory making an answer");
    }
    for (size_t i = 0; i < request->header_count; i++) {
        set_header(response, request->headers[i].name, request->headers[i].value);
    }
    if (atomic_load(&http->quiesced)) {
        set_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    metrics_add(http->answered[status / 100], 1);
    request->status = status;
    request->response = response;
    if (request->deferred) {
        MHD_resume_connection(request->connection);
        atomic_fetch_sub(&http->deferred, 1);
    }
}

void http_answer_empty(struct http_request *request, unsigned status)
{
    static char nothing[1];
    finish(request, status, MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT));
}

static void set_type(const struct http_request *request, struct MHD_Response *response, const char *type)
{
    if (response != NULL) {
        set_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        set_header(response, "X-Content-Type-Options", "nosniff");
        if (!has_header(request, MHD_HTTP_HEADER_CACHE_CONTROL)) {
            set_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        }
    }
}

void http_answer_text(struct http_request *request, unsigned status, const char *type, char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    set_type(request, response, type);
    finish(request, status, response);
}

void http_answer_file(struct http_request *request, unsigned status, const char *type, int fd, uint64_t size)
{
    struct MHD_Response *response = MHD_create_response_from_fd64(size, fd);
    set_type(request, response, type);
    finish(request, status, response);
}

static void answer_value(struct http_request *request, unsigned status, const char *type, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    if (text == NULL) {
        log_die("http", "cannot write an answer as JSON: out of memory, or a value that is none");
    }
    json_decref(value);
    http_answer_text(request, status, type, text);
}

void http_answer_json(struct http_request *request, unsigned status, json_t *value)
{
    answer_value(request, status, "application/json", value);
}

/* A detail may quote what was sent, which need not be UTF-8; then everything beyond ASCII shows as a question
 * mark. */
static json_t *quoted(char *text)
{
    json_t *value = json_string(text);
    if (value == NULL) {
        for (char *c = text; *c != '\0'; c++) {
            *c = (unsigned char)*c >= 0x80 ? '?' : *c;
        }
        value = json_string(text);
    }
    return value;
}

void http_answer_problem(struct http_request *request, unsigned status, const char *code, const char *field,
                         const char *hint, const char *detail_format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, detail_format);
    vsnprintf(detail, sizeof(detail), detail_format, arguments);
    va_end(arguments);
    json_t *problem = json_pack("{s:s, s:s, s:i, s:s, s:o, s:s*, s:s*}", "type", "about:blank", "title",
                                MHD_get_reason_phrase_for(status), "status", (int)status, "code", code,
                                "detail", quoted(detail), "field", field, "hint", hint);
    if (problem == NULL) {
        log_die("http", "out of memory making an answer");
    }
    answer_value(request, status, "application/problem+json", problem);
}
