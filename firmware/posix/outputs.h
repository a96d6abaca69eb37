/* outputs: what a pin can be. Each fills in `output`, whose context it is; borrowed until the guard has ended. */
#ifndef COINSLOT_FIRMWARE_POSIX_OUTPUTS_H
#define COINSLOT_FIRMWARE_POSIX_OUTPUTS_H

#include <stdio.h>

#include "posix/pin.h"

#define OUTPUT_CHIP_SIZE 64
#define OUTPUT_PATH_SIZE 256

struct gpiod_chip;
struct gpiod_line;

/* A line of a GPIO chip, by libgpiod. */
struct output_gpio {
    char chip[OUTPUT_CHIP_SIZE]; /* as gpiodetect prints it, its path, or its label */
    unsigned line;
    bool active_low;
    struct gpiod_chip *opened;
    struct gpiod_line *requested;
};

/* A file that says `on` or `off`, for tests and for machines that are switched by something else. */
struct output_file {
    char path[OUTPUT_PATH_SIZE];
};

struct output {
    struct pin_output pin;
    union {
        struct output_gpio gpio;
        struct output_file file;
    };
};

/* "gpiochip0:17". False: it is no such thing; `error` says what to write. */
CS_MUST_CHECK bool output_be_gpio(struct output *output, const char *text, bool active_low,
                                  char error[PIN_ERROR_SIZE]);
void output_be_file(struct output *output, const char *path);
void output_be_nothing(struct output *output);

#endif
