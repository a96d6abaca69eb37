#include <stdio.h>
#include <string.h>

#include "app.h"
#include "cli/cli.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} COMMANDS[] = {
    {"serve", app_serve, "run the relay"},
    {"config", app_config, "print the config file with all its defaults"},
    {"token", cli_token, "make, list or revoke tokens for the admin API"},
    {"device", cli_device, "make, list or retire devices"},
    {"subscription", cli_subscription, "subscribe a device to an address"},
    {"key", cli_key, "show or roll the key by which devices know the relay"},
    {"reconcile", cli_reconcile, "have the running relay look for payments that it was not told of"},
    {"backup", cli_backup, "copy the store, while it is in use"},
    {"check", cli_check, "check the store, and that it keeps its promises"},
    {"migrate", cli_migrate, "bring an older store up to this version"},
    {"simulate", cli_simulate, "a make-believe Nano network that pays"},
};
#define COMMAND_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static int print_help(FILE *out, int code)
{
    fprintf(out, "usage: coinslot COMMAND [OPTION…]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-13s %s\n", COMMANDS[i].name, COMMANDS[i].help);
    }
    fprintf(out, "\n`coinslot COMMAND --help` tells more; `coinslot --version` prints the version.\n");
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return print_help(stderr, 2);
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        return print_help(stdout, 0);
    }
    if (strcmp(name, "--version") == 0) {
        printf("coinslot %s\n", COINSLOT_VERSION);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, COMMANDS[i].name) == 0) {
            return COMMANDS[i].run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "coinslot: there is no command %s; see coinslot --help\n", name);
    return 2;
}
