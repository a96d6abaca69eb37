#include "posix/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <gpiod.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONSUMER "coinslot-meter"

/* ---- a GPIO line ------------------------------------------------------------------------------------------------------ */

static bool gpio_open(void *context, char error[PIN_ERROR_SIZE])
{
    struct output_gpio *gpio = context;
    gpio->opened = gpiod_chip_open_lookup(gpio->chip);
    if (gpio->opened == NULL) {
        snprintf(error, PIN_ERROR_SIZE,
                 "cannot open the GPIO chip %s: %s; `gpiodetect` names those there are", gpio->chip,
                 strerror(errno));
        return false;
    }
    gpio->requested = gpiod_chip_get_line(gpio->opened, gpio->line);
    if (gpio->requested == NULL ||
        gpiod_line_request_output_flags(gpio->requested, CONSUMER,
                                        gpio->active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0, 0) != 0) {
        snprintf(error, PIN_ERROR_SIZE,
                 "cannot have line %u of the GPIO chip %s: %s; `gpioinfo` tells who holds it", gpio->line,
                 gpio->chip, strerror(errno));
        gpiod_chip_close(gpio->opened);
        return false;
    }
    return true;
}

static bool gpio_set(void *context, bool on)
{
    struct output_gpio *gpio = context;
    return gpiod_line_set_value(gpio->requested, on ? 1 : 0) == 0;
}

static void gpio_close(void *context)
{
    struct output_gpio *gpio = context;
    gpiod_line_release(gpio->requested);
    gpiod_chip_close(gpio->opened);
}

bool output_be_gpio(struct output *output, const char *text, bool active_low, char error[PIN_ERROR_SIZE])
{
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0,
           digits = colon != NULL ? strlen(colon + 1) : 0;
    if (length == 0 || length >= OUTPUT_CHIP_SIZE || digits == 0 || digits > 4 ||
        strspn(colon + 1, "0123456789") != digits) {
        snprintf(error, PIN_ERROR_SIZE, "write a chip and a line, as gpiochip0:17, not \"%.60s\"", text);
        return false;
    }
    *output = (struct output){.pin = {.open = gpio_open, .set = gpio_set, .close = gpio_close}};
    output->pin.context = &output->gpio;
    output->gpio.line = (unsigned)strtoul(colon + 1, NULL, 10);
    output->gpio.active_low = active_low;
    memcpy(output->gpio.chip, text, length);
    return true;
}

/* ---- a file ----------------------------------------------------------------------------------------------------------- */

static bool file_set(void *context, bool on)
{
    const struct output_file *file = context;
    const char *text = on ? "on\n" : "off\n";
    int target = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644);
    if (target < 0) {
        return false;
    }
    bool written = write(target, text, strlen(text)) == (ssize_t)strlen(text);
    int why = errno;
    close(target);
    errno = why;
    return written;
}

static bool file_open(void *context, char error[PIN_ERROR_SIZE])
{
    const struct output_file *file = context;
    if (file_set(context, false)) {
        return true;
    }
    snprintf(error, PIN_ERROR_SIZE, "cannot write the pin's file %.200s: %s", file->path, strerror(errno));
    return false;
}

static void file_close(void *context)
{
    (void)context;
}

void output_be_file(struct output *output, const char *path)
{
    *output = (struct output){.pin = {.open = file_open, .set = file_set, .close = file_close}};
    output->pin.context = &output->file;
    snprintf(output->file.path, sizeof(output->file.path), "%s", path);
}

/* ---- nothing: it is only told --------------------------------------------------------------------------------------------- */

static bool nothing_open(void *context, char error[PIN_ERROR_SIZE])
{
    (void)context;
    error[0] = '\0';
    return true;
}

static bool nothing_set(void *context, bool on)
{
    (void)context;
    (void)on;
    return true;
}

void output_be_nothing(struct output *output)
{
    *output = (struct output){.pin = {.open = nothing_open, .set = nothing_set, .close = file_close}};
}
