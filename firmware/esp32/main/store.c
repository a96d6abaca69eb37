#include "store.h"

#include <string.h>

#include "esp_log.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "sdkconfig.h"

#define PARTITION "meter"
#define NAMESPACE "slots"

static const char TAG[] = "store";
static const char *const SLOTS[CORE_SLOTS] = {"record_a", "record_b", "mark_a", "mark_b"};

/* Static, and not on the main task's stack. */
static char value[SETTINGS_VALUE_SIZE];
static nvs_handle_t slots;
static bool slots_open;

/* nvs_flash_init() sees to the keys of its own partition; the other one takes the same (NVS encryption, README.md). */
static esp_err_t open_partition(void)
{
#ifdef CONFIG_NVS_ENCRYPTION
    nvs_sec_cfg_t keys;
    esp_err_t failed = nvs_flash_read_security_cfg_v2(nvs_flash_get_default_security_scheme(), &keys);
    if (failed == ESP_OK) {
        failed = nvs_flash_secure_init_partition(PARTITION, &keys);
    }
    memset(&keys, 0, sizeof(keys));
    return failed;
#else
    return nvs_flash_init_partition(PARTITION);
#endif
}

void store_open(void)
{
    esp_err_t failed = nvs_flash_init();
    if (failed != ESP_OK) {
        ESP_LOGE(TAG, "the settings cannot be read (%s): provision this meter again",
                 esp_err_to_name(failed));
    }
    failed = open_partition();
    if (failed == ESP_OK) {
        failed = nvs_open_from_partition(PARTITION, NAMESPACE, NVS_READWRITE, &slots);
    }
    slots_open = failed == ESP_OK;
    if (!slots_open) {
        ESP_LOGE(TAG, "what this meter remembers cannot be read (%s): `wipe` begins anew",
                 esp_err_to_name(failed));
    }
}

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

static esp_err_t read_setting(const char *name)
{
    nvs_handle_t handle;
    esp_err_t failed = nvs_open(SETTINGS_NAMESPACE, NVS_READONLY, &handle);
    if (failed != ESP_OK) {
        return failed;
    }
    size_t length = sizeof(value);
    failed = nvs_get_str(handle, name, value, &length);
    nvs_close(handle);
    return failed;
}

void store_read_settings(struct settings *settings, const struct core_crypto *crypto)
{
    settings_clear(settings);
    const char *name;
    for (size_t i = 0; (name = settings_name(i)) != NULL; i++) {
        esp_err_t failed = read_setting(name);
        if (failed == ESP_ERR_NVS_NOT_FOUND) {
            continue;
        }
        const char *wrong =
            failed != ESP_OK ? esp_err_to_name(failed) : settings_put(settings, crypto, name, value);
        if (wrong != NULL) {
            ESP_LOGE(TAG, "the setting %s is left out: it %s", name, wrong);
        }
    }
    memset(value, 0, sizeof(value));
}

bool store_has_setting(const char *name)
{
    bool has = read_setting(name) == ESP_OK && value[0] != '\0';
    memset(value, 0, sizeof(value));
    return has;
}

bool store_write_setting(const char *name, const char *text)
{
    nvs_handle_t handle;
    if (nvs_open(SETTINGS_NAMESPACE, NVS_READWRITE, &handle) != ESP_OK) {
        return false;
    }
    esp_err_t failed = nvs_set_str(handle, name, text);
    if (failed == ESP_OK) {
        failed = nvs_commit(handle);
    }
    nvs_close(handle);
    return failed == ESP_OK;
}

/* ---- slots ------------------------------------------------------------------------------------------------------------------ */

size_t store_load(void *context, enum core_slot slot, uint8_t *bytes, size_t size)
{
    (void)context;
    size_t length = size;
    if (!slots_open || nvs_get_blob(slots, SLOTS[slot], bytes, &length) != ESP_OK) {
        return 0;
    }
    return length;
}

bool store_save(void *context, enum core_slot slot, const uint8_t *bytes, size_t length)
{
    (void)context;
    if (!slots_open) {
        return false;
    }
    esp_err_t failed = nvs_set_blob(slots, SLOTS[slot], bytes, length);
    if (failed == ESP_OK) {
        failed = nvs_commit(slots);
    }
    if (failed != ESP_OK) {
        ESP_LOGE(TAG, "%s was not written: %s", SLOTS[slot], esp_err_to_name(failed));
    }
    return failed == ESP_OK;
}

void store_wipe(void)
{
    if (slots_open) {
        nvs_close(slots);
        slots_open = false;
    }
    (void)nvs_flash_deinit_partition(PARTITION); /* it need not have been open */
    ESP_ERROR_CHECK(nvs_flash_erase_partition(PARTITION));
    (void)nvs_flash_deinit();
    ESP_ERROR_CHECK(nvs_flash_erase());
}
