#include "node/refusals.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

#define LOG_MODULE "node"

struct refusals {
    const char *what, *metric;
    pthread_mutex_t lock;
    uint64_t second; /* monotonic, of the lines counted below */
    uint32_t lines, lines_most;
    uint64_t left_out;
};

struct refusals *refusals_open(const char *what, const char *metric, uint32_t lines_per_second_most)
{
    struct refusals *refusals = cs_alloc(sizeof(*refusals));
    pthread_mutex_init(&refusals->lock, NULL);
    refusals->what = what;
    refusals->metric = metric;
    refusals->lines_most = lines_per_second_most;
    return refusals;
}

static void log_left_out(const struct refusals *refusals, uint64_t left_out)
{
    if (left_out > 0) {
        log_warn("%s was refused %" PRIu64 " more times, not logged one by one; see %s", refusals->what,
                 left_out, refusals->metric);
    }
}

void refusals_close(struct refusals *refusals)
{
    log_left_out(refusals, refusals->left_out);
    pthread_mutex_destroy(&refusals->lock);
    free(refusals);
}

void refusals_log(struct refusals *refusals, const char *code, const char *peer, const char *why)
{
    uint64_t second = clock_monotonic_ns() / 1000000000u, left_out = 0;
    pthread_mutex_lock(&refusals->lock);
    if (refusals->second != second) {
        refusals->second = second;
        refusals->lines = 0;
        left_out = refusals->left_out;
        refusals->left_out = 0;
    }
    bool logged = refusals->lines < refusals->lines_most;
    if (logged) {
        refusals->lines++;
    } else {
        refusals->left_out++;
    }
    pthread_mutex_unlock(&refusals->lock);

    log_left_out(refusals, left_out);
    if (logged) {
        log_warn("refused %s code=%s peer=%s why=%s", refusals->what, code, peer, why);
    }
}
