#include "simulate/chance.h"

#include <assert.h>

/* SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
uint64_t chance_next(struct chance *chance)
{
    chance->state += 0x9E3779B97F4A7C15u;
    uint64_t mixed = chance->state;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

size_t chance_below(struct chance *chance, size_t count)
{
    assert(count > 0);
    return (size_t)(chance_next(chance) % count);
}

bool chance_percent(struct chance *chance, unsigned percent)
{
    return chance_below(chance, 100) < percent;
}

/* All ones, from the highest bit that is set downwards. */
static uint64_t mask_of(uint64_t value)
{
    for (unsigned shift = 1; shift < 64; shift *= 2) {
        value |= value >> shift;
    }
    return value;
}

struct amount chance_amount(struct chance *chance, struct amount low, struct amount high)
{
    struct amount span, drawn, result;
    bool fits = amount_subtract(high, low, &span);
    assert(fits);
    uint64_t high_mask = mask_of(span.high);
    uint64_t low_mask = span.high != 0 ? UINT64_MAX : mask_of(span.low);
    do {
        drawn.high = chance_next(chance) & high_mask;
        drawn.low = chance_next(chance) & low_mask;
    } while (amount_compare(drawn, span) > 0); /* at most every other draw is thrown away */
    fits = amount_add(low, drawn, &result);
    assert(fits);
    return result;
}
