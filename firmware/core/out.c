/* What leaves: all of it follows from the state, so that what found no room is simply still due. */
#include <assert.h>

#include "core/session.h"
#include "core/text.h"
#include "core/work.h"

#define REPEAT_MS 60000 /* what was not noted by then is said again */

static bool offer(struct core *core, const struct core_text *text)
{
    return core->port->send(core->port->context, text->bytes, text->length);
}

/* Sealed. A frame that does not leave keeps its number for the next one. */
static bool send_frame(struct core *core, struct core_text *text)
{
    core_session_seal(core, text);
    if (!offer(core, text)) {
        return false;
    }
    core_session_sent(core);
    return true;
}

static struct core_text begin(struct core *core, const char *type)
{
    struct core_text text = core_text_in(core->out, sizeof(core->out));
    core_text_add(&text, "{\"type\":\"");
    core_text_add(&text, type);
    core_text_add(&text, "\"");
    return text;
}

static void add_number(struct core_text *text, const char *name, uint64_t number)
{
    core_text_add(text, ",\"");
    core_text_add(text, name);
    core_text_add(text, "\":");
    core_text_add_number(text, number);
}

static bool send_ack(struct core *core)
{
    struct core_text text = begin(core, "ack");
    add_number(&text, "seq", core->memory.seq);
    core_text_add(&text, "}");
    return send_frame(core, &text);
}

static bool send_outcome(struct core *core, const struct core_outcome *outcome)
{
    bool refused = (outcome->value & CORE_VALUE_REFUSED) != 0;
    struct core_text text = begin(core, refused ? "refused" : "actuated");
    add_number(&text, "seq", outcome->seq);
    if (refused) {
        core_text_add(&text, ",\"reason\":\"");
        core_text_add(&text, core_reason_text((enum core_reason)(outcome->value & ~CORE_VALUE_REFUSED)));
        core_text_add(&text, "\"}");
    } else {
        add_number(&text, "seconds", outcome->value);
        core_text_add(&text, "}");
    }
    return send_frame(core, &text);
}

static bool send_status(struct core *core)
{
    struct core_text text = begin(core, "status");
    int dbm;
    add_number(&text, "uptime_s", core->up_ms / 1000);
    if (core->port->rssi != NULL && core->port->rssi(core->port->context, &dbm) && dbm >= INT16_MIN &&
        dbm <= INT16_MAX) {
        core_text_add(&text, dbm < 0 ? ",\"rssi\":-" : ",\"rssi\":");
        core_text_add_number(&text, (uint64_t)(dbm < 0 ? -dbm : dbm));
    }
    core_text_add(&text, core->on ? ",\"relay_on\":true" : ",\"relay_on\":false");
    add_number(&text, "remaining_s", core->remaining_ms / 1000);
    add_number(&text, "config_version", core->memory.current.version);
    core_text_add(&text, "}");
    return send_frame(core, &text);
}

static bool flush_outcomes(struct core *core)
{
    struct core_session *session = &core->session;
    for (unsigned i = 0; i < core->memory.outcome_count; i++) {
        const struct core_outcome *outcome = &core->memory.outcomes[i];
        if (outcome->seq <= session->said) {
            continue;
        }
        if (!send_outcome(core, outcome)) {
            return false;
        }
        session->said = outcome->seq;
        session->repeat_ms = REPEAT_MS;
    }
    return true;
}

void core_out_ack(struct core *core)
{
    if (core->link == CORE_LINK_SESSION && core->session.ack_due) {
        core->session.ack_due = !send_ack(core);
    }
}

void core_out_flush(struct core *core)
{
    struct core_session *session = &core->session;
    if (core->link == CORE_LINK_HELLO) {
        const struct core_text hello = {session->hello, sizeof(session->hello), session->hello_length};
        core->link = offer(core, &hello) ? CORE_LINK_WELCOME : CORE_LINK_HELLO;
    }
    core_out_ack(core);
    if (core->link != CORE_LINK_SESSION || session->ack_due) {
        return;
    }
    if (flush_outcomes(core) && session->status_due && send_status(core)) {
        session->status_due = false;
        session->status_ms = CORE_STATUS_MS;
    }
}
