#include "base/log.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "store/maintain.h"

static const char HELP[] =
    "coinslot migrate [--data DIR]\n"
    "\n"
    "Brings the store to this version's form and prints the names of the migrations that ran.\n"
    "`coinslot serve` does the same when it starts. Make a backup first.\n"
    "\n"
    "  --data DIR   the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n";

int cli_migrate(int argc, char **argv)
{
    const char *data = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"migrate", HELP, entries, 1, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    char error[STORE_ERROR_SIZE];
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (maintain_migrate(options_data_dir(data), stdout, error) != CS_OK) {
        fflush(stdout);
        return options_failed(set.command, "%s", error);
    }
    return options_finish(set.command);
}
