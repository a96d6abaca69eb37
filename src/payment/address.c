#include "payment/address.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "payment/nano_text.h"

bool chain_parse(const char *text, enum chain *chain)
{
    if (strcmp(text, chain_text(CHAIN_NANO)) != 0) {
        return false;
    }
    *chain = CHAIN_NANO;
    return true;
}

const char *chain_text(enum chain chain)
{
    switch (chain) {
    case CHAIN_NANO:
        return "nano";
    }
    return NULL;
}

/* BLAKE2b-40 of the key, last byte first. */
static void checksum(const uint8_t key[NANO_KEY_BYTES], uint8_t sum[NANO_CHECKSUM_BYTES])
{
    crypto_generichash_state state;
    uint8_t digest[NANO_CHECKSUM_BYTES];
    int failed = crypto_generichash_init(&state, NULL, 0, NANO_CHECKSUM_BYTES) ||
                 crypto_generichash_update(&state, key, NANO_KEY_BYTES) ||
                 crypto_generichash_final(&state, digest, NANO_CHECKSUM_BYTES);
    assert(!failed);
    for (int i = 0; i < NANO_CHECKSUM_BYTES; i++) {
        sum[i] = digest[NANO_CHECKSUM_BYTES - 1 - i];
    }
}

static bool parse_nano(const char *text, struct address *address)
{
    uint8_t key[NANO_KEY_BYTES], told[NANO_CHECKSUM_BYTES], sum[NANO_CHECKSUM_BYTES];
    if (!nano_text_decode(text, key, told)) {
        return false;
    }
    checksum(key, sum);
    if (memcmp(told, sum, NANO_CHECKSUM_BYTES) != 0) {
        return false;
    }
    *address = address_from_nano_key(key);
    return true;
}

bool address_parse(enum chain chain, const char *text, struct address *address)
{
    switch (chain) {
    case CHAIN_NANO:
        return parse_nano(text, address);
    }
    return false;
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_SIZE])
{
    assert(address->chain == CHAIN_NANO && address->length == NANO_KEY_BYTES);
    uint8_t sum[NANO_CHECKSUM_BYTES];
    checksum(address->bytes, sum);
    nano_text_encode(address->bytes, sum, text);
}

struct address address_from_nano_key(const uint8_t key[32])
{
    struct address address = {.chain = CHAIN_NANO, .length = NANO_KEY_BYTES};
    memcpy(address.bytes, key, NANO_KEY_BYTES);
    return address;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->chain == b->chain && a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}
