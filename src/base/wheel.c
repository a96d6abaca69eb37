#include "base/wheel.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

void wheel_init(struct wheel *wheel, uint64_t now)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->now = now;
}

static void insert(struct wheel_timer **first, struct wheel_timer *timer)
{
    timer->next = *first;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    timer->link = first;
    *first = timer;
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t ticks,
               void (*run)(struct wheel_timer *timer))
{
    wheel_clear(timer);
    timer->run = run;
    timer->due = wheel->now + (ticks > 0 ? ticks : 1);
    insert(&wheel->slot[timer->due % WHEEL_SLOTS], timer);
}

void wheel_clear(struct wheel_timer *timer)
{
    if (timer->link == NULL) {
        return;
    }
    *timer->link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

/* The slot's timers become those that are passing by. */
static void turn(struct wheel *wheel)
{
    wheel->now++;
    struct wheel_timer **slot = &wheel->slot[wheel->now % WHEEL_SLOTS];
    assert(wheel->passing == NULL);
    wheel->passing = *slot;
    if (wheel->passing != NULL) {
        wheel->passing->link = &wheel->passing;
    }
    *slot = NULL;
}

struct wheel_timer *wheel_take(struct wheel *wheel, uint64_t now)
{
    for (;;) {
        while (wheel->passing != NULL) {
            struct wheel_timer *timer = wheel->passing;
            wheel_clear(timer);
            if (timer->due <= wheel->now) {
                return timer;
            }
            insert(&wheel->slot[timer->due % WHEEL_SLOTS], timer);
        }
        if (wheel->now >= now) {
            return NULL;
        }
        turn(wheel);
    }
}
