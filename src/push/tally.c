#include "push/tally.h"

#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define BUCKETS 1024

struct peer {
    struct peer *next;
    uint8_t key[16];
    uint32_t count;
};

struct tally {
    struct peer *bucket[BUCKETS];
};

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}; /* RFC 4291, section 2.5.5.2 */

/* IPv4 in its IPv6-mapped form; false for any other family. */
static bool to_bytes(const struct sockaddr_storage *address, uint8_t bytes[16])
{
    if (address->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        memcpy(bytes, MAPPED, sizeof(MAPPED));
        memcpy(bytes + 12, &in.sin_addr, 4);
        return true;
    }
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        memcpy(bytes, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool tally_is_loopback(const struct sockaddr_storage *address)
{
    static const uint8_t one[16] = {[15] = 1};
    uint8_t bytes[16];
    if (!to_bytes(address, bytes)) {
        return false;
    }
    return memcmp(bytes, one, 16) == 0 || (memcmp(bytes, MAPPED, sizeof(MAPPED)) == 0 && bytes[12] == 127);
}

static void to_key(const struct sockaddr_storage *address, uint8_t key[16])
{
    memset(key, 0, 16);
    if (to_bytes(address, key) && memcmp(key, MAPPED, sizeof(MAPPED)) != 0) {
        memset(key + 8, 0, 8);
    }
}

static uint32_t bucket_of(const uint8_t key[16])
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < 16; i++) {
        hash = (hash ^ key[i]) * 16777619u;
    }
    return hash % BUCKETS;
}

struct tally *tally_open(void)
{
    return cs_alloc(sizeof(struct tally));
}

void tally_close(struct tally *tally)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        assert(tally->bucket[i] == NULL);
    }
    free(tally);
}

uint32_t tally_count(const struct tally *tally, const struct sockaddr_storage *address)
{
    uint8_t key[16];
    to_key(address, key);
    for (const struct peer *peer = tally->bucket[bucket_of(key)]; peer != NULL; peer = peer->next) {
        if (memcmp(peer->key, key, sizeof(key)) == 0) {
            return peer->count;
        }
    }
    return 0;
}

void tally_add(struct tally *tally, const struct sockaddr_storage *address)
{
    uint8_t key[16];
    to_key(address, key);
    struct peer **first = &tally->bucket[bucket_of(key)];
    for (struct peer *peer = *first; peer != NULL; peer = peer->next) {
        if (memcmp(peer->key, key, sizeof(key)) == 0) {
            peer->count++;
            return;
        }
    }
    struct peer *peer = cs_alloc(sizeof(*peer));
    memcpy(peer->key, key, sizeof(key));
    peer->count = 1;
    peer->next = *first;
    *first = peer;
}

void tally_remove(struct tally *tally, const struct sockaddr_storage *address)
{
    uint8_t key[16];
    to_key(address, key);
    struct peer **link = &tally->bucket[bucket_of(key)];
    while (*link != NULL && memcmp((*link)->key, key, sizeof(key)) != 0) {
        link = &(*link)->next;
    }
    struct peer *peer = *link;
    assert(peer != NULL);
    if (--peer->count == 0) {
        *link = peer->next;
        free(peer);
    }
}
