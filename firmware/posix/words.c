#include "posix/words.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "payment/amount.h"

typedef void (*words)(const json_t *event, char text[WORDS_SIZE]);

static long long number(const json_t *event, const char *name)
{
    return (long long)json_integer_value(json_object_get(event, name));
}

static bool flag(const json_t *event, const char *name)
{
    return json_is_true(json_object_get(event, name));
}

static const char *word(const json_t *event, const char *name)
{
    const char *text = json_text(event, name);
    return text != NULL ? text : "?";
}

#define SAY(...) snprintf(text, WORDS_SIZE, __VA_ARGS__)

static void say_started(const json_t *event, char text[WORDS_SIZE])
{
    SAY("%s, seq %lld, %lld s left, %lld s sold in all", word(event, "device"), number(event, "seq"),
        number(event, "remaining_s"), number(event, "credit_s"));
}

static void say_welcome(const json_t *event, char text[WORDS_SIZE])
{
    SAY("connected; %lld waiting after seq %lld", number(event, "pending"), number(event, "last_acked"));
}

static void say_payment(const json_t *event, char text[WORDS_SIZE])
{
    char paid[AMOUNT_NANO_SIZE] = "?", from[24], what[64];
    const char *sender = word(event, "from"), *refused = json_text(event, "refused");
    struct amount amount;
    if (amount_parse_raw(word(event, "amount"), &amount)) {
        amount_format_nano(amount, paid);
    }
    size_t length = strlen(sender);
    snprintf(from, sizeof(from), length <= 20 ? "%.20s" : "%.11s…%s", sender, sender + length - 5);
    if (refused != NULL) {
        snprintf(what, sizeof(what), "refused, %s", refused);
    } else {
        snprintf(what, sizeof(what), "+%lld s", number(event, "seconds"));
    }
    SAY("seq %lld: %s (%s nano from %s, %lld s old); credit %lld s", number(event, "seq"), what, paid, from,
        number(event, "age_s"), number(event, "credit_s"));
}

static void say_granted_before(const json_t *event, char text[WORDS_SIZE])
{
    SAY("seq %lld: a payment that was granted before, nothing added", number(event, "seq"));
}

static void say_repeat(const json_t *event, char text[WORDS_SIZE])
{
    SAY("seq %lld again: acked, nothing added", number(event, "seq"));
}

static void say_gap(const json_t *event, char text[WORDS_SIZE])
{
    SAY("seq %lld to %lld will not come: %s", number(event, "from"), number(event, "to"),
        word(event, "reason"));
}

static void say_noted(const json_t *event, char text[WORDS_SIZE])
{
    SAY("seq %lld: the relay has noted the outcome", number(event, "seq"));
}

static void say_state_lost(const json_t *event, char text[WORDS_SIZE])
{
    SAY("seq %lld to %lld were acked before this state began: their credit is not known here",
        number(event, "from"), number(event, "to"));
}

static void say_store_changed(const json_t *event, char text[WORDS_SIZE])
{
    SAY("the relay's store was restored from a backup: going on after seq %lld", number(event, "seq"));
}

static void say_config(const json_t *event, char text[WORDS_SIZE])
{
    SAY("config %lld", number(event, "version"));
}

static void say_state(const json_t *event, char text[WORDS_SIZE])
{
    if (!flag(event, "payable")) {
        SAY("tell people not to pay now (%s)", word(event, "reason"));
    } else if (flag(event, "caught_up")) {
        SAY("nothing is missing");
    } else {
        SAY("not known to be complete (%s)", word(event, "reason"));
    }
}

static void say_error(const json_t *event, char text[WORDS_SIZE])
{
    SAY("the relay says %s: %s", word(event, "code"), word(event, "message"));
}

static void say_relay_not_proven(const json_t *event, char text[WORDS_SIZE])
{
    SAY("this is not the relay whose key is pinned: %s", word(event, "message"));
}

static void say_frame_not_proven(const json_t *event, char text[WORDS_SIZE])
{
    SAY("not the relay's word, the session ends: %s", word(event, "message"));
}

static void say_protocol_error(const json_t *event, char text[WORDS_SIZE])
{
    SAY("the session ends: %s", word(event, "message"));
}

static void say_store_failed(const json_t *event, char text[WORDS_SIZE])
{
    SAY("cannot write %s: %s", word(event, "state"), word(event, "why"));
}

static void say_pin(const json_t *event, char text[WORDS_SIZE])
{
    SAY("the machine is %s", flag(event, "on") ? "on" : "off");
}

static void say_retired(const json_t *event, char text[WORDS_SIZE])
{
    SAY("retired for good (%s); until the power comes again it does not ask", word(event, "reason"));
}

static void say_waiting(const json_t *event, char text[WORDS_SIZE])
{
    long long delay_ms = number(event, "delay_ms");
    SAY("not connected (%lld %s); next attempt in %lld.%lld s", number(event, "code"), word(event, "reason"),
        delay_ms / 1000, delay_ms / 100 % 10);
}

static void say_stopped(const json_t *event, char text[WORDS_SIZE])
{
    SAY("stopped: %s", word(event, "reason"));
}

static const struct {
    const char *event;
    words say;
} WORDS[] = {
    {"started", say_started},
    {"welcome", say_welcome},
    {"payment", say_payment},
    {"granted_before", say_granted_before},
    {"repeat", say_repeat},
    {"gap", say_gap},
    {"noted", say_noted},
    {"state_lost", say_state_lost},
    {"store_changed", say_store_changed},
    {"config", say_config},
    {"state", say_state},
    {"error", say_error},
    {"relay_not_proven", say_relay_not_proven},
    {"frame_not_proven", say_frame_not_proven},
    {"protocol_error", say_protocol_error},
    {"store_failed", say_store_failed},
    {"pin", say_pin},
    {"retired", say_retired},
    {"waiting", say_waiting},
    {"stopped", say_stopped},
};

bool words_say(const json_t *event, char text[WORDS_SIZE])
{
    const char *name = word(event, "event");
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(WORDS[i].event, name) == 0) {
            WORDS[i].say(event, text);
            for (char *c = text; *c != '\0'; c++) {
                /* What the relay says may hold anything; a terminal obeys some of that. */
                *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
            }
            return true;
        }
    }
    return false;
}
