/*
 * pin: the output that runs the machine. A process of its own, the guard, holds it, and it is on only while the meter says so again and
 * again: it goes off within PIN_PATIENCE_MS when the meter hangs, and at once when the meter ends in any way, SIGKILL included.
 * One thread; opened before any other thread or file, for it forks. What the guard cannot see to, its own sudden end or the machine's, is for
 * the wiring: firmware/posix/README.md, "Fail-safe".
 */
#ifndef COINSLOT_FIRMWARE_POSIX_PIN_H
#define COINSLOT_FIRMWARE_POSIX_PIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define PIN_ERROR_SIZE  300
#define PIN_PATIENCE_MS 5000

/* What is switched. `open` leaves it off; NULL: for a meter that only shows. All three run in the guard. */
struct pin_output {
    bool (*open)(void *context, char error[PIN_ERROR_SIZE]);
    bool (*set)(void *context, bool on); /* false: it can't be switched any more */
    void (*close)(void *context);
    void *context;
};

struct pin {
    int guard; /* the socket to it */
    pid_t pid;
};

/* Forks. CS_EIO: the output can't be had, `error` says why. */
CS_MUST_CHECK enum cs_err pin_open(struct pin *pin, const struct pin_output *output,
                                   char error[PIN_ERROR_SIZE]);
/* Called at each tick, whether it has changed or not. False: the guard has ended, and with it the pin is off. */
CS_MUST_CHECK bool pin_set(struct pin *pin, bool on);
/* Off, and waits for the guard. */
void pin_close(struct pin *pin);

#endif
