/*
 * callback: a Nano node's HTTP callback (`POST /callback/` and `/callback/<secret>`).
 * Handlers run on http's threads: parse, match, verify, submit; the 200 leaves after the payment's commit.
 * A source that can be forged: where it may come from is checked here (DESIGN.md, section 6).
 */
#ifndef COINSLOT_NODE_CALLBACK_H
#define COINSLOT_NODE_CALLBACK_H

#include "base/metrics.h"
#include "http/http.h"
#include "store/store.h"

enum callback_signature {
    SIGNATURE_AUTO,
    SIGNATURE_ALWAYS,
    SIGNATURE_NEVER
}; /* auto: always, for a callback can be forged */

struct callback_options {
    const char *secret; /* "" : only loopback may call */
    enum callback_signature signature;
    struct metrics *metrics;
};

struct callback;

/* Adds its routes to `http`; lives until after http_close. */
struct callback *callback_open(const struct callback_options *options, struct store *store,
                               struct http *http);
void callback_close(struct callback *callback);

#endif
