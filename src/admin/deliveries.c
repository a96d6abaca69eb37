#include <stdlib.h>

#include "admin/input.h"
#include "admin/internal.h"
#include "admin/shape.h"

static bool read_filter(struct http_request *request, struct reader_delivery_filter *filter,
                        uint8_t hash[PAYMENT_HASH_SIZE], struct problem *problem)
{
    const char *state = admin_query(request, "state"), *digits = admin_query(request, "hash");
    *filter = (struct reader_delivery_filter){
        .device = admin_query(request, "device"),
        .by_state = state != NULL,
        .hash = digits == NULL ? NULL : hash,
        .cursor = admin_query(request, "cursor"),
    };
    return (state == NULL || input_delivery_state(state, &filter->state, problem)) &&
           (digits == NULL || input_hash(digits, hash, problem)) &&
           input_range(admin_query(request, "from"), admin_query(request, "to"), &filter->from_ms,
                       &filter->to_ms, problem) &&
           input_limit(admin_query(request, "limit"), &filter->limit, problem);
}

void deliveries_list(struct admin *admin, struct http_request *request)
{
    struct reader_delivery_filter filter;
    uint8_t hash[PAYMENT_HASH_SIZE];
    struct problem problem;
    if (!read_filter(request, &filter, hash, &problem)) {
        problem_answer(request, &problem);
        return;
    }
    struct reader_delivery *rows;
    size_t count;
    char next[READER_CURSOR_SIZE];
    enum cs_err err = reader_page_deliveries(admin->store, &filter, &rows, &count, next);
    if (err != CS_OK) {
        problem_from_page(&problem, err);
        problem_answer(request, &problem);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        shape_append(items, shape_delivery(&rows[i]));
    }
    free(rows);
    http_answer_json(request, 200, shape_page(items, next));
}
