/*
 * crash_store: power cuts and failing I/O, on the store alone, each life in a process of its own.
 *
 *     crash_store cuts   [--groups N] [--first G] [--seed S] [--synchronous FULL|OFF] [--early]
 *     crash_store faults [--action full|io_error|short_write] [--step N] [--seed S]
 *     crash_store outage [--action full|share] [--seed S]
 *
 * Ends with 0 when every promise held, 3 when one was broken (said on stdout, with what replays it), 1 when
 * the test itself failed.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "crash/store_load.h"
#include "lib/fault_random.h"

#define CUTS_IN_A_GROUP 10
#define SMALL_WAL       200000 /* bytes, so that checkpoints come often */

enum { HELD = 0, BROKEN = 3 };

struct run {
    const char *what, *synchronous, *action;
    uint64_t seed, groups, first, step;
    bool early;
    char dir[64];
    struct load_shared *shared;
};

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

/* A new folder, and new records. */
static void start_anew(struct run *run)
{
    if (run->dir[0] != '\0') {
        nftw(run->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    const char *base = getenv("TMPDIR");
    snprintf(run->dir, sizeof(run->dir), "%.40s/coinslot_crash_XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(run->dir) == NULL) {
        log_die("crash", "cannot make %s", run->dir);
    }
    if (run->shared != NULL) {
        munmap(run->shared, sizeof(*run->shared));
    }
    run->shared = mmap(NULL, sizeof(*run->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (run->shared == MAP_FAILED) {
        log_die("crash", "no memory to share");
    }
}

/* The exit code of one life; its log goes to the file `log` beside the store. */
static int live(const struct run *run, const struct load_options *options)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char log[96];
        snprintf(log, sizeof(log), "%s/log", run->dir);
        int file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0 || dup2(file, STDERR_FILENO) < 0) {
            _exit(2);
        }
        load_live(options, run->shared);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        log_die("crash", "cannot start or wait for a process");
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void print_log(const struct run *run)
{
    char path[96], line[512];
    snprintf(path, sizeof(path), "%s/log", run->dir);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        printf("    | %s", line);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static bool log_has_a_reason(const struct run *run)
{
    char path[96], text[8192];
    snprintf(path, sizeof(path), "%s/log", run->dir);
    FILE *file = fopen(path, "r");
    size_t size = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[size] = '\0';
    if (file != NULL) {
        fclose(file);
    }
    return strstr(text, " error ") != NULL && strstr(text, "NO REASON GIVEN") == NULL;
}

static bool holds(const struct run *run, const char *where, char finding[LOAD_FINDING_SIZE])
{
    if (load_check(run->dir, run->seed, run->shared, finding)) {
        return true;
    }
    printf("broken, %s: %s\n", where, finding);
    return false;
}

/* ---- power cuts ------------------------------------------------------------------------------------ */

struct tally {
    uint64_t cuts, at_end, answered, taken, broken;
};

/* Anywhere, or in the database alone, where only checkpoints write, or in the WAL. */
static struct fault_plan plan_cut(uint64_t *random, uint64_t seed)
{
    static const unsigned FILES[] = {FAULT_EVERY_FILE, FAULT_EVERY_FILE, FAULT_DATABASE, FAULT_WAL};
    struct fault_plan plan = {.seed = seed}; /* one draw a statement: the order is the seed's */
    plan.calls = FAULT_WRITE | FAULT_SYNC | FAULT_TRUNCATE | FAULT_OPEN | FAULT_DELETE;
    plan.action = fault_random_chance(random, 50) ? FAULT_CUT_AFTER : FAULT_CUT_BEFORE;
    plan.files = FILES[fault_random_below(random, sizeof(FILES) / sizeof(FILES[0]))];
    uint64_t most = (uint64_t)8 << fault_random_below(random, 9);
    plan.at = 1 + fault_random_below(random, most);
    return plan;
}

/* One folder through its cuts, and a last life without one. False when a promise was broken. */
static bool run_group(struct run *run, uint64_t group, struct tally *tally)
{
    start_anew(run);
    uint64_t random = run->seed * 7919 + group;
    char finding[LOAD_FINDING_SIZE], where[160];
    for (int cut = 0; cut <= CUTS_IN_A_GROUP; cut++) {
        bool last = cut == CUTS_IN_A_GROUP;
        uint64_t life_seed = fault_random(&random);
        struct load_options options = {
            .dir = run->dir,
            .seed = run->seed,
            .life_seed = life_seed,
            .payments = 100 + (uint32_t)fault_random_below(&random, 1500),
            .by_hand = group % 2 == 1,
            .early = run->early,
            .cut_at_end = !last,
            .wal_most_bytes = SMALL_WAL,
            .synchronous = run->synchronous,
        };
        if (!last) {
            options.plan = plan_cut(&random, life_seed);
        }
        int code = live(run, &options);
        snprintf(where, sizeof(where),
                 "cut %d of group %llu, replay with: cuts --seed %llu --first %llu --groups 1", cut,
                 (unsigned long long)group, (unsigned long long)run->seed, (unsigned long long)group);
        if (!holds(run, where, finding)) {
            print_log(run);
            return false;
        }
        if (code != (last ? 0 : LOAD_CUT_EXIT)) {
            printf("broken, %s: the store ended with %d\n", where, code);
            print_log(run);
            return false;
        }
        tally->cuts += !last;
    }
    tally->at_end += atomic_load(&run->shared->cuts_at_end);
    uint32_t next = atomic_load(&run->shared->next);
    for (uint32_t i = 0; i < next; i++) {
        tally->answered += atomic_load(&run->shared->answered[i]);
    }
    tally->taken += atomic_load(&run->shared->persisted);
    return true;
}

static int run_cuts(struct run *run)
{
    struct tally tally = {0};
    for (uint64_t group = run->first; group < run->first + run->groups; group++) {
        tally.broken += !run_group(run, group, &tally);
    }
    printf(
        "synchronous=%s, answered %s the commit, seed %llu: %llu cuts held (%llu at the load's end), %llu payments answered, %llu "
        "taken by the device, "
        "%llu of %llu folders broken\n",
        run->synchronous, run->early ? "before" : "after", (unsigned long long)run->seed,
        (unsigned long long)tally.cuts, (unsigned long long)tally.at_end, (unsigned long long)tally.answered,
        (unsigned long long)tally.taken, (unsigned long long)tally.broken, (unsigned long long)run->groups);
    return tally.broken > 0 ? BROKEN : HELD;
}

/* ---- faults ---------------------------------------------------------------------------------------- */

/* A full disk that is met while running must not end the process, where SQLite can say that it is one. */
static bool end_is_allowed(const struct run *run, enum fault_action action, int code)
{
    if (code == 0) {
        return true;
    }
    int phase = atomic_load(&run->shared->phase);
    return code == 1 && log_has_a_reason(run) && (action != FAULT_FULL || phase < LOAD_RUNNING);
}

static bool run_fault(struct run *run, struct fault_plan plan, bool *reached)
{
    char finding[LOAD_FINDING_SIZE], where[160];
    start_anew(run);
    struct load_options options = {.dir = run->dir,
                                   .seed = run->seed,
                                   .life_seed = run->seed,
                                   .payments = 120,
                                   .by_hand = true,
                                   .wal_most_bytes = SMALL_WAL,
                                   .synchronous = "FULL",
                                   .plan = plan};
    int code = live(run, &options);
    *reached = code != 0 || atomic_load(&run->shared->calls) >= plan.at;
    snprintf(where, sizeof(where), "%s at call %llu", run->action, (unsigned long long)plan.at);
    if (!end_is_allowed(run, plan.action, code)) {
        printf("broken, %s: the process ended with %d in phase %d\n", where, code,
               atomic_load(&run->shared->phase));
        print_log(run);
        return false;
    }
    if (!holds(run, where, finding)) {
        print_log(run);
        return false;
    }
    options.plan = (struct fault_plan){0};
    options.life_seed = run->seed + 1;
    code = live(run, &options);
    if (code != 0) {
        printf("broken, %s: the store did not come back, it ended with %d\n", where, code);
        print_log(run);
        return false;
    }
    return holds(run, where, finding);
}

static int run_faults(struct run *run)
{
    struct fault_plan plan;
    char text[64], error[FAULT_PLAN_ERROR_SIZE];
    /* A sync on a full disk is an error like any other, so it is not among what a full disk must survive. */
    bool full = strcmp(run->action, "full") == 0;
    snprintf(text, sizeof(text), "action=%s calls=%s", run->action,
             full ? "open,write,truncate,share" : "all");
    if (!fault_plan_parse(text, &plan, error)) {
        log_die("crash", "%s", error);
    }
    uint64_t broken = 0, runs = 0;
    bool reached = true;
    for (plan.at = 1; reached; plan.at += run->step) {
        plan.seed = run->seed + plan.at;
        broken += !run_fault(run, plan, &reached);
        runs++;
    }
    printf("%s at every call (step %llu, seed %llu): %llu calls, %llu runs, %llu broken\n", run->action,
           (unsigned long long)run->step, (unsigned long long)run->seed,
           (unsigned long long)(plan.at - run->step - 1), (unsigned long long)runs,
           (unsigned long long)broken);
    return broken > 0 ? BROKEN : HELD;
}

/*
 * The disk is full for a while: payments are refused, and taken again when there is room. `share`: the WAL alone has room, and what
 * does not grow is its index in shared memory, whose next 32 KiB are due once the WAL has 4,062 pages.
 */
static int run_outage(struct run *run)
{
    char finding[LOAD_FINDING_SIZE];
    bool share = strcmp(run->action, "share") == 0;
    start_anew(run);
    struct load_options options = {
        .dir = run->dir,
        .seed = run->seed,
        .life_seed = run->seed,
        .payments = share ? 12000 : 900,
        .by_hand = true,
        .outage = true,
        .wal_most_bytes = share ? 64000000 : SMALL_WAL,
        .synchronous = "FULL",
        .plan = {.action = FAULT_FULL,
                 .calls = share ? FAULT_SHARE : FAULT_WRITE | FAULT_TRUNCATE | FAULT_SHARE,
                 .files = FAULT_EVERY_FILE,
                 .at = 1,
                 .lasting = true}};
    int code = live(run, &options);
    bool held = holds(run, "after the outage", finding);
    uint32_t refused = atomic_load(&run->shared->refused_in_outage),
             after = atomic_load(&run->shared->refused);
    printf(
        "outage (%s): exit %d, %llu calls met the full disk, %u payments refused meanwhile, %u afterwards\n",
        run->action, code, (unsigned long long)atomic_load(&run->shared->calls), refused, after);
    if (code != 0) {
        print_log(run);
    }
    return held && code == 0 && refused > 0 && after == 0 ? HELD : BROKEN;
}

static bool read_arguments(struct run *run, int count, char **arguments)
{
    if (count < 2) {
        return false;
    }
    run->what = arguments[1];
    for (int i = 2; i < count; i++) {
        const char *value = i + 1 < count ? arguments[i + 1] : "";
        if (strcmp(arguments[i], "--early") == 0) {
            run->early = true;
            continue;
        }
        if (strcmp(arguments[i], "--groups") == 0) {
            run->groups = strtoull(value, NULL, 10);
        } else if (strcmp(arguments[i], "--first") == 0) {
            run->first = strtoull(value, NULL, 10);
        } else if (strcmp(arguments[i], "--seed") == 0) {
            run->seed = strtoull(value, NULL, 10);
        } else if (strcmp(arguments[i], "--step") == 0) {
            run->step = strtoull(value, NULL, 10);
        } else if (strcmp(arguments[i], "--synchronous") == 0) {
            run->synchronous = value;
        } else if (strcmp(arguments[i], "--action") == 0) {
            run->action = value;
        } else {
            return false;
        }
        i++;
    }
    return run->step > 0;
}

int main(int count, char **arguments)
{
    struct run run = {.synchronous = "FULL", .action = "io_error", .seed = 1, .groups = 3, .step = 1};
    int result = 2;
    if (!read_arguments(&run, count, arguments)) {
        fprintf(stderr, "usage: crash_store cuts|faults|outage [--seed S] …, see crash_store.c\n");
        return result;
    }
    if (strcmp(run.what, "cuts") == 0) {
        result = run_cuts(&run);
    } else if (strcmp(run.what, "faults") == 0) {
        result = run_faults(&run);
    } else if (strcmp(run.what, "outage") == 0) {
        result = run_outage(&run);
    }
    if (run.dir[0] != '\0') {
        nftw(run.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    return result;
}
