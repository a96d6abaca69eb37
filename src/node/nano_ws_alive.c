/* Whether a node is still there: it is asked, and it is watched for silence. */
#define LOG_MODULE "node"
#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/nano_ws_internal.h"

#define HOUR_MS         3600000
#define SILENCE_MOST_MS HOUR_MS

static void on_ping(uv_timer_t *timer)
{
    struct nano_ws *ws = timer->data;
    if (ws->pinged && ws->reading) {
        nano_ws_give_up(ws, "it did not answer a ping in time", false);
        return;
    }
    ws->pinged = true;
    size_t length;
    char *text = nano_ws_print(&(struct nano_ws_request){.action = NANO_WS_PING}, &length);
    nano_wire_send(ws->wire, text, length);
    uv_timer_start(&ws->ping, on_ping, ws->options.times->pong_ms, 0);
}

void nano_ws_start_pings(struct nano_ws *ws)
{
    ws->pinged = false;
    uv_timer_start(&ws->ping, on_ping, ws->options.times->ping_ms, 0);
}

/* Whatever it says, it is there. */
void nano_ws_hear(struct nano_ws *ws)
{
    ws->pinged = false;
    uv_timer_start(&ws->ping, on_ping, ws->options.times->ping_ms, 0);
    pthread_mutex_lock(&ws->gate);
    ws->look.heard_ms = clock_wall_ms();
    pthread_mutex_unlock(&ws->gate);
}

void nano_ws_hear_confirmation(struct nano_ws *ws)
{
    ws->confirmed_at_ms = nano_ws_now_ms();
    ws->has_count = false;
    ws->silence_ms = (uint64_t)ws->options.silence_s * 1000;
    pthread_mutex_lock(&ws->gate);
    ws->look.confirmations++;
    ws->look.confirmed_ms = ws->look.heard_ms;
    pthread_mutex_unlock(&ws->gate);
}

/* Nothing was read for a while, by our own doing. */
void nano_ws_excuse_silence(struct nano_ws *ws)
{
    ws->confirmed_at_ms = nano_ws_now_ms();
    ws->has_count = ws->pinged = false;
}

static void be_silent(struct nano_ws *ws)
{
    bool filtered = ws->options.filter == NANO_WS_FILTER_ACCOUNTS;
    metrics_add(ws->options.counters->silences, 1);
    bool quietly = filtered && ws->told_silence_ms != 0 && nano_ws_now_ms() - ws->told_silence_ms < HOUR_MS;
    if (filtered && !quietly) {
        log_info("nano_ws url=%s was silent while its node went on, which is normal with a filter: it is "
                 "connected anew",
                 ws->url.shown);
        ws->told_silence_ms = nano_ws_now_ms();
    }
    if (filtered && ws->silence_ms < SILENCE_MOST_MS) {
        ws->silence_ms = 2 * ws->silence_ms < SILENCE_MOST_MS ? 2 * ws->silence_ms : SILENCE_MOST_MS;
    }
    ws->options.events.silent(ws->options.events.context, ws);
    nano_ws_give_up(ws, "it was silent while the node went on confirming blocks", filtered);
}

void nano_ws_note_count(struct nano_ws *ws, uint64_t cemented)
{
    assert(node_loop_is_mine(ws->options.loop));
    if (ws->state != NANO_WS_CONNECTED || ws->silence_ms == 0 || !ws->reading) {
        return;
    }
    if (!ws->has_count || cemented < ws->count) { /* less: another node's, or one that began anew */
        ws->has_count = true;
        ws->count = cemented;
    } else if (cemented > ws->count && nano_ws_now_ms() - ws->confirmed_at_ms >= ws->silence_ms) {
        be_silent(ws);
    }
}
