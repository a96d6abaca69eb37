#include "simulate/director.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/director_parts.h"

struct director *director_open(struct world *world, struct faults *faults, const struct director_hooks *hooks)
{
    struct director *director = cs_alloc(sizeof(*director));
    director->world = world;
    director->faults = faults;
    director->hooks = *hooks;
    return director;
}

void director_close(struct director *director)
{
    director_drop_jobs(director);
    free(director->paid);
    free(director);
}

static bool is_word(const char *key)
{
    return strcmp(key, "action") == 0 || strcmp(key, "do") == 0 || strcmp(key, "for_ms") == 0;
}

static json_t *set_faults(struct director *director, const json_t *request, const char **error)
{
    uint64_t for_ms = director_number(request, "for_ms", 0, 86400000, error);
    uint64_t until_ns = for_ms == 0 ? 0 : clock_monotonic_ns() + for_ms * 1000000;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)request, key, value)
    {
        if (*error != NULL || is_word(key)) {
            continue;
        }
        enum cs_err err = faults_set(director->faults, key, tree_data(value), until_ns);
        if (err != CS_OK) {
            *error = err == CS_ENOTFOUND ? "there is no such fault" : "the fault does not take this value";
        }
    }
    return *error != NULL ? NULL : faults_print(director->faults);
}

static json_t *print_status(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    json_t *status = json_object();
    mimic_put_number(status, "payments", director->paid_count);
    mimic_put_number(status, "payments_left", director_payments_left(director));
    director->hooks.put_status(director->hooks.context, status);
    json_object_set_new(status, "faults", faults_print(director->faults));
    return status;
}

static json_t *cut_ws(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    director->hooks.cut_ws(director->hooks.context);
    return json_object();
}

static json_t *close_ws(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    director->hooks.close_ws(director->hooks.context);
    return json_object();
}

static json_t *forget_callbacks(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    director->hooks.forget_callbacks(director->hooks.context);
    return json_object();
}

static json_t *restart(struct director *director, const json_t *request, const char **error)
{
    uint64_t down_ms = director_number(request, "down_ms", 0, 600000, error);
    if (*error != NULL) {
        return NULL;
    }
    director->hooks.restart(director->hooks.context, (unsigned)down_ms);
    return json_object();
}

static json_t *reset_times(struct director *director, const json_t *request, const char **error)
{
    (void)request, (void)error;
    ledger_set_times(world_ledger(director->world), clock_wall_ms() / 1000);
    return json_object();
}

static const struct {
    const char *name;
    json_t *(*run)(struct director *director, const json_t *request, const char **error);
} WORDS[] = {
    {"accounts", director_accounts},
    {"adopt", director_adopt},
    {"pay", director_pay},
    {"pocket", director_pocket},
    {"auto_receive", director_auto_receive},
    {"change", director_change},
    {"confirm", director_confirm},
    {"announce", director_announce},
    {"faults", set_faults},
    {"payments", director_payments},
    {"status", print_status},
    {"cut_ws", cut_ws},
    {"close_ws", close_ws},
    {"forget_callbacks", forget_callbacks},
    {"restart", restart},
    {"reset_times", reset_times},
};

json_t *director_answer(struct director *director, const json_t *request, const char **error)
{
    const char *word = tree_text(request, "do");
    *error = NULL;
    for (size_t i = 0; word != NULL && i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(WORDS[i].name, word) != 0) {
            continue;
        }
        json_t *answer = WORDS[i].run(director, request, error);
        if (*error != NULL) {
            json_decref(answer);
            return NULL;
        }
        if (json_object_size(answer) == 0) {
            tree_put(answer, "done", "1");
        }
        return answer;
    }
    *error = "`do` takes a word that docs/simulated-node.md has";
    return NULL;
}
