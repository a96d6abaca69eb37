#include "http/http.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "http/acceptor.h"
#include "http/listen.h"
#include "http/request.h"
#include "http/tls.h"

#define LOG_MODULE "http"

/* A request line with its headers has to fit, or is answered 431; MHD parses in place, so this is also what a
 * connection costs. */
#define CONNECTION_MEMORY_BYTES (16u << 10)

#define ANSWERS_WAIT_MS 10000 /* how long http_close waits for deferred answers … */
#define SENDING_WAIT_MS 2000  /* … and for clients that are slow to take theirs */

/* ---- what MHD calls, on the pool's threads ------------------------------------------------------------- */

static struct connection *open_connection(struct http *http, struct MHD_Connection *mhd)
{
    struct connection *connection = cs_alloc(sizeof(*connection));
    connection->http = http;
    connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    connection->client = acceptor_claim(http->acceptor, connection->fd);
    deadline_set(http->deadlines, &connection->deadline, connection->fd);
    return connection;
}

static void close_connection(struct connection *connection)
{
    deadline_clear(connection->http->deadlines, &connection->deadline);
    clients_leave(connection->http->clients, connection->client);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    switch (code) {
    case MHD_CONNECTION_NOTIFY_STARTED:
        *socket_context = open_connection(http, connection);
        break;
    case MHD_CONNECTION_NOTIFY_CLOSED: /* the socket is still open */
        close_connection(*socket_context);
        break;
    }
}

/* The one place where the target is still as it was sent. What is returned becomes the request's context. */
static void *on_target(void *context, const char *target, struct MHD_Connection *mhd)
{
    struct connection *connection = request_connection(mhd);
    deadline_set(connection->http->deadlines, &connection->deadline, connection->fd);
    return request_open(context, mhd, target);
}

static enum MHD_Result queue(struct http_request *request)
{
    assert(request->response != NULL);
    enum MHD_Result result = MHD_queue_response(request->connection, request->status, request->response);
    MHD_destroy_response(request->response);
    request->response = NULL;
    request->stage = REQUEST_QUEUED;
    return result;
}

static enum MHD_Result handle(struct http_request *request)
{
    struct http *http = request->http;
    deadline_clear(http->deadlines, &request_connection(request->connection)->deadline);
    atomic_fetch_add(&http->busy, 1);
    request->counted = true;
    if (request->response == NULL && atomic_load(&http->closing)) {
        http_answer_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping", NULL, "try again in a moment",
                            "the relay is shutting down");
    }
    if (request->response == NULL) {
        request->match.route->handler(request->match.context, request);
        if (request->deferred) {
            return MHD_YES; /* somebody else's now, until the answer resumes the connection */
        }
    }
    return queue(request);
}

/* MHD calls this once with the headers, for each part of the body, once with all received, and once after a
 * resume. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **request_context)
{
    struct http_request *request = *request_context;
    (void)context, (void)connection, (void)url, (void)version;
    switch (request->stage) {
    case REQUEST_FRESH:
        return request_begin(request, method) ? queue(request) : MHD_YES;
    case REQUEST_RECEIVING:
        if (*size > 0) {
            bool bounded = request_receive(request, data, *size);
            *size = 0;
            return bounded ? MHD_YES : MHD_NO;
        }
        return request->deferred ? queue(request) : handle(request);
    case REQUEST_QUEUED:
        return MHD_YES;
    }
    return MHD_NO;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct http *http = context;
    struct http_request *request = *request_context;
    (void)code;
    if (request != NULL) {
        struct connection *connection = request_connection(mhd);
        deadline_set(http->deadlines, &connection->deadline, connection->fd); /* the next one is awaited */
        bool counted = request->counted;
        *request_context = NULL;
        request_close(request);
        if (counted) {
            atomic_fetch_sub(&http->busy, 1);
        }
    }
}

static int on_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
                          gnutls_pcert_st **chain, unsigned *chain_length, gnutls_ocsp_data_st **ocsp,
                          unsigned *ocsp_length, gnutls_privkey_t *key, unsigned *flags)
{
    struct http *http = request_connection(gnutls_session_get_ptr(session))->http;
    (void)info;
    *ocsp = NULL;
    *ocsp_length = 0;
    return https_copy(http->https, chain, chain_length, key, flags);
}

/* What MHD has to say is about clients that misbehave: anybody could fill the log with it. */
__attribute__((format(printf, 2, 0))) static void on_message(void *context, const char *format,
                                                             va_list arguments)
{
    char message[256];
    (void)context;
    vsnprintf(message, sizeof(message), format, arguments);
    message[strcspn(message, "\n")] = '\0';
    log_debug("%s", message);
}

__attribute__((noreturn)) static void on_panic(void *context, const char *file, unsigned line,
                                               const char *reason)
{
    (void)context;
    log_die(LOG_MODULE, "libmicrohttpd gave up at %s:%u: %s", file, line,
            reason != NULL ? reason : "no reason given");
}

/* On the acceptor's thread. */
static bool hand_over(void *context, int fd, const struct sockaddr *address, socklen_t size)
{
    struct http *http = context;
    return MHD_add_connection(http->daemon, fd, address, size) == MHD_YES;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static int64_t count_connections(void *context)
{
    return (int64_t)clients_count(((struct http *)context)->clients);
}

static void add_metrics(struct http *http)
{
    static const char *const classes[6] = {
        NULL, NULL, "status=\"2xx\"", "status=\"3xx\"", "status=\"4xx\"", "status=\"5xx\"",
    };
    struct metrics *metrics = http->options.metrics;
    for (size_t i = 2; i < 6; i++) {
        http->answered[i] = metrics_add_counter(metrics, "coinslot_http_requests_total", classes[i],
                                                "HTTP requests answered, by class of status.");
    }
    static const char refused[] = "coinslot_http_connections_refused_total";
    static const char help[] = "HTTP connections closed at once because there were too many.";
    http->refused_total = metrics_add_counter(metrics, refused, "limit=\"total\"", help);
    http->refused_per_ip = metrics_add_counter(metrics, refused, "limit=\"per_ip\"", help);
    http->cut = metrics_add_counter(metrics, "coinslot_http_connections_cut_total", "",
                                    "HTTP connections cut because a request took too long to come.");
    metrics_add_gauge(metrics, "coinslot_http_connections", "", "HTTP connections now open.",
                      count_connections, http);
}

struct http *http_open(const struct http_options *options)
{
    assert(options->threads > 0 && options->connections_most > 0);
    struct http *http = cs_alloc(sizeof(*http));
    http->options = *options;
    http->host = cs_strdup(options->host);
    http->router = router_open();
    http->clients = clients_open(options->connections_most, options->connections_loopback,
                                 options->connections_per_ip_most);
    add_metrics(http);
    return http;
}

void http_use_certificate(struct http *http, struct http_certificate *certificate)
{
    assert(http->https != NULL || http->daemon == NULL);
    if (http->https == NULL) {
        http->https = https_open();
    }
    https_use(http->https, certificate);
}

void http_add_routes(struct http *http, const struct http_route *routes, size_t count, void *context)
{
    assert(http->daemon == NULL);
    router_add(http->router, routes, count, context);
}

void http_add_upload(struct http *http, const struct http_upload *upload, void *context)
{
    assert(http->daemon == NULL && upload->begin != NULL && upload->receive != NULL);
    router_add_upload(http->router, upload, context);
}

enum cs_err http_start(struct http *http, char error[HTTP_ERROR_SIZE])
{
    int listening;
    http->port = http->options.port;
    if (listen_open(http->host, &http->port, &listening, error) != CS_OK) {
        return CS_EIO;
    }
    MHD_set_panic_func(on_panic, NULL);
    http->deadlines = deadlines_open(http->options.request_timeout_s, http->cut);
    /* MHD deals its limit out among the threads: each may have all that the acceptor lets in. */
    unsigned most =
        (http->options.connections_most + http->options.connections_loopback + http->options.threads) *
        http->options.threads;
    bool tls = http->https != NULL;
    struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HTTPS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, (void *)(uintptr_t)on_certificate},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_message, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, http},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, http},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, http},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)most, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)http->options.idle_timeout_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_ARRAY, 0, tls ? tls_options : &tls_options[2]},
        {http->options.threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END,
         (intptr_t)http->options.threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    http->daemon =
        MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                             MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET | (tls ? MHD_USE_TLS : 0),
                         0, NULL, NULL, on_request, http, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (http->daemon == NULL) {
        snprintf(error, HTTP_ERROR_SIZE,
                 "http: cannot start its threads: %s; allow more threads or open files", strerror(errno));
        close(listening);
        return CS_EIO;
    }
    const struct acceptor_options accepts = {
        .listening = listening,
        .clients = http->clients,
        .hand_over = hand_over,
        .context = http,
        .refused_total = http->refused_total,
        .refused_per_ip = http->refused_per_ip,
    };
    http->acceptor = acceptor_open(&accepts);
    acceptor_start(http->acceptor); /* its connections look for it in http */
    return CS_OK;
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}

void http_quiesce(struct http *http)
{
    if (http->daemon != NULL) {
        atomic_store(&http->quiesced, true);
        acceptor_stop(http->acceptor);
    }
}

static void wait_for_answers(struct http *http)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int waited_ms = 0; waited_ms < ANSWERS_WAIT_MS; waited_ms++) {
        bool sent = atomic_load(&http->busy) == 0 || waited_ms >= SENDING_WAIT_MS;
        if (sent && atomic_load(&http->deferred) == 0) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    assert(atomic_load(&http->deferred) == 0); /* who deferred it has forgotten to answer */
}

void http_close(struct http *http)
{
    if (http->daemon != NULL) {
        http_quiesce(http);
        atomic_store(&http->closing, true);
        wait_for_answers(http);
        MHD_stop_daemon(http->daemon);
        acceptor_close(http->acceptor);
    }
    if (http->deadlines != NULL) {
        deadlines_close(http->deadlines);
    }
    if (http->https != NULL) {
        https_close(http->https);
    }
    router_close(http->router);
    clients_close(http->clients);
    free(http->host);
    free(http);
}
