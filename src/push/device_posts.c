/* What the store tells a session. */
#define LOG_MODULE "push"
#include "push/device.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device_state.h"

/*
 * A payment is priced by the version that it names. It comes with the text of one that was not the current one when its page was marked;
 * should two changes have overtaken the page, a new one brings it with the text.
 */
static bool can_be_priced(const struct device *device, const struct store_delivery *delivery)
{
    uint64_t version = delivery->config_version;
    return version == 0 || delivery->config != NULL || version == device->config_version ||
           version == device->config_before;
}

/* True when it was sent. */
static bool offer_payment(struct device *device, const struct store_delivery *delivery)
{
    if (!can_be_priced(device, delivery)) {
        outbox_raise(&device->outbox, delivery->seq);
        return false;
    }
    if (!outbox_offer(&device->outbox, delivery->seq, delivery->seq) || !device_has_room(device)) {
        return false;
    }
    char small[DEVICE_FRAME_SIZE];
    size_t room = device_frame_payment_room(delivery);
    char *text = room > sizeof(small) ? cs_alloc(room) : small;
    size_t length = device_frame_payment(text, delivery, clock_wall_ms(), &device->push->body);
    device_send(device, SENT_PAYMENT, text, length);
    if (text != small) {
        free(text);
    }
    return true;
}

/* One ack at a time is timed, as TCP does it (RFC 6298, section 3): it needs no memory for each payment that is out. */
static void offer_live(struct device *device, const struct store_delivery *delivery)
{
    if (!offer_payment(device, delivery)) {
        return;
    }
    uint64_t now_ns = store_observe_stage(device->push->store, STORE_STAGE_PUSH, delivery->committed_ns);
    if (device->timed_seq == 0) {
        device->timed_seq = delivery->seq;
        device->timed_ns = now_ns;
    }
}

struct gap {
    uint64_t from, to; /* from 0: none */
    char reason[STORE_REASON_SIZE];
};

static void offer_gap(struct device *device, struct gap *gap)
{
    if (gap->from == 0) {
        return;
    }
    /* What went out from memory meanwhile is no gap. */
    uint64_t from = gap->from > device->outbox.next_seq ? gap->from : device->outbox.next_seq;
    if (from <= gap->to && outbox_offer(&device->outbox, from, gap->to) && device_has_room(device)) {
        char text[DEVICE_FRAME_SIZE];
        size_t length = device_frame_gap(text, from, gap->to, gap->reason);
        device_send(device, SENT_GAP, text, length);
    }
    gap->from = 0;
}

/* Joins seq to the gap before it when their reason is the same, else sends that one first. */
static void widen_gap(struct device *device, struct gap *gap, uint64_t seq, const char *reason)
{
    if (gap->from != 0 && strcmp(gap->reason, reason) != 0) {
        offer_gap(device, gap);
    }
    if (gap->from == 0) {
        gap->from = seq;
        snprintf(gap->reason, sizeof(gap->reason), "%s", reason);
    }
    gap->to = seq;
}

static void take_page(struct device *device, const struct post *post)
{
    uint64_t next = post->page.from;
    struct gap gap = {0};
    for (size_t i = 0; i < post->count && device->phase == DEVICE_LIVE; i++) {
        const struct store_delivery *delivery = &post->deliveries[i];
        assert(delivery->seq >= next && delivery->seq <= post->page.to);
        if (delivery->seq > next) {
            /* A newer session has acked what is missing, between the marking and the reading: this one is about to be fenced. */
            break;
        }
        if (delivery->state == DELIVERY_EXPIRED) {
            widen_gap(device, &gap, delivery->seq, delivery->reason);
        } else {
            offer_gap(device, &gap);
            (void)offer_payment(device, delivery);
        }
        next = delivery->seq + 1;
    }
    if (device->phase == DEVICE_LIVE) {
        offer_gap(device, &gap);
    }
    outbox_page_done(&device->outbox, post->page.head);
    if (post->page.to < post->page.from && device->phase == DEVICE_LIVE) {
        /* The writer's window is behind ours, so an ack was lost to a full disk: say it again, after a pause.
         */
        device_wait_ack(device, device->outbox.acked);
        device_stall(device);
    }
    device_advance(device);
}

static void take_begun(struct push *push, struct device *device, const struct post *post)
{
    if (device == NULL || device->phase != DEVICE_BEGINNING) {
        if (post->err == CS_OK) {
            device_end_in_store(push,
                                &post->begun.session); /* the connection went while the store was asked */
        }
        return;
    }
    if (post->err != CS_OK) {
        device_refuse_begin(device, post->err);
        return;
    }
    const struct store_begun *begun = &post->begun;
    device->store = begun->session;
    device->phase = DEVICE_LIVE;
    device->unproven_before = "unproven"; /* whatever the store says: not before a second look */
    device_look_at_proof(device);
    outbox_init(&device->outbox, begun->acked, begun->head, begun->window);
    metrics_add(push->counters.opened, 1);
    atomic_fetch_add_explicit(&push->counters.sessions, 1, memory_order_relaxed);
    device_welcome(device, begun, post->config);
    if (begun->gap_to != 0) {
        char text[DEVICE_FRAME_SIZE];
        size_t length = device_frame_gap(text, begun->gap_from, begun->gap_to, "store_rolled_back");
        device_send(device, SENT_GAP, text, length);
    }
    device_note_status(device);
    device_advance(device);
}

static void take_ended(struct device *device, const char *reason)
{
    if (strcmp(reason, "retired") == 0) {
        device_fail_with(device, DEVICE_CLOSE_RETIRED, false, "retired", "this device is retired for good");
    } else if (strcmp(reason, "disabled") == 0) {
        device_fail_with(device, DEVICE_CLOSE_DISABLED, false, "disabled",
                         "an operator has disabled this device; its payments wait");
    } else {
        device_fail_with(device, DEVICE_CLOSE_FENCED, false, "fenced",
                         "a newer session of this device has begun");
    }
}

static void take_outcome(struct device *device, const struct post *post)
{
    device->outcomes_out--;
    if (post->err == CS_OK) {
        if (device_has_room(device)) {
            char text[DEVICE_FRAME_SIZE];
            size_t length = device_frame_noted(text, post->seq);
            device_send(device, SENT_NOTED, text, length);
        }
    } else if (post->err == CS_ENOTFOUND) {
        device_break_protocol(device, "unknown_seq", "nothing was ever sent under this \"seq\"");
    } else {
        device_wait_ack(device,
                        post->seq); /* not committed: the device repeats the outcome, but not the ack in it */
    }
    device_advance(device);
}

void device_take_post(struct push *push, const struct post *post)
{
    struct device *device = session_find(push, post->handle);
    if (post->kind == POST_BEGUN) {
        take_begun(push, device, post);
        return;
    }
    if (device == NULL || device->phase != DEVICE_LIVE) {
        return;
    }
    /* An outcome's answer names no generation: a handle has one session in its life. */
    if (post->kind != POST_OUTCOME && post->generation != device->store.generation) {
        return;
    }
    switch (post->kind) {
    case POST_BEGUN:
        return;
    case POST_OUTCOME:
        take_outcome(device, post);
        return;
    case POST_LIVE:
        offer_live(device, &post->deliveries[0]);
        device_advance(device);
        return;
    case POST_RAISED:
        outbox_raise(&device->outbox, post->head);
        device_advance(device);
        return;
    case POST_ENDED:
        take_ended(device, post->reason);
        return;
    case POST_PAGE:
        take_page(device, post);
        return;
    case POST_CONFIG:
        device_take_config(device, post->version, post->config);
        return;
    }
}
