#include "core/tariff.h"

#include <string.h>

/* amount * factor has up to 160 bits: five limbs of 32, the lowest first. */
static void multiply(struct amount amount, uint32_t factor, uint32_t product[5])
{
    const uint32_t limbs[4] = {(uint32_t)amount.low, (uint32_t)(amount.low >> 32), (uint32_t)amount.high,
                               (uint32_t)(amount.high >> 32)};
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        carry += (uint64_t)limbs[i] * factor;
        product[i] = (uint32_t)carry;
        carry >>= 32;
    }
    product[4] = (uint32_t)carry;
}

/* Whether a * x is at most b * y. */
static bool at_most(struct amount a, uint32_t x, struct amount b, uint32_t y)
{
    uint32_t left[5], right[5];
    multiply(a, x, left);
    multiply(b, y, right);
    for (int i = 4; i >= 0; i--) {
        if (left[i] != right[i]) {
            return left[i] < right[i];
        }
    }
    return true;
}

/* amount * seconds / step, rounded down, and never more than `most`: the largest such number, found bit by bit. */
static uint32_t in_proportion(struct amount amount, const struct core_step *step, uint32_t most)
{
    uint32_t found = 0;
    for (uint32_t bit = 1u << 30; bit > 0; bit >>= 1) {
        if (found + bit <= most && at_most(step->amount, found + bit, amount, step->seconds)) {
            found += bit;
        }
    }
    return found;
}

static uint32_t seconds_for(const struct core_tariff *tariff, struct amount amount)
{
    const struct core_step *first = &tariff->steps[0], *step = &tariff->steps[tariff->count - 1];
    if (amount_compare(amount, step->amount) >= 0) {
        return in_proportion(amount, step, tariff->cap_s);
    }
    if (amount_compare(amount, first->amount) < 0) {
        return in_proportion(amount, first, tariff->cap_s);
    }
    while (amount_compare(amount, step->amount) < 0) {
        step--;
    }
    return step->seconds < tariff->cap_s ? step->seconds : tariff->cap_s;
}

bool core_tariff_settle(struct core_tariff *tariff)
{
    struct core_step *steps = tariff->steps;
    if (tariff->count < 1 || tariff->count > CORE_STEPS_MOST || tariff->cap_s < 1 ||
        tariff->cap_s > CORE_SECONDS_MOST || tariff->late_after_s < -1) {
        return false;
    }
    for (int i = 0; i < tariff->count; i++) {
        struct core_step step = steps[i];
        if (amount_is_zero(step.amount) || step.seconds < 1 || step.seconds > CORE_SECONDS_MOST) {
            return false;
        }
        int at = i;
        for (; at > 0 && amount_compare(steps[at - 1].amount, step.amount) > 0; at--) {
            steps[at] = steps[at - 1];
        }
        if (at > 0 && amount_compare(steps[at - 1].amount, step.amount) == 0) {
            return false;
        }
        steps[at] = step;
    }
    return true;
}

enum core_reason core_tariff_price(const struct core_tariff *tariff, struct amount amount, uint64_t age_s,
                                   uint32_t *seconds)
{
    struct amount minimum = amount_is_zero(tariff->minimum) ? tariff->steps[0].amount : tariff->minimum;
    uint32_t bought = seconds_for(tariff, amount);
    if (amount_compare(amount, minimum) < 0 || bought == 0) {
        return CORE_BELOW_MINIMUM;
    }
    if (tariff->late_after_s >= 0 && age_s > (uint64_t)tariff->late_after_s) {
        return CORE_TOO_LATE;
    }
    *seconds = bought;
    return CORE_GRANTED;
}

/* amount / divisor, rounded up. */
static struct amount divide_up(struct amount amount, uint32_t divisor)
{
    uint64_t parts[4] = {amount.high >> 32, amount.high & UINT32_MAX, amount.low >> 32,
                         amount.low & UINT32_MAX};
    uint64_t rest = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t dividend = rest << 32 | parts[i];
        parts[i] = dividend / divisor;
        rest = dividend % divisor;
    }
    struct amount quotient = {.high = parts[0] << 32 | parts[1], .low = parts[2] << 32 | parts[3]};
    if (rest != 0) {
        quotient.low++; /* with a rest the divisor is 2 or more, and the quotient's top bit 0: */
        quotient.high += quotient.low == 0;
    }
    return quotient;
}

struct amount core_tariff_least(const struct core_tariff *tariff)
{
    const struct core_step *first = &tariff->steps[0];
    if (amount_is_zero(tariff->minimum)) {
        return first->amount;
    }
    /* Below the first step it is in proportion, and has to come to a whole second. */
    struct amount second = divide_up(first->amount, first->seconds);
    return amount_compare(tariff->minimum, second) < 0 ? second : tariff->minimum;
}
