#include "http/peers.h"

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define BUCKETS 1024

/* The network part of an address: all of an IPv4 one, the /64 of an IPv6 one, for its holder has all the
 * rest. */
struct key {
    uint8_t bytes[9];
};

struct peer {
    struct peer *next;
    struct key key;
    uint32_t count;
};

struct peers {
    pthread_mutex_t lock;
    size_t count;
    uint32_t most, per_ip_most;
    struct peer *buckets[BUCKETS];
};

struct peers *peers_open(uint32_t most, uint32_t per_ip_most)
{
    struct peers *peers = cs_alloc(sizeof(*peers));
    pthread_mutex_init(&peers->lock, NULL);
    peers->most = most;
    peers->per_ip_most = per_ip_most;
    return peers;
}

void peers_close(struct peers *peers)
{
    assert(peers->count == 0);
    pthread_mutex_destroy(&peers->lock);
    free(peers);
}

/* The four bytes of an IPv4 address, NULL when it is none. */
static const uint8_t *ipv4(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        return (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    }
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return IN6_IS_ADDR_V4MAPPED(in6) ? &in6->s6_addr[12] : NULL;
}

static const uint8_t *ipv6(const struct sockaddr *address)
{
    return ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
}

bool peers_is_loopback(const struct sockaddr *address)
{
    const uint8_t *four = ipv4(address);
    if (four != NULL) {
        return four[0] == 127;
    }
    return memcmp(ipv6(address), &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

void peers_format(const struct sockaddr *address, char text[INET6_ADDRSTRLEN])
{
    const uint8_t *four = ipv4(address);
    if (four != NULL) {
        inet_ntop(AF_INET, four, text, INET6_ADDRSTRLEN);
    } else {
        inet_ntop(AF_INET6, ipv6(address), text, INET6_ADDRSTRLEN);
    }
}

static struct key key_of(const struct sockaddr *address)
{
    struct key key = {{0}};
    const uint8_t *four = ipv4(address);
    if (four != NULL) {
        key.bytes[0] = 4;
        memcpy(key.bytes + 1, four, 4);
    } else {
        key.bytes[0] = 6;
        memcpy(key.bytes + 1, ipv6(address), 8);
    }
    return key;
}

static struct peer **bucket_of(struct peers *peers, const struct key *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a: a chain can be no longer than the limit on connections */
    for (size_t i = 0; i < sizeof(key->bytes); i++) {
        hash = (hash ^ key->bytes[i]) * 16777619u;
    }
    return &peers->buckets[hash % BUCKETS];
}

/* With the lock held. */
static struct peer *find(struct peers *peers, const struct key *key)
{
    struct peer *peer = *bucket_of(peers, key);
    while (peer != NULL && memcmp(&peer->key, key, sizeof(*key)) != 0) {
        peer = peer->next;
    }
    return peer;
}

enum peers_verdict peers_judge(struct peers *peers, const struct sockaddr *address)
{
    struct key key = key_of(address);
    enum peers_verdict verdict = PEERS_WELCOME;
    pthread_mutex_lock(&peers->lock);
    if (peers->count >= peers->most) {
        verdict = PEERS_TOO_MANY;
    } else if (peers->per_ip_most > 0 && !peers_is_loopback(address)) {
        const struct peer *peer = find(peers, &key);
        if (peer != NULL && peer->count >= peers->per_ip_most) {
            verdict = PEERS_TOO_MANY_PER_IP;
        }
    }
    pthread_mutex_unlock(&peers->lock);
    return verdict;
}

struct peer *peers_enter(struct peers *peers, const struct sockaddr *address)
{
    struct key key = key_of(address);
    pthread_mutex_lock(&peers->lock);
    struct peer *peer = find(peers, &key);
    if (peer == NULL) {
        struct peer **bucket = bucket_of(peers, &key);
        peer = cs_alloc(sizeof(*peer));
        peer->key = key;
        peer->next = *bucket;
        *bucket = peer;
    }
    peer->count++;
    peers->count++;
    pthread_mutex_unlock(&peers->lock);
    return peer;
}

void peers_leave(struct peers *peers, struct peer *peer)
{
    pthread_mutex_lock(&peers->lock);
    assert(peers->count > 0 && peer->count > 0);
    peers->count--;
    if (--peer->count == 0) {
        struct peer **link = bucket_of(peers, &peer->key);
        while (*link != peer) {
            link = &(*link)->next;
        }
        *link = peer->next;
        free(peer);
    }
    pthread_mutex_unlock(&peers->lock);
}

size_t peers_count(struct peers *peers)
{
    pthread_mutex_lock(&peers->lock);
    size_t count = peers->count;
    pthread_mutex_unlock(&peers->lock);
    return count;
}
