/*
 * internal: what the files of admin share. Handlers run on http's threads, after the caller's role and the
 * query were checked.
 */
#ifndef COINSLOT_ADMIN_INTERNAL_H
#define COINSLOT_ADMIN_INTERNAL_H

#include <stdatomic.h>

#include "admin/admin.h"

struct admin_entry;

struct admin {
    struct admin_options options;
    struct store *store;
    struct admin_entry *entries; /* one a route */
    metrics_count *unauthorized, *forbidden;
    uint64_t opened_ns;
    atomic_int imports; /* under way */
};

typedef void admin_handler(struct admin *admin, struct http_request *request);

admin_handler devices_create, devices_list, devices_show, devices_change, devices_retire;
admin_handler devices_import_begin, devices_import;
void devices_import_receive(struct admin *admin, struct http_request *request, const char *data, size_t size);
admin_handler configs_set, configs_show;
admin_handler relay_show, relay_roll_key;
admin_handler subscriptions_create, subscriptions_list, subscriptions_remove;
admin_handler deliveries_list, payments_list;
admin_handler tokens_create, tokens_list, tokens_revoke;
admin_handler sources_show, sources_reconcile, sources_status;
admin_handler status_health, status_ready, status_metrics;

#define ADMIN_JSON_DEPTH 4

/* A query parameter; NULL when it is missing or empty, as a form sends it. */
const char *admin_query(const struct http_request *request, const char *name);

#endif
