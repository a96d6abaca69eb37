/* What passes between a session and its device beside payments: config, state, status. */
#define LOG_MODULE "push"
#include "push/device.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device_state.h"
#include "store/proofs.h"
#include "store/reconcile.h"

#define STATUS_PAUSE_NS 1000000000

static const char BACKLOG[] = "backlog", CAUGHT_UP[] = "ok";

void device_take_config(struct device *device, uint64_t version, const char *config)
{
    /* A change that was on its way while the session began is in its welcome already. */
    if (version <= device->config_version || !device_has_room(device)) {
        return;
    }
    device->config_before = device->config_version;
    device->config_version = version;
    char *text = cs_alloc(device_frame_room(config));
    size_t length = device_frame_config(text, version, config);
    device_send(device, SENT_CONFIG, text, length);
    free(text);
}

/* ---- state --------------------------------------------------------------------------------------------- */

/* Whether it says the same as what the device was told last. */
static bool is_told(const struct device *device, const struct device_standing *standing)
{
    const struct device_standing *told = &device->standing;
    return told->reason != NULL && told->caught_up == standing->caught_up &&
           told->payable == standing->payable && strcmp(told->reason, standing->reason) == 0;
}

static bool is_settled(const struct device *device)
{
    const struct device_standing *told = &device->standing;
    return told->reason != NULL && told->payable && strcmp(told->reason, BACKLOG) != 0;
}

static struct device_standing standing_of(const struct device *device, bool lasting)
{
    const char *not_payable =
        device->push->not_payable != NULL ? device->push->not_payable : device->not_payable;
    /* For a payment or two a page is under way and done within milliseconds: not worth two frames each time. */
    bool backlog = device->outbox.next_seq <= device->outbox.head && (lasting || !is_settled(device));
    struct device_standing standing = {.caught_up = !backlog && device->unproven == NULL,
                                       .payable = not_payable == NULL};
    standing.reason = not_payable != NULL        ? not_payable
                      : backlog                  ? BACKLOG
                      : device->unproven != NULL ? device->unproven
                                                 : CAUGHT_UP;
    return standing;
}

/*
 * What is proven now counts at the next look, a second later: what was found before it was proven is in this session's mailbox at the
 * latest now, and has left it by then. What is not proven any more counts at once.
 */
void device_look_at_proof(struct device *device)
{
    const char *unproven = store_device_unproven(device->push->store, device->store.device);
    device->unproven = unproven != NULL ? unproven : device->unproven_before;
    device->unproven_before = unproven;
    device->not_payable = store_device_not_payable(device->push->store, device->store.device);
}

void device_tell_state(struct device *device, bool lasting)
{
    struct device_standing standing = standing_of(device, lasting);
    if (is_told(device, &standing) || session_queued(device->session) >= DEVICE_QUEUE_PAUSE) {
        return; /* a device that does not read is told when it does */
    }
    device->standing = standing;
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_state(text, standing.caught_up, standing.payable, standing.reason);
    device_send(device, SENT_STATE, text, length);
}

/* ---- status -------------------------------------------------------------------------------------------- */

void device_take_status(struct device *device, const struct device_status *said)
{
    struct store_status *status = &device->status;
    status->uptime_s = said->uptime_s;
    status->rssi = said->rssi;
    status->remaining_s = said->remaining_s;
    status->relay_on = said->relay_on;
    if (said->has_config_version) {
        status->config_version = said->config_version;
    }
    device->status_waiting = true;
    device_note_status(device);
}

void device_note_status(struct device *device)
{
    uint64_t now_ns = clock_monotonic_ns();
    if (!device->status_waiting ||
        (device->status_noted_ns != 0 && now_ns - device->status_noted_ns < STATUS_PAUSE_NS)) {
        return;
    }
    device->status_noted_ns = now_ns;
    device->status_waiting = false;
    device->status.at_ms = clock_wall_ms();
    store_note_status(device->push->store, device->store.device, &device->status);
}
