#include "ota.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "esp_app_desc.h"
#include "esp_crt_bundle.h"
#include "esp_err.h"
#include "esp_http_client.h"
#include "esp_https_ota.h"
#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "plain/pace.h"

#define TASK_STACK 8192 /* it shakes hands for TLS */
#define PRIORITY   2    /* below all that a driver could notice */

static const char TAG[] = "ota";
static const char *url = "", *trusted = "";
static atomic_bool looking, in_place;
static bool on_trial;
static uint64_t looked_ms; /* the main task's alone */

static bool is_wanted(const esp_app_desc_t *found)
{
    const esp_app_desc_t *running = esp_app_get_description();
    if (strncmp(found->project_name, running->project_name, sizeof(found->project_name)) != 0) {
        ESP_LOGE(TAG, "what lies at update_url is another project's");
        return false;
    }
    return strncmp(found->version, running->version, sizeof(found->version)) != 0;
}

/* What went back once is not tried again. */
static bool was_refused(const esp_app_desc_t *found)
{
    esp_app_desc_t refused;
    const esp_partition_t *partition = esp_ota_get_last_invalid_partition();
    return partition != NULL && esp_ota_get_partition_description(partition, &refused) == ESP_OK &&
           strncmp(found->version, refused.version, sizeof(refused.version)) == 0;
}

static esp_err_t fetch(esp_https_ota_handle_t update)
{
    esp_app_desc_t found;
    esp_err_t failed = esp_https_ota_get_img_desc(update, &found);
    if (failed == ESP_OK && (!is_wanted(&found) || was_refused(&found))) {
        ESP_LOGI(TAG, "nothing new");
        return ESP_ERR_NOT_FOUND;
    }
    while (failed == ESP_OK) {
        failed = esp_https_ota_perform(update);
        if (failed != ESP_ERR_HTTPS_OTA_IN_PROGRESS) {
            break;
        }
        failed = ESP_OK;
    }
    if (failed == ESP_OK && !esp_https_ota_is_complete_data_received(update)) {
        failed = ESP_ERR_INVALID_SIZE;
    }
    return failed;
}

static void look(void *argument)
{
    (void)argument;
    const esp_http_client_config_t http = {
        .url = url,
        .timeout_ms = 15000,
        .keep_alive_enable = true,
        .cert_pem = trusted[0] != '\0' ? trusted : NULL,
        .crt_bundle_attach = trusted[0] != '\0' ? NULL : esp_crt_bundle_attach,
    };
    const esp_https_ota_config_t config = {.http_config = &http};
    esp_https_ota_handle_t update = NULL;
    esp_err_t failed = esp_https_ota_begin(&config, &update);
    if (failed == ESP_OK) {
        failed = fetch(update);
        if (failed == ESP_OK) {
            failed = esp_https_ota_finish(update); /* checks the image, then says what to boot */
            in_place = failed == ESP_OK;
        } else {
            (void)esp_https_ota_abort(update);
        }
    }
    ESP_LOGI(TAG, "looked: %s", esp_err_to_name(failed));
    looking = false;
    vTaskDelete(NULL);
}

void ota_open(const char *update_url, const char *ca)
{
    esp_ota_img_states_t state;
    url = update_url;
    trusted = ca;
    on_trial = esp_ota_get_state_partition(esp_ota_get_running_partition(), &state) == ESP_OK &&
               state == ESP_OTA_IMG_PENDING_VERIFY;
}

bool ota_look(void)
{
    bool idle = false;
    if (url[0] == '\0' || in_place || !atomic_compare_exchange_strong(&looking, &idle, true)) {
        return false;
    }
    if (xTaskCreate(look, "ota", TASK_STACK, NULL, PRIORITY, NULL) != pdPASS) {
        looking = false;
        return false;
    }
    return true;
}

static void judge(bool in_session, bool machine_on, uint64_t up_ms)
{
    switch (pace_trial(in_session, machine_on, up_ms)) {
    case PACE_TRIAL_WAITS:
        break;
    case PACE_TRIAL_KEEP:
        ESP_ERROR_CHECK(esp_ota_mark_app_valid_cancel_rollback());
        on_trial = false;
        ESP_LOGI(TAG, "this firmware is kept");
        break;
    case PACE_TRIAL_GO_BACK:
        ESP_LOGE(TAG, "this firmware never reached the relay: back to the one before");
        on_trial = false;
        ESP_ERROR_CHECK(esp_ota_mark_app_invalid_rollback_and_reboot());
        break;
    }
}

bool ota_turn(bool in_session, bool machine_on)
{
    uint64_t up_ms = (uint64_t)esp_timer_get_time() / 1000;
    if (on_trial) {
        judge(in_session, machine_on, up_ms);
    } else if (pace_update_due(up_ms, looked_ms)) {
        looked_ms = up_ms;
        (void)ota_look(); /* where it looks already, tomorrow will do */
    }
    return in_place;
}
