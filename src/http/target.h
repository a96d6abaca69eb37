/*
 * target: what stands behind the method in a request line, taken apart: path segments and query parameters,
 * decoded. Pure: any thread, no I/O. (RFC 9112, section 3.2; RFC 3986; the query as HTML forms encode it.)
 */
#ifndef COINSLOT_HTTP_TARGET_H
#define COINSLOT_HTTP_TARGET_H

#include <stddef.h>

#include "base/err.h"

#define TARGET_SEGMENTS_MOST 16
#define TARGET_QUERY_MOST    32
#define TARGET_ERROR_SIZE    96

struct target_pair {
    const char *name, *value;
};

struct target {
    char *path; /* as it was sent, without the query; owned */
    char *text; /* what the pointers below point into; owned */
    size_t segment_count;
    const char *segments[TARGET_SEGMENTS_MOST]; /* "/callback/" has two, the second is empty */
    size_t query_count;
    struct target_pair query[TARGET_QUERY_MOST];
};

/*
 * CS_EINVAL, with the reason in words fit for whoever sent it: a bad percent-escape, an encoded NUL, too many
 * segments or parameters, a parameter given twice, a path that does not begin with a slash. target_fini in
 * either case.
 */
CS_MUST_CHECK enum cs_err target_init(struct target *target, const char *raw, char error[TARGET_ERROR_SIZE]);
void target_fini(struct target *target);

/* NULL when it is missing. */
const char *target_query(const struct target *target, const char *name);

#endif
