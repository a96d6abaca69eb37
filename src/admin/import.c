#include "admin/import.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/credential.h"
#include "admin/input.h"
#include "admin/internal.h"
#include "admin/shape.h"
#include "base/json.h"
#include "base/log.h"

/* What becomes of one line. */
struct entry {
    uint64_t line;
    bool refused; /* `problem` says why; else imports[at] and `credential` are its device */
    struct problem problem;
    size_t at;
    struct credential credential;
};

struct import {
    struct store *store;
    struct import_limits limits;
    FILE *results;
    uint64_t line; /* the one that is coming in; from 1 */
    size_t bytes;
    bool stopped; /* the rest is not looked at */
    bool failed;  /* the results are not whole */

    bool too_long; /* the line that is coming in */
    size_t text_size;
    char text[IMPORT_LINE_BYTES];

    size_t entry_count, import_count, subscription_count;
    struct entry entries[IMPORT_GROUP_LINES];
    struct store_import imports[IMPORT_GROUP_LINES];
};

struct import *import_open(struct store *store, const struct import_limits *limits, FILE *results)
{
    struct import *import = cs_alloc(sizeof *import);
    import->store = store;
    import->limits = *limits;
    import->results = results;
    import->line = 1;
    return import;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

static void write_result(struct import *import, json_t *result)
{
    if (json_dumpf(result, import->results, JSON_COMPACT) != 0 || fputc('\n', import->results) == EOF) {
        import->failed = import->stopped = true;
    }
    json_decref(result);
}

static json_t *begin_result(uint64_t line)
{
    json_t *result = json_object();
    shape_put(result, "line", json_integer((json_int_t)line));
    return result;
}

static void write_refusal(struct import *import, uint64_t line, const struct problem *problem)
{
    json_t *result = begin_result(line), *error = json_object();
    shape_put(error, "code", json_string(problem->code));
    shape_put(error, "detail", json_string(problem->detail));
    if (problem->field[0] != '\0') {
        shape_put(error, "field", json_string(problem->field));
    }
    shape_put(error, "hint", json_string(problem->hint));
    shape_put(result, "error", error);
    write_result(import, result);
}

static void write_made(struct import *import, const struct entry *entry)
{
    const struct store_import *made = &import->imports[entry->at];
    json_t *result = begin_result(entry->line), *subscriptions = json_array();
    shape_put(result, "id", json_string(made->device.id));
    credential_show(&entry->credential, result);
    for (size_t i = 0; i < made->subscription_count; i++) {
        shape_append(subscriptions, json_string(made->subscriptions[i].id));
    }
    shape_put(result, "subscriptions", subscriptions);
    write_result(import, result);
}

/* ---- a group --------------------------------------------------------------------------------------------------- */

/* What the store says of one device of a group, or of all. */
static void judge(struct entry *entry, const struct store_import *made, enum cs_err group)
{
    struct problem *problem = &entry->problem;
    entry->refused = group != CS_OK || made->err != CS_OK;
    if (group != CS_OK) {
        problem_from_store(problem, group);
        return;
    }
    switch (made->err) {
    case CS_OK:
        return;
    case CS_EINVAL:
        problem_set(problem, 422, "invalid_field", "name", "send 1 to 128 bytes of text",
                    "the name cannot be stored");
        return;
    case CS_EBUSY:
        problem_set(problem, 409, "too_many_subscriptions", "subscriptions",
                    "spread them over several devices, or raise [limits] subscriptions_per_device",
                    "a device may not have %zu subscriptions", made->subscription_count);
        return;
    case CS_ECONFLICT:
        problem_set(problem, 409, "subscription_exists", "subscriptions",
                    "name each address once: all spellings of it are one",
                    "there is an address twice among the subscriptions");
        return;
    case CS_EDENIED:
        credential_problem_double(problem, made->device.auth);
        return;
    case CS_ENOTFOUND:
    case CS_EFULL:
    case CS_ECLOSED:
    case CS_EIO:
        break;
    }
    problem_from_store(problem, made->err);
}

static void empty_group(struct import *import)
{
    for (size_t i = 0; i < import->import_count; i++) {
        free(import->imports[i].subscriptions);
    }
    for (size_t i = 0; i < import->entry_count; i++) {
        credential_wipe(&import->entries[i].credential);
    }
    import->entry_count = import->import_count = import->subscription_count = 0;
}

/* The last result: of the first line that is not looked at any more. */
static void stop(struct import *import, uint64_t line, const struct problem *problem)
{
    write_refusal(import, line, problem);
    import->stopped = true;
}

/* For the group's results, and for a last refusal: nobody shall lose a token that is in use. */
static bool take_room(struct import *import)
{
    off_t size = fflush(import->results) == 0 ? ftello(import->results) : -1;
    size_t room =
        (import->entry_count + 1) * IMPORT_RESULT_BYTES + import->subscription_count * STORE_ID_SIZE;
    return size >= 0 && posix_fallocate(fileno(import->results), size, (off_t)room) == 0;
}

static void write_group(struct import *import)
{
    for (size_t i = 0; i < import->entry_count && !import->failed; i++) {
        const struct entry *entry = &import->entries[i];
        if (entry->refused) {
            write_refusal(import, entry->line, &entry->problem);
        } else {
            write_made(import, entry);
        }
    }
}

static void finish_group(struct import *import)
{
    if (import->entry_count == 0) {
        return;
    }
    if (!take_room(import)) {
        struct problem problem;
        problem_set(&problem, 503, "disk_full", NULL,
                    "free space on the relay's disk, then send what is left, from this line on",
                    "the results cannot be kept: nothing was made of this line and those after it");
        stop(import, import->entries[0].line, &problem);
        empty_group(import);
        return;
    }
    enum cs_err err = CS_OK;
    if (import->import_count > 0) {
        err = store_import_devices(import->store, import->imports, import->import_count);
    }
    for (size_t i = 0; i < import->entry_count; i++) {
        struct entry *entry = &import->entries[i];
        if (!entry->refused) {
            judge(entry, &import->imports[entry->at], err);
        }
    }
    write_group(import);
    empty_group(import);
}

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static bool read_device(struct import *import, struct entry *entry)
{
    char error[JSON_ERROR_SIZE];
    struct problem *problem = &entry->problem;
    if (import->too_long) {
        problem_set(problem, 413, "line_too_long", NULL, "register this device by POST /api/v1/devices",
                    "the line has more than %d bytes", IMPORT_LINE_BYTES);
        return false;
    }
    json_t *body = json_read(import->text, import->text_size, ADMIN_JSON_DEPTH, error);
    if (body == NULL || !json_is_object(body)) {
        problem_set(problem, 400, "malformed_json", NULL, "send {\"name\":\"…\",…} in one line", "%s",
                    body == NULL ? error : "the line has to be one JSON object");
        json_decref(body);
        return false;
    }
    struct input_import input;
    bool good = input_import(body, &input, problem);
    json_decref(body);
    if (good) {
        entry->at = import->import_count++;
        import->imports[entry->at] = (struct store_import){.device = input.input.device,
                                                           .subscriptions = input.subscriptions,
                                                           .subscription_count = input.subscription_count,
                                                           .unique = true};
        import->subscription_count += input.subscription_count;
        credential_make(import->store, &input.input, &entry->credential);
        memcpy(import->imports[entry->at].credential, entry->credential.stored, STORE_HASH_SIZE);
    }
    return good;
}

static bool is_blank(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r')) {
        at++;
    }
    return at == size;
}

static void end_line(struct import *import)
{
    if (import->too_long || !is_blank(import->text, import->text_size)) {
        struct entry *entry = &import->entries[import->entry_count++];
        entry->line = import->line;
        entry->refused = !read_device(import, entry);
        if (import->entry_count == IMPORT_GROUP_LINES ||
            import->subscription_count >= IMPORT_GROUP_SUBSCRIPTIONS) {
            finish_group(import);
        }
    }
    import->line++;
    import->text_size = 0;
    import->too_long = false;
}

static void stop_at_limit(struct import *import, const char *code, const char *limit, size_t most)
{
    struct problem problem;
    problem_set(&problem, 413, code, NULL, "send what is left, from this line on, in another request",
                "an import takes %zu %s at a time: nothing was made of this line and those after it", most,
                limit);
    finish_group(import);
    if (!import->stopped) {
        stop(import, import->line, &problem);
    }
}

void import_take(struct import *import, const char *data, size_t size)
{
    while (size > 0 && !import->stopped) {
        if (import->line > import->limits.lines_most) {
            stop_at_limit(import, "too_many_lines", "lines", import->limits.lines_most);
            return;
        }
        const char *end = memchr(data, '\n', size);
        size_t part = end == NULL ? size : (size_t)(end - data), taken = end == NULL ? part : part + 1;
        if (taken > import->limits.bytes_most - import->bytes) {
            stop_at_limit(import, "body_too_large", "bytes", import->limits.bytes_most);
            return;
        }
        import->too_long = import->too_long || part > sizeof import->text - import->text_size;
        if (!import->too_long) {
            memcpy(import->text + import->text_size, data, part);
            import->text_size += part;
        }
        import->bytes += taken;
        data += taken;
        size -= taken;
        if (end != NULL) {
            end_line(import);
        }
    }
}

bool import_finish(struct import *import)
{
    if (!import->stopped) {
        end_line(import); /* a blank one, when the last line had its end */
    }
    if (!import->stopped) {
        finish_group(import);
    }
    /* What is left of the room that was taken goes. */
    if (fflush(import->results) != 0 || ftruncate(fileno(import->results), ftello(import->results)) != 0) {
        import->failed = true;
    }
    return !import->failed;
}

void import_close(struct import *import)
{
    empty_group(import);
    free(import);
}
