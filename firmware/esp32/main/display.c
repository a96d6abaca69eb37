#include "display.h"

#include <stdio.h>
#include <string.h>

#include "driver/gpio.h"
#include "driver/i2c_master.h"
#include "esp_err.h"
#include "esp_lcd_io_i2c.h"
#include "esp_lcd_panel_io.h"
#include "esp_lcd_panel_ops.h"
#include "esp_lcd_panel_ssd1306.h"
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "plain/picture.h"
#include "qrcode.h"
#include "sdkconfig.h"

static const char TAG[] = "display";
static esp_lcd_panel_handle_t panel; /* NULL: there is none */
static struct picture_code code;
static char code_text[CORE_QR_SIZE]; /* what `code` says */

/* Boards that switch their display's supply (Heltec: "Vext") do it by a pin that is low for on. */
static void power_up(void)
{
#if CONFIG_COINSLOT_OLED_POWER_GPIO >= 0
    const gpio_config_t config = {.pin_bit_mask = 1ULL << CONFIG_COINSLOT_OLED_POWER_GPIO,
                                  .mode = GPIO_MODE_OUTPUT};
    ESP_ERROR_CHECK(gpio_config(&config));
    ESP_ERROR_CHECK(gpio_set_level((gpio_num_t)CONFIG_COINSLOT_OLED_POWER_GPIO, 0));
    vTaskDelay(pdMS_TO_TICKS(50));
#endif
}

static esp_err_t open_panel(esp_lcd_panel_handle_t *opened)
{
    const i2c_master_bus_config_t bus_config = {
        .i2c_port = -1,
        .sda_io_num = CONFIG_COINSLOT_OLED_SDA_GPIO,
        .scl_io_num = CONFIG_COINSLOT_OLED_SCL_GPIO,
        .clk_source = I2C_CLK_SRC_DEFAULT,
        .glitch_ignore_cnt = 7,
        .flags.enable_internal_pullup = true,
    };
    i2c_master_bus_handle_t bus;
    esp_err_t failed = i2c_new_master_bus(&bus_config, &bus);
    if (failed != ESP_OK) {
        return failed;
    }
    /* SSD1306 datasheet, 8.1.5.2: a control byte before each run, of which bit 6 says data or commands. */
    const esp_lcd_panel_io_i2c_config_t io_config = {
        .dev_addr = CONFIG_COINSLOT_OLED_ADDRESS,
        .scl_speed_hz = 400000,
        .control_phase_bytes = 1,
        .dc_bit_offset = 6,
        .lcd_cmd_bits = 8,
        .lcd_param_bits = 8,
    };
    esp_lcd_panel_io_handle_t io;
    failed = esp_lcd_new_panel_io_i2c(bus, &io_config, &io);
    if (failed != ESP_OK) {
        return failed;
    }
    esp_lcd_panel_ssd1306_config_t ssd1306_config = {.height = PICTURE_HEIGHT};
    const esp_lcd_panel_dev_config_t panel_config = {
        .bits_per_pixel = 1,
        .reset_gpio_num = CONFIG_COINSLOT_OLED_RESET_GPIO,
        .vendor_config = &ssd1306_config,
    };
    return esp_lcd_new_panel_ssd1306(io, &panel_config, opened);
}

void display_open(void)
{
    esp_lcd_panel_handle_t opened = NULL;
    power_up();
    esp_err_t failed = open_panel(&opened);
    if (failed == ESP_OK) {
        failed = esp_lcd_panel_reset(opened);
    }
    if (failed == ESP_OK) {
        failed = esp_lcd_panel_init(opened);
    }
#ifdef CONFIG_COINSLOT_OLED_TURNED
    if (failed == ESP_OK) {
        failed = esp_lcd_panel_mirror(opened, true, true);
    }
#endif
    if (failed == ESP_OK) {
        failed = esp_lcd_panel_disp_on_off(opened, true);
    }
    if (failed != ESP_OK) {
        ESP_LOGW(TAG, "no display: %s", esp_err_to_name(failed));
        return;
    }
    panel = opened;
}

static void take_code(esp_qrcode_handle_t made)
{
    int size = esp_qrcode_get_size(made);
    picture_code_clear(&code, (uint8_t)size);
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            if (esp_qrcode_get_module(made, x, y)) {
                picture_code_darken(&code, (unsigned)x, (unsigned)y);
            }
        }
    }
}

/* It takes a while to make one, and a countdown draws every second. */
static void make_code(const char *text)
{
    if (strcmp(text, code_text) == 0) {
        return;
    }
    picture_code_clear(&code, 0);
    snprintf(code_text, sizeof(code_text), "%s", text);
    esp_qrcode_config_t config = {
        .display_func = take_code,
        .max_qrcode_version = PICTURE_CODE_VERSION,
        .qrcode_ecc_level = ESP_QRCODE_ECC_LOW,
    };
    if (text[0] != '\0' && esp_qrcode_generate(&config, text) != ESP_OK) {
        ESP_LOGE(TAG, "no QR code for %s", text);
    }
}

void display_show(void *context, const struct core_screen *screen)
{
    (void)context;
    static struct picture picture; /* the driver reads it while it sends */
    if (panel == NULL) {
        return;
    }
    make_code(screen->qr);
    picture_draw(&picture, screen, &code);
    esp_err_t failed = esp_lcd_panel_draw_bitmap(panel, 0, 0, PICTURE_WIDTH, PICTURE_HEIGHT, picture.pages);
    if (failed != ESP_OK) {
        ESP_LOGE(TAG, "not drawn: %s", esp_err_to_name(failed));
    }
}

void display_say(const char *first, const char *second, const char *third)
{
    const char *const lines[] = {first, second, third};
    struct core_screen screen = {.kind = CORE_SCREEN_OUT_OF_SERVICE};
    for (unsigned i = 0; i < 3 && lines[i] != NULL; i++) {
        snprintf(screen.lines[screen.line_count++], sizeof(screen.lines[0]), "%s", lines[i]);
    }
    display_show(NULL, &screen);
}
