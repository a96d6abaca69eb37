#include "posix/watch.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define DEPTH_MOST 8 /* docs/device-protocol.md: 5 to the device */

void watch_init(struct watch *watch, struct view *view, const char *state)
{
    *watch = (struct watch){.view = view};
    snprintf(watch->state, sizeof(watch->state), "%s", state);
}

static void forget(struct watch_payment *payment)
{
    json_decref(payment->event);
    json_decref(payment->value);
    *payment = (struct watch_payment){.event = NULL};
}

void watch_fini(struct watch *watch)
{
    for (unsigned i = 0; i < WATCH_PENDING; i++) {
        forget(&watch->payments[i]);
    }
}

static uint64_t number(const json_t *frame, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(frame, name));
}

/* An event with the frame's members of these names, as they are. */
static json_t *event_of(const char *name, const json_t *frame, const char *const *members)
{
    json_t *event = json_pack("{ss}", "event", name);
    for (; *members != NULL; members++) {
        json_t *value = json_object_get(frame, *members);
        if (value != NULL) {
            json_object_set(event, *members, value);
        }
    }
    return event;
}

/* ---- payments: told once their outcome leaves ------------------------------------------------------------------------------------ */

static struct watch_payment *find(struct watch *watch, uint64_t seq)
{
    struct watch_payment *payment = &watch->payments[seq % WATCH_PENDING];
    return payment->event != NULL && payment->seq == seq ? payment : NULL;
}

static void tell_payment(struct watch *watch, struct watch_payment *payment, uint64_t granted_s)
{
    bool seconds = json_is_integer(payment->value);
    if (payment->value == NULL || !payment->judged) {
        return;
    }
    json_object_set(payment->event, seconds ? "seconds" : "refused", payment->value);
    json_object_set_new(payment->event, "credit_s", json_integer((json_int_t)granted_s));
    if (seconds && !payment->granted) {
        json_object_set_new(payment->event, "event", json_string("granted_before"));
    }
    view_event(watch->view, json_incref(payment->event));
    forget(payment);
}

static void take_payment(struct watch *watch, const json_t *frame, const struct core_report *after)
{
    static const char *const MEMBERS[] = {"hash", "from", "amount", "age_s", NULL};
    uint64_t seq = number(frame, "seq");
    const json_t *paid = json_object_get(frame, "payment");
    if (seq <= watch->before.seq) {
        view_event(watch->view, json_pack("{sssIsO?}", "event", "repeat", "seq", (json_int_t)seq, "hash",
                                          json_object_get(paid, "hash")));
        return;
    }
    struct watch_payment *payment = &watch->payments[seq % WATCH_PENDING];
    json_t *left = payment->event == NULL && payment->seq == seq ? json_incref(payment->value) : NULL;
    forget(payment);
    if (after->seq < seq) { /* the core would not have it */
        json_decref(left);
        return;
    }
    payment->seq = seq;
    payment->event = event_of("payment", paid, MEMBERS);
    json_object_set_new(payment->event, "seq", json_integer((json_int_t)seq));
    json_object_set_new(payment->event, "config_version",
                        json_integer((json_int_t)number(frame, "config_version")));
    payment->value = left;
    payment->granted = after->granted_s > watch->before.granted_s;
    payment->judged = true;
    tell_payment(watch, payment, after->granted_s);
}

/* From within core_on_message for most of them: the payment is told after it. */
void watch_sent(struct watch *watch, const char *text, size_t length)
{
    char error[JSON_ERROR_SIZE];
    json_t *frame = json_read(text, length, DEPTH_MOST, error);
    const char *type = json_text(frame, "type");
    if (type != NULL && (strcmp(type, "actuated") == 0 || strcmp(type, "refused") == 0)) {
        uint64_t seq = number(frame, "seq");
        struct watch_payment *payment = find(watch, seq);
        json_t *value = json_object_get(frame, strcmp(type, "refused") == 0 ? "reason" : "seconds");
        if (payment != NULL) {
            payment->value = payment->value != NULL ? payment->value : json_incref(value);
            tell_payment(watch, payment, watch->before.granted_s);
        } else {
            payment = &watch->payments[seq % WATCH_PENDING];
            forget(payment);
            payment->seq =
                seq; /* its frame is being taken in this moment, or it is a repeat and nobody asks */
            payment->value = json_incref(value);
        }
    }
    json_decref(frame);
}

/* ---- the other frames -------------------------------------------------------------------------------------------------------------- */

static void take_config(struct watch *watch, const json_t *frame, const struct core_report *after)
{
    json_t *config = json_object_get(frame, "config");
    if (after->config_version != watch->before.config_version && after->config_version != 0) {
        view_event(watch->view, json_pack("{sssIsO?}", "event", "config", "version",
                                          (json_int_t)after->config_version, "config", config));
    }
}

static void take_welcome(struct watch *watch, const json_t *frame, const struct core_report *after)
{
    uint64_t resume = watch->before.seq, last_acked = number(frame, "last_acked");
    view_event(watch->view,
               json_pack("{sssIsIsI}", "event", "welcome", "resume", (json_int_t)resume, "last_acked",
                         (json_int_t)last_acked, "pending", (json_int_t)number(frame, "pending")));
    if (watch->before.epoch[0] != '\0' && strcmp(watch->before.epoch, after->epoch) != 0) {
        view_event(watch->view, json_pack("{sssssI}", "event", "store_changed", "epoch", after->epoch, "seq",
                                          (json_int_t)last_acked));
    }
    if (last_acked > resume) {
        view_event(watch->view, json_pack("{sssIsI}", "event", "state_lost", "from", (json_int_t)resume + 1,
                                          "to", (json_int_t)last_acked));
    }
    take_config(watch, frame, after);
}

static void take_frame(struct watch *watch, const char *type, const json_t *frame,
                       const struct core_report *after)
{
    static const char *const GAP[] = {"from", "to", "reason", NULL}, *const NOTED[] = {"seq", NULL},
                             *const STATE[] = {"caught_up", "payable", "reason", NULL};
    if (strcmp(type, "welcome") == 0) {
        take_welcome(watch, frame, after);
    } else if (strcmp(type, "payment") == 0) {
        take_payment(watch, frame, after);
    } else if (strcmp(type, "config") == 0) {
        take_config(watch, frame, after);
    } else if (strcmp(type, "gap") == 0) {
        view_event(watch->view, event_of("gap", frame, GAP));
    } else if (strcmp(type, "noted") == 0 && after->outcome_count < watch->before.outcome_count) {
        view_event(watch->view, event_of("noted", frame, NOTED));
    } else if (strcmp(type, "state") == 0) {
        view_event(watch->view, event_of("state", frame, STATE));
    }
}

void watch_before(struct watch *watch, const struct core_report *before)
{
    watch->before = *before;
}

void watch_after(struct watch *watch, const char *text, size_t length, const struct core_report *after)
{
    static const char *const ERROR[] = {"code", "message", NULL};
    char error[JSON_ERROR_SIZE];
    json_t *frame = text != NULL ? json_read(text, length, DEPTH_MOST, error) : NULL;
    const char *type = json_text(frame, "type");
    bool open = after->link == CORE_LINK_SESSION || after->link == CORE_LINK_WELCOME;
    if (type != NULL && open && strcmp(type, "error") == 0) {
        view_event(watch->view, event_of("error", frame, ERROR));
    } else if (type != NULL && after->link == CORE_LINK_SESSION) {
        take_frame(watch, type, frame, after);
    }
    watch->before = *after;
    json_decref(frame);
}

/* ---- the end of a session ------------------------------------------------------------------------------------------------------------ */

void watch_closing(struct watch *watch, unsigned code, const char *reason)
{
    const char *event = code == 4002   ? "relay_not_proven"
                        : code == 4012 ? "frame_not_proven"
                                       : "protocol_error";
    watch->code_closing = code;
    snprintf(watch->why_closing, sizeof(watch->why_closing), "%s", reason);
    view_event(watch->view, json_pack("{ssss}", "event", event, "message", reason));
}

void watch_disconnected(struct watch *watch, unsigned code, const char *why, const struct core_report *after)
{
    bool ours = watch->why_closing[0] != '\0';
    const char *reason = ours ? watch->why_closing : why;
    code = ours ? watch->code_closing : code;
    if (after->link == CORE_LINK_RETIRED) {
        view_event(watch->view,
                   json_pack("{sssIss}", "event", "retired", "code", (json_int_t)code, "reason", reason));
    } else {
        view_event(watch->view, json_pack("{sssIsssI}", "event", "waiting", "code", (json_int_t)code,
                                          "reason", reason, "delay_ms", (json_int_t)after->retry_ms));
    }
    watch->why_closing[0] = '\0';
}

void watch_store(struct watch *watch, const struct core_report *report, int why)
{
    if (report->store_failures != watch->store_failures) {
        view_event(watch->view, json_pack("{ssssss}", "event", "store_failed", "state", watch->state, "why",
                                          strerror(why)));
    }
    watch->store_failures = report->store_failures;
}
