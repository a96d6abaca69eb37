#include "admin/change.h"
#include "admin/internal.h"
#include "admin/shape.h"
#include "base/clock.h"

static void answer(const struct admin *admin, struct http_request *request, json_t *relay)
{
    uint64_t uptime_ns = clock_monotonic_ns() - admin->opened_ns;
    shape_put(relay, "uptime_s", json_integer((json_int_t)(uptime_ns / 1000000000u)));
    http_answer_json(request, 200, relay);
}

void relay_show(struct admin *admin, struct http_request *request)
{
    answer(admin, request, shape_relay(admin->store));
}

void relay_roll_key(struct admin *admin, struct http_request *request)
{
    json_t *result;
    struct problem problem;
    if (change_roll_relay_key(admin->store, &result, &problem)) {
        answer(admin, request, result);
    } else {
        problem_answer(request, &problem);
    }
}
