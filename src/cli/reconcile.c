#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/reach.h"

static const char HELP[] =
    "coinslot reconcile [--data DIR]\n"
    "\n"
    "Has the running relay ask its node about every address, now: payments that it was not told of are found and\n"
    "delivered. It does so by itself at start, after each break, and every [nano] sweep_s. How it went stands in\n"
    "GET /api/v1/sources.\n"
    "\n"
    "  --data DIR   the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n";

int cli_reconcile(int argc, char **argv)
{
    const char *data = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"reconcile", HELP, entries, 1, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    json_t *result =
        reach_store(set.command, options_data_dir(data), REACH_REFUSE, "reconcile", json_object());
    return result == NULL ? 1 : print_line(set.command, result);
}
