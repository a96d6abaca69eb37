/* What push counts, as /metrics shows it. */
#include "push/internal.h"

static int64_t read_sessions(void *context)
{
    const struct push_counters *counters = context;
    return atomic_load_explicit(&counters->sessions, memory_order_relaxed);
}

static int64_t read_waiting(void *context)
{
    const struct push_counters *counters = context;
    return atomic_load_explicit(&counters->waiting, memory_order_relaxed);
}

void push_counters_open(struct push_counters *counters, struct metrics *metrics)
{
    static const char *const REFUSED[DEVICE_CLOSE_COUNT] = {
        [DEVICE_CLOSE_GOING_AWAY] = "reason=\"going_away\"",
        [DEVICE_CLOSE_PROTOCOL] = "reason=\"protocol\"",
        [DEVICE_CLOSE_FENCED] = "reason=\"fenced\"",
        [DEVICE_CLOSE_UNAUTHORIZED] = "reason=\"unauthorized\"",
        [DEVICE_CLOSE_HELLO_TIMEOUT] = "reason=\"hello_timeout\"",
        [DEVICE_CLOSE_FRAME] = "reason=\"frame\"",
        [DEVICE_CLOSE_INSECURE] = "reason=\"insecure\"",
        [DEVICE_CLOSE_DISABLED] = "reason=\"disabled\"",
        [DEVICE_CLOSE_RETIRED] = "reason=\"retired\"",
        [DEVICE_CLOSE_BUSY] = "reason=\"busy\"",
        [DEVICE_CLOSE_SLOW] = "reason=\"slow\"",
        [DEVICE_CLOSE_BAD_MAC] = "reason=\"bad_mac\"",
    };
    static const char *const SENT[SENT_TYPE_COUNT] = {
        [SENT_CHALLENGE] = "type=\"challenge\"", [SENT_WELCOME] = "type=\"welcome\"",
        [SENT_PAYMENT] = "type=\"payment\"",     [SENT_GAP] = "type=\"gap\"",
        [SENT_NOTED] = "type=\"noted\"",         [SENT_CONFIG] = "type=\"config\"",
        [SENT_STATE] = "type=\"state\"",         [SENT_ERROR] = "type=\"error\"",
    };
    static const char *const RECEIVED[DEVICE_FRAME_TYPE_COUNT] = {
        [DEVICE_HELLO] = "type=\"hello\"",       [DEVICE_ACK] = "type=\"ack\"",
        [DEVICE_ACTUATED] = "type=\"actuated\"", [DEVICE_REFUSED] = "type=\"refused\"",
        [DEVICE_STATUS] = "type=\"status\"",
    };
    metrics_add_gauge(metrics, "coinslot_sessions", "", "Device sessions that are live.", read_sessions,
                      counters);
    metrics_add_gauge(metrics, "coinslot_connections_waiting", "",
                      "Connections to the WebSocket port that have not said who they are yet.", read_waiting,
                      counters);
    counters->opened = metrics_add_counter(metrics, "coinslot_sessions_opened_total", "",
                                           "Device sessions that were welcomed.");
    for (size_t i = 0; i < DEVICE_CLOSE_COUNT; i++) {
        counters->refused[i] =
            metrics_add_counter(metrics, "coinslot_sessions_refused_total", REFUSED[i],
                                "Connections that ended before a welcome, by the relay's doing.");
    }
    counters->refused_full =
        metrics_add_counter(metrics, "coinslot_sessions_refused_total", "reason=\"too_many\"", "");
    counters->refused_target =
        metrics_add_counter(metrics, "coinslot_sessions_refused_total", "reason=\"target\"", "");
    counters->refused_waiting =
        metrics_add_counter(metrics, "coinslot_sessions_refused_total", "reason=\"waiting\"", "");
    counters->refused_waiting_per_ip =
        metrics_add_counter(metrics, "coinslot_sessions_refused_total", "reason=\"waiting_per_ip\"", "");
    counters->refused_rate =
        metrics_add_counter(metrics, "coinslot_sessions_refused_total", "reason=\"handshakes_per_s\"", "");
    for (size_t i = 0; i < SENT_TYPE_COUNT; i++) {
        counters->sent[i] = metrics_add_counter(metrics, "coinslot_frames_sent_total", SENT[i],
                                                "Frames queued for devices, by type.");
    }
    for (size_t i = 0; i < DEVICE_FRAME_TYPE_COUNT; i++) {
        counters->received[i] = metrics_add_counter(metrics, "coinslot_frames_received_total", RECEIVED[i],
                                                    "Frames understood, by type.");
    }
    counters->protocol_errors = metrics_add_counter(metrics, "coinslot_protocol_errors_total", "",
                                                    "Sessions closed because a device broke the protocol.");
    counters->bad_macs = metrics_add_counter(
        metrics, "coinslot_bad_macs_total", "",
        "Sessions closed because a frame was forged, lost, repeated or re-ordered on its way from the device.");
}
