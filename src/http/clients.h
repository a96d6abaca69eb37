/*
 * clients: who is connected, counted, in all and per address.
 * Any thread; one lock, held for a moment. Bounded by the limit on all connections.
 */
#ifndef COINSLOT_HTTP_CLIENTS_H
#define COINSLOT_HTTP_CLIENTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct clients;
struct client; /* one address, while it has connections */

enum clients_verdict { CLIENTS_WELCOME, CLIENTS_TOO_MANY, CLIENTS_TOO_MANY_PER_IP };

/* per_ip_most 0: no limit. Loopback has none in any case, and `loopback_more` beyond `most`, which nobody else can take. */
struct clients *clients_open(uint32_t most, uint32_t loopback_more, uint32_t per_ip_most);
void clients_close(struct clients *clients); /* nobody is connected any more */

/* Counts a connection, if there is room for it; only then is *client set. */
enum clients_verdict clients_enter(struct clients *clients, const struct sockaddr *address,
                                   struct client **client);
void clients_leave(struct clients *clients, struct client *client);
size_t clients_count(struct clients *clients);

bool clients_is_loopback(const struct sockaddr *address);
/* The address alone, an IPv4 one in its own form even if it came through an IPv6 socket. */
void clients_format(const struct sockaddr *address, char text[INET6_ADDRSTRLEN]);

#endif
