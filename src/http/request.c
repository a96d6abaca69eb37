#include "http/request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/log.h"

struct http_request *request_open(struct http *http, struct MHD_Connection *connection,
                                  const char *raw_target)
{
    struct http_request *request = cs_alloc(sizeof(*request));
    request->http = http;
    request->connection = connection;
    request->raw_target = cs_strdup(raw_target != NULL ? raw_target : "");
    return request;
}

void request_close(struct http_request *request)
{
    for (size_t i = 0; i < request->header_count; i++) {
        free(request->headers[i].name);
        free(request->headers[i].value);
    }
    if (request->response != NULL) {
        MHD_destroy_response(request->response);
    }
    if (request->drop != NULL) {
        request->drop(request->kept);
    }
    target_fini(&request->target);
    free(request->raw_target);
    free(request->body);
    free(request);
}

struct connection *request_connection(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static const struct sockaddr *peer_address(const struct http_request *request)
{
    return MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
}

/* ---- arriving ------------------------------------------------------------------------------------------ */

struct framing {
    size_t lengths, codings;
    const char *length, *coding;
};

static enum MHD_Result note_framing(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct framing *framing = context;
    (void)kind;
    if (strcasecmp(name, "Content-Length") == 0) {
        framing->lengths++;
        framing->length = value;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        framing->codings++;
        framing->coding = value;
    }
    return MHD_YES;
}

/*
 * Where a request ends must be beyond doubt, or a proxy in front of us may see another one (RFC 9112,
 * section 6.3). False: the problem is answered.
 */
static bool framing_is_plain(struct http_request *request, unsigned long long *length)
{
    struct framing framing = {0};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, note_framing, &framing);
    *length = framing.length != NULL ? strtoull(framing.length, NULL, 10) : 0; /* MHD has checked its form */
    if (framing.codings > 1 || framing.lengths > 1 || (framing.codings == 1 && framing.lengths == 1)) {
        http_answer_problem(request, MHD_HTTP_BAD_REQUEST, "ambiguous_length", NULL,
                            "send one Content-Length, or one Transfer-Encoding: chunked",
                            "the request says in more than one way where its body ends");
        return false;
    }
    if (framing.codings == 1 && strcasecmp(framing.coding, "chunked") != 0) {
        http_answer_problem(request, MHD_HTTP_NOT_IMPLEMENTED, "unknown_transfer_encoding", NULL,
                            "send a Content-Length, or Transfer-Encoding: chunked",
                            "the request's Transfer-Encoding is not one that is understood here");
        return false;
    }
    return true;
}

static void answer_too_large(struct http_request *request)
{
    http_answer_problem(request, MHD_HTTP_CONTENT_TOO_LARGE, "body_too_large", NULL, "send less at a time",
                        "the body has more than the %zu bytes that are taken here", request->body_most);
}

/* Finds the route, or answers why there is none. */
static void find_route(struct http_request *request, unsigned long long length)
{
    char error[TARGET_ERROR_SIZE];
    if (target_init(&request->target, request->raw_target, error) != CS_OK) {
        http_answer_problem(request, MHD_HTTP_BAD_REQUEST, "malformed_url", NULL, NULL, "%s", error);
        return;
    }
    switch (router_find(request->http->router, request->method, &request->target, &request->match)) {
    case ROUTER_NO_PATH:
        http_answer_problem(request, MHD_HTTP_NOT_FOUND, "not_found", NULL, NULL, "there is nothing at %s",
                            request->target.path);
        return;
    case ROUTER_NO_METHOD:
        http_request_add_header(request, MHD_HTTP_HEADER_ALLOW, request->match.allow);
        http_answer_problem(request, MHD_HTTP_METHOD_NOT_ALLOWED, "method_not_allowed", NULL, NULL,
                            "%s takes %s, not %.20s", request->target.path, request->match.allow,
                            request->method);
        return;
    case ROUTER_FOUND:
        request->body_most = request->match.route->body_most;
        if (length > request->body_most) {
            answer_too_large(request);
        }
        return;
    }
}

bool request_begin(struct http_request *request, const char *method)
{
    request->method = method;
    request->stage = REQUEST_RECEIVING;
    clients_format(peer_address(request), request->peer);
    unsigned long long length;
    if (!framing_is_plain(request, &length)) {
        return true;
    }
    find_route(request, length);
    if (request->response == NULL && request->match.upload != NULL) {
        request->match.upload->begin(request->match.context, request);
    }
    /*
     * MHD closes the connection after an answer that overtakes the body, and a client that is still sending
     * then loses the answer. So it leaves early only where the client waits for leave to send, or where there
     * is no end to be waited for.
     */
    bool waits = http_request_header(request, MHD_HTTP_HEADER_EXPECT) != NULL;
    return request->response != NULL && (waits || length > REQUEST_DRAIN_MOST);
}

static void keep(struct http_request *request, const char *data, size_t size)
{
    size_t needed = request->body_size + size + 1;
    if (needed > request->body_room) {
        size_t room = request->body_room > 0 ? 2 * request->body_room : 1024;
        request->body_room = room > needed ? room : needed;
        request->body = cs_realloc(request->body, request->body_room);
    }
    memcpy(request->body + request->body_size, data, size);
    request->body_size += size;
    request->body[request->body_size] = '\0';
}

bool request_receive(struct http_request *request, const char *data, size_t size)
{
    size_t before = request->received;
    request->received += size;
    if (before / REQUEST_PROGRESS_BYTES != request->received / REQUEST_PROGRESS_BYTES) {
        struct connection *connection = request_connection(request->connection);
        deadline_set(request->http->deadlines, &connection->deadline, connection->fd);
    }
    if (request->response == NULL && request->match.upload != NULL) {
        request->match.upload->receive(request->match.context, request, data, size);
        assert(request->response == NULL);
        return request->received <= request->body_most + REQUEST_DRAIN_MOST;
    }
    if (request->response == NULL && request->received > request->body_most) {
        answer_too_large(request);
    }
    if (request->response == NULL) {
        keep(request, data, size);
    }
    return request->received <= REQUEST_DRAIN_MOST;
}

/* ---- what handlers ask --------------------------------------------------------------------------------- */

const char *http_request_method(const struct http_request *request)
{
    return request->method;
}

const char *http_request_path(const struct http_request *request)
{
    return request->target.path;
}

const char *http_request_param(const struct http_request *request, const char *name)
{
    const char *value = router_param(&request->match, name);
    assert(value != NULL);
    return value;
}

const char *http_request_query(const struct http_request *request, const char *name)
{
    return target_query(&request->target, name);
}

/* That a name comes once was seen to by target_init. */
bool http_request_query_only(const struct http_request *request, const char *const *names, const char **odd)
{
    for (size_t i = 0; i < request->target.query_count; i++) {
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, request->target.query[i].name) != 0) {
            name++;
        }
        if (*name == NULL) {
            *odd = request->target.query[i].name;
            return false;
        }
    }
    return true;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    const char *value = NULL;
    enum MHD_Result found =
        MHD_lookup_connection_value_n(request->connection, MHD_HEADER_KIND, name, strlen(name), &value, NULL);
    return found == MHD_YES && value == NULL ? "" : value;
}

const char *http_request_body(const struct http_request *request, size_t *size)
{
    *size = request->body_size;
    return request->body != NULL ? request->body : "";
}

bool http_request_from_loopback(const struct http_request *request)
{
    return clients_is_loopback(peer_address(request));
}

const char *http_request_peer(const struct http_request *request)
{
    return request->peer;
}

void http_request_keep(struct http_request *request, void *kept, void (*drop)(void *kept))
{
    assert(request->drop == NULL);
    request->kept = kept;
    request->drop = drop;
}

void *http_request_kept(const struct http_request *request)
{
    return request->kept;
}

/* RFC 9110, section 8.3.1. */
bool http_request_is_type(const struct http_request *request, const char *type)
{
    const char *sent = http_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE);
    size_t length = strlen(type);
    return sent != NULL && strncasecmp(sent, type, length) == 0 && strchr("; \t", sent[length]) != NULL;
}

bool http_request_is_json(const struct http_request *request)
{
    return http_request_is_type(request, "application/json");
}

json_t *http_request_json(struct http_request *request, int most_depth)
{
    if (!http_request_is_json(request)) {
        http_answer_problem(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", NULL,
                            "send the header Content-Type: application/json", "the body has to be JSON");
        return NULL;
    }
    char error[JSON_ERROR_SIZE];
    json_t *value =
        json_read(request->body != NULL ? request->body : "", request->body_size, most_depth, error);
    if (value == NULL) {
        http_answer_problem(request, MHD_HTTP_BAD_REQUEST, "malformed_json", NULL, NULL, "%s", error);
        return NULL;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        http_answer_problem(request, MHD_HTTP_BAD_REQUEST, "malformed_json", NULL,
                            "send {\"name\": value, …}", "the body has to be one JSON object");
        return NULL;
    }
    return value;
}
