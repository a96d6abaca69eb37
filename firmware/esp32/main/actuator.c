#include "actuator.h"

#include "driver/gpio.h"
#include "esp_attr.h"
#include "esp_err.h"
#include "esp_system.h"
#include "hal/gpio_ll.h"
#include "sdkconfig.h"

#define PIN ((gpio_num_t)CONFIG_COINSLOT_ACTUATOR_GPIO)
#ifdef CONFIG_COINSLOT_ACTUATOR_ACTIVE_LOW
#define LEVEL_ON 0
#else
#define LEVEL_ON 1
#endif

/* Only registers: in a panic the flash cannot be read, and no lock can be taken. */
static void IRAM_ATTR switch_off(void)
{
    gpio_ll_set_level(&GPIO, (uint32_t)PIN, !LEVEL_ON);
}

/* Every panic goes through it: faults, asserts, abort(), both watchdogs. main/CMakeLists.txt has the linker wrap it. */
void __real_esp_panic_handler(void *info);
void __wrap_esp_panic_handler(void *info);

void IRAM_ATTR __wrap_esp_panic_handler(void *info)
{
    switch_off();
    __real_esp_panic_handler(info);
}

void actuator_open(void)
{
    switch_off(); /* the level first: the pin must not be on for a moment while it becomes an output */
    const gpio_config_t config = {
        .pin_bit_mask = 1ULL << PIN,
        .mode = GPIO_MODE_OUTPUT,
        .pull_up_en = LEVEL_ON ? GPIO_PULLUP_DISABLE : GPIO_PULLUP_ENABLE,
        .pull_down_en = LEVEL_ON ? GPIO_PULLDOWN_ENABLE : GPIO_PULLDOWN_DISABLE,
        .intr_type = GPIO_INTR_DISABLE,
    };
    ESP_ERROR_CHECK(gpio_config(&config));
    switch_off();
    ESP_ERROR_CHECK(esp_register_shutdown_handler(switch_off)); /* esp_restart(), also after an update */
}

void actuator_set(bool on)
{
    ESP_ERROR_CHECK(gpio_set_level(PIN, on ? LEVEL_ON : !LEVEL_ON));
}
