#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/change.h"
#include "admin/shape.h"
#include "base/json.h"
#include "store/reader.h"

typedef bool command_handler(const struct command_target *target, json_t *arguments, json_t **result,
                             struct problem *problem);

static bool create_token(const struct command_target *target, json_t *arguments, json_t **result,
                         struct problem *problem)
{
    return change_create_api_token(target->store, arguments, result, problem);
}

static bool create_device(const struct command_target *target, json_t *arguments, json_t **result,
                          struct problem *problem)
{
    return change_create_device(target->store, arguments, result, problem);
}

/* An argument that is none of the body's; "" when it is missing, which no id is. */
static const char *take_id(const json_t *arguments, const char *name)
{
    const char *id = json_text(arguments, name);
    return id == NULL ? "" : id;
}

static bool create_subscription(const struct command_target *target, json_t *arguments, json_t **result,
                                struct problem *problem)
{
    json_t *body = json_object_get(arguments, "body");
    return change_create_subscription(target->store, take_id(arguments, "device"), body, result, problem);
}

static bool revoke_token(const struct command_target *target, json_t *arguments, json_t **result,
                         struct problem *problem)
{
    *result = json_object();
    return change_revoke_api_token(target->store, take_id(arguments, "id"), problem);
}

static bool retire_device(const struct command_target *target, json_t *arguments, json_t **result,
                          struct problem *problem)
{
    *result = json_object();
    return change_retire_device(target->store, take_id(arguments, "id"), problem);
}

static bool show_key(const struct command_target *target, json_t *arguments, json_t **result,
                     struct problem *problem)
{
    (void)arguments, (void)problem;
    *result = shape_relay(target->store);
    return true;
}

static bool roll_key(const struct command_target *target, json_t *arguments, json_t **result,
                     struct problem *problem)
{
    (void)arguments;
    return change_roll_relay_key(target->store, result, problem);
}

static bool reconcile(const struct command_target *target, json_t *arguments, json_t **result,
                      struct problem *problem)
{
    (void)arguments;
    return change_reconcile(target->upstream, result, problem);
}

static bool list_tokens(const struct command_target *target, json_t *arguments, json_t **result,
                        struct problem *problem)
{
    (void)arguments;
    struct store_api_token *rows;
    size_t count;
    enum cs_err err = reader_api_tokens(target->store, &rows, &count);
    if (err != CS_OK) {
        problem_from_page(problem, err);
        return false;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        shape_append(items, shape_api_token(&rows[i]));
    }
    free(rows);
    *result = shape_page(items, "");
    return true;
}

static bool list_devices(const struct command_target *target, json_t *arguments, json_t **result,
                         struct problem *problem)
{
    struct reader_device_filter filter = {.limit = READER_PAGE_MOST,
                                          .cursor = json_text(arguments, "cursor")};
    struct store_device *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    enum cs_err err = reader_page_devices(target->store, &filter, &rows, &count, next);
    if (err != CS_OK) {
        problem_from_page(problem, err);
        return false;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        shape_append(items, shape_device(&rows[i]));
    }
    free(rows);
    *result = shape_page(items, next);
    return true;
}

static const struct {
    const char *name;
    command_handler *run;
} COMMANDS[] = {
    {"token_create", create_token},
    {"token_list", list_tokens},
    {"token_revoke", revoke_token},
    {"device_create", create_device},
    {"device_list", list_devices},
    {"device_retire", retire_device},
    {"subscription_create", create_subscription},
    {"key_show", show_key},
    {"key_roll", roll_key},
    {"reconcile", reconcile},
};

json_t *command_error(const char *text)
{
    json_t *answer = json_object();
    shape_put(answer, "error", json_string(text));
    return answer;
}

json_t *command_run(const struct command_target *target, json_t *request)
{
    const char *name = json_text(request, "command");
    json_t *arguments = json_object_get(request, "arguments");
    if (name == NULL || !json_is_object(arguments)) {
        return command_error("a request is {\"command\":\"…\",\"arguments\":{…}}");
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(name, COMMANDS[i].name) != 0) {
            continue;
        }
        json_t *result = NULL;
        struct problem problem;
        if (COMMANDS[i].run(target, arguments, &result, &problem)) {
            json_t *answer = json_object();
            shape_put(answer, "result", result);
            return answer;
        }
        json_decref(result);
        char text[sizeof problem.detail + sizeof problem.hint + sizeof problem.field + 8];
        snprintf(text, sizeof text, "%s%s%s: %s", problem.field, problem.field[0] == '\0' ? "" : ": ",
                 problem.detail, problem.hint);
        return command_error(text);
    }
    return command_error(
        "this relay does not know the command: is it of another version than the command line?");
}
