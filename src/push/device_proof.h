/*
 * device_proof: what the two ends of a `coinslot.v1` session prove to each other: the bytes that are signed, the keys
 * of a session, the MAC at the end of every frame. Both halves are here, the relay's and the device's, so that tests
 * can speak as a device by the same rules. docs/device-protocol.md says the same to the byte.
 * Pure: any thread, no I/O, no clock, nothing kept.
 */
#ifndef COINSLOT_PUSH_DEVICE_PROOF_H
#define COINSLOT_PUSH_DEVICE_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROOF_PUBLIC_SIZE    32 /* Ed25519 (RFC 8032) */
#define PROOF_SECRET_SIZE    64 /* libsodium's form: the seed and the public key */
#define PROOF_SIGNATURE_SIZE 64
#define PROOF_EXCHANGE_SIZE  32 /* X25519 (RFC 7748), public and secret alike */
#define PROOF_MAC_SIZE       16
#define PROOF_SIG_TAIL_SIZE  139 /* `,"sig":"<128 hex>"}` and a NUL */
#define PROOF_MAC_TAIL_SIZE  43  /* `,"mac":"<32 hex>"}` and a NUL */

/* ---- who signs what -------------------------------------------------------------------------------------- */

/* What both sides have seen by the time of a signature. Borrowed. */
struct proof_transcript {
    const uint8_t *relay_key, *device_key; /* Ed25519, public */
    const char *device;                    /* its id */
    const char *challenge;
    size_t challenge_length;
    const char *hello; /* up to `,"sig"` */
    size_t hello_length;
};

/* The exact bytes. Owned by the caller: free(). */
uint8_t *proof_device_bytes(const struct proof_transcript *transcript, size_t *length);
/* `welcome` up to `,"sig"`. */
uint8_t *proof_relay_bytes(const struct proof_transcript *transcript, const char *welcome,
                           size_t welcome_length, size_t *length);

void proof_sign_hello(const struct proof_transcript *transcript, const uint8_t secret[PROOF_SECRET_SIZE],
                      uint8_t signature[PROOF_SIGNATURE_SIZE]);
bool proof_check_hello(const struct proof_transcript *transcript,
                       const uint8_t signature[PROOF_SIGNATURE_SIZE]);
void proof_sign_welcome(const struct proof_transcript *transcript, const char *welcome, size_t welcome_length,
                        const uint8_t secret[PROOF_SECRET_SIZE], uint8_t signature[PROOF_SIGNATURE_SIZE]);
bool proof_check_welcome(const struct proof_transcript *transcript, const char *welcome,
                         size_t welcome_length, const uint8_t signature[PROOF_SIGNATURE_SIZE]);

/* `,"sig":"…"}`, which takes the place of a frame's last brace. */
void proof_write_sig(const uint8_t signature[PROOF_SIGNATURE_SIZE], char tail[PROOF_SIG_TAIL_SIZE]);
/* True when the frame ends with a sig in just this form; `*before` is the number of bytes before it. */
bool proof_split_sig(const char *frame, size_t length, uint8_t signature[PROOF_SIGNATURE_SIZE],
                     size_t *before);

/* ---- the frames after the welcome -------------------------------------------------------------------------- */

/* One end of a session. */
struct proof_channel {
    uint8_t send_key[32], receive_key[32];
    uint64_t sent, received; /* frames, in each direction: the next one's counter */
};

/* False when the other's key is a point of low order: then there is no secret. */
bool proof_agree_as_relay(struct proof_channel *channel, const uint8_t own_public[PROOF_EXCHANGE_SIZE],
                          const uint8_t own_secret[PROOF_EXCHANGE_SIZE],
                          const uint8_t device_public[PROOF_EXCHANGE_SIZE]);
bool proof_agree_as_device(struct proof_channel *channel, const uint8_t own_public[PROOF_EXCHANGE_SIZE],
                           const uint8_t own_secret[PROOF_EXCHANGE_SIZE],
                           const uint8_t relay_public[PROOF_EXCHANGE_SIZE]);

/* The MAC of the next frame that is sent: `tail` takes the place of the frame's last brace. */
void proof_seal(struct proof_channel *channel, const char *frame, size_t length,
                char tail[PROOF_MAC_TAIL_SIZE]);
/* The last `frames` that were sealed never left: the next one takes the place of the first of them. */
void proof_unsend(struct proof_channel *channel, uint64_t frames);
/* Whether the frame is the very next one that the other end has sent. False is the end: nothing after it can be right. */
bool proof_open(struct proof_channel *channel, const char *frame, size_t length);

#endif
