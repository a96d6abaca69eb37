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

/* What the callback tells of what comes in; all but `waits` may be NULL. Any thread; none may block. */
struct callback_sink {
    void *context;
    /* Something that a node could have sent. */
    void (*alive)(void *context);
    /* A payment of ours is in the store: `stored` now, or it was there already. */
    void (*heard)(void *context, const struct payment *payment, bool stored, int64_t heard_at_ms);
    /* It waits for its confirmation, as store_submit_unconfirmed says. NULL: confirm = source, the callback is believed. */
    void (*waits)(void *context, int64_t num, const struct payment *payment);
    /* A payment was not taken: reconciliation has to find it. `why` lives for ever. */
    void (*refused)(void *context, const char *why);
};

struct callback_options {
    const char *secret; /* "" : only loopback may call */
    enum callback_signature signature;
    struct callback_sink sink;
    struct metrics *metrics;
};

struct callback;

/* Adds its routes to `http`; lives until after http_close. */
struct callback *callback_open(const struct callback_options *options, struct store *store,
                               struct http *http);
void callback_close(struct callback *callback);

#endif
