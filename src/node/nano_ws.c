#define LOG_MODULE "node"
#include "node/nano_ws.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/nano_ws_internal.h"

#define REFUSALS_A_SECOND 2

const struct nano_ws_times NANO_WS_TIMES = {
    .connect_ms = 10000,
    .ack_ms = 10000,
    .ping_ms = 30000,
    .pong_ms = 10000,
    .retry_least_ms = 500,
    .retry_most_ms = 30000,
    .healthy_ms = 60000,
    .batch_ms = 50,
    .whole_ms = 1000,
    .hang_up_ms = 1000,
};

uint64_t nano_ws_now_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static void count(struct nano_ws *ws, enum nano_ws_result result)
{
    metrics_add(ws->options.counters->messages[result], 1);
}

void nano_ws_be(struct nano_ws *ws, enum nano_ws_state state)
{
    bool connected = state == NANO_WS_CONNECTED;
    ws->state = state;
    atomic_store_explicit(&ws->options.counters->connected, connected ? 1 : 0, memory_order_relaxed);
    pthread_mutex_lock(&ws->gate);
    if (ws->look.state != state) {
        ws->look.state = state;
        ws->look.since_ms = clock_wall_ms();
    }
    pthread_mutex_unlock(&ws->gate);
}

/* ---- the end of a connection --------------------------------------------------------------------------- */

void nano_ws_note_error(struct nano_ws *ws, const char *why, bool was_connected)
{
    pthread_mutex_lock(&ws->gate);
    snprintf(ws->look.error, sizeof(ws->look.error), "%s", why);
    ws->look.reconnects += was_connected ? 1 : 0;
    pthread_mutex_unlock(&ws->gate);
}

/* Says it, once: while a node is away its attempts are no news. */
static void say_lost(struct nano_ws *ws, const char *why, bool was_connected, bool quietly)
{
    if (quietly || (!was_connected && ws->told_failure)) {
        log_debug("nano_ws url=%s: %s", ws->url.shown, why);
        return;
    }
    ws->told_failure = true;
    log_warn("a Nano node's WebSocket %s url=%s: %s", was_connected ? "was lost" : "cannot be had",
             ws->url.shown, why);
}

/* The connection is of no use any more. What the wire still says of it does not matter. */
static void lose(struct nano_ws *ws, const char *why, bool quietly)
{
    bool was_connected = ws->state == NANO_WS_CONNECTED;
    uv_timer_stop(&ws->step);
    uv_timer_stop(&ws->ping);
    uv_timer_stop(&ws->batch);
    nano_ws_forget_asked(ws);
    if (was_connected && nano_ws_now_ms() - ws->connected_at_ms >= ws->options.times->healthy_ms) {
        ws->attempts = 0;
    }
    metrics_add(was_connected ? ws->options.counters->reconnects : ws->options.counters->failures, 1);
    nano_ws_note_error(ws, why, was_connected);
    say_lost(ws, why, was_connected, quietly);
    nano_ws_be(ws, NANO_WS_WAITING);
    if (was_connected) {
        ws->options.events.lost(ws->options.events.context, ws, why);
    }
}

void nano_ws_give_up(struct nano_ws *ws, const char *why, bool quietly)
{
    ws->giving_up = true;
    lose(ws, why, quietly);
    nano_wire_hang_up(ws->wire);
}

/* Full jitter: from nothing to the limit, so that a fleet of relays does not come back at once. */
static void wait_for_next(struct nano_ws *ws)
{
    uint64_t limit = ws->options.times->retry_least_ms;
    for (uint32_t i = 0; i < ws->attempts && limit < ws->options.times->retry_most_ms; i++) {
        limit *= 2;
    }
    limit = limit < ws->options.times->retry_most_ms ? limit : ws->options.times->retry_most_ms;
    ws->attempts++;
    uv_timer_start(&ws->step, nano_ws_on_step, randombytes_uniform((uint32_t)limit + 1), 0);
}

static void on_closed(void *context, const char *why)
{
    struct nano_ws *ws = context;
    if (!ws->giving_up) {
        lose(ws, why, false);
    }
    ws->giving_up = false;
    wait_for_next(ws);
}

void nano_ws_be_connected(struct nano_ws *ws)
{
    ws->connected_at_ms = ws->confirmed_at_ms = nano_ws_now_ms();
    ws->has_count = false;
    nano_ws_be(ws, NANO_WS_CONNECTED);
    if (ws->told_failure) {
        log_info("a Nano node's WebSocket is subscribed again url=%s", ws->url.shown);
    } else {
        log_debug("nano_ws url=%s is subscribed", ws->url.shown);
    }
    ws->told_failure = false;
    ws->options.events.connected(ws->options.events.context, ws);
    nano_ws_update_soon(ws);
}

void nano_ws_on_step(uv_timer_t *timer)
{
    struct nano_ws *ws = timer->data;
    switch (ws->state) {
    case NANO_WS_WAITING:
        nano_ws_be(ws, NANO_WS_CONNECTING);
        uv_timer_start(&ws->step, nano_ws_on_step, ws->options.times->connect_ms, 0);
        nano_wire_dial(ws->wire);
        break;
    case NANO_WS_CONNECTING:
        nano_ws_give_up(ws, "it did not answer in time", false);
        break;
    case NANO_WS_SUBSCRIBING:
    case NANO_WS_CONNECTED:
        assert(ws->asked.is);
        if (ws->reading) {
            nano_ws_miss_ack(ws);
        } else { /* it may be there, unread */
            uv_timer_start(&ws->step, nano_ws_on_step, ws->options.times->ack_ms, 0);
        }
        break;
    case NANO_WS_STOPPED:
        assert(!"a timer of something that was stopped");
    }
}

static void on_opened(void *context)
{
    struct nano_ws *ws = context;
    if (ws->giving_up) {
        return;
    }
    nano_ws_be(ws, NANO_WS_SUBSCRIBING);
    nano_ws_start_pings(ws);
    nano_ws_subscribe(ws);
}

/* ---- what the node says -------------------------------------------------------------------------------- */

static void take_confirmation(struct nano_ws *ws, const struct nano_ws_message *message)
{
    const struct nano_ws_events *events = &ws->options.events;
    nano_ws_hear_confirmation(ws);
    if (message->kind == NANO_WS_CONFIRMED) {
        count(ws, NANO_WS_RESULT_CONFIRMED);
        events->confirmed(events->context, ws, &message->notice, message->confirmation, message->time_ms);
    } else {
        count(ws, message->has_block ? NANO_WS_RESULT_BAD_BLOCK : NANO_WS_RESULT_NO_BLOCK);
        events->bare(events->context, ws, message->hash);
    }
}

static void refuse(struct nano_ws *ws, enum nano_ws_result result, const char *code, const char *why)
{
    count(ws, result);
    refusals_log(ws->refusals, code, ws->url.shown, why);
}

static void on_message(void *context, const char *text, size_t length)
{
    struct nano_ws *ws = context;
    struct nano_ws_message message;
    char error[NANO_WS_ERROR_SIZE];
    if (ws->giving_up) {
        return;
    }
    nano_ws_read(text, length, &message, error);
    nano_ws_hear(ws);
    switch (message.kind) {
    case NANO_WS_ACK:
        count(ws, NANO_WS_RESULT_ACK);
        nano_ws_take_ack(ws, &message);
        break;
    case NANO_WS_PONG:
        count(ws, NANO_WS_RESULT_PONG);
        break;
    case NANO_WS_CONFIRMED:
    case NANO_WS_BARE:
        take_confirmation(ws, &message);
        break;
    case NANO_WS_OTHER:
        count(ws, NANO_WS_RESULT_OTHER);
        break;
    case NANO_WS_MALFORMED:
        refuse(ws, NANO_WS_RESULT_MALFORMED, "malformed", error);
        break;
    case NANO_WS_CONTRADICTION:
        refuse(ws, NANO_WS_RESULT_CONTRADICTION, "contradiction", error);
        break;
    case NANO_WS_WRONG_HASH:
        refuse(ws, NANO_WS_RESULT_WRONG_HASH, "wrong_hash", error);
        break;
    }
}

static void on_not_text(void *context)
{
    refuse(context, NANO_WS_RESULT_BINARY, "binary", "a binary message, which a node does not send");
}

/* ---- what the owner asks for --------------------------------------------------------------------------- */

void nano_ws_watch(struct nano_ws *ws, const struct address *address, bool added)
{
    assert(node_loop_is_mine(ws->options.loop));
    if (ws->options.filter == NANO_WS_FILTER_ALL || address->chain != CHAIN_NANO) {
        return;
    }
    nano_filter_watch(ws->filter, address->bytes, added);
    pthread_mutex_lock(&ws->gate);
    ws->look.accounts = nano_filter_count(ws->filter);
    pthread_mutex_unlock(&ws->gate);
    nano_ws_update_soon(ws);
}

void nano_ws_set_reading(struct nano_ws *ws, bool reading)
{
    assert(node_loop_is_mine(ws->options.loop));
    if (reading && !ws->reading) {
        nano_ws_excuse_silence(ws);
    }
    ws->reading = reading;
    nano_wire_set_reading(ws->wire, reading);
}

void nano_ws_look(struct nano_ws *ws, struct nano_ws_look *look)
{
    pthread_mutex_lock(&ws->gate);
    *look = ws->look;
    pthread_mutex_unlock(&ws->gate);
}

const char *nano_ws_shown_url(const struct nano_ws *ws)
{
    return ws->url.shown;
}

const char *nano_ws_state_text(enum nano_ws_state state)
{
    switch (state) {
    case NANO_WS_WAITING:
        return "waiting";
    case NANO_WS_CONNECTING:
        return "connecting";
    case NANO_WS_SUBSCRIBING:
        return "subscribing";
    case NANO_WS_CONNECTED:
        return "connected";
    case NANO_WS_STOPPED:
        return "stopped";
    }
    return "?";
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static struct nano_wire *open_wire(struct nano_ws *ws, const struct nano_ws_options *options,
                                   char error[NANO_WS_OPEN_ERROR_SIZE])
{
    char why[NANO_URL_ERROR_SIZE > NANO_WIRE_ERROR_SIZE ? NANO_URL_ERROR_SIZE : NANO_WIRE_ERROR_SIZE];
    struct nano_wire *wire = NULL;
    if (nano_url_parse(options->url, &ws->url, why) == CS_OK) {
        wire = nano_wire_open(
            &(struct nano_wire_options){
                .loop = options->loop,
                .url = ws->url,
                .header = options->header,
                .ca_file = options->ca_file,
                .message_most = NANO_WS_MESSAGE_MOST,
                .patience_ms = options->times->hang_up_ms,
                .context = ws,
                .opened = on_opened,
                .message = on_message,
                .not_text = on_not_text,
                .closed = on_closed,
            },
            why);
    }
    if (wire == NULL) {
        snprintf(error, NANO_WS_OPEN_ERROR_SIZE, "the URL of the node's WebSocket: %s", why);
    }
    return wire;
}

struct nano_ws *nano_ws_open(const struct nano_ws_options *options, char error[NANO_WS_OPEN_ERROR_SIZE])
{
    assert(node_loop_is_mine(options->loop) && options->counters != NULL);
    struct nano_ws *ws = cs_alloc(sizeof(*ws));
    ws->wire = open_wire(ws, options, error);
    if (ws->wire == NULL) {
        free(ws);
        return NULL;
    }
    ws->options = *options;
    ws->options.url = ws->options.header = ws->options.ca_file = NULL;
    ws->filter = nano_filter_open();
    ws->refusals = refusals_open("a message of a node's WebSocket", "coinslot_nano_ws_messages_total",
                                 REFUSALS_A_SECOND);
    ws->reading = true;
    ws->silence_ms = (uint64_t)options->silence_s * 1000;
    pthread_mutex_init(&ws->gate, NULL);
    snprintf(ws->look.url, sizeof(ws->look.url), "%s", ws->url.shown);
    ws->look.since_ms = clock_wall_ms();
    uv_timer_t *timers[] = {&ws->step, &ws->ping, &ws->batch};
    for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
        uv_timer_init(node_loop_uv(options->loop), timers[i]);
        timers[i]->data = ws;
    }
    return ws;
}

void nano_ws_start(struct nano_ws *ws)
{
    assert(node_loop_is_mine(ws->options.loop) && ws->state == NANO_WS_WAITING);
    uv_timer_start(&ws->step, nano_ws_on_step, 0, 0);
}

void nano_ws_stop(struct nano_ws *ws)
{
    assert(node_loop_is_mine(ws->options.loop));
    nano_ws_be(ws, NANO_WS_STOPPED);
    uv_close((uv_handle_t *)&ws->step, NULL);
    uv_close((uv_handle_t *)&ws->ping, NULL);
    uv_close((uv_handle_t *)&ws->batch, NULL);
    nano_wire_stop(ws->wire);
}

void nano_ws_close(struct nano_ws *ws)
{
    assert(ws->state == NANO_WS_STOPPED);
    nano_wire_close(ws->wire);
    nano_ws_forget_asked(ws);
    nano_filter_close(ws->filter);
    refusals_close(ws->refusals);
    pthread_mutex_destroy(&ws->gate);
    free(ws);
}
