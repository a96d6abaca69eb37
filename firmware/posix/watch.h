/*
 * watch: reads along what passes between the relay and the core, and tells it as events. It decides nothing: what counts is what the core
 * made of it, by its reports before and after. One thread.
 */
#ifndef COINSLOT_FIRMWARE_POSIX_WATCH_H
#define COINSLOT_FIRMWARE_POSIX_WATCH_H

#include <jansson.h>

#include "core/core.h"
#include "posix/view.h"

#define WATCH_PENDING 128 /* twice the relay's window */

struct watch_payment {
    uint64_t seq;
    json_t *event; /* NULL: none */
    json_t *value; /* the outcome as it left: seconds or a reason; NULL: it has not */
    bool granted;  /* credit has grown by it */
    bool judged;   /* the core has made up its mind: `granted` is known */
};

struct watch {
    struct view *view;
    struct core_report before;
    uint32_t store_failures;
    struct watch_payment payments[WATCH_PENDING];
    char state[256], why_closing[64]; /* "": not by us */
    unsigned code_closing;
};

void watch_init(struct watch *watch, struct view *view, const char *state);
void watch_fini(struct watch *watch);

/* Around core_on_message. */
void watch_before(struct watch *watch, const struct core_report *before);
void watch_after(struct watch *watch, const char *text, size_t length, const struct core_report *after);
/* From the core's callbacks. */
void watch_sent(struct watch *watch, const char *text, size_t length);
void watch_closing(struct watch *watch, unsigned code, const char *reason);
/* After core_on_disconnect. */
void watch_disconnected(struct watch *watch, unsigned code, const char *why, const struct core_report *after);
/* After any of them. */
void watch_store(struct watch *watch, const struct core_report *report, int why);

#endif
