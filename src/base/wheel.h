/*
 * wheel: many timers, coarse ones: setting, moving and clearing one costs the same however many there are.
 * Pure: the caller brings the time, in ticks of its own length, and the lock if it needs one. A timer is embedded in what it is for.
 */
#ifndef COINSLOT_BASE_WHEEL_H
#define COINSLOT_BASE_WHEEL_H

#include <stdint.h>

#define WHEEL_SLOTS 512 /* ticks of one turn; a timer that is due later is passed by until its turn */

/* Zeroed, it is not set. */
struct wheel_timer {
    struct wheel_timer *next, **link; /* link NULL: not set */
    uint64_t due;
    void (*run)(struct wheel_timer *timer);
};

struct wheel {
    uint64_t now;                /* up to which all was taken */
    struct wheel_timer *passing; /* of the slot that `now` has come to, and not looked at yet */
    struct wheel_timer *slot[WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now);
/* Due `ticks` ticks from now, at least one. It may be set already. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t ticks,
               void (*run)(struct wheel_timer *timer));
/* Harmless when it is not set. */
void wheel_clear(struct wheel_timer *timer);
/* One that is due at `now`, no longer set; NULL: there is none, or none left. Setting and clearing between the calls is fine. */
struct wheel_timer *wheel_take(struct wheel *wheel, uint64_t now);

#endif
