/* What a meter remembers, for whoever looks after it: a core that is loaded, asked, and does nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "core/core_struct.h"
#include "posix/crypto.h"
#include "posix/meter.h"
#include "posix/slots.h"

struct look {
    struct slots slots;
    struct core core;
};

static size_t on_load(void *context, enum core_slot slot, uint8_t *bytes, size_t size)
{
    struct look *look = context;
    return slots_load(&look->slots, slot, bytes, size);
}

/* To the core, which books the next span of time before it would run: it does not run here. */
static bool on_save(void *context, enum core_slot slot, const uint8_t *bytes, size_t length)
{
    (void)context;
    (void)slot;
    (void)bytes;
    (void)length;
    return true;
}

static void on_actuate(void *context, bool on)
{
    (void)context;
    (void)on;
}

static void on_display(void *context, const struct core_screen *screen)
{
    (void)context;
    (void)screen;
}

static void on_random(void *context, uint8_t *bytes, size_t count)
{
    (void)context;
    memset(bytes, 0, count);
}

static int print(const struct core *core)
{
    struct core_report report;
    core_report(core, &report);
    json_t *object = json_pack(
        "{sssIsIsIsIsI}", "epoch", report.epoch, "seq", (json_int_t)report.seq, "credit_s",
        (json_int_t)report.granted_s, "remaining_s", (json_int_t)((report.remaining_ms + 999) / 1000),
        "config_version", (json_int_t)report.config_version, "outcomes", (json_int_t)report.outcome_count);
    char *text = object != NULL ? json_dumps(object, 0) : NULL;
    if (text == NULL) {
        log_die("meter", "out of memory");
    }
    int printed = printf("%s\n", text);
    free(text);
    json_decref(object);
    return printed > 0 && fflush(stdout) == 0 ? 0 : 1;
}

int meter_show(const struct settings *settings)
{
    char error[SLOTS_ERROR_SIZE];
    if (settings->state[0] == '\0' || settings->device[0] == '\0') {
        return settings_wrong("--show needs --state and --device, here or in the file that --config names");
    }
    struct look *look = cs_alloc(sizeof(*look));
    if (slots_open_to_look(&look->slots, settings->state, error) != CS_OK) {
        free(look);
        return settings_failed("%s", error);
    }
    struct crypto *crypto = crypto_open(NULL);
    struct core_port port = {
        .context = look,
        .load = on_load,
        .save = on_save,
        .actuate = on_actuate,
        .display = on_display,
        .random = on_random,
    };
    struct core_crypto core_crypto = crypto_port(crypto);
    struct core_identity identity = {
        .token = "none", /* it connects nowhere */
        .tariff = {.steps = {{{0, 1}, 1}}, .count = 1, .cap_s = CORE_SECONDS_MOST, .late_after_s = -1},
    };
    memcpy(identity.device, settings->device, sizeof(identity.device));
    int code = core_init(&look->core, &port, &core_crypto, &identity, 0)
                   ? print(&look->core)
                   : settings_wrong("\"%s\" is no device's id", settings->device);
    slots_close(&look->slots);
    crypto_close(crypto);
    free(look);
    return code;
}
