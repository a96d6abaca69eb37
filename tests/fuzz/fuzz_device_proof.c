/*
 * The last members of frames, as whoever sits on the line writes them: a frame is taken only if it is, to the byte, what was sealed as the
 * next one. And what we seal opens, once, at the other end.
 */
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "push/device_proof.h"

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct proof_channel relay, device;

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    uint8_t seed[32] = {1}, relay_public[32], relay_secret[32], device_public[32], device_secret[32];
    must(sodium_init() >= 0);
    crypto_kx_seed_keypair(relay_public, relay_secret, seed);
    seed[0] = 2;
    crypto_kx_seed_keypair(device_public, device_secret, seed);
    must(proof_agree_as_relay(&relay, relay_public, relay_secret, device_public));
    must(proof_agree_as_device(&device, device_public, device_secret, relay_public));
    return 0;
}

/* The first byte says where the sealed frame is spoiled, and how. */
static void seal_and_spoil(const uint8_t *data, size_t size)
{
    size_t length = size + 2;
    char *frame = malloc(length + PROOF_MAC_TAIL_SIZE), tail[PROOF_MAC_TAIL_SIZE];
    must(frame != NULL);
    frame[0] = '{';
    memcpy(frame + 1, data, size);
    frame[length - 1] = '}';
    struct proof_channel from = device, to = relay;
    proof_seal(&from, frame, length, tail);
    memcpy(frame + length - 1, tail, PROOF_MAC_TAIL_SIZE - 1);
    length += PROOF_MAC_TAIL_SIZE - 2;
    struct proof_channel own = device, spoiled = relay;
    must(!proof_open(&own, frame, length)); /* reflected */
    must(proof_open(&to, frame, length) && to.received == 1);
    must(!proof_open(&to, frame, length) && to.received == 1); /* repeated */
    size_t at = (size_t)data[0] * 257 % length;
    frame[at] = (char)(frame[at] ^ (1 << (data[0] & 7)));
    must(!proof_open(&spoiled, frame, length) && spoiled.received == 0);
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proof_channel channel = relay;
    uint8_t signature[PROOF_SIGNATURE_SIZE];
    char tail[PROOF_SIG_TAIL_SIZE];
    size_t before;
    must(!proof_open(&channel, (const char *)data, size) && channel.received == 0); /* nobody guesses a MAC */
    if (proof_split_sig((const char *)data, size, signature, &before)) {
        proof_write_sig(signature, tail); /* one form alone: writing it again gives the same bytes */
        must(before > 0 && before + strlen(tail) == size);
        must(memcmp(data + before, tail, strlen(tail)) == 0);
    }
    if (size > 0) {
        seal_and_spoil(data, size);
    }
    return 0;
}
