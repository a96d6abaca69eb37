/* The request target as anybody may send it, method before the first line break, and what the router makes of
 * it. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "http/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void nothing(void *context, struct http_request *request)
{
    (void)context, (void)request;
}

static const struct http_route ROUTES[] = {
    {"GET", "/healthz", nothing, 0},
    {"POST", "/callback/", nothing, 0},
    {"POST", "/callback/{secret}", nothing, 0},
    {"GET", "/api/v1/devices/{id}", nothing, 0},
    {"DELETE", "/api/v1/devices/{id}/subscriptions/{subscription}", nothing, 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = cs_alloc(size + 1);
    memcpy(text, data, size);
    char *raw = text;
    const char *method = strsep(&raw, "\n");

    struct router *router = router_open();
    router_add(router, ROUTES, sizeof(ROUTES) / sizeof(ROUTES[0]), NULL);
    struct target target;
    struct router_match match;
    char error[TARGET_ERROR_SIZE] = "";
    if (raw != NULL && target_init(&target, raw, error) == CS_OK) {
        assert(target.segment_count > 0 && target.segment_count <= TARGET_SEGMENTS_MOST);
        for (size_t i = 0; i < target.query_count; i++) {
            assert(target_query(&target, target.query[i].name) == target.query[i].value);
        }
        enum router_outcome outcome = router_find(router, method, &target, &match);
        assert((outcome == ROUTER_FOUND) == (match.route != NULL));
        assert((outcome == ROUTER_NO_METHOD) == (match.route == NULL && *match.allow != '\0'));
        for (size_t i = 0; i < match.param_count; i++) {
            assert(*match.params[i].value != '\0' && router_param(&match, match.params[i].name) != NULL);
        }
    } else {
        assert(raw == NULL || *error != '\0');
    }
    if (raw != NULL) {
        target_fini(&target);
    }
    router_close(router);
    free(text);
    return 0;
}
