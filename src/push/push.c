#define LOG_MODULE "push"
#include "push/push.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device.h"
#include "push/exchange.h"
#include "push/heard.h"
#include "push/internal.h"
#include "push/legacy.h"
#include "push/legacy_frames.h"
#include "push/listener.h"
#include "push/nano.h"
#include "push/session.h"
#include "push/tally.h"
#include "push/tls.h"
#include "push/waiting.h"
#include "store/reconcile.h"

#define PAGES_MOST        64 /* in the mailbox; then the replayer waits */
#define POSTS_AT_ONCE     256
#define RETRY_MS          20
#define SECOND_MS         1000
#define TICK_MS           100
#define STOP_PATIENCE_MS  3000
#define LIBRARY_TIMEOUT_S 5
#define FILES_MORE        3072    /* descriptors for everything but sessions */
#define FILES_SANE        1048576 /* libwebsockets lays its tables out for the whole limit */

/* ---- the mailbox, from any thread ---------------------------------------------------------------------- */

void push_wake(struct push *push)
{
    if (atomic_exchange(&push->woken, true)) {
        return;
    }
    pthread_mutex_lock(&push->gate);
    if (push->context != NULL) {
        lws_cancel_service(push->context);
    } else {
        atomic_store(&push->woken, false); /* nobody to wake yet, or any more */
    }
    pthread_mutex_unlock(&push->gate);
}

void push_post(struct push *push, struct post *post)
{
    if (inbox_push(push->mailbox, &post->node) != CS_OK) {
        push_free_post(post); /* shut: the sessions are gone */
        return;
    }
    push_wake(push);
}

void push_free_post(struct post *post)
{
    for (size_t i = 0; i < post->count; i++) {
        free((char *)(uintptr_t)post->deliveries[i].config); /* const for those who only read it */
        free((struct store_proof *)(uintptr_t)post->deliveries[i].proof);
    }
    free(post->config);
    free(post);
}

static struct post *new_post(enum post_kind kind, const struct store_session *session, size_t count)
{
    struct post *post = cs_alloc(sizeof(*post) + count * sizeof(post->deliveries[0]));
    post->kind = kind;
    post->handle = session->handle;
    post->generation = session->generation;
    post->count = count;
    return post;
}

static void copy_delivery(struct store_delivery *copy, const struct store_delivery *delivery)
{
    *copy = *delivery;
    copy->config = delivery->config != NULL ? cs_strdup(delivery->config) : NULL;
    if (delivery->proof != NULL) {
        struct store_proof *proof = cs_alloc(sizeof(*proof));
        *proof = *delivery->proof;
        copy->proof = proof;
    }
}

void push_post_live(void *push, const struct store_session *session, const struct store_delivery *delivery)
{
    struct post *post = new_post(POST_LIVE, session, 1);
    copy_delivery(&post->deliveries[0], delivery);
    push_post(push, post);
}

void push_post_raised(void *push, const struct store_session *session, uint64_t head)
{
    struct post *post = new_post(POST_RAISED, session, 0);
    post->head = head;
    push_post(push, post);
}

void push_post_ended(void *push, const struct store_session *session, const char *reason)
{
    struct post *post = new_post(POST_ENDED, session, 0);
    snprintf(post->reason, sizeof(post->reason), "%s", reason);
    push_post(push, post);
}

void push_post_page(void *push, const struct store_session *session, uint64_t from, uint64_t to,
                    uint64_t head, const struct store_delivery *deliveries, size_t count)
{
    struct push *server = push;
    struct post *post = new_post(POST_PAGE, session, count);
    post->page.from = from;
    post->page.to = to;
    post->page.head = head;
    for (size_t i = 0; i < count; i++) {
        copy_delivery(&post->deliveries[i], &deliveries[i]);
    }
    pthread_mutex_lock(&server->gate);
    while (server->pages_waiting >= PAGES_MOST && !server->shut) {
        pthread_cond_wait(&server->gate_opened, &server->gate);
    }
    server->pages_waiting++;
    pthread_mutex_unlock(&server->gate);
    push_post(server, post);
}

void push_post_config(void *push, const struct store_session *session, uint64_t version, const char *body)
{
    struct post *post = new_post(POST_CONFIG, session, 0);
    post->version = version;
    post->config = cs_strdup(body);
    push_post(push, post);
}

/* ---- the push thread ----------------------------------------------------------------------------------- */

static void take_post(struct push *push, struct post *post)
{
    if (post->kind == POST_PAGE) {
        pthread_mutex_lock(&push->gate);
        push->pages_waiting--;
        pthread_cond_signal(&push->gate_opened);
        pthread_mutex_unlock(&push->gate);
    }
    device_take_post(push, post);
    push_free_post(post);
}

static void stop_when_done(struct push *push)
{
    if (push->listener == NULL && sessions_count(push->sessions) == 0 && push->endings == NULL) {
        uv_stop(&push->loop);
    }
}

static void on_deadline(uv_timer_t *timer)
{
    struct push *push = timer->data;
    log_warn("%u sessions did not close in time and are cut", sessions_count(push->sessions));
    uv_stop(&push->loop);
}

static void begin_stopping(struct push *push)
{
    listener_close(push->listener);
    push->listener = NULL;
    uv_timer_start(&push->deadline, on_deadline, STOP_PATIENCE_MS, 0);
    sessions_stop_all(push);
}

void push_on_wake(struct push *push)
{
    atomic_store(&push->woken, false);
    push_tls_refresh(push);
    for (struct inbox_node *node = inbox_take(push->mailbox, POSTS_AT_ONCE, 0); node != NULL;) {
        struct post *post = (struct post *)node;
        node = node->next;
        take_post(push, post);
    }
    bool more = heard_on_wake(push->heard);
    legacy_on_wake(push->legacy);
    nano_on_wake(push->nano);
    if (more || inbox_count(push->mailbox) > 0) {
        push_wake(push); /* the sockets have their turn first */
    }
    if (atomic_load(&push->stopping) && push->listener != NULL) {
        begin_stopping(push);
    }
    stop_when_done(push);
}

/* libwebsockets arms its own timers only after an event of its own: hence by way of a wake. */
static void on_retry(uv_timer_t *timer)
{
    struct push *push = timer->data;
    bool devices_done = device_retry_all(push), legacy_done = legacy_retry_all(push->legacy),
         nano_done = nano_retry_all(push->nano), heard_done = heard_retry(push->heard);
    if (!devices_done || !legacy_done || !nano_done || !heard_done) {
        uv_timer_start(&push->retry, on_retry, RETRY_MS, 0);
    }
    push_wake(push);
}

void push_retry_soon(struct push *push)
{
    if (!uv_is_active((uv_handle_t *)&push->retry)) {
        uv_timer_start(&push->retry, on_retry, RETRY_MS, 0);
    }
}

static const char *why_not_payable(const struct push *push)
{
    return store_refusal(push->store) != NULL ? "store_full" : store_not_payable(push->store);
}

static void on_second(uv_timer_t *timer)
{
    struct push *push = timer->data;
    push->not_payable = why_not_payable(push);
    sessions_tell_second(push);
    push_wake(push);
}

static uint64_t now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static void on_tick(uv_timer_t *uv_timer)
{
    struct push *push = uv_timer->data;
    bool any = false;
    for (struct wheel_timer *timer; (timer = wheel_take(&push->wheel, now_ms() / TICK_MS)) != NULL;
         any = true) {
        timer->run(timer);
    }
    if (any) {
        push_wake(push);
    }
}

void push_set_timer(struct push *push, struct wheel_timer *timer, uint64_t ms,
                    void (*run)(struct wheel_timer *timer))
{
    uint64_t due = (now_ms() + ms) / TICK_MS + 1;
    wheel_set(&push->wheel, timer, due > push->wheel.now ? due - push->wheel.now : 1, run);
}

static void on_write(uv_prepare_t *prepare)
{
    sessions_write(prepare->data);
}

/* Ends libwebsockets on our loop: its handles close while the loop runs, and a second call frees the rest. */
static void tear_down(struct push *push)
{
    pthread_mutex_lock(&push->gate);
    push->context = NULL;
    push->shut = true;
    pthread_cond_broadcast(&push->gate_opened);
    pthread_mutex_unlock(&push->gate);
    inbox_shut(push->mailbox);
    if (push->listener != NULL) {
        listener_close(push->listener);
        push->listener = NULL;
    }
    uv_close((uv_handle_t *)&push->retry, NULL);
    uv_close((uv_handle_t *)&push->deadline, NULL);
    uv_close((uv_handle_t *)&push->second, NULL);
    uv_close((uv_handle_t *)&push->tick, NULL);
    uv_close((uv_handle_t *)&push->write, NULL);
    exchange_stop(push->exchange);
    if (push->library != NULL) {
        lws_context_destroy(push->library);
    }
    uv_run(&push->loop, UV_RUN_DEFAULT);
    if (push->library != NULL) {
        lws_context_destroy(push->library);
    }
    int busy = uv_loop_close(&push->loop);
    assert(busy == 0);
    exchange_close(push->exchange);
    for (struct inbox_node *node = inbox_take(push->mailbox, SIZE_MAX, 0); node != NULL;) {
        struct post *post = (struct post *)node;
        node = node->next;
        push_free_post(post);
    }
    heard_shut(push->heard);
    while (push->endings != NULL) {
        struct ending *ending = push->endings;
        push->endings = ending->next;
        free(ending);
    }
}

static void *push_run(void *context)
{
    struct push *push = context;
    uv_run(&push->loop, UV_RUN_DEFAULT);
    tear_down(push);
    return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

struct push *push_open(const struct push_options *options, struct store *store)
{
    assert(options->sessions_most > 0 && options->frame_most > 0 && options->page_size > 0);
    assert(options->hello_timeout_s > 0 && options->ping_interval_s > 0 && options->ping_timeout_s > 0);
    struct push *push = cs_alloc(sizeof(*push));
    push->options = *options;
    push->options.host = cs_strdup(options->host);
    push->store = store;
    push->mailbox =
        inbox_open(SIZE_MAX); /* bounded by what the cursors let out: a window and a few words a session */
    pthread_mutex_init(&push->gate, NULL);
    pthread_cond_init(&push->gate_opened, NULL);
    push->sessions = sessions_open(options);
    push->tally = tally_open();
    waiting_open(push);
    push_counters_open(&push->counters, options->metrics);
    push->heard = heard_open(push);
    push->legacy = legacy_open(push);
    push->nano = nano_open(push);
    return push;
}

/* Each connection takes a file descriptor; so do the store, HTTP and the rest. */
static void raise_file_limit(const struct push_options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t wanted = (rlim_t)options->sessions_most + options->waiting_most + FILES_MORE;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    } else if (limit.rlim_cur > FILES_SANE && wanted <= FILES_SANE) {
        limit.rlim_cur = FILES_SANE;
    } else {
        return;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted) {
        log_warn("%llu files may be open, %u sessions want %llu: raise the limit (ulimit -n) or lower "
                 "sessions_most",
                 (unsigned long long)limit.rlim_cur, options->sessions_most, (unsigned long long)wanted);
    }
}

/* What clients do wrong makes libwebsockets say "error": that is for us no more than a note. */
static void on_library_log(int level, const char *line)
{
    int length = (int)strcspn(line, "\n");
    log_debug("libwebsockets (%d): %.*s", level, length, line);
}

static struct lws_context *create_context(struct push *push)
{
    static const lws_retry_bo_t no_pings = {0}; /* session.c sends them */
    void *loops[] = {&push->loop};
    /* Whoever offers no subprotocol is a client of /call or /nano: upgrade.c has refused the others by then. */
    static const struct lws_protocol_vhost_options is_default = {.name = "default", .value = "1"};
    static const struct lws_protocol_vhost_options without_subprotocol = {
        .options = &is_default, .name = LEGACY_SUBPROTOCOL, .value = ""};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = session_protocols(),
        .pvo = &without_subprotocol,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_VALIDATE_UTF8,
        .foreign_loops = loops,
        .user = push,
        .pcontext = &push->library,
        .gid = -1,
        .uid = -1,
        .retry_and_idle_policy = &no_pings,
        /* A net below ours (waiting.h), which has to be the first: it counts. */
        .timeout_secs = push->options.hello_timeout_s + LIBRARY_TIMEOUT_S,
        .timeout_secs_ah_idle = push->options.hello_timeout_s + LIBRARY_TIMEOUT_S,
        .server_string = "coinslot",
    };
    push_tls_prepare(push, &info);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    return lws_create_context(&info);
}

enum cs_err push_start(struct push *push, char error[PUSH_ERROR_SIZE])
{
    raise_file_limit(&push->options);
    int failed = uv_loop_init(&push->loop);
    assert(failed == 0);
    uv_timer_init(&push->loop, &push->retry);
    uv_timer_init(&push->loop, &push->deadline);
    uv_timer_init(&push->loop, &push->second);
    uv_timer_init(&push->loop, &push->tick);
    uv_prepare_init(&push->loop, &push->write);
    push->retry.data = push->deadline.data = push->second.data = push->tick.data = push->write.data = push;
    uv_prepare_start(&push->write, on_write);
    push->exchange = exchange_open(&push->loop);
    wheel_init(&push->wheel, now_ms() / TICK_MS);
    uv_timer_start(&push->tick, on_tick, TICK_MS, TICK_MS);
    push->not_payable = why_not_payable(push);
    uv_timer_start(&push->second, on_second, SECOND_MS, SECOND_MS);
    enum cs_err err = listener_open(&push->loop, push->options.host, push->options.port, waiting_take, push,
                                    &push->listener, error, PUSH_ERROR_SIZE);
    if (err == CS_OK) {
        push->context = push->library = create_context(push);
        push->vhost = push->context != NULL ? lws_get_vhost_by_name(push->context, "default") : NULL;
        if (push->vhost == NULL) {
            snprintf(error, PUSH_ERROR_SIZE,
                     "libwebsockets does not start: is libwebsockets-evlib-uv installed?");
            err = CS_EIO;
        }
    }
    if (err != CS_OK) {
        tear_down(push);
        return err;
    }
    push->port = listener_port(push->listener);
    listener_start(push->listener);
    int refused = pthread_create(&push->thread, NULL, push_run, push);
    assert(refused == 0);
    push->started = true;
    return CS_OK;
}

uint16_t push_port(const struct push *push)
{
    return push->port;
}

void push_stop(struct push *push)
{
    if (!push->started) {
        return;
    }
    atomic_store(&push->stopping, true);
    push_wake(push);
    pthread_join(push->thread, NULL);
    push->started = false;
}

void push_close(struct push *push)
{
    assert(!push->started);
    nano_close(push->nano);
    legacy_close(push->legacy);
    heard_close(push->heard);
    sessions_close(push->sessions);
    tally_close(push->tally);
    waiting_close(push);
    push_tls_close(push);
    inbox_close(push->mailbox);
    pthread_cond_destroy(&push->gate_opened);
    pthread_mutex_destroy(&push->gate);
    const char *host = push->options.host;
    free((char *)(uintptr_t)host);
    free(push);
}
