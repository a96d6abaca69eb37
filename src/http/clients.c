#include "http/clients.h"

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

struct client {
    struct client *next;
    struct key key;
    uint32_t count;
};

struct clients {
    pthread_mutex_t lock;
    size_t count;
    uint32_t most, loopback_more, per_ip_most;
    struct client *buckets[BUCKETS];
};

struct clients *clients_open(uint32_t most, uint32_t loopback_more, uint32_t per_ip_most)
{
    struct clients *clients = cs_alloc(sizeof(*clients));
    pthread_mutex_init(&clients->lock, NULL);
    clients->most = most;
    clients->loopback_more = loopback_more;
    clients->per_ip_most = per_ip_most;
    return clients;
}

void clients_close(struct clients *clients)
{
    assert(clients->count == 0);
    pthread_mutex_destroy(&clients->lock);
    free(clients);
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

bool clients_is_loopback(const struct sockaddr *address)
{
    const uint8_t *four = ipv4(address);
    if (four != NULL) {
        return four[0] == 127;
    }
    return memcmp(ipv6(address), &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

void clients_format(const struct sockaddr *address, char text[INET6_ADDRSTRLEN])
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

static struct client **bucket_of(struct clients *clients, const struct key *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a: a chain can be no longer than the limit on connections */
    for (size_t i = 0; i < sizeof(key->bytes); i++) {
        hash = (hash ^ key->bytes[i]) * 16777619u;
    }
    return &clients->buckets[hash % BUCKETS];
}

/* With the lock held. */
static struct client *find(struct clients *clients, const struct key *key)
{
    struct client *client = *bucket_of(clients, key);
    while (client != NULL && memcmp(&client->key, key, sizeof(*key)) != 0) {
        client = client->next;
    }
    return client;
}

/* With the lock held. `client` may be NULL: it has none yet. */
static enum clients_verdict judge(const struct clients *clients, const struct client *client, bool loopback)
{
    if (clients->count >= (size_t)clients->most + (loopback ? clients->loopback_more : 0)) {
        return CLIENTS_TOO_MANY;
    }
    if (clients->per_ip_most > 0 && !loopback && client != NULL && client->count >= clients->per_ip_most) {
        return CLIENTS_TOO_MANY_PER_IP;
    }
    return CLIENTS_WELCOME;
}

/* With the lock held. */
static struct client *add(struct clients *clients, const struct key *key)
{
    struct client **bucket = bucket_of(clients, key);
    struct client *client = cs_alloc(sizeof(*client));
    client->key = *key;
    client->next = *bucket;
    *bucket = client;
    return client;
}

enum clients_verdict clients_enter(struct clients *clients, const struct sockaddr *address,
                                   struct client **client)
{
    struct key key = key_of(address);
    bool loopback = clients_is_loopback(address);
    pthread_mutex_lock(&clients->lock);
    struct client *found = find(clients, &key);
    enum clients_verdict verdict = judge(clients, found, loopback);
    if (verdict == CLIENTS_WELCOME) {
        *client = found != NULL ? found : add(clients, &key);
        (*client)->count++;
        clients->count++;
    }
    pthread_mutex_unlock(&clients->lock);
    return verdict;
}

void clients_leave(struct clients *clients, struct client *client)
{
    pthread_mutex_lock(&clients->lock);
    assert(clients->count > 0 && client->count > 0);
    clients->count--;
    if (--client->count == 0) {
        struct client **link = bucket_of(clients, &client->key);
        while (*link != client) {
            link = &(*link)->next;
        }
        *link = client->next;
        free(client);
    }
    pthread_mutex_unlock(&clients->lock);
}

size_t clients_count(struct clients *clients)
{
    pthread_mutex_lock(&clients->lock);
    size_t count = clients->count;
    pthread_mutex_unlock(&clients->lock);
    return count;
}
