#include <stdlib.h>
#include <string.h>

#include "admin/shape.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/reach.h"

static const char HELP[] =
    "coinslot device create --name NAME [--auth HOW] [--public-key HEX] [--expire-after SECONDS] [--data DIR]\n"
    "                                         register a device; prints it as JSON\n"
    "coinslot device list [--data DIR]        all devices, one JSON object a line\n"
    "coinslot device retire ID [--data DIR]   for good: what it was not sent expires\n"
    "\n"
    "  --name NAME              what people call it: 1 to 128 bytes\n"
    "  --auth HOW               how it proves who it is: token (the default), or key: an Ed25519 key\n"
    "  --public-key HEX         with --auth key: the device's own; without it the relay makes a pair\n"
    "  --expire-after SECONDS   payments that waited longer are no longer delivered; without it all are\n"
    "  --data DIR               the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n"
    "\n"
    "Works beside a running relay and without one. `token`, or `secret_key`, in create's answer is shown once: the "
    "relay does not keep it.\n";

static int create(int argc, char **argv)
{
    const char *data = NULL, *name = NULL, *expire_after = NULL, *auth = "token", *public_key = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL},
                                           {"name", &name, NULL},
                                           {"auth", &auth, NULL},
                                           {"public-key", &public_key, NULL},
                                           {"expire-after", &expire_after, NULL}};
    const struct option_set set = {"device create", HELP, entries, 5, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    if (name == NULL) {
        return options_wrong(set.command, "--name is missing: see `coinslot device --help`");
    }
    json_t *arguments = json_object();
    if (!print_put_text(arguments, "name", name) || !print_put_text(arguments, "auth", auth) ||
        (public_key != NULL && !print_put_text(arguments, "public_key", public_key))) {
        json_decref(arguments);
        return options_wrong(set.command,
                             "the name, or what stands behind --auth or --public-key, is no valid UTF-8");
    }
    if (expire_after != NULL) {
        size_t length = strlen(expire_after);
        if (length == 0 || length > 12 || strspn(expire_after, "0123456789") != length) {
            json_decref(arguments);
            return options_wrong(set.command, "--expire-after takes a whole number of seconds, 1 or more");
        }
        shape_put(arguments, "expire_after_s", json_integer(strtoll(expire_after, NULL, 10)));
    }
    json_t *made = reach_store(set.command, options_data_dir(data), REACH_MAKE, "device_create", arguments);
    return made == NULL ? 1 : print_line(set.command, made);
}

static int list(int argc, char **argv)
{
    const char *data = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"device list", HELP, entries, 1, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return print_pages(set.command, options_data_dir(data), "device_list");
}

static int retire(int argc, char **argv)
{
    const char *data = NULL, *id = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"device retire", HELP, entries, 1, (const char *const[]){"ID", NULL}};
    int code = options_read(&set, argc, argv, &id);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return print_change_of(set.command, options_data_dir(data), "device_retire", id);
}

int cli_device(int argc, char **argv)
{
    static const struct option_action ACTIONS[] = {{"create", create}, {"list", list}, {"retire", retire}};
    return options_run_action("device", HELP, ACTIONS, 3, argc, argv);
}
