/* What an operator sets for a device: its tariff, when a payment comes too late, whether it has to prove itself. */
#include <stdlib.h>
#include <string.h>

#include "admin/fields.h"
#include "admin/input.h"
#include "admin/shape.h"
#include "base/log.h"

#define STEPS_MOST   32
#define SECONDS_MOST 2147483647 /* devices count in 31 bits */

static const char SECONDS_HINT[] = "send a whole number of seconds, like 600";

static bool take_step(json_t *step, struct amount *before, json_t *steps, struct problem *problem)
{
    static const char *const FIELDS[] = {"amount", "seconds", NULL};
    struct amount amount;
    json_int_t seconds;
    if (!json_is_object(step)) {
        return fields_refuse(problem, NULL, "send {\"amount\":\"<raw>\",\"seconds\":600}",
                             "this is no object");
    }
    if (!fields_only(step, FIELDS, problem) || !fields_take_amount(step, "amount", true, &amount, problem) ||
        !fields_take_count(step, "seconds", true, SECONDS_MOST, SECONDS_HINT, &seconds, problem)) {
        return false;
    }
    /* `before` is 0 at the first one: an amount of 0 buys nothing. */
    if (amount_compare(amount, *before) <= 0) {
        return fields_refuse(problem, "amount",
                             "send each step with a larger amount than the one before, the first above 0",
                             "the amounts of the steps do not ascend");
    }
    *before = amount;
    json_t *taken = json_object();
    shape_put(taken, "amount", shape_amount(amount));
    shape_put(taken, "seconds", json_integer(seconds));
    shape_append(steps, taken);
    return true;
}

static bool take_steps(const json_t *tariff, json_t *taken, struct problem *problem)
{
    static const char HINT[] = "send [{\"amount\":\"<raw>\",\"seconds\":600}, …], 1 to 32 steps";
    json_t *steps, *step;
    if (!fields_take_value(tariff, "steps", JSON_ARRAY, HINT, &steps, problem)) {
        return false;
    }
    size_t count = json_array_size(steps), index;
    if (count < 1 || count > STEPS_MOST) {
        return fields_refuse(problem, "steps", HINT, "there are %zu steps", count);
    }
    struct amount before = {0, 0};
    json_array_foreach(steps, index, step)
    {
        if (!take_step(step, &before, taken, problem)) {
            fields_inside(problem, "steps[%zu]", index);
            return false;
        }
    }
    return true;
}

static bool take_tariff(json_t *tariff, json_t *taken, struct problem *problem)
{
    static const char *const FIELDS[] = {"steps", "minimum", "cap_s", NULL};
    struct amount minimum;
    json_int_t cap_s;
    json_t *steps = json_array();
    shape_put(taken, "steps", steps);
    if (!fields_only(tariff, FIELDS, problem) || !take_steps(tariff, steps, problem) ||
        !fields_take_amount(tariff, "minimum", false, &minimum, problem) ||
        !fields_take_count(tariff, "cap_s", true, SECONDS_MOST, SECONDS_HINT, &cap_s, problem)) {
        return false;
    }
    shape_put(taken, "minimum", shape_amount(minimum));
    shape_put(taken, "cap_s", json_integer(cap_s));
    return true;
}

static bool take_config(json_t *body, json_t *taken, struct problem *problem)
{
    static const char *const FIELDS[] = {"tariff", "late_after_s", "proof", NULL};
    json_t *tariff, *proof, *taken_tariff = json_object();
    json_int_t late_after_s;
    shape_put(taken, "tariff", taken_tariff);
    if (!fields_only(body, FIELDS, problem) ||
        !fields_take_value(
            body, "tariff", JSON_OBJECT,
            "send \"tariff\":{\"steps\":[{\"amount\":\"<raw>\",\"seconds\":600}],\"cap_s\":7200}", &tariff,
            problem)) {
        return false;
    }
    if (!take_tariff(tariff, taken_tariff, problem)) {
        fields_inside(problem, "tariff");
        return false;
    }
    if (!fields_take_count(body, "late_after_s", false, SECONDS_MOST,
                           "send a whole number of seconds, or null: then no payment comes too late",
                           &late_after_s, problem)) {
        return false;
    }
    shape_put(taken, "late_after_s", late_after_s == 0 ? json_null() : json_integer(late_after_s));
    proof = json_object_get(body, "proof");
    if (proof != NULL && !json_is_boolean(proof)) {
        return fields_refuse(problem, "proof",
                             "send true, or false: then payments come without the blocks that prove them",
                             "`proof` is neither true nor false");
    }
    if (json_is_true(proof)) {
        shape_put(taken, "proof", json_true()); /* false is as good as nothing: frames stay short */
    }
    return true;
}

bool input_config(json_t *body, char settings[STORE_SETTINGS_MOST + 1], struct problem *problem)
{
    json_t *taken = json_object();
    bool good = take_config(body, taken, problem);
    if (good) {
        size_t length = json_dumpb(taken, settings, STORE_SETTINGS_MOST, JSON_COMPACT);
        if (length == 0) {
            log_die("admin", "out of memory");
        }
        if (length > STORE_SETTINGS_MOST) {
            good = fields_refuse(problem, "tariff", "send fewer steps, or shorter amounts",
                                 "the config has %zu bytes, %d is the most", length, STORE_SETTINGS_MOST);
        } else {
            settings[length] = '\0';
        }
    }
    json_decref(taken);
    return good;
}
