#include "admin/admin.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/internal.h"
#include "admin/problem.h"
#include "base/clock.h"
#include "base/log.h"

#define BODY_MOST_BYTES 16384

enum admin_access {
    BY_TOKEN,
    LOOPBACK, /* there no token is asked for: monitors run beside the relay */
    PUBLIC,   /* nobody is asked for one */
};

struct admin_route {
    const char *method, *path;
    enum store_role least;
    enum admin_access access;
    const char *const *query;
    admin_handler *handle;
};

/* A route that takes its body part by part: the role is looked at before the first one. */
struct admin_upload {
    struct admin_route route;
    admin_handler *begin;
    void (*receive)(struct admin *admin, struct http_request *request, const char *data, size_t size);
};

struct admin_entry {
    struct admin *admin;
    const struct admin_route *route;
    const struct admin_upload *upload; /* NULL: it is none */
    struct http_upload face;           /* of a plain route its `route` alone */
};

#define QUERY(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_QUERY   ((const char *const[]){NULL})

/* Who may do what: all of it. A role may do what the roles before it may: viewer, auditor, operator, admin.
 */
static const struct admin_route ROUTES[] = {
    {"GET", "/healthz", ROLE_VIEWER, LOOPBACK, NO_QUERY, status_health},
    {"GET", "/readyz", ROLE_VIEWER, LOOPBACK, NO_QUERY, status_ready},
    {"GET", "/metrics", ROLE_VIEWER, LOOPBACK, NO_QUERY, status_metrics},
    {"GET", "/api/v1/devices", ROLE_VIEWER, BY_TOKEN, QUERY("state", "limit", "cursor"), devices_list},
    {"POST", "/api/v1/devices", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, devices_create},
    {"GET", "/api/v1/devices/{id}", ROLE_VIEWER, BY_TOKEN, NO_QUERY, devices_show},
    {"PATCH", "/api/v1/devices/{id}", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, devices_change},
    {"DELETE", "/api/v1/devices/{id}", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, devices_retire},
    {"GET", "/api/v1/devices/{id}/config", ROLE_VIEWER, BY_TOKEN, QUERY("version"), configs_show},
    {"PUT", "/api/v1/devices/{id}/config", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, configs_set},
    {"GET", "/api/v1/devices/{id}/subscriptions", ROLE_VIEWER, BY_TOKEN, NO_QUERY, subscriptions_list},
    {"POST", "/api/v1/devices/{id}/subscriptions", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, subscriptions_create},
    {"DELETE", "/api/v1/devices/{id}/subscriptions/{sub}", ROLE_OPERATOR, BY_TOKEN, NO_QUERY,
     subscriptions_remove},
    {"GET", "/api/v1/deliveries", ROLE_VIEWER, BY_TOKEN,
     QUERY("device", "state", "from", "to", "hash", "limit", "cursor"), deliveries_list},
    {"GET", "/api/v1/payments", ROLE_VIEWER, BY_TOKEN,
     QUERY("address", "hash", "from", "to", "limit", "cursor"), payments_list},
    {"GET", "/api/v1/tokens", ROLE_ADMIN, BY_TOKEN, NO_QUERY, tokens_list},
    {"POST", "/api/v1/tokens", ROLE_ADMIN, BY_TOKEN, NO_QUERY, tokens_create},
    {"DELETE", "/api/v1/tokens/{id}", ROLE_ADMIN, BY_TOKEN, NO_QUERY, tokens_revoke},
    {"GET", "/api/v1/sources", ROLE_VIEWER, BY_TOKEN, NO_QUERY, sources_show},
    {"POST", "/api/v1/reconcile", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, sources_reconcile},
    {"GET", "/api/v1/status/{address}", ROLE_VIEWER, PUBLIC, NO_QUERY, sources_status},
    {"GET", "/api/v1/relay", ROLE_VIEWER, BY_TOKEN, NO_QUERY, relay_show},
    {"POST", "/api/v1/relay/roll-key", ROLE_ADMIN, BY_TOKEN, NO_QUERY, relay_roll_key},
};
static const struct admin_upload UPLOADS[] = {
    {{"POST", "/api/v1/devices/import", ROLE_OPERATOR, BY_TOKEN, NO_QUERY, devices_import},
     devices_import_begin,
     devices_import_receive},
};
#define ROUTE_COUNT  (sizeof ROUTES / sizeof ROUTES[0])
#define UPLOAD_COUNT (sizeof UPLOADS / sizeof UPLOADS[0])

const char *admin_query(const struct http_request *request, const char *name)
{
    const char *value = http_request_query(request, name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* A proxy on this machine makes everybody look like loopback; these headers betray it. */
static bool from_this_machine(const struct http_request *request)
{
    return http_request_from_loopback(request) && http_request_header(request, "Forwarded") == NULL &&
           http_request_header(request, "X-Forwarded-For") == NULL &&
           http_request_header(request, "Via") == NULL;
}

/* RFC 6750, section 2.1: `Bearer`, in any case (RFC 9110, section 11.1), blanks, the token. NULL when it is
 * nothing of the kind. */
static const char *bearer_token(const char *header)
{
    if (header == NULL || strncasecmp(header, "Bearer ", 7) != 0) {
        return NULL;
    }
    header += 7;
    header += strspn(header, " ");
    return header[0] == '\0' ? NULL : header;
}

static void answer_unauthorized(struct admin *admin, struct http_request *request, bool given)
{
    metrics_add(admin->unauthorized, 1);
    http_request_add_header(request, "WWW-Authenticate",
                            given ? "Bearer realm=\"coinslot\", error=\"invalid_token\""
                                  : "Bearer realm=\"coinslot\"");
    http_answer_problem(
        request, 401, given ? "invalid_token" : "token_needed", NULL,
        "send `Authorization: Bearer TOKEN`; on the relay's machine `coinslot token create --name NAME "
        "--role ROLE` makes one",
        "%s", given ? "this token is unknown or revoked" : "there is no bearer token in the request");
}

static bool authorize(struct admin *admin, const struct admin_route *route, struct http_request *request)
{
    if (route->access == PUBLIC || (route->access == LOOPBACK && from_this_machine(request))) {
        return true;
    }
    const char *token = bearer_token(http_request_header(request, "Authorization"));
    struct store_api_token found;
    uint8_t hash[STORE_HASH_SIZE];
    if (token != NULL) {
        store_hash_token(admin->store, token, hash);
    }
    if (token == NULL || !store_find_api_token(admin->store, hash, &found)) {
        answer_unauthorized(admin, request, token != NULL);
        return false;
    }
    if (found.role < route->least) {
        char hint[120];
        snprintf(hint, sizeof hint, "ask an admin for a token with the role %s%s",
                 store_role_text(route->least), route->least == ROLE_ADMIN ? "" : " or higher");
        metrics_add(admin->forbidden, 1);
        http_request_add_header(request, "WWW-Authenticate",
                                "Bearer realm=\"coinslot\", error=\"insufficient_scope\"");
        http_answer_problem(request, 403, "role_too_low", NULL, hint,
                            "a token with the role %s may not do this", store_role_text(found.role));
        return false;
    }
    return true;
}

static bool only_known_query(const struct admin_route *route, struct http_request *request)
{
    const char *odd;
    if (http_request_query_only(request, route->query, &odd)) {
        return true;
    }
    char hint[160] = "this address takes none";
    size_t length = 0;
    for (const char *const *name = route->query; *name != NULL && length < sizeof hint; name++) {
        length += (size_t)snprintf(hint + length, sizeof hint - length, "%s%s",
                                   name == route->query ? "each once, it takes: " : ", ", *name);
    }
    struct problem problem;
    problem_set(&problem, 400, "unknown_parameter", odd, hint,
                "this query parameter is unknown, or comes twice");
    problem_answer(request, &problem);
    return false;
}

static bool may_go_on(const struct admin_entry *entry, struct http_request *request)
{
    return authorize(entry->admin, entry->route, request) && only_known_query(entry->route, request);
}

static void dispatch(void *context, struct http_request *request)
{
    const struct admin_entry *entry = context;
    if (may_go_on(entry, request)) {
        entry->route->handle(entry->admin, request);
    }
}

static void dispatch_begin(void *context, struct http_request *request)
{
    const struct admin_entry *entry = context;
    if (may_go_on(entry, request)) {
        entry->upload->begin(entry->admin, request);
    }
}

static void dispatch_part(void *context, struct http_request *request, const char *data, size_t size)
{
    const struct admin_entry *entry = context;
    entry->upload->receive(entry->admin, request, data, size);
}

/* Nobody gets here whose parts were not let in. */
static void dispatch_end(void *context, struct http_request *request)
{
    const struct admin_entry *entry = context;
    entry->route->handle(entry->admin, request);
}

static void add_routes(struct admin *admin, struct http *http)
{
    admin->entries = cs_alloc((ROUTE_COUNT + UPLOAD_COUNT) * sizeof *admin->entries);
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        struct admin_entry *entry = &admin->entries[i];
        entry->admin = admin;
        entry->route = &ROUTES[i];
        entry->face.route =
            (struct http_route){entry->route->method, entry->route->path, dispatch, BODY_MOST_BYTES};
        http_add_routes(http, &entry->face.route, 1, entry);
    }
    for (size_t i = 0; i < UPLOAD_COUNT; i++) {
        struct admin_entry *entry = &admin->entries[ROUTE_COUNT + i];
        entry->admin = admin;
        entry->route = &UPLOADS[i].route;
        entry->upload = &UPLOADS[i];
        entry->face = (struct http_upload){
            {entry->route->method, entry->route->path, dispatch_end, admin->options.import_bytes_most},
            dispatch_begin,
            dispatch_part};
        http_add_upload(http, &entry->face, entry);
    }
}

struct admin *admin_open(const struct admin_options *options, struct store *store, struct http *http)
{
    assert(options->metrics != NULL && options->spool_dir != NULL);
    struct admin *admin = cs_alloc(sizeof *admin);
    admin->options = *options;
    admin->store = store;
    admin->opened_ns = clock_monotonic_ns();
    admin->unauthorized =
        metrics_add_counter(options->metrics, "coinslot_admin_refused_total", "status=\"401\"",
                            "Requests to the admin API refused for their token or role");
    admin->forbidden = metrics_add_counter(options->metrics, "coinslot_admin_refused_total", "status=\"403\"",
                                           "Requests to the admin API refused for their token or role");
    add_routes(admin, http);
    return admin;
}

void admin_close(struct admin *admin)
{
    free(admin->entries);
    free(admin);
}
