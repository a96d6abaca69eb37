#include <stdio.h>
#include <stdlib.h>

#include "admin/change.h"
#include "admin/internal.h"
#include "admin/shape.h"
#include "base/json.h"
#include "store/reconcile.h"

void subscriptions_create(struct admin *admin, struct http_request *request)
{
    json_t *body = http_request_json(request, ADMIN_JSON_DEPTH);
    if (body == NULL) {
        return;
    }
    json_t *result;
    struct problem problem;
    if (change_create_subscription(admin->store, http_request_param(request, "id"), body, &result,
                                   &problem)) {
        char location[128];
        snprintf(location, sizeof location, "/api/v1/devices/%s/subscriptions/%s",
                 json_text(result, "device"), json_text(result, "id"));
        http_request_add_header(request, "Location", location);
        http_answer_json(request, 201, result);
    } else {
        problem_answer(request, &problem);
    }
    json_decref(body);
}

void subscriptions_list(struct admin *admin, struct http_request *request)
{
    struct store_subscription *rows;
    size_t count;
    enum cs_err err = reader_subscriptions(admin->store, http_request_param(request, "id"), &rows, &count);
    if (err != CS_OK) {
        struct problem problem;
        problem_from_page(&problem, err);
        problem_answer(request, &problem);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct store_completeness completeness;
        struct reader_watched watched = {0};
        store_find_completeness(admin->store, &rows[i].address, &completeness);
        json_t *item = shape_subscription(&rows[i], &completeness);
        /* Removed in between: then nothing of it is known, and nothing is what is shown. */
        (void)!reader_watched(admin->store, &rows[i].address, &watched);
        shape_put_mark(json_object_get(item, "completeness"), &watched);
        shape_append(items, item);
    }
    free(rows);
    http_answer_json(request, 200, shape_page(items, ""));
}

void subscriptions_remove(struct admin *admin, struct http_request *request)
{
    struct problem problem;
    if (change_remove_subscription(admin->store, http_request_param(request, "id"),
                                   http_request_param(request, "sub"), &problem)) {
        http_answer_empty(request, 204);
    } else {
        problem_answer(request, &problem);
    }
}
