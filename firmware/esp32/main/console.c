#include "console.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto.h"
#include "esp_app_desc.h"
#include "esp_console.h"
#include "esp_err.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/semphr.h"
#include "inbox.h"
#include "ota.h"
#include "sdkconfig.h"
#include "store.h"
#include "wifi.h"

#define LINE_MOST 512

static const char *not_running;
static SemaphoreHandle_t lock;
static struct core_report published; /* under `lock` */

void console_publish(const struct core_report *report)
{
    xSemaphoreTake(lock, portMAX_DELAY);
    published = *report;
    xSemaphoreGive(lock);
}

/* ---- status -------------------------------------------------------------------------------------------------------------- */

static const char *link_text(enum core_link link)
{
    switch (link) {
    case CORE_LINK_DOWN:
        return "waiting to connect";
    case CORE_LINK_CONNECTING:
        return "connecting";
    case CORE_LINK_CHALLENGE:
    case CORE_LINK_HELLO:
    case CORE_LINK_WELCOME:
        return "proving who it is";
    case CORE_LINK_SESSION:
        return "in a session";
    case CORE_LINK_CLOSING:
        return "closing";
    case CORE_LINK_RETIRED:
        return "retired";
    }
    return "?";
}

static void print_report(void)
{
    struct core_report report;
    xSemaphoreTake(lock, portMAX_DELAY);
    report = published;
    xSemaphoreGive(lock);
    printf("relay      %s%s%s\n", link_text(report.link),
           report.last_error[0] != '\0' ? ", the last session ended by " : "", report.last_error);
    printf("payable    %s %s\n", report.payable ? "yes" : "no", report.state_reason);
    printf("machine    %s, %llu s left, %llu s sold in all\n", report.on ? "on" : "off",
           (unsigned long long)(report.remaining_ms / 1000), (unsigned long long)report.granted_s);
    printf("taken      up to payment %llu, %lu not noted yet, config %llu\n", (unsigned long long)report.seq,
           (unsigned long)report.outcome_count, (unsigned long long)report.config_version);
    printf("trouble    %lu writes failed, the clock jumped %lu times\n", (unsigned long)report.store_failures,
           (unsigned long)report.clock_jumps);
}

static int run_status(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    int dbm = 0;
    bool known = wifi_rssi(NULL, &dbm);
    printf("firmware   %s, up for %llu s, %lu bytes free, at least %lu\n", esp_app_get_description()->version,
           (unsigned long long)(esp_timer_get_time() / 1000000), (unsigned long)esp_get_free_heap_size(),
           (unsigned long)esp_get_minimum_free_heap_size());
    if (known) {
        printf("wifi       connected, %d dBm\n", dbm);
    } else {
        printf("wifi       not connected\n");
    }
    if (not_running != NULL) {
        printf("not set up: %s\n", not_running);
    } else {
        print_report();
    }
    const char *name;
    printf("set        ");
    for (size_t i = 0; (name = settings_name(i)) != NULL; i++) {
        if (store_has_setting(name)) {
            printf("%s ", name);
        }
    }
    printf("\n");
    return 0;
}

/* ---- provision ----------------------------------------------------------------------------------------------------------- */

/* All or nothing: first each is tried, together with those that are there. */
static const char *try_all(struct settings *settings, int argc, char **argv, int *at)
{
    char name[16];
    const char *value;
    for (*at = 1; *at < argc; (*at)++) {
        if (!settings_split(argv[*at], name, &value)) {
            return "is no NAME=VALUE of a setting that there is; `help` names them";
        }
        const char *wrong = settings_put(settings, crypto_port(), name, value);
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

static int write_all(int argc, char **argv)
{
    char name[16];
    const char *value;
    for (int i = 1; i < argc; i++) {
        if (!settings_split(argv[i], name, &value) || !store_write_setting(name, value)) {
            printf("%s could not be written\n", name);
            return 1;
        }
    }
    return 0;
}

static int run_provision(int argc, char **argv)
{
    struct settings *settings = malloc(sizeof(*settings)); /* too large for this task's stack */
    if (settings == NULL) {
        printf("out of memory\n");
        return 1;
    }
    int at = 0;
    store_read_settings(settings, crypto_port());
    const char *wrong = try_all(settings, argc, argv, &at);
    const char *missing = wrong == NULL ? settings_missing(settings) : NULL;
    memset(settings, 0, sizeof(*settings));
    free(settings);
    if (wrong != NULL) {
        printf("%.*s %s; nothing was changed\n", (int)strcspn(argv[at], "="), argv[at], wrong);
        return 1;
    }
    if (write_all(argc, argv) != 0) {
        return 1;
    }
    printf("%s\n", missing != NULL ? missing : "complete: `restart` takes it over");
    return 0;
}

/* ---- the others ---------------------------------------------------------------------------------------------------------- */

static int post(enum inbox_kind kind)
{
    const struct inbox_event event = {.kind = kind};
    inbox_post(&event);
    return 0;
}

static int run_restart(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return post(INBOX_RESTART);
}

static int run_wipe(int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "everything") != 0) {
        printf("`wipe everything` forgets the settings, and the time that is paid for\n");
        return 1;
    }
    return post(INBOX_WIPE);
}

static int run_update(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("%s\n", ota_look() ? "looking; it restarts once the machine is off"
                              : "update_url is not set, or it looks already");
    return 0;
}

static void register_all(void)
{
    static const esp_console_cmd_t COMMANDS[] = {
        {.command = "status", .help = "how it is", .func = run_status},
        {.command = "provision",
         .help =
             "NAME=VALUE …, or \"NAME=VALUE\" with blanks in it: wifi_ssid wifi_password relay relay_key device secret_key token "
             "address proof steps minimum cap_s late_after own_tariff update_url",
         .func = run_provision},
        {.command = "update", .help = "looks for another firmware at update_url", .func = run_update},
        {.command = "restart", .help = "keeps everything", .func = run_restart},
        {.command = "wipe", .help = "`wipe everything`: settings and memory", .func = run_wipe},
    };
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        ESP_ERROR_CHECK(esp_console_cmd_register(&COMMANDS[i]));
    }
}

void console_open(const char *missing)
{
    esp_console_repl_t *repl = NULL;
    esp_console_repl_config_t config = ESP_CONSOLE_REPL_CONFIG_DEFAULT();
    config.prompt = "meter>";
    config.max_history_len = 1; /* the least there is: secrets are typed here */
    config.max_cmdline_length = LINE_MOST;
    config.task_stack_size = 6144;
    not_running = missing;
    lock = xSemaphoreCreateMutex();
    assert(lock != NULL);
#if defined(CONFIG_ESP_CONSOLE_USB_SERIAL_JTAG)
    esp_console_dev_usb_serial_jtag_config_t device = ESP_CONSOLE_DEV_USB_SERIAL_JTAG_CONFIG_DEFAULT();
    ESP_ERROR_CHECK(esp_console_new_repl_usb_serial_jtag(&device, &config, &repl));
#else
    esp_console_dev_uart_config_t device = ESP_CONSOLE_DEV_UART_CONFIG_DEFAULT();
    ESP_ERROR_CHECK(esp_console_new_repl_uart(&device, &config, &repl));
#endif
    register_all();
    ESP_ERROR_CHECK(esp_console_start_repl(repl));
}
