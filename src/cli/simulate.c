#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "simulate/run.h"

#define LOG_MODULE "simulate"
#define COMMAND    "simulate"

#define CONNECTIONS_MOST 10000
#define RATE_MOST        1000000
#define TARGETS_MOST     1000000
#define TIMEOUT_MS       30000
#define LINE_SIZE        256

static const char HELP[] =
    "coinslot simulate --to ADDRESS [--to ADDRESS …] [options]\n"
    "A make-believe Nano network whose drivers pay these addresses, and which tells a relay of it as a Nano "
    "node does.\n"
    "\n"
    "  --to ADDRESS            whom to pay; may be repeated\n"
    "  --addresses-from FILE   whom to pay, one address a line; # begins a comment\n"
    "  --callback URL          where to tell of it (http://127.0.0.1:7090/callback/)\n"
    "  --rate PER_SECOND       payments per second (1); 0: as fast as they are answered\n"
    "  --count N               stop after N payments; what is below comes on top of them\n"
    "  --drivers N             how many people pay (20)\n"
    "  --amount AMOUNT         500000 is raw, 0.5 or 1nano is nano, 0.1-2.0 a range (0.1-2.0)\n"
    "  --seed N                the same network again\n"
    "  --duplicates PERCENT    of the payments are told again\n"
    "  --forgeries PERCENT     as many are made up, and can be told from what they say\n"
    "  --reorder PERCENT       are told after later ones\n"
    "  --legacy PERCENT        are legacy blocks\n"
    "  --noise PERCENT         as many blocks pay none of the addresses (up to 10000)\n"
    "  --connections N         callbacks under way at once (64)\n"
    "  --keep-alive            use connections again; a node never does\n"
    "  --retry                 tell again until it is answered; a node never does\n"
    "  --no-callback           tell nobody\n"
    "  --rpc ADDR:PORT         answer a node's RPC there\n"
    "  --ws ADDR:PORT          speak a node's WebSocket there\n"
    "  --lose-callbacks PERCENT  are never made\n"
    "  --fault NAME=VALUE      misbehave from the beginning (docs/simulated-node.md); may be repeated\n"
    "\n"
    "With --rpc or --ws it may do without addresses, says {\"ready\":true,…} first, and goes on until it is stopped;\n"
    "what shall happen it is told by the action `simulate` on its RPC.\n"
    "\n"
    "On stdout: one line of JSON for each callback, and a summary. Ctrl-C ends it.\n"
    "Hashes and signatures are real, the money and the proof of work are not.\n";

enum option_id {
    OPTION_TO = 1,
    OPTION_ADDRESSES_FROM,
    OPTION_CALLBACK,
    OPTION_RATE,
    OPTION_COUNT,
    OPTION_DRIVERS,
    OPTION_AMOUNT,
    OPTION_SEED,
    OPTION_DUPLICATES,
    OPTION_FORGERIES,
    OPTION_REORDER,
    OPTION_LEGACY,
    OPTION_NOISE,
    OPTION_CONNECTIONS,
    OPTION_KEEP_ALIVE,
    OPTION_RETRY,
    OPTION_NO_CALLBACK,
    OPTION_RPC,
    OPTION_WS,
    OPTION_LOSE_CALLBACKS,
    OPTION_FAULT,
    OPTION_HELP,
};

static const struct option OPTIONS[] = {
    {"to", required_argument, NULL, OPTION_TO},
    {"addresses-from", required_argument, NULL, OPTION_ADDRESSES_FROM},
    {"callback", required_argument, NULL, OPTION_CALLBACK},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"count", required_argument, NULL, OPTION_COUNT},
    {"drivers", required_argument, NULL, OPTION_DRIVERS},
    {"amount", required_argument, NULL, OPTION_AMOUNT},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"duplicates", required_argument, NULL, OPTION_DUPLICATES},
    {"forgeries", required_argument, NULL, OPTION_FORGERIES},
    {"reorder", required_argument, NULL, OPTION_REORDER},
    {"legacy", required_argument, NULL, OPTION_LEGACY},
    {"noise", required_argument, NULL, OPTION_NOISE},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"keep-alive", no_argument, NULL, OPTION_KEEP_ALIVE},
    {"retry", no_argument, NULL, OPTION_RETRY},
    {"no-callback", no_argument, NULL, OPTION_NO_CALLBACK},
    {"rpc", required_argument, NULL, OPTION_RPC},
    {"ws", required_argument, NULL, OPTION_WS},
    {"lose-callbacks", required_argument, NULL, OPTION_LOSE_CALLBACKS},
    {"fault", required_argument, NULL, OPTION_FAULT},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct settings {
    struct run_options run;
    struct notify_url url;
    struct address *targets;
    size_t target_count, target_room;
    struct face_options face;
    struct net_address rpc, ws;
    struct faults faults;
    bool help;
    char error[RUN_ERROR_SIZE];
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

/* ---- reading the command line ---------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool refuse(struct settings *settings, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(settings->error, sizeof(settings->error), format, arguments);
    va_end(arguments);
    return false;
}

static bool take_number(struct settings *settings, const char *name, const char *text, uint64_t least,
                        uint64_t most, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long read = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || read < least || read > most) {
        return refuse(settings, "--%s takes a whole number from %llu to %llu, not '%.40s'", name,
                      (unsigned long long)least, (unsigned long long)most, text);
    }
    *number = read;
    return true;
}

static bool take_percent(struct settings *settings, const char *name, const char *text, unsigned most,
                         unsigned *percent)
{
    uint64_t number = 0;
    if (!take_number(settings, name, text, 0, most, &number)) {
        return false;
    }
    *percent = (unsigned)number;
    return true;
}

static bool take_size(struct settings *settings, const char *name, const char *text, size_t most,
                      size_t *size)
{
    uint64_t number = 0;
    if (!take_number(settings, name, text, 1, most, &number)) {
        return false;
    }
    *size = (size_t)number;
    return true;
}

static bool take_rate(struct settings *settings, const char *text)
{
    char *end = NULL;
    double rate = strtod(text, &end);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || rate > RATE_MOST || (rate > 0 && rate < 0.001)) {
        return refuse(settings,
                      "--rate takes payments per second, as 5 or 0.5 (0: as fast as answered), not '%.40s'",
                      text);
    }
    settings->run.interval_ns = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    return true;
}

static bool add_target(struct settings *settings, const char *text)
{
    struct address address;
    if (!address_parse(CHAIN_NANO, text, &address)) {
        return refuse(settings, "'%.80s' is no Nano address: check it for a missing or wrong character",
                      text);
    }
    if (settings->target_count == TARGETS_MOST) {
        return refuse(settings, "more than %d addresses to pay: give fewer", TARGETS_MOST);
    }
    if (settings->target_count == settings->target_room) {
        settings->target_room = settings->target_room == 0 ? 16 : 2 * settings->target_room;
        settings->targets =
            cs_realloc(settings->targets, settings->target_room * sizeof(settings->targets[0]));
    }
    settings->targets[settings->target_count++] = address;
    return true;
}

static bool add_targets_from(struct settings *settings, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return refuse(settings,
                      "cannot read %.200s (%s): give --addresses-from a file with one address a line", path,
                      strerror(errno));
    }
    char line[LINE_SIZE];
    bool good = true;
    while (good && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "#\r\n")] = '\0';
        char *word = line + strspn(line, " \t");
        word[strcspn(word, " \t")] = '\0';
        good = *word == '\0' || add_target(settings, word);
    }
    if (good && ferror(file)) {
        good = refuse(settings, "cannot read %.200s: give --addresses-from a file with one address a line",
                      path);
    }
    fclose(file);
    return good;
}

static bool take_amounts(struct settings *settings, const char *text)
{
    if (scenario_parse_amounts(text, &settings->run.scenario.amounts)) {
        return true;
    }
    return refuse(settings,
                  "--amount takes raw (500000), nano (0.5, 1nano) or a range (0.1-2.0), not '%.80s'", text);
}

static bool take_fault(struct settings *settings, const char *text)
{
    char name[40];
    size_t length = strcspn(text, "=");
    snprintf(name, sizeof(name), "%.*s", (int)length, text);
    if (text[length] == '=') {
        switch ((int)faults_set(&settings->faults, name, text + length + 1, 0)) {
        case CS_OK:
            return true;
        case CS_EINVAL:
            return refuse(settings, "the fault %s does not take '%.40s'", name, text + length + 1);
        default:
            break;
        }
    }
    return refuse(
        settings,
        "--fault takes a fault and its value, as lose_callbacks=30 (docs/simulated-node.md has all), "
        "not '%.60s'",
        text);
}

static bool take_address(struct settings *settings, const char *text, struct net_address *address,
                         const struct net_address **set)
{
    *set = address;
    return net_parse(text, address, settings->error) == CS_OK;
}

static bool take_option(struct settings *settings, enum option_id option, const char *name, const char *value)
{
    struct scenario_options *scenario = &settings->run.scenario;
    switch (option) {
    case OPTION_TO:
        return add_target(settings, value);
    case OPTION_ADDRESSES_FROM:
        return add_targets_from(settings, value);
    case OPTION_CALLBACK:
        return notify_parse_url(value, &settings->url, settings->error);
    case OPTION_RATE:
        return take_rate(settings, value);
    case OPTION_COUNT:
        return take_number(settings, name, value, 1, INT64_MAX, &settings->run.payments);
    case OPTION_DRIVERS:
        return take_size(settings, name, value, SCENARIO_DRIVERS_MOST, &scenario->drivers);
    case OPTION_AMOUNT:
        return take_amounts(settings, value);
    case OPTION_SEED:
        return take_number(settings, name, value, 0, INT64_MAX, &scenario->seed);
    case OPTION_DUPLICATES:
        return take_percent(settings, name, value, 100, &scenario->duplicates_percent);
    case OPTION_FORGERIES:
        return take_percent(settings, name, value, 100, &scenario->forgeries_percent);
    case OPTION_REORDER:
        return take_percent(settings, name, value, 100, &scenario->reorder_percent);
    case OPTION_LEGACY:
        return take_percent(settings, name, value, 100, &scenario->legacy_percent);
    case OPTION_NOISE:
        return take_percent(settings, name, value, SCENARIO_NOISE_MOST, &scenario->noise_percent);
    case OPTION_CONNECTIONS:
        return take_size(settings, name, value, CONNECTIONS_MOST, &settings->run.notify.connections);
    case OPTION_KEEP_ALIVE:
        settings->run.notify.keep_alive = true;
        return true;
    case OPTION_RETRY:
        settings->run.notify.retry = true;
        return true;
    case OPTION_NO_CALLBACK:
        settings->face.callback = false;
        return true;
    case OPTION_RPC:
        return take_address(settings, value, &settings->rpc, &settings->face.rpc);
    case OPTION_WS:
        return take_address(settings, value, &settings->ws, &settings->face.ws);
    case OPTION_LOSE_CALLBACKS:
        if (faults_set(&settings->faults, "lose_callbacks", value, 0) != CS_OK) {
            return refuse(settings, "--%s takes a whole number from 0 to 100, not '%.40s'", name, value);
        }
        return true;
    case OPTION_FAULT:
        return take_fault(settings, value);
    case OPTION_HELP:
        settings->help = true;
        return true;
    }
    return false;
}

static void set_defaults(struct settings *settings)
{
    settings->run = (struct run_options){
        .scenario = {.seed = randombytes_random(), .drivers = 20},
        .notify = {.connections = 64, .timeout_ms = TIMEOUT_MS},
        .interval_ns = 1000000000,
    };
    settings->face.callback = true;
    settings->face.faults = &settings->faults;
    settings->faults.chance.state = randombytes_random();
    bool good = notify_parse_url("http://127.0.0.1:7090/callback/", &settings->url, settings->error) &&
                scenario_parse_amounts("0.1-2.0", &settings->run.scenario.amounts);
    assert(good);
    (void)good;
}

static bool read_arguments(struct settings *settings, int argc, char **argv)
{
    /* Not options_read: --to may be given many times. */
    set_defaults(settings);
    opterr = 0;
    optind = 0; /* glibc: begin anew, for main or a test may have parsed before */
    int found, place = 0;
    while ((found = getopt_long(argc, argv, "+:h", OPTIONS, &place)) != -1) {
        if (found == ':') {
            return refuse(settings, "%.60s needs a value", argv[optind - 1]);
        }
        if (found == '?') {
            return refuse(settings,
                          "there is no option %.60s, or it takes no value; see coinslot simulate --help",
                          argv[optind - 1]);
        }
        enum option_id option = found == 'h' ? OPTION_HELP : (enum option_id)found;
        if (!take_option(settings, option, OPTIONS[place].name, optarg)) {
            return false;
        }
        if (settings->help) {
            return true;
        }
    }
    if (optind < argc) {
        return refuse(settings, "'%.60s' stands alone: addresses are given with --to", argv[optind]);
    }
    bool has_face = settings->face.rpc != NULL || settings->face.ws != NULL;
    if (settings->target_count == 0 && !has_face) {
        return refuse(settings,
                      "nobody to pay: give an address with --to, or a file of them with --addresses-from");
    }
    return true;
}

/* ---- running --------------------------------------------------------------------------------------- */

static void watch_signals(void)
{
    stopping = 0;
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: a wait ends at once */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static int run(struct settings *settings)
{
    settings->run.scenario.targets = settings->targets;
    settings->run.scenario.target_count = settings->target_count;
    settings->run.notify.url = &settings->url;
    bool has_face = settings->face.rpc != NULL || settings->face.ws != NULL;
    bool has_fault = !settings->face.callback;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        has_fault = has_fault || settings->faults.value[i] != 0;
    }
    settings->run.face = has_face || has_fault ? &settings->face : NULL;
    watch_signals();
    log_info("addresses to pay: %zu; the same again with --seed %llu", settings->target_count,
             (unsigned long long)settings->run.scenario.seed);
    if (run_scenario(&settings->run, stdout, &stopping, settings->error) != CS_OK) {
        return options_failed(COMMAND, "%s", settings->error);
    }
    return options_finish(COMMAND);
}

int cli_simulate(int argc, char **argv)
{
    struct settings settings = {.help = false};
    int code = 0;
    if (sodium_init() < 0) {
        return options_failed(COMMAND, "the system gives no random numbers; is /dev/urandom there?");
    }
    if (!read_arguments(&settings, argc, argv)) {
        code = options_wrong(COMMAND, "%s", settings.error);
    } else if (settings.help) {
        fputs(HELP, stdout);
        code = options_finish(COMMAND);
    } else {
        code = run(&settings);
    }
    free(settings.targets);
    return code;
}
