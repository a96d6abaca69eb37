/*
 * run: plays a scenario to a callback at a given pace, and says what became of each notice, one line of JSON
 * each. Owns the scenario, the sockets and the counts for one run; one thread, which it keeps until the end.
 * Nothing is kept.
 */
#ifndef COINSLOT_SIMULATE_RUN_H
#define COINSLOT_SIMULATE_RUN_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "simulate/face.h"
#include "simulate/notify.h"
#include "simulate/scenario.h"

struct run_options {
    struct scenario_options scenario;
    struct notify_options notify;
    uint64_t payments;    /* how many; 0: until stopped */
    uint64_t interval_ns; /* from one payment to the next; 0: as fast as they are answered */
    /* NULL: no RPC, no WebSocket, no faults. With a port it goes on until stopped, and may do without targets. */
    const struct face_options *face;
};

#define RUN_ERROR_SIZE 600

/*
 * Until all payments are told and answered, or *stop is set (by a signal's handler). With a face the first line
 * says where it is. The last line is the summary. CS_EIO: the callback never answered at all, or a port cannot be had; CS_EFULL: the make-believe money ran out;
 * CS_ENOTFOUND: no such host. `error` says what to do.
 */
CS_MUST_CHECK enum cs_err run_scenario(const struct run_options *options, FILE *out,
                                       const volatile sig_atomic_t *stop, char error[RUN_ERROR_SIZE]);

#endif
