#include "base/log.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "store/maintain.h"

static const char HELP[] =
    "coinslot backup [--data DIR] FILE\n"
    "\n"
    "Copies the store to FILE and its key to FILE.key, beside a running relay or without one.\n"
    "Neither may exist. Keep both: without the key no token opens anything. To restore, stop the\n"
    "relay and put them back as DIR/coinslot.db and DIR/relay.key.\n"
    "\n"
    "  --data DIR   the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n";

int cli_backup(int argc, char **argv)
{
    const char *data = NULL, *file = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"backup", HELP, entries, 1, (const char *const[]){"FILE", NULL}};
    int code = options_read(&set, argc, argv, &file);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    char error[STORE_ERROR_SIZE];
    log_set_up(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (maintain_backup(options_data_dir(data), file, error) != CS_OK) {
        return options_failed(set.command, "%s", error);
    }
    return 0;
}
