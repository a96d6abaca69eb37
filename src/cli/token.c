#include <stdio.h>

#include "admin/shape.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/reach.h"
#include "store/store.h"

static const char HELP[] =
    "coinslot token create --name NAME --role ROLE [--data DIR]   make a token for the admin API and print "
    "it\n"
    "coinslot token list [--data DIR]                             all tokens, one JSON object a line\n"
    "coinslot token revoke ID [--data DIR]                        from now on it opens nothing\n"
    "\n"
    "  --name NAME   who uses it: 1 to 128 bytes\n"
    "  --role ROLE   viewer, auditor (both read), operator (registers devices), admin (everything)\n"
    "  --data DIR    the relay's data folder; else COINSLOT_DATA, else /var/lib/coinslot\n"
    "\n"
    "Works beside a running relay and without one. A token is shown once: the relay keeps only its hash.\n";

static int create(int argc, char **argv)
{
    const char *data = NULL, *name = NULL, *role = NULL;
    const struct option_entry entries[] = {
        {"data", &data, NULL}, {"name", &name, NULL}, {"role", &role, NULL}};
    const struct option_set set = {"token create", HELP, entries, 3, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    if (name == NULL || role == NULL) {
        return options_wrong(set.command, "--%s is missing: see `coinslot token --help`",
                             name == NULL ? "name" : "role");
    }
    enum store_role known;
    if (!store_role_parse(role, &known)) {
        return options_wrong(set.command, "there is no role `%s`: say viewer, auditor, operator or admin",
                             role);
    }
    json_t *arguments = json_object();
    if (!print_put_text(arguments, "name", name) || !print_put_text(arguments, "role", role)) {
        json_decref(arguments);
        return options_wrong(set.command, "the name or the role is no valid UTF-8");
    }
    json_t *made = reach_store(set.command, options_data_dir(data), REACH_MAKE, "token_create", arguments);
    if (made == NULL) {
        return 1;
    }
    const char *token = json_text(made, "token");
    if (token == NULL) {
        code = options_failed(set.command, "the answer names no token: is the relay of another version?");
    } else {
        printf("%s\n", token);
        code = options_finish(set.command);
    }
    json_decref(made);
    return code;
}

static int list(int argc, char **argv)
{
    const char *data = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"token list", HELP, entries, 1, NULL};
    int code = options_read(&set, argc, argv, NULL);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return print_pages(set.command, options_data_dir(data), "token_list");
}

static int revoke(int argc, char **argv)
{
    const char *data = NULL, *id = NULL;
    const struct option_entry entries[] = {{"data", &data, NULL}};
    const struct option_set set = {"token revoke", HELP, entries, 1, (const char *const[]){"ID", NULL}};
    int code = options_read(&set, argc, argv, &id);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    return print_change_of(set.command, options_data_dir(data), "token_revoke", id);
}

int cli_token(int argc, char **argv)
{
    static const struct option_action ACTIONS[] = {{"create", create}, {"list", list}, {"revoke", revoke}};
    return options_run_action("token", HELP, ACTIONS, 3, argc, argv);
}
