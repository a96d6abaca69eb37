/* What a node is asked for: the subscription, and the changes of its filter. */
#define LOG_MODULE "node"
#include "base/log.h"
#include "node/nano_ws_internal.h"

#define WHOLE_MOST 15000 /* accounts in one `subscribe`: 1 MB */

void nano_ws_forget_asked(struct nano_ws *ws)
{
    nano_filter_drop(&ws->asked.changes);
    ws->asked.is = false;
}

static void ask(struct nano_ws *ws, enum nano_ws_action action, bool filtered,
                const struct nano_filter_changes *changes)
{
    struct nano_ws_request request = {
        .action = action,
        .id = ++ws->ids,
        .filtered = filtered,
        .add = changes->add,
        .remove = changes->remove,
        .add_count = changes->add_count,
        .remove_count = changes->remove_count,
    };
    size_t length;
    char *text = nano_ws_print(&request, &length);
    nano_wire_send(ws->wire, text, length);
    nano_ws_forget_asked(ws);
    ws->asked = (struct asked){.is = true, .action = action, .id = request.id};
    uv_timer_start(&ws->step, nano_ws_on_step, ws->options.times->ack_ms, 0);
}

/* A new subscription takes the place of the one that the connection had. */
void nano_ws_subscribe(struct nano_ws *ws)
{
    struct nano_filter_changes changes = {0};
    bool filtered = ws->options.filter == NANO_WS_FILTER_ACCOUNTS;
    nano_filter_forget(ws->filter);
    if (filtered && !ws->whole) {
        nano_filter_take(ws->filter, NANO_WS_ACCOUNTS_MOST, &changes);
    } else if (filtered) {
        if (nano_filter_count(ws->filter) > WHOLE_MOST) {
            log_warn("nano_ws url=%s takes no updates, and %zu accounts are too many for one request: it "
                     "tells of all",
                     ws->url.shown, nano_filter_count(ws->filter));
            filtered = false;
        }
        nano_filter_take_all(ws->filter, &changes);
        changes.add_count = filtered ? changes.add_count : 0;
    }
    ask(ws, NANO_WS_SUBSCRIBE, filtered, &changes);
    nano_filter_drop(&changes);
}

/* The next part of what the node has not been told. False: there is none. */
static bool update(struct nano_ws *ws)
{
    while (nano_filter_waiting(ws->filter) > 0) {
        struct nano_filter_changes changes;
        nano_filter_take(ws->filter, ws->whole ? nano_filter_waiting(ws->filter) : NANO_WS_ACCOUNTS_MOST,
                         &changes);
        if (changes.add_count + changes.remove_count == 0) {
            nano_filter_drop(&changes); /* to and fro */
            continue;
        }
        if (ws->whole) {
            nano_ws_subscribe(ws);
        } else {
            ask(ws, NANO_WS_UPDATE, false, &changes);
        }
        ws->asked.changes = changes;
        return true;
    }
    return false;
}

void nano_ws_update_soon(struct nano_ws *ws)
{
    if (ws->state == NANO_WS_CONNECTED && !ws->asked.is && nano_filter_waiting(ws->filter) > 0 &&
        !uv_is_active((uv_handle_t *)&ws->batch)) {
        uv_timer_start(&ws->batch, nano_ws_on_batch,
                       ws->whole ? ws->options.times->whole_ms : ws->options.times->batch_ms, 0);
    }
}

void nano_ws_on_batch(uv_timer_t *timer)
{
    struct nano_ws *ws = timer->data;
    if (ws->state == NANO_WS_CONNECTED && !ws->asked.is) {
        (void)update(ws);
    }
}

void nano_ws_take_ack(struct nano_ws *ws, const struct nano_ws_message *message)
{
    if (!ws->asked.is || message->action != ws->asked.action ||
        (message->has_id && message->id != ws->asked.id)) {
        return; /* of something that was given up */
    }
    struct nano_filter_changes changes = ws->asked.changes;
    ws->asked = (struct asked){.is = false};
    uv_timer_stop(&ws->step);
    if (ws->state == NANO_WS_CONNECTED) {
        if (changes.add_count > 0) {
            ws->options.events.watching(ws->options.events.context, ws, (const uint8_t(*)[32])changes.add,
                                        changes.add_count);
        }
        nano_ws_update_soon(ws);
    } else if (!update(ws)) {
        nano_ws_be_connected(ws);
    }
    nano_filter_drop(&changes);
}

/* Providers that only know `subscribe` leave an `update` unanswered, as a node does that refuses it. */
void nano_ws_miss_ack(struct nano_ws *ws)
{
    if (ws->asked.action == NANO_WS_SUBSCRIBE) {
        nano_ws_give_up(ws, "it did not acknowledge the subscription in time", false);
        return;
    }
    log_info("nano_ws url=%s does not take updates of its filter: it gets the whole of it each time",
             ws->url.shown);
    ws->whole = true;
    pthread_mutex_lock(&ws->gate);
    ws->look.whole = true;
    pthread_mutex_unlock(&ws->gate);
    if (ws->state == NANO_WS_CONNECTED) {
        static const char why[] = "it did not acknowledge an update of its filter";
        nano_ws_note_error(ws, why, false);
        nano_ws_be(ws, NANO_WS_SUBSCRIBING);
        ws->options.events.lost(ws->options.events.context, ws, why);
    }
    nano_ws_subscribe(ws);
}
