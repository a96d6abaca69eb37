/* What passes between a session and its device beside payments: config, state, status. */
#define LOG_MODULE "push"
#include "push/device.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/device_state.h"

#define STATUS_PAUSE_NS 1000000000

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

static const struct {
    bool payable;
    const char *reason;
} STANDINGS[] = {
    [STANDING_UNTOLD] = {false, ""},
    [STANDING_STORE_FULL] = {false, "store_full"},
    [STANDING_BACKLOG] = {true, "backlog"},
    [STANDING_UNPROVEN] = {true, "unproven"},
};

static enum device_standing standing_of(const struct device *device, bool lasting)
{
    if (!device->push->payable) {
        return STANDING_STORE_FULL;
    }
    bool waits = device->outbox.next_seq <= device->outbox.head;
    /* For a payment or two a page is under way and done within milliseconds: not worth two frames each time. */
    bool counts = lasting || device->standing != STANDING_UNPROVEN;
    return waits && counts ? STANDING_BACKLOG : STANDING_UNPROVEN;
}

/* Never caught up: that needs the device's addresses proven by the node's RPC, and no source does that yet. */
void device_tell_state(struct device *device, bool lasting)
{
    enum device_standing standing = standing_of(device, lasting);
    if (standing == device->standing || session_queued(device->session) >= DEVICE_QUEUE_PAUSE) {
        return; /* a device that does not read is told when it does */
    }
    device->standing = standing;
    char text[DEVICE_FRAME_SIZE];
    size_t length = device_frame_state(text, false, STANDINGS[standing].payable, STANDINGS[standing].reason);
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
