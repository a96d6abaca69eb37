/*
 * chance: the dice of the make-believe network, the same for the same seed. Not for secrets.
 * A value type: one thread at a time.
 */
#ifndef COINSLOT_SIMULATE_CHANCE_H
#define COINSLOT_SIMULATE_CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payment/amount.h"

struct chance {
    uint64_t state;
};

uint64_t chance_next(struct chance *chance);

/* 0 … count - 1; count is not 0. */
size_t chance_below(struct chance *chance, size_t count);
bool chance_percent(struct chance *chance, unsigned percent);

/* From low to high, both included, each as likely; low is at most high. */
struct amount chance_amount(struct chance *chance, struct amount low, struct amount high);

#endif
