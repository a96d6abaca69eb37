/*
 * admin: the REST API under /api/v1, /healthz, /readyz and /metrics.
 * Handlers run on http's threads; changes wait for their commit. Who may do what stands in one route table
 * (admin.c).
 */
#ifndef COINSLOT_ADMIN_ADMIN_H
#define COINSLOT_ADMIN_ADMIN_H

#include "base/metrics.h"
#include "http/http.h"
#include "store/store.h"

struct admin;

/* One line of /readyz. `check` runs on http's threads and returns NULL when all is well, else why not, in
 * words. */
struct admin_check {
    const char *name;
    const char *(*check)(void *context);
    void *context;
};

/* Where payments come from, as far as the API shows it. */
struct admin_upstream {
    void *context;
    char *(*print)(void *context); /* one JSON object; owned by the caller: free() */
    bool (*reconcile)(void *context,
                      const char *why); /* false: there is no node to ask; `why` lives for ever */
};

struct admin_options {
    struct admin_upstream upstream; /* all of it is set */
    const struct admin_check *checks;
    size_t check_count;
    const char *const *warnings; /* said by /readyz without turning it red: "confirm = source trusts …" */
    size_t warning_count;
    struct metrics *metrics;
    const char *spool_dir; /* borrowed; a folder for files that have no name while they are there */
    size_t import_bytes_most;
    uint32_t import_lines_most;
};

/* Adds its routes to `http`; lives until after http_close. */
struct admin *admin_open(const struct admin_options *options, struct store *store, struct http *http);
void admin_close(struct admin *admin);

#endif
