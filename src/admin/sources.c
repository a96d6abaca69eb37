/* Where news comes from, and whether one may pay now. */
#include <stdio.h>
#include <stdlib.h>

#include "admin/change.h"
#include "admin/input.h"
#include "admin/internal.h"
#include "admin/shape.h"
#include "base/clock.h"
#include "store/reconcile.h"

#define STATUS_MAX_AGE "max-age=5"

void sources_show(struct admin *admin, struct http_request *request)
{
    const struct admin_upstream *upstream = &admin->options.upstream;
    http_answer_text(request, 200, "application/json", upstream->print(upstream->context));
}

void sources_reconcile(struct admin *admin, struct http_request *request)
{
    json_t *result;
    struct problem problem;
    if (change_reconcile(&admin->options.upstream, &result, &problem)) {
        http_answer_json(request, 202, result);
    } else {
        problem_answer(request, &problem);
    }
}

/* Why nobody should pay to this address now: a code; NULL: all is well. */
static const char *trouble(struct admin *admin, const struct store_completeness *found)
{
    if (found->disabled) {
        return "device_disabled";
    }
    if (!found->connected) {
        return "device_away";
    }
    if (store_refusal(admin->store) != NULL) {
        return "store_full";
    }
    const char *reason = store_not_payable(admin->store);
    return reason == NULL && found->unprovable ? "node_unreachable" : reason;
}

void sources_status(struct admin *admin, struct http_request *request)
{
    struct problem problem;
    struct address address;
    struct store_completeness found;
    http_request_add_header(request, "Access-Control-Allow-Origin", "*");
    if (!input_address(http_request_param(request, "address"), &address, &problem)) {
        problem_answer(request, &problem);
        return;
    }
    store_find_completeness(admin->store, &address, &found);
    if (!found.subscribed) {
        http_answer_problem(request, 404, "unknown_address", NULL, "compare it with where it was copied from",
                            "no device of this relay is paid at this address: do not pay to it");
        return;
    }
    const char *reason = trouble(admin, &found);
    json_t *body = json_object();
    shape_put(body, "chain", json_string(chain_text((enum chain)address.chain)));
    shape_put(body, "address", shape_address(&address));
    shape_put(body, "payable", json_boolean(reason == NULL));
    shape_put(body, "reason", reason == NULL ? json_null() : json_string(reason));
    shape_put(body, "completeness", shape_completeness(&found));
    shape_put(body, "at", shape_time(clock_wall_ms()));
    http_request_add_header(request, "Cache-Control", "public, " STATUS_MAX_AGE);
    http_answer_json(request, 200, body);
}
