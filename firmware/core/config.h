/* config: what the relay tells a device of itself, read; and which tariff a payment falls under. Pure. */
#ifndef COINSLOT_FIRMWARE_CORE_CONFIG_H
#define COINSLOT_FIRMWARE_CORE_CONFIG_H

#include "core/core_struct.h"

/* `value` is the token of a config object. False when a payment could not be priced by it. */
bool core_config_read(const struct core_crypto *crypto, const struct core_json *json, int value,
                      struct core_config *config);

/* What holds under the config; `none` (version 0) and what it leaves open is the built-in tariff's. */
void core_config_tariff(const struct core_identity *identity, const struct core_config *config,
                        struct core_tariff *tariff);

/* An account's text, its checksum right, as a key; and the way back. */
bool core_config_account(const struct core_crypto *crypto, const char *text, uint8_t key[CORE_KEY_SIZE]);
void core_config_account_text(const struct core_crypto *crypto, const uint8_t key[CORE_KEY_SIZE],
                              char text[66]);

#endif
