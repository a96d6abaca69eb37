#include "http/router.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct pattern {
    const struct http_route *route;
    const struct http_upload *upload; /* NULL: it is none */
    void *context;
    char *text; /* what the segments point into */
    size_t segment_count;
    size_t literal; /* characters, and one for each literal segment: an empty one counts too */
    const char *segments[TARGET_SEGMENTS_MOST];
    bool is_param[TARGET_SEGMENTS_MOST];
};

struct router {
    size_t count;
    struct pattern *patterns;
};

struct router *router_open(void)
{
    return cs_alloc(sizeof(struct router));
}

void router_close(struct router *router)
{
    for (size_t i = 0; i < router->count; i++) {
        free(router->patterns[i].text);
    }
    free(router->patterns);
    free(router);
}

static void pattern_init(struct pattern *pattern, const struct http_route *route, void *context)
{
    *pattern = (struct pattern){.route = route, .context = context, .text = cs_strdup(route->path)};
    assert(*pattern->text == '/');
    char *rest = pattern->text + 1;
    while (rest != NULL) {
        char *segment = strsep(&rest, "/");
        size_t at = pattern->segment_count++, length = strlen(segment);
        assert(at < TARGET_SEGMENTS_MOST);
        if (*segment == '{') {
            assert(length > 2 && segment[length - 1] == '}');
            segment[length - 1] = '\0';
            pattern->segments[at] = segment + 1;
            pattern->is_param[at] = true;
        } else {
            pattern->segments[at] = segment;
            pattern->literal += length + 1;
        }
    }
}

void router_add(struct router *router, const struct http_route *routes, size_t count, void *context)
{
    router->patterns = cs_realloc(router->patterns, (router->count + count) * sizeof(*router->patterns));
    for (size_t i = 0; i < count; i++) {
        pattern_init(&router->patterns[router->count++], &routes[i], context);
    }
}

void router_add_upload(struct router *router, const struct http_upload *upload, void *context)
{
    router_add(router, &upload->route, 1, context);
    router->patterns[router->count - 1].upload = upload;
}

static bool fits(const struct pattern *pattern, const struct target *target)
{
    if (pattern->segment_count != target->segment_count) {
        return false;
    }
    for (size_t i = 0; i < pattern->segment_count; i++) {
        if (pattern->is_param[i] ? *target->segments[i] == '\0'
                                 : strcmp(pattern->segments[i], target->segments[i]) != 0) {
            return false;
        }
    }
    return true;
}

static void allow(struct router_match *match, const char *method)
{
    size_t used = strlen(match->allow);
    int more = snprintf(match->allow + used, ROUTER_ALLOW_SIZE - used, "%s%s%s", used > 0 ? ", " : "", method,
                        strcmp(method, "GET") == 0 ? ", HEAD" : "");
    assert(more > 0 && (size_t)more < ROUTER_ALLOW_SIZE - used);
}

static void take(const struct pattern *pattern, const struct target *target, struct router_match *match)
{
    match->route = pattern->route;
    match->upload = pattern->upload;
    match->context = pattern->context;
    for (size_t i = 0; i < pattern->segment_count; i++) {
        if (pattern->is_param[i]) {
            match->params[match->param_count++] =
                (struct target_pair){pattern->segments[i], target->segments[i]};
        }
    }
}

enum router_outcome router_find(const struct router *router, const char *method, const struct target *target,
                                struct router_match *match)
{
    memset(match, 0, sizeof(*match));
    const struct pattern *best = NULL;
    for (size_t i = 0; i < router->count; i++) {
        const struct pattern *pattern = &router->patterns[i];
        if ((best == NULL || pattern->literal > best->literal) && fits(pattern, target)) {
            best = pattern;
        }
    }
    if (best == NULL) {
        return ROUTER_NO_PATH;
    }
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    for (size_t i = 0; i < router->count; i++) {
        const struct pattern *pattern = &router->patterns[i];
        if (pattern->literal == best->literal && fits(pattern, target)) {
            if (strcmp(pattern->route->method, wanted) == 0) {
                take(pattern, target, match);
                return ROUTER_FOUND;
            }
            allow(match, pattern->route->method);
        }
    }
    return ROUTER_NO_METHOD;
}

const char *router_param(const struct router_match *match, const char *name)
{
    for (size_t i = 0; i < match->param_count; i++) {
        if (strcmp(match->params[i].name, name) == 0) {
            return match->params[i].value;
        }
    }
    return NULL;
}
