/*
 * door: who is let in without being a device: programs on this machine, or who has an API token (push.h, enum push_policy). Owned by the
 * push thread.
 */
#ifndef COINSLOT_PUSH_DOOR_H
#define COINSLOT_PUSH_DOOR_H

#include "push/internal.h"

#define DOOR_KEY_SIZE 129 /* of an API token: up to 128 bytes and a NUL */

/* What whoever runs the client is told. */
struct door_words {
    const char *off, *not_here, *in_the_clear;
};

/* Before the upgrade. 0: come in, as far as the address goes; else the status to answer, and why. */
unsigned int door_judge(const struct push *push, struct lws *wsi, enum push_policy policy,
                        const struct door_words *words, const char **why);

/* False when it is no valid token; `token` keeps its hash for door_knows. */
bool door_take_key(const struct push *push, const char *key, uint8_t token[STORE_HASH_SIZE]);
/* Whether the token is valid still. */
bool door_knows(const struct push *push, const uint8_t token[STORE_HASH_SIZE]);

/*
 * The token in the request for the upgrade: `Authorization: Bearer …` (RFC 6750, section 2.1), else `?api_key=…`. False when there is
 * none that could be one.
 */
bool door_read_key(struct lws *wsi, char key[DOOR_KEY_SIZE]);

#endif
