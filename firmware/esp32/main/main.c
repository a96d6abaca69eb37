/*
 * The meter for ESP32: main's task alone enters the core. Others: the WebSocket client's and its worker (ws.c), WiFi's and the timer's
 * (wifi.c), the serial line (console.c), and now and then an update (ota.c). They tell it by the inbox.
 */
#include <stdint.h>
#include <stdio.h>

#include "actuator.h"
#include "console.h"
#include "core/core_struct.h"
#include "crypto.h"
#include "display.h"
#include "esp_app_desc.h"
#include "esp_err.h"
#include "esp_log.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "inbox.h"
#include "ota.h"
#include "plain/settings.h"
#include "sdkconfig.h"
#include "store.h"
#include "wifi.h"
#include "ws.h"

#define TURN_MS 100 /* how late a switch-off may be */

static const char TAG[] = "meter";
static struct settings settings;
static struct core core;

static uint32_t now_ms(void)
{
    return (uint32_t)(esp_timer_get_time() / 1000);
}

static void actuate(void *context, bool on)
{
    (void)context;
    actuator_set(on);
}

static const struct core_port PORT = {
    .load = store_load,
    .save = store_save,
    .actuate = actuate,
    .display = display_show,
    .connect = ws_connect,
    .send = ws_send,
    .close = ws_close,
    .random = crypto_random,
    .rssi = wifi_rssi,
};

static void take_event(const struct inbox_event *event)
{
    switch (event->kind) {
    case INBOX_CONNECTED:
        core_on_connect(&core);
        break;
    case INBOX_MESSAGE:
        core_on_message(&core, event->text, event->length);
        break;
    case INBOX_DISCONNECTED:
        core_on_disconnect(&core, event->code);
        break;
    case INBOX_WIPE:
        actuator_set(false);
        ESP_ERROR_CHECK(esp_task_wdt_delete(NULL)); /* erasing half a megabyte takes longer than it waits */
        store_wipe();
        esp_restart();
    case INBOX_RESTART:
        esp_restart(); /* the pin goes off on the way, and the credit is in the store */
    }
}

/* Without settings there is only the serial line. */
static void wait_for_settings(const char *missing)
{
    struct inbox_event event;
    ESP_LOGE(TAG, "not set up: %s", missing);
    display_say("Not set up", "See the serial line:", "`help`");
    for (;;) {
        if (inbox_wait(&event, TURN_MS) && (event.kind == INBOX_WIPE || event.kind == INBOX_RESTART)) {
            take_event(&event);
        }
        ESP_ERROR_CHECK(esp_task_wdt_reset());
    }
}

static void run(void)
{
    struct inbox_event event;
    struct core_report report;
    for (;;) {
        if (inbox_wait(&event, TURN_MS)) {
            take_event(&event);
            inbox_done(&event);
        }
        core_on_tick(&core, now_ms());
        core_report(&core, &report);
        console_publish(&report);
        if (ota_turn(report.link == CORE_LINK_SESSION, report.on) && !report.on) {
            esp_restart();
        }
        ESP_ERROR_CHECK(esp_task_wdt_reset());
    }
}

void app_main(void)
{
    actuator_open(); /* before anything that could fail, or take long */
    ESP_ERROR_CHECK(esp_task_wdt_add(NULL));
    crypto_open();
    inbox_open();
    store_open();
    store_read_settings(&settings, crypto_port());
    const char *missing = settings_missing(&settings);
    display_open();
    console_open(missing);
    ota_open(settings.update_url, settings.ca);
    if (missing != NULL) {
        wait_for_settings(missing);
    }
    struct core_identity *identity = &settings.identity;
    snprintf(identity->firmware, sizeof(identity->firmware), "esp32 %.24s",
             esp_app_get_description()->version);
    if (settings.has_secret) {
        crypto_set_secret(settings.secret, identity->device_key);
    }
    wifi_open(settings.wifi_ssid, settings.wifi_password); /* before the core asks for random numbers */
    if (!core_init(&core, &PORT, crypto_port(), identity, now_ms())) {
        wait_for_settings("the tariff cannot be used: see `steps`, `minimum`, `cap_s`");
    }
    ws_open(settings.relay, settings.ca);
    run();
}
