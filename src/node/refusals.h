/*
 * refusals: says in the log what a source has sent that was refused, at most so many lines a second.
 * Any thread. Anybody can forge a callback: a flood of them must not fill the log. Metrics count them all.
 */
#ifndef COINSLOT_NODE_REFUSALS_H
#define COINSLOT_NODE_REFUSALS_H

#include <stdint.h>

struct refusals;

/* `what` is refused ("a callback"), `metric` counts it all; both are borrowed for good. */
struct refusals *refusals_open(const char *what, const char *metric, uint32_t lines_per_second_most);
void refusals_close(struct refusals *refusals); /* says what was left out and not yet said */

/* One line; what had to be left out is said before the first line of a later second. */
void refusals_log(struct refusals *refusals, const char *code, const char *peer, const char *why);

#endif
