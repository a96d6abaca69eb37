#include "posix/meter.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/core_struct.h"
#include "posix/crypto.h"
#include "posix/identity.h"
#include "posix/link.h"
#include "posix/outputs.h"
#include "posix/pin.h"
#include "posix/slots.h"
#include "posix/view.h"
#include "posix/watch.h"

#define TICK_MS        250
#define FAREWELL_MS    2000 /* for the relay to close politely; then we go all the same */
#define CLOSE_STOPPING 1001
#define CODE_BROKE     1006 /* RFC 6455, 7.4.1: it was open, and no close frame came */
#define SIGNALS        4

struct meter {
    uv_loop_t loop;
    uv_timer_t tick, farewell;
    uv_signal_t signals[SIGNALS];
    bool on, connected, stopping, connect_wanted, pin_lost;
    int code;
    struct output output;
    struct pin pin;
    struct slots slots;
    struct crypto *crypto;
    struct link *link;
    struct view *view;
    struct watch watch;
    struct core_port port;
    struct core_crypto core_crypto;
    struct core core;
};

static uint32_t now_ms(void)
{
    return (uint32_t)(clock_monotonic_ns() / 1000000);
}

/* ---- what the core asks for ------------------------------------------------------------------------------------------------------- */

static size_t on_load(void *context, enum core_slot slot, uint8_t *bytes, size_t size)
{
    struct meter *meter = context;
    return slots_load(&meter->slots, slot, bytes, size);
}

static bool on_save(void *context, enum core_slot slot, const uint8_t *bytes, size_t length)
{
    struct meter *meter = context;
    return slots_save(&meter->slots, slot, bytes, length);
}

static void hold_pin(struct meter *meter)
{
    if (!pin_set(&meter->pin, meter->on && !meter->stopping) && !meter->pin_lost) {
        meter->pin_lost =
            true; /* the machine is off, and stays so: whoever has paid now would get nothing for it */
        meter->code = settings_failed("the pin's guard has ended: the machine is off");
        uv_stop(&meter->loop);
    }
}

static void on_actuate(void *context, bool on)
{
    struct meter *meter = context;
    if (on != meter->on) {
        meter->on = on;
        view_event(meter->view, json_pack("{sssb}", "event", "pin", "on", on));
    }
    hold_pin(meter);
}

static void on_display(void *context, const struct core_screen *screen)
{
    struct meter *meter = context;
    view_screen(meter->view, screen);
}

static void on_connect_wanted(void *context)
{
    struct meter *meter = context;
    meter->connect_wanted = true;
}

static bool on_send(void *context, const char *text, size_t length)
{
    struct meter *meter = context;
    if (!link_send(meter->link, text, length)) {
        return false;
    }
    watch_sent(&meter->watch, text, length);
    return true;
}

static void on_close(void *context, unsigned code, const char *reason)
{
    struct meter *meter = context;
    watch_closing(&meter->watch, code, reason);
    link_hang_up(meter->link, code, reason);
}

static void on_random(void *context, uint8_t *bytes, size_t count)
{
    (void)context;
    randombytes_buf(bytes, count);
}

/* ---- what the core is told ---------------------------------------------------------------------------------------------------------- */

static struct core_report look(struct meter *meter)
{
    struct core_report report;
    core_report(&meter->core, &report);
    watch_store(&meter->watch, &report, meter->slots.why);
    return report;
}

static void on_tick(uv_timer_t *timer)
{
    struct meter *meter = timer->data;
    core_on_tick(&meter->core, now_ms());
    hold_pin(meter);
    (void)look(meter);
    view_tick(meter->view);
    if (meter->connect_wanted && !meter->stopping) {
        meter->connect_wanted = false;
        meter->connected = true;
        link_connect(meter->link);
    }
}

static void on_opened(void *context)
{
    struct meter *meter = context;
    core_on_connect(&meter->core);
}

static void on_message(void *context, const char *text, size_t length)
{
    struct meter *meter = context;
    struct core_report report = look(meter);
    watch_before(&meter->watch, &report);
    core_on_message(&meter->core, text, length);
    report = look(meter);
    watch_after(&meter->watch, text, length, &report);
}

static void on_closed(void *context, unsigned code, const char *why)
{
    struct meter *meter = context;
    struct core_report report = look(meter);
    bool was_open = report.link != CORE_LINK_CONNECTING;
    meter->connected = false;
    core_on_disconnect(&meter->core, code);
    report = look(meter);
    if (meter->stopping) {
        uv_stop(&meter->loop);
        return;
    }
    watch_disconnected(&meter->watch, code == 0 && was_open ? CODE_BROKE : code, why, &report);
}

/* ---- signals -------------------------------------------------------------------------------------------------------------------------- */

static void on_farewell(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* The pin first; then the relay is told, unless that takes too long. */
static void stop(struct meter *meter)
{
    if (meter->stopping) {
        uv_stop(&meter->loop);
        return;
    }
    meter->stopping = true;
    hold_pin(meter);
    if (!meter->connected) {
        uv_stop(&meter->loop);
        return;
    }
    link_hang_up(meter->link, CLOSE_STOPPING, "the meter stops");
    uv_timer_start(&meter->farewell, on_farewell, FAREWELL_MS, 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct meter *meter = handle->data;
    if (number == SIGWINCH) {
        view_resized(meter->view);
    } else {
        stop(meter);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------ */

static bool choose_output(const struct settings *settings, struct output *output)
{
    char error[PIN_ERROR_SIZE];
    if (settings->gpio[0] != '\0' && settings->pin_file[0] != '\0') {
        settings_wrong("there is one pin: either --gpio or --pin-file");
        return false;
    }
    if (settings->gpio[0] != '\0') {
        if (!output_be_gpio(output, settings->gpio, settings->active_low, error)) {
            settings_wrong("--gpio: %s", error);
            return false;
        }
    } else if (settings->pin_file[0] != '\0') {
        output_be_file(output, settings->pin_file);
    } else {
        output_be_nothing(output);
    }
    return true;
}

static struct core_port make_port(struct meter *meter)
{
    return (struct core_port){
        .context = meter,
        .load = on_load,
        .save = on_save,
        .actuate = on_actuate,
        .display = on_display,
        .connect = on_connect_wanted,
        .send = on_send,
        .close = on_close,
        .random = on_random,
    };
}

static struct link *open_link(struct meter *meter, const struct settings *settings, const struct url *url)
{
    char error[LINK_ERROR_SIZE];
    struct link *link = link_open(
        &(struct link_options){
            .loop = &meter->loop,
            .url = *url,
            .ca_file = settings->ca_file,
            .ping_s = (uint32_t)settings->ping_s,
            .pong_s = (uint32_t)settings->pong_s,
            .context = meter,
            .opened = on_opened,
            .message = on_message,
            .closed = on_closed,
        },
        error);
    if (link == NULL) {
        meter->code = settings_failed("%s", error);
    }
    return link;
}

static void tell_started(struct meter *meter, const struct core_identity *identity)
{
    struct core_report report = look(meter);
    view_event(meter->view, json_pack("{sssssIsIsI}", "event", "started", "device", identity->device, "seq",
                                      (json_int_t)report.seq, "credit_s", (json_int_t)report.granted_s,
                                      "remaining_s", (json_int_t)((report.remaining_ms + 999) / 1000)));
}

static void start_loop(struct meter *meter)
{
    static const int NUMBERS[SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGWINCH};
    signal(SIGPIPE, SIG_IGN);
    uv_timer_init(&meter->loop, &meter->tick);
    uv_timer_init(&meter->loop, &meter->farewell);
    meter->tick.data = meter->farewell.data = meter;
    uv_timer_start(&meter->tick, on_tick, 0, TICK_MS);
    for (unsigned i = 0; i < SIGNALS; i++) {
        uv_signal_init(&meter->loop, &meter->signals[i]);
        meter->signals[i].data = meter;
        uv_signal_start(&meter->signals[i], on_signal, NUMBERS[i]);
    }
}

static void stop_loop(struct meter *meter)
{
    uv_close((uv_handle_t *)&meter->tick, NULL);
    uv_close((uv_handle_t *)&meter->farewell, NULL);
    for (unsigned i = 0; i < SIGNALS; i++) {
        uv_close((uv_handle_t *)&meter->signals[i], NULL);
    }
}

static void end_loop(struct meter *meter)
{
    if (meter->link != NULL) {
        link_stop(meter->link);
    }
    /* A lookup may hold it for as long as the resolver likes; nothing is lost by not waiting for it. */
    for (int i = 0; i < 50 && uv_run(&meter->loop, UV_RUN_NOWAIT) != 0; i++) {
        uv_sleep(10);
    }
    if (uv_loop_alive(&meter->loop) == 0) {
        if (meter->link != NULL) {
            link_close(meter->link);
        }
        (void)uv_loop_close(&meter->loop);
    }
}

static void run_core(struct meter *meter, const struct settings *settings,
                     const struct core_identity *identity)
{
    meter->view = view_open(settings);
    watch_init(&meter->watch, meter->view, settings->state);
    meter->port = make_port(meter);
    meter->core_crypto = crypto_port(meter->crypto);
    if (core_init(&meter->core, &meter->port, &meter->core_crypto, identity, now_ms())) {
        tell_started(meter, identity);
        start_loop(meter);
        uv_run(&meter->loop, UV_RUN_DEFAULT);
        stop_loop(meter);
        view_event(meter->view, json_pack("{ssss}", "event", "stopped", "reason",
                                          meter->pin_lost ? "the pin is lost" : "asked to"));
    } else {
        meter->code = settings_wrong(
            "the device id, or the tariff, can't be used: steps rise, and each amount is there once");
    }
    watch_fini(&meter->watch);
    view_close(meter->view);
}

static int run_with_identity(struct meter *meter, const struct settings *settings,
                             const struct core_identity *identity, const struct url *url)
{
    char error[PIN_ERROR_SIZE], why[SLOTS_ERROR_SIZE];
    if (!choose_output(settings, &meter->output)) {
        return 2;
    }
    /* First of all: it forks, and holds nothing that is opened after it. */
    if (pin_open(&meter->pin, &meter->output.pin, error) != CS_OK) {
        return settings_failed("%s", error);
    }
    if (slots_open(&meter->slots, settings->state, why) != CS_OK) {
        pin_close(&meter->pin);
        return settings_failed("%s", why);
    }
    int failed = uv_loop_init(&meter->loop);
    assert(failed == 0);
    (void)failed;
    meter->link = open_link(meter, settings, url);
    if (meter->link != NULL) {
        run_core(meter, settings, identity);
    }
    end_loop(meter);
    slots_close(&meter->slots);
    pin_close(&meter->pin);
    return meter->code;
}

int meter_run(const struct settings *settings)
{
    char error[IDENTITY_ERROR_SIZE];
    struct core_identity identity;
    struct url url;
    struct meter *meter = cs_alloc(sizeof(*meter));
    int code;
    if (identity_read(settings, &identity, &meter->crypto, &url, error) == CS_OK) {
        code = run_with_identity(meter, settings, &identity, &url);
        crypto_close(meter->crypto);
    } else {
        code = settings_wrong("%s", error);
    }
    sodium_memzero(&identity, sizeof(identity));
    sodium_memzero(meter, sizeof(*meter));
    free(meter);
    return code;
}
