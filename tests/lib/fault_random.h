/*
 * fault_random: seeded numbers that are the same on every machine, so that a printed seed replays. Any
 * thread, one state each.
 */
#ifndef TESTS_LIB_FAULT_RANDOM_H
#define TESTS_LIB_FAULT_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
static inline uint64_t fault_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t fault_random_below(uint64_t *state, uint64_t limit)
{
    return fault_random(state) % limit;
}

static inline bool fault_random_chance(uint64_t *state, unsigned percent)
{
    return fault_random_below(state, 100) < percent;
}

#endif
