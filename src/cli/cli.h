/*
 * cli: the subcommands other than `serve`. One call each from main, on its thread; argv[0] is the subcommand's name.
 * Each owns its process while it runs and returns the exit code: 0 done, 1 failed, 2 wrong usage; an error is one line
 * on stderr that says what to do.
 */
#ifndef COINSLOT_CLI_CLI_H
#define COINSLOT_CLI_CLI_H

#include "base/conf.h"

int cli_token(int argc, char **argv);        /* create, list, revoke */
int cli_device(int argc, char **argv);       /* create, list, retire */
int cli_subscription(int argc, char **argv); /* create */
int cli_key(int argc, char **argv);          /* show, roll */
int cli_reconcile(int argc, char **argv);
int cli_backup(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_migrate(int argc, char **argv);
int cli_simulate(int argc, char **argv);

/* Prints the config file with every default; the table is `serve`'s. */
int cli_config(const struct conf_key *keys, size_t count, int argc, char **argv);

#endif
