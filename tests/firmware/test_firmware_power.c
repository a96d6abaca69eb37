/*
 * The power goes in any callback, in the middle of any write, again and again, while a relay that remembers everything goes on paying. What must hold:
 *
 *   - what was acked is in the store: the next hello resumes at or above it
 *   - the machine never runs longer than all payments together bought, however often they are sent again: no second runs twice
 *   - it runs that long, but for at most CORE_SPAN_MS for each time that the power went
 *   - a payment's outcome is the same whenever it is said
 *
 * A failing run prints its seed: COINSLOT_SEED=… runs that one alone. COINSLOT_LONG: 10,000 of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/rig.h"

#define PAYMENTS_MOST 16
#define CONFIG                                                                                               \
    "{\"addresses\":[\"" RIG_ACCOUNT "\"],\"tariff\":{\"steps\":["                                           \
    "{\"amount\":\"30000000000000000000000000000\",\"seconds\":20},"                                         \
    "{\"amount\":\"100000000000000000000000000000\",\"seconds\":90}],\"cap_s\":7200},\"late_after_s\":900}"
#define SEEDS      300
#define SEEDS_LONG 10000
#ifdef COINSLOT_BARE
#undef SEEDS
#define SEEDS 20
#endif

struct paid {
    uint64_t seq;
    const char *raw;
    uint32_t seconds; /* that it buys; 0: refused */
    bool answered;
};

/* The relay's memory, and the run's. All of it static: a power cut jumps out of anything. */
static struct {
    uint64_t seed, random;
    struct paid paid[PAYMENTS_MOST];
    unsigned count, served; /* of them, the first so many are acked */
    uint64_t next_seq, acked, epoch;
    uint64_t bought_s;
    unsigned cuts;
    bool welcomed;
} run;

static struct rig rig;
static jmp_buf power;

static uint64_t below(uint64_t limit)
{
    uint64_t z = (run.random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % limit;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        struct core_report told;
        core_report(&rig.core, &told);
        fail_msg(
            "COINSLOT_SEED=%llu: %s (cuts %u, callback %u; bought %llu s, ran %llu ms, granted %llu s, seq %llu)",
            (unsigned long long)run.seed, what, run.cuts, (unsigned)rig.callbacks,
            (unsigned long long)run.bought_s, (unsigned long long)rig.ran_ms,
            (unsigned long long)told.granted_s, (unsigned long long)told.seq);
    }
}

/* ---- the relay ------------------------------------------------------------------------------------------------------ */

static void make_payment(void)
{
    static const struct {
        const char *raw;
        uint32_t seconds;
    } PRICES[] = {{"30000000000000000000000000000", 20},
                  {"100000000000000000000000000000", 90},
                  {"10000000000000000000000000000", 0},
                  {"50000000000000000000000000000", 20}};
    if (run.count == PAYMENTS_MOST) {
        return;
    }
    unsigned which = (unsigned)below(4);
    run.paid[run.count++] = (struct paid){run.next_seq++, PRICES[which].raw, PRICES[which].seconds, false};
    run.bought_s += PRICES[which].seconds;
}

static uint64_t number_in(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static void hear_outcome(const char *frame, bool alive)
{
    uint64_t seq = number_in(frame, "\"seq\":"), seconds = number_in(frame, "\"seconds\":");
    for (unsigned i = 0; i < run.count; i++) {
        if (run.paid[i].seq == seq) {
            must(seconds == run.paid[i].seconds, "an outcome is another one than the payment bought");
            run.paid[i].answered = true;
        }
    }
    if (alive && below(4) > 0) { /* a full disk forgets to note */
        char noted[64];
        snprintf(noted, sizeof(noted), "{\"type\":\"noted\",\"seq\":%llu}", (unsigned long long)seq);
        rig_say_sealed(&rig, noted);
    }
}

/* What has left is heard, even when the power has gone since. */
static void hear_all(bool alive)
{
    static char frame[CORE_FRAME_SIZE];
    for (unsigned i = 0; i < rig.sent_count; i++) {
        memcpy(frame, rig.sent[i], sizeof(frame)); /* hearing may make it say more */
        if (strncmp(frame, "{\"type\":\"hello\"", 15) == 0 ||
            strncmp(frame, "{\"type\":\"status\"", 16) == 0) {
            continue;
        }
        uint64_t seq = number_in(frame, "\"seq\":");
        must(seq < run.next_seq, "it acks what was never sent");
        run.acked = seq > run.acked ? seq : run.acked;
        if (strncmp(frame, "{\"type\":\"ack\"", 13) != 0) {
            hear_outcome(frame, alive);
        }
    }
    rig_forget_sent(&rig);
}

static void hear(void)
{
    hear_all(true);
}

/* After a restore nothing of what was acked is known: all comes again, under new seqs behind the device's own. */
static void renumber(uint64_t resume)
{
    run.next_seq = resume + 1;
    run.acked = resume;
    for (unsigned i = 0; i < run.count; i++) {
        run.paid[i].seq = run.next_seq++;
        run.paid[i].answered = false;
    }
}

static void open_session(void)
{
    char epoch[CORE_EPOCH_SIZE];
    bool restored = below(12) == 0;
    run.epoch += restored;
    snprintf(epoch, sizeof(epoch), "%032llx", (unsigned long long)run.epoch);
    rig.room = UINT32_MAX;
    rig_connect(&rig);
    rig_say_challenge(&rig, epoch);
    uint64_t resume = number_in(rig_last(&rig), "\"resume\":");
    must(resume >= run.acked, "what was acked is not in the store");
    if (restored) {
        renumber(resume);
    }
    must(resume < run.next_seq, "it has what was never sent");
    uint64_t version = 1 + run.epoch + below(3);
    run.acked = resume;
    rig_forget_sent(&rig);
    rig_say_welcome(&rig, resume, version, CONFIG);
    rig_say_state(&rig, true);
    run.welcomed = true;
    hear();
}

/* What it has not acked, in order; sometimes again what it has. */
static void deliver(void)
{
    for (unsigned i = 0; i < run.count && rig.close_code == 0; i++) {
        if (run.paid[i].seq > run.acked || below(8) == 0) {
            struct core_report told;
            core_report(&rig.core, &told);
            rig_say_payment(&rig, run.paid[i].seq, told.config_version, 1 + i, run.paid[i].raw, 1);
            hear();
        }
    }
    must(rig.close_code == 0, "it closed the session");
}

/* ---- one run ------------------------------------------------------------------------------------------------------------ */

static void step(void)
{
    switch (below(8)) {
    case 0:
    case 1:
        make_payment();
        break;
    case 2:
        if (run.welcomed) {
            rig_disconnect(&rig, below(2) == 0 ? 0 : 1001);
            run.welcomed = false;
        }
        break;
    case 3:
        rig.room = (unsigned)below(4);
        rig_run(&rig, 1000);
        rig.room = UINT32_MAX;
        rig_run(&rig, 1000);
        break;
    case 4:
        rig_run(&rig, (uint32_t)below(40) * 1000);
        break;
    default:
        if (!run.welcomed) {
            open_session();
        }
        deliver();
        break;
    }
    if (run.welcomed) {
        hear();
    }
}

static void begin(uint64_t seed)
{
    memset(&run, 0, sizeof(run));
    run.seed = run.random = seed;
    run.next_seq = 1;
    rig_init(&rig);
    rig.random = seed ^ 0x5eed;
    rig.cut = &power;
}

static void arm(unsigned within)
{
    rig.callbacks = 0;
    rig.cut_at = 1 + (uint32_t)below(within);
    rig.cut_how = (enum rig_cut)below(RIG_CUTS);
}

/* All is delivered, and runs out. */
static void finish(void)
{
    rig.cut_at = 0;
    rig_power_on(&rig);
    open_session();
    deliver();
    deliver();
    while (rig.on) {
        rig_run(&rig, 10000);
        hear();
    }
    struct core_report told;
    core_report(&rig.core, &told);
    uint64_t bought_ms = 1000 * run.bought_s, lost_ms = (uint64_t)CORE_SPAN_MS * run.cuts;
    must(told.granted_s == run.bought_s, "what is granted is not what was bought");
    must(rig.ran_ms <= bought_ms, "some seconds ran twice");
    must(rig.ran_ms + lost_ms >= bought_ms, "more was lost than 30 s each time");
    for (unsigned i = 0; i < run.count; i++) {
        must(run.paid[i].answered, "a payment has no outcome");
    }
}

static void run_seed(uint64_t seed)
{
    volatile unsigned turns = 0;
    begin(seed);
    if (setjmp(power) != 0) {
        run.cuts++;
        run.welcomed = false;
        if (below(2) == 0) {
            rig_forget_sent(&rig); /* they were still under way */
        }
        hear_all(false);
        rig.now_ms += (uint32_t)below(100000);
    }
    if (run.cuts < 12) {
        arm(run.cuts % 3 == 2 ? 12 : 150); /* often while it is still coming up */
        rig_power_on(&rig);
        while (turns < 80) {
            turns = turns + 1;
            step();
        }
        run.cuts++; /* it ends by one more */
    }
    finish();
}

static uint64_t environment(const char *name)
{
    const char *value = getenv(name);
    return value == NULL ? 0 : strtoull(value, NULL, 10);
}

static void no_credit_twice_and_none_lost_beyond_the_bound(void **state)
{
    (void)state;
    uint64_t only = environment("COINSLOT_SEED"),
             seeds = getenv("COINSLOT_LONG") != NULL ? SEEDS_LONG : SEEDS;
    if (only != 0) {
        run_seed(only);
        return;
    }
    unsigned cuts = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        run_seed(seed);
        cuts += run.cuts;
    }
    print_message("%llu seeds, the power went %u times\n", (unsigned long long)seeds, cuts);
}

/* ---- every callback of one day, in turn ------------------------------------------------------------------------------------ */

static void a_day(void)
{
    rig_power_on(&rig);
    open_session();
    for (int i = 0; i < 3; i++) {
        make_payment();
        deliver();
        rig_run(&rig, 40000);
        hear();
    }
    rig_disconnect(&rig, 1001);
    run.welcomed = false;
    make_payment();
    open_session();
    deliver();
    rig_run(&rig, 30000);
}

static void the_power_goes_once_in_every_callback_of_a_day(void **state)
{
    (void)state;
    begin(7);
    rig.cut_at = 0;
    a_day();
    unsigned all = rig.callbacks, writes = 0;
    for (int i = 0; i < CORE_SLOTS; i++) {
        writes += rig.writes[i];
    }
    for (volatile unsigned at = 1; at <= all; at = at + 1) {
        for (volatile int how = 0; how < RIG_CUTS; how = how + 1) {
            begin(7);
            rig.cut_at = at;
            rig.cut_how = (enum rig_cut)how;
            if (setjmp(power) == 0) {
                a_day();
            } else {
                run.cuts++;
                hear_all(false);
            }
            must(run.cuts == 1, "the power did not go");
            finish();
        }
    }
    print_message("%u callbacks, %u of them writes; each cut before, in the middle and after\n", all, writes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_power_goes_once_in_every_callback_of_a_day),
        cmocka_unit_test(no_credit_twice_and_none_lost_beyond_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
