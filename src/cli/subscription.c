#include "admin/shape.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/reach.h"

static const char HELP[] =
    "coinslot subscription create --device ID --address ADDRESS [--minimum RAW] [--since TIME]\n"
    "                              [--data DIR]\n"
    "\n"
    "From now on the device is told of payments to the address. Prints the subscription as JSON.\n"
    "\n"
    "  --device ID         dev_…, as `coinslot device list` prints it\n"
    "  --address ADDRESS   nano_…\n"
    "  --minimum RAW       smaller payments are not told; 0 unless given\n"
    "  --since TIME        and of what its node has got to know since this time, like 2026-11-20T17:00:00Z, and the\n"
    "                      relay has not; else of nothing that was there before\n"
    "  --data DIR          the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n";

static int create(int argc, char **argv)
{
    const char *data = NULL, *device = NULL, *address = NULL, *minimum = "0", *since = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL},
                                           {"device", &device, NULL},
                                           {"address", &address, NULL},
                                           {"minimum", &minimum, NULL},
                                           {"since", &since, NULL}};
    const struct option_set set = {"subscription create", HELP, entries, 5, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    if (device == NULL || address == NULL) {
        return options_wrong(set.command, "--%s is missing: see `coinslot subscription --help`",
                             device == NULL ? "device" : "address");
    }
    json_t *arguments = json_object(), *body = json_object();
    shape_put(body, "chain", json_string("nano"));
    bool readable = print_put_text(body, "address", address) && print_put_text(body, "minimum", minimum) &&
                    print_put_text(arguments, "device", device) &&
                    (since == NULL || print_put_text(body, "since", since));
    shape_put(arguments, "body", body);
    if (!readable) {
        json_decref(arguments);
        return options_wrong(set.command,
                             "the device, the address, the minimum or the time is no valid UTF-8");
    }
    json_t *made =
        reach_store(set.command, options_data_dir(data), REACH_REFUSE, "subscription_create", arguments);
    return made == NULL ? 1 : print_line(set.command, made);
}

int cli_subscription(int argc, char **argv)
{
    static const struct option_action ACTIONS[] = {{"create", create}};
    return options_run_action("subscription", HELP, ACTIONS, 1, argc, argv);
}
