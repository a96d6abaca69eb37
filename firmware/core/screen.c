#include "core/screen.h"

#include <string.h>

#include "core/config.h"
#include "core/tariff.h"
#include "core/text.h"

/* ---- all the wording ------------------------------------------------------------------------------------------------- */

#define WORD_STARTING       "Please wait"
#define WORD_PRICES         "Scan to pay"
#define WORD_STEP           " = "
#define WORD_CAP            "at most "
#define WORD_PAID           "Paid"
#define WORD_ADDED          "+"
#define WORD_NOT_ENOUGH     "Not enough"
#define WORD_MORE           " more"
#define WORD_AT_ONCE        "Pay "
#define WORD_AT_ONCE_END    " at once"
#define WORD_TOO_LATE       "Payment came too late"
#define WORD_REFUSED        "Payment refused"
#define WORD_REFUND         "Ask for your money"
#define WORD_DONT_PAY       "Don't pay now"
#define WORD_NO_CONNECTION  "No connection"
#define WORD_DELAYED        "Payments are delayed"
#define WORD_NOT_SET_UP     "Not set up yet"
#define WORD_OUT_OF_SERVICE "Out of service"

_Static_assert(sizeof(WORD_TOO_LATE) <= CORE_SCREEN_COLUMNS + 1, "it fits a line");

/* ---- numbers -------------------------------------------------------------------------------------------------------------- */

void core_screen_countdown(uint32_t seconds, char text[SCREEN_DURATION_SIZE])
{
    struct core_text out = core_text_in(text, SCREEN_DURATION_SIZE);
    unsigned minutes = seconds / 60 % 60;
    if (seconds >= 3600) {
        core_text_add_number(&out, seconds / 3600);
        core_text_add(&out, ":");
        core_text_add_two_digits(&out, minutes);
    } else {
        core_text_add_number(&out, minutes);
    }
    core_text_add(&out, ":");
    core_text_add_two_digits(&out, seconds % 60);
}

void core_screen_duration(uint32_t seconds, char text[SCREEN_DURATION_SIZE])
{
    static const struct {
        uint32_t seconds;
        const char *name;
    } UNITS[] = {{86400, " d"}, {3600, " h"}, {60, " min"}, {1, " s"}};
    struct core_text out = core_text_in(text, SCREEN_DURATION_SIZE);
    int left = 2;
    for (unsigned i = 0; i < 4 && left > 0; i++) {
        uint32_t count = seconds / UNITS[i].seconds;
        seconds %= UNITS[i].seconds;
        left -= out.length > 0; /* the unit below the largest is the last one that is said */
        if (count == 0 || left == 0) {
            continue;
        }
        core_text_add(&out, out.length > 0 ? " " : "");
        core_text_add_number(&out, count);
        core_text_add(&out, UNITS[i].name);
    }
}

#define DECIMALS 6

void core_screen_amount(struct amount amount, char text[AMOUNT_NANO_SIZE])
{
    static const struct amount MILLIONTH = {.high = 0xd3c2, .low = 0x1bcecceda1000000}; /* 10^24 raw */
    amount_format_nano(amount, text);
    char *point = strchr(text, '.');
    if (point == NULL || strlen(point) <= 1 + DECIMALS) {
        return;
    }
    if (amount_add(amount, MILLIONTH, &amount)) {
        amount_format_nano(amount, text);
    }
    point = strchr(text, '.'); /* it is there: there were more decimals than were added to */
    size_t length = (size_t)(point - text) + 1 + DECIMALS;
    while (text[length - 1] == '0') {
        length--;
    }
    text[text[length - 1] == '.' ? length - 1 : length] = '\0';
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------ */

/* What is too long for a line is cut. */
static void add_line(struct core_screen *screen, const char *a, const char *b, const char *c)
{
    const char *const parts[] = {a, b, c};
    char *line = screen->lines[screen->line_count++];
    size_t at = 0;
    for (unsigned i = 0; i < 3; i++) {
        for (const char *from = parts[i]; *from != '\0' && at < CORE_SCREEN_COLUMNS; from++) {
            line[at++] = *from;
        }
    }
    line[at] = '\0';
}

/* ---- what there is to show ---------------------------------------------------------------------------------------------- */

/* Where people pay to: NULL when nobody has said so yet. */
static const uint8_t *own_address(const struct core *core)
{
    const struct core_config *config = &core->memory.current;
    if (core->identity.address_count > 0) {
        return core->identity.addresses[0];
    }
    return config->version > 0 && config->address_count > 0 ? config->addresses[0] : NULL;
}

bool core_screen_takes_payments(const struct core *core)
{
    return core->link == CORE_LINK_SESSION && core->payable && !core->store.failing &&
           own_address(core) != NULL;
}

static void add_qr(const struct core *core, struct core_screen *screen, struct amount amount)
{
    char account[66], raw[AMOUNT_RAW_SIZE];
    struct core_text qr = core_text_in(screen->qr, sizeof(screen->qr));
    core_config_account_text(core->crypto, own_address(core), account);
    amount_format_raw(amount, raw);
    core_text_add(&qr, "nano:");
    core_text_add(&qr, account);
    core_text_add(&qr, "?amount=");
    core_text_add(&qr, raw);
}

static void add_step(struct core_screen *screen, const struct core_step *step)
{
    char amount[AMOUNT_NANO_SIZE], duration[SCREEN_DURATION_SIZE];
    core_screen_amount(step->amount, amount);
    core_screen_duration(step->seconds, duration);
    add_line(screen, amount, WORD_STEP, duration);
}

/* Four steps have a line each; of more, the first three and the highest. */
static void show_prices(const struct core_tariff *tariff, struct core_screen *screen)
{
    char duration[SCREEN_DURATION_SIZE];
    add_line(screen, WORD_PRICES, "", "");
    for (unsigned i = 0; i < tariff->count && i < 3; i++) {
        add_step(screen, &tariff->steps[i]);
    }
    if (tariff->count > 3) {
        add_step(screen, &tariff->steps[tariff->count - 1]);
    }
    if (tariff->cap_s < CORE_SECONDS_MOST) {
        core_screen_duration(tariff->cap_s, duration);
        add_line(screen, WORD_CAP, duration, "");
    }
}

static void show_paid(const struct core *core, struct core_screen *screen)
{
    char countdown[SCREEN_DURATION_SIZE], added[SCREEN_DURATION_SIZE];
    add_line(screen, WORD_PAID, "", "");
    core_screen_countdown(screen->remaining_s, countdown);
    add_line(screen, countdown, "", "");
    if (core->added_ms > 0) {
        core_screen_countdown(core->added_s, added);
        add_line(screen, WORD_ADDED, added, "");
    }
    if (!core_screen_takes_payments(core)) {
        add_line(screen, WORD_DONT_PAY, "", "");
    }
}

static void show_notice(const struct core *core, struct core_screen *screen)
{
    char amount[AMOUNT_NANO_SIZE];
    switch (core->notice.reason) {
    case CORE_BELOW_MINIMUM:
        screen->kind = CORE_SCREEN_NOT_ENOUGH;
        add_line(screen, WORD_NOT_ENOUGH, "", "");
        core_screen_amount(core->notice.missing, amount);
        add_line(screen, amount, WORD_MORE, "");
        /* A payment stands for itself: what was too little goes back, and is no part of the next one. */
        core_screen_amount(core->notice.least, amount);
        add_line(screen, WORD_AT_ONCE, amount, WORD_AT_ONCE_END);
        break;
    case CORE_TOO_LATE:
        screen->kind = CORE_SCREEN_TOO_LATE;
        add_line(screen, WORD_TOO_LATE, "", "");
        break;
    case CORE_GRANTED:
    case CORE_UNKNOWN_ASSET:
    case CORE_NO_PROOF:
    case CORE_UNPROVABLE:
    case CORE_PROOF_WRONG:
        screen->kind = CORE_SCREEN_REFUSED;
        add_line(screen, WORD_REFUSED, "", "");
        break;
    }
    add_line(screen, WORD_REFUND, "", "");
}

static void show_closed(const struct core *core, struct core_screen *screen)
{
    bool in_session = core->link == CORE_LINK_SESSION;
    if (core->link == CORE_LINK_RETIRED || core->store.failing) {
        screen->kind = CORE_SCREEN_OUT_OF_SERVICE;
        add_line(screen, WORD_OUT_OF_SERVICE, "", "");
    } else if (!in_session && !core->tried && core->up_ms < CORE_STARTING_MS) {
        screen->kind = CORE_SCREEN_STARTING;
        add_line(screen, WORD_STARTING, "", "");
        return;
    } else {
        screen->kind = CORE_SCREEN_DONT_PAY;
    }
    add_line(screen, WORD_DONT_PAY, "", "");
    if (screen->kind == CORE_SCREEN_DONT_PAY) {
        bool nowhere = in_session && own_address(core) == NULL;
        add_line(screen, !in_session ? WORD_NO_CONNECTION : nowhere ? WORD_NOT_SET_UP : WORD_DELAYED, "", "");
    }
}

void core_screen_make(const struct core *core, struct core_screen *screen)
{
    struct core_tariff tariff;
    bool open = core_screen_takes_payments(core);
    memset(screen, 0, sizeof(*screen)); /* so that two of them compare */
    uint64_t remaining_s = (core->remaining_ms + 999) / 1000;
    screen->remaining_s = remaining_s < UINT32_MAX ? (uint32_t)remaining_s : UINT32_MAX;
    core_config_tariff(&core->identity, &core->memory.current, &tariff);
    struct amount asked = tariff.steps[0].amount;
    if (core->notice.left_ms > 0) {
        show_notice(core, screen);
        asked = core->notice.reason == CORE_BELOW_MINIMUM ? core->notice.least : asked;
    } else if (screen->remaining_s > 0) {
        screen->kind = CORE_SCREEN_PAID;
        show_paid(core, screen);
    } else if (open) {
        screen->kind = CORE_SCREEN_PRICES;
        show_prices(&tariff, screen);
    } else {
        show_closed(core, screen);
    }
    if (open) {
        add_qr(core, screen, asked);
    }
}
