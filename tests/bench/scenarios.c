/* What is measured, and how. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "bench/bench.h"
#include "bench/latency.h"
#include "bench/usage.h"

#define SECOND_NS    1000000000.0
#define PATIENCE_NS  20000000000 /* for what is still under way at the end */
#define FILL_NS      600000000000
#define CONNECT_NS   120000000000
#define AGAIN_NS     1000000 /* after so long a device that was turned away tries again */
#define PAUSE_NS     200000000
#define TURN_MOST_NS 10000000

/* ---- what the two sides tell ----------------------------------------------------------------------- */

void bench_ready(struct bench *bench, uint32_t device)
{
    (void)device;
    bench->ready++;
}

static void look_whether_done(struct bench *bench, uint32_t payment)
{
    bench->done += tally_is_done(bench->tally, payment);
}

void bench_answered(struct bench *bench, uint32_t payment, bool accepted)
{
    tally_answered(bench->tally, payment, accepted);
    bench->answered++;
    look_whether_done(bench, payment);
}

void bench_received(struct bench *bench, uint32_t payment, uint32_t device)
{
    if (payment == PAYMENTS_NONE) {
        tally_unknown(bench->tally);
    } else if (tally_received(bench->tally, payment, device)) {
        bench->received_ns[payment] = loop_now_ns();
        look_whether_done(bench, payment);
    }
}

/* ---- steps ----------------------------------------------------------------------------------------- */

static bool pay_next(struct bench *bench, int64_t intended_ns)
{
    uint32_t payment = bench->next;
    if (!bench->payer_kind->pay(bench->payer, payment)) {
        return false;
    }
    bench->next++;
    bench->intended_ns[payment] = intended_ns;
    tally_sent(bench->tally, payment, payments_device(bench->payments, payment));
    if (bench->payer_kind->unanswered) {
        bench_answered(bench, payment, true);
    }
    return true;
}

/* True when all has been paid. */
static bool pay_up_to(struct bench *bench, uint32_t outstanding, const uint32_t *settled)
{
    while (bench->next < bench->options.payments && bench->next - *settled < outstanding) {
        if (!pay_next(bench, loop_now_ns())) {
            break;
        }
    }
    return bench->next == bench->options.payments;
}

static void turn(struct bench *bench, int64_t until_ns)
{
    int64_t most_ns = loop_now_ns() + TURN_MOST_NS;
    loop_turn(bench->loop, until_ns < most_ns ? until_ns : most_ns);
}

static void await_all(struct bench *bench)
{
    int64_t until_ns = loop_now_ns() + PATIENCE_NS;
    while ((bench->done < bench->next || bench->acks_had < bench->acks_wanted) && loop_now_ns() < until_ns) {
        turn(bench, until_ns);
    }
}

static void connect_all(struct bench *bench)
{
    int64_t until_ns = loop_now_ns() + CONNECT_NS;
    uint32_t devices = bench->options.devices, dialled = 0;
    while (bench->ready < devices) {
        while (dialled < devices && dialled - bench->ready < bench->options.dials) {
            bench->device_kind->connect(bench->device, dialled++);
        }
        turn(bench, until_ns);
        if (loop_now_ns() > until_ns) {
            bench_die("only %u of %u devices have connected", bench->ready, devices);
        }
    }
}

static void rest(struct bench *bench, double ns)
{
    int64_t until_ns = loop_now_ns() + (int64_t)ns;
    while (loop_now_ns() < until_ns) {
        turn(bench, until_ns);
    }
}

static json_t *describe_cpu(struct usage before, struct usage after, double each)
{
    return json_real(each > 0 ? 1e6 * (after.cpu_s - before.cpu_s) / each : 0);
}

/* ---- throughput ------------------------------------------------------------------------------------ */

struct moment {
    int64_t at_ns;
    uint32_t done;
    struct usage server, own;
};

static struct moment look(const struct bench *bench)
{
    return (struct moment){loop_now_ns(), bench->done, usage_of(bench->options.server_pid),
                           usage_of(getpid())};
}

static void keep_paying(struct bench *bench, double seconds)
{
    int64_t until_ns = loop_now_ns() + (int64_t)(seconds * SECOND_NS);
    while (loop_now_ns() < until_ns) {
        if (pay_up_to(bench, bench->options.outstanding, &bench->done)) {
            bench_die("%u payments were not enough: they ran out before the time", bench->options.payments);
        }
        turn(bench, until_ns);
    }
}

json_t *bench_throughput(struct bench *bench)
{
    connect_all(bench);
    keep_paying(bench, bench->options.warm_s);
    struct moment begin = look(bench);
    keep_paying(bench, bench->options.run_s);
    struct moment end = look(bench);
    await_all(bench);
    double done = end.done - begin.done, took_s = (double)(end.at_ns - begin.at_ns) / SECOND_NS;
    return json_pack("{s:f,s:o,s:o}", "per_s", done / took_s, "server_us",
                     describe_cpu(begin.server, end.server, done), "generator_us",
                     describe_cpu(begin.own, end.own, done));
}

/* All that there is, as fast as it goes. */
json_t *bench_fill(struct bench *bench)
{
    connect_all(bench);
    int64_t begin_ns = loop_now_ns(), until_ns = begin_ns + FILL_NS;
    while (!pay_up_to(bench, bench->options.outstanding, &bench->done) && loop_now_ns() < until_ns) {
        turn(bench, until_ns);
    }
    await_all(bench);
    return json_pack("{s:f}", "per_s", bench->done / ((double)(loop_now_ns() - begin_ns) / SECOND_NS));
}

/* ---- latency --------------------------------------------------------------------------------------- */

static json_t *describe_latencies(const struct bench *bench, int64_t from_ns)
{
    int64_t *durations = cs_alloc((bench->next + 1ul) * sizeof(*durations));
    size_t count = 0;
    for (uint32_t i = 0; i < bench->next; i++) {
        if (bench->intended_ns[i] >= from_ns && bench->received_ns[i] != 0) {
            durations[count++] = bench->received_ns[i] - bench->intended_ns[i];
        }
    }
    json_t *found = latency_describe(durations, count);
    free(durations);
    return found;
}

/* Each payment has its time, whatever became of those before it: what had to wait for them counts from there. */
json_t *bench_latency(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    connect_all(bench);
    rest(bench, PAUSE_NS);
    uint32_t count = (uint32_t)(options->rate * (options->warm_s + options->run_s));
    if (count > options->payments) {
        bench_die("%u payments are too few", options->payments);
    }
    double step_ns = SECOND_NS / options->rate;
    int64_t begin_ns = loop_now_ns() + PAUSE_NS / 20,
            from_ns = begin_ns + (int64_t)(options->warm_s * SECOND_NS);
    struct moment begin = look(bench);
    while (bench->next < count) {
        int64_t next_ns = begin_ns + (int64_t)(bench->next * step_ns);
        if (next_ns <= loop_now_ns() && pay_next(bench, next_ns)) {
            continue;
        }
        turn(bench, next_ns > loop_now_ns() ? next_ns : loop_now_ns() + TURN_MOST_NS);
    }
    await_all(bench);
    struct moment end = look(bench);
    return json_pack("{s:i,s:o,s:o,s:o}", "rate", (int)options->rate, "latency_us",
                     describe_latencies(bench, from_ns), "server_us",
                     describe_cpu(begin.server, end.server, count), "generator_us",
                     describe_cpu(begin.own, end.own, count));
}

/* ---- many devices ---------------------------------------------------------------------------------- */

json_t *bench_connect(struct bench *bench)
{
    struct moment begin = look(bench);
    connect_all(bench);
    struct moment end = look(bench);
    rest(bench, bench->options.settle_s * SECOND_NS);
    struct usage idle = usage_of(bench->options.server_pid);
    double devices = bench->options.devices, took_s = (double)(end.at_ns - begin.at_ns) / SECOND_NS;
    return json_pack("{s:f,s:f,s:o,s:o}", "per_s", devices / took_s, "bytes_each",
                     1024.0 * (double)(idle.resident_kb - begin.server.resident_kb) / devices, "server_us",
                     describe_cpu(begin.server, end.server, devices), "generator_us",
                     describe_cpu(begin.own, end.own, devices));
}

/* Where what is to wait for a device only waits once it was there. */
static void visit(struct bench *bench)
{
    connect_all(bench);
    rest(bench, PAUSE_NS);
    for (uint32_t i = 0; i < bench->options.devices; i++) {
        bench->device_kind->leave(bench->device, i);
    }
    bench->ready = 0;
    rest(bench, PAUSE_NS);
}

json_t *bench_pay(struct bench *bench)
{
    int64_t begin_ns = loop_now_ns();
    while (!pay_up_to(bench, bench->options.outstanding, &bench->answered) || bench->answered < bench->next) {
        turn(bench, begin_ns + CONNECT_NS);
        if (loop_now_ns() > begin_ns + CONNECT_NS) {
            bench_die("only %u of %u payments were answered", bench->answered, bench->options.payments);
        }
    }
    return json_pack("{s:f}", "paid_per_s",
                     bench->answered / ((double)(loop_now_ns() - begin_ns) / SECOND_NS));
}

json_t *bench_resume(struct bench *bench)
{
    if (bench->device_kind->needs_visit) {
        visit(bench);
    }
    json_t *found = bench_pay(bench);
    rest(bench, PAUSE_NS);
    struct moment begin = look(bench);
    connect_all(bench);
    await_all(bench);
    struct moment end = look(bench);
    double took_s = (double)(end.at_ns - begin.at_ns) / SECOND_NS;
    json_object_set_new(found, "seconds", json_real(took_s));
    json_object_set_new(found, "per_s", json_real(bench->done / took_s));
    json_object_set_new(found, "server_us", describe_cpu(begin.server, end.server, bench->done));
    json_object_set_new(found, "generator_us", describe_cpu(begin.own, end.own, bench->done));
    return found;
}

json_t *bench_fan_out(struct bench *bench)
{
    json_t *rounds = json_array();
    connect_all(bench);
    rest(bench, bench->options.settle_s * SECOND_NS);
    for (uint32_t i = 0; i < bench->options.payments; i++) {
        int64_t begin_ns = loop_now_ns();
        while (!pay_next(bench, begin_ns)) {
            turn(bench, begin_ns + PATIENCE_NS);
        }
        await_all(bench);
        json_array_append_new(rounds, json_real((double)(bench->received_ns[i] - begin_ns) / 1e6));
        rest(bench, PAUSE_NS);
    }
    return json_pack("{s:o}", "milliseconds", rounds);
}

/* Payment 0 waits for its device in a relay that is just being started. */
json_t *bench_first_push(struct bench *bench)
{
    int64_t until_ns = loop_now_ns() + CONNECT_NS;
    uint32_t device = payments_device(bench->payments, 0);
    tally_sent(bench->tally, 0, device);
    tally_answered(bench->tally, 0, true);
    bench->patient = true;
    bench->turned_away = device;
    while (bench->received_ns[0] == 0 && loop_now_ns() < until_ns) {
        if (bench->turned_away == device) {
            bench->turned_away = PAYMENTS_NONE;
            bench->device_kind->connect(bench->device, device);
        }
        loop_turn(bench->loop, loop_now_ns() + AGAIN_NS);
    }
    rest(bench, PAUSE_NS); /* for its ack to be read */
    return json_pack("{s:I}", "received_ns", (json_int_t)bench->received_ns[0]);
}
