#include <stdio.h>
#include <stdlib.h>

#include "admin/change.h"
#include "admin/input.h"
#include "admin/internal.h"
#include "admin/shape.h"
#include "base/json.h"

void devices_create(struct admin *admin, struct http_request *request)
{
    json_t *body = http_request_json(request, ADMIN_JSON_DEPTH);
    if (body == NULL) {
        return;
    }
    json_t *result;
    struct problem problem;
    if (change_create_device(admin->store, body, &result, &problem)) {
        char location[64];
        snprintf(location, sizeof location, "/api/v1/devices/%s", json_text(result, "id"));
        http_request_add_header(request, "Location", location);
        http_answer_json(request, 201, result);
    } else {
        problem_answer(request, &problem);
    }
    json_decref(body);
}

void devices_list(struct admin *admin, struct http_request *request)
{
    struct problem problem;
    struct reader_device_filter filter = {.cursor = admin_query(request, "cursor")};
    const char *state = admin_query(request, "state");
    filter.by_state = state != NULL;
    if ((state != NULL && !input_device_state(state, &filter.state, &problem)) ||
        !input_limit(admin_query(request, "limit"), &filter.limit, &problem)) {
        problem_answer(request, &problem);
        return;
    }
    struct store_device *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    enum cs_err err = reader_page_devices(admin->store, &filter, &rows, &count, next);
    if (err != CS_OK) {
        problem_from_page(&problem, err);
        problem_answer(request, &problem);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        shape_append(items, shape_device(&rows[i]));
    }
    free(rows);
    http_answer_json(request, 200, shape_page(items, next));
}

void devices_show(struct admin *admin, struct http_request *request)
{
    struct store_device device;
    struct problem problem;
    enum cs_err err = reader_device(admin->store, http_request_param(request, "id"), &device);
    if (err == CS_OK) {
        http_answer_json(request, 200, shape_device(&device));
        return;
    }
    problem_from_page(&problem, err);
    problem_answer(request, &problem);
}

void devices_change(struct admin *admin, struct http_request *request)
{
    json_t *body = http_request_json(request, ADMIN_JSON_DEPTH);
    if (body == NULL) {
        return;
    }
    json_t *result;
    struct problem problem;
    if (change_device(admin->store, http_request_param(request, "id"), body, &result, &problem)) {
        http_answer_json(request, 200, result);
    } else {
        problem_answer(request, &problem);
    }
    json_decref(body);
}

void devices_retire(struct admin *admin, struct http_request *request)
{
    struct problem problem;
    if (change_retire_device(admin->store, http_request_param(request, "id"), &problem)) {
        http_answer_empty(request, 204);
    } else {
        problem_answer(request, &problem);
    }
}
