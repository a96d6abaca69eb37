#include "admin/credential.h"

#include <sodium.h>
#include <string.h>

#include "admin/shape.h"
#include "base/hex.h"

static void make_pair(struct credential *credential)
{
    uint8_t seed[crypto_sign_SEEDBYTES], secret[crypto_sign_SECRETKEYBYTES];
    randombytes_buf(seed, sizeof seed);
    crypto_sign_seed_keypair(credential->stored, secret, seed);
    hex_encode_lower(seed, sizeof seed, credential->secret_key);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(secret, sizeof secret);
}

void credential_make(struct store *store, const struct input_device *input, struct credential *credential)
{
    memset(credential, 0, sizeof *credential);
    switch (input->device.auth) {
    case DEVICE_AUTH_TOKEN:
        if (input->token[0] == '\0') {
            token_make(credential->token);
        }
        store_hash_token(store, input->token[0] == '\0' ? credential->token : input->token,
                         credential->stored);
        return;
    case DEVICE_AUTH_KEY:
        if (input->has_public_key) {
            memcpy(credential->stored, input->public_key, sizeof credential->stored);
        } else {
            make_pair(credential);
        }
        hex_encode_lower(credential->stored, sizeof credential->stored, credential->public_key);
        return;
    }
}

void credential_show(const struct credential *credential, json_t *object)
{
    if (credential->token[0] != '\0') {
        shape_put(object, "token", json_string(credential->token));
    }
    if (credential->public_key[0] != '\0') {
        shape_put(object, "public_key", json_string(credential->public_key));
    }
    if (credential->secret_key[0] != '\0') {
        shape_put(object, "secret_key", json_string(credential->secret_key));
    }
}

void credential_wipe(struct credential *credential)
{
    sodium_memzero(credential, sizeof *credential);
}

void credential_problem_double(struct problem *problem, enum device_auth auth)
{
    if (auth == DEVICE_AUTH_KEY) {
        problem_set(problem, 409, "duplicate_key", "public_key",
                    "give each device a pair of its own, or retire the other one first",
                    "another device has this public key");
    } else {
        problem_set(problem, 409, "duplicate_token", "token",
                    "give each device a token of its own, or retire the other one first",
                    "another device has this token");
    }
}
