#include "wifi.h"

#include <stdatomic.h>
#include <string.h>

#include "esp_err.h"
#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_timer.h"
#include "esp_wifi.h"
#include "plain/pace.h"

static const char TAG[] = "wifi";
static atomic_bool up;
static unsigned failures; /* in a row; of the event task */
static esp_timer_handle_t retry;

static void try_again(void *argument)
{
    (void)argument;
    esp_err_t failed = esp_wifi_connect();
    if (failed != ESP_OK) {
        ESP_LOGE(TAG, "esp_wifi_connect: %s", esp_err_to_name(failed));
    }
}

static void on_wifi(void *argument, esp_event_base_t base, int32_t id, void *data)
{
    (void)argument;
    (void)base;
    if (id == WIFI_EVENT_STA_START) {
        try_again(NULL);
    } else if (id == WIFI_EVENT_STA_DISCONNECTED) {
        const wifi_event_sta_disconnected_t *event = data;
        uint32_t delay_ms = pace_retry_ms(++failures);
        up = false;
        ESP_LOGW(TAG, "not connected (reason %u); again in %lu ms", event->reason, (unsigned long)delay_ms);
        (void)esp_timer_stop(retry); /* it need not be running */
        ESP_ERROR_CHECK(esp_timer_start_once(retry, (uint64_t)delay_ms * 1000));
    }
}

static void on_address(void *argument, esp_event_base_t base, int32_t id, void *data)
{
    (void)argument;
    (void)base;
    (void)data;
    if (id == IP_EVENT_STA_GOT_IP) {
        failures = 0;
        up = true;
        ESP_LOGI(TAG, "connected");
    } else if (id == IP_EVENT_STA_LOST_IP) {
        up = false;
    }
}

void wifi_open(const char *ssid, const char *password)
{
    const esp_timer_create_args_t timer = {.callback = try_again, .name = "wifi"};
    const wifi_init_config_t init = WIFI_INIT_CONFIG_DEFAULT();
    wifi_config_t config = {0};
    /* A field that is full has no NUL: so says esp_wifi_types.h. */
    memcpy(config.sta.ssid, ssid, strnlen(ssid, sizeof(config.sta.ssid)));
    memcpy(config.sta.password, password, strnlen(password, sizeof(config.sta.password)));
    config.sta.threshold.authmode = password[0] == '\0' ? WIFI_AUTH_OPEN : WIFI_AUTH_WPA2_PSK;
    config.sta.sae_pwe_h2e = WPA3_SAE_PWE_BOTH;
    config.sta.failure_retry_cnt = 0;

    ESP_ERROR_CHECK(esp_timer_create(&timer, &retry));
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    esp_netif_create_default_wifi_sta();
    ESP_ERROR_CHECK(esp_wifi_init(&init));
    ESP_ERROR_CHECK(esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_wifi, NULL));
    ESP_ERROR_CHECK(esp_event_handler_register(IP_EVENT, ESP_EVENT_ANY_ID, on_address, NULL));
    ESP_ERROR_CHECK(esp_wifi_set_storage(WIFI_STORAGE_RAM)); /* the settings are ours to keep */
    ESP_ERROR_CHECK(esp_wifi_set_mode(WIFI_MODE_STA));
    ESP_ERROR_CHECK(esp_wifi_set_config(WIFI_IF_STA, &config));
    ESP_ERROR_CHECK(esp_wifi_start());
    ESP_ERROR_CHECK(
        esp_wifi_set_ps(WIFI_PS_NONE)); /* who has paid is waiting, and the meter hangs on the mains */
}

bool wifi_is_up(void)
{
    return up;
}

bool wifi_rssi(void *context, int *dbm)
{
    (void)context;
    return up && esp_wifi_sta_get_rssi(dbm) == ESP_OK;
}
