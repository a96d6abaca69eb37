#include "cli/print.h"

#include <stdio.h>

#include "admin/shape.h"
#include "base/json.h"
#include "cli/options.h"
#include "cli/reach.h"

bool print_put_text(json_t *object, const char *name, const char *text)
{
    return json_object_set_new(object, name, json_string(text)) == 0;
}

int print_line(const char *told_as, json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(value);
    return options_finish(told_as);
}

int print_pages(const char *told_as, const char *dir, const char *command)
{
    json_t *cursor = NULL;
    do {
        json_t *arguments = json_object();
        if (cursor != NULL) {
            shape_put(arguments, "cursor", cursor);
        }
        json_t *page = reach_store(told_as, dir, REACH_REFUSE, command, arguments);
        if (page == NULL) {
            return 1;
        }
        size_t index;
        json_t *item;
        json_array_foreach(json_object_get(page, "items"), index, item)
        {
            json_dumpf(item, stdout, JSON_COMPACT);
            putchar('\n');
        }
        const json_t *next = json_object_get(page, "next");
        cursor = json_is_string(next) ? json_string(json_string_value(next)) : NULL;
        json_decref(page);
    } while (cursor != NULL);
    return options_finish(told_as);
}

int print_change_of(const char *told_as, const char *dir, const char *command, const char *id)
{
    json_t *arguments = json_object();
    if (!print_put_text(arguments, "id", id)) {
        json_decref(arguments);
        return options_wrong(told_as, "the id is no valid UTF-8");
    }
    json_t *result = reach_store(told_as, dir, REACH_REFUSE, command, arguments);
    if (result == NULL) {
        return 1;
    }
    json_decref(result);
    return 0;
}
