#include "posix/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "payment/address.h"

#define FIRMWARE    "coinslot-meter/" COINSLOT_VERSION
#define KEY_DIGITS  64
#define BLANKS      " \t"
#define SECRET_SIZE 512 /* of a file that holds a key or a token */

_Static_assert(sizeof(FIRMWARE) <= CORE_FIRMWARE_SIZE, "at most 32 bytes of it go into a hello");

__attribute__((format(printf, 2, 3))) static enum cs_err refuse(char error[IDENTITY_ERROR_SIZE],
                                                                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, IDENTITY_ERROR_SIZE, format, arguments);
    va_end(arguments);
    return CS_EINVAL;
}

/* The next word of a list; 0: there is none. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, BLANKS);
    return strcspn(*at, BLANKS);
}

/* ---- secrets in files ------------------------------------------------------------------------------------------------------- */

/* Its text without what surrounds it; wiped by the caller. */
static enum cs_err read_secret(const char *path, char text[SECRET_SIZE], char error[IDENTITY_ERROR_SIZE])
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, SECRET_SIZE) : -1;
    if (length < 0) {
        refuse(error, "cannot read %s: %s", path, strerror(errno));
    }
    if (file >= 0) {
        close(file);
    }
    if (length < 0) {
        return CS_EIO;
    }
    if (length == SECRET_SIZE || memchr(text, '\0', (size_t)length) != NULL) {
        return refuse(error, "%s is no key and no token: it is longer than these, or no text", path);
    }
    text[length] = '\0';
    size_t blanks = strspn(text, " \t\r\n");
    memmove(text, text + blanks, (size_t)length - blanks + 1);
    text[strcspn(text, " \t\r\n")] = '\0';
    return CS_OK;
}

/* 64 digits are the seed; 128 are libsodium's form, the seed and the public key. */
static enum cs_err read_key(const char *path, struct crypto **crypto, char error[IDENTITY_ERROR_SIZE])
{
    char text[SECRET_SIZE];
    uint8_t bytes[2 * CORE_KEY_SIZE], public_key[CORE_KEY_SIZE];
    enum cs_err err = read_secret(path, text, error);
    if (err != CS_OK) {
        return err;
    }
    bool both = strlen(text) == 2 * KEY_DIGITS;
    if (!hex_decode(text, bytes, both ? sizeof(bytes) : CORE_KEY_SIZE)) {
        err = refuse(
            error, "%s holds no device key, which is 64 hexadecimal digits: make one with --make-key", path);
    } else {
        *crypto = crypto_open(bytes);
        crypto_public_key(*crypto, public_key);
        if (both && memcmp(public_key, bytes + CORE_KEY_SIZE, CORE_KEY_SIZE) != 0) {
            crypto_close(*crypto);
            *crypto = NULL;
            err = refuse(error,
                         "the second half of the key in %s is not the first half's public key: it is damaged",
                         path);
        }
    }
    sodium_memzero(text, sizeof(text));
    sodium_memzero(bytes, sizeof(bytes));
    return err;
}

static enum cs_err read_token(const char *path, struct core_identity *identity,
                              char error[IDENTITY_ERROR_SIZE])
{
    char text[SECRET_SIZE];
    enum cs_err err = read_secret(path, text, error);
    if (err == CS_OK && (text[0] == '\0' || strlen(text) >= sizeof(identity->token))) {
        err = refuse(error, "%s holds no token, which is 1 to 128 characters", path);
    }
    if (err == CS_OK) {
        memcpy(identity->token, text, strlen(text) + 1);
    }
    sodium_memzero(text, sizeof(text));
    return err;
}

int identity_make_key(const char *path)
{
    uint8_t seed[CRYPTO_SEED_SIZE], public_key[CORE_KEY_SIZE];
    char text[KEY_DIGITS + 2];
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && errno == EEXIST) {
        return settings_failed("%s is there already: a device's key is not overwritten, give another name",
                               path);
    }
    if (file < 0) {
        return settings_failed("cannot make %s: %s", path, strerror(errno));
    }
    randombytes_buf(seed, sizeof(seed));
    hex_encode_lower(seed, sizeof(seed), text);
    memcpy(text + KEY_DIGITS, "\n", 2);
    bool written = write(file, text, KEY_DIGITS + 1) == KEY_DIGITS + 1 && fsync(file) == 0;
    written = close(file) == 0 && written;
    struct crypto *crypto = crypto_open(seed);
    crypto_public_key(crypto, public_key);
    crypto_close(crypto);
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(text, sizeof(text));
    if (!written) {
        int code = settings_failed("cannot write %s: %s", path, strerror(errno));
        (void)unlink(path);
        return code;
    }
    hex_encode_lower(public_key, sizeof(public_key), text);
    return printf("%s\n", text) > 0 && fflush(stdout) == 0 ? 0 : 1;
}

/* ---- the relay -------------------------------------------------------------------------------------------------------------- */

static enum cs_err read_relay_keys(const char *list, struct core_identity *identity,
                                   char error[IDENTITY_ERROR_SIZE])
{
    size_t length;
    for (const char *at = list; (length = next_word(&at)) > 0; at += length) {
        char digits[KEY_DIGITS + 1] = "";
        if (identity->relay_key_count == 2) {
            return refuse(error, "there are more than two relay keys: the relay's own, and its next one");
        }
        if (length == KEY_DIGITS) {
            memcpy(digits, at, KEY_DIGITS);
        }
        if (!hex_decode(digits, identity->relay_keys[identity->relay_key_count++], CORE_KEY_SIZE)) {
            return refuse(error, "a relay's key is 64 hexadecimal digits, not \"%.80s\"", at);
        }
    }
    return CS_OK;
}

static enum cs_err read_credential(const struct settings *settings, const struct url *url,
                                   struct core_identity *identity, struct crypto **crypto,
                                   char error[IDENTITY_ERROR_SIZE])
{
    bool by_key = settings->key_file[0] != '\0';
    if (by_key == (settings->token_file[0] != '\0')) {
        return refuse(error, "either --key-file or --token-file is needed");
    }
    enum cs_err err = read_relay_keys(settings->relay_key, identity, error);
    if (err != CS_OK) {
        return err;
    }
    if (by_key && identity->relay_key_count == 0) {
        return refuse(error,
                      "--key-file needs --relay-key, with one key or two: `coinslot key show` prints them");
    }
    if (by_key) {
        err = read_key(settings->key_file, crypto, error);
        if (err == CS_OK) {
            crypto_public_key(*crypto, identity->device_key);
        }
        return err;
    }
    if (identity->relay_key_count > 0) {
        return refuse(error,
                      "--relay-key goes with --key-file: in a session by token the relay proves nothing");
    }
    if (!url->secure && !url_is_loopback(url) && !settings->allow_plain_token) {
        return refuse(error,
                      "a token over ws:// to another machine can be read on the way: use wss://, or a key; "
                      "--allow-plain-token does it all the same");
    }
    *crypto = crypto_open(NULL);
    return read_token(settings->token_file, identity, error);
}

/* ---- tariff and addresses ----------------------------------------------------------------------------------------------------- */

static enum cs_err read_step(const char *word, size_t length, struct core_tariff *tariff,
                             char error[IDENTITY_ERROR_SIZE])
{
    char text[64] = "";
    if (tariff->count == CORE_STEPS_MOST) {
        return refuse(error, "a tariff has at most %d steps", CORE_STEPS_MOST);
    }
    struct core_step *step = &tariff->steps[tariff->count++];
    if (length < sizeof(text)) {
        memcpy(text, word, length);
    }
    char *colon = strchr(text, ':');
    bool is_step = colon != NULL && strlen(colon) <= 11 && colon[1] != '\0' &&
                   strspn(colon + 1, "0123456789") == strlen(colon + 1);
    unsigned long long seconds = is_step ? strtoull(colon + 1, NULL, 10) : 0;
    if (is_step) {
        *colon = '\0';
    }
    if (seconds == 0 || seconds > CORE_SECONDS_MOST || !amount_parse_nano(text, &step->amount)) {
        return refuse(error, "a step is an amount and its seconds, as 0.1:360, not \"%.*s\"",
                      (int)(length < 80 ? length : 80), word);
    }
    step->seconds = (uint32_t)seconds;
    return CS_OK;
}

static enum cs_err read_tariff(const struct settings *settings, struct core_identity *identity,
                               char error[IDENTITY_ERROR_SIZE])
{
    struct core_tariff *tariff = &identity->tariff;
    size_t length;
    for (const char *at = settings->steps; (length = next_word(&at)) > 0; at += length) {
        enum cs_err err = read_step(at, length, tariff, error);
        if (err != CS_OK) {
            return err;
        }
    }
    if (tariff->count == 0) {
        if (!amount_parse_nano(settings->price, &tariff->steps[0].amount) ||
            amount_is_zero(tariff->steps[0].amount)) {
            return refuse(error, "--price is an amount of nano above 0, as 0.001, not \"%.60s\"",
                          settings->price);
        }
        tariff->steps[0].seconds = (uint32_t)settings->seconds;
        tariff->count = 1;
    }
    if (!amount_parse_nano(settings->minimum, &tariff->minimum)) {
        return refuse(error, "--minimum is an amount of nano, as 0.0005, not \"%.60s\"", settings->minimum);
    }
    tariff->cap_s = (uint32_t)settings->cap_s;
    tariff->late_after_s = (int32_t)settings->late_after;
    identity->own_tariff = settings->own_tariff;
    return CS_OK;
}

static enum cs_err read_addresses(const char *list, struct core_identity *identity,
                                  char error[IDENTITY_ERROR_SIZE])
{
    size_t length;
    for (const char *at = list; (length = next_word(&at)) > 0; at += length) {
        char text[ADDRESS_TEXT_SIZE] = "";
        struct address address;
        if (identity->address_count == CORE_ADDRESSES_MOST) {
            return refuse(error, "a meter has at most %d addresses", CORE_ADDRESSES_MOST);
        }
        if (length < sizeof(text)) {
            memcpy(text, at, length);
        }
        if (!address_parse(CHAIN_NANO, text, &address)) {
            return refuse(error, "\"%.*s\" is no Nano address: copy it whole, nano_…",
                          (int)(length < 80 ? length : 80), at);
        }
        memcpy(identity->addresses[identity->address_count++], address.bytes, CORE_KEY_SIZE);
    }
    return CS_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------ */

static enum cs_err check_needed(const struct settings *settings, char error[IDENTITY_ERROR_SIZE])
{
    const char *missing = settings->url[0] == '\0'      ? "--url"
                          : settings->device[0] == '\0' ? "--device"
                          : settings->state[0] == '\0'  ? "--state"
                                                        : NULL;
    return missing == NULL
               ? CS_OK
               : refuse(error, "%s is needed, here or in the file that --config names: see --help", missing);
}

enum cs_err identity_read(const struct settings *settings, struct core_identity *identity,
                          struct crypto **crypto, struct url *url, char error[IDENTITY_ERROR_SIZE])
{
    char why[URL_ERROR_SIZE];
    *identity = (struct core_identity){.firmware = FIRMWARE, .proof = settings->proof};
    *crypto = NULL;
    snprintf(identity->device, sizeof(identity->device), "%s", settings->device);
    enum cs_err err = check_needed(settings, error);
    if (err == CS_OK && url_parse(settings->url, url, why) != CS_OK) {
        err = refuse(error, "--url: %s", why);
    }
    if (err == CS_OK) {
        err = read_tariff(settings, identity, error);
    }
    if (err == CS_OK) {
        err = read_addresses(settings->address, identity, error);
    }
    if (err == CS_OK) {
        err = read_credential(settings, url, identity, crypto, error);
    }
    if (err != CS_OK && *crypto != NULL) {
        crypto_close(*crypto);
        *crypto = NULL;
    }
    return err;
}
