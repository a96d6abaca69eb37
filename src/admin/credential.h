/*
 * credential: by what a device proves who it is. What the caller gives, or what is made here and shown once. Any thread.
 * Holds secrets: credential_wipe when it has been shown.
 */
#ifndef COINSLOT_ADMIN_CREDENTIAL_H
#define COINSLOT_ADMIN_CREDENTIAL_H

#include <jansson.h>

#include "admin/input.h"
#include "base/token.h"
#include "store/store.h"

struct credential {
    uint8_t stored[STORE_HASH_SIZE]; /* what the store keeps: a token's keyed hash, or the public key */
    char token[TOKEN_TEXT_SIZE];     /* "": none was made */
    char public_key[65];             /* "": it is a token */
    char secret_key[65];             /* the 32-byte seed (RFC 8032, section 5.1.5); "": none was made */
};

void credential_make(struct store *store, const struct input_device *input, struct credential *credential);
/* Puts token, public_key and secret_key into `object`, those that there are. */
void credential_show(const struct credential *credential, json_t *object);
void credential_wipe(struct credential *credential);

/* The 409 of a credential that another device has. */
void credential_problem_double(struct problem *problem, enum device_auth auth);

#endif
