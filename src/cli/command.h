/*
 * command: what the command line asks of a store, as JSON in and JSON out. The same code runs in the relay,
 * behind the control socket, and in the command itself when no relay runs. Any thread but the writer.
 *
 *   {"command":"token_create","arguments":{"name":"N","role":"admin"}}  →  {"result":{…}}  or  {"error":"what
 * was wrong, what to do"}
 */
#ifndef COINSLOT_CLI_COMMAND_H
#define COINSLOT_CLI_COMMAND_H

#include <jansson.h>

#include "admin/admin.h"
#include "store/store.h"

#define COMMAND_JSON_DEPTH 4

struct command_target {
    struct store *store;
    const struct admin_upstream *upstream; /* NULL: no relay runs */
};

/* Owned by the caller; never NULL. */
json_t *command_run(const struct command_target *target, json_t *request);
json_t *command_error(const char *text);

#endif
