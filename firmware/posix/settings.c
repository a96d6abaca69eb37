#include "posix/settings.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

static const char *const DISPLAYS[] = {"auto", "screen", "plain", "json", NULL};

#define TEXT(where, name, fallback, help)                                                                    \
    {                                                                                                        \
        where, #name, CONF_TEXT, offsetof(struct settings, name), sizeof(((struct settings *)0)->name), 0,   \
            0, NULL, fallback, help                                                                          \
    }
#define FLAG(where, name, help)                                                                              \
    {                                                                                                        \
        where, #name, CONF_FLAG, offsetof(struct settings, name), sizeof(bool), 0, 0, NULL, "no", help       \
    }
#define NUMBER(where, name, least, most, fallback, help)                                                     \
    {                                                                                                        \
        where, #name, CONF_NUMBER, offsetof(struct settings, name), sizeof(int64_t), least, most, NULL,      \
            fallback, help                                                                                   \
    }

static const struct conf_key KEYS[] = {
    TEXT("relay", url, "",
         "the relay's WebSocket port, as ws://HOST:PORT, or wss:// where it has a certificate"),
    TEXT("relay", relay_key, "",
         "the relay's public key and its next one, with a blank between; goes with key_file"),
    TEXT("relay", ca_file, "", "for wss://: the certificates to trust in place of the system's"),
    FLAG("relay", allow_plain_token,
         "send the token over ws:// to another machine: whoever can read along can act as this meter"),
    NUMBER("relay", ping_s, 1, 3600, "20", "after so many silent seconds the relay is pinged"),
    NUMBER("relay", pong_s, 1, 3600, "20", "and left when nothing comes for so long after that"),
    TEXT("meter", device, "", "the device's id, dev_…"),
    TEXT("meter", key_file, "", "holds the device's key, as --make-key wrote it"),
    TEXT("meter", token_file, "", "holds the device's token, in place of a key"),
    TEXT("meter", state, "", "a folder for what the meter remembers; made when missing, and its own"),
    TEXT("meter", address, "", "where it is paid, with blanks between; empty: as the relay's config says"),
    FLAG("meter", proof, "a payment counts only with its proof: not even the relay can make one up"),
    TEXT("pin", gpio, "", "the line that runs the machine, as gpiochip0:17; empty: none"),
    FLAG("pin", active_low, "the machine runs while that line is low"),
    TEXT("pin", pin_file, "", "in place of a line: a file that says on or off"),
    {"display", "display", CONF_CHOICE, offsetof(struct settings, display), sizeof(int), 0, 0, DISPLAYS,
     "auto",
     "a screen with the QR code, lines, or a line of JSON for each event; auto: a screen on a terminal, else lines"},
    TEXT("display", screen_file, "", "the screen goes into this file, too, whenever it changes"),
    TEXT("tariff", price, "0.001", "nano that buy `seconds`, where the relay's config has no tariff"),
    NUMBER("tariff", seconds, 1, INT32_MAX, "6", "what `price` buys"),
    TEXT("tariff", steps, "", "in place of these two, NANO:SECONDS with blanks between, as 0.1:360 1:4200"),
    TEXT("tariff", minimum, "0", "nano; less is refused; 0: the first step"),
    NUMBER("tariff", cap_s, 1, INT32_MAX, "2147483647", "seconds that one payment buys at most"),
    NUMBER("tariff", late_after, -1, INT32_MAX, "-1",
           "payments older than so many seconds are refused; -1: none is"),
    FLAG("tariff", own_tariff, "this tariff always holds, whatever the relay says"),
};

#define KEY_COUNT (sizeof(KEYS) / sizeof(KEYS[0]))

/* ---- words ---------------------------------------------------------------------------------------------------------------- */

static const char HELP[] =
    "coinslot-meter --config FILE | --url … --device … --key-file … --relay-key … --state …\n"
    "\n"
    "A meter: shows what it costs, runs the machine for as long as was paid, and forgets nothing when the power goes.\n"
    "\n"
    "  --config FILE         its settings; --print-config prints all there are, each with its default. Every one is an option,\n"
    "                        too, which stands above the file: key_file is --key-file\n"
    "  --make-key FILE       make a key, print the public key to register, and end\n"
    "  --show                print what the meter in --state remembers, as JSON, and end; beside a running one, too\n"
    "  --json, --plain       short for --display json and --display plain\n"
    "  --print-config, --version, --help\n"
    "\n"
    "Settings:\n";

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
    char text[700];
    vsnprintf(text, sizeof(text), format, arguments);
    for (char *c = text; *c != '\0'; c++) {
        *c = *c == '\n' || *c == '\r' ? ' ' : *c;
    }
    fprintf(stderr, "coinslot-meter: %s\n", text);
}

int settings_wrong(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return 2;
}

int settings_failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return 1;
}

void settings_print(FILE *out)
{
    conf_print(KEYS, KEY_COUNT, out);
}

static void option_name(const struct conf_key *key, char name[32])
{
    snprintf(name, 32, "%s", key->name);
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
}

static void print_help(void)
{
    fputs(HELP, stdout);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char name[32];
        option_name(&KEYS[i], name);
        printf("  --%-19s %s\n", name, KEYS[i].help);
    }
}

/* ---- the command line ------------------------------------------------------------------------------------------------------- */

enum order {
    ORDER_HELP = 1000,
    ORDER_VERSION,
    ORDER_CONFIG,
    ORDER_MAKE_KEY,
    ORDER_SHOW,
    ORDER_PRINT,
    ORDER_JSON,
    ORDER_PLAIN
};
#define FIRST_KEY   2000
#define ORDER_COUNT 8

struct line {
    struct settings *settings;
    struct settings_orders *orders;
    const char *config;
    bool given[KEY_COUNT];
    struct settings told; /* what the command line says; over the file's */
};

static const struct conf_key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(KEYS[i].name, name) == 0) {
            return &KEYS[i];
        }
    }
    assert(!"no such setting");
    return NULL;
}

/* A list that is given twice is one list; anything else stands as it was given last. */
static int take_value(struct line *line, const struct conf_key *key, const char *value)
{
    char joined[SETTINGS_LIST_SIZE], why[CONF_REASON_SIZE], name[32];
    bool *given = &line->given[key - KEYS];
    bool is_list = strcmp(key->name, "relay_key") == 0 || strcmp(key->name, "address") == 0 ||
                   strcmp(key->name, "steps") == 0;
    if (is_list && *given) {
        const char *before = (const char *)&line->told + key->offset;
        snprintf(joined, sizeof(joined), "%s %s", before, value);
        value = joined;
    }
    option_name(key, name);
    *given = true;
    if (!conf_set(key, value, &line->told, why)) {
        return settings_wrong("--%s cannot be \"%.80s\": %s", name, value, why);
    }
    return SETTINGS_GO_ON;
}

static int obey(struct line *line, int order)
{
    switch ((enum order)order) {
    case ORDER_HELP:
        print_help();
        return 0;
    case ORDER_VERSION:
        printf("coinslot-meter %s\n", COINSLOT_VERSION);
        return 0;
    case ORDER_CONFIG:
        line->config = optarg;
        break;
    case ORDER_MAKE_KEY:
        line->orders->make_key = optarg;
        break;
    case ORDER_SHOW:
        line->orders->show = true;
        break;
    case ORDER_PRINT:
        line->orders->print_config = true;
        break;
    case ORDER_JSON:
        return take_value(line, find_key("display"), "json");
    case ORDER_PLAIN:
        return take_value(line, find_key("display"), "plain");
    }
    return SETTINGS_GO_ON;
}

static int take_options(struct line *line, int argc, char **argv)
{
    static const struct option ORDERS[ORDER_COUNT] = {
        {"help", no_argument, NULL, ORDER_HELP},
        {"version", no_argument, NULL, ORDER_VERSION},
        {"config", required_argument, NULL, ORDER_CONFIG},
        {"make-key", required_argument, NULL, ORDER_MAKE_KEY},
        {"show", no_argument, NULL, ORDER_SHOW},
        {"print-config", no_argument, NULL, ORDER_PRINT},
        {"json", no_argument, NULL, ORDER_JSON},
        {"plain", no_argument, NULL, ORDER_PLAIN},
    };
    static char names[KEY_COUNT][32];
    struct option longs[ORDER_COUNT + KEY_COUNT + 1];
    memset(longs, 0, sizeof(longs));
    memcpy(longs, ORDERS, sizeof(ORDERS));
    for (size_t i = 0; i < KEY_COUNT; i++) {
        option_name(&KEYS[i], names[i]);
        longs[ORDER_COUNT + i] = (struct option){
            names[i], KEYS[i].type == CONF_FLAG ? no_argument : required_argument, NULL, FIRST_KEY + (int)i};
    }
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    int code, result = SETTINGS_GO_ON;
    while (result == SETTINGS_GO_ON && (code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (code == ':') {
            return settings_wrong("%s needs a value: see --help", argv[optind - 1]);
        }
        if (code == '?') {
            return settings_wrong("cannot understand %s: see --help", argv[optind - 1]);
        }
        if (code >= FIRST_KEY) {
            const struct conf_key *key = &KEYS[code - FIRST_KEY];
            result = take_value(line, key, key->type == CONF_FLAG ? "yes" : optarg);
        } else {
            result = obey(line, code == 'h' ? ORDER_HELP : code);
        }
    }
    if (result == SETTINGS_GO_ON && optind < argc) {
        return settings_wrong("there is one argument too many: `%s`; see --help", argv[optind]);
    }
    return result;
}

int settings_read(int argc, char **argv, struct settings *settings, struct settings_orders *orders)
{
    struct line line = {.settings = settings, .orders = orders};
    char error[CONF_ERROR_SIZE];
    *orders = (struct settings_orders){0};
    conf_set_defaults(KEYS, KEY_COUNT, settings);
    int code = take_options(&line, argc, argv);
    if (code != SETTINGS_GO_ON) {
        return code;
    }
    if (line.config != NULL && conf_read_file(line.config, KEYS, KEY_COUNT, settings, error) != CS_OK) {
        return settings_wrong("%s", error);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (line.given[i]) {
            memcpy((char *)settings + KEYS[i].offset, (const char *)&line.told + KEYS[i].offset,
                   KEYS[i].size);
        }
    }
    return SETTINGS_GO_ON;
}
