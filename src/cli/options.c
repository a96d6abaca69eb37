#include "cli/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_CODE  1000
#define FIRST_CODE 1001

__attribute__((format(printf, 2, 0))) static void say(const char *command, const char *format,
                                                      va_list arguments)
{
    char text[600];
    vsnprintf(text, sizeof text, format, arguments);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' ? ' ' : *c; /* one line, whatever somebody named his file */
    }
    fprintf(stderr, "coinslot %s: %s\n", command, text);
}

int options_wrong(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    return 2;
}

int options_failed(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments);
    va_end(arguments);
    return 1;
}

int options_finish(const char *command)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        return options_failed(command, "cannot write to standard output: %s", strerror(errno));
    }
    return 0;
}

const char *options_data_dir(const char *given)
{
    if (given != NULL) {
        return given;
    }
    const char *from_environment = getenv("COINSLOT_DATA");
    return from_environment != NULL && from_environment[0] != '\0' ? from_environment : "/var/lib/coinslot";
}

static int take_operands(const struct option_set *set, int argc, char **argv, const char **operands)
{
    size_t count = 0;
    for (; set->operand_names != NULL && set->operand_names[count] != NULL; count++) {
        if (optind >= argc) {
            return options_wrong(set->command, "%s is missing: see `coinslot %s --help`",
                                 set->operand_names[count], set->command);
        }
        operands[count] = argv[optind++];
    }
    if (optind < argc) {
        return options_wrong(set->command, "there is one argument too many: `%s`; see `coinslot %s --help`",
                             argv[optind], set->command);
    }
    return OPTIONS_GO_ON;
}

int options_read(const struct option_set *set, int argc, char **argv, const char **operands)
{
    assert(set->entry_count <= OPTION_ENTRIES_MOST);
    struct option longs[OPTION_ENTRIES_MOST + 2] = {{"help", no_argument, NULL, HELP_CODE}};
    for (size_t i = 0; i < set->entry_count; i++) {
        longs[i + 1] = (struct option){set->entries[i].name,
                                       set->entries[i].flag != NULL ? no_argument : required_argument, NULL,
                                       FIRST_CODE + (int)i};
    }
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    for (;;) {
        int code = getopt_long(argc, argv, ":h", longs, NULL);
        if (code == -1) {
            return take_operands(set, argc, argv, operands);
        }
        if (code == HELP_CODE || code == 'h') {
            fputs(set->help, stdout);
            return options_finish(set->command);
        }
        if (code == ':') {
            return options_wrong(set->command, "%s needs a value: see `coinslot %s --help`", argv[optind - 1],
                                 set->command);
        }
        if (code == '?') {
            return options_wrong(set->command, "cannot understand %s: see `coinslot %s --help`",
                                 argv[optind - 1], set->command);
        }
        const struct option_entry *entry = &set->entries[code - FIRST_CODE];
        if (entry->flag != NULL) {
            *entry->flag = true;
        } else {
            *entry->value = optarg;
        }
    }
}

int options_run_action(const char *command, const char *help, const struct option_action *actions,
                       size_t count, int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return options_finish(command);
    }
    char names[100] = "";
    size_t length = 0;
    for (size_t i = 0; i < count && length < sizeof names; i++) {
        if (argc >= 2 && strcmp(argv[1], actions[i].name) == 0) {
            return actions[i].run(argc - 1, argv + 1);
        }
        const char *joint = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", joint, actions[i].name);
    }
    if (argc < 2) {
        return options_wrong(command, "say what to do: %s; see `coinslot %s --help`", names, command);
    }
    return options_wrong(command, "cannot `%s`, only %s; see `coinslot %s --help`", argv[1], names, command);
}
