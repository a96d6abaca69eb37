#include "cli/cli.h"
#include "cli/options.h"

static const char HELP[] =
    "coinslot config\n"
    "\n"
    "Prints every setting with its meaning and its default, as a file for `coinslot serve --config`.\n";

int cli_config(const struct conf_key *keys, size_t count, int argc, char **argv)
{
    const struct option_set set = {"config", HELP, NULL, 0, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    conf_print(keys, count, stdout);
    return options_finish(set.command);
}
