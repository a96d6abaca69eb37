/*
 * past: a second ledger that follows a first one some time behind, for a node that lags. Pure but for the clock; one thread.
 */
#ifndef COINSLOT_SIMULATE_PAST_H
#define COINSLOT_SIMULATE_PAST_H

#include "simulate/ledger.h"

struct past;

/* As the ledger is now; it is borrowed until past_close. */
struct past *past_open(const struct ledger *ledger);
void past_close(struct past *past);

/* What has just happened in the ledger. */
void past_note_block(struct past *past, uint32_t block);
void past_note_confirmed(struct past *past, uint32_t block);

/* Catches up with what happened more than `lag_ms` ago. */
void past_follow(struct past *past, unsigned lag_ms);

const struct ledger *past_ledger(const struct past *past);

#endif
