#include "push/device_proof.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"

_Static_assert(PROOF_PUBLIC_SIZE == crypto_sign_PUBLICKEYBYTES &&
                   PROOF_SECRET_SIZE == crypto_sign_SECRETKEYBYTES &&
                   PROOF_SIGNATURE_SIZE == crypto_sign_BYTES,
               "libsodium's sizes");
_Static_assert(PROOF_EXCHANGE_SIZE == crypto_kx_PUBLICKEYBYTES, "libsodium's sizes");
_Static_assert(PROOF_EXCHANGE_SIZE == crypto_kx_SECRETKEYBYTES, "libsodium's sizes");
_Static_assert(crypto_kx_SESSIONKEYBYTES == 32, "libsodium's sizes");

/* ---- the transcript ---------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

/* The length in `width` bytes, most significant first, then the bytes. */
static uint8_t *put_counted(uint8_t *at, const void *bytes, size_t length, unsigned width)
{
    assert(length >> (8 * width) == 0);
    for (unsigned i = width; i > 0; i--) {
        *at++ = (uint8_t)(length >> (8 * (i - 1)));
    }
    return put(at, bytes, length);
}

/* Every part is of fixed size or counted, so that no two transcripts have the same bytes. */
static uint8_t *write_bytes(const char *label, const struct proof_transcript *transcript, const char *welcome,
                            size_t welcome_length, size_t *length)
{
    size_t label_size = strlen(label) + 1, device_length = strlen(transcript->device);
    *length = label_size + 2 * PROOF_PUBLIC_SIZE + 2 + device_length + 4 + transcript->challenge_length + 4 +
              transcript->hello_length + (welcome != NULL ? 4 + welcome_length : 0);
    uint8_t *bytes = cs_alloc(*length), *at = bytes;
    at = put(at, label, label_size); /* with its NUL */
    at = put(at, transcript->relay_key, PROOF_PUBLIC_SIZE);
    at = put_counted(at, transcript->device, device_length, 2);
    at = put(at, transcript->device_key, PROOF_PUBLIC_SIZE);
    at = put_counted(at, transcript->challenge, transcript->challenge_length, 4);
    at = put_counted(at, transcript->hello, transcript->hello_length, 4);
    if (welcome != NULL) {
        at = put_counted(at, welcome, welcome_length, 4);
    }
    assert(at == bytes + *length);
    return bytes;
}

uint8_t *proof_device_bytes(const struct proof_transcript *transcript, size_t *length)
{
    return write_bytes("coinslot.v1 device", transcript, NULL, 0, length);
}

uint8_t *proof_relay_bytes(const struct proof_transcript *transcript, const char *welcome,
                           size_t welcome_length, size_t *length)
{
    return write_bytes("coinslot.v1 relay", transcript, welcome, welcome_length, length);
}

static void sign(uint8_t *bytes, size_t length, const uint8_t *secret, uint8_t *signature)
{
    crypto_sign_detached(signature, NULL, bytes, length, secret);
    free(bytes);
}

static bool check(uint8_t *bytes, size_t length, const uint8_t *key, const uint8_t *signature)
{
    bool right = crypto_sign_verify_detached(signature, bytes, length, key) == 0;
    free(bytes);
    return right;
}

void proof_sign_hello(const struct proof_transcript *transcript, const uint8_t secret[PROOF_SECRET_SIZE],
                      uint8_t signature[PROOF_SIGNATURE_SIZE])
{
    size_t length;
    uint8_t *bytes = proof_device_bytes(transcript, &length);
    sign(bytes, length, secret, signature);
}

bool proof_check_hello(const struct proof_transcript *transcript,
                       const uint8_t signature[PROOF_SIGNATURE_SIZE])
{
    size_t length;
    uint8_t *bytes = proof_device_bytes(transcript, &length);
    return check(bytes, length, transcript->device_key, signature);
}

void proof_sign_welcome(const struct proof_transcript *transcript, const char *welcome, size_t welcome_length,
                        const uint8_t secret[PROOF_SECRET_SIZE], uint8_t signature[PROOF_SIGNATURE_SIZE])
{
    size_t length;
    uint8_t *bytes = proof_relay_bytes(transcript, welcome, welcome_length, &length);
    sign(bytes, length, secret, signature);
}

bool proof_check_welcome(const struct proof_transcript *transcript, const char *welcome,
                         size_t welcome_length, const uint8_t signature[PROOF_SIGNATURE_SIZE])
{
    size_t length;
    uint8_t *bytes = proof_relay_bytes(transcript, welcome, welcome_length, &length);
    return check(bytes, length, transcript->relay_key, signature);
}

/* ---- tails ------------------------------------------------------------------------------------------------- */

#define TAIL_HEAD 8 /* `,"sig":"` */

static void write_tail(const char *head, const uint8_t *bytes, size_t count, char *tail)
{
    memcpy(tail, head, TAIL_HEAD);
    hex_encode_lower(bytes, count, tail + TAIL_HEAD);
    memcpy(tail + TAIL_HEAD + 2 * count, "\"}", 3);
}

/* One spelling alone is taken: lower case, nothing in between, nothing after. */
static bool split_tail(const char *head, const char *frame, size_t length, uint8_t *bytes, size_t count,
                       size_t *before)
{
    char digits[2 * PROOF_SIGNATURE_SIZE + 1];
    size_t tail_length = TAIL_HEAD + 2 * count + 2;
    if (length <= tail_length) {
        return false;
    }
    const char *tail = frame + length - tail_length;
    if (memcmp(tail, head, TAIL_HEAD) != 0 || memcmp(frame + length - 2, "\"}", 2) != 0) {
        return false;
    }
    memcpy(digits, tail + TAIL_HEAD, 2 * count);
    digits[2 * count] = '\0';
    *before = length - tail_length;
    return strspn(digits, "0123456789abcdef") == 2 * count && hex_decode(digits, bytes, count);
}

static const char SIG[] = ",\"sig\":\"", MAC[] = ",\"mac\":\"";
_Static_assert(sizeof(SIG) == TAIL_HEAD + 1 && sizeof(MAC) == TAIL_HEAD + 1, "both heads are alike");

void proof_write_sig(const uint8_t signature[PROOF_SIGNATURE_SIZE], char tail[PROOF_SIG_TAIL_SIZE])
{
    write_tail(SIG, signature, PROOF_SIGNATURE_SIZE, tail);
}

bool proof_split_sig(const char *frame, size_t length, uint8_t signature[PROOF_SIGNATURE_SIZE],
                     size_t *before)
{
    return split_tail(SIG, frame, length, signature, PROOF_SIGNATURE_SIZE, before);
}

/* ---- the channel ------------------------------------------------------------------------------------------- */

bool proof_agree_as_relay(struct proof_channel *channel, const uint8_t own_public[PROOF_EXCHANGE_SIZE],
                          const uint8_t own_secret[PROOF_EXCHANGE_SIZE],
                          const uint8_t device_public[PROOF_EXCHANGE_SIZE])
{
    *channel = (struct proof_channel){0};
    return crypto_kx_server_session_keys(channel->receive_key, channel->send_key, own_public, own_secret,
                                         device_public) == 0;
}

bool proof_agree_as_device(struct proof_channel *channel, const uint8_t own_public[PROOF_EXCHANGE_SIZE],
                           const uint8_t own_secret[PROOF_EXCHANGE_SIZE],
                           const uint8_t relay_public[PROOF_EXCHANGE_SIZE])
{
    *channel = (struct proof_channel){0};
    return crypto_kx_client_session_keys(channel->receive_key, channel->send_key, own_public, own_secret,
                                         relay_public) == 0;
}

static void make_mac(const uint8_t key[32], uint64_t counter, const char *frame, size_t length,
                     uint8_t mac[PROOF_MAC_SIZE])
{
    uint8_t number[8];
    for (unsigned i = 0; i < 8; i++) {
        number[i] = (uint8_t)(counter >> (8 * (7 - i)));
    }
    crypto_generichash_state state;
    crypto_generichash_init(&state, key, 32, PROOF_MAC_SIZE);
    crypto_generichash_update(&state, number, sizeof(number));
    crypto_generichash_update(&state, (const unsigned char *)frame, length);
    crypto_generichash_final(&state, mac, PROOF_MAC_SIZE);
    sodium_memzero(&state, sizeof(state));
}

void proof_seal(struct proof_channel *channel, const char *frame, size_t length,
                char tail[PROOF_MAC_TAIL_SIZE])
{
    assert(length > 2 && frame[length - 1] == '}'); /* an object with members, or the comma would not fit */
    uint8_t mac[PROOF_MAC_SIZE];
    make_mac(channel->send_key, channel->sent++, frame, length - 1, mac);
    write_tail(MAC, mac, PROOF_MAC_SIZE, tail);
}

void proof_unsend(struct proof_channel *channel, uint64_t frames)
{
    assert(frames <= channel->sent);
    channel->sent -= frames;
}

bool proof_open(struct proof_channel *channel, const char *frame, size_t length)
{
    uint8_t given[PROOF_MAC_SIZE], right[PROOF_MAC_SIZE];
    size_t before;
    if (!split_tail(MAC, frame, length, given, PROOF_MAC_SIZE, &before)) {
        return false;
    }
    make_mac(channel->receive_key, channel->received, frame, before, right);
    if (sodium_memcmp(given, right, PROOF_MAC_SIZE) != 0) {
        return false;
    }
    channel->received++;
    return true;
}
