#include "plain/settings.h"

#include <string.h>

#include "core/config.h"

typedef const char *put_function(struct settings *settings, const struct core_crypto *crypto,
                                 const char *value);

/* ---- pieces of text ------------------------------------------------------------------------------------------------------ */

static const char *put_text(char *target, size_t size, const char *value)
{
    size_t length = strlen(value);
    if (length >= size) {
        return "is too long";
    }
    memcpy(target, value, length + 1);
    return NULL;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* 64 digits; false when there are fewer. */
static bool read_key(const char *text, uint8_t key[CORE_KEY_SIZE])
{
    for (size_t i = 0; i < CORE_KEY_SIZE; i++) {
        int high = digit_of(text[2 * i]);
        int low = high < 0 ? -1 : digit_of(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        key[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool read_seconds(const char *text, uint32_t most, uint32_t *seconds)
{
    uint32_t number = 0;
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 10 || text[length] != '\0') {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        uint32_t digit = (uint32_t)(text[i] - '0');
        if (number > (most - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *seconds = number;
    return true;
}

static const char *read_flag(const char *text, bool *flag)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        return "is yes or no";
    }
    *flag = text[0] == 'y';
    return NULL;
}

/* The next word, blanks before it skipped. False at the end, and when it is too long. */
static bool next_word(const char **text, char *word, size_t size)
{
    *text += strspn(*text, " ");
    size_t length = strcspn(*text, " ");
    if (length == 0 || length >= size) {
        return false;
    }
    memcpy(word, *text, length);
    word[length] = '\0';
    *text += length;
    *text += strspn(*text, " ");
    return true;
}

/* ---- each setting --------------------------------------------------------------------------------------------------------- */

static const char *put_wifi_ssid(struct settings *settings, const struct core_crypto *crypto,
                                 const char *value)
{
    (void)crypto;
    return put_text(settings->wifi_ssid, sizeof(settings->wifi_ssid), value);
}

static const char *put_wifi_password(struct settings *settings, const struct core_crypto *crypto,
                                     const char *value)
{
    (void)crypto;
    if (value[0] != '\0' && strlen(value) < 8) {
        return "has at least 8 letters, or none where the WiFi is open";
    }
    return put_text(settings->wifi_password, sizeof(settings->wifi_password), value);
}

static const char *put_relay(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    if (strncmp(value, "ws://", 5) != 0 && strncmp(value, "wss://", 6) != 0) {
        return "is ws://HOST:PORT, or wss:// where the relay has a certificate";
    }
    const char *wrong = put_text(settings->relay, sizeof(settings->relay), value);
    size_t length = wrong == NULL ? strlen(value) : 0;
    if (length > 7 &&
        strcmp(value + length - 7, "/device") == 0) { /* as people copy it from the relay's own words */
        length -= 7;
    }
    while (length > 0 && value[length - 1] == '/') {
        length--;
    }
    settings->relay[length] = '\0';
    return wrong;
}

static const char *put_relay_key(struct settings *settings, const struct core_crypto *crypto,
                                 const char *value)
{
    (void)crypto;
    char word[2 * CORE_KEY_SIZE + 1];
    uint8_t keys[2][CORE_KEY_SIZE];
    uint8_t count = 0;
    while (*value != '\0') {
        if (count == 2 || !next_word(&value, word, sizeof(word)) || !read_key(word, keys[count])) {
            return "is one or two keys of 64 hexadecimal digits, with a blank between";
        }
        count++;
    }
    memcpy(settings->identity.relay_keys, keys, sizeof(keys[0]) * count);
    settings->identity.relay_key_count = count;
    return NULL;
}

static const char *put_device(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    if (strncmp(value, "dev_", 4) != 0) {
        return "begins with dev_";
    }
    return put_text(settings->identity.device, sizeof(settings->identity.device), value);
}

static const char *put_secret_key(struct settings *settings, const struct core_crypto *crypto,
                                  const char *value)
{
    (void)crypto;
    settings->has_secret = value[0] != '\0';
    if (settings->has_secret && (strlen(value) != 2 * CORE_KEY_SIZE || !read_key(value, settings->secret))) {
        settings->has_secret = false;
        return "has 64 hexadecimal digits";
    }
    return NULL;
}

static const char *put_token(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    return put_text(settings->identity.token, sizeof(settings->identity.token), value);
}

static const char *put_address(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    char word[66];
    uint8_t count = 0;
    settings->identity.address_count = 0;
    while (*value != '\0') {
        if (count == CORE_ADDRESSES_MOST || !next_word(&value, word, sizeof(word)) ||
            !core_config_account(crypto, word, settings->identity.addresses[count])) {
            return "is nano_ and 60 letters: compare them with where they were copied from";
        }
        count++;
    }
    settings->identity.address_count = count;
    return NULL;
}

static const char *put_proof(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    return read_flag(value, &settings->identity.proof);
}

/* NANO:SECONDS */
static bool read_step(char *word, struct core_step *step)
{
    char *colon = strchr(word, ':');
    if (colon == NULL) {
        return false;
    }
    *colon = '\0';
    return amount_parse_nano(word, &step->amount) && !amount_is_zero(step->amount) &&
           read_seconds(colon + 1, CORE_SECONDS_MOST, &step->seconds) && step->seconds > 0;
}

static const char *put_steps(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    static const char WRONG[] = "is NANO:SECONDS with blanks between, rising, as 0.1:360 1:4200";
    struct core_tariff *tariff = &settings->identity.tariff;
    char word[64];
    struct core_step step;
    uint8_t count = 0;
    while (*value != '\0') {
        if (count == CORE_STEPS_MOST || !next_word(&value, word, sizeof(word)) || !read_step(word, &step) ||
            (count > 0 && amount_compare(tariff->steps[count - 1].amount, step.amount) >= 0)) {
            tariff->count = 0;
            return WRONG;
        }
        tariff->steps[count++] = step;
    }
    tariff->count = count;
    return count > 0 ? NULL : WRONG;
}

static const char *put_minimum(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    return amount_parse_nano(value, &settings->identity.tariff.minimum) ? NULL
                                                                        : "is an amount of nano, as 0.05";
}

static const char *put_cap_s(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    uint32_t seconds;
    if (!read_seconds(value, CORE_SECONDS_MOST, &seconds) || seconds == 0) {
        return "is a number of seconds, 1 or more";
    }
    settings->identity.tariff.cap_s = seconds;
    return NULL;
}

static const char *put_late_after(struct settings *settings, const struct core_crypto *crypto,
                                  const char *value)
{
    (void)crypto;
    uint32_t seconds;
    if (strcmp(value, "-1") == 0) {
        settings->identity.tariff.late_after_s = -1;
        return NULL;
    }
    if (!read_seconds(value, INT32_MAX, &seconds)) {
        return "is a number of seconds, or -1: nothing is too late";
    }
    settings->identity.tariff.late_after_s = (int32_t)seconds;
    return NULL;
}

static const char *put_own_tariff(struct settings *settings, const struct core_crypto *crypto,
                                  const char *value)
{
    (void)crypto;
    return read_flag(value, &settings->identity.own_tariff);
}

static const char *put_update_url(struct settings *settings, const struct core_crypto *crypto,
                                  const char *value)
{
    (void)crypto;
    if (value[0] != '\0' && strncmp(value, "https://", 8) != 0) {
        return "begins with https://: who serves it decides what the meter runs";
    }
    return put_text(settings->update_url, sizeof(settings->update_url), value);
}

static const char *put_ca(struct settings *settings, const struct core_crypto *crypto, const char *value)
{
    (void)crypto;
    if (value[0] != '\0' && strncmp(value, "-----BEGIN CERTIFICATE-----", 27) != 0) {
        return "is a certificate as PEM";
    }
    return put_text(settings->ca, sizeof(settings->ca), value);
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    put_function *put;
    bool secret;
} SETTINGS[] = {
    {"wifi_ssid", put_wifi_ssid, false},
    {"wifi_password", put_wifi_password, true},
    {"relay", put_relay, false},
    {"relay_key", put_relay_key, false},
    {"device", put_device, false},
    {"secret_key", put_secret_key, true},
    {"token", put_token, true},
    {"address", put_address, false},
    {"proof", put_proof, false},
    {"steps", put_steps, false},
    {"minimum", put_minimum, false},
    {"cap_s", put_cap_s, false},
    {"late_after", put_late_after, false},
    {"own_tariff", put_own_tariff, false},
    {"update_url", put_update_url, false},
    {"ca", put_ca, false},
};

#define SETTING_COUNT (sizeof(SETTINGS) / sizeof(SETTINGS[0]))

void settings_clear(struct settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    struct core_tariff *tariff = &settings->identity.tariff;
    /* As in the other meters: 0.001 nano is six seconds. */
    bool parsed = amount_parse_nano("0.001", &tariff->steps[0].amount);
    tariff->steps[0].seconds = 6;
    tariff->count = parsed ? 1 : 0;
    tariff->cap_s = CORE_SECONDS_MOST;
    tariff->late_after_s = -1;
}

const char *settings_name(size_t index)
{
    return index < SETTING_COUNT ? SETTINGS[index].name : NULL;
}

static size_t find(const char *name)
{
    size_t index = 0;
    while (index < SETTING_COUNT && strcmp(SETTINGS[index].name, name) != 0) {
        index++;
    }
    return index;
}

bool settings_is_secret(const char *name)
{
    size_t index = find(name);
    return index < SETTING_COUNT && SETTINGS[index].secret;
}

const char *settings_put(struct settings *settings, const struct core_crypto *crypto, const char *name,
                         const char *value)
{
    size_t index = find(name);
    if (index == SETTING_COUNT) {
        return "is no setting";
    }
    return SETTINGS[index].put(settings, crypto, value);
}

const char *settings_missing(const struct settings *settings)
{
    const struct core_identity *identity = &settings->identity;
    bool by_token = identity->token[0] != '\0';
    if (settings->wifi_ssid[0] == '\0') {
        return "wifi_ssid is missing";
    }
    if (settings->relay[0] == '\0') {
        return "relay is missing";
    }
    if (identity->device[0] == '\0') {
        return "device is missing";
    }
    if (settings->has_secret == by_token) {
        return by_token ? "secret_key and token: one of them" : "secret_key is missing (or token)";
    }
    if (settings->has_secret && identity->relay_key_count == 0) {
        return "relay_key is missing: without it any relay would do";
    }
    if (by_token && identity->relay_key_count > 0) {
        return "relay_key goes with secret_key";
    }
    if (by_token && strncmp(settings->relay, "wss://", 6) != 0) {
        return "a token needs a relay at wss://";
    }
    return identity->tariff.count > 0 ? NULL : "steps are missing";
}

bool settings_split(const char *text, char name[16], const char **value)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals - text > 15) {
        return false;
    }
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    *value = equals + 1;
    return find(name) < SETTING_COUNT;
}
