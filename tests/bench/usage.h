/* usage: what a process has taken so far, from /proc. Pure but for reading it. */
#ifndef COINSLOT_BENCH_USAGE_H
#define COINSLOT_BENCH_USAGE_H

#include <stdint.h>

struct usage {
    double cpu_s;
    int64_t resident_kb;
};

/* Zeros for pid 0: nobody. */
struct usage usage_of(int pid);

#endif
