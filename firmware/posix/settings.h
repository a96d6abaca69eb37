/*
 * settings: what a meter is told, in a file or on its command line; one table for both, and for --help. Read once, on the main thread.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_SETTINGS_H
#define COINSLOT_FIRMWARE_POSIX_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/conf.h"

#define SETTINGS_PATH_SIZE 256
#define SETTINGS_LIST_SIZE 1200 /* 16 addresses */

enum settings_display { DISPLAY_AUTO, DISPLAY_SCREEN, DISPLAY_PLAIN, DISPLAY_JSON };

struct settings {
    /* [relay] */
    char url[SETTINGS_PATH_SIZE], relay_key[160], ca_file[SETTINGS_PATH_SIZE];
    bool allow_plain_token;
    int64_t ping_s, pong_s;
    /* [meter] */
    char device[64], key_file[SETTINGS_PATH_SIZE], token_file[SETTINGS_PATH_SIZE], state[SETTINGS_PATH_SIZE];
    char address[SETTINGS_LIST_SIZE];
    bool proof;
    /* [pin] */
    char gpio[80], pin_file[SETTINGS_PATH_SIZE];
    bool active_low;
    /* [display] */
    int display; /* enum settings_display */
    char screen_file[SETTINGS_PATH_SIZE];
    /* [tariff] */
    char price[48], steps[SETTINGS_LIST_SIZE], minimum[48];
    int64_t seconds, cap_s, late_after;
    bool own_tariff;
};

/* What else the command line may ask for. */
struct settings_orders {
    const char *make_key; /* a file, or NULL */
    bool show, print_config;
};

#define SETTINGS_GO_ON (-1)

/* SETTINGS_GO_ON, or the exit code: 0 after --help, 2 after wrong usage, which has been told. What the command line says stands above the file. */
int settings_read(int argc, char **argv, struct settings *settings, struct settings_orders *orders);
void settings_print(FILE *out);

/* One line on stderr, in the program's name; returns the exit code 2, and 1. */
__attribute__((format(printf, 1, 2))) int settings_wrong(const char *format, ...);
__attribute__((format(printf, 1, 2))) int settings_failed(const char *format, ...);

#endif
