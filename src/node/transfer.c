#include "node/transfer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"

#define LOG_MODULE "node"

#define USER_AGENT "coinslot/" COINSLOT_VERSION

struct transfer {
    struct transfers *transfers;
    struct transfer *next, **link; /* of those under way */
    CURL *easy;
    char *request, *body; /* owned */
    size_t size, room;
    bool too_big;
    void *context;
    char error[CURL_ERROR_SIZE];
};

struct transfers {
    CURLM *multi;
    uv_loop_t *loop;
    uv_timer_t timer;
    struct transfer *first;
    struct curl_slist *headers;
    char *url, *ca_file; /* owned */
    bool loopback;
    uint32_t timeout_ms;
    size_t answer_bytes_most;
    void (*done)(void *context, const struct transfer_end *end);
};

/* One of libcurl's sockets; it closes the descriptor itself. */
struct socket {
    uv_poll_t poll;
    curl_socket_t fd;
    struct transfers *transfers;
};

/* ---- the URL ----------------------------------------------------------------------------------------------------------- */

/* "", when it has none. */
static void part_of(CURLU *url, CURLUPart part, unsigned int flags, char *text, size_t size)
{
    char *got = NULL;
    snprintf(text, size, "%s", curl_url_get(url, part, &got, flags) == CURLUE_OK ? got : "");
    curl_free(got);
}

struct parts {
    bool valid;
    char scheme[16], host[256], port[8];
};

static struct parts parts_of(const char *text)
{
    struct parts parts = {0};
    CURLU *url = curl_url();
    parts.valid =
        url != NULL && curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
    if (parts.valid) {
        part_of(url, CURLUPART_SCHEME, 0, parts.scheme, sizeof(parts.scheme));
        part_of(url, CURLUPART_HOST, 0, parts.host, sizeof(parts.host));
        part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, parts.port, sizeof(parts.port));
    }
    curl_url_cleanup(url);
    return parts;
}

void transfers_name(const char *url, char name[TRANSFER_NAME_SIZE])
{
    struct parts parts = parts_of(url);
    snprintf(name, TRANSFER_NAME_SIZE, "%s://%s:%s", parts.scheme, parts.host, parts.port);
}

static bool is_loopback(const char *host)
{
    size_t length = strlen(host);
    struct in_addr address;
    return strcasecmp(host, "localhost") == 0 ||
           (length > 10 && strcasecmp(host + length - 10, ".localhost") == 0) || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &address) == 1 && strncmp(host, "127.", 4) == 0);
}

static bool header_is_sound(const char *header)
{
    static const char token[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"; /* RFC 9110, 5.6.2 */
    size_t name = strspn(header, token);
    if (name == 0 || header[name] != ':' || header[name + 1] == '\0') {
        return false; /* without a value libcurl would take the header for one to leave out */
    }
    for (const char *c = header; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' && *c != '\t') {
            return false;
        }
    }
    return true;
}

enum cs_err transfers_check(const struct transfer_options *options, char error[TRANSFER_ERROR_SIZE])
{
    struct parts parts = parts_of(options->url);
    if (!parts.valid || (strcmp(parts.scheme, "http") != 0 && strcmp(parts.scheme, "https") != 0)) {
        snprintf(error, TRANSFER_ERROR_SIZE,
                 "the URL of a node's RPC is http://HOST:PORT or https://HOST/PATH");
        return CS_EINVAL;
    }
    for (size_t i = 0; i < options->header_count; i++) {
        if (!header_is_sound(options->headers[i])) {
            snprintf(error, TRANSFER_ERROR_SIZE, "a header for a node's RPC is of the form `Name: value`");
            return CS_EINVAL;
        }
    }
    return CS_OK;
}

/* ---- one transfer ---------------------------------------------------------------------------------------------------------- */

static size_t on_body(char *bytes, size_t one, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t more = one * count;
    if (more > transfer->transfers->answer_bytes_most - transfer->size) {
        transfer->too_big = true;
        return 0; /* ends it */
    }
    size_t wanted = transfer->size + more + 1;
    if (wanted > transfer->room) {
        transfer->room = wanted > 2 * transfer->room ? wanted : 2 * transfer->room;
        transfer->body = cs_realloc(transfer->body, transfer->room);
    }
    memcpy(transfer->body + transfer->size, bytes, more);
    transfer->size += more;
    transfer->body[transfer->size] = '\0';
    return more;
}

/* What the options make of it can only be our mistake, or memory that has run out. */
#define SET(easy, option, value)                                                                             \
    do {                                                                                                     \
        if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK) {                                       \
            log_die(LOG_MODULE, "libcurl does not take " #option);                                           \
        }                                                                                                    \
    } while (0)

static void set_request(struct transfer *transfer)
{
    struct transfers *transfers = transfer->transfers;
    CURL *easy = transfer->easy;
    SET(easy, CURLOPT_URL, transfers->url);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(easy, CURLOPT_HTTPHEADER, transfers->headers);
    SET(easy, CURLOPT_USERAGENT, USER_AGENT);
    SET(easy, CURLOPT_POSTFIELDS, transfer->request);
    SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(transfer->request));
    SET(easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(easy, CURLOPT_WRITEDATA, transfer);
    SET(easy, CURLOPT_ERRORBUFFER, transfer->error);
    SET(easy, CURLOPT_PRIVATE, transfer);
    SET(easy, CURLOPT_TIMEOUT_MS, (long)transfers->timeout_ms);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)transfers->timeout_ms);
    SET(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfers->answer_bytes_most);
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_QUICK_EXIT,
        1L); /* else ending one whose name is still being looked up would wait for that, and the loop with it */
    if (transfers->loopback) {
        SET(easy, CURLOPT_PROXY, ""); /* whatever http_proxy says */
    }
    if (*transfers->ca_file != '\0') {
        SET(easy, CURLOPT_CAINFO, transfers->ca_file);
    }
}

static enum transfer_result result_of(const struct transfer *transfer, CURLcode code)
{
    if (code == CURLE_OK) {
        return TRANSFER_ANSWERED;
    }
    if (transfer->too_big || code == CURLE_FILESIZE_EXCEEDED) {
        return TRANSFER_TOO_BIG;
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return TRANSFER_TIMEOUT;
    }
    bool malformed = code == CURLE_PARTIAL_FILE || code == CURLE_WEIRD_SERVER_REPLY ||
                     code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_BAD_CONTENT_ENCODING ||
                     transfer->size > 0;
    return malformed ? TRANSFER_MALFORMED : TRANSFER_UNREACHABLE;
}

static void end_transfer(struct transfer *transfer, enum transfer_result result, const char *why)
{
    struct transfers *transfers = transfer->transfers;
    struct transfer_end end = {
        .result = result,
        .body = transfer->body != NULL ? transfer->body : "",
        .size = transfer->size,
        .why = why,
    };
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &end.status);
    curl_multi_remove_handle(transfers->multi, transfer->easy);
    *transfer->link = transfer->next;
    if (transfer->next != NULL) {
        transfer->next->link = transfer->link;
    }
    transfers->done(transfer->context, &end);
    curl_easy_cleanup(transfer->easy);
    free(transfer->request);
    free(transfer->body);
    free(transfer);
}

static void take_ended(struct transfers *transfers)
{
    CURLMsg *message;
    for (int left = 0; (message = curl_multi_info_read(transfers->multi, &left)) != NULL;) {
        assert(message->msg == CURLMSG_DONE);
        CURLcode code = message->data.result;
        struct transfer *transfer = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        const char *said = transfer->error[0] != '\0' ? transfer->error : curl_easy_strerror(code);
        end_transfer(transfer, result_of(transfer, code), code == CURLE_OK ? "" : said);
    }
}

/* ---- libcurl on the loop ---------------------------------------------------------------------------------------------------- */

static void act(struct transfers *transfers, curl_socket_t fd, int events)
{
    int running;
    CURLMcode code = curl_multi_socket_action(transfers->multi, fd, events, &running);
    if (code != CURLM_OK) {
        log_die(LOG_MODULE, "libcurl lost its way: %s", curl_multi_strerror(code));
    }
    take_ended(transfers);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *context)
{
    (void)multi;
    struct transfers *transfers = context;
    if (timeout_ms < 0) {
        uv_timer_stop(&transfers->timer);
    } else {
        uv_timer_start(&transfers->timer, on_timer, (uint64_t)timeout_ms,
                       0); /* 0: soon, for it may not be called from here */
    }
    return 0;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct socket *socket = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    act(socket->transfers, socket->fd, flags);
}

static void on_socket_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct socket *watch_new(struct transfers *transfers, curl_socket_t fd)
{
    struct socket *socket = cs_alloc(sizeof(*socket));
    socket->fd = fd;
    socket->transfers = transfers;
    int failed = uv_poll_init_socket(transfers->loop, &socket->poll, fd);
    if (failed != 0) {
        log_die(LOG_MODULE, "cannot watch a socket: %s", uv_strerror(failed));
    }
    socket->poll.data = socket;
    curl_multi_assign(transfers->multi, fd, socket);
    return socket;
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned)
{
    (void)easy;
    struct transfers *transfers = context;
    struct socket *socket = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            curl_multi_assign(transfers->multi, fd, NULL);
            uv_close((uv_handle_t *)&socket->poll, on_socket_closed); /* stops watching at once */
        }
        return 0;
    }
    socket = socket != NULL ? socket : watch_new(transfers, fd);
    int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    uv_poll_start(&socket->poll, events, on_socket);
    return 0;
}

/* ---- life --------------------------------------------------------------------------------------------------------------------- */

static struct curl_slist *make_headers(const struct transfer_options *options)
{
    /* Not `Expect: 100-continue` with what is large: the node takes it for nothing, and the wait would be for nothing. */
    static const char *const ours[] = {"Content-Type: application/json", "Accept: application/json",
                                       "Expect:"};
    struct curl_slist *headers = NULL;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        headers = curl_slist_append(headers, ours[i]);
    }
    for (size_t i = 0; i < options->header_count; i++) {
        headers = curl_slist_append(headers, options->headers[i]);
    }
    return headers;
}

struct transfers *transfers_open(const struct transfer_options *options, uv_loop_t *loop,
                                 void (*done)(void *context, const struct transfer_end *end))
{
    struct transfers *transfers = cs_alloc(sizeof(*transfers));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (transfers->multi = curl_multi_init()) == NULL) {
        log_die(LOG_MODULE, "cannot set up libcurl");
    }
    transfers->loop = loop;
    transfers->done = done;
    transfers->url = cs_strdup(options->url);
    transfers->ca_file = cs_strdup(options->ca_file);
    transfers->loopback = is_loopback(parts_of(options->url).host);
    transfers->timeout_ms = options->timeout_ms;
    transfers->answer_bytes_most = options->answer_bytes_most;
    transfers->headers = make_headers(options);
    uv_timer_init(loop, &transfers->timer);
    transfers->timer.data = transfers;
    curl_multi_setopt(transfers->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(transfers->multi, CURLMOPT_SOCKETDATA, transfers);
    curl_multi_setopt(transfers->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(transfers->multi, CURLMOPT_TIMERDATA, transfers);
    curl_multi_setopt(transfers->multi, CURLMOPT_MAXCONNECTS, (long)options->connections_kept);
    return transfers;
}

void transfers_post(struct transfers *transfers, char *body, void *context)
{
    struct transfer *transfer = cs_alloc(sizeof(*transfer));
    transfer->transfers = transfers;
    transfer->request = body;
    transfer->context = context;
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL) {
        log_die(LOG_MODULE, "out of memory");
    }
    set_request(transfer);
    transfer->next = transfers->first;
    transfer->link = &transfers->first;
    if (transfer->next != NULL) {
        transfer->next->link = &transfer->next;
    }
    transfers->first = transfer;
    CURLMcode code = curl_multi_add_handle(transfers->multi, transfer->easy);
    if (code != CURLM_OK) {
        log_die(LOG_MODULE, "libcurl does not take a call: %s", curl_multi_strerror(code));
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct transfers *transfers = handle->data;
    free(transfers->url);
    free(transfers->ca_file);
    free(transfers);
}

void transfers_close(struct transfers *transfers)
{
    for (struct transfer *transfer = transfers->first, *next; transfer != NULL; transfer = next) {
        next = transfer->next;
        end_transfer(transfer, TRANSFER_CANCELLED, "the relay is shutting down");
    }
    curl_multi_cleanup(transfers->multi);
    curl_slist_free_all(transfers->headers);
    curl_global_cleanup();
    uv_close((uv_handle_t *)&transfers->timer, on_closed);
}
