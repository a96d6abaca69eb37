#include "lib/fault_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name {
    const char *text;
    unsigned value;
};

static const struct name ACTIONS[] = {
    {"none", FAULT_NONE},
    {"full", FAULT_FULL},
    {"io_error", FAULT_IO_ERROR},
    {"short_write", FAULT_SHORT_WRITE},
    {"kill_before", FAULT_KILL_BEFORE},
    {"kill_after", FAULT_KILL_AFTER},
    {"cut_before", FAULT_CUT_BEFORE},
    {"cut_after", FAULT_CUT_AFTER},
    {NULL, 0},
};
static const struct name CALLS[] = {
    {"open", FAULT_OPEN},
    {"read", FAULT_READ},
    {"write", FAULT_WRITE},
    {"truncate", FAULT_TRUNCATE},
    {"sync", FAULT_SYNC},
    {"size", FAULT_SIZE},
    {"delete", FAULT_DELETE},
    {"control", FAULT_CONTROL},
    {"share", FAULT_SHARE},
    {"all", FAULT_EVERY_CALL},
    {NULL, 0},
};
static const struct name FILES[] = {
    {"database", FAULT_DATABASE},   {"wal", FAULT_WAL},        {"journal", FAULT_JOURNAL},
    {"temporary", FAULT_TEMPORARY}, {"all", FAULT_EVERY_FILE}, {NULL, 0},
};

/* One name, or several with commas between. */
static bool parse_names(const struct name *names, char *text, unsigned *value)
{
    *value = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        const struct name *name = names;
        while (name->text != NULL && strcmp(name->text, word) != 0) {
            name++;
        }
        if (name->text == NULL) {
            return false;
        }
        *value |= name->value;
    }
    return true;
}

static bool parse_number(const char *text, uint64_t *value)
{
    char *end = NULL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static bool parse_setting(const char *key, char *value, struct fault_plan *plan)
{
    unsigned named;
    uint64_t number;
    if (strcmp(key, "action") == 0 && strchr(value, ',') == NULL && parse_names(ACTIONS, value, &named)) {
        plan->action = (enum fault_action)named;
    } else if (strcmp(key, "calls") == 0 && parse_names(CALLS, value, &named)) {
        plan->calls = named;
    } else if (strcmp(key, "files") == 0 && parse_names(FILES, value, &named)) {
        plan->files = named;
    } else if (strcmp(key, "at") == 0 && parse_number(value, &number)) {
        plan->at = number;
    } else if (strcmp(key, "lasting") == 0 && parse_number(value, &number) && number <= 1) {
        plan->lasting = number == 1;
    } else if (strcmp(key, "seed") == 0 && parse_number(value, &number)) {
        plan->seed = number;
    } else {
        return false;
    }
    return true;
}

bool fault_plan_parse(const char *text, struct fault_plan *plan, char error[FAULT_PLAN_ERROR_SIZE])
{
    struct fault_plan parsed = {.calls = FAULT_EVERY_CALL, .files = FAULT_EVERY_FILE, .seed = 1};
    char copy[256];
    if (strlen(text) >= sizeof(copy)) {
        snprintf(error, FAULT_PLAN_ERROR_SIZE, "a plan has at most %zu characters", sizeof(copy) - 1);
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest)) {
        char *equals = strchr(word, '=');
        if (equals != NULL) {
            *equals = '\0';
        }
        if (equals == NULL || !parse_setting(word, equals + 1, &parsed)) {
            snprintf(error, FAULT_PLAN_ERROR_SIZE,
                     "`%.40s` has no such value, or is none of action, calls, files, at, lasting, seed",
                     word);
            return false;
        }
    }
    *plan = parsed;
    return true;
}
