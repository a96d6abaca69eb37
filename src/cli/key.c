#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/reach.h"

static const char HELP[] =
    "coinslot key show [--data DIR]   print the relay's public keys as JSON: `relay_keys` is [current, next]\n"
    "coinslot key roll [--data DIR]   the next one comes into use; prints as show does\n"
    "\n"
    "  --data DIR    the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n"
    "\n"
    "By these keys devices know that they talk to their relay. Each pins the two that it was registered with, so one\n"
    "roll strands nobody; before the next one, give them the pair that is printed now. Sessions that are under way go on.\n"
    "Works beside a running relay and without one.\n";

static int run(const char *told_as, const char *command, int argc, char **argv)
{
    const char *data = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {told_as, HELP, entries, 1, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    json_t *result = reach_store(told_as, options_data_dir(data), REACH_REFUSE, command, json_object());
    return result == NULL ? 1 : print_line(told_as, result);
}

static int show(int argc, char **argv)
{
    return run("key show", "key_show", argc, argv);
}

static int roll(int argc, char **argv)
{
    return run("key roll", "key_roll", argc, argv);
}

int cli_key(int argc, char **argv)
{
    static const struct option_action ACTIONS[] = {{"show", show}, {"roll", roll}};
    return options_run_action("key", HELP, ACTIONS, 2, argc, argv);
}
