#include <stdlib.h>

#include "admin/change.h"
#include "admin/input.h"
#include "admin/internal.h"
#include "admin/shape.h"

void configs_set(struct admin *admin, struct http_request *request)
{
    json_t *body = http_request_json(request, ADMIN_JSON_DEPTH);
    if (body == NULL) {
        return;
    }
    json_t *result;
    struct problem problem;
    if (change_set_config(admin->store, http_request_param(request, "id"), body, &result, &problem)) {
        http_answer_json(request, 200, result);
    } else {
        problem_answer(request, &problem);
    }
    json_decref(body);
}

void configs_show(struct admin *admin, struct http_request *request)
{
    const char *id = http_request_param(request, "id");
    struct problem problem;
    uint64_t version;
    if (!input_version(admin_query(request, "version"), &version, &problem)) {
        problem_answer(request, &problem);
        return;
    }
    struct reader_config config;
    enum cs_err err = reader_config(admin->store, id, version, &config);
    if (err == CS_OK) {
        http_answer_json(request, 200, shape_config(&config));
        free(config.body);
        return;
    }
    struct store_device_key device;
    if (err == CS_ENOTFOUND && store_find_device(admin->store, id, &device)) {
        problem_set(
            &problem, 404, "config_not_found", version == 0 ? NULL : "version",
            "PUT …/config sets one, and so does each change of the subscriptions; versions count from 1",
            version == 0 ? "this device has no config yet" : "this device has no such version");
    } else {
        problem_from_page(&problem, err);
    }
    problem_answer(request, &problem);
}
