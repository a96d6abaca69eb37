/*
 * options: reads a subcommand's arguments, on getopt_long. Main thread only (getopt keeps globals).
 */
#ifndef COINSLOT_CLI_OPTIONS_H
#define COINSLOT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* `--name VALUE`, or, where `flag` is set, `--name` alone. */
struct option_entry {
    const char *name;
    const char **value;
    bool *flag;
};

struct option_set {
    const char *command; /* "token create" */
    const char *help;    /* what --help prints */
    const struct option_entry *entries;
    size_t entry_count;
    const char *const *operand_names; /* what stands after the options, all of it needed; ends with NULL */
};

#define OPTIONS_GO_ON       (-1)
#define OPTION_ENTRIES_MOST 8

/* OPTIONS_GO_ON, or the exit code: 0 after --help, 2 after wrong usage, which has been told. operands[i] is
 * the i-th operand. */
int options_read(const struct option_set *set, int argc, char **argv, const char **operands);

/* One line on stderr; returns the exit code 2, and 1. */
__attribute__((format(printf, 2, 3))) int options_wrong(const char *command, const char *format, ...);
__attribute__((format(printf, 2, 3))) int options_failed(const char *command, const char *format, ...);

/* 0, or 1 when what was printed on stdout did not all get there. */
int options_finish(const char *command);

/* --data, else COINSLOT_DATA, else /var/lib/coinslot. */
const char *options_data_dir(const char *given);

/* An action of a subcommand: `create` in `token create`. */
struct option_action {
    const char *name;
    int (*run)(int argc, char **argv);
};

/* Runs the action that argv[1] names, with argv[0] the action's name; --help prints `help`. */
int options_run_action(const char *command, const char *help, const struct option_action *actions,
                       size_t count, int argc, char **argv);

#endif
