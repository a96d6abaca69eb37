#include <stdlib.h>

#include "admin/change.h"
#include "admin/internal.h"
#include "admin/shape.h"

void tokens_create(struct admin *admin, struct http_request *request)
{
    json_t *body = http_request_json(request, ADMIN_JSON_DEPTH);
    if (body == NULL) {
        return;
    }
    json_t *result;
    struct problem problem;
    if (change_create_api_token(admin->store, body, &result, &problem)) {
        http_answer_json(request, 201, result);
    } else {
        problem_answer(request, &problem);
    }
    json_decref(body);
}

void tokens_list(struct admin *admin, struct http_request *request)
{
    struct store_api_token *rows;
    size_t count;
    enum cs_err err = reader_api_tokens(admin->store, &rows, &count);
    if (err != CS_OK) {
        struct problem problem;
        problem_from_page(&problem, err);
        problem_answer(request, &problem);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        shape_append(items, shape_api_token(&rows[i]));
    }
    free(rows);
    http_answer_json(request, 200, shape_page(items, ""));
}

void tokens_revoke(struct admin *admin, struct http_request *request)
{
    struct problem problem;
    if (change_revoke_api_token(admin->store, http_request_param(request, "id"), &problem)) {
        http_answer_empty(request, 204);
    } else {
        problem_answer(request, &problem);
    }
}
