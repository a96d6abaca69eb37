/*
 * print: what several subcommands do with the answers of reach.h. Main thread.
 * Those that return an int return the exit code; an error has been told on stderr.
 */
#ifndef COINSLOT_CLI_PRINT_H
#define COINSLOT_CLI_PRINT_H

#include <jansson.h>
#include <stdbool.h>

/* False when `text`, which comes from the command line, is no valid UTF-8. */
bool print_put_text(json_t *object, const char *name, const char *text);

/* Takes `value` and prints it in one line. */
int print_line(const char *told_as, json_t *value);

/* Every item of every page that `command` gives, one JSON object a line. */
int print_pages(const char *told_as, const char *dir, const char *command);

/* Does `command` to the thing with this id; prints nothing. */
int print_change_of(const char *told_as, const char *dir, const char *command, const char *id);

#endif
