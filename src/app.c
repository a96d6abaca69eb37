#include "app.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/control.h"
#include "config.h"
#include "http/http.h"
#include "node/callback.h"
#include "node/upstream.h"
#include "push/push.h"
#include "store/store.h"
#include "tls.h"

#define LOG_MODULE "app"

#define WAL_MOST_BYTES (64 << 20)
#define READERS_MORE   2 /* connections for the store besides one for each HTTP thread */
#define ERROR_SIZE     512

static const char CONFIRM_WARNING[] =
    "confirm = source: whoever can call the callback is believed that a block is confirmed and its amount right";

static const char RPC_NEEDED[] =
    "[callback] confirm = node asks the node whether a block is confirmed, and [nano] rpc names none: write rpc = "
    "http://[::1]:7076 under [nano] in the config file (--config), or confirm = source if nobody but your own node "
    "can call the callback; it is then believed";

/* Everything that `serve` opens, in the order in which it does. */
struct app {
    struct config config;
    struct config_address http_address, ws_address;
    struct metrics *metrics;
    struct store *store;
    struct http *http;
    struct push *push;
    struct upstream *node;
    struct callback *callback;
    struct admin *admin;
    struct control *control;
    struct tls tls;
    struct admin_upstream upstream;
    struct admin_check checks[2];
    const char *warnings[1];
};

/* ---- the command line -------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static int usage_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "coinslot serve: ");
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    return 2;
}

static void print_help(void)
{
    printf(
        "usage: coinslot serve [--config FILE] [--data DIR] [--http ADDR:PORT] [--ws ADDR:PORT] [--log-format text|json]\n\n"
        "Runs the relay. Once both ports accept, it prints one line of JSON: {\"ready\":true,\"http\":…,\"ws\":…}.\n"
        "Port 0 picks a free one. SIGTERM or SIGINT stops it; SIGHUP has it read its\n"
        "certificate again. `coinslot config` prints the config file with all its defaults.\n");
}

struct arguments {
    const char *config, *data, *http, *ws, *log_format;
    bool help;
};

/* 0, or the exit code. */
static int read_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option OPTIONS[] = {
        {"config", required_argument, NULL, 'c'},
        {"data", required_argument, NULL, 'd'},
        {"http", required_argument, NULL, 'h'},
        {"ws", required_argument, NULL, 'w'},
        {"log-format", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, '?' + 256},
        {NULL, 0, NULL, 0},
    };
    opterr = 0;
    optind = 1;
    for (int option; (option = getopt_long(argc, argv, ":", OPTIONS, NULL)) != -1;) {
        switch (option) {
        case 'c':
            arguments->config = optarg;
            break;
        case 'd':
            arguments->data = optarg;
            break;
        case 'h':
            arguments->http = optarg;
            break;
        case 'w':
            arguments->ws = optarg;
            break;
        case 'l':
            arguments->log_format = optarg;
            break;
        case '?' + 256:
            arguments->help = true;
            break;
        case ':':
            return usage_error("%s needs a value; see coinslot serve --help", argv[optind - 1]);
        default:
            return usage_error("unknown option %s; see coinslot serve --help", argv[optind - 1]);
        }
    }
    if (optind < argc) {
        return usage_error("unexpected argument %s; see coinslot serve --help", argv[optind]);
    }
    return 0;
}

static bool override_text(const char *from, char to[CONFIG_TEXT_SIZE])
{
    if (from == NULL) {
        return true;
    }
    if (strlen(from) >= CONFIG_TEXT_SIZE) {
        return false;
    }
    memcpy(to, from, strlen(from) + 1);
    return true;
}

/* The file first, then the command line over it. */
static int read_config(const struct arguments *arguments, struct app *app)
{
    struct config *config = &app->config;
    char error[CONF_ERROR_SIZE];
    conf_set_defaults(CONFIG_KEYS, CONFIG_KEY_COUNT, config);
    if (arguments->config != NULL &&
        conf_read_file(arguments->config, CONFIG_KEYS, CONFIG_KEY_COUNT, config, error) != CS_OK) {
        return usage_error("%s", error);
    }
    if (!override_text(arguments->data, config->store_data) ||
        !override_text(arguments->http, config->http_listen) ||
        !override_text(arguments->ws, config->ws_listen)) {
        return usage_error("%s", "an option's value is longer than 255 bytes");
    }
    if (arguments->log_format != NULL) {
        bool json = strcmp(arguments->log_format, "json") == 0;
        if (!json && strcmp(arguments->log_format, "text") != 0) {
            return usage_error("--log-format is text or json, not %s", arguments->log_format);
        }
        config->log_format = json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    }
    if (!config_parse_address(config->http_listen, &app->http_address)) {
        return usage_error("[http] listen is ADDR:PORT, such as 127.0.0.1:7090 or [::1]:7090, not %s",
                           config->http_listen);
    }
    if (!config_parse_address(config->ws_listen, &app->ws_address)) {
        return usage_error("[ws] listen is ADDR:PORT, such as 127.0.0.1:7091 or [::1]:7091, not %s",
                           config->ws_listen);
    }
    if (config->callback_confirm == CONFIRM_NODE && config->nano_rpc[0] == '\0') {
        return usage_error("%s", RPC_NEEDED);
    }
    const char *wrong = tls_check_config(config);
    if (wrong != NULL) {
        return usage_error("%s", wrong);
    }
    return 0;
}

/* ---- opening, in the order of need --------------------------------------------------------------------------------- */

static enum cs_err open_store(struct app *app, char error[ERROR_SIZE])
{
    const struct config *config = &app->config;
    const struct store_options options = {
        .dir = config->store_data,
        .inbox_capacity = (uint32_t)config->store_inbox,
        .batch_most = (uint32_t)config->store_batch,
        .window = (uint32_t)config->limit_window,
        .page_size = (uint32_t)config->limit_page,
        .readers = (uint32_t)config->http_threads + READERS_MORE,
        .subscriptions_most = (uint32_t)config->limit_subscriptions_per_device,
        .unconfirmed_most = (uint32_t)config->limit_unconfirmed,
        .can_prove = config->nano_rpc[0] != '\0',
        .min_free_bytes = config->store_min_free_mb << 20,
        .wal_most_bytes = WAL_MOST_BYTES,
        .synchronous = "FULL",
        .metrics = app->metrics,
    };
    return store_open(&options, &app->store, error);
}

static enum cs_err open_node(struct app *app, char error[ERROR_SIZE])
{
    const struct config *config = &app->config;
    const struct upstream_options options = {
        .rpc = config->nano_rpc,
        .rpc_header = config->nano_rpc_header,
        .rpc_calls_per_s = (uint32_t)config->nano_rpc_calls_per_s,
        .rpc_connections = (uint32_t)config->nano_rpc_connections,
        .rpc_timeout_s = (uint32_t)config->nano_rpc_timeout_s,
        .ws = config->nano_ws,
        .ws_header = config->nano_ws_header,
        .ws_filter_all = config->nano_ws_filter != 0,
        .ca_file = config->nano_ca_file,
        .silence_s = (uint32_t)config->nano_silence_s,
        .sweep_s = (uint32_t)config->nano_sweep_s,
        .batch = (uint32_t)config->nano_batch,
        .confirm = config->callback_confirm == CONFIRM_NODE,
        .signature = (enum callback_signature)config->verify_signature,
        .metrics = app->metrics,
    };
    return upstream_open(&options, app->store, &app->node, error);
}

static void open_http(struct app *app)
{
    const struct config *config = &app->config;
    const struct http_options options = {
        .host = app->http_address.host,
        .port = app->http_address.port,
        .threads = (uint32_t)config->http_threads,
        .connections_most = (uint32_t)config->limit_http_connections,
        .connections_loopback = (uint32_t)config->limit_http_connections_loopback,
        .connections_per_ip_most = (uint32_t)config->limit_http_connections_per_ip,
        .idle_timeout_s = (uint32_t)config->http_idle_timeout_s,
        .request_timeout_s = (uint32_t)config->http_request_timeout_s,
        .metrics = app->metrics,
    };
    app->http = http_open(&options);
}

static void open_push(struct app *app)
{
    const struct config *config = &app->config;
    const struct push_options options = {
        .host = app->ws_address.host,
        .port = app->ws_address.port,
        .sessions_most = (uint32_t)config->limit_sessions,
        .sessions_per_ip_most = (uint32_t)config->limit_sessions_per_ip,
        .waiting_most = (uint32_t)config->limit_waiting,
        .waiting_per_ip_most = (uint32_t)config->limit_waiting_per_ip,
        .handshakes_per_s = (uint32_t)config->limit_handshakes_per_s,
        .frame_most = (uint32_t)config->limit_frame_bytes,
        .hello_timeout_s = (uint32_t)config->limit_hello_timeout_s,
        .ping_interval_s = (uint32_t)config->limit_ping_interval_s,
        .ping_timeout_s = (uint32_t)config->limit_ping_timeout_s,
        .page_size = (uint32_t)config->limit_page,
        .allow_plain_tokens = config->ws_allow_plain_tokens,
        .legacy = (enum push_policy)config->legacy,
        .legacy_addresses_most = (uint32_t)config->limit_legacy_addresses,
        .legacy_silence_s = (uint32_t)config->limit_legacy_silence_s,
        .nano_api = (enum push_policy)config->nano_api,
        .nano_accounts_most = (uint32_t)config->limit_nano_accounts,
        .metrics = app->metrics,
    };
    app->push = push_open(&options, app->store);
}

static bool believes_callbacks(const struct app *app)
{
    return app->config.callback_confirm == CONFIRM_SOURCE;
}

static const char *check_store(void *context)
{
    return store_refusal(context);
}

static void open_routes(struct app *app)
{
    const struct callback_options callback = {
        .secret = app->config.callback_secret,
        .signature = (enum callback_signature)app->config.verify_signature,
        .sink = upstream_callback_sink(app->node),
        .metrics = app->metrics,
    };
    app->checks[0] = (struct admin_check){.name = "store", .check = check_store, .context = app->store};
    app->checks[1] = (struct admin_check){.name = "sources", .check = upstream_check, .context = app->node};
    app->warnings[0] = CONFIRM_WARNING;
    app->upstream = (struct admin_upstream){app->node, upstream_print_report, upstream_reconcile};
    const struct admin_options admin = {
        .checks = app->checks,
        .check_count = sizeof(app->checks) / sizeof(app->checks[0]),
        .warnings = app->warnings,
        .warning_count = believes_callbacks(app),
        .upstream = app->upstream,
        .metrics = app->metrics,
        .spool_dir = app->config.store_data,
        .import_bytes_most = (size_t)app->config.limit_import_mb << 20,
        .import_lines_most = (uint32_t)app->config.limit_import_lines,
    };
    app->callback = callback_open(&callback, app->store, app->http);
    app->admin = admin_open(&admin, app->store, app->http);
}

static const char *brackets(const char *host, const char *bracket)
{
    return strchr(host, ':') != NULL ? bracket : "";
}

static void print_ready(const struct app *app)
{
    const char *http = app->http_address.host, *ws = app->ws_address.host;
    printf("{\"ready\":true,\"http\":\"%s%s%s:%u\",\"ws\":\"%s%s%s:%u\"}\n", brackets(http, "["), http,
           brackets(http, "]"), http_port(app->http), brackets(ws, "["), ws, brackets(ws, "]"),
           push_port(app->push));
    fflush(stdout);
}

/*
 * The ports have to know before they open whether they speak TLS. Sessions need the store, the callback needs both: what is
 * reached from outside begins last.
 */
static enum cs_err start(struct app *app, char error[ERROR_SIZE])
{
    const struct store_events events = {
        .context = app->push,
        .live = push_post_live,
        .raised = push_post_raised,
        .ended = push_post_ended,
        .page = push_post_page,
        .config = push_post_config,
        .heard = push_post_heard,
        .watch_context = app->node,
        .watched = upstream_note_watched,
        .held = upstream_note_held,
    };
    enum cs_err err = tls_open(&app->tls, &app->config, app->http, app->push, error);
    store_start(app->store, &events);
    err = err != CS_OK ? err : upstream_start(app->node);
    err = err != CS_OK ? err : control_open(app->config.store_data, &app->control, error);
    err = err != CS_OK ? err : push_start(app->push, error);
    err = err != CS_OK ? err : http_start(app->http, error);
    return err;
}

/* In reverse: nothing new comes in, sessions end, what was accepted is committed and answered. */
static void stop(struct app *app)
{
    http_quiesce(app->http);
    push_stop(app->push);
    upstream_stop(app->node);
    store_stop(app->store);
    http_close(app->http);
    admin_close(app->admin);
    callback_close(app->callback);
    upstream_close(app->node);
    push_close(app->push);
    if (app->control != NULL) {
        control_close(app->control);
    }
    store_close(app->store);
    metrics_close(app->metrics);
}

/* Until a signal says stop. */
static void wait_for_signal(struct app *app, int signals)
{
    for (;;) {
        struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                                  {.fd = control_fd(app->control), .events = POLLIN}};
        if (poll(polled, 2, tls_wait_ms(&app->tls)) < 0 && errno != EINTR) {
            log_die(LOG_MODULE, "cannot wait for signals: %s", strerror(errno));
        }
        if (polled[0].revents != 0) {
            struct signalfd_siginfo signal;
            ssize_t got = read(signals, &signal, sizeof(signal));
            if (got == (ssize_t)sizeof(signal) && signal.ssi_signo == SIGHUP) {
                tls_reload(&app->tls);
            } else if (got == (ssize_t)sizeof(signal)) {
                log_info("stopping, after %s", signal.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
                return;
            }
        }
        if (polled[1].revents != 0) {
            control_serve_one(app->control, &(struct command_target){app->store, &app->upstream});
        }
        tls_tick(&app->tls);
    }
}

/* Blocked before the first thread starts, so that all inherit it and only main hears them. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int serve(struct app *app)
{
    char error[ERROR_SIZE] = "";
    log_set_up((enum log_level)app->config.log_level, (enum log_format)app->config.log_format);
    int signals = open_signals();
    app->metrics = metrics_open();
    if (open_store(app, error) != CS_OK) {
        fprintf(stderr, "coinslot serve: %s\n", error);
        metrics_close(app->metrics);
        return 1;
    }
    if (open_node(app, error) != CS_OK) {
        fprintf(stderr, "coinslot serve: %s\n", error);
        store_close(app->store);
        metrics_close(app->metrics);
        return 2; /* the config is wrong */
    }
    open_http(app);
    open_push(app);
    open_routes(app);
    if (believes_callbacks(app)) {
        log_warn("%s", CONFIRM_WARNING);
    }
    enum cs_err err = start(app, error);
    if (err == CS_OK) {
        print_ready(app);
        wait_for_signal(app, signals);
    } else {
        fprintf(stderr, "coinslot serve: %s\n", error);
    }
    stop(app);
    close(signals);
    return err == CS_OK ? 0 : 1;
}

int app_serve(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct app *app = cs_alloc(sizeof(*app));
    int code = read_arguments(argc, argv, &arguments);
    if (code == 0 && arguments.help) {
        print_help();
    } else if (code == 0) {
        code = read_config(&arguments, app);
        code = code != 0 ? code : serve(app);
    }
    free(app);
    return code;
}

int app_config(int argc, char **argv)
{
    return cli_config(CONFIG_KEYS, CONFIG_KEY_COUNT, argc, argv);
}
