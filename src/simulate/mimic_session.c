#include "simulate/mimic_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/mimic_message.h"
#include "simulate/tree.h"

struct outbound {
    struct outbound *next;
    size_t length;
    unsigned char bytes[]; /* LWS_PRE of libwebsockets' own, then the text */
};

void mimic_session_init(struct mimic_session *session, struct lws *wsi)
{
    session->wsi = wsi;
    mimic_subscription_init(&session->subscription, NULL);
}

static void drop_first(struct mimic_session *session)
{
    struct outbound *outbound = session->first;
    session->first = outbound->next;
    session->last = session->first != NULL ? session->last : NULL;
    session->queued--;
    free(outbound);
}

void mimic_session_fini(struct mimic_session *session)
{
    while (session->first != NULL) {
        drop_first(session);
    }
    mimic_subscription_fini(&session->subscription);
    free(session->arriving);
}

bool mimic_session_send(struct mimic_session *session, const char *text)
{
    if (session->queued == MIMIC_SESSION_QUEUE_MOST) {
        return false;
    }
    size_t length = strlen(text);
    struct outbound *outbound = cs_alloc(sizeof(*outbound) + LWS_PRE + length);
    outbound->length = length;
    memcpy(outbound->bytes + LWS_PRE, text, length);
    *(session->last != NULL ? &session->last->next : &session->first) = outbound;
    session->last = outbound;
    session->queued++;
    lws_callback_on_writable(session->wsi);
    return true;
}

bool mimic_session_write(struct mimic_session *session)
{
    struct outbound *outbound = session->first;
    if (outbound == NULL) {
        return true;
    }
    int written = lws_write(session->wsi, outbound->bytes + LWS_PRE, outbound->length, LWS_WRITE_TEXT);
    if (written < (int)outbound->length) {
        return false;
    }
    drop_first(session);
    if (session->first != NULL) {
        lws_callback_on_writable(session->wsi);
    }
    return true;
}

/* ---- what it asks for (nano/node/websocket.cpp, session::handle_message) ------------------------------- */

enum topic { TOPIC_NONE, TOPIC_CONFIRMATION, TOPIC_BLOCK, TOPIC_OTHERS };

/* Others are numbered from TOPIC_OTHERS. */
static unsigned read_topic(const char *name)
{
    static const char *const topics[] = {[TOPIC_CONFIRMATION] = "confirmation",
                                         [TOPIC_BLOCK] = "new_unconfirmed_block",
                                         [TOPIC_OTHERS] = "started_election",
                                         "stopped_election",
                                         "vote",
                                         "ack",
                                         "work",
                                         "bootstrap",
                                         "telemetry"};
    for (unsigned i = TOPIC_CONFIRMATION; name != NULL && i < sizeof(topics) / sizeof(topics[0]); i++) {
        if (strcmp(topics[i], name) == 0) {
            return i;
        }
    }
    return TOPIC_NONE;
}

static void set_subscribed(struct mimic_session *session, unsigned topic, bool on)
{
    if (topic == TOPIC_CONFIRMATION) {
        session->confirmations = on;
    } else if (topic == TOPIC_BLOCK) {
        session->blocks = on;
    } else if (on) {
        session->others |= 1u << topic;
    } else {
        session->others &= ~(1u << topic);
    }
}

static void subscribe(struct mimic_session *session, unsigned topic, const json_t *options)
{
    if (topic == TOPIC_CONFIRMATION) {
        mimic_subscription_fini(&session->subscription);
        mimic_subscription_init(&session->subscription, options);
    }
    set_subscribed(session, topic, true);
}

/* The options of the other topics take no update. */
static bool update(struct mimic_session *session, unsigned topic, const json_t *options)
{
    return topic == TOPIC_CONFIRMATION && session->confirmations &&
           mimic_subscription_update(&session->subscription, options);
}

/* What fails, fails in silence. */
static bool handle(struct mimic_session *session, const json_t *message, bool no_update)
{
    const char *action = tree_text(message, "action"), *id = tree_text(message, "id");
    unsigned topic = read_topic(tree_text(message, "topic"));
    const json_t *options = json_object_get(message, "options");
    bool ack = tree_flag(message, "ack", false), done = false;
    if (action == NULL) {
        return true;
    }
    if (strcmp(action, "subscribe") == 0 && topic != TOPIC_NONE) {
        subscribe(session, topic, options);
        done = true;
    } else if (strcmp(action, "update") == 0) {
        done = !no_update && update(session, topic, options);
    } else if (strcmp(action, "unsubscribe") == 0 && topic != TOPIC_NONE) {
        set_subscribed(session, topic, false);
        done = true;
    } else if (strcmp(action, "ping") == 0) {
        done = ack = true;
        action = "pong";
    }
    if (!ack || !done) {
        return true;
    }
    char *text = mimic_message_ack(action, id != NULL ? id : "", clock_wall_ms());
    bool sent = mimic_session_send(session, text);
    free(text);
    return sent;
}

bool mimic_session_receive(struct mimic_session *session, const char *bytes, size_t length, bool last,
                           bool silent, bool no_update)
{
    if (session->arrived + length > MIMIC_SESSION_MESSAGE_MOST) {
        return false;
    }
    session->arriving = cs_realloc(session->arriving, session->arrived + length + 1);
    if (length > 0) {
        memcpy(session->arriving + session->arrived, bytes, length);
        session->arrived += length;
    }
    if (!last) {
        return true;
    }
    json_t *message = tree_read(session->arriving, session->arrived);
    session->arrived = 0;
    if (message == NULL) {
        return false;
    }
    bool good = silent || handle(session, message, no_update);
    json_decref(message);
    return good;
}
