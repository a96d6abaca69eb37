/* The load generator: one run of one scenario with one system. Prints one JSON object; tests/bench/bench.py starts it. */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/hex.h"
#include "base/log.h"
#include "bench/bench.h"

static const struct {
    const char *name;
    const struct payer_kind *payer;
    const struct device_kind *device;
} SYSTEMS[] = {
    {"coinslot", &PAYER_HTTP, &DEVICE_COINSLOT}, {"coinslot-ws", &PAYER_NODE, &DEVICE_COINSLOT},
    {"redis", &PAYER_REDIS, &DEVICE_REDIS},      {"mosquitto", &PAYER_MQTT, &DEVICE_MQTT},
    {"tornado", &PAYER_HTTP, &DEVICE_LEGACY},
};

static const struct {
    const char *name;
    json_t *(*run)(struct bench *bench);
} SCENARIOS[] = {
    {"throughput", bench_throughput},
    {"latency", bench_latency},
    {"connect", bench_connect},
    {"resume", bench_resume},
    {"fan-out", bench_fan_out},
    {"first-push", bench_first_push},
    {"pay", bench_pay},
    {"fill", bench_fill},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- the command line ------------------------------------------------------------------------------ */

enum kind { NUMBER, PORT, SECONDS, TEXT, FLAG };

struct option_row {
    const char *name;
    enum kind kind;
    size_t offset;
};

#define ROW(name, kind, member)                                                                              \
    {                                                                                                        \
        name, kind, offsetof(struct bench_options, member)                                                   \
    }

static const struct option_row ROWS[] = {
    ROW("payer-port", PORT, payer_port),
    ROW("device-port", PORT, device_port),
    ROW("devices", NUMBER, devices),
    ROW("payments", NUMBER, payments),
    ROW("first", NUMBER, first),
    ROW("everybody", FLAG, everybody),
    ROW("credentials", TEXT, credentials),
    ROW("signatures", TEXT, signatures),
    ROW("keyed", FLAG, keyed),
    ROW("connections", NUMBER, connections),
    ROW("depth", NUMBER, depth),
    ROW("per-payment", FLAG, per_payment),
    ROW("outstanding", NUMBER, outstanding),
    ROW("rate", NUMBER, rate),
    ROW("dials", NUMBER, dials),
    ROW("warm", SECONDS, warm_s),
    ROW("run", SECONDS, run_s),
    ROW("settle", SECONDS, settle_s),
    ROW("server-pid", NUMBER, server_pid),
};

static void set(struct bench_options *options, const struct option_row *row, const char *text)
{
    void *member = (char *)options + row->offset;
    char *end = NULL;
    switch (row->kind) {
    case NUMBER:
        *(uint32_t *)member = (uint32_t)strtoul(text, &end, 10);
        break;
    case PORT:
        *(uint16_t *)member = (uint16_t)strtoul(text, &end, 10);
        break;
    case SECONDS:
        *(double *)member = strtod(text, &end);
        break;
    case TEXT:
        *(const char **)member = text;
        break;
    case FLAG:
        *(bool *)member = true;
        break;
    }
    if (end != NULL && (end == text || *end != '\0')) {
        bench_die("--%s takes a number, not %s", row->name, text);
    }
}

static void parse(struct bench_options *options, int argc, char **argv)
{
    struct option longs[COUNT_OF(ROWS) + 1] = {0};
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        longs[i] =
            (struct option){ROWS[i].name, ROWS[i].kind == FLAG ? no_argument : required_argument, NULL, 0};
    }
    *options = (struct bench_options){.system = argv[1],
                                      .scenario = argv[2],
                                      .devices = 1000,
                                      .payments = 100000,
                                      .connections = 256,
                                      .depth = 1,
                                      .outstanding = 512,
                                      .rate = 1000,
                                      .dials = 64,
                                      .warm_s = 1,
                                      .run_s = 4,
                                      .settle_s = 2};
    int index;
    optind = 3;
    for (int found; (found = getopt_long(argc, argv, "", longs, &index)) != -1;) {
        if (found != 0) {
            exit(2);
        }
        set(options, &ROWS[index], optarg);
    }
    if (optind != argc || options->devices == 0 || options->connections == 0 || options->depth == 0 ||
        options->rate == 0) {
        bench_die("unfit options");
    }
}

/* ---- a run ----------------------------------------------------------------------------------------- */

static void open_payments(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    const struct payments_options wanted = {.count = options->payments,
                                            .devices = options->devices,
                                            .first = options->first,
                                            .everybody = options->everybody,
                                            .news = bench->payer_kind == &PAYER_NODE,
                                            .signatures = options->signatures};
    bench->payments = payments_open(&wanted);
    bench->tally = tally_open(options->payments, options->devices, options->everybody);
    bench->intended_ns = cs_alloc((options->payments + 1ul) * sizeof(int64_t));
    bench->received_ns = cs_alloc((options->payments + 1ul) * sizeof(int64_t));
}

static json_t *describe(const struct tally_counts *counts)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "sent", (json_int_t)counts->sent,
                     "answered", (json_int_t)counts->answered, "refused", (json_int_t)counts->refused,
                     "received", (json_int_t)counts->received, "lost", (json_int_t)counts->lost, "unanswered",
                     (json_int_t)counts->unanswered, "repeated", (json_int_t)counts->repeated, "misrouted",
                     (json_int_t)counts->misrouted, "reordered", (json_int_t)counts->reordered, "unknown",
                     (json_int_t)counts->unknown);
}

static int run(struct bench *bench, json_t *(*scenario)(struct bench *bench))
{
    bench->loop = loop_open();
    open_payments(bench);
    bench->payer = bench->payer_kind->open(bench);
    bench->device = bench->device_kind->open(bench);
    json_t *found = scenario(bench);
    struct tally_counts counts = tally_counts(bench->tally);
    if (scenario == bench_pay) {
        counts.lost = 0; /* nobody was there to receive them */
    }
    bool clean = tally_is_clean(&counts) && bench->acks_had == bench->acks_wanted;
    json_object_set_new(found, "counts", describe(&counts));
    json_object_set_new(found, "clean", json_boolean(clean));
    json_dumpf(found, stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    return clean ? 0 : 1;
}

struct registration {
    uint32_t count, first;
    uint32_t addresses; /* of each device: all but the first are never paid to */
    bool keyed, everybody;
};

static void print_address(const struct address *address, const char *before)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    printf("%s{\"chain\":\"nano\",\"address\":\"%s\"}", before, text);
}

static void print_device(const struct registration *wanted, uint32_t number)
{
    char token[PAYMENTS_TOKEN_SIZE], public_text[65];
    uint8_t seed[32], public_key[32], secret_key[64];
    payments_token(number, token);
    payments_seed(number, seed);
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    hex_encode_lower(public_key, 32, public_text);
    printf("{\"name\":\"Meter %u\",\"auth\":\"%s\",\"%s\":\"%s\",\"subscriptions\":[", number,
           wanted->keyed ? "key" : "token", wanted->keyed ? "public_key" : "token",
           wanted->keyed ? public_text : token);
    struct address own = payments_address(number, wanted->everybody);
    print_address(&own, "");
    for (uint32_t i = 1; i < wanted->addresses; i++) {
        struct address other = payments_address(UINT32_MAX - (number * wanted->addresses + i), false);
        print_address(&other, ",");
    }
    puts("]}");
}

/* What the relay is to know of the devices, as its import takes it. */
static int print_devices(int argc, char **argv)
{
    struct registration wanted = {.addresses = 1};
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        uint32_t number = value != NULL ? (uint32_t)strtoul(value + 1, NULL, 10) : 0;
        wanted.count = strncmp(argv[i], "count=", 6) == 0 ? number : wanted.count;
        wanted.first = strncmp(argv[i], "first=", 6) == 0 ? number : wanted.first;
        wanted.addresses = strncmp(argv[i], "addresses=", 10) == 0 ? number : wanted.addresses;
        wanted.keyed |= strcmp(argv[i], "keyed") == 0;
        wanted.everybody |= strcmp(argv[i], "everybody") == 0;
    }
    for (uint32_t i = 0; i < wanted.count; i++) {
        print_device(&wanted, wanted.first + i);
    }
    return 0;
}

static void raise_limit(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    if (argc < 3 || sodium_init() < 0) {
        bench_die("coinslot-bench SYSTEM SCENARIO OPTION..., or "
                  "coinslot-bench devices count=N [first=N] [addresses=N] [keyed] [everybody]");
    }
    if (strcmp(argv[1], "devices") == 0) {
        return print_devices(argc, argv);
    }
    raise_limit();
    struct bench bench = {0};
    parse(&bench.options, argc, argv);
    json_t *(*scenario)(struct bench * bench) = NULL;
    for (size_t i = 0; i < COUNT_OF(SYSTEMS); i++) {
        if (strcmp(bench.options.system, SYSTEMS[i].name) == 0) {
            bench.payer_kind = SYSTEMS[i].payer;
            bench.device_kind = SYSTEMS[i].device;
        }
    }
    for (size_t i = 0; i < COUNT_OF(SCENARIOS); i++) {
        scenario = strcmp(bench.options.scenario, SCENARIOS[i].name) == 0 ? SCENARIOS[i].run : scenario;
    }
    if (bench.payer_kind == NULL || scenario == NULL) {
        bench_die("no such system or scenario: %s %s", bench.options.system, bench.options.scenario);
    }
    return run(&bench, scenario);
}
