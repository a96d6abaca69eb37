#include "core/config.h"

#include <string.h>

#include "core/tariff.h"
#include "payment/nano_text.h"

/* BLAKE2b-40 of the key, last byte first. */
static void checksum_of(const struct core_crypto *crypto, const uint8_t key[CORE_KEY_SIZE],
                        uint8_t checksum[NANO_CHECKSUM_BYTES])
{
    struct core_bytes part = {key, CORE_KEY_SIZE};
    uint8_t digest[NANO_CHECKSUM_BYTES];
    crypto->blake2b(crypto->context, &part, 1, NULL, 0, digest, sizeof(digest));
    for (size_t i = 0; i < NANO_CHECKSUM_BYTES; i++) {
        checksum[i] = digest[NANO_CHECKSUM_BYTES - 1 - i];
    }
}

bool core_config_account(const struct core_crypto *crypto, const char *text, uint8_t key[CORE_KEY_SIZE])
{
    uint8_t told[NANO_CHECKSUM_BYTES], checksum[NANO_CHECKSUM_BYTES];
    if (!nano_text_decode(text, key, told)) {
        return false;
    }
    checksum_of(crypto, key, checksum);
    return memcmp(told, checksum, sizeof(told)) == 0;
}

void core_config_account_text(const struct core_crypto *crypto, const uint8_t key[CORE_KEY_SIZE],
                              char text[66])
{
    uint8_t checksum[NANO_CHECKSUM_BYTES];
    checksum_of(crypto, key, checksum);
    nano_text_encode(key, checksum, text);
}

static bool read_amount(const struct core_json *json, int value, struct amount *amount)
{
    char text[AMOUNT_RAW_SIZE];
    return core_json_text(json, value, text, sizeof(text)) && amount_parse_raw(text, amount);
}

static bool read_seconds(const struct core_json *json, int value, uint32_t *seconds)
{
    uint64_t number;
    if (!core_json_number(json, value, CORE_SECONDS_MOST, &number)) {
        return false;
    }
    *seconds = (uint32_t)number;
    return true;
}

/* Missing, or null: nothing is too late. */
static bool read_late(const struct core_json *json, int object, struct core_config *config)
{
    int value = core_json_member(json, object, "late_after_s");
    uint32_t seconds;
    config->has_late = value >= 0;
    config->tariff.late_after_s = -1;
    if (value < 0 || core_json_is_null(json, value)) {
        return true;
    }
    if (!read_seconds(json, value, &seconds)) {
        return false;
    }
    config->tariff.late_after_s = (int32_t)seconds;
    return true;
}

static bool read_steps(const struct core_json *json, int value, struct core_tariff *tariff)
{
    int step, count;
    if (!core_json_array(json, value, &step, &count) || count > CORE_STEPS_MOST) {
        return false;
    }
    tariff->count = (uint8_t)count;
    for (int i = 0; i < count; i++, step = core_json_after(json, step)) {
        if (!read_amount(json, core_json_member(json, step, "amount"), &tariff->steps[i].amount) ||
            !read_seconds(json, core_json_member(json, step, "seconds"), &tariff->steps[i].seconds)) {
            return false;
        }
    }
    return true;
}

static bool read_tariff(const struct core_json *json, int value, struct core_tariff *tariff)
{
    int minimum = core_json_member(json, value, "minimum"), cap = core_json_member(json, value, "cap_s");
    tariff->minimum = (struct amount){0, 0};
    tariff->cap_s = CORE_SECONDS_MOST;
    return read_steps(json, core_json_member(json, value, "steps"), tariff) &&
           (minimum < 0 || read_amount(json, minimum, &tariff->minimum)) &&
           (cap < 0 || read_seconds(json, cap, &tariff->cap_s)) && core_tariff_settle(tariff);
}

/* Those past the sixteenth are not kept; what is no account of ours (another chain's, some day) neither. */
static bool read_addresses(const struct core_crypto *crypto, const struct core_json *json, int value,
                           struct core_config *config)
{
    char text[NANO_TEXT_SIZE];
    int address, count;
    config->address_count = 0;
    if (value < 0) {
        return true;
    }
    if (!core_json_array(json, value, &address, &count)) {
        return false;
    }
    for (int i = 0; i < count && config->address_count < CORE_ADDRESSES_MOST; i++) {
        if (core_json_text(json, address, text, sizeof(text)) &&
            core_config_account(crypto, text, config->addresses[config->address_count])) {
            config->address_count++;
        }
        address = core_json_after(json, address);
    }
    return true;
}

bool core_config_read(const struct core_crypto *crypto, const struct core_json *json, int value,
                      struct core_config *config)
{
    memset(config, 0, sizeof(*config));
    if (!core_json_is_object(json, value) || !read_late(json, value, config) ||
        !read_addresses(crypto, json, core_json_member(json, value, "addresses"), config)) {
        return false;
    }
    int tariff = core_json_member(json, value, "tariff");
    config->has_tariff = tariff >= 0 && !core_json_is_null(json, tariff);
    return !config->has_tariff || read_tariff(json, tariff, &config->tariff);
}

void core_config_tariff(const struct core_identity *identity, const struct core_config *config,
                        struct core_tariff *tariff)
{
    *tariff = identity->tariff;
    if (identity->own_tariff || config->version == 0) {
        return;
    }
    if (config->has_tariff) {
        *tariff = config->tariff;
    } else if (config->has_late) {
        tariff->late_after_s = config->tariff.late_after_s;
    }
}
