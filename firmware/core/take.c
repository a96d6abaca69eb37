/* What the relay says, done. All that a frame changes is in the record before any of it is acked or shown. */
#include <string.h>

#include "core/config.h"
#include "core/memory.h"
#include "core/proof.h"
#include "core/store.h"
#include "core/tariff.h"
#include "core/text.h"
#include "core/work.h"

/* It is tried again with the next session, and a close with this code makes that a later one. */
static void drop_unsaved(struct core *core)
{
    core_link_drop(core, CLOSE_PROTOCOL, "store");
}

static void enter_session(struct core *core)
{
    struct core_session *session = &core->session;
    core->link = CORE_LINK_SESSION;
    session->since_ms = 0;
    session->status_due = true;
}

/*
 * The relay goes on after `last_acked`: below what is known here it would send what is taken for repeats, and lost. Above it, this memory was
 * set back; what lies between was given to the meter's earlier self.
 */
void core_take_welcome(struct core *core)
{
    struct core_memory *memory = &core->memory;
    const struct core_frame *frame = &core->frame;
    bool changed =
        core->store.failing; /* whether it can be written again is to be known before anybody pays */
    if (frame->last_acked < memory->seq) {
        core_link_drop(core, CLOSE_PROTOCOL, "behind");
        return;
    }
    if (strcmp(memory->epoch, core->session.epoch) != 0) {
        core_memory_take_epoch(memory, core->session.epoch);
        changed = true;
    }
    changed = changed || frame->last_acked > memory->seq;
    memory->seq = frame->last_acked;
    if (frame->has_config && core_memory_take_config(memory, &frame->config)) {
        changed = true;
    }
    if (changed && !core_store_save(core, 0)) {
        drop_unsaved(core);
        return;
    }
    enter_session(core);
}

/* ---- payments ------------------------------------------------------------------------------------------------------- */

/* False: the payment names a config that is not known here. After a new welcome the relay sends it along. */
static bool find_tariff(const struct core *core, struct core_tariff *tariff)
{
    static const struct core_config NONE = {.version = 0};
    const struct core_frame *frame = &core->frame;
    const struct core_memory *memory = &core->memory;
    const struct core_config *config = NULL;
    if (frame->config_version == 0) {
        config = &NONE;
    } else if (frame->has_config) {
        config = &frame->config;
    } else if (frame->config_version == memory->current.version) {
        config = &memory->current;
    } else if (frame->config_version == memory->before.version) {
        config = &memory->before;
    }
    if (config == NULL) {
        return false;
    }
    core_config_tariff(&core->identity, config, tariff);
    return true;
}

/* What to do with a payment that is new here, as it is kept. */
static uint32_t judge(const struct core *core, const struct core_tariff *tariff)
{
    const struct core_payment *payment = &core->frame.payment;
    uint32_t seconds = 0;
    enum core_reason reason = payment->own_coin ? CORE_GRANTED : CORE_UNKNOWN_ASSET;
    if (reason == CORE_GRANTED && core->identity.proof) {
        reason = core_proof_check(core);
    }
    if (reason == CORE_GRANTED) {
        reason = core_tariff_price(tariff, payment->amount, payment->age_s, &seconds);
    }
    return reason == CORE_GRANTED ? seconds : CORE_VALUE_REFUSED | (uint32_t)reason;
}

static void notice_refusal(struct core *core, uint32_t value, const struct core_tariff *tariff)
{
    struct core_notice *notice = &core->notice;
    *notice = (struct core_notice){.left_ms = CORE_NOTICE_MS,
                                   .reason = (enum core_reason)(value & ~CORE_VALUE_REFUSED)};
    notice->least = core_tariff_least(tariff);
    if (!amount_subtract(notice->least, core->frame.payment.amount, &notice->missing)) {
        notice->missing = notice->least;
    }
}

static void notice_grant(struct core *core, uint32_t seconds)
{
    core->notice.left_ms = 0;
    if (core->on) {
        core->added_s = seconds;
        core->added_ms = CORE_ADDED_MS;
    }
}

static void take_new_payment(struct core *core, const struct core_tariff *tariff)
{
    struct core_memory *memory = &core->memory;
    const struct core_payment *payment = &core->frame.payment;
    uint8_t key[CORE_PAYMENT_KEY];
    uint32_t value, credit_s = 0;
    core_memory_payment_key(core->crypto, payment->hash, payment->output, key);
    bool is_new = !core_memory_find(memory, key, &value);
    if (is_new) {
        value = judge(core, tariff);
        core_memory_know(memory, key, value);
        credit_s = (value & CORE_VALUE_REFUSED) != 0 ? 0 : value;
    }
    memory->seq = core->frame.seq;
    core_memory_keep_outcome(memory, core->frame.seq, value);
    if (!core_store_save(core, 1000 * (uint64_t)credit_s)) {
        drop_unsaved(core);
        return;
    }
    if (credit_s > 0) {
        notice_grant(core, credit_s);
    } else if (is_new) {
        notice_refusal(core, value, tariff);
    }
}

static void take_payment(struct core *core)
{
    struct core_tariff tariff;
    core->session.ack_due = true;
    if (core->frame.seq <= core->memory.seq) {
        return; /* the relay has not heard the ack */
    }
    if (core->frame.seq - core->memory.seq > 1) {
        core_link_drop(core, CLOSE_PROTOCOL, "hole");
        return;
    }
    if (!find_tariff(core, &tariff)) {
        core_link_drop(core, CLOSE_PROTOCOL, "unknown_config");
        return;
    }
    take_new_payment(core, &tariff);
    if (core->link != CORE_LINK_SESSION) {
        return;
    }
    core_out_ack(core); /* then it switches on, and says so after that */
    core_credit_switch(core);
}

/* ---- the others -------------------------------------------------------------------------------------------------------- */

/* At or below what is known here it tells that a store was rolled back, and moves nothing. */
static void take_gap(struct core *core)
{
    const struct core_frame *frame = &core->frame;
    if (frame->from > frame->to || frame->from > core->memory.seq + 1) {
        core_link_drop(core, CLOSE_PROTOCOL, "hole");
        return;
    }
    core->session.ack_due = true;
    if (frame->to > core->memory.seq) {
        core->memory.seq = frame->to;
        if (!core_store_save(core, 0)) {
            drop_unsaved(core);
        }
    }
}

static void take_config(struct core *core)
{
    if (core_memory_take_config(&core->memory, &core->frame.config) && !core_store_save(core, 0)) {
        drop_unsaved(core);
    }
}

static void take_error(struct core *core)
{
    memcpy(core->last_error, core->frame.word, sizeof(core->last_error));
    core->session.retired = core->session.retired || strcmp(core->frame.word, "retired") == 0;
}

void core_take_frame(struct core *core)
{
    switch (core->frame.type) {
    case CORE_FRAME_PAYMENT:
        take_payment(core);
        break;
    case CORE_FRAME_GAP:
        take_gap(core);
        break;
    case CORE_FRAME_NOTED:
        /* Not worth a write: losing it costs a repeat, which changes nothing. It is in the next record. */
        core_memory_drop_outcome(&core->memory, core->frame.seq);
        break;
    case CORE_FRAME_CONFIG:
        take_config(core);
        break;
    case CORE_FRAME_STATE:
        core->payable = core->frame.payable;
        core->caught_up = core->frame.caught_up;
        memcpy(core->state_reason, core->frame.word, sizeof(core->state_reason));
        break;
    case CORE_FRAME_ERROR:
        take_error(core);
        break;
    case CORE_FRAME_CHALLENGE:
    case CORE_FRAME_WELCOME:
        core_link_drop(core, CLOSE_PROTOCOL, "unexpected");
        break;
    case CORE_FRAME_UNKNOWN:
        break; /* of a later version */
    }
}
