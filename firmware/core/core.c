#include "core/core.h"

#include <string.h>

#include "core/frame.h"
#include "core/memory.h"
#include "core/screen.h"
#include "core/session.h"
#include "core/store.h"
#include "core/tariff.h"
#include "core/text.h"
#include "core/work.h"

#define SLOWLY        20 /* after this many failures the delays are at their longest */
#define CLOSE_RETIRED 4007
#define FIRST_CONNECT_MS                                                                                     \
    2000 /* after power comes back to a whole street, its meters do not all connect at once */

/* ---- credit ---------------------------------------------------------------------------------------------------------- */

void core_credit_switch(struct core *core)
{
    bool on = core->remaining_ms > 0;
    if (on) {
        core_store_book(core); /* nothing runs that is still in the store */
    }
    if (on != core->on) {
        core->on = on;
        core->session.status_due = true;
        core->port->actuate(core->port->context, on);
    }
}

static void credit_count(struct core *core, uint32_t elapsed_ms)
{
    if (core->on) {
        core->remaining_ms -= elapsed_ms < core->remaining_ms ? elapsed_ms : core->remaining_ms;
    }
    core_credit_switch(core);
}

/* Both were made on zeros: behind a line's end they are alike, too. */
static bool is_same(const struct core_screen *a, const struct core_screen *b)
{
    return a->kind == b->kind && a->remaining_s == b->remaining_s && a->line_count == b->line_count &&
           memcmp(a->lines, b->lines, sizeof(a->lines)) == 0 && memcmp(a->qr, b->qr, sizeof(a->qr)) == 0;
}

static void show(struct core *core)
{
    struct core_screen screen;
    core_screen_make(core, &screen);
    if (!is_same(&screen, &core->screen)) {
        core->screen = screen;
        core->port->display(core->port->context, &core->screen);
    }
}

/* ---- the connection ---------------------------------------------------------------------------------------------------- */

/* A close frame proves nothing: with these codes trying again soon would not help, whoever sent it. */
static bool is_for_an_operator(unsigned code)
{
    static const uint16_t CODES[] = {4000, 4001, 4002, 4004, 4005, 4006, 4007, 4011};
    for (size_t i = 0; i < sizeof(CODES) / sizeof(CODES[0]); i++) {
        if (CODES[i] == code) {
            return true;
        }
    }
    return false;
}

static uint32_t random_below(struct core *core, uint32_t limit)
{
    uint8_t bytes[4];
    core->port->random(core->port->context, bytes, sizeof(bytes));
    uint32_t number =
        (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return number % limit;
}

/* Random, between a half and the whole of a ceiling that doubles. */
static void wait_to_retry(struct core *core)
{
    uint32_t ceiling_ms = CORE_BACKOFF_MS;
    for (uint32_t i = 0; i < core->failures && ceiling_ms < CORE_BACKOFF_MOST_MS; i++) {
        ceiling_ms *= 2;
    }
    if (ceiling_ms > CORE_BACKOFF_MOST_MS) {
        ceiling_ms = CORE_BACKOFF_MOST_MS;
    }
    core->retry_ms = ceiling_ms / 2 + random_below(core, ceiling_ms / 2 + 1);
    core->failures++;
}

void core_link_drop(struct core *core, unsigned code, const char *why)
{
    core->link = CORE_LINK_CLOSING;
    core->tried = true;
    core->close_code = code;
    core_text_copy_word(core->last_error, sizeof(core->last_error), why);
    core->port->close(core->port->context, code, why);
}

static void take_challenge(struct core *core, const char *text, size_t length)
{
    if (core->frame.type != CORE_FRAME_CHALLENGE) {
        core_link_drop(core, CLOSE_PROTOCOL, "unexpected");
        return;
    }
    const char *why = core_session_take_challenge(core, text, length);
    if (why != NULL) {
        core_link_drop(core, CLOSE_NOT_KNOWN, why);
        return;
    }
    core->link = CORE_LINK_HELLO;
}

/* Nothing before the welcome is proved: an error is noted for whoever looks after the meter, and the relay closes. */
static void take_answer(struct core *core, const char *text, size_t length)
{
    if (core->frame.type == CORE_FRAME_ERROR) {
        memcpy(core->last_error, core->frame.word, sizeof(core->last_error));
        return;
    }
    if (core->frame.type != CORE_FRAME_WELCOME) {
        core_link_drop(core, CLOSE_PROTOCOL, "unexpected");
        return;
    }
    const char *why = core_session_take_welcome(core, text, length);
    if (why != NULL) {
        core_link_drop(core, CLOSE_NOT_KNOWN, why);
        return;
    }
    core_take_welcome(core);
}

/* A sealed frame is proved before anything of it is read. */
static void take_text(struct core *core, const char *text, size_t length)
{
    if (core->link == CORE_LINK_SESSION && !core_session_open(core, text, length)) {
        core_link_drop(core, CLOSE_BAD_MAC, "bad_mac");
    } else if (!core_frame_read(core, text, length)) {
        core_link_drop(core, CLOSE_PROTOCOL, "malformed");
    } else if (core->link == CORE_LINK_CHALLENGE) {
        take_challenge(core, text, length);
    } else if (core->link == CORE_LINK_WELCOME) {
        take_answer(core, text, length);
    } else if (core->link == CORE_LINK_SESSION) {
        core_take_frame(core);
    } else {
        core_link_drop(core, CLOSE_PROTOCOL, "unexpected"); /* before our hello has left */
    }
}

static bool is_open(const struct core *core)
{
    switch (core->link) {
    case CORE_LINK_CHALLENGE:
    case CORE_LINK_HELLO:
    case CORE_LINK_WELCOME:
    case CORE_LINK_SESSION:
        return true;
    case CORE_LINK_DOWN:
    case CORE_LINK_CONNECTING:
    case CORE_LINK_CLOSING:
    case CORE_LINK_RETIRED:
        return false;
    }
    return false;
}

/* ---- time ---------------------------------------------------------------------------------------------------------------- */

static uint32_t less(uint32_t time_ms, uint32_t elapsed_ms)
{
    return time_ms > elapsed_ms ? time_ms - elapsed_ms : 0;
}

/* What a tick counts. A clock that goes back counts nothing, one that leaps counts little; either is told. */
static uint32_t elapsed(struct core *core, uint32_t now_ms)
{
    uint32_t elapsed_ms = now_ms - core->now_ms;
    core->now_ms = now_ms;
    if (elapsed_ms <= CORE_TICK_MOST_MS) {
        return elapsed_ms;
    }
    core->clock_jumps++;
    return elapsed_ms <= INT32_MAX ? CORE_TICK_MOST_MS : 0;
}

static void tick_session(struct core *core, uint32_t elapsed_ms)
{
    struct core_session *session = &core->session;
    session->since_ms =
        session->since_ms < UINT32_MAX - elapsed_ms ? session->since_ms + elapsed_ms : UINT32_MAX;
    if (core->link != CORE_LINK_SESSION) {
        if (session->since_ms > CORE_HANDSHAKE_MS) {
            core_link_drop(core, CLOSE_TIMEOUT, "handshake_timeout");
        }
        return;
    }
    session->status_ms = less(session->status_ms, elapsed_ms);
    session->status_due = session->status_due || session->status_ms == 0;
    session->repeat_ms = less(session->repeat_ms, elapsed_ms);
    if (session->repeat_ms == 0) {
        session->said = 0; /* all that is there still was not noted */
    }
}

/* A store that cannot be read has to be readable again first: without it every payment would look new. */
static void tick_down(struct core *core, uint32_t elapsed_ms)
{
    core->retry_ms = less(core->retry_ms, elapsed_ms);
    if (core->retry_ms > 0) {
        return;
    }
    if (core->store.lost && !core_store_load(core)) {
        wait_to_retry(core);
        return;
    }
    core->store.lost = false;
    core->link = CORE_LINK_CONNECTING;
    core->port->connect(core->port->context);
}

void core_on_tick(struct core *core, uint32_t now_ms)
{
    uint32_t elapsed_ms = elapsed(core, now_ms);
    core->up_ms += elapsed_ms;
    core->notice.left_ms = less(core->notice.left_ms, elapsed_ms);
    core->added_ms = less(core->added_ms, elapsed_ms);
    core->store.wait_ms = less(core->store.wait_ms, elapsed_ms);
    credit_count(core, elapsed_ms);
    if (core->link == CORE_LINK_DOWN) {
        tick_down(core, elapsed_ms);
    } else if (is_open(core)) {
        tick_session(core, elapsed_ms);
    }
    core_out_flush(core);
    show(core);
}

/* ---- the connection's entry points ----------------------------------------------------------------------------------------- */

void core_on_connect(struct core *core)
{
    memset(&core->session, 0, sizeof(core->session));
    core->link = CORE_LINK_CHALLENGE;
    show(core);
}

void core_on_message(struct core *core, const char *text, size_t length)
{
    if (!is_open(core)) {
        return;
    }
    if (text == NULL || length > CORE_MESSAGE_SIZE) {
        core_link_drop(core, CLOSE_PROTOCOL, "bad_message");
    } else {
        take_text(core, text, length);
    }
    core_out_flush(core);
    show(core);
}

void core_on_disconnect(struct core *core, unsigned code)
{
    struct core_session *session = &core->session;
    bool proved = session->retired || core->identity.token[0] != '\0';
    if (core->link == CORE_LINK_CLOSING) {
        code = core->close_code;
    } else if (core->link == CORE_LINK_SESSION && session->since_ms >= CORE_SETTLED_MS) {
        core->failures = 0;
    }
    if (is_for_an_operator(code) && core->failures < SLOWLY) {
        core->failures = SLOWLY;
    }
    core->link = code == CLOSE_RETIRED && proved ? CORE_LINK_RETIRED : CORE_LINK_DOWN;
    core->payable = core->caught_up = false;
    core->tried = true;
    memset(session, 0, sizeof(*session)); /* its keys, too */
    wait_to_retry(core);
    show(core);
}

/* ---- beginning --------------------------------------------------------------------------------------------------------------- */

/* What goes into a JSON string as it is. */
static bool is_plain(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0') {
            return true;
        }
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    return false;
}

static bool is_usable(const struct core_identity *identity)
{
    bool by_token = identity->token[0] != '\0';
    return is_plain(identity->device, CORE_DEVICE_SIZE) && identity->device[0] != '\0' &&
           is_plain(identity->firmware, CORE_FIRMWARE_SIZE) && is_plain(identity->token, CORE_TOKEN_SIZE) &&
           identity->relay_key_count <= 2 && by_token == (identity->relay_key_count == 0) &&
           identity->address_count <= CORE_ADDRESSES_MOST;
}

bool core_init(struct core *core, const struct core_port *port, const struct core_crypto *crypto,
               const struct core_identity *identity, uint32_t now_ms)
{
    if (!is_usable(identity)) {
        return false;
    }
    memset(core, 0, sizeof(*core));
    core->port = port;
    core->crypto = crypto;
    core->identity = *identity;
    core->now_ms = now_ms;
    if (!core_tariff_settle(&core->identity.tariff)) {
        return false;
    }
    port->actuate(port->context, false);
    (void)core_store_load(
        core); /* nothing there: a new meter, or one whose store is gone; the relay says where it goes on */
    core->remaining_ms = core->memory.stored_ms;
    core->retry_ms = 1 + random_below(core, FIRST_CONNECT_MS);
    core_credit_switch(core);
    core_screen_make(core, &core->screen);
    port->display(port->context, &core->screen);
    return true;
}

void core_report(const struct core *core, struct core_report *report)
{
    const struct core_memory *memory = &core->memory;
    *report = (struct core_report){
        .link = core->link,
        .seq = memory->seq,
        .granted_s = memory->granted_s,
        .remaining_ms = core->remaining_ms,
        .stored_ms = memory->stored_ms,
        .config_version = memory->current.version,
        .outcome_count = memory->outcome_count,
        .retry_ms = core->link == CORE_LINK_DOWN ? core->retry_ms : 0,
        .clock_jumps = core->clock_jumps,
        .store_failures = core->store.failures,
        .on = core->on,
        .payable = core_screen_takes_payments(core),
        .caught_up = core->caught_up,
    };
    memcpy(report->epoch, memory->epoch, sizeof(report->epoch));
    memcpy(report->state_reason, core->state_reason, sizeof(report->state_reason));
    memcpy(report->last_error, core->last_error, sizeof(report->last_error));
}
