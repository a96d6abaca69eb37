#include "base/log.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "store/maintain.h"

static const char HELP[] =
    "coinslot check [--data DIR] [--full]\n"
    "\n"
    "Checks the store, beside a running relay or without one: the file itself, and what it promises\n"
    "(no hole in a device's seq, no delivery without its payment, no payment twice).\n"
    "Findings go to standard output, one a line; exit code 1 when there are any.\n"
    "\n"
    "  --full       the whole integrity check of the file: some 10 s for 10 million payments\n"
    "  --data DIR   the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n";

int cli_check(int argc, char **argv)
{
    const char *data = NULL;
    bool full = false;
    const struct option_entry entries[] = {{"data", &data, NULL}, {"full", NULL, &full}};
    const struct option_set set = {"check", HELP, entries, 2, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    char error[STORE_ERROR_SIZE];
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (maintain_check(options_data_dir(data), full, stdout, error) != CS_OK) {
        fflush(stdout);
        return options_failed(set.command, "%s", error);
    }
    return options_finish(set.command);
}
