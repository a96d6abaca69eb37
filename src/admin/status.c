#include "admin/internal.h"
#include "admin/shape.h"

void status_health(struct admin *admin, struct http_request *request)
{
    (void)admin;
    json_t *body = json_object();
    shape_put(body, "status", json_string("ok"));
    http_answer_json(request, 200, body);
}

/* True when it is well. */
static bool add_check(json_t *checks, const char *name, const char *trouble)
{
    json_t *check = json_object();
    shape_put(check, "name", json_string(name));
    shape_put(check, "ok", json_boolean(trouble == NULL));
    shape_put(check, "detail", trouble == NULL ? json_null() : json_string(trouble));
    shape_append(checks, check);
    return trouble == NULL;
}

void status_ready(struct admin *admin, struct http_request *request)
{
    const struct admin_options *options = &admin->options;
    json_t *checks = json_array(), *warnings = json_array();
    bool ready = true;
    for (size_t i = 0; i < options->check_count; i++) {
        const struct admin_check *check = &options->checks[i];
        ready = add_check(checks, check->name, check->check(check->context)) && ready;
    }
    for (size_t i = 0; i < options->warning_count; i++) {
        shape_append(warnings, json_string(options->warnings[i]));
    }
    json_t *body = json_object();
    shape_put(body, "status", json_string(ready ? "ready" : "not_ready"));
    shape_put(body, "checks", checks);
    shape_put(body, "warnings", warnings);
    http_answer_json(request, ready ? 200 : 503, body);
}

void status_metrics(struct admin *admin, struct http_request *request)
{
    http_answer_text(request, 200, "text/plain; version=0.0.4; charset=utf-8",
                     metrics_print(admin->options.metrics));
}
