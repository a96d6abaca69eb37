#include <stdio.h>

#include "cli/cli.h"
#include "cli/options.h"

static const char HELP[] =
    "coinslot config\n"
    "\n"
    "Prints every setting with its meaning and its default, as a file for `coinslot serve --config`.\n";

static const char FIXED[] =
    "\n"
    "# What is fixed, and so not among [limits]:\n"
    "#   HTTP requests       16 KiB of headers; to the admin API 16 KiB of body and 4 levels of brackets, to the callback\n"
    "#                       64 KiB and 8 levels\n"
    "#   imports of devices  two at once; 64 KiB a line, 4 levels of brackets\n"
    "#   device tokens       128 characters; 32 at least, where they are brought along\n"
    "#   configs of devices  32 steps, 2048 bytes\n"
    "#   device messages     4 levels of brackets\n";

int cli_config(const struct conf_key *keys, size_t count, int argc, char **argv)
{
    const struct option_set set = {"config", HELP, NULL, 0, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    conf_print(keys, count, stdout);
    fputs(FIXED, stdout);
    return options_finish(set.command);
}
