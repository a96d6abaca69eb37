#include "bench/usage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/loop.h"

struct usage usage_of(int pid)
{
    struct usage usage = {0, 0};
    char path[64], text[1024];
    if (pid == 0) {
        return usage;
    }
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[length] = '\0';
    unsigned long user, system;
    long pages;
    /* proc(5): after the name in brackets come state (3) … utime (14), stime (15) … rss (24) */
    const char *rest = strrchr(text, ')');
    if (rest == NULL ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
               &user, &system, &pages) != 3) {
        bench_die("%s cannot be read", path);
    }
    fclose(file);
    usage.cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    usage.resident_kb = pages * (sysconf(_SC_PAGESIZE) / 1024);
    return usage;
}
