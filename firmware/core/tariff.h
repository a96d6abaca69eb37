/*
 * tariff: what a payment buys, as docs/device-protocol.md has it under "config"; clients/python/coinslot/tariff.py says the same.
 * Pure, whole numbers only.
 */
#ifndef COINSLOT_FIRMWARE_CORE_TARIFF_H
#define COINSLOT_FIRMWARE_CORE_TARIFF_H

#include "core/core.h"

/* Sorts the steps; false when it can be no tariff: no step, an amount of 0 or twice, seconds or a cap out of range. */
bool core_tariff_settle(struct core_tariff *tariff);

/* CORE_GRANTED with 1 to CORE_SECONDS_MOST seconds, CORE_BELOW_MINIMUM or CORE_TOO_LATE. */
enum core_reason core_tariff_price(const struct core_tariff *tariff, struct amount amount, uint64_t age_s,
                                   uint32_t *seconds);

/* The least amount that buys anything. */
struct amount core_tariff_least(const struct core_tariff *tariff);

#endif
