#include "simulate/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"

#define LOG_MODULE "simulate"

#define TURN_MOST_MS  100  /* how long a signal may go unseen */
#define STOP_GRACE_MS 2000 /* for answers that are still to come when we are stopped */
#define LAG_MOST_NS   1000000000u
#define TIMES_KEPT    65536

struct tally {
    uint64_t told, accepted, refused, failed, unanswered;
};

struct run {
    const struct run_options *options;
    FILE *out;
    struct network *network;   /* ours where there is no scenario; NULL: there is no face either */
    struct scenario *scenario; /* NULL: nobody pays by himself */
    struct face *face;         /* NULL: none */
    struct notify *notify;
    bool closing;
    struct tally kinds[SCENARIO_KIND_COUNT];
    uint64_t unexpected;
    uint32_t *times_us; /* of the last TIMES_KEPT answers */
    uint64_t answered;
    char last_error[128];
};

/* ---- what became of it ----------------------------------------------------------------------------- */

static bool as_expected(enum scenario_kind kind, int status)
{
    return kind == SCENARIO_FORGERY ? status / 100 == 4 : status / 100 == 2;
}

static void count_result(struct run *run, enum scenario_kind kind, const struct notify_result *result)
{
    struct tally *tally = &run->kinds[kind];
    tally->told++;
    if (result->status == 0) {
        tally->unanswered++;
        snprintf(run->last_error, sizeof(run->last_error), "%s", result->error);
    } else {
        if (result->status / 100 == 2) {
            tally->accepted++;
        } else if (result->status / 100 == 4) {
            tally->refused++;
        } else {
            tally->failed++;
        }
        run->times_us[run->answered++ % TIMES_KEPT] = (uint32_t)(result->duration_ns / 1000);
    }
    if (!as_expected(kind, result->status)) {
        run->unexpected++;
    }
}

/* As the node logs it, which then forgets. */
static void log_result(const struct run *run, enum scenario_kind kind, const struct notify_result *result)
{
    const struct notify_url *url = run->options->notify.url;
    if (result->status == 0) {
        log_warn("unable to complete callback: %s:%s (%s)", url->host, url->port, result->error);
    } else if (!as_expected(kind, result->status)) {
        log_warn("callback to %s:%s answered a %s with status %d: %s", url->host, url->port,
                 scenario_kind_text(kind), result->status, result->body);
    }
}

/* 1234 is 1.234. */
static json_t *make_thousandths(uint64_t count)
{
    return json_real((double)count / 1000);
}

static void print_line(const struct run *run, const struct scenario_news *news,
                       const struct notify_result *result)
{
    const struct notice *notice = &news->notice;
    char hash[PAYMENT_HASH_TEXT], to[ADDRESS_TEXT_SIZE], amount[AMOUNT_RAW_SIZE];
    hex_encode_upper(notice->hash, sizeof(notice->hash), hash);
    struct address address = address_from_nano_key(notice->block.link);
    address_format(&address, to);
    amount_format_raw(notice->amount, amount);
    json_t *line = json_object();
    json_object_set_new(line, "hash", json_string(hash));
    json_object_set_new(line, "to", notice->is_send ? json_string(to) : json_null());
    json_object_set_new(line, "amount", json_string(amount));
    json_object_set_new(line, "kind", json_string(scenario_kind_text(news->kind)));
    if (*news->how != '\0') {
        json_object_set_new(line, "how", json_string(news->how));
    }
    json_object_set_new(line, "block", json_string(block_type_text(notice->block.type)));
    json_object_set_new(line, "status", json_integer(result->status));
    json_object_set_new(line, "ms", make_thousandths(result->duration_ns / 1000));
    if (result->tries > 1) {
        json_object_set_new(line, "tries", json_integer(result->tries));
    }
    if (*result->error != '\0') {
        json_object_set_new(line, "error", json_string(result->error));
    }
    if (result->tries == 0) {
        json_object_set_new(line, "lost", json_true());
    }
    json_dumpf(line, run->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', run->out);
    fflush(run->out);
    json_decref(line);
}

static void on_done(void *context, void *tag, const struct notify_result *result)
{
    struct run *run = context;
    struct scenario_news *news = tag;
    count_result(run, news->kind, result);
    if (!run->closing) {
        log_result(run, news->kind, result);
    }
    if (run->face != NULL) {
        face_count_answer(run->face, result->status);
    }
    print_line(run, news, result);
    free(news);
}

/* ---- the summary ----------------------------------------------------------------------------------- */

static int compare_times(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static json_t *summarise_times(struct run *run)
{
    size_t count = run->answered < TIMES_KEPT ? (size_t)run->answered : TIMES_KEPT;
    if (count == 0) {
        return json_null();
    }
    qsort(run->times_us, count, sizeof(run->times_us[0]), compare_times);
    json_t *times = json_object();
    json_object_set_new(times, "median", make_thousandths(run->times_us[count / 2]));
    json_object_set_new(times, "p99", make_thousandths(run->times_us[count * 99 / 100]));
    json_object_set_new(times, "most", make_thousandths(run->times_us[count - 1]));
    return times;
}

static json_t *summarise_tally(const struct tally *tally)
{
    json_t *object = json_object();
    json_object_set_new(object, "told", json_integer((json_int_t)tally->told));
    json_object_set_new(object, "accepted", json_integer((json_int_t)tally->accepted));
    json_object_set_new(object, "refused", json_integer((json_int_t)tally->refused));
    json_object_set_new(object, "failed", json_integer((json_int_t)tally->failed));
    json_object_set_new(object, "unanswered", json_integer((json_int_t)tally->unanswered));
    return object;
}

static void print_summary(struct run *run, uint64_t duration_ns)
{
    json_t *kinds = json_object();
    for (int kind = 0; kind < SCENARIO_KIND_COUNT; kind++) {
        json_object_set_new(kinds, scenario_kind_text((enum scenario_kind)kind),
                            summarise_tally(&run->kinds[kind]));
    }
    json_t *summary = json_object();
    json_object_set_new(summary, "seed", json_integer((json_int_t)run->options->scenario.seed));
    json_object_set_new(summary, "seconds", make_thousandths(duration_ns / 1000000));
    json_object_set_new(summary, "kinds", kinds);
    json_object_set_new(summary, "unexpected", json_integer((json_int_t)run->unexpected));
    json_object_set_new(summary, "ms", summarise_times(run));
    json_t *line = json_object();
    json_object_set_new(line, "summary", summary);
    json_dumpf(line, run->out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', run->out);
    fflush(run->out);
    json_decref(line);
}

/* ---- the pace -------------------------------------------------------------------------------------- */

static void tell(struct run *run, const struct scenario_news *news)
{
    struct scenario_news *tag = cs_alloc(sizeof(*tag));
    *tag = *news;
    size_t size;
    const struct notify_url *url = run->options->notify.url;
    char *request = notify_print(url->host, url->target, &news->notice,
                                 news->shows_link ? news->shown_link : NULL, &size);
    notify_post(run->notify, request, size, tag);
}

/* The scenario's own news, as the face lets it through. */
static void pass_on(struct run *run, const struct scenario_news *news)
{
    bool twice = false;
    if (run->face != NULL && !face_pass_news(run->face, news, &twice)) {
        print_line(run, news, &(struct notify_result){.error = ""});
        return;
    }
    tell(run, news);
    if (twice && notify_has_room(run->notify)) {
        struct scenario_news again = *news;
        again.kind = SCENARIO_DUPLICATE;
        tell(run, &again);
    }
}

/* Tells what is due while there is room. True when nothing is due any more. */
static bool tell_due(struct run *run)
{
    struct scenario_news news;
    while (notify_has_room(run->notify)) {
        if (run->scenario != NULL && scenario_take(run->scenario, &news)) {
            pass_on(run, &news);
        } else if (run->face != NULL && face_take_callback(run->face, &news)) {
            tell(run, &news);
        } else {
            return true;
        }
    }
    return false;
}

static void take_turn(struct run *run, unsigned wait_ms)
{
    if (run->face != NULL) {
        wait_ms = face_wait_ms(run->face, wait_ms);
    }
    notify_turn(run->notify, wait_ms);
    if (run->face != NULL) {
        face_turn(run->face);
    }
}

static unsigned wait_until(uint64_t due_ns, uint64_t now_ns)
{
    uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / 1000000 + 1 : 0;
    return left_ms < TURN_MOST_MS ? (unsigned)left_ms : TURN_MOST_MS;
}

static enum cs_err pay_at_pace(struct run *run, const volatile sig_atomic_t *stop)
{
    uint64_t paid = 0, interval_ns = run->options->interval_ns, due_ns = clock_monotonic_ns();
    while (!*stop) {
        unsigned wait_ms = TURN_MOST_MS;
        if (tell_due(run)) {
            if (run->options->payments != 0 && paid == run->options->payments) {
                return CS_OK;
            }
            uint64_t now_ns = clock_monotonic_ns();
            if (now_ns >= due_ns) {
                enum cs_err err = scenario_pay(run->scenario);
                if (err != CS_OK) {
                    return err;
                }
                paid++;
                /* What could not be told in time is caught up with, but never more than a second of it. */
                due_ns = now_ns - due_ns > LAG_MOST_NS ? now_ns - LAG_MOST_NS : due_ns;
                due_ns += interval_ns;
            }
            wait_ms = wait_until(due_ns, now_ns);
            if (wait_ms == 0 && tell_due(run)) {
                continue;
            }
        }
        take_turn(run, wait_ms);
    }
    return CS_OK;
}

/* All payments are made; what is asked for still happens. */
static void serve_on(struct run *run, const volatile sig_atomic_t *stop)
{
    while (!*stop) {
        tell_due(run);
        take_turn(run, TURN_MOST_MS);
    }
}

static void finish_telling(struct run *run, const volatile sig_atomic_t *stop)
{
    if (!*stop && run->scenario != NULL) {
        scenario_release(run->scenario);
    }
    uint64_t stopped_ns = 0;
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        if (*stop) {
            stopped_ns = stopped_ns != 0 ? stopped_ns : now_ns;
            if (now_ns - stopped_ns > (uint64_t)STOP_GRACE_MS * 1000000 ||
                notify_in_flight(run->notify) == 0) {
                return;
            }
        } else if (tell_due(run) && notify_in_flight(run->notify) == 0) {
            return;
        }
        take_turn(run, TURN_MOST_MS);
    }
}

static enum cs_err judge(const struct run *run, enum cs_err err, uint64_t told, char error[RUN_ERROR_SIZE])
{
    const struct notify_url *url = run->options->notify.url;
    if (told > 0 && run->answered == 0 && run->face == NULL) {
        snprintf(error, RUN_ERROR_SIZE,
                 "nothing answered at %s port %s (%s): start the relay with 'coinslot serve', or say where "
                 "it is with "
                 "--callback",
                 url->host, url->port, run->last_error);
        return CS_EIO;
    }
    if (err == CS_EFULL) {
        snprintf(error, RUN_ERROR_SIZE,
                 "the make-believe network has paid out all its money: give a smaller --amount or a --count");
    }
    return err;
}

static bool is_served(const struct run_options *options)
{
    return options->face != NULL && (options->face->rpc != NULL || options->face->ws != NULL);
}

/* Whoever makes blocks, and the ports. */
static enum cs_err open_network(struct run *run, char error[RUN_ERROR_SIZE])
{
    const struct run_options *options = run->options;
    if (options->scenario.target_count > 0) {
        run->scenario = scenario_open(&options->scenario);
    }
    if (options->face == NULL) {
        return CS_OK;
    }
    if (run->scenario == NULL) {
        uint8_t seed[32];
        scenario_make_seed(options->scenario.seed, seed);
        run->network = network_open(seed, NETWORK_GENESIS + 1);
    }
    char reason[NET_ERROR_SIZE];
    enum cs_err err =
        face_open(options->face, run->scenario != NULL ? scenario_network(run->scenario) : run->network,
                  &run->face, reason);
    if (err != CS_OK) {
        snprintf(error, RUN_ERROR_SIZE, "%s", reason);
        return err;
    }
    notify_watch(run->notify, face_fd(run->face));
    if (is_served(options)) {
        face_print_ready(run->face, run->out);
    }
    return CS_OK;
}

static void close_network(struct run *run)
{
    if (run->face != NULL) {
        face_close(run->face);
    }
    if (run->scenario != NULL) {
        scenario_close(run->scenario);
    }
    if (run->network != NULL) {
        network_close(run->network);
    }
}

static enum cs_err play(struct run *run, const volatile sig_atomic_t *stop, char error[RUN_ERROR_SIZE])
{
    uint64_t begun_ns = clock_monotonic_ns();
    enum cs_err err = run->scenario != NULL ? pay_at_pace(run, stop) : CS_OK;
    finish_telling(run, stop);
    if (is_served(run->options)) {
        serve_on(run, stop);
        finish_telling(run, stop);
    }
    uint64_t told = 0;
    for (int kind = 0; kind < SCENARIO_KIND_COUNT; kind++) {
        told += run->kinds[kind].told;
    }
    run->closing = true;
    notify_close(run->notify);
    run->notify = NULL;
    print_summary(run, clock_monotonic_ns() - begun_ns);
    return judge(run, err, told, error);
}

enum cs_err run_scenario(const struct run_options *options, FILE *out, const volatile sig_atomic_t *stop,
                         char error[RUN_ERROR_SIZE])
{
    struct run run = {.options = options, .out = out};
    char reason[NOTIFY_ERROR_SIZE];
    enum cs_err err = notify_open(&options->notify, on_done, &run, &run.notify, reason);
    if (err != CS_OK) {
        snprintf(error, RUN_ERROR_SIZE, "%s", reason);
        return err;
    }
    run.times_us = cs_alloc(TIMES_KEPT * sizeof(run.times_us[0]));
    err = open_network(&run, error);
    if (err == CS_OK) {
        err = play(&run, stop, error);
    }
    if (run.notify != NULL) {
        notify_close(run.notify);
    }
    close_network(&run);
    free(run.times_us);
    return err;
}
